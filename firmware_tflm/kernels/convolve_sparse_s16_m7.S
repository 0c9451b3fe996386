/* Inner loop of convolve_sparse_s16.c for the Cortex-M7: the non-zero weights of a filter, each at nine positions.
 *
 * A word of the panel holds two positions, so that SMLABB and SMLATB take them as they are; the word of a weight holds
 * the distance to the next one. Nine MACs in ten cycles: the next weight cannot be loaded while this one is in use, as
 * all registers are.
 */
    .syntax unified
    .thumb
    .text

/* Positions 0 and 1 are in x, position 8 is in y; those of the next weight come to y and x. */
    .macro nonzero x y last
    smlabb  r2, \x, lr, r2
    cmp     lr, #0x10000
    smlatb  r3, \x, lr, r3
    ldr     \x, [r1, #4]
    smlabb  r10, \y, lr, r10
    ldr     \y, [r1, #8]
    blo     \last
    smlabb  r4, \x, lr, r4
    smlatb  r5, \x, lr, r5
    ldr     \x, [r1, #12]
    smlabb  r6, \y, lr, r6
    add     r1, r1, lr, lsr #16
    smlatb  r7, \y, lr, r7
    smlabb  r8, \x, lr, r8
    ldr     \y, [r1]
    smlatb  r9, \x, lr, r9
    ldr     lr, [r0], #4
    ldr     \x, [r1, #16]
    .endm

    .macro end_nonzero x y
    smlabb  r4, \x, lr, r4
    smlatb  r5, \x, lr, r5
    ldr     \x, [r1, #12]
    smlabb  r6, \y, lr, r6
    smlatb  r7, \y, lr, r7
    smlabb  r8, \x, lr, r8
    smlatb  r9, \x, lr, r9
    .endm

/* void convolve_nonzeros_s16(const int32_t *stream, const int16_t *panel, int32_t bias, int32_t sums[9]) */
    .global convolve_nonzeros_s16
    .type convolve_nonzeros_s16, %function
    .balign 32
convolve_nonzeros_s16:
    push    {r3-r11, lr}
    ldr     r11, [r1]
    mov     r3, r2
    ldr     r12, [r1, #16]
    mov     r4, r2
    ldr     lr, [r0], #4
    mov     r5, r2
    mov     r6, r2
    mov     r7, r2
    mov     r8, r2
    mov     r9, r2
    mov     r10, r2
    .balign 8
1:
    nonzero r11, r12, 2f
    nonzero r12, r11, 3f
    b       1b
2:
    end_nonzero r11, r12
    b       4f
3:
    end_nonzero r12, r11
4:
    pop     {r0}
    stm     r0, {r2-r10}
    pop     {r4-r11, pc}
    .size convolve_nonzeros_s16, . - convolve_nonzeros_s16

/* Inner loop of convolve_packed_s16.c for the Cortex-M7: two filters at three positions.
 *
 * Six SMLAD for twelve MACs, beside them two SXTB16 that expand the weights, four loads: an SMLAD in every cycle, the
 * most that this core can do. Loads stand two cycles before their first use, SXTB16 first in its pair.
 */
    .syntax unified
    .thumb
    .text

/* Two columns. r9 and r10: weights of filter a and b; r11, r12, lr: values of the three positions. All registers are in
 * use, so the last half of a round gets the end of the panel in r8, where the next weights come. */
    .macro columns2 last=0
    sxtb16  r10, r8, ror #8
    smlad   r2, r9, r11, r2
    .if \last
    ldr     r8, [sp, #end]
    .endif
    smlad   r5, r10, r11, r5
    ldr     lr, [r1], #4
    smlad   r3, r9, r12, r3
    .if \last
    cmp     r1, r8
    .endif
    ldr     r11, [r1], #4
    smlad   r6, r10, r12, r6
    ldr     r8, [r0], #4
    smlad   r4, r9, lr, r4
    ldr     r12, [r1], #4
    sxtb16  r9, r8
    smlad   r7, r10, lr, r7
    .endm

/* void convolve_pair_s16(const int32_t *stream, const int16_t *panel, int16_t *output, int32_t columns,
 *                        int32_t stride, int32_t minimum, int32_t panels) */
    .equ end, 0
    .equ stream, 4
    .equ output, 8
    .equ panel_bytes, 12
    .equ stride, 52
    .equ minimum, 56
    .equ panels, 60

    .global convolve_pair_s16
    .type convolve_pair_s16, %function
    .balign 32
convolve_pair_s16:
    push    {r4-r11, lr}
    add     r3, r3, r3, lsl #1
    mov     lr, r1
    lsl     r3, r3, #1
    push    {r0, r2, r3}
    sub     sp, sp, #4
    .balign 8
1:
    ldr     r2, [r0], #8
    ldr     r5, [r0], #8
    add     r3, r3, lr
    ldr     r8, [r0], #4
    mov     r1, lr
    str     r3, [sp, #end]
    mov     r3, r2
    ldr     r11, [r1], #4
    mov     r4, r2
    ldr     r12, [r1], #4
    mov     r6, r5
    mov     r7, r5
    sxtb16  r9, r8
2:
    .rept 7
    columns2
    .endr
    columns2 last=1
    bne     2b
    ldr     r8, [sp, #stream]
    ldr     r12, [sp, #output]
    ldr     r9, [r8, #4]
    ldr     r10, [r8, #12]
    ldr     r11, [sp, #stride]
    ldr     r0, [sp, #minimum]
/* Outputs of two filters in one word, at least the minimum. */
    smmulr  r2, r2, r9
    smmulr  r5, r5, r10
    smmulr  r3, r3, r9
    ssat    r2, #16, r2
    smmulr  r6, r6, r10
    ssat    r5, #16, r5
    smmulr  r4, r4, r9
    ssat    r3, #16, r3
    smmulr  r7, r7, r10
    ssat    r6, #16, r6
    ldr     r1, [sp, #panels]
    ssat    r4, #16, r4
    ldr     lr, [sp, #end]
    ssat    r7, #16, r7
    add     r9, r12, r11
    pkhbt   r2, r2, r5, lsl #16
    add     r10, r9, r11
    pkhbt   r3, r3, r6, lsl #16
    subs    r1, r1, #1
    pkhbt   r4, r4, r7, lsl #16
    str     r1, [sp, #panels]
    ssub16  r5, r2, r0
    add     r11, r10, r11
    sel     r2, r2, r0
    str     r2, [r12]
    ssub16  r6, r3, r0
    str     r11, [sp, #output]
    sel     r3, r3, r0
    str     r3, [r9]
    ssub16  r7, r4, r0
    ldr     r3, [sp, #panel_bytes]
    sel     r4, r4, r0
    str     r4, [r10]
    mov     r0, r8
    bne     1b
    add     sp, sp, #16
    pop     {r4-r11, pc}
    .size convolve_pair_s16, . - convolve_pair_s16

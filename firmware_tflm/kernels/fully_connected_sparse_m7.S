/* fully_connected_sparse_s8.c for the Cortex-M7.
 *
 * void fully_connected_nonzeros(const uint8_t *stream, const int8_t *input, int8_t *output, const int8_t *end,
 *                               int32_t twice_offset)
 *
 * A word holds two weights and their distances: eight instructions in four cycles, if no load misses the cache. The
 * products of a word are added beside the next one. Reads 16 bytes behind the stream, the head of an output.
 */
    .syntax unified
    .thumb
    .text

    .macro pair word next before now
    uxtab   r9, r10, \word, ror #8
    ldr     \next, [r0], #4
    uxtab   r10, r9, \word, ror #24
    smlabb  r12, \before, r5, r12
    sxtb16  \now, \word
    ldrsb   r5, [r9]
    smlatb  r12, \before, r6, r12
    ldrsb   r6, [r10]
    .endm

    .equ INPUT, 0
    .equ END, 4
    .equ OFFSET, 44

    .global fully_connected_nonzeros
    .type fully_connected_nonzeros, %function
    .balign 32
fully_connected_nonzeros:
    sub     r1, r1, #1
    push    {r1, r3, r4-r11, lr}
    mov     r11, r2
    ldr     r1, [r0], #16
    ldr     r10, [sp, #INPUT]
    ldr     r12, [r0, #-12]
    ldr     lr, [r0, #-8]
    ldr     r7, [r0, #-4]
    add     r2, r0, r1, lsr #8
    movs    r3, #0
    .balign 8
2:
    pair    r7, r8, r3, r4
    pair    r8, r7, r4, r3
    cmp     r0, r2
    bne     2b
/* The output, and beside it the head of the next one, whose first word is in r7. */
    ldr     r4, [sp, #OFFSET]
    smlabb  r12, r3, r5, r12
    ldr     r5, [r0], #4
    lsl     r4, r4, r1
    ldr     r8, [r0], #4
    smlatb  r12, r3, r6, r12
    ldr     r10, [sp, #INPUT]
    asr     r4, r4, #1
    mov     r6, r1
    add     r12, r12, r12
    mov     r1, r7
    ldr     r7, [r0], #4
    add     r4, r4, r12, asr #31
    smmlar  r4, r12, lr, r4
    add     r2, r0, r1, lsr #8
    mov     r12, r5
    mov     lr, r8
    asr     r4, r4, r6
    ldr     r5, [sp, #END]
    movs    r3, #0
    ssat    r4, #8, r4
    strb    r4, [r11], #1
    cmp     r11, r5
    bne     2b
    pop     {r1, r3, r4-r11, pc}
    .size fully_connected_nonzeros, . - fully_connected_nonzeros

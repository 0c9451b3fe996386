/* fully_connected_sparse_s8.c for the Cortex-M7.
 *
 * void fully_connected_nonzeros(const uint8_t *stream, const int16_t *input, int16_t *output, int32_t outputs)
 *
 * A word holds two weights and their distances: eight instructions in four cycles, if no load misses the cache. The
 * products of a word are added beside the next one. Reads a word behind the stream.
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
    ldrsh   r5, [r9]
    smlatb  r12, \before, r6, r12
    ldrsh   r6, [r10]
    .endm

    .global fully_connected_nonzeros
    .type fully_connected_nonzeros, %function
    .balign 32
fully_connected_nonzeros:
    push    {r1, r4-r11, lr}
    mov     r11, r2
    mov     lr, r3
1:
    ldr     r2, [r0], #4
    ldr     r10, [sp]
    mov     r1, r0
    add     r0, r0, #16
    movs    r3, #0
    add     r2, r0, r2, lsl #2
    ldr     r7, [r0], #4
    add     r2, r2, #4
    movs    r5, #0
    movs    r6, #0
    mov     r12, #0
    cmp     r0, r2
    sub     r10, r10, #2
    beq     3f
    .balign 8
2:
    pair    r7, r8, r3, r4
    pair    r8, r7, r4, r3
    cmp     r0, r2
    bne     2b
3:
    smlabb  r12, r3, r5, r12
    smlatb  r12, r3, r6, r12
    ldm     r1, {r5-r8}
    add     r12, r5, r12, lsl #1
    smmulr  r12, r12, r6
    sub     r0, r0, #4
    subs    lr, lr, #1
    add     r12, r12, r12, asr #31
    add     r12, r12, r7
    asr     r12, r12, r8
    ssat    r12, #8, r12
    strh    r12, [r11], #2
    bne     1b
    pop     {r1, r4-r11, pc}
    .size fully_connected_nonzeros, . - fully_connected_nonzeros

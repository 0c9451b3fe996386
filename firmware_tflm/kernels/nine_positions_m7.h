/* One filter after the other at nine positions, in assembly: what convolve_sparse_m7.S and its relatives share.
 *
 * A word of the panel holds two positions, x + 2^22 y, so that one SMLAL into 64 bits is two MACs. The ninth position
 * comes as 2^11 x and is added to the upper word of the first sum, of which 21 bits are free: eight registers for nine
 * sums, r2 to r9. Words of the panel are in r10 and r11 in turn, the weight in r12, the place in the panel in r1, that
 * in the stream in lr; r0 is free for a distance.
 */

    .equ PITCH_BYTES, 1012 /* 4 SPARSE_PANEL_WORDS */

/* From twice the accumulators of two positions to int8, a step of one beside a step of the other, and between them from
 * the next sum, \low and \high, to twice the accumulators of its positions; r2 is -2^21, r10 multiplier, r11 rounding,
 * r12 right_shift, r3 and lr free. */
    .macro output_bytes one other low high
    add     lr, r11, \one, asr #31
    add     r3, r11, \other, asr #31
    smmlar  \one, \one, r10, lr
    lsr     lr, \low, #21
    smmlar  \other, \other, r10, r3
    lsl     \low, \low, #10
    asr     \one, \one, r12
    orr     \high, lr, \high, lsl #11
    asr     \other, \other, r12
    add     \low, r2, \low, lsr #9
    ssat    \one, #8, \one
    ssat    \other, #8, \other
    .endm

/* In a new filter the other sums start as r4 and r5; done beside the first loads. */
    .macro copies filter
    .if \filter
    mov     r7, r5
    mov     r8, r4
    mov     r9, r5
    .endif
    .endm

/* void \name(nine_positions_t *state, const int32_t *panel): filters until none is left or one comes in parts. */
    .equ OUTPUT, 0
    .equ FILTERS, 4
    .equ PITCH, 8
    .equ STAGE, 12
    .equ STATE, 16
    .equ PANEL, 20

    .macro nine_positions name nonzeros
    .global \name
    .type \name, %function
    .balign 32
\name:
    push    {r0, r1, r4-r11, lr}
    ldm     r0, {r5-r8}
    mov     lr, r5
    push    {r6-r9}
    mov     r5, r6
    mov     r6, r7
    b       3f
    .balign 8
1:
    ldr     r4, [lr], #24
    ldr     r1, [sp, #PANEL]
    ldr     r5, [lr, #-20]
    ldr     r3, [lr, #-16]
    sub     r0, lr, #12
    mov     r2, r4
    str     r0, [sp, #STAGE]
    mov     r6, r4
    \nonzeros filter=1
    ldr     r0, [sp, #STAGE]
    add     lr, lr, #7
    bic     lr, lr, #7
    lsl     r1, r2, #10
    str     lr, [sp, #STAGE]
    lsr     r2, r2, #21
    ldr     r10, [r0]
    lsr     r1, r1, #9
    ldr     r11, [r0, #4]
    orr     r2, r2, r3, lsl #11
    ldr     r12, [r0, #8]
    sub     r1, r1, #0x200000
    asr     r3, r3, #11
    lsl     r2, r2, #10
    add     r0, r11, r1, asr #31
    lsl     r3, r3, #1
    lsr     r2, r2, #10
    smmlar  r1, r1, r10, r0
    sub     r2, r2, #0x200000
    add     lr, r11, r3, asr #31
    add     r0, r11, r2, asr #31
    smmlar  r3, r3, r10, lr
    asr     r1, r1, r12
    smmlar  r2, r2, r10, r0
    ldr     lr, [sp, #OUTPUT]
    ldr     r0, [sp, #PITCH]
    ssat    r1, #8, r1
    asr     r3, r3, r12
    asr     r2, r2, r12
    strb    r1, [lr]
    ssat    r3, #8, r3
    mov     r1, lr
    ssat    r2, #8, r2
    strb    r3, [r1, r0, lsl #3]
    lsr     lr, r4, #21
    strb    r2, [r1, r0]
    movs    r2, #0
    movt    r2, #0xffe0
    lsl     r4, r4, #10
    orr     r5, lr, r5, lsl #11
    add     r4, r2, r4, lsr #9
    output_bytes r4, r5, r6, r7
    strb    r4, [r1, r0, lsl #1]
    output_bytes r6, r7, r8, r9
    strb    r6, [r1, r0, lsl #2]
    add     lr, r11, r8, asr #31
    add     r2, r1, r0
    smmlar  r8, r8, r10, lr
    add     r3, r11, r9, asr #31
    ldr     lr, [sp, #STAGE]
    add     r2, r2, r0, lsl #1
    smmlar  r9, r9, r10, r3
    strb    r5, [r2]
    asr     r8, r8, r12
    ldr     r5, [sp, #OUTPUT]
    ldr     r6, [sp, #FILTERS]
    asr     r9, r9, r12
    strb    r7, [r2, r0, lsl #1]
    ssat    r8, #8, r8
    ldr     r10, [lr, #20]
    ssat    r9, #8, r9
    add     r3, r2, r0
    add     r5, r5, #1
    strb    r8, [r3, r0, lsl #1]
    subs    r6, r6, #1
    strb    r9, [r2, r0, lsl #2]
    str     r5, [sp, #OUTPUT]
    str     r6, [sp, #FILTERS]
    beq     4f
    cmp     r10, #0
    bne     1b
    b       4f
3:
    cmp     r6, #0
    beq     4f
    ldr     r10, [lr, #20]
    cmp     r10, #0
    bne     1b
4:
    add     sp, sp, #16
    pop     {r0, r1}
    mov     r4, lr
    stm     r0, {r4-r6}
    pop     {r4-r11, pc}
    .size \name, . - \name
    .endm

/* const uint8_t *\name(const uint8_t *stream, const int32_t *panel, uint64_t sums[4]): part of a filter; returns the
 * place behind the last byte read. */
    .macro nine_sums name nonzeros
    .global \name
    .type \name, %function
    .balign 32
\name:
    push    {r2, r4-r11, lr}
    mov     lr, r0
    ldm     r2, {r2-r9}
    \nonzeros filter=0
    mov     r0, lr
    pop     {r1}
    stm     r1, {r2-r9}
    pop     {r4-r11, pc}
    .size \name, . - \name
    .endm

/* convolve_block4_s8.c for the Cortex-M7: blocks of four weights, each at nine positions.
 *
 * void convolve_blocks4(const uint8_t *stream, const int16_t *panel, int8_t *output, int32_t filters)
 *
 * Twenty-three cycles for a block, 36 MACs, of which eighteen are SMLAD; beside each stands the load of what the SMLAD
 * after the next one takes. In the others a word of weights arrives and SXTB16 makes a pair of it, or the place of the
 * next block is added up: beside nine accumulators no register is free for either before. Sums are twice what they
 * stand for, as the panel is. Reads 4 bytes behind the stream.
 */
    .syntax unified
    .thumb
    .text

    .equ PITCH_BYTES, 240 /* 4 BLOCK4_PANEL_WORDS */

    .macro load_pair register number
    ldr     \register, [r1, #(\number) * PITCH_BYTES]
    .endm

/* Two weights at nine positions, whose words are in r11 and r12 in turn, the first two of them already. */
    .macro nine_smlads first a b
    smlad   r2, lr, \a, r2
    load_pair \a, \first+2
    smlad   r3, lr, \b, r3
    load_pair \b, \first+3
    smlad   r4, lr, \a, r4
    load_pair \a, \first+4
    smlad   r5, lr, \b, r5
    load_pair \b, \first+5
    smlad   r6, lr, \a, r6
    load_pair \a, \first+6
    smlad   r7, lr, \b, r7
    load_pair \b, \first+7
    smlad   r8, lr, \a, r8
    load_pair \a, \first+8
    smlad   r9, lr, \b, r9
    .endm

/* Block `number` of four; then the distance to the next one and its weights, or a distance 0. */
    .macro block number
    nine_smlads 0, r11, r12
    load_pair r12, 9
    smlad   r10, lr, r11, r10
    ldr     lr, [r0, #4 * \number + 4]
    sxtb16  lr, lr, ror #8
    load_pair r11, 10
    nine_smlads 9, r12, r11
    .if \number < 3
    ldrb    r11, [r0, #\number + 1]
    smlad   r10, lr, r12, r10
    ldr     lr, [r0, #4 * \number + 8]
    .else
    ldrb    r11, [r0, #20]!
    smlad   r10, lr, r12, r10
    ldr     lr, [r0, #4]
    .endif
    add     r1, r1, r11
    cmp     r11, #0
    sxtb16  lr, lr
    ldr     r11, [r1]
    load_pair r12, 1
    .if \number < 3
    beq     3f
    .else
    bne     2b
    .endif
    .endm

    .equ OUTPUT, 0
    .equ END, 4
    .equ PITCH, 8
    .equ PANEL, 12
    .equ HEAD, 16

    .global convolve_blocks4
    .type convolve_blocks4, %function
    .balign 32
convolve_blocks4:
    push    {r4-r11, lr}
    sub     sp, sp, #20
    sub     r1, r1, #4
    add     r4, r2, r3
    strd    r2, r4, [sp, #OUTPUT]
    strd    r3, r1, [sp, #PITCH]
1:
    ldrb    r11, [r0, #16]
    ldr     r1, [sp, #PANEL]
    ldr     lr, [r0, #20]
    str     r0, [sp, #HEAD]
    ldr     r2, [r0], #16
    add     r1, r1, r11
    sxtb16  lr, lr
    ldr     r11, [r1]
    mov     r3, r2
    load_pair r12, 1
    mov     r4, r2
    mov     r5, r2
    mov     r6, r2
    mov     r7, r2
    mov     r8, r2
    mov     r9, r2
    mov     r10, r2
    .balign 8
2:
    block   0
    block   1
    block   2
    block   3
3:
/* To outputs as in output_stage.h; what the sign adds to the rounding goes in with SMMLAR. */
    ldr     r0, [sp, #HEAD]
    ldr     r12, [r0, #8]
    ldr     r11, [r0, #4]
    ldr     lr, [r0, #12]
    add     r1, r12, r2, asr #31
    smmlar  r2, r2, r11, r1
    add     r1, r12, r3, asr #31
    smmlar  r3, r3, r11, r1
    add     r1, r12, r4, asr #31
    smmlar  r4, r4, r11, r1
    add     r1, r12, r5, asr #31
    smmlar  r5, r5, r11, r1
    add     r1, r12, r6, asr #31
    smmlar  r6, r6, r11, r1
    add     r1, r12, r7, asr #31
    smmlar  r7, r7, r11, r1
    add     r1, r12, r8, asr #31
    smmlar  r8, r8, r11, r1
    add     r1, r12, r9, asr #31
    smmlar  r9, r9, r11, r1
    add     r1, r12, r10, asr #31
    smmlar  r10, r10, r11, r1
    asr     r2, r2, lr
    ldr     r1, [sp, #OUTPUT]
    asr     r3, r3, lr
    ldr     r11, [sp, #PITCH]
    ssat    r2, #8, r2
    asr     r4, r4, lr
    ssat    r3, #8, r3
    strb    r2, [r1]
    asr     r5, r5, lr
    add     r12, r1, r11
    ssat    r4, #8, r4
    strb    r3, [r1, r11]
    asr     r6, r6, lr
    add     r0, r0, lr, lsr #8
    ssat    r5, #8, r5
    strb    r4, [r1, r11, lsl #1]
    asr     r7, r7, lr
    add     r12, r12, r11, lsl #1
    ssat    r6, #8, r6
    strb    r5, [r12]
    asr     r8, r8, lr
    ldr     r4, [sp, #END]
    ssat    r7, #8, r7
    strb    r6, [r1, r11, lsl #2]
    asr     r9, r9, lr
    add     r5, r1, #1
    ssat    r8, #8, r8
    strb    r7, [r12, r11, lsl #1]
    asr     r10, r10, lr
    add     r6, r12, r11
    ssat    r9, #8, r9
    strb    r8, [r6, r11, lsl #1]
    ssat    r10, #8, r10
    strb    r9, [r12, r11, lsl #2]
    cmp     r5, r4
    strb    r10, [r1, r11, lsl #3]
    str     r5, [sp, #OUTPUT]
    bne     1b
    add     sp, sp, #20
    pop     {r4-r11, pc}
    .size convolve_blocks4, . - convolve_blocks4

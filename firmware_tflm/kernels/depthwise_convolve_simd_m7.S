/* One channel of depthwise_convolve_simd_s8.c for the Cortex-M7: four outputs at a time, one below the other.
 *
 * 24 multiply-accumulates for 36 MACs, twelve of them SMLAD; beside them the loads, two cycles before use. The upper two
 * outputs are finished while the lower two still add up.
 */
    .syntax unified
    .thumb
    .text

    .equ pitch, 64 /* bytes from one row of words to the next */

    .equ bias, 0
    .equ multiplier, 4
    .equ rounding, 8
    .equ shift, 12
    .equ weights0, 16
    .equ weights1, 20
    .equ weights2, 24
    .equ row, 28
    .equ end, 32
    .equ odd, 36
    .equ columns, 40
    .equ channels, 44
    .equ words, 48
    .equ output, 52
    .equ frame, 56

/* void depthwise_simd_channel(const channel_t *channel, const uint32_t *words, int8_t *output, const plane_t *plane)
 *
 * Weights of a column: r2 = w0, w1 and r3 = w1, w2, then r4 and r5, r6 and r7; r2, r4 and r6 serve other ends later. r0
 * points to the words of rows k and k + 1; r8 to r11 become the outputs k to k + 3. r12 and lr hold words. */
    .global depthwise_simd_channel
    .type depthwise_simd_channel, %function
    .balign 32
depthwise_simd_channel:
    push    {r4-r11, lr}
    sub     sp, sp, #frame
    ldm     r3, {r4-r8}
    add     r5, r1, r5, lsl #7
    str     r4, [sp, #row]
    strd    r5, r6, [sp, #end]
    strd    r7, r8, [sp, #columns]
    strd    r1, r2, [sp, #words]
    ldm     r0!, {r2-r7}
    ldm     r0, {r8-r11}
    str     r2, [sp, #weights0]
    strd    r4, r6, [sp, #weights1]
    strd    r8, r9, [sp, #bias]
    strd    r10, r11, [sp, #rounding]
    ldrd    r0, r1, [sp, #words]
1:
    ldr     r10, [sp, #end]
    ldr     r12, [r0]
    cmp     r0, r10
    ldrd    r2, r4, [sp, #weights0]
    ldr     r8, [sp, #bias]
    ldr     r9, [sp, #bias]
    beq     3f
    .balign 8
2:
    smlad   r8, r12, r2, r8
    ldr     lr, [r0, #4]
    smlatb  r9, r12, r2, r9
    ldr     r12, [r0, #8]
    smlad   r8, lr, r4, r8
    ldr     r6, [sp, #weights2]
    smlatb  r9, lr, r4, r9
    ldr     lr, [r0, #pitch]
    smlad   r8, r12, r6, r8
    ldr     r10, [sp, #bias]
    smlatb  r9, r12, r6, r9
    ldr     r12, [r0, #pitch + 4]
    smlabt  r8, lr, r3, r8
    ldr     r11, [sp, #bias]
    smlad   r9, lr, r3, r9
    smlad   r10, lr, r2, r10
    smlatb  r11, lr, r2, r11
    ldr     lr, [r0, #pitch + 8]
    smlabt  r8, r12, r5, r8
    smlad   r9, r12, r5, r9
    smlad   r10, r12, r4, r10
    smlatb  r11, r12, r4, r11
    ldr     r12, [r0, #2 * pitch]
    smlabt  r8, lr, r7, r8
    ldr     r2, [sp, #rounding]
    smlad   r9, lr, r7, r9
    ldr     r4, [sp, #multiplier]
    smlad   r10, lr, r6, r10
    smlatb  r11, lr, r6, r11
    ldr     lr, [r0, #2 * pitch + 4]
    smlabt  r10, r12, r3, r10
    add     r6, r2, r8, asr #31
    smmlar  r8, r8, r4, r6
    add     r6, r2, r9, asr #31
    smlad   r11, r12, r3, r11
    ldr     r12, [r0, #2 * pitch + 8]
    smmlar  r9, r9, r4, r6
    ldr     r6, [sp, #shift]
    smlabt  r10, lr, r5, r10
    asr     r8, r8, r6
    smlad   r11, lr, r5, r11
    asr     r9, r9, r6
    ssat    r8, #8, r8
    smlabt  r10, r12, r7, r10
    ssat    r9, #8, r9
    smlad   r11, r12, r7, r11
    ldr     lr, [sp, #row]
    strb    r8, [r1]
    add     r12, r2, r10, asr #31
    ldr     r8, [sp, #bias]
    strb    r9, [r1, lr]
    ldr     r9, [sp, #end]
    smmlar  r10, r10, r4, r12
    add     r2, r2, r11, asr #31
    smmlar  r11, r11, r4, r2
    ldr     r4, [sp, #weights1]
    add     r1, r1, lr, lsl #1
    ldr     r12, [r0, #2 * pitch]!
    asr     r10, r10, r6
    asr     r11, r11, r6
    cmp     r0, r9
    ldr     r2, [sp, #weights0]
    ssat    r10, #8, r10
    ldr     r9, [sp, #bias]
    ssat    r11, #8, r11
    strb    r10, [r1]
    strb    r11, [r1, lr]
    add     r1, r1, lr, lsl #1
    bne     2b
3:
    ldr     r10, [sp, #odd]
    ldr     r6, [sp, #weights2]
    cmp     r10, #0
    beq     4f
    smlad   r8, r12, r2, r8
    ldr     r12, [r0, #4]
    ldr     lr, [r0, #8]
    ldr     r10, [r0, #pitch]
    smlad   r8, r12, r4, r8
    ldr     r12, [r0, #pitch + 4]
    smlad   r8, lr, r6, r8
    ldr     lr, [r0, #pitch + 8]
    smlabt  r8, r10, r3, r8
    ldr     r10, [sp, #rounding]
    smlabt  r8, r12, r5, r8
    ldr     r11, [sp, #multiplier]
    smlabt  r8, lr, r7, r8
    ldr     lr, [sp, #shift]
    add     r10, r10, r8, asr #31
    smmlar  r8, r8, r11, r10
    asr     r8, r8, lr
    ssat    r8, #8, r8
    strb    r8, [r1]
4:
    ldrd    r8, r9, [sp, #columns]
    ldrd    r0, r1, [sp, #words]
    subs    r8, r8, #1
    ldr     r10, [sp, #end]
    add     r1, r1, r9
    str     r8, [sp, #columns]
    add     r0, r0, #4
    add     r10, r10, #4
    strd    r0, r1, [sp, #words]
    str     r10, [sp, #end]
    bne     1b
    add     sp, sp, #frame
    pop     {r4-r11, pc}
    .size depthwise_simd_channel, . - depthwise_simd_channel

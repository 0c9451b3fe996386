/* fully_connected_packed_s8.c for the Cortex-M7: four outputs at a time, weights streamed from flash.
 *
 * void fully_connected_rows(const uint8_t *stream, const int16_t *input, int16_t *output, int32_t inputs,
 *                           int32_t outputs)
 *
 * Eighteen instructions in nine cycles for sixteen MACs, if no load misses the cache. Words of weights as in
 * convolve_packed_m7.S. Reads two words behind the weights and two behind the input.
 */
    .syntax unified
    .thumb
    .text

    .macro inputs4
    sxtb16  r10, r6
    smlad   r2, r6, r8, r2
    sxtb16  r11, r7
    smlad   r3, r10, r8, r3
    ldr     r6, [r0], #4
    smlad   r4, r7, r8, r4
    ldr     r7, [r0], #4
    smlad   r5, r11, r8, r5
    sxtb16  r10, r6
    ldr     r8, [r1], #4
    sxtb16  r11, r7
    smlad   r2, r6, r9, r2
    ldr     r6, [r0], #4
    smlad   r3, r10, r9, r3
    smlad   r4, r7, r9, r4
    ldr     r7, [r0], #4
    smlad   r5, r11, r9, r5
    ldr     r9, [r1], #4
    .endm

/* From accumulators to outputs: `first` is 256 times its value, see output_stage.h. r6 points to the stages. */
    .macro two_outputs first second
    ldm     r6!, {r8-r11}
    add     \first, r8, \first, asr #7
    ldm     r6!, {r1, r7, r12, lr}
    smmulr  \first, \first, r9
    add     \second, r1, \second, lsl #1
    smmulr  \second, \second, r7
    add     \first, \first, \first, asr #31
    add     \first, \first, r10
    add     \second, \second, \second, asr #31
    asr     \first, \first, r11
    add     \second, \second, r12
    asr     \second, \second, lr
    ssat    \first, #8, \first
    ssat    \second, #8, \second
    .endm

    .equ input, 0
    .equ output, 4
    .equ inputs, 8
    .equ outputs, 48

    .global fully_connected_rows
    .type fully_connected_rows, %function
    .balign 32
fully_connected_rows:
    push    {r1-r11, lr}
1:
    add     r0, r0, #64
    ldr     r1, [sp, #input]
    add     r12, r0, r3, lsl #2
    ldr     r6, [r0], #4
    movs    r2, #0
    ldr     r8, [r1], #4
    movs    r3, #0
    ldr     r7, [r0], #4
    movs    r4, #0
    ldr     r9, [r1], #4
    movs    r5, #0
    add     r12, r12, #8
    .balign 8
2:
    inputs4
    inputs4
    inputs4
    inputs4
    cmp     r0, r12
    bne     2b
    ldr     r6, [sp, #inputs]
    sub     r0, r0, #8
    sub     r2, r2, r3
    sub     r6, r0, r6, lsl #2
    sub     r4, r4, r5
    sub     r6, r6, #64
    two_outputs r2, r3
    two_outputs r4, r5
    ldr     r1, [sp, #output]
    ldr     r6, [sp, #outputs]
    strh    r2, [r1]
    strh    r3, [r1, #2]
    strh    r4, [r1, #4]
    strh    r5, [r1, #6]
    add     r1, r1, #8
    subs    r6, r6, #4
    ldr     r3, [sp, #inputs]
    str     r1, [sp, #output]
    str     r6, [sp, #outputs]
    bgt     1b
    add     sp, sp, #12
    pop     {r4-r11, pc}
    .size fully_connected_rows, . - fully_connected_rows

/* fully_connected_block4_s8.c for the Cortex-M7.
 *
 * void fully_connected_blocks4(const uint8_t *stream, const int16_t *input, int8_t *output, const int8_t *end,
 *                              int32_t twice_offset)
 *
 * Eight instructions in four cycles for a block of four weights, if no load misses the cache. Reads a word behind the
 * stream.
 */
    .syntax unified
    .thumb
    .text

    .macro block distance:vararg
    sxtb16  r6, r4
    ldr     r7, [r10]
    sxtb16  r9, r4, ror #8
    ldr     r8, [r10, #4]
    uxtab   r10, r10, r3 \distance
    smlad   r12, r6, r7, r12
    ldr     r4, [r0], #4
    smlad   r12, r9, r8, r12
    .endm

    .equ INPUT, 0
    .equ END, 4
    .equ OFFSET, 44

    .global fully_connected_blocks4
    .type fully_connected_blocks4, %function
    .balign 32
fully_connected_blocks4:
    push    {r1, r3, r4-r11, lr}
    mov     r11, r2
1:
    ldr     r3, [r0, #12]
    ldr     r10, [sp, #INPUT]
    ldr     r1, [r0], #16
    ldr     r12, [r0, #-12]
    ldr     lr, [r0, #-8]
    add     r2, r0, r1, lsr #8
    ldr     r4, [r0], #4
    sub     r10, r10, #8
    uxtab   r10, r10, r3
    .balign 8
2:
    block   , ror #8
    block   , ror #16
    block   , ror #24
    ldr     r3, [r0], #4
    cmp     r0, r2
    block
    bne     2b
    ldr     r4, [sp, #OFFSET]
    sub     r0, r0, #4
    lsl     r4, r4, r1
    add     r12, r12, r12
    asr     r4, r4, #1
    ldr     r5, [sp, #END]
    add     r4, r4, r12, asr #31
    smmlar  r12, r12, lr, r4
    asr     r12, r12, r1
    ssat    r12, #8, r12
    strb    r12, [r11], #1
    cmp     r11, r5
    bne     1b
    pop     {r1, r3, r4-r11, pc}
    .size fully_connected_blocks4, . - fully_connected_blocks4

/* Inner loop of fully_connected_sparse_s16.c for the Cortex-M7: the non-zero weights of an output, four at a time. */
    .syntax unified
    .thumb
    .text

/* int64_t multiply_nonzeros_s16(const uint32_t *stream, const int16_t *input, int64_t bias, int32_t fours) */
    .global multiply_nonzeros_s16
    .type multiply_nonzeros_s16, %function
    .balign 32
multiply_nonzeros_s16:
    push    {r4-r11, lr}
    ldr     lr, [sp, #36]
    ldm     r0!, {r4-r7}
    .balign 8
1:
    lsr     r8, r4, #16
    lsr     r9, r5, #16
    lsr     r10, r6, #16
    lsr     r11, r7, #16
    ldrsh   r8, [r1, r8, lsl #1]
    ldrsh   r9, [r1, r9, lsl #1]
    ldrsh   r10, [r1, r10, lsl #1]
    ldrsh   r11, [r1, r11, lsl #1]
    subs    lr, lr, #1
    smlalbb r2, r3, r4, r8
    ldr     r4, [r0], #4
    smlalbb r2, r3, r5, r9
    ldr     r5, [r0], #4
    smlalbb r2, r3, r6, r10
    ldr     r6, [r0], #4
    smlalbb r2, r3, r7, r11
    ldr     r7, [r0], #4
    bne     1b
    mov     r0, r2
    mov     r1, r3
    pop     {r4-r11, pc}
    .size multiply_nonzeros_s16, . - multiply_nonzeros_s16

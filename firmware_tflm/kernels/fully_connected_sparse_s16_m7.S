/* Inner loop of fully_connected_sparse_s16.c for the Cortex-M7: the non-zero weights of an output, four at a time.
 *
 * Two words hold 2 * distance and weight of four inputs: UXTAB adds a distance to the place of the input, SXTB16
 * expands two weights. The products of a round are added in the next one, beside UXTAB.
 */
    .syntax unified
    .thumb
    .text

/* int64_t multiply_nonzeros_s16(const uint8_t *stream, const int16_t *input, int64_t bias, int32_t fours) */
    .global multiply_nonzeros_s16
    .type multiply_nonzeros_s16, %function
    .balign 32
multiply_nonzeros_s16:
    push    {r4-r11, lr}
    ldr     lr, [sp, #36]
    movs    r4, #0
    ldr     r6, [r0], #4
    movs    r5, #0
    ldr     r7, [r0], #4
    .balign 8
1:
    uxtab   r12, r1, r6
    smlalbb r2, r3, r4, r8
    uxtab   r8, r12, r6, ror #16
    smlaltb r2, r3, r4, r9
    uxtab   r9, r8, r7
    smlalbb r2, r3, r5, r10
    uxtab   r1, r9, r7, ror #16
    smlaltb r2, r3, r5, r11
    sxtb16  r4, r6, ror #8
    ldrsh   r10, [r9]
    sxtb16  r5, r7, ror #8
    ldrsh   r9, [r8]
    ldr     r6, [r0], #4
    ldrsh   r8, [r12]
    ldr     r7, [r0], #4
    ldrsh   r11, [r1]
    subs    lr, lr, #1
    bne     1b
    smlalbb r2, r3, r4, r8
    smlaltb r2, r3, r4, r9
    smlalbb r2, r3, r5, r10
    smlaltb r2, r3, r5, r11
    mov     r0, r2
    mov     r1, r3
    pop     {r4-r11, pc}
    .size multiply_nonzeros_s16, . - multiply_nonzeros_s16

/* Inner loop of fully_connected_packed_s16.c for the Cortex-M7: four outputs, int8 weights expanded by SXTB16.
 *
 * Eight SMLAD for sixteen MACs, each beside an SXTB16, and six loads: eleven cycles at best, to which the weights' cache
 * misses come.
 */
    .syntax unified
    .thumb
    .text

/* Four inputs. r6 and r7: weights of outputs 0 and 1, 2 and 3 for two inputs, r8 and r9 for the next two. */
    .macro inputs4 last=0
    smlad   r2, r10, r12, r2
    sxtb16  r10, r7
    smlad   r3, r11, r12, r3
    sxtb16  r11, r7, ror #8
    smlad   r4, r10, r12, r4
    sxtb16  r10, r8
    ldrd    r6, r7, [r0], #8
    smlad   r5, r11, r12, r5
    .if \last
    ldr     r12, [sp]
    .endif
    sxtb16  r11, r8, ror #8
    smlad   r2, r10, lr, r2
    .if \last
    cmp     r1, r12
    .endif
    sxtb16  r10, r9
    smlad   r3, r11, lr, r3
    ldr     r12, [r1], #4
    sxtb16  r11, r9, ror #8
    smlad   r4, r10, lr, r4
    ldrd    r8, r9, [r0], #8
    sxtb16  r10, r6
    smlad   r5, r11, lr, r5
    ldr     lr, [r1], #4
    sxtb16  r11, r6, ror #8
    .endm

/* void multiply_four_s16(const int8_t *stream, const int16_t *input, int32_t inputs, int32_t sums[4]) */
    .global multiply_four_s16
    .type multiply_four_s16, %function
    .balign 32
multiply_four_s16:
    push    {r3-r11, lr}
    ldr     r12, [r1], #4
    ldr     lr, [r1], #4
    add     r3, r1, r2, lsl #1
    sub     r3, r3, #8
    push    {r3}
    ldrd    r6, r7, [r0], #8
    ldrd    r8, r9, [r0], #8
    movs    r2, #0
    movs    r3, #0
    movs    r4, #0
    movs    r5, #0
    sxtb16  r10, r6
    sxtb16  r11, r6, ror #8
    .balign 8
1:
    inputs4
    inputs4 last=1
    bne     1b
    add     sp, sp, #4
    pop     {r12}
    stm     r12, {r2-r5}
    pop     {r4-r11, pc}
    .size multiply_four_s16, . - multiply_four_s16

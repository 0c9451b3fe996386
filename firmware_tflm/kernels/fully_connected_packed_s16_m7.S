/* Inner loop of fully_connected_packed_s16.c for the Cortex-M7: four outputs, int8 weights expanded by SXTB16.
 *
 * Eight SMLAD for sixteen MACs, each beside an SXTB16, and six loads: eleven cycles, to which the weights' cache misses
 * come.
 */
    .syntax unified
    .thumb
    .text

/* Four inputs, in x0 and x1; the next four go to y0 and y1. r6 and r7: weights of outputs 0 and 1, 2 and 3. */
    .macro inputs4 x0 x1 y0 y1 last=0
    sxtb16  r11, r6, ror #8
    smlad   r2, r10, \x0, r2
    sxtb16  r10, r7
    smlad   r3, r11, \x0, r3
    .if \last
    ldr     \y0, [sp]
    .endif
    sxtb16  r11, r7, ror #8
    smlad   r4, r10, \x0, r4
    .if \last
    cmp     r1, \y0
    .endif
    ldrd    r6, r7, [r0], #8
    sxtb16  r10, r6
    smlad   r5, r11, \x0, r5
    sxtb16  r11, r6, ror #8
    smlad   r2, r10, \x1, r2
    sxtb16  r10, r7
    smlad   r3, r11, \x1, r3
    sxtb16  r11, r7, ror #8
    smlad   r4, r10, \x1, r4
    ldrd    \y0, \y1, [r1], #8
    ldrd    r6, r7, [r0], #8
    sxtb16  r10, r6
    smlad   r5, r11, \x1, r5
    .endm

/* void multiply_four_s16(const int8_t *stream, const int16_t *input, int32_t inputs, int32_t sums[4]) */
    .global multiply_four_s16
    .type multiply_four_s16, %function
    .balign 32
multiply_four_s16:
    push    {r3-r11, lr}
    add     r2, r1, r2, lsl #1
    ldr     r12, [r1], #4
    movs    r3, #0
    ldr     lr, [r1], #4
    movs    r4, #0
    ldrd    r6, r7, [r0], #8
    movs    r5, #0
    push    {r2}
    movs    r2, #0
    sxtb16  r10, r6
    .balign 8
1:
    inputs4 r12, lr, r8, r9
    inputs4 r8, r9, r12, lr, last=1
    bne     1b
    add     sp, sp, #4
    pop     {r12}
    stm     r12, {r2-r5}
    pop     {r4-r11, pc}
    .size multiply_four_s16, . - multiply_four_s16

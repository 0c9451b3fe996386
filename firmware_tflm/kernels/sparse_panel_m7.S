/* sparse_panel_s8.c for the Cortex-M7: a column after the other, nine values in five words.
 *
 * void sparse_panel_columns(const panels_t *layer, const int8_t *input, int32_t *output)
 */
    .syntax unified
    .thumb
    .text

    .equ PITCH_BYTES, 1012 /* 4 SPARSE_PANEL_WORDS */
    .equ RUNS, 0
    .equ RUN, 4
    .equ ROW, 8

    .global sparse_panel_columns
    .type sparse_panel_columns, %function
    .balign 32
sparse_panel_columns:
    push    {r4-r11, lr}
    ldr     r3, [r0, #4]
    ldr     r4, [r0, #8]
    ldrd    r5, r6, [r0, #12]
    push    {r4, r5, r6}
    mov     r0, r1
    add     r4, r3, r3, lsl #1
1:
    ldr     lr, [sp, #RUN]
    add     r1, r0, r4
    add     lr, lr, r0
    .balign 8
2:
    ldrsb   r6, [r0, r3, lsl #1]
    ldrsb   r12, [r1]
    ldrsb   r5, [r0, r3]
    ldrsb   r7, [r0, r3, lsl #2]
    ldrsb   r8, [r0, r3, lsl #3]
    ldrsb   r9, [r1, r3, lsl #1]
    add     r6, r6, r12, lsl #22
    ldrsb   r11, [r1, r4]
    ldrsb   r10, [r1, r3, lsl #2]
    str     r6, [r2, #PITCH_BYTES]
    ldrsb   r12, [r0], #1
    add     r7, r7, r9, lsl #22
    lsl     r8, r8, #11
    str     r7, [r2, #2 * PITCH_BYTES]
    add     r11, r11, r10, lsl #22
    str     r8, [r2, #4 * PITCH_BYTES]
    add     r12, r12, r5, lsl #22
    str     r11, [r2, #3 * PITCH_BYTES]
    cmp     r0, lr
    add     r1, r1, #1
    str     r12, [r2], #4
    bne     2b
    ldrd    r5, r6, [sp, #RUN]
    ldr     r7, [sp, #RUNS]
    sub     r0, r0, r5
    add     r0, r0, r6
    subs    r7, r7, #1
    str     r7, [sp, #RUNS]
    bne     1b
    add     sp, sp, #12
    pop     {r4-r11, pc}
    .size sparse_panel_columns, . - sparse_panel_columns

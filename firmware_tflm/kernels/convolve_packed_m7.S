/* Two filters of convolve_packed_s8.c for the Cortex-M7, by four positions at a time, then by one.
 *
 * An SMLAD in every cycle is the most that this core can do, 0.5 cycles a MAC. Beside it one more instruction issues:
 * the loads, placed two cycles before their first use, and SXTB16, which has to come first in a pair. At the end of
 * weights and panels up to 16 bytes more are read.
 */
#include "output_stage_m7.h"

    .syntax unified
    .thumb
    .text

/* A word of weights holds 256 a + b for two columns: as it stands it is multiplied for filter a, whose sum is corrected
 * in the end, and SXTB16 gives b. The panel ends on a multiple of 2048, so that the loop needs no counter: all
 * registers are in use; its branch stands where it takes no cycle. */
    .macro first_half4 last=0
    sxtb16  r11, r10
    smlad   r2, r10, r12, r2
    smlad   r6, r11, r12, r6
    ldr     r12, [r1], #8
    smlad   r3, r10, lr, r3
    .if \last
    tst     r1, #0x7f0
    .endif
    smlad   r7, r11, lr, r7
    ldr     lr, [r1, #-4]
    smlad   r4, r10, r12, r4
    .endm

    .macro second_half4
    smlad   r5, r10, lr, r5
    ldr     r10, [r0], #4
    smlad   r8, r11, r12, r8
    ldr     r12, [r1], #4
    smlad   r9, r11, lr, r9
    ldr     lr, [r1], #4
    .endm

    .macro columns1 even odd
    sxtb16  r6, r4
    smlad   r2, r4, \even, r2
    sxtb16  r7, r5
    smlad   r3, r6, \even, r3
    ldr     r4, [r0], #4
    smlad   r2, r5, \odd, r2
    ldr     r5, [r0], #4
    smlad   r3, r7, \odd, r3
    ldrd    \even, \odd, [r1], #8
    .endm

/* void convolve_pair(const output_stage_t *stream, const int16_t *panels, int16_t *output, int32_t positions,
 *                    int32_t columns) */
    .equ stream, 0
    .equ output, 4
    .equ positions, 8
    .equ fours, 12
    .equ panel, 16
    .equ columns, 56

    .global convolve_pair
    .type convolve_pair, %function
    .balign 32
convolve_pair:
    push    {r4-r11, lr}
    ldr     r4, [sp, #36]
    lsrs    r5, r3, #2
    add     r6, r1, #2048
    sub     r6, r6, r4, lsl #3
    push    {r0, r2, r3, r5, r6}
    beq     4f
3:
    ldr     r10, [r0, #32]!
    mov     r1, r6
    ldr     r12, [r1], #4
    movs    r2, #0
    ldr     lr, [r1], #4
    movs    r3, #0
    add     r0, r0, #4
    movs    r4, #0
    movs    r5, #0
    movs    r6, #0
    movs    r7, #0
    mov     r8, #0
    mov     r9, #0
    first_half4
    b       2f
    .balign 8
1:
    second_half4
    first_half4
2:
    .rept 6
    second_half4
    first_half4
    .endr
    second_half4
    first_half4 last=1
    bne     1b
    smlad   r5, r10, lr, r5
    smlad   r8, r11, r12, r8
    smlad   r9, r11, lr, r9
    sub     r2, r2, r6
    sub     r3, r3, r7
    sub     r4, r4, r8
    sub     r5, r5, r9
    ldrd    r0, r1, [sp, #stream]
    mov     lr, r9
    ldm     r0!, {r9-r12}
    add     r2, r9, r2, asr #7
    add     r3, r9, r3, asr #7
    add     r4, r9, r4, asr #7
    add     r5, r9, r5, asr #7
    output_four r2, r3, r4, r5
    ldm     r0, {r9-r12}
    ldrd    r2, r5, [sp, #positions]
    add     r3, r1, #8
    add     r6, r9, r6, lsl #1
    add     r7, r9, r7, lsl #1
    add     r8, r9, r8, lsl #1
    add     lr, r9, lr, lsl #1
    str     r3, [sp, #output]
    add     r1, r1, r2, lsl #1
    output_four r6, r7, r8, lr
    ldr     r6, [sp, #panel]
    subs    r5, r5, #1
    ldr     r0, [sp, #stream]
    add     r6, r6, #2048
    str     r5, [sp, #fours]
    str     r6, [sp, #panel]
    bne     3b
4:
    ldr     r9, [sp, #columns]
    ldr     r2, [sp, #positions]
    add     r6, r6, r9, lsl #2
    add     r6, r6, r9, lsl #1
    ands    r2, r2, #3
    str     r6, [sp, #panel]
    str     r2, [sp, #fours]
    beq     7f
5:
    ldr     r0, [sp, #stream]
    ldr     r1, [sp, #panel]
    ldr     r12, [sp, #columns]
    add     r0, r0, #32
    add     r3, r1, #2048
    ldrd    r8, r9, [r1], #8
    str     r3, [sp, #panel]
    add     r12, r0, r12, lsl #1
    ldr     r4, [r0], #4
    add     r12, r12, #8
    ldr     r5, [r0], #4
    movs    r2, #0
    ldrd    r10, r11, [r1], #8
    movs    r3, #0
    .balign 8
6:
    columns1 r8, r9
    columns1 r10, r11
    columns1 r8, r9
    columns1 r10, r11
    cmp     r0, r12
    bne     6b
    ldrd    r0, r1, [sp, #stream]
    sub     r2, r2, r3
    ldm     r0!, {r9-r12}
    add     r2, r9, r2, asr #7
    output_stages r2
    ldm     r0, {r9-r12}
    strh    r2, [r1]
    ldrd    r4, r5, [sp, #positions]
    add     r3, r9, r3, lsl #1
    output_stages r3
    subs    r5, r5, #1
    strh    r3, [r1, r4, lsl #1]
    add     r1, r1, #2
    str     r5, [sp, #fours]
    str     r1, [sp, #output]
    bne     5b
7:
    add     sp, sp, #20
    pop     {r4-r11, pc}
    .size convolve_pair, . - convolve_pair

/* Inner loop of convolve_block2_s8.c for the Cortex-M7: runs of two weights, each at nine positions.
 *
 * Eleven instructions for each weight, five of them multiplications, and five for each run.
 */
#include "nine_positions_m7.h"

    .syntax unified
    .thumb
    .text

/* Weight `number` of a run, but for the loads of the next two words of the panel. */
    .macro one_weight number a b
    smlal   r2, r3, r12, \a
    ldr     \a, [r1, #2 * PITCH_BYTES + 4 * (\number)]
    smlal   r4, r5, r12, \b
    ldr     \b, [r1, #3 * PITCH_BYTES + 4 * (\number)]
    smlal   r6, r7, r12, \a
    ldr     \a, [r1, #4 * PITCH_BYTES + 4 * (\number)]
    smlal   r8, r9, r12, \b
    .endm

    .macro blocks2 filter
    ldrb    r0, [lr], #1
    sub     r1, r1, #8
    copies  \filter
    ldrsb   r12, [lr], #1
    add     r1, r1, r0, lsl #3
    ldrb    r0, [lr], #1
    ldr     r10, [r1]
    ldr     r11, [r1, #PITCH_BYTES]
    .balign 8
7:
    one_weight 0 r10 r11
    ldr     r11, [r1, #4]
    mla     r3, r12, r10, r3
    ldrsb   r12, [lr], #1
    ldr     r10, [r1, #PITCH_BYTES + 4]
    cmp     r0, #0
    add     r0, r1, r0, lsl #3
    one_weight 1 r11 r10
    ldr     r10, [r0]
    mla     r3, r12, r11, r3
    ldrsb   r12, [lr], #1
    ldr     r11, [r0, #PITCH_BYTES]
    mov     r1, r0
    ldrb    r0, [lr], #1
    bne     7b
    .endm

    nine_positions convolve_block2_filters, blocks2
    nine_sums convolve_block2_sums, blocks2

/* Inner loops of convolve_block_s8.c for the Cortex-M7: blocks of 2 or 8 weights, each at nine positions.
 *
 * Eleven instructions for each weight, five of them multiplications, and five for each block.
 */
#include "nine_positions_m7.h"

    .syntax unified
    .thumb
    .text

/* Weight `number` of a block, but for the loads of the next two words of the panel. */
    .macro one_weight number a b
    smlal   r2, r3, r12, \a
    ldr     \a, [r1, #2 * PITCH_BYTES + 4 * (\number)]
    smlal   r4, r5, r12, \b
    ldr     \b, [r1, #3 * PITCH_BYTES + 4 * (\number)]
    smlal   r6, r7, r12, \a
    ldr     \a, [r1, #4 * PITCH_BYTES + 4 * (\number)]
    smlal   r8, r9, r12, \b
    .endm

    .macro inner_weight number a b
    one_weight \number \a \b
    ldr     \b, [r1, #4 * (\number) + 4]
    mla     r3, r12, \a, r3
    ldrsb   r12, [lr], #1
    ldr     \a, [r1, #PITCH_BYTES + 4 * (\number) + 4]
    .endm

    .macro last_weight number a b
    one_weight \number \a \b
    ldr     \b, [r0]
    mla     r3, r12, \a, r3
    ldrsb   r12, [lr], #1
    ldr     \a, [r0, #PITCH_BYTES]
    mov     r1, r0
    ldrb    r0, [lr], #1
    .endm

    .macro blocks filter run shift
    ldrb    r0, [lr], #1
    sub     r1, r1, #4 * \run
    copies  \filter
    ldrsb   r12, [lr], #1
    add     r1, r1, r0, lsl #\shift
    ldrb    r0, [lr], #1
    ldr     r10, [r1]
    ldr     r11, [r1, #PITCH_BYTES]
    .balign 8
7:
    inner_weight 0 r10 r11
    cmp     r0, #0
    .if \run > 2
    inner_weight 1 r11 r10
    add     r0, r1, r0, lsl #\shift
    inner_weight 2 r10 r11
    inner_weight 3 r11 r10
    inner_weight 4 r10 r11
    inner_weight 5 r11 r10
    inner_weight 6 r10 r11
    .else
    add     r0, r1, r0, lsl #\shift
    .endif
    last_weight \run-1 r11 r10
    bne     7b
    .endm

    .macro blocks2 filter
    blocks  \filter, 2, 3
    .endm
    .macro blocks8 filter
    blocks  \filter, 8, 5
    .endm

    nine_positions convolve_block2_filters, blocks2
    nine_sums convolve_block2_sums, blocks2
    nine_positions convolve_block8_filters, blocks8
    nine_sums convolve_block8_sums, blocks8

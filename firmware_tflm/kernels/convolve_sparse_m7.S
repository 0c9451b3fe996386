/* Inner loop of convolve_sparse_s8.c for the Cortex-M7: the non-zero weights of a filter, each at nine positions.
 *
 * Twenty-eight instructions in fourteen cycles for two weights, eighteen MACs, if no load misses the cache.
 */
#include "nine_positions_m7.h"

    .syntax unified
    .thumb
    .text

    .macro nonzero a b
    smlal   r2, r3, r12, \a
    ldr     \a, [r1, #2 * PITCH_BYTES]
    smlal   r4, r5, r12, \b
    ldr     \b, [r1, #3 * PITCH_BYTES]
    smlal   r6, r7, r12, \a
    ldr     \a, [r1, #4 * PITCH_BYTES]
    add     r1, r1, r0
    ldrb    r0, [lr], #1
    smlal   r8, r9, r12, \b
    ldr     \b, [r1]
    mla     r3, r12, \a, r3
    ldrsb   r12, [lr], #1
    ldr     \a, [r1, #PITCH_BYTES]
    .endm

    .macro nonzeros filter
    ldrb    r0, [lr], #1
    sub     r1, r1, #4
    copies  \filter
    add     r1, r1, r0
    ldrb    r0, [lr], #1
    ldr     r10, [r1]
    ldrsb   r12, [lr], #1
    ldr     r11, [r1, #PITCH_BYTES]
    .balign 8
7:
    nonzero r10, r11
    cmp     r0, #0
    nonzero r11, r10
    bne     7b
    .endm

    nine_positions convolve_sparse_filters, nonzeros
    nine_sums convolve_sparse_sums, nonzeros

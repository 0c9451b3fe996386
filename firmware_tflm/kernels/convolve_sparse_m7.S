/* Inner loops of convolve_sparse_s8.c for the Cortex-M7: the non-zero weights of a filter, each at nine positions.
 *
 * A word of the panel holds two positions, x + 2^21 y, so that one SMLAL into 64 bits is two MACs. The ninth position
 * comes as 2^10 x and is added to the upper word of the first sum, of which 22 bits are free: eight registers for nine
 * sums. Fourteen instructions, one load in each of seven cycles, for nine MACs, if no load misses the cache. Words of
 * the panel are in r10 and r11 in turn.
 */
#include "output_stage_m7.h"

    .syntax unified
    .thumb
    .text

    .macro begin_nonzero a b
    smlal   r2, r3, r12, \a
    ldr     \a, [r1, #2040]
    smlal   r4, r5, r12, \b
    ldr     \b, [r1, #3060]
    smlal   r6, r7, r12, \a
    ldr     \a, [r1, #4080]
    .endm

    .macro nonzero a b last
    begin_nonzero \a \b
    add     r1, r1, r0
    ldrb    r0, [lr], #1
    smlal   r8, r9, r12, \b
    ldr     \b, [r1]
    mla     r3, r12, \a, r3
    ldrsb   r12, [lr], #1
    ldr     \a, [r1, #1020]
    cbz     r0, \last
    .endm

    .macro last_nonzero a b
    begin_nonzero \a \b
    smlal   r8, r9, r12, \b
    mla     r3, r12, \a, r3
    .endm

/* From the place of the first byte in lr, the panel in r1 and the first sums in r2 to r9. */
    .macro nonzeros
    ldrb    r0, [lr], #1
    sub     r1, r1, #4
    cmp     r0, #0
    beq     9f
    add     r1, r1, r0
    ldrb    r0, [lr], #1
    ldr     r10, [r1]
    ldrsb   r12, [lr], #1
    cmp     r0, #0
    ldr     r11, [r1, #1020]
    beq     8f
    .balign 8
1:
    nonzero r10, r11, 2f
    nonzero r11, r10, 8f
    b       1b
2:
    last_nonzero r11, r10
    b       9f
8:
    last_nonzero r10, r11
9:
    .endm

/* const uint8_t *convolve_nonzeros(const uint8_t *stream, const int32_t *panel, uint64_t sums[4])
 *
 * Returns the place behind the last byte read. */
    .global convolve_nonzeros
    .type convolve_nonzeros, %function
    .balign 32
convolve_nonzeros:
    push    {r2, r4-r11, lr}
    mov     lr, r0
    ldm     r2, {r2-r9}
    nonzeros
    mov     r0, lr
    pop     {r1}
    stm     r1, {r2-r9}
    pop     {r4-r11, pc}
    .size convolve_nonzeros, . - convolve_nonzeros

/* const uint8_t *convolve_sparse_filter(const sparse_head_t *stream, const int32_t *panel, int16_t *output)
 *
 * Returns the place behind the last byte read. */
    .global convolve_sparse_filter
    .type convolve_sparse_filter, %function
    .balign 32
convolve_sparse_filter:
    push    {r0, r2, r4-r11, lr}
    ldr     r3, [r0, #8]
    ldrd    r4, r5, [r0]
    mov     r2, r4
    add     lr, r0, #24
    mov     r6, r4
    mov     r7, r5
    mov     r8, r4
    mov     r9, r5
    nonzeros
    pop     {r0, r1}
    push    {lr}
    add     r0, r0, #12
    ldm     r0, {r10-r12}
    movs    r0, #0
    movt    r0, #0xffe0
    lsr     lr, r2, #21
    lsl     r2, r2, #11
    orr     lr, lr, r3, lsl #11
    asr     r3, r3, #10
    lsl     lr, lr, #11
    add     r2, r0, r2, lsr #10
    add     lr, r0, lr, lsr #10
    lsl     r3, r3, #1
    output_stages r2, lr, r3
    strh    r2, [r1]
    lsr     r2, r4, #21
    strh    lr, [r1, #2]
    lsl     r4, r4, #11
    strh    r3, [r1, #16]
    orr     r2, r2, r5, lsl #11
    lsr     r3, r6, #21
    add     r4, r0, r4, lsr #10
    lsl     r6, r6, #11
    add     r2, r0, r2, lsl #1
    orr     r3, r3, r7, lsl #11
    lsr     r5, r8, #21
    add     r6, r0, r6, lsr #10
    lsl     r8, r8, #11
    add     r3, r0, r3, lsl #1
    orr     r5, r5, r9, lsl #11
    add     r8, r0, r8, lsr #10
    add     r5, r0, r5, lsl #1
    output_four r4, r2, r6, r3, 4
    output_stages r8, r5
    strh    r8, [r1, #12]
    strh    r5, [r1, #14]
    pop     {r0}
    pop     {r4-r11, pc}
    .size convolve_sparse_filter, . - convolve_sparse_filter

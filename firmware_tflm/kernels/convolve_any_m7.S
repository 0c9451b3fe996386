/* Inner loops of convolve_sparse_any_s8.c for the Cortex-M7: runs of 1, 2 or 4 weights at eight or four positions.
 *
 * A word of the panel holds two positions, x + 2^23 y, so that one SMLAL into 64 bits is two MACs. Sums are in r2 to
 * r9, words of the panel in r10 and r11, the weight in r12, the place in the panel in r1, that in the stream in lr, the
 * distance to the next run in r0.
 */
    .syntax unified
    .thumb
    .text

    .equ OUTPUT, 0
    .equ FILTERS, 4
    .equ PITCH, 8
    .equ STAGE, 12
    .equ PANEL, 20

/* A weight of a run, `at` bytes behind its first, that is not the last one of it. */
    .macro inner_weight width at
    smlal   r2, r3, r12, r10
    ldr     r10, [r1, #(\at) + 8]
    smlal   r4, r5, r12, r11
    .if \width == 8
    ldr     r11, [r1, #(\at) + 12]
    smlal   r6, r7, r12, r10
    ldr     r10, [r1, #(\at) + 16]
    smlal   r8, r9, r12, r11
    ldrsb   r12, [lr], #1
    ldr     r11, [r1, #(\at) + 20]
    .else
    ldrsb   r12, [lr], #1
    ldr     r11, [r1, #(\at) + 12]
    .endif
    .endm

    .macro runs width length shift
    ldrb    r0, [lr], #1
    sub     r1, r1, #1 << \shift
    ldrsb   r12, [lr], #1
    add     r1, r1, r0, lsl #\shift
    ldrb    r0, [lr], #1
    ldr     r10, [r1]
    ldr     r11, [r1, #4]
    .balign 8
7:
    .if \length > 1
    inner_weight \width 0
    .endif
    .if \length > 2
    inner_weight \width 2*\width
    inner_weight \width 4*\width
    .endif
    smlal   r2, r3, r12, r10
    .if \width == 8
    ldr     r10, [r1, #2*\width*(\length-1) + 8]
    smlal   r4, r5, r12, r11
    ldr     r11, [r1, #2*\width*(\length-1) + 12]
    add     r1, r1, r0, lsl #\shift
    cmp     r0, #0
    smlal   r6, r7, r12, r10
    ldrb    r0, [lr, #1]
    smlal   r8, r9, r12, r11
    .else
    add     r1, r1, r0, lsl #\shift
    cmp     r0, #0
    ldrb    r0, [lr, #1]
    smlal   r4, r5, r12, r11
    .endif
    ldrsb   r12, [lr], #2
    ldr     r10, [r1]
    ldr     r11, [r1, #4]
    bne     7b
    .endm

/* Twice the accumulators of a pair of positions from their sum; r0 twice what the lower sum lacks, lr free. */
    .macro split low high
    lsr     lr, \low, #22
    lsl     \low, \low, #9
    orr     \high, lr, \high, lsl #10
    add     \low, r0, \low, lsr #8
    bic     \high, \high, #1
    .endm

/* Two of them to int8; r10 multiplier, r11 rounding, r12 right_shift, lr and `free` for use. */
    .macro output_bytes one other free=lr
    add     lr, r11, \one, asr #31
    smmlar  \one, \one, r10, lr
    add     \free, r11, \other, asr #31
    smmlar  \other, \other, r10, \free
    asr     \one, \one, r12
    asr     \other, \other, r12
    ssat    \one, #8, \one
    ssat    \other, #8, \other
    .endm

/* void \name(filters_t *state, const int32_t *panel) */
    .macro filters name width length shift
    .global \name
    .type \name, %function
    .balign 32
\name:
    push    {r0, r1, r4-r11, lr}
    ldm     r0, {r5-r8}
    mov     lr, r5
    push    {r6-r9}
1:
    ldrd    r2, r3, [lr], #8
    ldr     r1, [sp, #PANEL]
    str     lr, [sp, #STAGE]
    mov     r4, r2
    mov     r5, r3
    .if \width == 8
    mov     r6, r2
    mov     r7, r3
    mov     r8, r2
    mov     r9, r3
    .endif
    add     lr, lr, #16
    runs \width \length \shift
    ldr     r0, [sp, #STAGE]
    add     lr, lr, #7
    bic     lr, lr, #7
    ldm     r0, {r0, r10-r12}
    str     lr, [sp, #STAGE]
    split   r2, r3
    split   r4, r5
    .if \width == 8
    split   r6, r7
    split   r8, r9
    .endif
    ldr     r0, [sp, #PITCH]
    ldr     r1, [sp, #OUTPUT]
    output_bytes r2, r3
    strb    r2, [r1]
    output_bytes r4, r5, r2
    strb    r3, [r1, r0]
    strb    r4, [r1, r0, lsl #1]
    .if \width == 8
    output_bytes r6, r7, r2
    strb    r6, [r1, r0, lsl #2]
    add     r1, r1, r0
    output_bytes r8, r9, r2
    add     r1, r1, r0, lsl #1
    strb    r5, [r1]
    strb    r7, [r1, r0, lsl #1]
    strb    r9, [r1, r0, lsl #2]
    add     r1, r1, r0
    strb    r8, [r1, r0, lsl #1]
    .else
    add     r1, r1, r0
    strb    r5, [r1, r0, lsl #1]
    .endif
    ldrd    r5, r6, [sp, #OUTPUT]
    ldr     lr, [sp, #STAGE]
    subs    r6, r6, #1
    add     r5, r5, #1
    strd    r5, r6, [sp, #OUTPUT]
    bne     1b
    add     sp, sp, #24
    pop     {r4-r11, pc}
    .size \name, . - \name
    .endm

    filters convolve_runs1_at8, 8, 1, 4
    filters convolve_runs2_at8, 8, 2, 5
    filters convolve_runs4_at8, 8, 4, 6
    filters convolve_runs1_at4, 4, 1, 3
    filters convolve_runs2_at4, 4, 2, 4
    filters convolve_runs4_at4, 4, 4, 5

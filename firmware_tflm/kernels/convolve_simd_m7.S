/* Inner loops of convolve_simd_s8.c for the Cortex-M7: two filters at four positions at a time, then at one.
 *
 * An SMLAD in every cycle is the most that this core can do, 0.5 cycles a MAC; convolve_packed_m7.S tells how the
 * instructions beside it are placed. Here the code of 64 columns stands without a loop, and the first round enters it so
 * late that whole rounds are left: no register is free to count, and a loop's last branch would be mispredicted. Up to
 * 8 bytes behind weights and panels are read.
 */
    .syntax unified
    .thumb
    .text

    .equ round_pairs, 32 /* pairs of columns */
    .equ pair_bytes, 56  /* of code */

/* Two columns of two filters at four positions: accumulators in r2 to r5 (filters a and b), r6 to r9 (b). */
    .macro columns4
    sxtb16  r11, r10
    smlad   r2, r10, r12, r2
    smlad   r6, r11, r12, r6
    ldr     r12, [r1], #8
    smlad   r3, r10, lr, r3
    smlad   r7, r11, lr, r7
    ldr     lr, [r1, #-4]
    smlad   r4, r10, r12, r4
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

    .equ stream, 0
    .equ output, 4
    .equ end, 8
    .equ ones, 12
    .equ columns, 16
    .equ filters, 20
    .equ second, 24
    .equ entry, 28
    .equ rounds, 32
    .equ round, 36
    .equ first_end, 40
    .equ last_end, 44
    .equ panels, 48
    .equ all_ones, 52
    .equ filter_output, 56
    .equ filters_left, 60
    .equ frame, 64

/* void convolve_simd_block(const uint8_t *stream, const int16_t *panels, int8_t *output, const block_t *block) */
    .global convolve_simd_block
    .type convolve_simd_block, %function
    .balign 32
convolve_simd_block:
    push    {r4-r11, lr}
    sub     sp, sp, #frame
    ldm     r3, {r4-r8}
    lsr     r10, r7, #1
    str     r0, [sp, #stream]
    sub     r10, r10, #1
    add     r1, r1, #8
    lsr     r11, r10, #5
    mul     r4, r4, r7
    sub     r10, r10, r11, lsl #5
    mul     r5, r5, r7
    mov     r12, #pair_bytes
    add     r10, r10, #1
    adr.w   lr, 2f
    mul     r10, r10, r12
    add     r4, r1, r4, lsl #3
    sub     r10, lr, r10
    add     r5, r4, r5, lsl #3
    orr     r10, r10, #1
    strd    r4, r5, [sp, #first_end]
    strd    r7, r8, [sp, #columns]
    strd    r10, r11, [sp, #entry]
    strd    r1, r6, [sp, #panels]
    strd    r2, r8, [sp, #filter_output]
/* The next two filters, of which the second may be the first again. */
10:
    cmp     r8, #1
    ite     eq
    moveq   r9, #0
    movne   r9, #1
    str     r9, [sp, #second]
    strd    r2, r4, [sp, #output]
    str     r6, [sp, #ones]
    cmp     r1, r4
    beq.w   6f

/* r0 points to the stream, r1 eight bytes behind the beginning of a panel. All sums begin with filter b's bias. The flags
 * say whether rounds are left. */
1:
    ldr     r2, [r0, #16]
    ldr     r11, [sp, #entry]
    ldr     r10, [r0, #32]!
    ldr     lr, [sp, #rounds]
    asr     r2, r2, #1
    str     lr, [sp, #round]
    ldr     r12, [r1, #-8]
    mov     r3, r2
    mov     r4, r2
    mov     r5, r2
    mov     r6, r2
    mov     r7, r2
    mov     r8, r2
    mov     r9, r2
    cmp     lr, #0
    ldr     lr, [r1, #-4]
    add     r0, r0, #4
    bx      r11
    nop /* a jump to the next instruction might not be predicted */
    .balign 8
3:
    .rept round_pairs
    columns4
    .endr
2:
    beq     4f
    ldr     r11, [sp, #round]
    subs    r11, r11, #1
    str     r11, [sp, #round]
    b       3b
4:

/* To outputs as in output_stage.h; what the sign adds to the rounding goes in with SMMLAR. */
    ldr     r0, [sp, #stream]
    sub     r2, r2, r6
    sub     r3, r3, r7
    sub     r4, r4, r8
    ldm     r0, {r0, r10, r11, r12}
    sub     r5, r5, r9
    add     r2, r0, r2, asr #7
    add     r6, r6, r6
    add     r3, r0, r3, asr #7
    add     r7, r7, r7
    add     r4, r0, r4, asr #7
    add     r8, r8, r8
    add     r5, r0, r5, asr #7
    add     r9, r9, r9
    add     lr, r11, r2, asr #31
    smmlar  r2, r2, r10, lr
    add     r0, r11, r3, asr #31
    smmlar  r3, r3, r10, r0
    add     lr, r11, r4, asr #31
    smmlar  r4, r4, r10, lr
    add     r0, r11, r5, asr #31
    smmlar  r5, r5, r10, r0
    ldr     lr, [sp, #stream]
    asr     r2, r2, r12
    asr     r3, r3, r12
    asr     r4, r4, r12
    ldr     r11, [lr, #24]
    asr     r5, r5, r12
    ldr     r10, [lr, #20]
    ssat    r2, #8, r2
    ldr     r12, [lr, #28]
    ssat    r3, #8, r3
    ldr     lr, [sp, #output]
    ssat    r4, #8, r4
    ssat    r5, #8, r5
    strb    r2, [lr]
    add     r0, r11, r6, asr #31
    smmlar  r6, r6, r10, r0
    add     r0, r11, r7, asr #31
    smmlar  r7, r7, r10, r0
    add     r0, r11, r8, asr #31
    smmlar  r8, r8, r10, r0
    add     r0, r11, r9, asr #31
    smmlar  r9, r9, r10, r0
    ldr     r11, [sp, #filters]
    asr     r6, r6, r12
    asr     r7, r7, r12
    strb    r3, [lr, r11]
    asr     r8, r8, r12
    ldr     r0, [sp, #second]
    asr     r9, r9, r12
    ssat    r6, #8, r6
    add     r2, lr, r0
    add     r10, lr, r11, lsl #1
    ssat    r7, #8, r7
    strb    r4, [r10]
    ssat    r8, #8, r8
    strb    r5, [r10, r11]
    ssat    r9, #8, r9
    strb    r6, [r2]
    add     r3, r10, r0
    strb    r7, [r2, r11]
    ldr     lr, [sp, #end]
    strb    r8, [r3]
    add     r10, r10, r11, lsl #1
    ldr     r0, [sp, #stream]
    strb    r9, [r3, r11]
    cmp     r1, lr
    str     r10, [sp, #output]
    bne     1b
    ldr     r2, [sp, #last_end]
    cmp     r1, r2
    beq     6f
    ldr     r3, [sp, #filters]
    sub     r10, r10, r3
    strd    r10, r2, [sp, #output]
    b       1b
6:
    ldr     r2, [sp, #ones]
    sub     r1, r1, #8
    cmp     r2, #0
    beq     9f
7:
    ldrd    r0, r2, [sp, #stream]
    ldr     r12, [sp, #columns]
    add     r0, r0, #32
    ldrd    r8, r9, [r1], #8
    add     r12, r0, r12, lsl #1
    ldr     r4, [r0], #4
    add     r12, r12, #8
    ldr     r5, [r0], #4
    movs    r2, #0
    movs    r3, #0
    .balign 8
8:
    columns1 r8, r9
    cmp     r0, r12
    bne     8b
    sub     r1, r1, #8
    ldr     r0, [sp, #stream]
    sub     r2, r2, r3
    ldm     r0!, {r8-r12, lr}
    add     r2, r8, r2, asr #7
    ldr     r4, [r0, #0]
    add     r3, r12, r3, lsl #1
    ldr     r5, [r0, #4]
    add     r8, r10, r2, asr #31
    add     r12, r4, r3, asr #31
    smmlar  r2, r2, r9, r8
    smmlar  r3, r3, lr, r12
    ldr     r4, [sp, #output]
    ldr     r6, [sp, #second]
    asr     r2, r2, r11
    asr     r3, r3, r5
    ssat    r2, #8, r2
    ssat    r3, #8, r3
    ldr     r5, [sp, #filters]
    ldr     r7, [sp, #ones]
    strb    r2, [r4]
    strb    r3, [r4, r6]
    add     r4, r4, r5
    subs    r7, r7, #1
    str     r4, [sp, #output]
    str     r7, [sp, #ones]
    bne     7b
9:
    ldr     r0, [sp, #stream]
    ldr     r3, [sp, #columns]
    ldrd    r2, r8, [sp, #filter_output]
    add     r0, r0, r3, lsl #1
    add     r2, r2, #2
    add     r0, r0, #32
    subs    r8, r8, #2
    str     r0, [sp, #stream]
    strd    r2, r8, [sp, #filter_output]
    ldrd    r1, r6, [sp, #panels]
    ldr     r4, [sp, #first_end]
    bgt     10b
    add     sp, sp, #frame
    pop     {r4-r11, pc}
    .size convolve_simd_block, . - convolve_simd_block

/* Inner loop of convolve_sparse_f32.c for the Cortex-M7: the non-zero weights of a filter, each at nine positions.
 *
 * A weight and its nine values come by LDR, most of them beside a VFMA, and by five VMOV of two registers: 16 cycles
 * for nine MACs. While one weight is multiplied, the next is moved, and the one behind it loaded.
 */
    .syntax unified
    .thumb
    .text

    .macro store sum
    vmaxnm.f32 \sum, \sum, s18
    vminnm.f32 \sum, \sum, s19
    vstr    \sum, [r3]
    add     r3, r3, r4
    .endm

/* void convolve_nonzeros_f32(const int32_t *stream, const float *panel, float *output, int32_t stride, float minimum,
 *                            float maximum)
 *
 * Sums in s0 to s8; values and weight in s10 to s19 and in s20 to s29 in turn.
 */
    .global convolve_nonzeros_f32
    .type convolve_nonzeros_f32, %function
    .balign 32
convolve_nonzeros_f32:
    push    {r2-r11, lr}
    vpush   {s16-s29}
    vpush   {s0, s1}
    ldr     r2, [r0]
    vldr    s0, [r0, #4]
    ldr     lr, [r0, #8]!
    ldr     r12, [r0, #4]
    add     r1, r1, lr
    ldr     lr, [r0, #8]!
    ldm     r1, {r3-r11}
    vmov.f32 s1, s0
    vmov.f32 s2, s0
    vmov.f32 s3, s0
    vmov.f32 s4, s0
    vmov.f32 s5, s0
    vmov.f32 s6, s0
    vmov.f32 s7, s0
    vmov.f32 s8, s0
    vmov    d5, r3, r4
    vmov    d6, r5, r6
    vmov    d7, r7, r8
    vmov    d8, r9, r10
    vmov    d9, r11, r12
    add     r1, r1, lr
    ldr     r12, [r0, #4]
    ldm     r1, {r3-r11}
    ldr     lr, [r0, #8]!
    .balign 8
1:
    vmov    d10, r3, r4
    add     r1, r1, lr
    vfma.f32 s0, s19, s10
    ldr     r3, [r1]
    vfma.f32 s1, s19, s11
    ldr     r4, [r1, #4]
    vmov    d11, r5, r6
    vfma.f32 s2, s19, s12
    ldr     r5, [r1, #8]
    vfma.f32 s3, s19, s13
    ldr     r6, [r1, #12]
    vmov    d12, r7, r8
    vfma.f32 s4, s19, s14
    ldr     r7, [r1, #16]
    vfma.f32 s5, s19, s15
    ldr     r8, [r1, #20]
    vmov    d13, r9, r10
    vfma.f32 s6, s19, s16
    ldr     r9, [r1, #24]
    vfma.f32 s7, s19, s17
    ldr     r10, [r1, #28]
    vmov    d14, r11, r12
    vfma.f32 s8, s19, s18
    ldr     r11, [r1, #32]
    ldr     r12, [r0, #4]
    ldr     lr, [r0, #8]!
    vmov    d5, r3, r4
    add     r1, r1, lr
    subs    r2, r2, #2
    vfma.f32 s0, s29, s20
    ldr     r3, [r1]
    vfma.f32 s1, s29, s21
    ldr     r4, [r1, #4]
    vmov    d6, r5, r6
    vfma.f32 s2, s29, s22
    ldr     r5, [r1, #8]
    vfma.f32 s3, s29, s23
    ldr     r6, [r1, #12]
    vmov    d7, r7, r8
    vfma.f32 s4, s29, s24
    ldr     r7, [r1, #16]
    vfma.f32 s5, s29, s25
    ldr     r8, [r1, #20]
    vmov    d8, r9, r10
    vfma.f32 s6, s29, s26
    ldr     r9, [r1, #24]
    vfma.f32 s7, s29, s27
    ldr     r10, [r1, #28]
    vmov    d9, r11, r12
    vfma.f32 s8, s29, s28
    ldr     r11, [r1, #32]
    ldr     r12, [r0, #4]
    ldr     lr, [r0, #8]!
    bgt     1b
    vpop    {s18, s19}
    ldr     r3, [sp, #56]
    ldr     r4, [sp, #60]
    store   s0
    store   s1
    store   s2
    store   s3
    store   s4
    store   s5
    store   s6
    store   s7
    store   s8
    vpop    {s16-s29}
    pop     {r2-r11, pc}
    .size convolve_nonzeros_f32, . - convolve_nonzeros_f32

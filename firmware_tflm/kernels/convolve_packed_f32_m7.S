/* Inner loops of convolve_packed_f32.c for the Cortex-M7: two filters at nine positions.
 *
 * One VFMA a cycle is the most that this core can do. VLDR takes a cycle of its own beside them; LDR does not, and VMOV
 * of two registers takes one cycle for both. So 36 VFMA need 11 cycles more, 1.31 cycles a MAC. Values are loaded
 * one group of VFMA before the VMOV, and moved one group before their first use.
 */
    .syntax unified
    .thumb
    .text

/* Two outputs of a position between the limits. */
    .macro store_two a b
    vmaxnm.f32 \a, \a, s18
    vmaxnm.f32 \b, \b, s18
    vminnm.f32 \a, \a, s19
    vminnm.f32 \b, \b, s19
    vstr    \a, [r3]
    vstr    \b, [r3, #4]
    add     r3, r3, r4
    .endm

/* void convolve_nine_f32(const float *stream, const float *panel, int32_t column_pairs, float *output, int32_t stride,
 *                        float minimum, float maximum)
 *
 * Filter a sums in s0 to s8, filter b in s9 to s17; its weights are in s18 to s21, values of the panel in s22 to s27.
 */
    .global convolve_nine_f32
    .type convolve_nine_f32, %function
    .balign 32
convolve_nine_f32:
    push    {r3-r11, lr}
    vpush   {s16-s27}
    vpush   {s0, s1}
    vldr    s0, [r0]
    vldr    s9, [r0, #4]
    ldr     r7, [r0, #8]
    vmov.f32 s1, s0
    vmov.f32 s10, s9
    ldr     r8, [r0, #12]
    vmov.f32 s2, s0
    vmov.f32 s11, s9
    adds    r0, r0, #8
    vmov.f32 s3, s0
    vmov.f32 s12, s9
    ldr     r3, [r1]
    vmov.f32 s4, s0
    vmov.f32 s13, s9
    ldr     r4, [r1, #4]
    vmov.f32 s5, s0
    vmov.f32 s14, s9
    vmov    d9, r7, r8
    vmov.f32 s6, s0
    vmov.f32 s15, s9
    ldr     r5, [r1, #8]
    vmov    d11, r3, r4
    vmov.f32 s7, s0
    vmov.f32 s16, s9
    ldr     r6, [r1, #12]
    vmov.f32 s8, s0
    vmov.f32 s17, s9
    .balign 8
1:
    vmov    d12, r5, r6
    vfma.f32 s0, s18, s22
    ldr     r3, [r1, #16]
    vfma.f32 s9, s19, s22
    ldr     r4, [r1, #20]
    vfma.f32 s1, s18, s23
    ldr     r7, [r0, #8]
    vfma.f32 s10, s19, s23
    ldr     r8, [r0, #12]
    vmov    d11, r3, r4
    vfma.f32 s2, s18, s24
    ldr     r5, [r1, #24]
    vfma.f32 s11, s19, s24
    ldr     r6, [r1, #28]
    vfma.f32 s3, s18, s25
    ldr.w   r9, [r1, #32]
    vfma.f32 s12, s19, s25
    ldr.w   r10, [r1, #36]
    vmov    d12, r5, r6
    vfma.f32 s4, s18, s22
    ldr     r3, [r1, #40]
    vfma.f32 s13, s19, s22
    ldr     r4, [r1, #44]
    vfma.f32 s5, s18, s23
    subs    r2, r2, #1
    vfma.f32 s14, s19, s23
    vmov    d13, r9, r10
    vfma.f32 s6, s18, s24
    ldr     r5, [r1, #48]
    vfma.f32 s15, s19, s24
    ldr     r6, [r1, #52]
    vmov    d10, r7, r8
    vfma.f32 s7, s18, s25
    vfma.f32 s16, s19, s25
    vmov    d11, r3, r4
    vfma.f32 s8, s18, s26
    ldr     r3, [r1, #56]
    vfma.f32 s17, s19, s26
    ldr     r4, [r1, #60]
    vmov    d12, r5, r6
    vfma.f32 s0, s20, s22
    ldr     r5, [r1, #64]
    vfma.f32 s9, s21, s22
    ldr     r6, [r1, #68]
    vfma.f32 s1, s20, s23
    ldr     r7, [r0, #16]
    vfma.f32 s10, s21, s23
    ldr.w   r8, [r0, #20]
    vmov    d11, r3, r4
    vfma.f32 s2, s20, s24
    ldr     r3, [r1, #72]
    vfma.f32 s11, s21, s24
    ldr     r4, [r1, #76]
    vfma.f32 s3, s20, s25
    add     r0, r0, #16
    vfma.f32 s12, s21, s25
    vmov    d12, r5, r6
    vfma.f32 s4, s20, s22
    ldr     r5, [r1, #80]
    vfma.f32 s13, s21, s22
    ldr     r6, [r1, #84]
    vfma.f32 s5, s20, s23
    add     r1, r1, #72
    vfma.f32 s14, s21, s23
    vmov    d11, r3, r4
    vfma.f32 s6, s20, s24
    vfma.f32 s15, s21, s24
    vmov    d9, r7, r8
    vfma.f32 s7, s20, s25
    vfma.f32 s16, s21, s25
    vfma.f32 s8, s20, s27
    vfma.f32 s17, s21, s27
    bne     1b
    vpop    {s18, s19}
    ldr     r3, [sp, #48]
    ldr     r4, [sp, #88]
    store_two s0, s9
    store_two s1, s10
    store_two s2, s11
    store_two s3, s12
    store_two s4, s13
    store_two s5, s14
    store_two s6, s15
    store_two s7, s16
    store_two s8, s17
    vpop    {s16-s27}
    pop     {r3-r11, pc}
    .size convolve_nine_f32, . - convolve_nine_f32

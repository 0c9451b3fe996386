/* Inner loop of fully_connected_packed_f32.c for the Cortex-M7: eight outputs.
 *
 * Weights come by LDR beside VFMA and by VMOV of two registers, as in convolve_packed_f32_m7.S; inputs by VLDR. Sixteen
 * VFMA take ten cycles more: 1.63 cycles a MAC, to which the weights' cache misses come.
 */
    .syntax unified
    .thumb
    .text

/* void multiply_eight_f32(const float *stream, const float *input, int32_t input_pairs, float sums[8]) */
    .global multiply_eight_f32
    .type multiply_eight_f32, %function
    .balign 32
multiply_eight_f32:
    push    {r3-r6, lr}
    vldm    r0!, {s0-s7}
    ldr     r3, [r0], #4
    ldr     r4, [r0], #4
    ldr     r5, [r0], #4
    ldr     r6, [r0], #4
    vldr    s8, [r1]
    vmov    d6, r3, r4
    .balign 8
1:
    vmov    d7, r5, r6
    vfma.f32 s0, s8, s12
    ldr     r3, [r0], #4
    vfma.f32 s1, s8, s13
    ldr     r4, [r0], #4
    vmov    d6, r3, r4
    vldr    s9, [r1, #4]
    subs    r2, r2, #1
    vfma.f32 s2, s8, s14
    ldr     r5, [r0], #4
    vfma.f32 s3, s8, s15
    ldr     r6, [r0], #4
    vmov    d7, r5, r6
    vfma.f32 s4, s8, s12
    ldr     r3, [r0], #4
    vfma.f32 s5, s8, s13
    ldr     r4, [r0], #4
    vmov    d6, r3, r4
    vfma.f32 s6, s8, s14
    ldr     r5, [r0], #4
    vfma.f32 s7, s8, s15
    ldr     r6, [r0], #4
    vmov    d7, r5, r6
    vfma.f32 s0, s9, s12
    ldr     r3, [r0], #4
    vfma.f32 s1, s9, s13
    ldr     r4, [r0], #4
    vmov    d6, r3, r4
    vldr    s8, [r1, #8]
    add     r1, r1, #8
    vfma.f32 s2, s9, s14
    ldr     r5, [r0], #4
    vfma.f32 s3, s9, s15
    ldr     r6, [r0], #4
    vmov    d7, r5, r6
    vfma.f32 s4, s9, s12
    ldr     r3, [r0], #4
    vfma.f32 s5, s9, s13
    ldr     r4, [r0], #4
    vmov    d6, r3, r4
    vfma.f32 s6, s9, s14
    ldr     r5, [r0], #4
    vfma.f32 s7, s9, s15
    ldr     r6, [r0], #4
    bne     1b
    ldr     r3, [sp]
    vstm    r3, {s0-s7}
    pop     {r3-r6, pc}
    .size multiply_eight_f32, . - multiply_eight_f32

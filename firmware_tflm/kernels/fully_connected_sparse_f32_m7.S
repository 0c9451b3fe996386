/* Inner loop of fully_connected_sparse_f32.c for the Cortex-M7: the non-zero weights of an output, four at a time. */
    .syntax unified
    .thumb
    .text

/* float multiply_nonzeros_f32(const uint32_t *stream, const float *input, int32_t fours, float bias) */
    .global multiply_nonzeros_f32
    .type multiply_nonzeros_f32, %function
    .balign 32
multiply_nonzeros_f32:
    push    {r4-r11, lr}
    ldrd    r11, r12, [r0]
    vsub.f32 s1, s0, s0
    uxth    r3, r11
    lsr     r4, r11, #16
    vmov.f32 s2, s1
    uxth    r5, r12
    lsr     r6, r12, #16
    vmov.f32 s3, s1
    ldr     r3, [r1, r3, lsl #2]
    ldr     r4, [r1, r4, lsl #2]
    ldr     r5, [r1, r5, lsl #2]
    ldr     r6, [r1, r6, lsl #2]
    ldr     r7, [r0, #8]
    ldr     r8, [r0, #12]
    ldr     r9, [r0, #16]
    ldr     r10, [r0, #20]
    .balign 8
1:
    vmov    d2, r3, r7
    ldr     r11, [r0, #24]!
    vmov    d3, r4, r8
    ldr     r12, [r0, #4]
    vmov    d4, r5, r9
    uxth    r3, r11
    lsr     r4, r11, #16
    vmov    d5, r6, r10
    vfma.f32 s0, s4, s5
    ldr     r7, [r0, #8]
    uxth    r5, r12
    lsr     r6, r12, #16
    vfma.f32 s1, s6, s7
    ldr     r8, [r0, #12]
    vfma.f32 s2, s8, s9
    ldr     r9, [r0, #16]
    vfma.f32 s3, s10, s11
    ldr     r10, [r0, #20]
    ldr     r3, [r1, r3, lsl #2]
    ldr     r4, [r1, r4, lsl #2]
    ldr     r5, [r1, r5, lsl #2]
    ldr     r6, [r1, r6, lsl #2]
    subs    r2, r2, #1
    bne     1b
    vadd.f32 s0, s0, s1
    vadd.f32 s2, s2, s3
    vadd.f32 s0, s0, s2
    pop     {r4-r11, pc}
    .size multiply_nonzeros_f32, . - multiply_nonzeros_f32

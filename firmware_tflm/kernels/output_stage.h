/* From an accumulator to an int8 output, in all kernels of packed layers; output_stage_m7.h is the same in assembly. */
#ifndef OUTPUT_STAGE_H
#define OUTPUT_STAGE_H

#include "kernels.h"

/* The same as requantize() for a layer without left shift whose output has the range of int8. */
static inline int16_t output_stage(int32_t accumulator, const output_stage_t *stage)
{
    const int32_t twice = accumulator * 2 + stage->twice_bias;
#ifdef __ARM_FEATURE_DSP
    int32_t high, output;
    __asm("smmulr %0, %1, %2" : "=r"(high) : "r"(twice), "r"(stage->multiplier));
    __asm("ssat %0, #8, %1" : "=r"(output) : "r"((high + (high >> 31) + stage->rounding) >> stage->right_shift));
    return (int16_t)output;
#else
    const int32_t high = (int32_t)(((int64_t)twice * stage->multiplier + (1ll << 31)) >> 32);
    const int32_t value = (high + (high >> 31) + stage->rounding) >> stage->right_shift;
    return (int16_t)(value < -128 ? -128 : value > 127 ? 127 : value);
#endif
}

#endif

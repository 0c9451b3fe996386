/* From 64-bit accumulators to int16, rounding as TensorFlow Lite Micro's MultiplyByQuantizedMultiplier for int64. */
#ifndef REQUANTIZE_S16_H
#define REQUANTIZE_S16_H

#include "kernels.h"

static inline int16_t requantize_s16(int64_t accumulator, const quantization_t *quantization, int32_t channel)
{
    const int32_t multiplier = quantization->multiplier[channel], shift = 15 - quantization->shift[channel];
    const int32_t reduced = multiplier < 0x7fff0000 ? (multiplier + (1 << 15)) >> 16 : 0x7fff;
    int32_t value = (int32_t)((accumulator * reduced + ((int64_t)1 << (shift - 1))) >> shift);
    value = value < quantization->minimum ? quantization->minimum : value;
    return (int16_t)(value > quantization->maximum ? quantization->maximum : value);
}

#endif

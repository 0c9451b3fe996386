/* From accumulators to int8, rounding twice as TensorFlow Lite Micro's MultiplyByQuantizedMultiplier does. */
#ifndef REQUANTIZE_H
#define REQUANTIZE_H

#include "kernels.h"

/* The upper word of 2ab, rounded to nearest, halves up; the only overflow, both INT32_MIN, cannot happen with a
 * positive multiplier. */
static inline int32_t doubling_high_multiply(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

/* x / 2^exponent, rounded to nearest, halves away from zero. */
static inline int32_t rounding_divide(int32_t x, int32_t exponent)
{
    const int32_t mask = (int32_t)((1u << exponent) - 1), remainder = x & mask;
    return (x >> exponent) + (remainder > (mask >> 1) + (x < 0));
}

static inline int32_t multiply_by_quantized_multiplier(int32_t x, int32_t multiplier, int32_t shift)
{
    const int32_t left = shift > 0 ? shift : 0, right = shift > 0 ? 0 : -shift;
    return rounding_divide(doubling_high_multiply((int32_t)((uint32_t)x << left), multiplier), right);
}

static inline int8_t requantize(int32_t accumulator, const quantization_t *quantization, int32_t channel)
{
    int32_t value = multiply_by_quantized_multiplier(accumulator, quantization->multiplier[channel],
                                                     quantization->shift[channel]);
    value += quantization->output_offset;
    value = value < quantization->minimum ? quantization->minimum : value;
    return (int8_t)(value > quantization->maximum ? quantization->maximum : value);
}

#endif

/* Fully connected layer, one output after the other, two products at a time: sums of 64 bits, sums of 32 bits,
 * int8 weights expanded on the fly. */
#include "kernels_s16.h"
#include "requantize_s16.h"
#include "simd_s16.h"

void fully_connected_simd_long_s16(const expanded_fully_connected_s16_t *layer, const int16_t *input, int16_t *output)
{
    const expanded_fully_connected_s16_t l = *layer;
    for (int32_t out = 0; out < l.outputs; out++) {
        const int64_t sum = dot_long(l.weights + out * l.inputs, input, l.inputs, 0);
        output[out] = requantize_s16(sum + l.bias[out], &l.quantization, out);
    }
}

void fully_connected_simd_s16(const expanded_fully_connected_s16_t *layer, const int16_t *input, int16_t *output)
{
    const expanded_fully_connected_s16_t l = *layer;
    for (int32_t out = 0; out < l.outputs; out++) {
        const int64_t sum = dot(l.weights + out * l.inputs, input, l.inputs, 0);
        output[out] = requantize_s16(sum + l.bias[out], &l.quantization, out);
    }
}

void fully_connected_simd_expand_s16(const fully_connected_s16_t *layer, const int16_t *input, int16_t *output)
{
    const fully_connected_s16_t l = *layer;
    for (int32_t out = 0; out < l.outputs; out++) {
        const int64_t sum = dot_expand(l.weights + out * l.inputs, input, l.inputs, 0);
        output[out] = requantize_s16(sum + l.bias[out], &l.quantization, out);
    }
}

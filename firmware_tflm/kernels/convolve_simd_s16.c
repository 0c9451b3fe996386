/* Convolution, one output after the other, two products at a time over each row of the kernel: sums of 64 bits, sums of
 * 32 bits, int8 weights expanded on the fly. */
#include "kernels_s16.h"
#include "requantize_s16.h"
#include "simd_s16.h"

/* The same loops for each type of weights and sums; `dot` adds the products of a row, inside the input, to a sum. */
#define CONVOLVE(layer_t, sum_t, dot)                                                                                  \
    const layer_t l = *layer;                                                                                          \
    for (int32_t row = 0; row < l.output_height; row++) {                                                              \
        const int32_t y = row * l.stride_height - l.pad_height;                                                        \
        for (int32_t column = 0; column < l.output_width; column++) {                                                  \
            const int32_t x = column * l.stride_width - l.pad_width, first = x < 0 ? -x : 0;                           \
            const int32_t end = x + l.kernel_width > l.input_width ? l.input_width - x : l.kernel_width;               \
            for (int32_t channel = 0; channel < l.output_channels; channel++) {                                        \
                sum_t sum = 0;                                                                                         \
                for (int32_t ky = 0; ky < l.kernel_height; ky++) {                                                     \
                    if (y + ky >= 0 && y + ky < l.input_height) {                                                      \
                        const int32_t start = (channel * l.kernel_height + ky) * l.kernel_width + first;               \
                        const int32_t place = (y + ky) * l.input_width + x + first;                                    \
                        sum = dot(l.weights + start * l.input_channels, input + place * l.input_channels,              \
                                  (end - first) * l.input_channels, sum);                                              \
                    }                                                                                                  \
                }                                                                                                      \
                *output++ = requantize_s16(sum + l.bias[channel], &l.quantization, channel);                           \
            }                                                                                                          \
        }                                                                                                              \
    }

void convolve_simd_long_s16(const expanded_convolution_s16_t *layer, const int16_t *input, int16_t *output)
{
    CONVOLVE(expanded_convolution_s16_t, int64_t, dot_long)
}

void convolve_simd_s16(const expanded_convolution_s16_t *layer, const int16_t *input, int16_t *output)
{
    CONVOLVE(expanded_convolution_s16_t, int32_t, dot)
}

void convolve_simd_expand_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output)
{
    CONVOLVE(convolution_s16_t, int32_t, dot_expand)
}

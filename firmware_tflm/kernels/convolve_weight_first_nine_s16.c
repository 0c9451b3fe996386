/* Convolution, weight first: each weight meets nine positions, whose accumulators lie in registers. The second kernel
 * skips zero weights. */
#include <stdbool.h>

#include "requantize_s16.h"
#include "kernels_s16.h"

__attribute__((always_inline)) static inline void convolve(const convolution_s16_t *layer, const int16_t *input,
                                                           int16_t *output, bool skip)
{
    const convolution_s16_t l = *layer;
    const int32_t step = l.stride_width * l.input_channels, run = l.kernel_width * l.input_channels;
    const int8_t *weight = l.weights;
    for (int32_t channel = 0; channel < l.output_channels; channel++) {
        int32_t s0 = 0, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0;
        for (int32_t ky = 0; ky < l.kernel_height; ky++) {
            const int16_t *value = input + ky * l.input_width * l.input_channels;
            for (int32_t k = 0; k < run; k++, value++, weight++) {
                const int32_t w = *weight;
                if (!skip || w != 0) {
                    s0 += w * value[0];
                    s1 += w * value[step];
                    s2 += w * value[2 * step];
                    s3 += w * value[3 * step];
                    s4 += w * value[4 * step];
                    s5 += w * value[5 * step];
                    s6 += w * value[6 * step];
                    s7 += w * value[7 * step];
                    s8 += w * value[8 * step];
                }
            }
        }
        const int32_t sums[9] = {s0, s1, s2, s3, s4, s5, s6, s7, s8};
        for (int32_t position = 0; position < 9; position++) {
            output[position * l.output_channels + channel] =
                requantize_s16(sums[position] + l.bias[channel], &l.quantization, channel);
        }
    }
}

void convolve_weight_first_nine_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output)
{
    convolve(layer, input, output, false);
}

void convolve_weight_first_nine_skip_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output)
{
    convolve(layer, input, output, true);
}

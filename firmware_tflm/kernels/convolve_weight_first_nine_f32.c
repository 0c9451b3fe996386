/* Convolution, weight first: each weight meets nine positions, whose accumulators lie in registers. The second kernel
 * skips zero weights. */
#include <stdbool.h>

#include "kernels_f32.h"
#include "within.h"

__attribute__((always_inline)) static inline void convolve(const convolution_f32_t *layer, const float *input,
                                                           float *output, bool skip)
{
    const convolution_f32_t l = *layer;
    const int32_t step = l.stride_width * l.input_channels, run = l.kernel_width * l.input_channels;
    const float *weight = l.weights;
    for (int32_t channel = 0; channel < l.output_channels; channel++) {
        float s0 = 0.0f, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0;
        for (int32_t ky = 0; ky < l.kernel_height; ky++) {
            const float *value = input + ky * l.input_width * l.input_channels;
            for (int32_t k = 0; k < run; k++, value++, weight++) {
                const float w = *weight;
                if (!skip || w != 0.0f) {
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
        const float sums[9] = {s0, s1, s2, s3, s4, s5, s6, s7, s8};
        for (int32_t position = 0; position < 9; position++) {
            output[position * l.output_channels + channel] =
                within_f32(sums[position] + l.bias[channel], l.minimum, l.maximum);
        }
    }
}

void convolve_weight_first_nine_f32(const convolution_f32_t *layer, const float *input, float *output)
{
    convolve(layer, input, output, false);
}

void convolve_weight_first_nine_skip_f32(const convolution_f32_t *layer, const float *input, float *output)
{
    convolve(layer, input, output, true);
}

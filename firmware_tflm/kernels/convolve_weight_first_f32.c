/* Convolution, weight first: each weight meets all positions, whose accumulators lie in memory. The second kernel skips
 * zero weights. */
#include <stdbool.h>

#include "kernels_f32.h"
#include "within.h"

static inline void one_weight(const convolution_f32_t *l, float weight, const float *input, int32_t ky, int32_t kx,
                              float *sums)
{
    for (int32_t row = 0; row < l->output_height; row++) {
        const int32_t y = row * l->stride_height - l->pad_height + ky;
        for (int32_t column = 0; column < l->output_width; column++, sums++) {
            const int32_t x = column * l->stride_width - l->pad_width + kx;
            if (y >= 0 && y < l->input_height && x >= 0 && x < l->input_width) {
                *sums += weight * input[(y * l->input_width + x) * l->input_channels];
            }
        }
    }
}

__attribute__((always_inline)) static inline void convolve(const convolution_f32_t *layer, const float *input,
                                                           float *output, bool skip)
{
    const convolution_f32_t l = *layer;
    const int32_t positions = l.output_height * l.output_width;
    const float *weight = l.weights;
    float sums[CONVOLVE_POSITIONS];
    for (int32_t channel = 0; channel < l.output_channels; channel++) {
        for (int32_t position = 0; position < positions; position++) {
            sums[position] = 0.0f;
        }
        for (int32_t ky = 0; ky < l.kernel_height; ky++) {
            for (int32_t kx = 0; kx < l.kernel_width; kx++) {
                for (int32_t in = 0; in < l.input_channels; in++, weight++) {
                    if (!skip || *weight != 0.0f) {
                        one_weight(&l, *weight, input + in, ky, kx, sums);
                    }
                }
            }
        }
        for (int32_t position = 0; position < positions; position++) {
            output[position * l.output_channels + channel] =
                within_f32(sums[position] + l.bias[channel], l.minimum, l.maximum);
        }
    }
}

void convolve_weight_first_f32(const convolution_f32_t *layer, const float *input, float *output)
{
    convolve(layer, input, output, false);
}

void convolve_weight_first_skip_f32(const convolution_f32_t *layer, const float *input, float *output)
{
    convolve(layer, input, output, true);
}

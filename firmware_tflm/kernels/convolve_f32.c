/* Convolution in plain loops, one output after the other; the second kernel skips zero weights. */
#include <stdbool.h>

#include "kernels_f32.h"
#include "within.h"

__attribute__((always_inline)) static inline void convolve(const convolution_f32_t *layer, const float *input,
                                                           float *output, bool skip)
{
    const convolution_f32_t l = *layer;
    for (int32_t row = 0; row < l.output_height; row++) {
        for (int32_t column = 0; column < l.output_width; column++) {
            for (int32_t channel = 0; channel < l.output_channels; channel++) {
                const float *weight = l.weights + channel * l.kernel_height * l.kernel_width * l.input_channels;
                float sum = 0.0f;
                for (int32_t ky = 0; ky < l.kernel_height; ky++) {
                    const int32_t y = row * l.stride_height - l.pad_height + ky;
                    for (int32_t kx = 0; kx < l.kernel_width; kx++, weight += l.input_channels) {
                        const int32_t x = column * l.stride_width - l.pad_width + kx;
                        if (y < 0 || y >= l.input_height || x < 0 || x >= l.input_width) {
                            continue;
                        }
                        const float *value = input + (y * l.input_width + x) * l.input_channels;
                        for (int32_t in = 0; in < l.input_channels; in++) {
                            if (!skip || weight[in] != 0.0f) {
                                sum += weight[in] * value[in];
                            }
                        }
                    }
                }
                *output++ = within_f32(sum + l.bias[channel], l.minimum, l.maximum);
            }
        }
    }
}

void convolve_f32(const convolution_f32_t *layer, const float *input, float *output)
{
    convolve(layer, input, output, false);
}

void convolve_skip_f32(const convolution_f32_t *layer, const float *input, float *output)
{
    convolve(layer, input, output, true);
}

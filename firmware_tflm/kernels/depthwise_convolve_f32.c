/* Depthwise convolution in plain loops; each input channel has output_channels / input_channels filters. The second
 * kernel skips zero weights. */
#include <stdbool.h>

#include "kernels_f32.h"
#include "within.h"

__attribute__((always_inline)) static inline void convolve(const convolution_f32_t *layer, const float *input,
                                                           float *output, bool skip)
{
    const convolution_f32_t l = *layer;
    const int32_t filters = l.output_channels / l.input_channels;
    for (int32_t row = 0; row < l.output_height; row++) {
        for (int32_t column = 0; column < l.output_width; column++) {
            for (int32_t channel = 0; channel < l.output_channels; channel++) {
                float sum = 0.0f;
                for (int32_t ky = 0; ky < l.kernel_height; ky++) {
                    const int32_t y = row * l.stride_height - l.pad_height + ky;
                    for (int32_t kx = 0; kx < l.kernel_width; kx++) {
                        const int32_t x = column * l.stride_width - l.pad_width + kx;
                        if (y < 0 || y >= l.input_height || x < 0 || x >= l.input_width) {
                            continue;
                        }
                        const float weight = l.weights[(ky * l.kernel_width + kx) * l.output_channels + channel];
                        if (!skip || weight != 0.0f) {
                            sum += weight * input[(y * l.input_width + x) * l.input_channels + channel / filters];
                        }
                    }
                }
                *output++ = within_f32(sum + l.bias[channel], l.minimum, l.maximum);
            }
        }
    }
}

void depthwise_convolve_f32(const convolution_f32_t *layer, const float *input, float *output)
{
    convolve(layer, input, output, false);
}

void depthwise_convolve_skip_f32(const convolution_f32_t *layer, const float *input, float *output)
{
    convolve(layer, input, output, true);
}

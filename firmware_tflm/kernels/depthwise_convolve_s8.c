/* Depthwise convolution in plain loops; each input channel has output_channels / input_channels filters. The second
 * kernel skips zero weights. */
#include <stdbool.h>

#include "requantize.h"

__attribute__((always_inline)) static inline void convolve(const convolution_t *layer, const int8_t *input,
                                                           int8_t *output, bool skip)
{
    const convolution_t l = *layer;
    const int32_t filters = l.output_channels / l.input_channels;
    for (int32_t row = 0; row < l.output_height; row++) {
        for (int32_t column = 0; column < l.output_width; column++) {
            for (int32_t channel = 0; channel < l.output_channels; channel++) {
                int32_t sum = l.bias[channel];
                for (int32_t ky = 0; ky < l.kernel_height; ky++) {
                    const int32_t y = row * l.stride_height - l.pad_height + ky;
                    for (int32_t kx = 0; kx < l.kernel_width; kx++) {
                        const int32_t x = column * l.stride_width - l.pad_width + kx;
                        if (y < 0 || y >= l.input_height || x < 0 || x >= l.input_width) {
                            continue;
                        }
                        const int32_t weight = l.weights[(ky * l.kernel_width + kx) * l.output_channels + channel];
                        if (!skip || weight != 0) {
                            const int32_t place = (y * l.input_width + x) * l.input_channels + channel / filters;
                            sum += weight * (input[place] + l.quantization.input_offset);
                        }
                    }
                }
                *output++ = requantize(sum, &l.quantization, channel);
            }
        }
    }
}

void depthwise_convolve_s8(const convolution_t *layer, const int8_t *input, int8_t *output)
{
    convolve(layer, input, output, false);
}

void depthwise_convolve_skip_s8(const convolution_t *layer, const int8_t *input, int8_t *output)
{
    convolve(layer, input, output, true);
}

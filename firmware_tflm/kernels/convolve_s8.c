/* Convolution in plain loops, one output after the other. */
#include "requantize.h"

void convolve_s8(const convolution_t *layer, const int8_t *input, int8_t *output)
{
    const convolution_t l = *layer;
    for (int32_t row = 0; row < l.output_height; row++) {
        for (int32_t column = 0; column < l.output_width; column++) {
            for (int32_t channel = 0; channel < l.output_channels; channel++) {
                const int8_t *weight = l.weights + channel * l.kernel_height * l.kernel_width * l.input_channels;
                int32_t sum = l.bias[channel];
                for (int32_t ky = 0; ky < l.kernel_height; ky++) {
                    const int32_t y = row * l.stride_height - l.pad_height + ky;
                    for (int32_t kx = 0; kx < l.kernel_width; kx++, weight += l.input_channels) {
                        const int32_t x = column * l.stride_width - l.pad_width + kx;
                        if (y < 0 || y >= l.input_height || x < 0 || x >= l.input_width) {
                            continue;
                        }
                        const int8_t *value = input + (y * l.input_width + x) * l.input_channels;
                        for (int32_t in = 0; in < l.input_channels; in++) {
                            sum += weight[in] * (value[in] + l.quantization.input_offset);
                        }
                    }
                }
                *output++ = requantize(sum, &l.quantization, channel);
            }
        }
    }
}

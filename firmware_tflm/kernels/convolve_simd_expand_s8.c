/* Convolution, one output after the other, two products at a time over each row of the kernel: int8 weights and values
 * are expanded on the fly. */
#include "requantize.h"
#include "simd_expand_s8.h"
#include "window.h"

void convolve_simd_expand_s8(const convolution_t *layer, const int8_t *input, int8_t *output)
{
    const convolution_t l = *layer;
    const int32_t input_row = l.input_width * l.input_channels, kernel_row = l.kernel_width * l.input_channels;
    for (int32_t row = 0; row < l.output_height; row++) {
        const int32_t top = row * l.stride_height - l.pad_height;
        const span_t y = window_span(top, l.kernel_height, l.input_height);
        for (int32_t column = 0; column < l.output_width; column++) {
            const int32_t left = column * l.stride_width - l.pad_width;
            const span_t x = window_span(left, l.kernel_width, l.input_width);
            for (int32_t channel = 0; channel < l.output_channels; channel++) {
                const int8_t *weights = l.weights + (channel * l.kernel_height + y.start - top) * kernel_row;
                weights += (x.start - left) * l.input_channels;
                const int8_t *values = input + y.start * input_row + x.start * l.input_channels;
                int32_t sum = l.bias[channel];
                for (int32_t line = y.start; line < y.end; line++, weights += kernel_row, values += input_row) {
                    sum = dot_expand_s8(weights, values, (x.end - x.start) * l.input_channels,
                                        l.quantization.input_offset, sum);
                }
                *output++ = requantize(sum, &l.quantization, channel);
            }
        }
    }
}

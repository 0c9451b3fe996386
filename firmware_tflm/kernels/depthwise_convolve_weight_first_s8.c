/* Depthwise convolution, weight first: each weight meets all positions, whose accumulators lie in memory. The second
 * kernel skips zero weights. */
#include <stdbool.h>

#include "requantize.h"
#include "weight_first_s8.h"

static inline void convolve(const convolution_t *layer, const int8_t *input, int8_t *output, bool skip)
{
    const convolution_t l = *layer;
    const int32_t positions = l.output_height * l.output_width, filters = l.output_channels / l.input_channels;
    int32_t sums[CONVOLVE_POSITIONS];
    for (int32_t channel = 0; channel < l.output_channels; channel++) {
        const int8_t *weight = l.weights + channel;
        for (int32_t position = 0; position < positions; position++) {
            sums[position] = l.bias[channel];
        }
        for (int32_t ky = 0; ky < l.kernel_height; ky++) {
            for (int32_t kx = 0; kx < l.kernel_width; kx++, weight += l.output_channels) {
                if (!skip || *weight) {
                    one_weight(&l, *weight, input + channel / filters, ky, kx, sums);
                }
            }
        }
        for (int32_t position = 0; position < positions; position++) {
            output[position * l.output_channels + channel] = requantize(sums[position], &l.quantization, channel);
        }
    }
}

void depthwise_convolve_weight_first_s8(const convolution_t *layer, const int8_t *input, int8_t *output)
{
    convolve(layer, input, output, false);
}

void depthwise_convolve_weight_first_skip_s8(const convolution_t *layer, const int8_t *input, int8_t *output)
{
    convolve(layer, input, output, true);
}

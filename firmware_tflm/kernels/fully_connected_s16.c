/* Fully connected layer in plain loops; the second kernel skips zero weights. */
#include <stdbool.h>

#include "requantize_s16.h"
#include "kernels_s16.h"

__attribute__((always_inline)) static inline void multiply(const fully_connected_s16_t *layer, const int16_t *input,
                                                           int16_t *output, bool skip)
{
    const fully_connected_s16_t l = *layer;
    const int8_t *weight = l.weights;
    for (int32_t channel = 0; channel < l.outputs; channel++, weight += l.inputs) {
        int64_t sum = 0;
        for (int32_t in = 0; in < l.inputs; in++) {
            if (!skip || weight[in] != 0) {
                sum += weight[in] * input[in];
            }
        }
        output[channel] = requantize_s16(sum + l.bias[channel], &l.quantization, channel);
    }
}

void fully_connected_s16(const fully_connected_s16_t *layer, const int16_t *input, int16_t *output)
{
    multiply(layer, input, output, false);
}

void fully_connected_skip_s16(const fully_connected_s16_t *layer, const int16_t *input, int16_t *output)
{
    multiply(layer, input, output, true);
}

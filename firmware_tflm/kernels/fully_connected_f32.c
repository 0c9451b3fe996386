/* Fully connected layer in plain loops; the second kernel skips zero weights. */
#include <stdbool.h>

#include "kernels_f32.h"
#include "within.h"

__attribute__((always_inline)) static inline void multiply(const fully_connected_f32_t *layer, const float *input,
                                                           float *output, bool skip)
{
    const fully_connected_f32_t l = *layer;
    const float *weight = l.weights;
    for (int32_t channel = 0; channel < l.outputs; channel++, weight += l.inputs) {
        float sum = 0.0f;
        for (int32_t in = 0; in < l.inputs; in++) {
            if (!skip || weight[in] != 0.0f) {
                sum += weight[in] * input[in];
            }
        }
        output[channel] = within_f32(sum + l.bias[channel], l.minimum, l.maximum);
    }
}

void fully_connected_f32(const fully_connected_f32_t *layer, const float *input, float *output)
{
    multiply(layer, input, output, false);
}

void fully_connected_skip_f32(const fully_connected_f32_t *layer, const float *input, float *output)
{
    multiply(layer, input, output, true);
}

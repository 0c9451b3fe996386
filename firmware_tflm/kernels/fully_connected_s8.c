/* Fully connected layer in plain loops. */
#include "requantize.h"

void fully_connected_s8(const fully_connected_t *layer, const int8_t *input, int8_t *output)
{
    const fully_connected_t l = *layer;
    for (int32_t out = 0; out < l.outputs; out++) {
        int32_t sum = l.bias[out];
        for (int32_t in = 0; in < l.inputs; in++) {
            sum += l.weights[out * l.inputs + in] * (input[in] + l.quantization.input_offset);
        }
        output[out] = requantize(sum, &l.quantization, out);
    }
}

/* Fully connected layer, one output after the other, two products at a time: int8 weights and values are expanded on
 * the fly. */
#include "requantize.h"
#include "simd_expand_s8.h"

void fully_connected_simd_expand_s8(const fully_connected_t *layer, const int8_t *input, int8_t *output)
{
    const fully_connected_t l = *layer;
    for (int32_t out = 0; out < l.outputs; out++) {
        const int32_t sum = dot_expand_s8(l.weights + out * l.inputs, input, l.inputs, l.quantization.input_offset,
                                          l.bias[out]);
        output[out] = requantize(sum, &l.quantization, out);
    }
}

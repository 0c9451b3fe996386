/* Mean over an axis; its division is part of the multiplier. */
#include "kernels_plain.h"
#include "requantize.h"
#include "within.h"

void mean_s8(const mean_t *layer, const int8_t *input, int8_t *output)
{
    const mean_t l = *layer;
    for (int32_t outer = 0; outer < l.outer; outer++, input += l.count * l.inner) {
        for (int32_t inner = 0; inner < l.inner; inner++) {
            int32_t sum = l.input_offset;
            for (int32_t k = 0; k < l.count; k++) {
                sum += input[k * l.inner + inner];
            }
            const int32_t value = multiply_by_quantized_multiplier(sum, l.multiplier, l.shift) + l.output_offset;
            *output++ = (int8_t)within(value, INT8_MIN, INT8_MAX);
        }
    }
}

/* Sum of two tensors of the same shape. */
#include "kernels_plain.h"
#include "requantize.h"
#include "within.h"

void add_s16(const addition_t *layer, const int16_t *first, const int16_t *second, int16_t *output)
{
    const addition_t l = *layer;
    for (int32_t k = 0; k < l.values; k++) {
        const int32_t a = (first[k] + l.first_offset) * (1 << l.left_shift);
        const int32_t b = (second[k] + l.second_offset) * (1 << l.left_shift);
        const int32_t sum = multiply_by_quantized_multiplier(a, l.first_multiplier, l.first_shift) +
                            multiply_by_quantized_multiplier(b, l.second_multiplier, l.second_shift);
        const int32_t value = multiply_by_quantized_multiplier(sum, l.output_multiplier, l.output_shift);
        output[k] = (int16_t)within(value + l.output_offset, l.minimum, l.maximum);
    }
}

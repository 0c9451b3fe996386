/* Softmax in fixed point, as gemmlowp computes it for TensorFlow Lite Micro. */
#include "kernels_plain.h"
#include "requantize.h"
#include "within.h"

/* 1 / (1 + x) for x from 0 to 1, both with 31 fraction bits: three steps of Newton's method for the reciprocal of half
 * the denominator, with 29 fraction bits. */
static int32_t reciprocal(int32_t x)
{
    const int32_t half_denominator = (int32_t)(((int64_t)x + INT32_MAX + 1) / 2);
    int32_t y = 1515870810 + doubling_high_multiply(half_denominator, -1010580540); /* 48/17 - 32/17 half_denominator */
    for (int32_t step = 0; step < 3; step++) {
        const int32_t error = (1 << 29) - doubling_high_multiply(half_denominator, y);
        y += doubling_high_multiply(y, error) * 4;
    }
    return y >= 1 << 30 ? INT32_MAX : y * 2;
}

void softmax_s8(const softmax_t *layer, const int8_t *input, int8_t *output)
{
    const softmax_t l = *layer;
    for (int32_t row = 0; row < l.rows; row++, input += l.classes, output += l.classes) {
        int32_t largest = INT8_MIN;
        for (int32_t k = 0; k < l.classes; k++) {
            largest = input[k] > largest ? input[k] : largest;
        }
        int32_t sum = 0; /* 19 fraction bits */
        for (int32_t k = 0; k < l.classes; k++) {
            sum += rounding_divide(l.exponentials[largest - input[k]], 12);
        }
        const int32_t headroom = __builtin_clz((uint32_t)sum);
        const int32_t scale = reciprocal((int32_t)(((uint32_t)sum << headroom) - (1u << 31)));
        for (int32_t k = 0; k < l.classes; k++) {
            const int32_t share = doubling_high_multiply(scale, l.exponentials[largest - input[k]]);
            output[k] = (int8_t)within(rounding_divide(share, 12 - headroom + 31 - 8) + INT8_MIN, INT8_MIN, INT8_MAX);
        }
    }
}

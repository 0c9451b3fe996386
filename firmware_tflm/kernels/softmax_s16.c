/* Softmax by two tables. */
#include "kernels_plain.h"
#include "requantize.h"
#include "within.h"

/* The table's value for x between -32768 and 32767, on the line between two entries. */
static int32_t look_up(const int16_t *table, int32_t x)
{
    const int32_t index = 256 + (x >> 7);
    const int32_t slope = table[index + 1] - table[index];
    return table[index] + ((slope * (x & 127) + 64) >> 7);
}

void softmax_s16(const softmax_s16_t *layer, const int16_t *input, int16_t *output)
{
    const softmax_s16_t l = *layer;
    for (int32_t row = 0; row < l.rows; row++, input += l.classes, output += l.classes) {
        int32_t largest = INT16_MIN;
        for (int32_t k = 0; k < l.classes; k++) {
            largest = input[k] > largest ? input[k] : largest;
        }
        int32_t sum = 0; /* 15 fraction bits */
        for (int32_t k = 0; k < l.classes; k++) {
            const int32_t x = multiply_by_quantized_multiplier(input[k] - largest, l.multiplier, l.shift);
            output[k] = (int16_t)look_up(l.exponentials, within(x + INT16_MAX, INT16_MIN, INT16_MAX));
            sum += output[k];
        }
        const int32_t headroom = __builtin_clz((uint32_t)sum);
        const int32_t x = (int32_t)((((int64_t)sum << headroom >> 1) + (1 << 13)) >> 14) - (1 << 15) - (1 << 16);
        const int64_t scale = look_up(l.reciprocals, within(x, INT16_MIN, INT16_MAX));
        for (int32_t k = 0; k < l.classes; k++) {
            const int64_t value = (output[k] * scale + (1 << (30 - headroom))) >> (31 - headroom);
            output[k] = (int16_t)within((int32_t)value, 0, INT16_MAX);
        }
    }
}

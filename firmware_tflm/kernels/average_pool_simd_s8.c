/* Average of all positions, four channels at a time in halves of two words. */
#include "kernels_dense.h"
#include "simd.h"

/* Rounded to nearest, halves away from zero. */
static inline int8_t average(int32_t sum, const simd_pooling_t *l)
{
    const int32_t half = l->positions / 2, value = (sum > 0 ? sum + half : sum - half) / l->positions;
    return (int8_t)(value < l->minimum ? l->minimum : value > l->maximum ? l->maximum : value);
}

void average_pool_simd_s8(const simd_pooling_t *layer, const int8_t *input, int8_t *output)
{
    const simd_pooling_t l = *layer;
    for (int32_t done = 0; done < l.channels; done += 4) {
        const int32_t channel = done + 4 <= l.channels ? done : l.channels - 4;
        const int8_t *values = input + channel;
        uint32_t even = 0, odd = 0;
        for (int32_t position = 0; position < l.positions; position++, values += l.channels) {
            const uint32_t bytes = load_word(values);
            even = add_even_bytes(even, bytes);
            odd = add_odd_bytes(odd, bytes);
        }
        output[channel] = average((int16_t)even, &l);
        output[channel + 1] = average((int16_t)odd, &l);
        output[channel + 2] = average((int16_t)(even >> 16), &l);
        output[channel + 3] = average((int16_t)(odd >> 16), &l);
    }
}

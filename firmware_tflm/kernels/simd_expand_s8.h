/* Sums of products of int8 values and weights, both expanded to int16 on the fly, two at a time by SMLAD. */
#ifndef SIMD_EXPAND_S8_H
#define SIMD_EXPAND_S8_H

#include "simd.h"
#include "simd_s16.h"

/* `offset` is added to each value. */
static inline int32_t dot_expand_s8(const int8_t *weights, const int8_t *values, int32_t n, int32_t offset, int32_t sum)
{
    const uint32_t offsets = (uint32_t)(offset & 0xffff) | (uint32_t)offset << 16;
    int32_t k = 0;
    for (; k + 4 <= n; k += 4) {
        const uint32_t four_weights = load_word(weights + k), four_values = load_word(values + k);
        sum = smlad(even_bytes(four_weights), add_even_bytes(offsets, four_values), sum);
        sum = smlad(odd_bytes(four_weights), add_odd_bytes(offsets, four_values), sum);
    }
    for (; k < n; k++) {
        sum += weights[k] * (values[k] + offset);
    }
    return sum;
}

#endif

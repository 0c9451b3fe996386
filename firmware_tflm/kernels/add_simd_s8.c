/* Sum of two tensors: what each value contributes comes from tables. */
#include "kernels_dense.h"
#include "output_stage.h"
#include "simd.h"

static inline uint32_t add_bytes(const simd_addition_t *l, const output_stage_t *stage, uint32_t a, uint32_t b)
{
    return (uint32_t)output_stage(l->first[a & 0xff] + l->second[b & 0xff], stage) & 0xff;
}

void add_simd_s8(const simd_addition_t *layer, const int8_t *first, const int8_t *second, int8_t *output)
{
    const simd_addition_t l = *layer;
    const output_stage_t stage = {0, l.multiplier, l.rounding, l.right_shift};
    int32_t k = 0;
    for (; k + 4 <= l.values; k += 4) {
        const uint32_t a = load_word(first + k), b = load_word(second + k);
        const uint32_t w = add_bytes(&l, &stage, a, b), x = add_bytes(&l, &stage, a >> 8, b >> 8);
        const uint32_t y = add_bytes(&l, &stage, a >> 16, b >> 16), z = add_bytes(&l, &stage, a >> 24, b >> 24);
        store_word(output + k, w | x << 8 | y << 16 | z << 24);
    }
    for (; k < l.values; k++) {
        output[k] = (int8_t)add_bytes(&l, &stage, (uint32_t)first[k], (uint32_t)second[k]);
    }
    clamp_values(output, l.minimum, l.maximum, l.values);
}

/* Input of convolve_block4_s8: twice the int8 values, in pairs for SMLAD. */
#include <string.h>

#include "kernels_sparse.h"

#define POSITIONS 9

/* Columns 0 and 2 of a block go to `even`, 1 and 3 to `odd`. */
static inline void pairs(const int8_t *input, int32_t *even, int32_t *odd)
{
#ifdef __ARM_FEATURE_DSP
    uint32_t word, pair;
    memcpy(&word, input, sizeof word);
    __asm("sxtb16 %0, %1" : "=r"(pair) : "r"(word));
    __asm("sadd16 %0, %1, %1" : "=r"(*even) : "r"(pair));
    __asm("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word));
    __asm("sadd16 %0, %1, %1" : "=r"(*odd) : "r"(pair));
#else
    const int16_t values[4] = {(int16_t)(2 * input[0]), (int16_t)(2 * input[2]), (int16_t)(2 * input[1]),
                               (int16_t)(2 * input[3])};
    memcpy(even, values, sizeof *even);
    memcpy(odd, values + 2, sizeof *odd);
#endif
}

void panel_block4_s8(const panels_t *layer, const int8_t *input, int16_t *output)
{
    const panels_t p = *layer;
    int32_t *words = (int32_t *)(void *)output;
    for (int32_t run = 0; run < p.runs; run++, input += p.row) {
        for (int32_t k = 0; k < p.run; k += 4, words++) {
            const int8_t *values = input + k;
#pragma GCC unroll 9
            for (int32_t position = 0; position < POSITIONS; position++, values += p.step) {
                pairs(values, &words[position * BLOCK4_PANEL_WORDS],
                      &words[(POSITIONS + position) * BLOCK4_PANEL_WORDS]);
            }
        }
    }
}

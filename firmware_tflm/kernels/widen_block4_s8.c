/* Input of fully_connected_block4_s8: int8 as int16, each four values in the order 0, 2, 1, 3. */
#include <string.h>

#include "kernels_sparse.h"

static inline void widen(const int8_t *input, int16_t *output)
{
#ifdef __ARM_FEATURE_DSP
    uint32_t word, even, odd;
    memcpy(&word, input, sizeof word);
    __asm("sxtb16 %0, %1" : "=r"(even) : "r"(word));
    __asm("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(word));
    memcpy(output, &even, sizeof even);
    memcpy(output + 2, &odd, sizeof odd);
#else
    output[0] = input[0];
    output[1] = input[2];
    output[2] = input[1];
    output[3] = input[3];
#endif
}

void widen_block4_s8(const widen_t *layer, const int8_t *input, int16_t *output)
{
    const int8_t *const end = input + layer->values;
    for (; end - input >= 16; input += 16, output += 16) {
        widen(input, output);
        widen(input + 4, output + 4);
        widen(input + 8, output + 8);
        widen(input + 12, output + 12);
    }
    for (; end - input >= 4; input += 4, output += 4) {
        widen(input, output);
    }
    for (int32_t k = 0; input < end; k++, input++) {
        output[k ? 3 - k : 0] = *input;
    }
}

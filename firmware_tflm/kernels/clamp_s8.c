/* Values between two limits, and the same with int16 input. */
#include "kernels_plain.h"
#include "within.h"

void clamp_s8(const limits_t *layer, const int8_t *input, int8_t *output)
{
    const limits_t l = *layer;
    for (int32_t k = 0; k < l.values; k++) {
        output[k] = (int8_t)within(input[k], l.minimum, l.maximum);
    }
}

void narrow_s16(const limits_t *layer, const int16_t *input, int8_t *output)
{
    const limits_t l = *layer;
    for (int32_t k = 0; k < l.values; k++) {
        output[k] = (int8_t)within(input[k], l.minimum, l.maximum);
    }
}

/* From float to int8 and back. */
#include <math.h>

#include "kernels_plain.h"

void quantize_s8(const affine_t *layer, const float *input, int8_t *output)
{
    const affine_t l = *layer;
    for (int32_t k = 0; k < l.values; k++) {
        const float value = roundf(input[k] / l.scale) + (float)l.zero_point;
        output[k] = (int8_t)(value > -128.0f ? (value < 127.0f ? value : 127.0f) : -128.0f); /* NaN: -128 */
    }
}

void dequantize_s8(const affine_t *layer, const int8_t *input, float *output)
{
    const affine_t l = *layer;
    for (int32_t k = 0; k < l.values; k++) {
        output[k] = l.scale * (float)(input[k] - l.zero_point);
    }
}

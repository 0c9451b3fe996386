/* Sum of two tensors of the same shape, and limits alone. */
#include "kernels_plain.h"
#include "within.h"

void add_f32(const limits_f32_t *layer, const float *first, const float *second, float *output)
{
    const limits_f32_t l = *layer;
    for (int32_t k = 0; k < l.values; k++) {
        output[k] = within_f32(first[k] + second[k], l.minimum, l.maximum);
    }
}

void clamp_f32(const limits_f32_t *layer, const float *input, float *output)
{
    const limits_f32_t l = *layer;
    for (int32_t k = 0; k < l.values; k++) {
        output[k] = within_f32(input[k], l.minimum, l.maximum);
    }
}

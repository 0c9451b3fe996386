/* Mean over an axis. */
#include "kernels_plain.h"

void mean_f32(const mean_f32_t *layer, const float *input, float *output)
{
    const mean_f32_t l = *layer;
    for (int32_t outer = 0; outer < l.outer; outer++, input += l.count * l.inner) {
        for (int32_t inner = 0; inner < l.inner; inner++) {
            float sum = 0.0f;
            for (int32_t k = 0; k < l.count; k++) {
                sum += input[k * l.inner + inner];
            }
            *output++ = sum / (float)l.count;
        }
    }
}

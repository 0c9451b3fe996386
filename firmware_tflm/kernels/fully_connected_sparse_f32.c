/* Sparse float fully connected layer. */
#include "kernels_f32.h"
#include "within.h"

#ifdef __ARM_FEATURE_DSP
float multiply_nonzeros_f32(const uint32_t *stream, const float *input, int32_t fours, float bias);
#else
#include <string.h>

static float multiply_nonzeros_f32(const uint32_t *stream, const float *input, int32_t fours, float bias)
{
    for (; fours > 0; fours--, stream += 6) {
        uint16_t places[4];
        float weights[4];
        memcpy(places, stream, sizeof(places));
        memcpy(weights, stream + 2, sizeof(weights));
        for (int32_t i = 0; i < 4; i++) {
            bias += weights[i] * input[places[i]];
        }
    }
    return bias;
}
#endif

void fully_connected_sparse_f32(const sparse_fully_connected_f32_t *layer, const float *input, float *output)
{
    const sparse_fully_connected_f32_t l = *layer;
    const uint32_t *stream = l.stream;
    for (int32_t out = 0; out < l.outputs; stream += 6 * l.fours[out], out++) {
        output[out] = within_f32(multiply_nonzeros_f32(stream, input, l.fours[out], l.bias[out]), l.minimum, l.maximum);
    }
}

/* Dense float fully connected layer, weights packed for eight outputs. */
#include "kernels_f32.h"
#include "within.h"

#ifdef __ARM_FEATURE_DSP
void multiply_eight_f32(const float *stream, const float *input, int32_t input_pairs, float sums[8]);
#else
static void multiply_eight_f32(const float *stream, const float *input, int32_t input_pairs, float sums[8])
{
    for (int32_t out = 0; out < 8; out++) {
        sums[out] = stream[out];
        for (int32_t in = 0; in < 2 * input_pairs; in++) {
            sums[out] += stream[8 + 8 * in + out] * input[in];
        }
    }
}
#endif

void fully_connected_packed_f32(const packed_fully_connected_f32_t *layer, const float *input, float *output)
{
    const packed_fully_connected_f32_t l = *layer;
    const float *stream = l.stream;
    for (int32_t first = 0; first < l.outputs; first += 8, stream += 8 + 8 * l.inputs) {
        float sums[8];
        multiply_eight_f32(stream, input, l.inputs / 2, sums);
        for (int32_t i = 0; i < 8 && first + i < l.outputs; i++) {
            output[first + i] = within_f32(sums[i], l.minimum, l.maximum);
        }
    }
}

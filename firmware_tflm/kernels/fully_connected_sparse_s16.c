/* Sparse int16 fully connected layer. */
#include "kernels_s16.h"
#include "output_stage_s16.h"

#ifdef __ARM_FEATURE_DSP
int64_t multiply_nonzeros_s16(const uint8_t *stream, const int16_t *input, int64_t bias, int32_t fours);
#else
static int64_t multiply_nonzeros_s16(const uint8_t *stream, const int16_t *input, int64_t bias, int32_t fours)
{
    for (int32_t i = 0; i < 4 * fours; i++) {
        input += stream[2 * i] / 2;
        bias += (int8_t)stream[2 * i + 1] * *input;
    }
    return bias;
}
#endif

void fully_connected_sparse_s16(const sparse_fully_connected_s16_t *layer, const int16_t *input, int16_t *output)
{
    const sparse_fully_connected_s16_t l = *layer;
    const uint8_t *stream = l.stream;
    for (int32_t out = 0; out < l.outputs; stream += 8 * l.fours[out], out++) {
        const int64_t sum = multiply_nonzeros_s16(stream, input, l.bias[out], l.fours[out]);
        output[out] = output_stage_long_s16(sum, l.multiplier[out], l.minimum, l.maximum);
    }
}

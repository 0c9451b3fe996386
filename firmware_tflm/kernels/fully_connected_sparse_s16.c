/* Sparse int16 fully connected layer. */
#include "kernels_s16.h"
#include "output_stage_s16.h"

void fully_connected_sparse_s16(const sparse_fully_connected_s16_t *layer, const int16_t *input, int16_t *output)
{
    const sparse_fully_connected_s16_t l = *layer;
    const uint32_t *word = l.weights;
    for (int32_t out = 0; out < l.outputs; out++) {
        int64_t sum = l.bias[out];
        int32_t left = l.counts[out];
        for (; left >= 4; left -= 4, word += 4) {
            const uint32_t a = word[0], b = word[1], c = word[2], d = word[3];
            const int32_t x = input[a >> 16], y = input[b >> 16], z = input[c >> 16], w = input[d >> 16];
            sum += (int16_t)a * x;
            sum += (int16_t)b * y;
            sum += (int16_t)c * z;
            sum += (int16_t)d * w;
        }
        for (; left > 0; left--, word++) {
            sum += (int16_t)*word * input[*word >> 16];
        }
        output[out] = output_stage_long_s16(sum, l.multiplier[out], l.minimum, l.maximum);
    }
}

/* Dense int16 fully connected layer with int8 weights, packed for four outputs. */
#include "kernels_s16.h"
#include "output_stage_s16.h"

#ifdef __ARM_FEATURE_DSP
void multiply_four_s16(const int8_t *stream, const int16_t *input, int32_t inputs, int32_t sums[4]);
#else
static void multiply_four_s16(const int8_t *stream, const int16_t *input, int32_t inputs, int32_t sums[4])
{
    for (int32_t out = 0; out < 4; out++) {
        sums[out] = 0;
        for (int32_t in = 0; in < inputs; in++) { /* [inputs / 2][outputs / 2][2][2] */
            sums[out] += stream[in / 2 * 8 + out / 2 * 4 + in % 2 * 2 + out % 2] * input[in];
        }
    }
}
#endif

void fully_connected_packed_s16(const packed_fully_connected_s16_t *layer, const int16_t *input, int16_t *output)
{
    const packed_fully_connected_s16_t l = *layer;
    const int8_t *stream = l.stream;
    for (int32_t first = 0; first < l.outputs; first += 4) {
        const int64_t *const bias = l.bias + first;
        int64_t totals[4] = {bias[0], bias[1], bias[2], bias[3]};
        for (int32_t in = 0, part; in < l.inputs; in += part, stream += 4 * part) {
            int32_t sums[4];
            part = l.inputs - in < l.part ? l.inputs - in : l.part;
            multiply_four_s16(stream, input + in, part, sums);
            for (int32_t i = 0; i < 4; i++) {
                totals[i] += sums[i];
            }
        }
        for (int32_t i = 0; i < 4 && first + i < l.outputs; i++) {
            output[first + i] = output_stage_long_s16(totals[i], l.multiplier[first + i], l.minimum, l.maximum);
        }
    }
}

/* Fully connected layer that touches non-zero weights only. */
#include "output_stage.h"

#ifdef __ARM_FEATURE_DSP
void fully_connected_nonzeros(const uint8_t *stream, const int16_t *input, int16_t *output, int32_t outputs);
#else
static void fully_connected_nonzeros(const uint8_t *stream, const int16_t *input, int16_t *output, int32_t outputs)
{
    const uint32_t *word = (const uint32_t *)(const void *)stream;
    for (int32_t out = 0; out < outputs; out++) {
        const int32_t weights = (int32_t)*word++ * 2;
        const output_stage_t *const stage = (const output_stage_t *)(const void *)word;
        word += sizeof *stage / sizeof *word;
        int32_t sum = 0, place = -1;
        for (int32_t number = 0; number < weights; number++) {
            const uint32_t both = word[number / 2] >> 16 * (number % 2);
            place += (int32_t)(both >> 8 & 0xff) / 2;
            sum += (int8_t)both * input[place];
        }
        word += weights / 2;
        output[out] = output_stage(sum, stage);
    }
}
#endif

void fully_connected_sparse_s8(const packed_fully_connected_t *layer, const int16_t *input, int16_t *output)
{
    fully_connected_nonzeros(layer->stream, input, output, layer->outputs);
}

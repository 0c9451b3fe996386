/* Fully connected layer that touches blocks of four weights only that are not all zero. */
#include "kernels_sparse.h"
#include "output_stage.h"

#ifdef __ARM_FEATURE_DSP
void fully_connected_blocks4(const uint8_t *stream, const int16_t *input, int8_t *output, const int8_t *end,
                             int32_t twice_offset);
#else
/* Inputs stand in the order that SXTB16 makes of four bytes: 0, 2, 1, 3. */
static int32_t block(const uint32_t *weights, const int16_t *input)
{
    const int8_t *const w = (const int8_t *)weights;
    return w[0] * input[0] + w[2] * input[1] + w[1] * input[2] + w[3] * input[3];
}

static void fully_connected_blocks4(const uint8_t *stream, const int16_t *input, int8_t *output, const int8_t *end,
                                    int32_t twice_offset)
{
    const uint32_t *word = (const uint32_t *)(const void *)stream;
    for (; output < end; output++) {
        const sparse_output_t head = *(const sparse_output_t *)(const void *)word;
        word += sizeof head / sizeof *word;
        const uint32_t *const last = word + head.bytes_and_shift / 1024;
        const int16_t *values = input - 4;
        int32_t sum = head.bias;
        for (; word < last; word += 5) {
            for (int32_t number = 0; number < 4; number++) {
                values += (word[0] >> 8 * number & 0xff) / sizeof *values;
                sum += block(&word[number + 1], values);
            }
        }
        word++;
        const int32_t right_shift = head.bytes_and_shift & 0xff;
        const output_stage_t stage = {0, head.multiplier, twice_offset * (1 << right_shift) >> 1, right_shift};
        *output = (int8_t)output_stage(sum, &stage);
    }
}
#endif

void fully_connected_block4_s8(const sparse_fully_connected_t *layer, const int16_t *input, int8_t *output)
{
    fully_connected_blocks4(layer->stream, input, output, output + layer->outputs, 2 * layer->output_offset + 1);
}

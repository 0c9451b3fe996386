/* Fully connected layer that touches non-zero weights only. */
#include "kernels_sparse.h"
#include "output_stage.h"

#ifdef __ARM_FEATURE_DSP
void fully_connected_nonzeros(const uint8_t *stream, const int8_t *input, int8_t *output, const int8_t *end,
                              int32_t twice_offset);
#else
static void fully_connected_nonzeros(const uint8_t *stream, const int8_t *input, int8_t *output, const int8_t *end,
                                     int32_t twice_offset)
{
    const uint32_t *word = (const uint32_t *)(const void *)stream;
    for (; output < end; output++) {
        const sparse_output_t head = *(const sparse_output_t *)(const void *)word;
        word += sizeof head / sizeof *word;
        const uint32_t *const last = word + head.bytes_and_shift / 1024;
        int32_t sum = head.bias, place = -1;
        for (; word < last; word++) {
            for (uint32_t shift = 0; shift < 32; shift += 16) {
                place += (int32_t)(*word >> (shift + 8) & 0xff);
                sum += (int8_t)(*word >> shift) * input[place];
            }
        }
        const int32_t right_shift = head.bytes_and_shift & 0xff;
        const output_stage_t stage = {0, head.multiplier, twice_offset * (1 << right_shift) >> 1, right_shift};
        *output = (int8_t)output_stage(sum, &stage);
    }
}
#endif

void fully_connected_sparse_s8(const sparse_fully_connected_t *layer, const int8_t *input, int8_t *output)
{
    fully_connected_nonzeros(layer->stream, input, output, output + layer->outputs, 2 * layer->output_offset + 1);
}

/* Convolution that touches blocks of four weights only that are not all zero, each at nine positions at once. */
#include "kernels_sparse.h"
#include "output_stage.h"

#define POSITIONS 9

#ifdef __ARM_FEATURE_DSP
void convolve_blocks4(const uint8_t *stream, const int16_t *panel, int8_t *output, int32_t filters);
#else
/* Two weights of a block, and their words of the panel. */
static void add_pair(int32_t sums[POSITIONS], int32_t a, int32_t b, const int16_t *panel)
{
    for (int32_t position = 0; position < POSITIONS; position++, panel += 2 * BLOCK4_PANEL_WORDS) {
        sums[position] += a * panel[0] + b * panel[1];
    }
}

static void convolve_blocks4(const uint8_t *stream, const int16_t *panel, int8_t *output, int32_t filters)
{
    for (const int8_t *const end = output + filters; output < end; output++) {
        const block4_head_t head = *(const block4_head_t *)(const void *)stream;
        const uint8_t *group = stream + sizeof head;
        const int16_t *column = panel - 2 + *group / 2;
        int32_t sums[POSITIONS], number = 0, distance;
        for (int32_t position = 0; position < POSITIONS; position++) {
            sums[position] = head.twice_bias;
        }
        do {
            const int8_t *const w = (const int8_t *)group + 4 * number + 4;
            add_pair(sums, w[0], w[2], column);
            add_pair(sums, w[1], w[3], column + POSITIONS * 2 * BLOCK4_PANEL_WORDS);
            number = (number + 1) % 4;
            group += number ? 0 : 20;
            distance = group[number];
            column += distance / 2;
        } while (distance);
        const output_stage_t stage = {0, head.multiplier, head.rounding, head.bytes_and_shift & 0xff};
        for (int32_t position = 0; position < POSITIONS; position++) {
            output[position * filters] = (int8_t)output_stage(sums[position] / 2, &stage);
        }
        stream += head.bytes_and_shift >> 8;
    }
}
#endif

void convolve_block4_s8(const sparse_convolution_t *layer, const int16_t *input, int8_t *output)
{
    convolve_blocks4(layer->stream, input, output, layer->filters);
}

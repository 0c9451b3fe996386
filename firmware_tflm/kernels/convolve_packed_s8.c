/* Dense convolution over panels of positions, weights packed for two filters at a time. */
#include "output_stage.h"

#ifdef __ARM_FEATURE_DSP
void convolve_pair(const output_stage_t *stream, const int16_t *panels, int16_t *output, int32_t positions,
                   int32_t columns);
#else
static void convolve_panel(const output_stage_t *stream, const int16_t *panel, int16_t *output, int32_t positions,
                           int32_t columns, int32_t width)
{
    const uint32_t *const weights = (const uint32_t *)(stream + 2);
    for (int32_t position = 0; position < width; position++) {
        int32_t both = 0, second = 0;
        for (int32_t column = 0; column < columns; column++) {
            const int16_t weight = (int16_t)(weights[column / 2] >> 16 * (column % 2));
            const int32_t value = panel[(column / 2 * width + position) * 2 + column % 2];
            both += weight * value;
            second += (int8_t)weight * value;
        }
        output[position] = output_stage((both - second) >> 8, &stream[0]);
        output[positions + position] = output_stage(second, &stream[1]);
    }
}

static void convolve_pair(const output_stage_t *stream, const int16_t *panels, int16_t *output, int32_t positions,
                          int32_t columns)
{
    const int16_t *end = panels + PANEL_BYTES / 2;
    for (int32_t position = 0, width; position < positions; position += width, end += PANEL_BYTES / 2) {
        width = position + 4 <= positions ? 4 : 1;
        convolve_panel(stream, end - columns * width, output + position, positions, columns, width);
    }
}
#endif

void convolve_packed_s8(const packed_convolution_t *layer, const int16_t *input, int16_t *output)
{
    const packed_convolution_t l = *layer;
    const uint8_t *stream = l.stream;
    for (int32_t filter = 0; filter < l.filters; filter += 2, output += 2 * l.positions) {
        convolve_pair((const output_stage_t *)(const void *)stream, input, output, l.positions, l.columns);
        stream += 2 * sizeof(output_stage_t) + (uint32_t)l.columns * 2;
    }
}

/* Dense int16 convolution with int8 weights: patches of three positions at a time, weights packed for two filters. */
#include "kernels_s16.h"
#include "patch_s16.h"

#ifdef __ARM_FEATURE_DSP
void convolve_pair_s16(const int32_t *stream, const int16_t *panel, int16_t *output, int32_t columns, int32_t stride,
                       int32_t minimum, int32_t panels);
#else
#include "output_stage_s16.h"

/* stream: bias and multiplier of filter a, then of b, then their weights; stride in bytes; minimum twice in a word. */
static void convolve_pair_s16(const int32_t *stream, const int16_t *panel, int16_t *output, int32_t columns,
                              int32_t stride, int32_t minimum, int32_t panels)
{
    const int8_t *const weights = (const int8_t *)(stream + 4);
    for (int32_t position = 0; position < 3 * panels; position++, output += stride / 2) {
        const int16_t *const values = panel + position / 3 * 3 * columns + position % 3 * 2;
        int32_t a = stream[0], b = stream[2];
        for (int32_t column = 0; column < columns; column++) {
            const int32_t value = values[column / 2 * 6 + column % 2];
            a += weights[2 * column] * value;
            b += weights[2 * column + 1] * value;
        }
        output[0] = output_stage_s16(a, stream[1], (int16_t)minimum);
        output[1] = output_stage_s16(b, stream[3], (int16_t)minimum);
    }
}
#endif

/* [columns / 2][3 positions][2 columns], zeros where columns fill up. */
static void write_panel(const packed_convolution_s16_t *l, const int16_t *input, int32_t first, int16_t *panel)
{
    const int32_t used = l->geometry.kernel_height * l->geometry.kernel_width * l->geometry.input_channels;
    for (int32_t i = 0; i < 3; i++) {
        write_patch_s16(&l->geometry, input, first + i, panel + 2 * i, 6, 1);
        for (int32_t k = used; k < l->columns; k++) {
            panel[k / 2 * 6 + 2 * i + k % 2] = 0;
        }
    }
}

/* What does not fill three positions, or two filters: by way of `pairs`. */
static void convolve_rest(const packed_convolution_s16_t *l, const int32_t *stream, const int16_t *panel,
                          int16_t *output, int32_t positions, int32_t filters)
{
    _Alignas(4) int16_t pairs[6];
    convolve_pair_s16(stream, panel, pairs, l->columns, 4, l->minimum, 1);
    for (int32_t i = 0; i < positions; i++) {
        for (int32_t filter = 0; filter < filters; filter++) {
            output[i * l->geometry.output_channels + filter] = pairs[2 * i + filter];
        }
    }
}

void convolve_packed_s16(const packed_convolution_s16_t *layer, const int16_t *input, int16_t *output)
{
    const packed_convolution_s16_t l = *layer;
    const int32_t positions = l.geometry.output_height * l.geometry.output_width, channels = l.geometry.output_channels;
    for (int32_t first = 0; first < positions; first += 3 * l.panels, output += 3 * l.panels * channels) {
        const int32_t left = positions - first, width = left < 3 * l.panels ? left : 3 * l.panels;
        for (int32_t i = 0; i < width; i += 3) {
            write_panel(&l, input, first + i, l.scratch + i * l.columns);
        }
        const int32_t *stream = (const int32_t *)(const void *)l.stream;
        for (int32_t channel = 0; channel < channels; channel += 2, stream += 4 + l.columns / 2) {
            const int32_t whole = channels % 2 ? 0 : width / 3;
            if (whole) {
                convolve_pair_s16(stream, l.scratch, output + channel, l.columns, 2 * channels, l.minimum, whole);
            }
            for (int32_t i = 3 * whole; i < width; i += 3) {
                convolve_rest(&l, stream, l.scratch + i * l.columns, output + i * channels + channel,
                              width - i < 3 ? width - i : 3, channel + 1 < channels ? 2 : 1);
            }
        }
    }
}

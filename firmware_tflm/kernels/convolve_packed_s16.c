/* Dense int16 convolution with int8 weights: patches of three positions at a time, weights packed for two filters. */
#include <string.h>

#include "kernels_s16.h"

#ifdef __ARM_FEATURE_DSP
void convolve_pair_s16(const int32_t *stream, const int16_t *panel, int16_t *output, int32_t columns, int32_t stride,
                       uint32_t minimum, int32_t panels);
#else
static int16_t output_stage(int32_t sum, int32_t multiplier, int16_t minimum)
{
    const int32_t value = (int32_t)(((int64_t)sum * multiplier + (1ll << 31)) >> 32);
    return (int16_t)(value < minimum ? minimum : value > INT16_MAX ? INT16_MAX : value);
}

/* stream: bias and multiplier of filter a, then of b, then their weights; stride in bytes; minimum twice in a word. */
static void convolve_pair_s16(const int32_t *stream, const int16_t *panel, int16_t *output, int32_t columns,
                              int32_t stride, uint32_t minimum, int32_t panels)
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
        output[0] = output_stage(a, stream[1], (int16_t)minimum);
        output[1] = output_stage(b, stream[3], (int16_t)minimum);
    }
}
#endif

/* `n` values, or zeros, from row k of one column of a panel; returns where the next row follows. */
__attribute__((noinline)) static int32_t write_run(int16_t *place, int32_t k, const int16_t *values, int32_t n)
{
    const int32_t end = k + n;
    if (!values) {
        for (; k < end; k++) {
            place[k / 2 * 6 + k % 2] = 0;
        }
        return end;
    }
    if (k < end && k % 2) {
        place[k / 2 * 6 + 1] = *values++;
        k++;
    }
    for (place += k * 3; k + 2 <= end; k += 2, place += 6, values += 2) {
        memcpy(place, values, 4);
    }
    if (k < end) {
        *place = *values;
    }
    return end;
}

/* The patch of an output position as one column of a panel: [columns / 2][3 positions][2]. */
static void write_patch(const packed_convolution_s16_t *l, const int16_t *input, int32_t y, int32_t x, int16_t *place)
{
    const int32_t run = l->kernel_width * l->input_channels;
    int32_t k = 0;
    for (int32_t row = y; row < y + l->kernel_height; row++) {
        const int16_t *const values = input + (row * l->input_width + x) * l->input_channels;
        if (row < 0 || row >= l->input_height) {
            k = write_run(place, k, NULL, run);
        } else if (x >= 0 && x + l->kernel_width <= l->input_width) {
            k = write_run(place, k, values, run);
        } else {
            for (int32_t kx = 0; kx < l->kernel_width; kx++) {
                const int outside = x + kx < 0 || x + kx >= l->input_width;
                k = write_run(place, k, outside ? NULL : values + kx * l->input_channels, l->input_channels);
            }
        }
    }
    write_run(place, k, NULL, l->columns - k);
}

static void write_panel(const packed_convolution_s16_t *l, const int16_t *input, int32_t first, int16_t *panel)
{
    const int32_t last = l->output_height * l->output_width - 1;
    for (int32_t i = 0; i < 3; i++) {
        const int32_t position = first + i < last ? first + i : last;
        const int32_t y = position / l->output_width * l->stride_height - l->pad_height;
        const int32_t x = position % l->output_width * l->stride_width - l->pad_width;
        write_patch(l, input, y, x, panel + 2 * i);
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
            output[i * l->output_channels + filter] = pairs[2 * i + filter];
        }
    }
}

void convolve_packed_s16(const packed_convolution_s16_t *layer, const int16_t *input, int16_t *output)
{
    const packed_convolution_s16_t l = *layer;
    const int32_t positions = l.output_height * l.output_width, channels = l.output_channels;
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

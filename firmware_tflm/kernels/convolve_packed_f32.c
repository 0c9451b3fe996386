/* Dense float convolution: patches of nine positions at a time, weights packed for two filters. */
#include <stddef.h>

#include "kernels_f32.h"

#ifdef __ARM_FEATURE_DSP
void convolve_nine_f32(const float *stream, const float *panel, int32_t column_pairs, float *output, int32_t stride,
                       float minimum, float maximum);
#else
#include "clamp_f32.h"

/* stream: the biases of two filters, then their weights; stride in bytes. */
static void convolve_nine_f32(const float *stream, const float *panel, int32_t column_pairs, float *output,
                              int32_t stride, float minimum, float maximum)
{
    for (int32_t position = 0; position < 9; position++, output += stride / 4) {
        const float *even = panel + position, *odd = panel + (position < 8 ? 10 + position : 9);
        float a = stream[0], b = stream[1];
        for (int32_t pair = 0; pair < column_pairs; pair++) {
            const float *weights = stream + 2 + 4 * pair;
            a += weights[0] * even[18 * pair] + weights[2] * odd[18 * pair];
            b += weights[1] * even[18 * pair] + weights[3] * odd[18 * pair];
        }
        output[0] = clamp(a, minimum, maximum);
        output[1] = clamp(b, minimum, maximum);
    }
}
#endif

/* `n` values, or zeros, from row k of one column of a panel, whose even and odd rows lie `odd` values apart; returns
 * where the next row follows. */
__attribute__((noinline)) static int32_t write_run(float *place, int32_t odd, int32_t k, const float *values, int32_t n)
{
    const int32_t end = k + n;
    if (!values) {
        for (; k < end; k++) {
            place[k / 2 * 18 + k % 2 * odd] = 0.0f;
        }
        return end;
    }
    if (k < end && k % 2) {
        place[k / 2 * 18 + odd] = *values++;
        k++;
    }
    for (place += k / 2 * 18; k + 2 <= end; k += 2, place += 18, values += 2) {
        place[0] = values[0];
        place[odd] = values[1];
    }
    if (k < end) {
        place[0] = *values;
    }
    return end;
}

/* The patch of an output position as one column of a panel. */
static void write_patch(const packed_convolution_f32_t *l, const float *input, int32_t y, int32_t x, float *place,
                        int32_t odd)
{
    const int32_t run = l->kernel_width * l->input_channels;
    int32_t k = 0;
    for (int32_t row = y; row < y + l->kernel_height; row++) {
        const float *const values = input + (row * l->input_width + x) * l->input_channels;
        if (row < 0 || row >= l->input_height) {
            k = write_run(place, odd, k, NULL, run);
        } else if (x >= 0 && x + l->kernel_width <= l->input_width) {
            k = write_run(place, odd, k, values, run);
        } else {
            for (int32_t kx = 0; kx < l->kernel_width; kx++) {
                const int outside = x + kx < 0 || x + kx >= l->input_width;
                k = write_run(place, odd, k, outside ? NULL : values + kx * l->input_channels, l->input_channels);
            }
        }
    }
    write_run(place, odd, k, NULL, k % 2);
}

static void write_panel(const packed_convolution_f32_t *l, const float *input, int32_t first, float *panel)
{
    const int32_t last = l->output_height * l->output_width - 1;
    for (int32_t i = 0; i < 9; i++) {
        const int32_t position = first + i < last ? first + i : last;
        const int32_t y = position / l->output_width * l->stride_height - l->pad_height;
        const int32_t x = position % l->output_width * l->stride_width - l->pad_width;
        write_patch(l, input, y, x, panel + i, i < 8 ? 10 : 1);
    }
}

/* What does not fill nine positions, or two filters: by way of `outputs`. */
static void convolve_rest(const packed_convolution_f32_t *l, const float *stream, const float *panel, int32_t pairs,
                          float *output, int32_t positions, int32_t filters)
{
    float outputs[18];
    convolve_nine_f32(stream, panel, pairs, outputs, 8, l->minimum, l->maximum);
    for (int32_t i = 0; i < positions; i++) {
        for (int32_t filter = 0; filter < filters; filter++) {
            output[i * l->output_channels + filter] = outputs[2 * i + filter];
        }
    }
}

void convolve_packed_f32(const packed_convolution_f32_t *layer, const float *input, float *output)
{
    const packed_convolution_f32_t l = *layer;
    const int32_t positions = l.output_height * l.output_width, channels = l.output_channels;
    const int32_t pairs = (l.kernel_height * l.kernel_width * l.input_channels + 1) / 2;
    for (int32_t first = 0; first < positions; first += 9 * l.panels, output += 9 * l.panels * channels) {
        const int32_t left = positions - first, width = left < 9 * l.panels ? left : 9 * l.panels;
        for (int32_t i = 0; i < width; i += 9) {
            write_panel(&l, input, first + i, l.scratch + 2 * i * pairs);
        }
        const float *stream = l.stream;
        for (int32_t channel = 0; channel < channels; channel += 2, stream += 2 + 4 * pairs) {
            for (int32_t i = 0; i < width; i += 9) {
                const float *const panel = l.scratch + 2 * i * pairs;
                float *const out = output + i * channels + channel;
                if (i + 9 <= width && channel + 1 < channels) {
                    convolve_nine_f32(stream, panel, pairs, out, 4 * channels, l.minimum, l.maximum);
                } else {
                    convolve_rest(&l, stream, panel, pairs, out, width - i < 9 ? width - i : 9,
                                  channel + 1 < channels ? 2 : 1);
                }
            }
        }
    }
}

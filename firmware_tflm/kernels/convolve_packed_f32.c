/* Dense float convolution: patches of nine positions at a time, weights packed for two filters. */
#include "kernels_f32.h"
#include "patch_f32.h"

#ifdef __ARM_FEATURE_DSP
void convolve_nine_f32(const float *stream, const float *panel, int32_t column_pairs, float *output, int32_t stride,
                       float minimum, float maximum);
#else
#include "within.h"

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
        output[0] = within_f32(a, minimum, maximum);
        output[1] = within_f32(b, minimum, maximum);
    }
}
#endif

/* A pair of columns takes 18 values: positions 0 to 7 of the even one, position 8 of both, 0 to 7 of the odd one. */
static void write_panel(const geometry_t *geometry, const float *input, int32_t first, float *panel)
{
    const int32_t columns = geometry->kernel_height * geometry->kernel_width * geometry->input_channels;
    for (int32_t i = 0; i < 9; i++) {
        write_patch_f32(geometry, input, first + i, panel + i, 18, i < 8 ? 10 : 1);
        if (columns % 2) {
            panel[columns / 2 * 18 + (i < 8 ? 10 + i : 9)] = 0.0f;
        }
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
            output[i * l->geometry.output_channels + filter] = outputs[2 * i + filter];
        }
    }
}

void convolve_packed_f32(const packed_convolution_f32_t *layer, const float *input, float *output)
{
    const packed_convolution_f32_t l = *layer;
    const int32_t positions = l.geometry.output_height * l.geometry.output_width, channels = l.geometry.output_channels;
    const int32_t columns = l.geometry.kernel_height * l.geometry.kernel_width * l.geometry.input_channels;
    const int32_t pairs = (columns + 1) / 2;
    for (int32_t first = 0; first < positions; first += 9 * l.panels, output += 9 * l.panels * channels) {
        const int32_t left = positions - first, width = left < 9 * l.panels ? left : 9 * l.panels;
        for (int32_t i = 0; i < width; i += 9) {
            write_panel(&l.geometry, input, first + i, l.scratch + 2 * i * pairs);
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

/* Sparse float convolution: each non-zero weight meets nine positions. */
#include "kernels_f32.h"
#include "patch_f32.h"

#ifdef __ARM_FEATURE_DSP
void convolve_nonzeros_f32(const int32_t *stream, const float *panel, float *output, int32_t stride, float minimum,
                           float maximum);
#else
#include <string.h>

#include "within.h"

static float float_at(const int32_t *place)
{
    float value;
    memcpy(&value, place, 4);
    return value;
}

/* stream: that of one filter; stride in bytes. */
static void convolve_nonzeros_f32(const int32_t *stream, const float *panel, float *output, int32_t stride,
                                  float minimum, float maximum)
{
    float sums[9];
    for (int32_t i = 0; i < 9; i++) {
        sums[i] = float_at(stream + 1);
    }
    const int32_t count = *stream;
    stream += 2;
    for (int32_t nonzero = 0; nonzero < count; nonzero++, stream += 2) {
        panel += *stream / 4;
        for (int32_t i = 0; i < 9; i++) {
            sums[i] += float_at(stream + 1) * panel[i];
        }
    }
    for (int32_t i = 0; i < 9; i++) {
        output[i * stride / 4] = within_f32(sums[i], minimum, maximum);
    }
}
#endif

void convolve_sparse_f32(const sparse_convolution_f32_t *layer, const float *input, float *output)
{
    const sparse_convolution_f32_t l = *layer;
    const int32_t positions = l.geometry.output_height * l.geometry.output_width, channels = l.geometry.output_channels;
    for (int32_t first = 0; first < positions; first += 9, output += 9 * channels) {
        for (int32_t i = 0; i < 9; i++) {
            write_patch_f32(&l.geometry, input, first + i, l.scratch + i, 18, 9);
        }
        const int32_t *stream = l.stream;
        for (int32_t channel = 0; channel < channels; channel++, stream += 2 + 2 * (*stream + 2)) {
            if (first + 9 <= positions) {
                convolve_nonzeros_f32(stream, l.scratch, output + channel, 4 * channels, l.minimum, l.maximum);
                continue;
            }
            float outputs[9];
            convolve_nonzeros_f32(stream, l.scratch, outputs, 4, l.minimum, l.maximum);
            for (int32_t i = 0; first + i < positions; i++) {
                output[i * channels + channel] = outputs[i];
            }
        }
    }
}

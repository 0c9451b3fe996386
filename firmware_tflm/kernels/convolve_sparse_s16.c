/* Sparse int16 convolution: each non-zero weight meets nine positions. */
#include "kernels_s16.h"
#include "output_stage_s16.h"
#include "patch_s16.h"

#ifdef __ARM_FEATURE_DSP
void convolve_nonzeros_s16(const int32_t *stream, const int16_t *panel, int32_t bias, int32_t sums[9]);
#else
static void convolve_nonzeros_s16(const int32_t *stream, const int16_t *panel, int32_t bias, int32_t sums[9])
{
    for (int32_t i = 0; i < 9; i++) {
        sums[i] = bias;
    }
    for (uint32_t word = 0x10000; word >= 0x10000; panel += (word >> 16) / 2) {
        word = (uint32_t)*stream++;
        for (int32_t i = 0; i < 9; i++) {
            sums[i] += (int16_t)word * panel[i];
        }
    }
}
#endif

__attribute__((always_inline)) static inline void write_outputs(const int32_t *sums, const int32_t *stream,
                                                                int16_t *output, int32_t channels, int32_t width)
{
    const int32_t multiplier = stream[1], minimum = stream[2];
    for (int32_t i = 0; i < width; i++, output += channels) {
        *output = output_stage_s16(sums[i], multiplier, minimum);
    }
}

void convolve_sparse_s16(const sparse_convolution_s16_t *layer, const int16_t *input, int16_t *output)
{
    const sparse_convolution_s16_t l = *layer;
    const int32_t positions = l.geometry.output_height * l.geometry.output_width, channels = l.geometry.output_channels;
    for (int32_t first = 0; first < positions; first += 9, output += 9 * channels) {
        for (int32_t i = 0; i < 9; i++) {
            write_patch_s16(&l.geometry, input, first + i, l.scratch + i, 20, 10);
        }
        const int32_t width = positions - first < 9 ? positions - first : 9, *stream = l.stream;
        for (int32_t channel = 0; channel < channels; channel++, stream += 5 + stream[3]) {
            int32_t sums[9];
            convolve_nonzeros_s16(stream + 5, l.scratch + stream[4] / 2, stream[0], sums);
            if (width == 9) {
                write_outputs(sums, stream, output + channel, channels, 9);
            } else {
                write_outputs(sums, stream, output + channel, channels, width);
            }
        }
    }
}

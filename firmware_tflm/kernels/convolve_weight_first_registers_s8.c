/* Convolution, weight first: each weight meets all nine positions, whose accumulators are local variables. */
#include <stdbool.h>

#include "kernels_sparse.h"
#include "requantize.h"

/* The outputs of a channel. A function of its own: unrolled in the loops, it would not fit the instruction cache. */
__attribute__((noinline)) static void store(const convolution_t *l, const int32_t *sums, int32_t weights,
                                            int32_t channel, int8_t *output)
{
    const int32_t bias = l->bias[channel] + weights * l->quantization.input_offset;
    for (const int32_t *const end = sums + CONVOLVE_REGISTERS; sums < end; sums++, output += l->output_channels) {
        *output = requantize(*sums + bias, &l->quantization, channel);
    }
}

static inline void convolve(const convolution_t *layer, const int8_t *input, int8_t *output, bool skip, int32_t step)
{
    const convolution_t l = *layer;
    const int32_t run = l.kernel_width * l.input_channels;
    const int32_t row = l.input_width * l.input_channels;
    const int8_t *weight = l.weights;
    for (int32_t channel = 0; channel < l.output_channels; channel++) {
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0, s8 = 0, weights = 0;
        for (int32_t ky = 0; ky < l.kernel_height; ky++) {
            const int8_t *value = input + ky * row;
            for (const int8_t *const end = value + run; value < end; value++) {
                const int32_t w = *weight++;
                if (skip && !w) {
                    continue;
                }
                s0 += w * value[0];
                s1 += w * value[1 * step];
                s2 += w * value[2 * step];
                s3 += w * value[3 * step];
                s4 += w * value[4 * step];
                s5 += w * value[5 * step];
                s6 += w * value[6 * step];
                s7 += w * value[7 * step];
                s8 += w * value[8 * step];
                weights += w;
            }
        }
        const int32_t sums[CONVOLVE_REGISTERS] = {s0, s1, s2, s3, s4, s5, s6, s7, s8};
        store(layer, sums, weights, channel, output + channel);
    }
}

/* With a constant step from one position to the next, the compiler needs one pointer instead of nine. */
static inline void choose_step(const convolution_t *layer, const int8_t *input, int8_t *output, bool skip)
{
    const int32_t step = layer->stride_width * layer->input_channels;
    if (step == 4) {
        convolve(layer, input, output, skip, 4);
    } else {
        convolve(layer, input, output, skip, step);
    }
}

void convolve_weight_first_registers_s8(const convolution_t *layer, const int8_t *input, int8_t *output)
{
    choose_step(layer, input, output, false);
}

void convolve_weight_first_registers_skip_s8(const convolution_t *layer, const int8_t *input, int8_t *output)
{
    choose_step(layer, input, output, true);
}

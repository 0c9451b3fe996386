/* What the kernels weight first share. */
#ifndef WEIGHT_FIRST_S8_H
#define WEIGHT_FIRST_S8_H

#include "kernels.h"

/* Add the products of one weight, at (ky, kx) of its filter, to the sums of all positions; `input` is at its channel. */
static inline void one_weight(const convolution_t *l, int32_t weight, const int8_t *input, int32_t ky, int32_t kx,
                              int32_t *sums)
{
    for (int32_t row = 0; row < l->output_height; row++) {
        const int32_t y = row * l->stride_height - l->pad_height + ky;
        for (int32_t column = 0; column < l->output_width; column++, sums++) {
            const int32_t x = column * l->stride_width - l->pad_width + kx;
            if (y >= 0 && y < l->input_height && x >= 0 && x < l->input_width) {
                *sums += weight * (input[(y * l->input_width + x) * l->input_channels] + l->quantization.input_offset);
            }
        }
    }
}

#endif

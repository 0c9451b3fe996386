/* Dense int8 kernels for networks of any shape, with SIMD: int8 tensors in and out, as TensorFlow Lite lays them.
 * kwslib/kernels_dense.py fills the structs and packs the weights. */
#ifndef KERNELS_DENSE_H
#define KERNELS_DENSE_H

#include "kernels.h"

/* A convolution as a product of matrices. The patch of a position is `runs` runs of values that follow each other in
 * the input; a run is padded to a multiple of 4 with values that meet zero weights.
 *
 * The stream holds, for each two filters a and b, two output_stage_t and then columns int16 256 a[k] + b[k], where
 * weights are between -127 and 127 and those of a add up to less than 2^16 in magnitude; an odd last filter stands for
 * both. At its end 8 bytes more are read. */
typedef struct {
    int32_t input_height, input_row;     /* rows, and values of each */
    int32_t padded_height, padded_row;   /* the same with the border; 0 and 0: there is none */
    int32_t border_height, border_value; /* rows above and values to the left that are border */
    int32_t zero_point;                  /* of the input: what the border holds */
    int32_t output_width;                /* positions in a row */
    int32_t step_height, step_width;     /* values from one position to the next, down and to the right */
    int32_t runs, run, run_step;         /* values of a run, and from one run to the next */
    int32_t positions, columns, filters; /* columns: runs * run, a multiple of 4 */
    int32_t block;                       /* positions that `panels` has room for: a multiple of 4, or all */
    int32_t minimum, maximum;
    const uint8_t *stream;
    int32_t panel_bytes; /* block * columns * 2 + 16; a block 4k + 3 counts as 4k + 4 */
    int16_t *panels;     /* so many bytes, and behind them padded_height * padded_row + 4 for the input with its border */
} simd_convolution_t;

void convolve_simd_s8(const simd_convolution_t *layer, const int8_t *input, int8_t *output);

/* A depthwise convolution with kernels of 3 x 3, stride 1, one filter for each of at least four channels, with a border of
 * at most one value; of one row, or of at least four.
 *
 * The stream holds, for each channel, 2 w[0][x], 2 w[1][x], 2 w[1][x], 2 w[2][x] for each column x of the kernel, int16,
 * and then an output_stage_t. */
typedef struct {
    int32_t input_height, input_width, channels;
    int32_t border_height, border_width; /* rows above and columns to the left that are border */
    int32_t zero_point;                  /* of the input: what the border holds */
    int32_t output_height, output_width;
    int32_t minimum, maximum;
    const uint8_t *stream;
    uint32_t *planes; /* 4 * (output_height / 2 + 1, rounded up) * SIMD_PLANE_COLUMNS words */
} simd_depthwise_t;

#define SIMD_PLANE_COLUMNS 16 /* with the border */
void depthwise_convolve_simd_s8(const simd_depthwise_t *layer, const int8_t *input, int8_t *output);

/* Average of all positions, at most 256, for each of at least four channels. */
typedef struct {
    int32_t positions, channels;
    int32_t minimum, maximum;
} simd_pooling_t;

void average_pool_simd_s8(const simd_pooling_t *layer, const int8_t *input, int8_t *output);

/* Sum of two tensors. The tables hold what each value contributes, in units of multiplier * 2^-(31 + right_shift);
 * rounding and right_shift as in output_stage_t. */
typedef struct {
    int32_t values;
    const int32_t *first, *second; /* [256]: of the values 0 to 127, then -128 to -1 */
    int32_t multiplier, rounding, right_shift;
    int32_t minimum, maximum;
} simd_addition_t;

void add_simd_s8(const simd_addition_t *layer, const int8_t *first, const int8_t *second, int8_t *output);

#endif

/* Kernels for int16 activations and int8 weights (int16x8), bit for bit equal to the reference kernels of TensorFlow
 * Lite Micro.
 *
 * Tensors lie as kernels.h says; zero points are 0, bias and accumulators have 64 bits. Of `quantization` the offsets
 * are 0; its multiplier is rounded to 15 bits before use, as TensorFlow Lite Micro does for 64-bit accumulators.
 */
#ifndef KERNELS_S16_H
#define KERNELS_S16_H

#include "kernels_convolution.h"

typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t kernel_height, kernel_width;
    int32_t output_height, output_width, output_channels;
    int32_t stride_height, stride_width;
    int32_t pad_height, pad_width; /* zeros above and to the left */
    const int8_t *weights;
    const int64_t *bias;
    quantization_t quantization;
} convolution_s16_t;

typedef struct {
    int32_t inputs, outputs;
    const int8_t *weights; /* [outputs][inputs] */
    const int64_t *bias;
    quantization_t quantization;
} fully_connected_s16_t;

/* Plain loops, one output after the other; then the same with an `if` that skips zero weights. */
void convolve_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);
void convolve_skip_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);
void depthwise_convolve_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);
void depthwise_convolve_skip_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);
void fully_connected_s16(const fully_connected_s16_t *layer, const int16_t *input, int16_t *output);
void fully_connected_skip_s16(const fully_connected_s16_t *layer, const int16_t *input, int16_t *output);

/* Weight first: each weight meets all positions, at most CONVOLVE_POSITIONS, before the next one is read. The
 * accumulators of a filter lie in memory. */
void convolve_weight_first_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);
void convolve_weight_first_skip_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);

/* The same with the accumulators in registers, of 32 bits: nine positions in a row, no padding; the magnitudes of
 * weights and bias have to keep sums below 2^31. */
void convolve_weight_first_nine_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);
void convolve_weight_first_nine_skip_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);

/* The same with weights that were expanded to int16 beforehand. */
typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t kernel_height, kernel_width;
    int32_t output_height, output_width, output_channels;
    int32_t stride_height, stride_width;
    int32_t pad_height, pad_width;
    const int16_t *weights;
    const int64_t *bias;
    quantization_t quantization;
} expanded_convolution_s16_t;

typedef struct {
    int32_t inputs, outputs;
    const int16_t *weights;
    const int64_t *bias;
    quantization_t quantization;
} expanded_fully_connected_s16_t;

/* One output after the other, two products at a time: by SMLALD with sums of 64 bits; by SMLAD with sums of 32 bits,
 * for which 2^15 times the sum of |weights| of an output has to be below 2^31; the same with int8 weights, expanded on
 * the fly. */
void convolve_simd_long_s16(const expanded_convolution_s16_t *layer, const int16_t *input, int16_t *output);
void convolve_simd_s16(const expanded_convolution_s16_t *layer, const int16_t *input, int16_t *output);
void convolve_simd_expand_s16(const convolution_s16_t *layer, const int16_t *input, int16_t *output);
void fully_connected_simd_long_s16(const expanded_fully_connected_s16_t *layer, const int16_t *input, int16_t *output);
void fully_connected_simd_s16(const expanded_fully_connected_s16_t *layer, const int16_t *input, int16_t *output);
void fully_connected_simd_expand_s16(const fully_connected_s16_t *layer, const int16_t *input, int16_t *output);

/* ---- Packed layers: streams of weights that kwslib/packers_wide.py writes.
 *
 * Dense convolution of any size with 32-bit sums: for every filter, 2^15 times the sum of |weights| plus |bias| is
 * below 2^31. The stream holds, for each two filters a and b (zeros where the last one is missing), bias and multiplier
 * of both, int32, and then int8 a[k], b[k] for each column k; at its end 4 bytes more are read. An output is
 * sum * multiplier / 2^32, rounded to nearest, and at least the minimum. */
typedef struct {
    geometry_t geometry;
    int32_t columns; /* weights of a filter, with zeros up to a multiple of 16 */
    int32_t panels;  /* of three positions that `scratch` holds: 6 bytes a column, and 8 bytes behind */
    int32_t minimum; /* of the output, in both halves of the word; the maximum is that of int16 */
    const uint8_t *stream;
    int16_t *scratch;
} packed_convolution_s16_t;

/* Output: aligned to 4 bytes. */
void convolve_packed_s16(const packed_convolution_s16_t *layer, const int16_t *input, int16_t *output);

/* Dense fully connected layer. Inputs, with zero weights up to a multiple of 8, are taken in parts of at most `part`, a
 * multiple of 8 for which 2^15 times the sum of |weights| of an output is below 2^31. The stream holds, for each four
 * outputs (zeros where some are missing), int8 [inputs / 2][2 pairs of outputs][2 inputs][2 outputs]; at its end 8
 * bytes more are read. An output is sum * multiplier / 2^32, rounded to nearest, clamped. Input: aligned to 4 bytes; 8
 * bytes more are read behind it, and those of the inputs that fill up. */
typedef struct {
    int32_t inputs, outputs;
    int32_t part;
    int32_t minimum, maximum; /* of the output */
    const int8_t *stream;
    const int64_t *bias; /* of outputs in fours, as the multipliers */
    const int32_t *multiplier;
} packed_fully_connected_s16_t;

void fully_connected_packed_s16(const packed_fully_connected_s16_t *layer, const int16_t *input, int16_t *output);

/* Sparse convolution of any size, nine positions at a time, with 32-bit sums as convolve_packed_s16 has them. The
 * stream holds, for each filter, int32 bias, multiplier, minimum, number of words that follow, 20 * the column of the
 * first non-zero weight, and then a word for each of them: the weight in the lower half, 20 * distance to the next one
 * in the upper; the last has 0 there. A filter without any has one weight 0. */
typedef struct {
    geometry_t geometry;
    const int32_t *stream;
    int16_t *scratch; /* 20 bytes a column, columns even */
} sparse_convolution_s16_t;

/* Output: between the filter's minimum and the maximum of int16. */
void convolve_sparse_s16(const sparse_convolution_s16_t *layer, const int16_t *input, int16_t *output);

/* Sparse fully connected layer. The stream holds the non-zero weights of each output in turn, in fours, at least one, a
 * last one filled up with zeros: bytes of 2 * distance from the input of the weight before (at first from input 0) and
 * weight; a distance above 127 goes over a weight 0. At its end 8 bytes more are read. The multiplier is that of
 * fully_connected_packed_s16. */
typedef struct {
    int32_t inputs, outputs;
    int32_t minimum, maximum; /* of the output */
    const uint8_t *stream;
    const uint16_t *fours; /* of each output */
    const int64_t *bias;
    const int32_t *multiplier;
} sparse_fully_connected_s16_t;

void fully_connected_sparse_s16(const sparse_fully_connected_s16_t *layer, const int16_t *input, int16_t *output);

#endif

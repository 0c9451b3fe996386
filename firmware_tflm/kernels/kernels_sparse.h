/* Kernels for pruned int8 networks: streams of weights without the zeros, which kwslib/kernels_sparse.py writes.
 *
 * Activations are int8 as in TensorFlow Lite, [height][width][channel]; the input's zero point is in the biases. */
#ifndef KERNELS_SPARSE_H
#define KERNELS_SPARSE_H

#include "kernels.h"

/* Weight first, as convolve_weight_first_s8, with the accumulators of a filter in registers: plain C, for
 * CONVOLVE_REGISTERS positions in one row and no padding. */
#define CONVOLVE_REGISTERS 9
void convolve_weight_first_registers_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void convolve_weight_first_registers_skip_s8(const convolution_t *layer, const int8_t *input, int8_t *output);

typedef struct {
    int32_t filters;
    const uint8_t *stream;
} sparse_convolution_t;

/* int8 activations as the sparse convolutions take them: nine positions, five rows of SPARSE_PANEL_WORDS words, a word
 * for each column; x[position 2r] + 2^22 x[position 2r + 1] in the first four, 2^11 x[position 8] in the last. */
#define SPARSE_PANEL_WORDS 253
void sparse_panel_s8(const panels_t *layer, const int8_t *input, int32_t *output);

/* What stands before the non-zero weights of a filter, or of a part of it: what its sums start with, output stage. */
typedef struct {
    uint64_t start; /* bias + 2^20 + 2^22 bias */
    int32_t ninth;  /* upper word of the first sum: (start >> 32) + 2^10 + (bias << 11) */
    int32_t multiplier;
    int32_t rounding;
    int32_t right_shift; /* 0: the sums go on in the next part */
} sparse_head_t;

/* Sparse convolution of nine positions. Input: a panel.
 *
 * The stream holds, for each filter, a sparse_head_t and then the bytes d[0], d[1], w[0], d[2], w[1], ... of its
 * non-zero weights w, an even number of them, two at least: d is 4 * distance from the one before, at first from column
 * -1. A distance above 63 goes over a weight 0, and a weight 0 fills an odd number up. The d behind the last weight is
 * 0, and behind that weight are two bytes more, filled up to a multiple of 8. A filter whose accumulators could reach
 * 2^20 comes in parts below that, one after the other. 24 bytes behind the stream are read. */
void convolve_sparse_s8(const sparse_convolution_t *layer, const int32_t *input, int8_t *output);

/* The same for runs of two columns of which at least one weight is not zero, from an even one on. The stream holds, for
 * each filter, a sparse_head_t and the first distance; then for each run its first weight, the distance d to the next
 * run, and its other weight; then two zeros. d counts runs, at first from run -1, and is 0 in the last run. A filter
 * has one run at least. 24 bytes behind the stream are read. */
void convolve_block2_s8(const sparse_convolution_t *layer, const int32_t *input, int8_t *output);

/* int8 activations as convolve_block4_s8 takes them: twice their values, in pairs of int16. For each four columns, of
 * which a run is a multiple, the pairs 0, 2 and 1, 3, each at nine positions: eighteen rows of BLOCK4_PANEL_WORDS. */
#define BLOCK4_PANEL_WORDS 60
void panel_block4_s8(const panels_t *layer, const int8_t *input, int16_t *output);

/* What stands before the blocks of a filter. */
typedef struct {
    int32_t twice_bias;
    int32_t multiplier;
    int32_t rounding;
    uint32_t bytes_and_shift; /* 256 * bytes of head and blocks + right_shift */
} block4_head_t;

/* Sparse convolution of nine positions by blocks of four columns of which at least one weight is not zero, from a
 * multiple of four on. The stream holds, for each filter, a block4_head_t, then for each four blocks four bytes, 4
 * times the number of blocks from the one before, at first from block -1, and a word of weights for each block; the
 * distance behind the last block is 0, also where it begins another four. A filter has one block at least. 4 bytes
 * behind the stream are read. */
void convolve_block4_s8(const sparse_convolution_t *layer, const int16_t *input, int8_t *output);

/* A convolution of any size with four positions or more. */
typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t kernel_height, kernel_width;
    int32_t output_height, output_width, filters;
    int32_t stride_height, stride_width;
    int32_t pad_height, pad_width; /* zeros above and to the left */
    const int8_t *padding;         /* zero points of the input, one for each channel */
    int32_t *panel;                /* scratch: 4 words for each weight of a filter and for 3 more; 2 below 8 positions */
    const uint8_t *stream;
} sparse_any_t;

/* What stands before the non-zero weights of a filter. */
typedef struct {
    uint64_t start;    /* bias - low + 2^23 bias: low is the least that an accumulator can be */
    int32_t twice_low;
    int32_t multiplier;
    int32_t rounding;
    int32_t right_shift;
} wide_head_t;

/* Sparse convolutions of any size, by runs of 1, 2 or 4 weights. The stream is that of convolve_block2_s8 with other
 * heads, and with all the other weights of a run behind the distance; a distance above 255 goes over a run of zeros.
 * The accumulators of a filter span less than 2^23. */
void convolve_sparse_any_s8(const sparse_any_t *layer, const int8_t *input, int8_t *output);
void convolve_block2_any_s8(const sparse_any_t *layer, const int8_t *input, int8_t *output);
void convolve_block4_any_s8(const sparse_any_t *layer, const int8_t *input, int8_t *output);

typedef struct {
    int32_t outputs;
    int32_t output_offset; /* zero point of the output */
    const uint8_t *stream;
} sparse_fully_connected_t;

/* What stands before the non-zero weights of an output. */
typedef struct {
    uint32_t bytes_and_shift; /* 256 * bytes of weights + right_shift of its output_stage_t */
    int32_t bias;
    int32_t multiplier;
} sparse_output_t;

/* Sparse fully connected layer. The stream holds, for each output, a sparse_output_t and an even number of words, two
 * at least: weight, distance, weight, distance; the distance is that from the input of the weight before, at first
 * from input -1. A distance above 255 goes over a weight 0, words are filled up with zeros. 16 bytes behind the
 * stream are read. */
void fully_connected_sparse_s8(const sparse_fully_connected_t *layer, const int8_t *input, int8_t *output);

typedef struct {
    int32_t values;
} widen_t;

/* int8 activations as fully_connected_block4_s8 takes them: int16, each four values in the order 0, 2, 1, 3. Values
 * that fill the last four up stay as they are: the weights there are 0. */
void widen_block4_s8(const widen_t *layer, const int8_t *input, int16_t *output);

/* Fully connected layer by blocks of four inputs of which at least one weight is not zero, from a multiple of four on.
 * The stream holds, for each output, a sparse_output_t, then for each four blocks four bytes, 8 times the number of
 * blocks from the one before, at first from block -1, and a word of weights for each; then a word 0, which does not
 * count in bytes_and_shift. A distance above 31 blocks goes over a block of zeros; blocks are filled up to a multiple
 * of four with distance and weights 0. 20 bytes behind the stream are read. */
void fully_connected_block4_s8(const sparse_fully_connected_t *layer, const int16_t *input, int8_t *output);

#endif

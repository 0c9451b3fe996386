/* Kernels for float32 networks, equal to the reference kernels of TensorFlow Lite Micro but for the order of sums.
 *
 * Tensors lie as kernels.h says: activations [height][width][channel], weights [out][height][width][in], those of
 * depthwise layers [height][width][out]. `minimum` and `maximum` of the output are those of the activation function.
 */
#ifndef KERNELS_F32_H
#define KERNELS_F32_H

#include "kernels_convolution.h"

typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t kernel_height, kernel_width;
    int32_t output_height, output_width, output_channels;
    int32_t stride_height, stride_width;
    int32_t pad_height, pad_width; /* zeros above and to the left */
    const float *weights;
    const float *bias;
    float minimum, maximum;
} convolution_f32_t;

typedef struct {
    int32_t inputs, outputs;
    const float *weights; /* [outputs][inputs] */
    const float *bias;
    float minimum, maximum;
} fully_connected_f32_t;

/* Plain loops, one output after the other; then the same with an `if` that skips zero weights. */
void convolve_f32(const convolution_f32_t *layer, const float *input, float *output);
void convolve_skip_f32(const convolution_f32_t *layer, const float *input, float *output);
void depthwise_convolve_f32(const convolution_f32_t *layer, const float *input, float *output);
void depthwise_convolve_skip_f32(const convolution_f32_t *layer, const float *input, float *output);
void fully_connected_f32(const fully_connected_f32_t *layer, const float *input, float *output);
void fully_connected_skip_f32(const fully_connected_f32_t *layer, const float *input, float *output);

/* Weight first: each weight meets all positions, at most CONVOLVE_POSITIONS, before the next one is read. The
 * accumulators of a filter lie in memory. */
void convolve_weight_first_f32(const convolution_f32_t *layer, const float *input, float *output);
void convolve_weight_first_skip_f32(const convolution_f32_t *layer, const float *input, float *output);

/* The same with the accumulators in registers: nine positions in a row, no padding. */
void convolve_weight_first_nine_f32(const convolution_f32_t *layer, const float *input, float *output);
void convolve_weight_first_nine_skip_f32(const convolution_f32_t *layer, const float *input, float *output);

/* ---- Packed layers: streams of weights that kwslib/packers_wide.py writes.
 *
 * Dense convolution of any size. The stream holds, for each two filters a and b (zeros where the last one is missing),
 * their biases and then a[k], b[k] for each of an even number of columns k; at its end 8 bytes more are read. */
typedef struct {
    geometry_t geometry;
    int32_t panels; /* of nine positions that `scratch` holds: 36 bytes a column, columns even; 16 bytes behind */
    const float *stream;
    float *scratch;
    float minimum, maximum;
} packed_convolution_f32_t;

void convolve_packed_f32(const packed_convolution_f32_t *layer, const float *input, float *output);

/* Dense fully connected layer with an even number of inputs. The stream holds, for each eight outputs (zeros where some
 * are missing), their biases and then, for each input, their weights. At the end of the stream 16 bytes more are read,
 * at the end of the input 4. */
typedef struct {
    int32_t inputs, outputs;
    const float *stream;
    float minimum, maximum;
} packed_fully_connected_f32_t;

void fully_connected_packed_f32(const packed_fully_connected_f32_t *layer, const float *input, float *output);

/* Sparse convolution of any size, nine positions at a time. The stream holds, for each filter, the number of its
 * non-zero weights, filled up to be even and at least 2, its bias, and then, for each of these weights, 36 * distance
 * from the column of the one before (at first from column 0), an integer, and the weight; zeros for two more weights
 * end it. */
typedef struct {
    geometry_t geometry;
    const int32_t *stream;
    float *scratch; /* 36 bytes a column, columns even */
    float minimum, maximum;
} sparse_convolution_f32_t;

void convolve_sparse_f32(const sparse_convolution_f32_t *layer, const float *input, float *output);

/* Sparse fully connected layer. The stream holds the non-zero weights of each output in turn, in fours, at least one, a
 * last one filled up with zeros: four uint16 numbers of inputs, then the four weights. Zeros for four more end it. */
typedef struct {
    int32_t inputs, outputs;
    const uint32_t *stream;
    const uint16_t *fours; /* of each output */
    const float *bias;
    float minimum, maximum;
} sparse_fully_connected_f32_t;

void fully_connected_sparse_f32(const sparse_fully_connected_f32_t *layer, const float *input, float *output);

#endif

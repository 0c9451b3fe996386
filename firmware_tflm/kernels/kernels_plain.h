/* Operators without weights, in plain loops, bit for bit as TensorFlow Lite Micro's reference kernels compute them;
 * exponentials of float32 may differ in their last bits. kwslib/kernels_plain.py fills the structs. */
#ifndef KERNELS_PLAIN_H
#define KERNELS_PLAIN_H

#include "kernels.h"

/* Windows over [height][width][channel]; what lies outside the input does not count. */
typedef struct {
    int32_t input_height, input_width, channels;
    int32_t window_height, window_width;
    int32_t output_height, output_width;
    int32_t stride_height, stride_width;
    int32_t pad_height, pad_width; /* rows above and columns to the left that are outside */
    int32_t minimum, maximum;      /* of the output, after the activation function */
} pooling_t;

void average_pool_s8(const pooling_t *layer, const int8_t *input, int8_t *output);
void average_pool_s16(const pooling_t *layer, const int16_t *input, int16_t *output);
void max_pool_s8(const pooling_t *layer, const int8_t *input, int8_t *output);
void max_pool_s16(const pooling_t *layer, const int16_t *input, int16_t *output);

typedef struct {
    int32_t input_height, input_width, channels;
    int32_t window_height, window_width;
    int32_t output_height, output_width;
    int32_t stride_height, stride_width;
    int32_t pad_height, pad_width;
    float minimum, maximum;
} pooling_f32_t;

void average_pool_f32(const pooling_f32_t *layer, const float *input, float *output);
void max_pool_f32(const pooling_f32_t *layer, const float *input, float *output);

/* Mean over the middle one of three axes: [outer][count][inner] -> [outer][inner]. */
typedef struct {
    int32_t outer, count, inner;
    int32_t input_offset; /* minus count * zero point of the input */
    int32_t multiplier, shift;
    int32_t output_offset;
} mean_t;

void mean_s8(const mean_t *layer, const int8_t *input, int8_t *output);
void mean_s16(const mean_t *layer, const int16_t *input, int16_t *output);

typedef struct {
    int32_t outer, count, inner;
} mean_f32_t;

void mean_f32(const mean_f32_t *layer, const float *input, float *output);

/* Sum of two tensors: both on a common scale, shifted left so that no bit of them is lost. */
typedef struct {
    int32_t values;
    int32_t left_shift;
    int32_t first_offset, first_multiplier, first_shift; /* offsets are minus the zero points of the inputs */
    int32_t second_offset, second_multiplier, second_shift;
    int32_t output_offset, output_multiplier, output_shift;
    int32_t minimum, maximum;
} addition_t;

void add_s8(const addition_t *layer, const int8_t *first, const int8_t *second, int8_t *output);
void add_s16(const addition_t *layer, const int16_t *first, const int16_t *second, int16_t *output);

typedef struct {
    int32_t values;
    float minimum, maximum;
} limits_f32_t;

void add_f32(const limits_f32_t *layer, const float *first, const float *second, float *output);
void clamp_f32(const limits_f32_t *layer, const float *input, float *output);

/* Rows of at most 4095 classes. exponentials[d]: e^(-d * scale) for the difference d to the largest value of a row,
 * 2^31 for one; 0 where TensorFlow Lite Micro neglects it. Outputs have the scale 1/256 and the zero point -128. */
typedef struct {
    int32_t rows, classes;
    const int32_t *exponentials; /* [256] */
} softmax_t;

void softmax_s8(const softmax_t *layer, const int8_t *input, int8_t *output);

/* Differences to the largest value of a row are multiplied so that -65535 stands for -10; both tables have 513 values
 * for equal steps, between which lines are drawn: e^x from -10 to 0, and 1 / (1 + x) from 0 to 1. Outputs have the scale
 * 1/32768. */
typedef struct {
    int32_t rows, classes;
    int32_t multiplier, shift;
    const int16_t *exponentials;
    const int16_t *reciprocals;
} softmax_s16_t;

void softmax_s16(const softmax_s16_t *layer, const int16_t *input, int16_t *output);

typedef struct {
    int32_t rows, classes;
    float beta;
} softmax_f32_t;

void softmax_f32(const softmax_f32_t *layer, const float *input, float *output);

/* Another scale and zero point, and limits. */
typedef struct {
    int32_t values;
    int32_t input_offset;
    int32_t multiplier, shift;
    int32_t output_offset;
    int32_t minimum, maximum;
} rescaling_t;

void rescale_s8(const rescaling_t *layer, const int8_t *input, int8_t *output);

/* Limits alone. */
typedef struct {
    int32_t values;
    int32_t minimum, maximum;
} limits_t;

void clamp_s8(const limits_t *layer, const int8_t *input, int8_t *output);
void narrow_s16(const limits_t *layer, const int16_t *input, int8_t *output); /* from the packed kernels' activations */

/* A border of `value` around [height][width][channel]. */
typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t before_height, before_width, before_channels;
    int32_t output_height, output_width, output_channels;
    int32_t value;
} border_t;

void pad_s8(const border_t *layer, const int8_t *input, int8_t *output);

/* Ends of a network whose tensors outside are float: real value = scale * (q - zero_point). */
typedef struct {
    int32_t values;
    float scale;
    int32_t zero_point;
} affine_t;

void quantize_s8(const affine_t *layer, const float *input, int8_t *output);
void dequantize_s8(const affine_t *layer, const int8_t *input, float *output);

#endif

/* Kernels for int8 networks, bit for bit equal to the reference kernels of TensorFlow Lite Micro.
 *
 * Every kernel is `void name(const PARAMETERS *layer, const INPUT *input, OUTPUT *output)`; it keeps nothing between
 * calls and allocates nothing. Tensors lie as in TensorFlow Lite: activations [height][width][channel], weights
 * [out][height][width][in], those of depthwise layers [height][width][out]. Weights have zero point 0.
 */
#ifndef KERNELS_H
#define KERNELS_H

#include <stdint.h>

/* Real value = scale * (q - zero point): a result is accumulator * multiplier * 2^(shift - 31) + output_offset,
 * clamped. multiplier and shift hold one value for each output channel. */
typedef struct {
    int32_t input_offset;  /* minus the zero point of the input */
    int32_t output_offset; /* the zero point of the output */
    int32_t minimum;       /* of the output, after the activation function */
    int32_t maximum;
    const int32_t *multiplier;
    const int32_t *shift; /* negative: to the right */
} quantization_t;

typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t kernel_height, kernel_width;
    int32_t output_height, output_width, output_channels;
    int32_t stride_height, stride_width;
    int32_t pad_height, pad_width; /* zeros above and to the left */
    const int8_t *weights;
    const int32_t *bias;
    quantization_t quantization;
} convolution_t;

typedef struct {
    int32_t inputs, outputs;
    const int8_t *weights; /* [outputs][inputs] */
    const int32_t *bias;
    quantization_t quantization;
} fully_connected_t;

/* Plain loops, one output after the other. */
void convolve_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void depthwise_convolve_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void fully_connected_s8(const fully_connected_t *layer, const int8_t *input, int8_t *output);

/* The same with an `if` that skips zero weights. */
void convolve_skip_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void depthwise_convolve_skip_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void fully_connected_skip_s8(const fully_connected_t *layer, const int8_t *input, int8_t *output);

/* Weight first: each weight meets all positions before the next one is read, so that a zero is skipped once for all of
 * them. Accumulators of one filter lie on the stack: at most CONVOLVE_POSITIONS outputs of a channel, 2 KB of the
 * board's 8 KB in int8 and float32, 4 KB in int16x8. */
#define CONVOLVE_POSITIONS 512
void convolve_weight_first_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void convolve_weight_first_skip_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void depthwise_convolve_weight_first_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void depthwise_convolve_weight_first_skip_s8(const convolution_t *layer, const int8_t *input, int8_t *output);

/* One output after the other, two products at a time by SMLAD: weights and values are expanded to int16 on the fly. */
void convolve_simd_expand_s8(const convolution_t *layer, const int8_t *input, int8_t *output);
void fully_connected_simd_expand_s8(const fully_connected_t *layer, const int8_t *input, int8_t *output);

/* ---- Packed layers: streams of weights that kwslib/kernels.py writes.
 *
 * What a packed kernel needs to turn an accumulator into an output. The input's zero point is in the bias, the
 * output's in `rounding`; minimum and maximum are those of int8. The multiplier is below one half in real terms,
 * that is right_shift > 0. */
typedef struct {
    int32_t twice_bias;
    int32_t multiplier;
    int32_t rounding; /* 2^(right_shift - 1) + (output zero point << right_shift) */
    int32_t right_shift;
} output_stage_t;

/* Activations of packed layers are int16 [values], so that SMLAD takes them as they are, without their zero point's
 * offset. */
typedef struct {
    int32_t positions; /* of a filter */
    int32_t columns;   /* weights of a filter: a multiple of 16, at most 256 */
    int32_t filters;   /* even */
    const uint8_t *stream;
} packed_convolution_t;

/* How the positions of an unpadded convolution lie in its input, in one row of positions. */
typedef struct {
    int32_t positions;
    int32_t step;    /* values from one position to the next */
    int32_t runs;    /* of values that follow each other: rows of the kernel */
    int32_t run;     /* values of each */
    int32_t row;     /* values from one run to the next */
    int32_t columns; /* values of a position in the packed layer */
} panels_t;

/* int8 activations as convolve_packed_s8 takes them; each four values of a position in the order 0, 2, 1, 3. The run
 * is a multiple of 4. What lies between the panels and before them stays as it is, and so do columns behind the last
 * run. */
void panels_s8(const panels_t *layer, const int8_t *input, int16_t *output);

/* Dense convolution. Input: panels of four positions, then of one, each ending on a multiple of PANEL_BYTES; in a
 * panel the pairs of values k, k + 1 of its positions follow each other: [columns / 2][positions][2]. Behind the last
 * panel 16 bytes more are read. Output: [filter][position].
 *
 * The stream holds, for each two filters a and b, two output_stage_t and then columns int16 256 a[k] + b[k], where
 * weights are between -127 and 127; at its end 8 bytes more are read. */
#define PANEL_BYTES 2048
void convolve_packed_s8(const packed_convolution_t *layer, const int16_t *input, int16_t *output);

typedef struct {
    int32_t inputs;  /* a multiple of 16 */
    int32_t outputs; /* a multiple of 4 */
    const uint8_t *stream;
} packed_fully_connected_t;

/* Dense fully connected layer. The stream holds, for each four outputs a, b, c, d, four output_stage_t and then, for
 * each two inputs k, int16 256 a[k] + b[k] of both and 256 c[k] + d[k] of both. Weights of a and c add up to less than
 * 2^16 in magnitude. At the end of stream and input 8 bytes more are read. */
void fully_connected_packed_s8(const packed_fully_connected_t *layer, const int16_t *input, int16_t *output);

#endif

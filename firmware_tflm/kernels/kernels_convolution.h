/* How a convolution of any type lies in its input. */
#ifndef KERNELS_CONVOLUTION_H
#define KERNELS_CONVOLUTION_H

#include "kernels.h"

typedef struct {
    int32_t input_height, input_width, input_channels;
    int32_t kernel_height, kernel_width;
    int32_t output_height, output_width, output_channels;
    int32_t stride_height, stride_width;
    int32_t pad_height, pad_width; /* zeros above and to the left */
} geometry_t;

#endif

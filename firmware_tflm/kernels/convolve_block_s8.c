/* Convolution that touches blocks of 2 or 8 weights only that are not all zero, each at nine positions at once. */
#include "nine_positions.h"

#ifdef __ARM_FEATURE_DSP
#define KERNEL_PARTS(run) \
    const uint8_t *convolve_block##run##_sums(const uint8_t *stream, const int32_t *panel, uint64_t sums[4]); \
    void convolve_block##run##_filters(nine_positions_t *state, const int32_t *panel);
#else
static inline const uint8_t *add_blocks(const uint8_t *stream, const int32_t *panel, uint64_t sums[4], int32_t run)
{
    const int32_t *column = panel - run;
    int32_t distance = *stream++;
    do {
        const uint8_t *weights = stream + 1;
        column += distance * run;
        add_column(sums, (int8_t)stream[0], column);
        for (int32_t k = 1; k < run; k++) {
            add_column(sums, (int8_t)weights[k], column + k);
        }
        distance = weights[0];
        stream = weights + run;
    } while (distance);
    return stream + 2;
}

#define KERNEL_PARTS(run) \
    static const uint8_t *convolve_block##run##_sums(const uint8_t *stream, const int32_t *panel, uint64_t sums[4]) \
    { \
        return add_blocks(stream, panel, sums, run); \
    } \
    static const filters_t convolve_block##run##_filters = 0;
#endif

#define KERNEL(run) \
    KERNEL_PARTS(run) \
    void convolve_block##run##_s8(const sparse_convolution_t *layer, const int32_t *input, int8_t *output) \
    { \
        all_filters(layer, input, output, convolve_block##run##_sums, convolve_block##run##_filters); \
    }

KERNEL(2)
KERNEL(8)

/* Convolution that touches runs of two weights only that are not both zero, each at nine positions at once. */
#include "nine_positions.h"

#ifdef __ARM_FEATURE_DSP
const uint8_t *convolve_block2_sums(const uint8_t *stream, const int32_t *panel, uint64_t sums[4]);
void convolve_block2_filters(nine_positions_t *state, const int32_t *panel);
#else
#define convolve_block2_filters 0
static const uint8_t *convolve_block2_sums(const uint8_t *stream, const int32_t *panel, uint64_t sums[4])
{
    const int32_t *column = panel - 2;
    int32_t distance = *stream++;
    do {
        column += 2 * distance;
        add_column(sums, (int8_t)stream[0], column);
        add_column(sums, (int8_t)stream[2], column + 1);
        distance = stream[1];
        stream += 3;
    } while (distance);
    return stream + 2;
}
#endif

void convolve_block2_s8(const sparse_convolution_t *layer, const int32_t *input, int8_t *output)
{
    all_filters(layer, input, output, convolve_block2_sums, convolve_block2_filters);
}

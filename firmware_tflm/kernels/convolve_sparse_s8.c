/* Convolution that touches non-zero weights only, each at nine positions at once. */
#include "nine_positions.h"

#ifdef __ARM_FEATURE_DSP
const uint8_t *convolve_sparse_sums(const uint8_t *stream, const int32_t *panel, uint64_t sums[4]);
void convolve_sparse_filters(nine_positions_t *state, const int32_t *panel);
#else
#define convolve_sparse_filters 0
static const uint8_t *convolve_sparse_sums(const uint8_t *stream, const int32_t *panel, uint64_t sums[4])
{
    const int32_t *column = panel - 1;
    int32_t distance = *stream++;
    do {
        for (int32_t number = 0; number < 2; number++) {
            column += distance / 4;
            distance = *stream++;
            add_column(sums, (int8_t)*stream++, column);
        }
    } while (distance);
    return stream + 2;
}
#endif

void convolve_sparse_s8(const sparse_convolution_t *layer, const int32_t *input, int8_t *output)
{
    all_filters(layer, input, output, convolve_sparse_sums, convolve_sparse_filters);
}

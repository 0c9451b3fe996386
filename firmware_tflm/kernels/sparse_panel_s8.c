/* Input of the sparse convolutions: nine positions in five words for each column. */
#include "kernels_sparse.h"

#ifdef __ARM_FEATURE_DSP
void sparse_panel_columns(const panels_t *layer, const int8_t *input, int32_t *output);
#else
static void sparse_panel_columns(const panels_t *layer, const int8_t *input, int32_t *output)
{
    const panels_t p = *layer;
    for (int32_t run = 0; run < p.runs; run++, input += p.row) {
        for (int32_t k = 0; k < p.run; k++, output++) {
            const int8_t *value = input + k;
            for (int32_t pair = 0; pair < 4; pair++, value += 2 * p.step) {
                output[pair * SPARSE_PANEL_WORDS] = value[0] + value[p.step] * (1 << 22);
            }
            output[4 * SPARSE_PANEL_WORDS] = *value * (1 << 11);
        }
    }
}
#endif

void sparse_panel_s8(const panels_t *layer, const int8_t *input, int32_t *output)
{
    sparse_panel_columns(layer, input, output);
}

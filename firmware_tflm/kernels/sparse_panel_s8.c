/* Input of the sparse convolution: nine positions in five words for each column. */
#include "kernels.h"

void sparse_panel_s8(const panels_t *layer, const int8_t *input, int32_t *output)
{
    const panels_t p = *layer;
    for (int32_t run = 0; run < p.runs; run++, input += p.row) {
        for (int32_t k = 0; k < p.run; k++, output++) {
            const int8_t *value = input + k;
            for (int32_t pair = 0; pair < 4; pair++, value += 2 * p.step) {
                output[pair * SPARSE_PANEL_WORDS] = value[0] + value[p.step] * (1 << 21);
            }
            output[4 * SPARSE_PANEL_WORDS] = *value * (1 << 10);
        }
    }
}

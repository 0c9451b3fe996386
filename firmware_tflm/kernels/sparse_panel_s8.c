/* Input of the sparse convolutions: nine positions in five words for each column. */
#include "kernels_sparse.h"

/* A pair of positions in all runs: `second` times 2^22 beside `first`. */
static inline void fill_pair(const int8_t *first, const int8_t *second, int32_t *words, int32_t runs, int32_t run,
                             int32_t row)
{
    for (; runs > 0; runs--, words += run, first += row, second += row) {
        for (int32_t k = 0; k < run; k++) {
            words[k] = first[k] + second[k] * (1 << 22);
        }
    }
}

static inline void fill_last(const int8_t *first, int32_t *words, int32_t runs, int32_t run, int32_t row)
{
    for (; runs > 0; runs--, words += run, first += row) {
        for (int32_t k = 0; k < run; k++) {
            words[k] = first[k] * (1 << 11);
        }
    }
}

static inline void fill(const panels_t *p, const int8_t *input, int32_t *output, int32_t run)
{
    const int32_t step = p->step, runs = p->runs, row = p->row;
    for (int32_t pair = 0; pair < 4; pair++, output += SPARSE_PANEL_WORDS, input += 2 * step) {
        fill_pair(input, input + step, output, runs, run, row);
    }
    fill_last(input, output, runs, run, row);
}

void sparse_panel_s8(const panels_t *layer, const int8_t *input, int32_t *output)
{
    if (layer->run == 8) { /* the inner loops unrolled */
        fill(layer, input, output, 8);
    } else {
        fill(layer, input, output, layer->run);
    }
}

/* Input of the packed convolutions: the values of each position together, four bytes at a time. */
#include "kernels.h"
#include "simd.h"

__attribute__((always_inline)) static inline void write_panel(const panels_t *p, const int8_t *input,
                                                              uint32_t *output, int32_t width)
{
    for (int32_t run = 0; run < p->runs; run++, input += p->row) {
        for (int32_t k = 0; k < p->run; k += 4, output += 2 * width) {
            const int8_t *values = input + k;
            for (int32_t position = 0; position < width; position++, values += p->step) {
                const uint32_t bytes = load_word(values);
                output[position] = even_bytes(bytes);
                output[width + position] = odd_bytes(bytes);
            }
        }
    }
}

void panels_s8(const panels_t *layer, const int8_t *input, int16_t *output)
{
    const panels_t p = *layer;
    int32_t position = 0;
    uint8_t *end = (uint8_t *)output + PANEL_BYTES;
    for (; position + 4 <= p.positions; position += 4, end += PANEL_BYTES) {
        write_panel(&p, input + position * p.step, (uint32_t *)(void *)(end - p.columns * 8), 4);
    }
    for (; position < p.positions; position++, end += PANEL_BYTES) {
        write_panel(&p, input + position * p.step, (uint32_t *)(void *)(end - p.columns * 2), 1);
    }
}

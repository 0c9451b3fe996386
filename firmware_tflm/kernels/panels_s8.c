/* Input of the packed convolutions: the values of each position together, four bytes at a time. */
#include <string.h>

#include "kernels.h"

/* Bytes 0 and 2 of a word as int16, and bytes 1 and 3. */
#ifdef __ARM_FEATURE_DSP
static inline uint32_t even_bytes(uint32_t bytes)
{
    uint32_t halves;
    __asm("sxtb16 %0, %1" : "=r"(halves) : "r"(bytes));
    return halves;
}

static inline uint32_t odd_bytes(uint32_t bytes)
{
    uint32_t halves;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(bytes));
    return halves;
}
#else
static inline uint32_t even_bytes(uint32_t bytes)
{
    return (uint32_t)((int8_t)bytes & 0xffff) | (uint32_t)(int8_t)(bytes >> 16) << 16;
}

static inline uint32_t odd_bytes(uint32_t bytes)
{
    return even_bytes(bytes >> 8);
}
#endif

__attribute__((always_inline)) static inline void write_panel(const panels_t *p, const int8_t *input,
                                                              uint32_t *output, int32_t width)
{
    for (int32_t run = 0; run < p->runs; run++, input += p->row) {
        for (int32_t k = 0; k < p->run; k += 4, output += 2 * width) {
            const int8_t *values = input + k;
            for (int32_t position = 0; position < width; position++, values += p->step) {
                uint32_t bytes;
                memcpy(&bytes, values, 4);
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

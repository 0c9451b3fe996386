/* Kernels of nine positions whose filters are streams of non-zero weights; nine_positions_m7.h is their assembly. */
#ifndef NINE_POSITIONS_H
#define NINE_POSITIONS_H

#include "kernels_sparse.h"
#include "output_stage.h"

#define FIELD_BITS 22
#define FIELD_OFFSET (1 << 20)
#define FIELD_MASK ((1 << FIELD_BITS) - 1)
#define NINTH_BITS 11

typedef struct {
    const uint8_t *stream;
    int8_t *output;
    int32_t filters, pitch;
} nine_positions_t;

/* Adds the weights at `stream` to sums as the assembly holds them; returns the place behind the last byte read. */
typedef const uint8_t *(*nonzeros_t)(const uint8_t *stream, const int32_t *panel, uint64_t sums[4]);

/* In assembly: filters until none is left or one comes in parts. */
typedef void (*run_filters_t)(nine_positions_t *state, const int32_t *panel);

static inline void add_column(uint64_t sums[4], int32_t weight, const int32_t *column)
{
    for (int32_t pair = 0; pair < 4; pair++) {
        sums[pair] += (uint64_t)((int64_t)weight * column[pair * SPARSE_PANEL_WORDS]);
    }
    sums[0] += (uint64_t)((int64_t)weight * column[4 * SPARSE_PANEL_WORDS]) << 32;
}

/* Part of a filter: adds to the accumulators of its nine positions. */
static inline const uint8_t *add_part(const sparse_head_t *head, const int32_t *panel, int32_t values[9],
                                      nonzeros_t nonzeros)
{
    const uint64_t start = head->start;
    uint64_t sums[4] = {((uint64_t)(uint32_t)head->ninth << 32) | (uint32_t)start, start, start, start};
    const uint8_t *stream = nonzeros((const uint8_t *)(head + 1), panel, sums);
    for (int32_t pair = 0; pair < 4; pair++) {
        values[2 * pair] += (int32_t)(sums[pair] & FIELD_MASK) - FIELD_OFFSET;
        values[2 * pair + 1] += pair ? (int32_t)(sums[pair] >> (FIELD_BITS - 10)) >> 10
                                     : (int32_t)(sums[0] >> FIELD_BITS & FIELD_MASK >> 1) - FIELD_OFFSET;
    }
    values[8] += (int32_t)(sums[0] >> 32) >> NINTH_BITS;
    return stream + (-(uintptr_t)stream & 7);
}

/* The next filter, all of its parts. */
static inline void one_filter(nine_positions_t *state, const int32_t *panel, nonzeros_t nonzeros)
{
    int32_t values[9] = {0};
    const sparse_head_t *head;
    do {
        head = (const sparse_head_t *)(const void *)state->stream;
        state->stream = add_part(head, panel, values, nonzeros);
    } while (!head->right_shift);
    const output_stage_t stage = {0, head->multiplier, head->rounding, head->right_shift};
    for (int32_t position = 0; position < 9; position++) {
        state->output[position * state->pitch] = (int8_t)output_stage(values[position], &stage);
    }
    state->output++;
    state->filters--;
}

static inline void all_filters(const sparse_convolution_t *layer, const int32_t *panel, int8_t *output,
                               nonzeros_t nonzeros, run_filters_t filters)
{
    nine_positions_t state = {layer->stream, output, layer->filters, layer->filters};
    while (state.filters) {
        if (filters) {
            filters(&state, panel);
        }
        if (state.filters) {
            one_filter(&state, panel, nonzeros);
        }
    }
}

#endif

/* Convolution that touches non-zero weights only, each at nine positions at once. */
#include "output_stage.h"

#define FIELD_BITS 21
#define FIELD_OFFSET (1 << (FIELD_BITS - 1))
#define FIELD_MASK ((1 << FIELD_BITS) - 1)

#ifdef __ARM_FEATURE_DSP
const uint8_t *convolve_nonzeros(const uint8_t *stream, const int32_t *panel, uint64_t sums[4]);
const uint8_t *convolve_sparse_filter(const sparse_head_t *stream, const int32_t *panel, int16_t *output);
#else
static const uint8_t *convolve_nonzeros(const uint8_t *stream, const int32_t *panel, uint64_t sums[4])
{
    const int32_t *column = panel - 1;
    for (uint8_t distance = *stream++; distance;) {
        column += distance / 4;
        distance = *stream++;
        const int32_t weight = (int8_t)*stream++;
        for (int32_t pair = 0; pair < 4; pair++) {
            sums[pair] += (uint64_t)((int64_t)weight * column[pair * SPARSE_PANEL_WORDS]);
        }
        sums[0] += (uint64_t)((int64_t)weight * column[4 * SPARSE_PANEL_WORDS]) << 32;
    }
    return stream;
}
#endif

static const uint8_t *next_head(const uint8_t *stream)
{
    return stream + (-(uintptr_t)stream & 7);
}

/* Part of a filter: adds to the sums of its nine positions. */
static const uint8_t *convolve_part(const sparse_head_t *head, const int32_t *panel, int32_t values[9])
{
    const uint64_t start = head->start;
    uint64_t sums[4] = {((uint64_t)(uint32_t)head->ninth << 32) | (uint32_t)start, start, start, start};
    const uint8_t *stream = convolve_nonzeros((const uint8_t *)(head + 1), panel, sums);
    for (int32_t pair = 0; pair < 4; pair++) {
        values[2 * pair] += (int32_t)(sums[pair] & FIELD_MASK) - FIELD_OFFSET;
        values[2 * pair + 1] += (int32_t)(sums[pair] >> FIELD_BITS & FIELD_MASK) - FIELD_OFFSET;
    }
    values[8] += (int32_t)(sums[0] >> 32) >> (2 * FIELD_BITS - 32);
    return next_head(stream);
}

void convolve_sparse_s8(const packed_convolution_t *layer, const int32_t *input, int16_t *output)
{
    const uint8_t *stream = layer->stream;
    const int16_t *const end = output + 9 * layer->filters;
    for (; output < end; output += 9) {
        const sparse_head_t *head = (const sparse_head_t *)(const void *)stream;
#ifdef __ARM_FEATURE_DSP
        if (head->right_shift) {
            stream = next_head(convolve_sparse_filter(head, input, output));
            continue;
        }
#endif
        int32_t values[9] = {0};
        stream = convolve_part(head, input, values);
        while (!head->right_shift) {
            head = (const sparse_head_t *)(const void *)stream;
            stream = convolve_part(head, input, values);
        }
        const output_stage_t stage = {0, head->multiplier, head->rounding, head->right_shift};
        for (int32_t position = 0; position < 9; position++) {
            output[position] = output_stage(values[position], &stage);
        }
    }
}

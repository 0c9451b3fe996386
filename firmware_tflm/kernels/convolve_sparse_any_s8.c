/* Convolutions of any size that touch runs of weights only that are not all zero, at eight or four positions. */
#include "kernels_sparse.h"
#include "output_stage.h"

typedef struct {
    const uint8_t *stream;
    int8_t *output;
    int32_t filters, pitch;
} filters_t;

typedef void (*convolve_t)(const filters_t *filters, const int32_t *panel);

#ifdef __ARM_FEATURE_DSP
#define CONVOLVE_RUNS(length) \
    void convolve_runs##length##_at8(const filters_t *filters, const int32_t *panel); \
    void convolve_runs##length##_at4(const filters_t *filters, const int32_t *panel);
#else
#define FIELD_BITS 23

static void outputs(const uint64_t *sums, const wide_head_t *head, int8_t *output, int32_t pitch, int32_t pairs)
{
    const output_stage_t stage = {0, head->multiplier, head->rounding, head->right_shift};
    for (int32_t pair = 0; pair < pairs; pair++, output += 2 * pitch) {
        const int32_t field = (int32_t)(sums[pair] & ((1 << FIELD_BITS) - 1));
        output[0] = (int8_t)output_stage(field + head->twice_low / 2, &stage);
        output[pitch] = (int8_t)output_stage((int32_t)(sums[pair] >> FIELD_BITS), &stage);
    }
}

static inline void convolve_runs(const filters_t *filters, const int32_t *panel, int32_t length, int32_t pairs)
{
    const uint8_t *stream = filters->stream;
    for (int32_t filter = 0; filter < filters->filters; filter++, stream += -(uintptr_t)stream & 7) {
        const wide_head_t *const head = (const wide_head_t *)(const void *)stream;
        uint64_t sums[4] = {head->start, head->start, head->start, head->start};
        stream += sizeof *head;
        const int32_t *column = panel - length * pairs;
        int32_t distance = *stream++;
        do {
            column += distance * length * pairs;
            distance = stream[1];
            for (int32_t k = 0; k < length; k++) {
                const int32_t weight = (int8_t)stream[k ? k + 1 : 0];
                for (int32_t pair = 0; pair < pairs; pair++) {
                    sums[pair] += (uint64_t)((int64_t)weight * column[k * pairs + pair]);
                }
            }
            stream += length + 1;
        } while (distance);
        stream += 2;
        outputs(sums, head, filters->output + filter, filters->pitch, pairs);
    }
}

#define CONVOLVE_RUNS(length) \
    static void convolve_runs##length##_at8(const filters_t *filters, const int32_t *panel) \
    { \
        convolve_runs(filters, panel, length, 4); \
    } \
    static void convolve_runs##length##_at4(const filters_t *filters, const int32_t *panel) \
    { \
        convolve_runs(filters, panel, length, 2); \
    }
#endif

/* Values of two positions, `second` times 2^23 beside `first`, in every fourth or second word. */
static inline void fill_run(const int8_t *first, const int8_t *second, int32_t *words, int32_t n, int32_t step)
{
    for (; n >= 4; n -= 4, words += 4 * step, first += 4, second += 4) {
        const int32_t a = first[0] + second[0] * (1 << 23), b = first[1] + second[1] * (1 << 23);
        const int32_t c = first[2] + second[2] * (1 << 23), d = first[3] + second[3] * (1 << 23);
        words[0] = a;
        words[step] = b;
        words[2 * step] = c;
        words[3 * step] = d;
    }
    for (; n > 0; n--, words += step) {
        *words = *first++ + *second++ * (1 << 23);
    }
}

/* Functions of their own, so that the loop has all registers. */
__attribute__((noinline)) static void fill_fourth(const int8_t *first, const int8_t *second, int32_t *words, int32_t n)
{
    fill_run(first, second, words, n, 4);
}

__attribute__((noinline)) static void fill_second(const int8_t *first, const int8_t *second, int32_t *words, int32_t n)
{
    fill_run(first, second, words, n, 2);
}

static void fill_pair(const sparse_any_t *l, const int8_t *input, int32_t position, int32_t *words, int32_t step)
{
    int32_t y[2], x[2];
    for (int32_t n = 0; n < 2; n++) {
        y[n] = (position + n) / l->output_width * l->stride_height - l->pad_height;
        x[n] = (position + n) % l->output_width * l->stride_width - l->pad_width;
    }
    for (int32_t ky = 0; ky < l->kernel_height; ky++) {
        for (int32_t kx = 0; kx < l->kernel_width; kx++, words += step * l->input_channels) {
            const int8_t *values[2];
            for (int32_t n = 0; n < 2; n++) {
                const int32_t row = y[n] + ky, column = x[n] + kx;
                const int inside = row >= 0 && row < l->input_height && column >= 0 && column < l->input_width;
                values[n] = inside ? input + (row * l->input_width + column) * l->input_channels : l->padding;
            }
            (step == 4 ? fill_fourth : fill_second)(values[0], values[1], words, l->input_channels);
        }
    }
}

static inline void convolve(const sparse_any_t *layer, const int8_t *input, int8_t *output, convolve_t at8,
                            convolve_t at4)
{
    const int32_t positions = layer->output_height * layer->output_width, width = positions < 8 ? 4 : 8;
    for (int32_t position = 0; position < positions; position += width) {
        const int32_t first = position + width <= positions ? position : positions - width;
        const filters_t filters = {layer->stream, output + first * layer->filters, layer->filters, layer->filters};
        for (int32_t pair = 0; pair < width / 2; pair++) {
            fill_pair(layer, input, first + 2 * pair, layer->panel + pair, width / 2);
        }
        (width == 8 ? at8 : at4)(&filters, layer->panel);
    }
}

#define KERNEL(name, length) \
    CONVOLVE_RUNS(length) \
    void convolve_##name##_any_s8(const sparse_any_t *layer, const int8_t *input, int8_t *output) \
    { \
        convolve(layer, input, output, convolve_runs##length##_at8, convolve_runs##length##_at4); \
    }

KERNEL(sparse, 1)
KERNEL(block2, 2)
KERNEL(block4, 4)

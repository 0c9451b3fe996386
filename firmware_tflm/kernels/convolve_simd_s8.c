/* Dense convolution of any shape over panels of four positions, weights packed for two filters at a time. */
#include "kernels_dense.h"
#include "output_stage.h"
#include "simd.h"

/* Positions that are convolved together; convolve_simd_m7.S reads it. */
typedef struct {
    int32_t fours, again, ones; /* panels of four positions; of four that begin one position early; and of one */
    int32_t columns, filters;
} block_t;

#ifdef __ARM_FEATURE_DSP
void convolve_simd_block(const uint8_t *stream, const int16_t *panels, int8_t *output, const block_t *block);
#else
/* Two filters, or one twice, at the positions of a panel. */
static void convolve_panel(const uint8_t *stream, const int16_t *panel, int8_t *output, const block_t *block,
                           int32_t width, int32_t second_filter)
{
    const output_stage_t *const stages = (const output_stage_t *)(const void *)stream;
    const uint32_t *const weights = (const uint32_t *)(const void *)(stages + 2);
    for (int32_t position = 0; position < width; position++, output += block->filters) {
        uint32_t both = 0, second = 0; /* sums of 256 a + b wrap, what is left of them does not */
        for (int32_t column = 0; column < block->columns; column++) {
            const int16_t weight = (int16_t)(weights[column / 2] >> 16 * (column % 2));
            const int32_t value = panel[(column / 2 * width + position) * 2 + column % 2];
            both += (uint32_t)(weight * value);
            second += (uint32_t)((int8_t)weight * value);
        }
        output[0] = (int8_t)output_stage((int32_t)(both - second) >> 8, &stages[0]);
        output[second_filter] = (int8_t)output_stage((int32_t)second, &stages[1]);
    }
}

static void convolve_simd_block(const uint8_t *stream, const int16_t *panels, int8_t *output, const block_t *block)
{
    for (int32_t filter = 0; filter < block->filters; filter += 2) {
        const int32_t second = filter + 1 < block->filters;
        const int16_t *panel = panels;
        int8_t *target = output + filter;
        for (int32_t four = 0; four < block->fours + block->again; four++, panel += 4 * block->columns) {
            target -= four < block->fours ? 0 : block->filters;
            convolve_panel(stream, panel, target, block, 4, second);
            target += 4 * block->filters;
        }
        for (int32_t one = 0; one < block->ones; one++, panel += block->columns, target += block->filters) {
            convolve_panel(stream, panel, target, block, 1, second);
        }
        stream += 2 * sizeof(output_stage_t) + (uint32_t)block->columns * 2;
    }
}
#endif

static inline const int8_t *patch(const simd_convolution_t *l, const int8_t *values, int32_t position)
{
    const int32_t row = position / l->output_width, column = position - row * l->output_width;
    return values + row * l->step_height + column * l->step_width;
}

static uint32_t *write_four(const simd_convolution_t *l, const int8_t *values, int32_t position, uint32_t *panel)
{
    const int8_t *a = patch(l, values, position), *b = patch(l, values, position + 1);
    const int8_t *c = patch(l, values, position + 2), *d = patch(l, values, position + 3);
    const int32_t runs = l->runs, run = l->run, step = l->run_step - run;
    for (int32_t rest = runs; rest > 0; rest--, a += step, b += step, c += step, d += step) {
        for (int32_t k = 0; k < run; k += 4, a += 4, b += 4, c += 4, d += 4, panel += 8) {
            const uint32_t words[] = {load_word(a), load_word(b), load_word(c), load_word(d)};
            panel[0] = even_bytes(words[0]);
            panel[1] = even_bytes(words[1]);
            panel[2] = even_bytes(words[2]);
            panel[3] = even_bytes(words[3]);
            panel[4] = odd_bytes(words[0]);
            panel[5] = odd_bytes(words[1]);
            panel[6] = odd_bytes(words[2]);
            panel[7] = odd_bytes(words[3]);
        }
    }
    return panel;
}

static uint32_t *write_one(const simd_convolution_t *l, const int8_t *values, int32_t position, uint32_t *panel)
{
    const int8_t *a = patch(l, values, position);
    const int32_t runs = l->runs, run = l->run, step = l->run_step;
    for (int32_t rest = runs; rest > 0; rest--, a += step) {
        for (int32_t k = 0; k < run; k += 4, panel += 2) {
            panel[0] = even_bytes(load_word(a + k));
            panel[1] = odd_bytes(load_word(a + k));
        }
    }
    return panel;
}

static const int8_t *with_border(const simd_convolution_t *l, const int8_t *input)
{
    int8_t *const padded = (int8_t *)l->panels + l->panel_bytes;
    int8_t *target = padded + l->border_height * l->padded_row + l->border_value;
    fill_words((uint32_t *)(void *)padded, l->zero_point, l->padded_height * l->padded_row / 4 + 1);
    for (int32_t row = 0; row < l->input_height; row++, input += l->input_row, target += l->padded_row) {
        copy_values(target, input, l->input_row);
    }
    return padded;
}

/* All filters at n positions, whose outputs begin at `output`. Three positions behind the fours are taken as a four with
 * the position before them. */
static void convolve_positions(const simd_convolution_t *l, const int8_t *values, int32_t start, int32_t n,
                               int8_t *output)
{
    const int32_t again = n > 4 && n % 4 == 3;
    const block_t block = {n / 4, again, again ? 0 : n % 4, l->columns, l->filters};
    uint32_t *panel = (uint32_t *)(void *)l->panels;
    int32_t position = start;
    for (int32_t four = 0; four < block.fours + again; four++, position += 4) {
        position -= four < block.fours ? 0 : 1;
        panel = write_four(l, values, position, panel);
    }
    for (int32_t one = 0; one < block.ones; one++, position++) {
        panel = write_one(l, values, position, panel);
    }
    convolve_simd_block(l->stream, l->panels, output, &block);
}

void convolve_simd_s8(const simd_convolution_t *layer, const int8_t *input, int8_t *output)
{
    const int32_t positions = layer->positions, block = layer->block, filters = layer->filters;
    const int8_t *values = layer->padded_row ? with_border(layer, input) : input;
    for (int32_t start = 0; start < positions; start += block) {
        const int32_t n = positions - start < block ? positions - start : block;
        convolve_positions(layer, values, start, n, output + start * filters);
    }
    clamp_values(output, layer->minimum, layer->maximum, positions * filters);
}

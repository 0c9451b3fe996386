/* Depthwise convolution, 3 x 3: four channels at a time become planes whose words hold two values, one below the other,
 * so that SMLAD takes two of the three weights of a column; four rows of outputs at a time. */
#include "kernels_dense.h"
#include "output_stage.h"
#include "simd.h"

#define PITCH SIMD_PLANE_COLUMNS         /* words of a row in a plane */
#define COLUMNS (SIMD_PLANE_COLUMNS - 2) /* of outputs */

typedef struct {
    int16_t weights[3][4];
    output_stage_t stage;
} channel_t;

/* What all channels have in common; depthwise_convolve_simd_m7.S reads it. */
typedef struct {
    int32_t row;         /* values from one row of the output to the next */
    int32_t blocks, odd; /* blocks of four rows; whether one more row follows */
    int32_t columns;
    int32_t channels;
} plane_t;

#ifdef __ARM_FEATURE_DSP
void depthwise_simd_channel(const channel_t *channel, const uint32_t *words, int8_t *output, const plane_t *plane);
#else
static inline int32_t column_sum(const int16_t *weights, uint32_t word, uint32_t below)
{
    return weights[0] * (int16_t)word + weights[1] * (int16_t)(word >> 16) + weights[3] * (int16_t)below;
}

static void depthwise_simd_channel(const channel_t *channel, const uint32_t *words, int8_t *output,
                                   const plane_t *plane)
{
    for (int32_t row = 0; row < 4 * plane->blocks + plane->odd; row++) {
        for (int32_t column = 0; column < plane->columns; column++) {
            const uint32_t *word = words + row / 2 * PITCH + column;
            int32_t twice = 0;
            for (int32_t x = 0; x < 3; x++, word++) {
                const uint32_t upper = row % 2 ? word[0] >> 16 | word[PITCH] << 16 : word[0];
                const uint32_t below = row % 2 ? word[PITCH] >> 16 : word[PITCH];
                twice += column_sum(channel->weights[x], upper, below);
            }
            output[row * plane->row + column * plane->channels] = (int8_t)output_stage(twice / 2, &channel->stage);
        }
    }
}
#endif

/* The planes of four channels: columns `first` to `last` of the input. The border holds its value already, save where
 * it shares words with the first or the last row. */
static void write_planes(const simd_depthwise_t *l, const int8_t *input, int32_t first, int32_t last, uint32_t *plane,
                         int32_t plane_words)
{
    const int8_t zero_point = (int8_t)l->zero_point, border[] = {zero_point, zero_point, zero_point, zero_point};
    const int32_t row = l->input_width * l->channels;
    input += first * l->channels;
    for (int32_t y = -l->border_height; y < l->input_height; y += 2, plane += PITCH) {
        const int8_t *upper = y < 0 ? border : input + y * row;
        const int8_t *lower = y + 1 < l->input_height ? input + (y + 1) * row : border;
        const int32_t upper_step = y < 0 ? 0 : l->channels, lower_step = lower == border ? 0 : l->channels;
        uint32_t *word = plane;
        for (int32_t x = last - first; x > 0; x--, word++, upper += upper_step, lower += lower_step) {
            const uint32_t a = load_word(upper), b = load_word(lower);
            const uint32_t first_two = lower_halves(a, b), last_two = upper_halves(a, b);
            word[0] = even_bytes(first_two);
            word[plane_words] = odd_bytes(first_two);
            word[2 * plane_words] = even_bytes(last_two);
            word[3 * plane_words] = odd_bytes(last_two);
        }
    }
}

void depthwise_convolve_simd_s8(const simd_depthwise_t *layer, const int8_t *input, int8_t *output)
{
    const simd_depthwise_t l = *layer;
    const int32_t plane_words = ((l.output_height + 1) / 2 + 1) * PITCH;
    const int32_t odd = l.output_height % 2, overlap = (l.output_height - odd) % 4;
    plane_t plane = {l.output_width * l.channels, l.output_height / 4, overlap ? 0 : odd, 0, l.channels};
    for (int32_t left = 0; left < l.output_width; left += COLUMNS) {
        const int32_t start = left - l.border_width, end = start + PITCH;
        const int32_t first = start < 0 ? 0 : start, last = end < l.input_width ? end : l.input_width;
        plane.columns = l.output_width - left < COLUMNS ? l.output_width - left : COLUMNS;
        for (int32_t k = 0; k < 4 * plane_words; k++) {
            l.planes[k] = (uint32_t)(l.zero_point & 0xffff) * 0x00010001u;
        }
        for (int32_t done = 0; done < l.channels; done += 4) {
            const int32_t channel = done + 4 <= l.channels ? done : l.channels - 4;
            write_planes(&l, input + channel, first, last, l.planes + first - start, plane_words);
            for (int32_t k = 0; k < 4; k++) {
                const channel_t *const weights = (const channel_t *)(const void *)l.stream + channel + k;
                const uint32_t *const words = l.planes + k * plane_words;
                int8_t *const target = output + left * l.channels + channel + k;
                depthwise_simd_channel(weights, words, target, &plane);
                if (overlap) { /* the last two rows, with the two before them */
                    const plane_t rest = {plane.row, 1, odd, plane.columns, plane.channels};
                    const int32_t row = l.output_height - odd - 4;
                    depthwise_simd_channel(weights, words + row / 2 * PITCH, target + row * plane.row, &rest);
                }
            }
        }
    }
    clamp_values(output, l.minimum, l.maximum, l.output_height * l.output_width * l.channels);
}

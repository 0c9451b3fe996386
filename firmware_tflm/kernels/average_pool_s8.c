/* Average over windows, rounded to nearest, halves away from zero. */
#include "kernels_plain.h"
#include "window.h"
#include "within.h"

void average_pool_s8(const pooling_t *layer, const int8_t *input, int8_t *output)
{
    const pooling_t l = *layer;
    for (int32_t row = 0; row < l.output_height; row++) {
        const span_t ys = window_span(row * l.stride_height - l.pad_height, l.window_height, l.input_height);
        for (int32_t column = 0; column < l.output_width; column++) {
            const span_t xs = window_span(column * l.stride_width - l.pad_width, l.window_width, l.input_width);
            const int32_t count = (ys.end - ys.start) * (xs.end - xs.start);
            for (int32_t channel = 0; channel < l.channels; channel++) {
                int32_t sum = 0;
                for (int32_t y = ys.start; y < ys.end; y++) {
                    for (int32_t x = xs.start; x < xs.end; x++) {
                        sum += input[(y * l.input_width + x) * l.channels + channel];
                    }
                }
                const int32_t value = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
                *output++ = (int8_t)within(value, l.minimum, l.maximum);
            }
        }
    }
}

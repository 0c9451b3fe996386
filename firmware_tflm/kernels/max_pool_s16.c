/* Largest value of each window. */
#include "kernels_plain.h"
#include "window.h"
#include "within.h"

void max_pool_s16(const pooling_t *layer, const int16_t *input, int16_t *output)
{
    const pooling_t l = *layer;
    for (int32_t row = 0; row < l.output_height; row++) {
        const span_t ys = window_span(row * l.stride_height - l.pad_height, l.window_height, l.input_height);
        for (int32_t column = 0; column < l.output_width; column++) {
            const span_t xs = window_span(column * l.stride_width - l.pad_width, l.window_width, l.input_width);
            for (int32_t channel = 0; channel < l.channels; channel++) {
                int32_t largest = INT16_MIN;
                for (int32_t y = ys.start; y < ys.end; y++) {
                    for (int32_t x = xs.start; x < xs.end; x++) {
                        const int32_t value = input[(y * l.input_width + x) * l.channels + channel];
                        largest = value > largest ? value : largest;
                    }
                }
                *output++ = (int16_t)within(largest, l.minimum, l.maximum);
            }
        }
    }
}

/* Average over windows. */
#include "kernels_plain.h"
#include "window.h"
#include "within.h"

void average_pool_f32(const pooling_f32_t *layer, const float *input, float *output)
{
    const pooling_f32_t l = *layer;
    for (int32_t row = 0; row < l.output_height; row++) {
        const span_t ys = window_span(row * l.stride_height - l.pad_height, l.window_height, l.input_height);
        for (int32_t column = 0; column < l.output_width; column++) {
            const span_t xs = window_span(column * l.stride_width - l.pad_width, l.window_width, l.input_width);
            const float count = (float)((ys.end - ys.start) * (xs.end - xs.start));
            for (int32_t channel = 0; channel < l.channels; channel++) {
                float sum = 0.0f;
                for (int32_t y = ys.start; y < ys.end; y++) {
                    for (int32_t x = xs.start; x < xs.end; x++) {
                        sum += input[(y * l.input_width + x) * l.channels + channel];
                    }
                }
                *output++ = within_f32(sum / count, l.minimum, l.maximum);
            }
        }
    }
}

/* A border around a tensor. */
#include "kernels_plain.h"

void pad_s8(const border_t *layer, const int8_t *input, int8_t *output)
{
    const border_t l = *layer;
    for (int32_t row = 0; row < l.output_height; row++) {
        const int32_t y = row - l.before_height;
        for (int32_t column = 0; column < l.output_width; column++) {
            const int32_t x = column - l.before_width;
            const int outside = y < 0 || y >= l.input_height || x < 0 || x >= l.input_width;
            for (int32_t channel = 0; channel < l.output_channels; channel++) {
                const int32_t in = channel - l.before_channels;
                if (outside || in < 0 || in >= l.input_channels) {
                    *output++ = (int8_t)l.value;
                } else {
                    *output++ = input[(y * l.input_width + x) * l.input_channels + in];
                }
            }
        }
    }
}

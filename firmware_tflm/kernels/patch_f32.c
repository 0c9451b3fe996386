/* Patches of a convolution's input as columns of a panel: see patch_f32.h. */
#include "patch_f32.h"

#include <stddef.h>

/* `n` values, or zeros, from value k on; returns where the next ones follow. */
__attribute__((noinline)) static int32_t write_run(float *place, int32_t k, const float *values, int32_t n,
                                                   int32_t pair, int32_t odd)
{
    const int32_t end = k + n;
    if (!values) {
        for (; k < end; k++) {
            place[k / 2 * pair + k % 2 * odd] = 0.0f;
        }
        return end;
    }
    place += k / 2 * pair;
    if (k < end && k % 2) {
        place[odd] = *values++;
        place += pair;
        k++;
    }
    for (; k + 2 <= end; k += 2, place += pair, values += 2) {
        place[0] = values[0];
        place[odd] = values[1];
    }
    if (k < end) {
        *place = *values;
    }
    return end;
}

void write_patch_f32(const geometry_t *geometry, const float *input, int32_t position, float *place, int32_t pair,
                     int32_t odd)
{
    const geometry_t g = *geometry;
    const int32_t run = g.kernel_width * g.input_channels, last = g.output_height * g.output_width - 1;
    position = position < last ? position : last;
    const int32_t y = position / g.output_width * g.stride_height - g.pad_height;
    const int32_t x = position % g.output_width * g.stride_width - g.pad_width;
    const int rows_inside = y >= 0 && y + g.kernel_height <= g.input_height;
    const int columns_inside = x >= 0 && x + g.kernel_width <= g.input_width;
    if (rows_inside && columns_inside && run % 2 == 0) {
        input += (y * g.input_width + x) * g.input_channels;
        for (int32_t row = 0; row < g.kernel_height; row++, input += g.input_width * g.input_channels) {
            for (int32_t k = 0; k < run; k += 2, place += pair) {
                place[0] = input[k];
                place[odd] = input[k + 1];
            }
        }
        return;
    }
    int32_t k = 0;
    for (int32_t row = y; row < y + g.kernel_height; row++) {
        const float *const values = input + (row * g.input_width + x) * g.input_channels;
        if (row < 0 || row >= g.input_height) {
            k = write_run(place, k, NULL, run, pair, odd);
        } else if (columns_inside) {
            k = write_run(place, k, values, run, pair, odd);
        } else {
            for (int32_t kx = 0; kx < g.kernel_width; kx++) {
                const int outside = x + kx < 0 || x + kx >= g.input_width;
                const float *const pixel = outside ? NULL : values + kx * g.input_channels;
                k = write_run(place, k, pixel, g.input_channels, pair, odd);
            }
        }
    }
}

/* For tests and benches: what every stage made of the last frame. */
#include "frontend_stages.h"

#include <string.h>

#include "frontend_fft.h"

#define BLOCKS (FRONTEND_FFT_SIZE / 2 / FRONTEND_FIRST_RADIX)

const uint32_t frontend_bytes = sizeof(frontend_t);

void frontend_stages(const frontend_t *frontend, frontend_stages_t *stages)
{
    const int16_t *frame = frontend->samples + frontend->slot * FRONTEND_HOP_SAMPLES;
    const uint32_t newest = (frontend->oldest > 0 ? frontend->oldest : FRONTEND_FRAMES) - 1;
    const float *window = frontend_window;

    for (int32_t block = 0; block < BLOCKS; block++) {
        for (int32_t n = 0; n < FRONTEND_FIRST_RADIX; n++, window += 2) {
            const int32_t index = frontend_fft_order[block] + 2 * n * BLOCKS;
            const frontend_complex_t point = frontend_windowed(frame + index, window);
            /* the tables hold half of the samples: see split() in frontend_fft.c */
            stages->window[index] = 2.0f * point.re;
            stages->window[index + 1] = 2.0f * point.im;
        }
    }
    memcpy(stages->power, frontend->power, sizeof stages->power);
    memcpy(stages->mel, frontend->mel, sizeof stages->mel);
    memcpy(stages->log_mel, frontend->log_mel, sizeof stages->log_mel);
    memcpy(stages->column, frontend->columns[newest], sizeof stages->column);
}

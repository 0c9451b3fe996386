/* Power spectrum of a windowed frame of real samples. */
#ifndef FRONTEND_FFT_H_
#define FRONTEND_FFT_H_

#include "frontend.h"

/* Sample pair `index` (0 to FFT_SIZE / 2 - 1 in the order of `frontend_window`) times the window, which holds the
 * scale of 16-bit samples as well. */
static inline frontend_complex_t frontend_windowed(const int16_t *pair, const float *window)
{
    const frontend_complex_t point = {(float)pair[0] * window[0], (float)pair[1] * window[1]};
    return point;
}

/* Power of bins 0 to FRONTEND_BINS - 1 of the frame of FRONTEND_FFT_SIZE samples; `spectrum` is work space. */
void frontend_power_spectrum(const int16_t *frame, frontend_complex_t *restrict spectrum, float *restrict power);

#endif

/* For tests and benches: what every stage made of the last frame. */
#ifndef FRONTEND_STAGES_H_
#define FRONTEND_STAGES_H_

#include "frontend.h"

typedef struct {
    float window[FRONTEND_FFT_SIZE]; /* samples in -1..1 times the Hann window */
    float power[FRONTEND_BINS];
    float mel[FRONTEND_MEL_BANDS];
    float log_mel[FRONTEND_MEL_BANDS]; /* dB */
    float column[FRONTEND_BANDS];
} frontend_stages_t;

/* Copy the stages of the newest column. */
void frontend_stages(const frontend_t *frontend, frontend_stages_t *stages);

/* Size of frontend_t, for callers in other languages. */
extern const uint32_t frontend_bytes;

#endif

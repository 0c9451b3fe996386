/* Streaming front end: one hop of 16-bit samples in, one column of features out (log-mel in dB, or MFCC).
 *
 * Settings and tables come from frontend_tables.{h,c}, which `python -m kwslib.frontend_c SETTING FOLDER` writes. */
#ifndef FRONTEND_H_
#define FRONTEND_H_

#include <stdint.h>

#include "frontend_tables.h"

/* Samples of the newest FRONTEND_HOPS_PER_FRAME hops: at least one FFT frame. */
#define FRONTEND_RING_SAMPLES (FRONTEND_HOPS_PER_FRAME * FRONTEND_HOP_SAMPLES)

typedef struct {
    float re;
    float im;
} frontend_complex_t;

/* All memory of the front end; place it in DTCM. Nothing else is written, and there is no heap. */
typedef struct {
    int16_t samples[2 * FRONTEND_RING_SAMPLES]; /* a ring that is stored twice: every frame in it is contiguous */
    frontend_complex_t spectrum[FRONTEND_FFT_SIZE / 2]; /* FFT of even samples + i * odd samples */
    float power[FRONTEND_BINS + 3];                     /* |X|^2 of the last frame, samples in -1..1; then zeros */
    float mel[FRONTEND_MEL_BANDS_PADDED];               /* mel power of the last frame */
    float log_mel[FRONTEND_MEL_BANDS_PADDED];           /* dB */
    float columns[FRONTEND_FRAMES][FRONTEND_BANDS];     /* ring of the newest columns, before normalisation */
    uint32_t slot;                                      /* where the next hop goes, 0 to HOPS_PER_FRAME - 1 */
    uint32_t oldest;                                    /* row of `columns` that the next column replaces */
} frontend_t;

/* Start with silence: as if zeros had been pushed for ever. */
void frontend_init(frontend_t *frontend);

/* Take FRONTEND_HOP_SAMPLES samples; write the new column, FRONTEND_BANDS values before normalisation.
 *
 * The frame behind it is the first FRONTEND_FFT_SIZE samples of the newest FRONTEND_HOPS_PER_FRAME hops. A clip that
 * starts with push 1 therefore has its column t, counted from 0, after push t + FRONTEND_HOPS_PER_FRAME. */
void frontend_push(frontend_t *frontend, const int16_t *hop, float *column);

/* Normalise the newest FRONTEND_FRAMES columns as FRONTEND_NORMALISATION says: [frames][bands], oldest first. */
void frontend_normalise(const frontend_t *frontend, float *features);

/* The same as input of a model, [frames][bands], oldest first: round(x / scale) + zero_point, halves to even,
 * held inside the range of the type. `scale` and `zero_point` are those of the model's input tensor. */
void frontend_quantize_int8(const frontend_t *frontend, float scale, int32_t zero_point, int8_t *input);
void frontend_quantize_int16(const frontend_t *frontend, float scale, int32_t zero_point, int16_t *input);

#endif

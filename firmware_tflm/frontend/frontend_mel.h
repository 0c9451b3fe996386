/* From a power spectrum to mel bands in dB and to MFCC. */
#ifndef FRONTEND_MEL_H_
#define FRONTEND_MEL_H_

#include "frontend.h"

/* Mel power of every band; `mel` has FRONTEND_MEL_BANDS_PADDED values, the padding is set to 0. */
void frontend_mel(const float *power, float *mel);

/* 10 log10(max(mel, FRONTEND_FLOOR)) of FRONTEND_MEL_BANDS_PADDED values, within 2e-5 dB. */
void frontend_log(const float *mel, float *log_mel);

/* The first FRONTEND_BANDS values of the orthonormal DCT-II of FRONTEND_MEL_BANDS values. */
void frontend_dct(const float *log_mel, float *column);

#endif

/* The front end as a stream: ring of samples, ring of columns, normalisation and quantization. */
#include "frontend.h"

#include <math.h>
#include <string.h>

#include "frontend_fft.h"
#include "frontend_mel.h"

#define VALUES (FRONTEND_FRAMES * FRONTEND_BANDS)

void frontend_init(frontend_t *frontend)
{
    static const int16_t silence[FRONTEND_HOP_SAMPLES];
    float column[FRONTEND_BANDS];

    memset(frontend, 0, sizeof *frontend);
    frontend_push(frontend, silence, column);
    for (int32_t frame = 0; frame < FRONTEND_FRAMES; frame++) {
        memcpy(frontend->columns[frame], column, sizeof column);
    }
}

/* One loop for both copies; pointers that may overlap keep it from becoming two calls of newlib's byte-wise memcpy. */
static void store_hop(frontend_t *frontend, const int16_t *hop)
{
    int16_t *first = frontend->samples + frontend->slot * FRONTEND_HOP_SAMPLES;
    int16_t *second = first + FRONTEND_RING_SAMPLES;

    for (int32_t n = 0; n < FRONTEND_HOP_SAMPLES; n++) {
        first[n] = hop[n];
        second[n] = hop[n];
    }
    frontend->slot = frontend->slot + 1 < FRONTEND_HOPS_PER_FRAME ? frontend->slot + 1 : 0;
}

void frontend_push(frontend_t *frontend, const int16_t *hop, float *column)
{
    store_hop(frontend, hop);
    /* the slot that comes next holds the oldest hop */
    const int16_t *frame = frontend->samples + frontend->slot * FRONTEND_HOP_SAMPLES;
    float *newest = frontend->columns[frontend->oldest];

    frontend_power_spectrum(frame, frontend->spectrum, frontend->power);
    frontend_mel(frontend->power, frontend->mel);
    frontend_log(frontend->mel, frontend->log_mel);
#if FRONTEND_MFCC
    frontend_dct(frontend->log_mel, column);
#endif
    for (int32_t band = 0; band < FRONTEND_BANDS; band++) {
#if !FRONTEND_MFCC
        column[band] = frontend->log_mel[band];
#endif
        newest[band] = column[band];
    }
    frontend->oldest = frontend->oldest + 1 < FRONTEND_FRAMES ? frontend->oldest + 1 : 0;
}

#if FRONTEND_NORMALISATION == FRONTEND_WINDOW
/* Mean and standard deviation (not below 1e-3) of all values, in two passes; one sum for each of four neighbours. */
static void statistics(const float *values, float *mean, float *std)
{
    float sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;

    for (int32_t n = 0; n < VALUES / 4 * 4; n += 4) {
        sum0 += values[n];
        sum1 += values[n + 1];
        sum2 += values[n + 2];
        sum3 += values[n + 3];
    }
    for (int32_t n = VALUES / 4 * 4; n < VALUES; n++) {
        sum0 += values[n];
    }
    const float centre = ((sum0 + sum1) + (sum2 + sum3)) / (float)VALUES;
    sum0 = sum1 = sum2 = sum3 = 0.0f;
    for (int32_t n = 0; n < VALUES / 4 * 4; n += 4) {
        const float d0 = values[n] - centre, d1 = values[n + 1] - centre;
        const float d2 = values[n + 2] - centre, d3 = values[n + 3] - centre;
        sum0 += d0 * d0;
        sum1 += d1 * d1;
        sum2 += d2 * d2;
        sum3 += d3 * d3;
    }
    for (int32_t n = VALUES / 4 * 4; n < VALUES; n++) {
        sum0 += (values[n] - centre) * (values[n] - centre);
    }
    *mean = centre;
    *std = fmaxf(sqrtf(((sum0 + sum1) + (sum2 + sum3)) / (float)VALUES), 1e-3f);
}
#endif

/* What to subtract from a value of each band, and what to multiply it by: normalisation and a division by `scale`. */
static void normalisation(const frontend_t *frontend, float scale, float *mean, float *gain)
{
#if FRONTEND_NORMALISATION == FRONTEND_PER_BAND
    (void)frontend;
    for (int32_t band = 0; band < FRONTEND_BANDS; band++) {
        mean[band] = frontend_mean[band];
        gain[band] = 1.0f / (frontend_std[band] * scale);
    }
#else
    float common_mean = 0.0f, std = 1.0f;
#if FRONTEND_NORMALISATION == FRONTEND_WINDOW
    statistics(frontend->columns[0], &common_mean, &std);
#else
    (void)frontend;
#endif
    for (int32_t band = 0; band < FRONTEND_BANDS; band++) {
        mean[band] = common_mean;
        gain[band] = 1.0f / (std * scale);
    }
#endif
}

/* Row `frame` of the ring, counted from the oldest. */
static const float *column_of(const frontend_t *frontend, uint32_t frame)
{
    const uint32_t row = frontend->oldest + frame;

    return frontend->columns[row < FRONTEND_FRAMES ? row : row - FRONTEND_FRAMES];
}

void frontend_normalise(const frontend_t *frontend, float *features)
{
    float mean[FRONTEND_BANDS], gain[FRONTEND_BANDS];

    normalisation(frontend, 1.0f, mean, gain);
    for (uint32_t frame = 0; frame < FRONTEND_FRAMES; frame++) {
        const float *column = column_of(frontend, frame);
        for (int32_t band = 0; band < FRONTEND_BANDS; band++) {
            *features++ = (column[band] - mean[band]) * gain[band];
        }
    }
}

/* One column as whole numbers from `low` to `high`. A loop of its own: stores of int8_t, which may alias anything,
 * would keep the compiler from working on several bands at a time. */
static inline void quantize_column(const float *restrict column, const float *restrict mean, const float *restrict gain,
                                   float zero_point, float low, float high, float *restrict whole)
{
#pragma GCC unroll 4
    for (int32_t band = 0; band < FRONTEND_BANDS; band++) {
        /* rintf: halves to even, the FPU's default */
        const float rounded = rintf((column[band] - mean[band]) * gain[band]) + zero_point;
        whole[band] = fminf(fmaxf(rounded, low), high);
    }
}

void frontend_quantize_int8(const frontend_t *frontend, float scale, int32_t zero_point, int8_t *input)
{
    float mean[FRONTEND_BANDS], gain[FRONTEND_BANDS], whole[FRONTEND_BANDS];

    normalisation(frontend, scale, mean, gain);
    for (uint32_t frame = 0; frame < FRONTEND_FRAMES; frame++) {
        quantize_column(column_of(frontend, frame), mean, gain, (float)zero_point, INT8_MIN, INT8_MAX, whole);
        for (int32_t band = 0; band < FRONTEND_BANDS; band++) {
            *input++ = (int8_t)whole[band];
        }
    }
}

void frontend_quantize_int16(const frontend_t *frontend, float scale, int32_t zero_point, int16_t *input)
{
    float mean[FRONTEND_BANDS], gain[FRONTEND_BANDS], whole[FRONTEND_BANDS];

    normalisation(frontend, scale, mean, gain);
    for (uint32_t frame = 0; frame < FRONTEND_FRAMES; frame++) {
        quantize_column(column_of(frontend, frame), mean, gain, (float)zero_point, INT16_MIN, INT16_MAX, whole);
        for (int32_t band = 0; band < FRONTEND_BANDS; band++) {
            *input++ = (int16_t)whole[band];
        }
    }
}

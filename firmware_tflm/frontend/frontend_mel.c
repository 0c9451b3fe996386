/* Mel bands, logarithm and DCT: several values side by side, because each step of the FPU takes three to five cycles
 * until its result can be used. */
#include "frontend_mel.h"

#include <math.h>
#include <string.h>

void frontend_mel(const float *power, float *mel)
{
    const float *weight = frontend_mel_weights;

    for (int32_t band = 0; band < FRONTEND_MEL_BANDS; band++) {
        const float *bin = power + frontend_mel_first[band];
        float sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;
        float product0 = bin[0] * weight[0], product1 = bin[1] * weight[1];
        float product2 = bin[2] * weight[2], product3 = bin[3] * weight[3];
        weight += 4;
        for (int32_t quads = frontend_mel_quads[band]; quads > 1; quads--) {
            bin += 4;
            sum0 += product0;
            sum1 += product1;
            sum2 += product2;
            sum3 += product3;
            product0 = bin[0] * weight[0];
            product1 = bin[1] * weight[1];
            product2 = bin[2] * weight[2];
            product3 = bin[3] * weight[3];
            weight += 4;
        }
        mel[band] = ((sum0 + product0) + (sum1 + product1)) + ((sum2 + product2) + (sum3 + product3));
    }
    for (int32_t band = FRONTEND_MEL_BANDS; band < FRONTEND_MEL_BANDS_PADDED; band++) {
        mel[band] = 0.0f;
    }
}

void frontend_log(const float *mel, float *log_mel)
{
    /* 10 log10(1 + f) = f * polynomial(f) for 1 + f from sqrt(1/2) to sqrt(2): minimax, largest error 6.5e-6 dB */
    const float c0 = 4.34300041f, c1 = -2.1708231f, c2 = 1.44298124f;
    const float c3 = -1.10625494f, c4 = 0.969784021f, c5 = -0.621905982f;
    const float db_per_octave = 3.01029996f;

    for (int32_t first = 0; first < FRONTEND_MEL_BANDS_PADDED; first += 4) {
        float octaves[4], f[4], sum[4];
        for (int32_t lane = 0; lane < 4; lane++) {
            const float value = fmaxf(mel[first + lane], FRONTEND_FLOOR);
            int32_t bits;
            memcpy(&bits, &value, sizeof bits);
            /* 0x3f3504f3 is sqrt(1/2): the exponent counts octaves above it */
            const int32_t octave = (bits - 0x3f3504f3) >> 23;
            bits -= (int32_t)((uint32_t)octave << 23);
            memcpy(&f[lane], &bits, sizeof bits);
            f[lane] -= 1.0f;
            octaves[lane] = (float)octave;
        }
        for (int32_t lane = 0; lane < 4; lane++) {
            sum[lane] = c5 * f[lane] + c4;
        }
        for (int32_t lane = 0; lane < 4; lane++) {
            sum[lane] = sum[lane] * f[lane] + c3;
        }
        for (int32_t lane = 0; lane < 4; lane++) {
            sum[lane] = sum[lane] * f[lane] + c2;
        }
        for (int32_t lane = 0; lane < 4; lane++) {
            sum[lane] = sum[lane] * f[lane] + c1;
        }
        for (int32_t lane = 0; lane < 4; lane++) {
            sum[lane] = sum[lane] * f[lane] + c0;
        }
        for (int32_t lane = 0; lane < 4; lane++) {
            log_mel[first + lane] = sum[lane] * f[lane] + octaves[lane] * db_per_octave;
        }
    }
}

#if FRONTEND_MFCC
void frontend_dct(const float *log_mel, float *column)
{
    const float *weight = frontend_dct_weights;

    for (int32_t coefficient = 0; coefficient < FRONTEND_BANDS; coefficient++) {
        float sum0 = 0.0f, sum1 = 0.0f, sum2 = 0.0f, sum3 = 0.0f;
        for (int32_t band = 0; band < FRONTEND_MEL_BANDS_PADDED; band += 4, weight += 4) {
            sum0 += log_mel[band] * weight[0];
            sum1 += log_mel[band + 1] * weight[1];
            sum2 += log_mel[band + 2] * weight[2];
            sum3 += log_mel[band + 3] * weight[3];
        }
        column[coefficient] = (sum0 + sum1) + (sum2 + sum3);
    }
}
#endif

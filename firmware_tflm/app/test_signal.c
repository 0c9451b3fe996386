/* Two triangles, one sweeping up from 62 Hz at 16 kHz, one at three times its frequency; noise 24 dB below each. */
#include "test_signal.h"

/* -8192 to 8191 over a turn. */
static int32_t triangle(uint32_t phase)
{
    const uint32_t ramp = phase >> 17; /* 0 to 32767 */
    return (int32_t)(ramp < 16384 ? ramp : 32767 - ramp) - 8192;
}

void test_signal_next(test_signal_t *signal, int16_t *samples, uint32_t n_samples)
{
    for (uint32_t n = 0; n < n_samples; n++) {
        signal->noise ^= signal->noise << 13; /* xorshift32, Marsaglia 2003 */
        signal->noise ^= signal->noise >> 17;
        signal->noise ^= signal->noise << 5;
        signal->phase[0] += signal->step;
        signal->phase[1] += 3 * signal->step;
        signal->step += 1u << 13;
        const int32_t noise = (int32_t)(signal->noise >> 22) - 512;
        samples[n] = (int16_t)(triangle(signal->phase[0]) + triangle(signal->phase[1]) + noise);
    }
}

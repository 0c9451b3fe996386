/* A fixed signal with power in every band: two sweeping triangles and noise, in integers, the same on every machine. */
#ifndef TEST_SIGNAL_H
#define TEST_SIGNAL_H

#include <stdint.h>

typedef struct {
    uint32_t noise;
    uint32_t phase[2]; /* a full turn is 2^32 */
    uint32_t step;     /* of the first triangle for each sample; the second runs three times as fast */
} test_signal_t;

#define TEST_SIGNAL_START ((test_signal_t){.noise = 1, .step = 1u << 24})

/* Write the next `n_samples` samples. */
void test_signal_next(test_signal_t *signal, int16_t *samples, uint32_t n_samples);

#endif

/* Warnings about the microphones, one for each change. */
#include "microphone.h"

#include <stdbool.h>
#include <stddef.h>

#define CLIPPED_SHARE 8u

const char *microphone_check(const int16_t *samples, uint32_t n_samples, uint32_t silent_hops)
{
    static uint32_t still_hops;
    static bool clipped;
    uint32_t at_limit = 0;
    int32_t low = samples[0], high = samples[0];

    for (uint32_t n = 0; n < n_samples; n++) {
        const int32_t sample = samples[n];
        low = sample < low ? sample : low;
        high = sample > high ? sample : high;
        at_limit += sample == INT16_MAX || sample == INT16_MIN;
    }
    still_hops = low == high ? still_hops + 1 : 0;
    if (still_hops == silent_hops) {
        return "warning: the microphones are silent\n";
    }
    const bool was_clipped = clipped;
    clipped = at_limit >= n_samples / CLIPPED_SHARE;
    return clipped && !was_clipped ? "warning: the microphones clip\n" : NULL;
}

/* The front end over silence and over the application's test signal, for the sanitizers; numbers: kwslib's tests. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "frontend.h"
#include "test_signal.h"

static frontend_t frontend;
static int16_t hop[FRONTEND_HOP_SAMPLES];
static float column[FRONTEND_BANDS], silent[FRONTEND_BANDS];
static float features[FRONTEND_FRAMES * FRONTEND_BANDS];
static int8_t input[FRONTEND_FRAMES * FRONTEND_BANDS];

int main(void)
{
    test_signal_t signal = TEST_SIGNAL_START;
    frontend_init(&frontend);
    frontend_push(&frontend, hop, silent);
    for (int n = 0; n < 3 * FRONTEND_FRAMES; n++) {
        test_signal_next(&signal, hop, FRONTEND_HOP_SAMPLES);
        frontend_push(&frontend, hop, column);
        for (int band = 0; band < FRONTEND_BANDS; band++) {
            CHECK(isfinite(column[band]));
        }
        CHECK(column[0] > silent[0]);
        frontend_normalise(&frontend, features);
        frontend_quantize_int8(&frontend, 0.01f, -3, input);
    }
    /* After a frame of silence the newest column is that of silence again: nothing lingers. */
    memset(hop, 0, sizeof hop);
    for (int n = 0; n < FRONTEND_HOPS_PER_FRAME; n++) {
        frontend_push(&frontend, hop, column);
    }
    CHECK(memcmp(column, silent, sizeof column) == 0);
    return 0;
}

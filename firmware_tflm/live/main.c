/* Always on: microphones -> front end -> network -> decision -> LED and a line on the serial port, once for each hop. */
#include <stdbool.h>
#include <stddef.h>

#include "audio.h"
#include "board.h"
#include "commands.h"
#include "decision.h"
#include "engine.h"
#include "frontend.h"
#include "live_model.h"
#include "microphone.h"
#include "network.h"
#include "print.h"
#include "revision.h"
#include "statistics.h"

#define HOPS_OF(seconds) ((uint32_t)(seconds) * FRONTEND_SAMPLE_RATE_HZ / FRONTEND_HOP_SAMPLES)
#define LED_HOPS (HOPS_OF(1) / 2)
#define RETRY_MS 300u /* of the watchdog's 700 at least */
_Static_assert(NETWORK_INPUT_VALUES == FRONTEND_FRAMES * FRONTEND_BANDS, "front end and network do not fit");
_Static_assert(FRONTEND_SAMPLE_RATE_HZ == AUDIO_RATE_HZ, "the microphones are recorded at another rate");
_Static_assert(FRONTEND_HOP_SAMPLES <= AUDIO_MOST_HOP_SAMPLES && FRONTEND_HOP_SAMPLES % 2 == 0,
               "the microphones are read in hops of an even number of samples, at most 1024");
_Static_assert(NETWORK_OUTPUT_ZERO_POINT == -128 && NETWORK_OUTPUT_SCALE == 0.00390625f, "not a softmax in int8");

extern const uint8_t __network_start[], __network_end[]; /* weights and layers, or the model, in flash */
const volatile uint32_t network_hash = 0;                /* written into the program after it was linked */

static frontend_t frontend;
static decision_t decision;
static statistics_t statistics;
static uint32_t last_us; /* when the last hop began to be processed */
static int16_t hop[FRONTEND_HOP_SAMPLES];
static _Alignas(8) int8_t input[NETWORK_INPUT_VALUES];
static _Alignas(8) int8_t scores[NETWORK_OUTPUT_VALUES];

/* FNV-1a: another byte anywhere gives another number. */
static uint32_t hash_of(const uint8_t *from, const uint8_t *end)
{
    uint32_t hash = 2166136261u;
    while (from < end) {
        hash = (hash ^ *from++) * 16777619u;
    }
    return hash;
}

/* Sleeps, but for interrupts that send what is left; the watchdog ends it, if it runs. */
__attribute__((noreturn)) static void stop(void)
{
    for (;;) {
        __asm volatile("wfi");
    }
}

static void stop_if(const char *failed)
{
    if (failed != NULL) {
        print_text("error: ");
        print_text(failed);
        print_text("\n");
        stop();
    }
}

static void check_network(void)
{
    const uint32_t found = hash_of(__network_start, __network_end);
    if (found == network_hash) {
        return;
    }
    print_text("error: the network in flash is damaged, hash ");
    print_hex(found);
    print_text(" instead of ");
    print_hex(network_hash);
    print_text("; flash the board again\n");
    stop();
}

static void start_audio(void)
{
    for (;;) {
        const char *failed = audio_start(FRONTEND_HOP_SAMPLES, LIVE_VOLUME);
        watchdog_feed();
        if (failed == NULL) {
            return;
        }
        print_text("error: ");
        print_text(failed);
        print_text("; trying again\n");
        wait_ms(RETRY_MS);
    }
}

static void print_detection(int32_t keyword)
{
    static const char *const labels[] = LIVE_LABELS;
    print_text("detected keyword=");
    print_text(labels[keyword]);
    print_value("time_ms", statistics.time_ms);
    print_text(" score=");
    print_fixed((int32_t)((int64_t)decision_score(&decision, keyword) * 1000 / DECISION_ONE), 3);
    print_value("frontend_cycles", statistics.frontend.last);
    print_value("inference_cycles", statistics.inference.last);
    print_load(&statistics);
    print_value("overruns", audio_overruns());
    print_text("\n");
}

/* One hop from the microphones to a class, or -1. */
static int32_t process(void)
{
    float column[FRONTEND_BANDS];
    const uint32_t start = cycle_count();
    const uint32_t number = audio_read(hop);
    frontend_push(&frontend, hop, column);
    frontend_quantize_int8(&frontend, NETWORK_INPUT_SCALE, NETWORK_INPUT_ZERO_POINT, input);
    const uint32_t between = cycle_count();
    stop_if(engine_run(input, scores));
    cost_add(&statistics.inference, cycle_count() - between);
    cost_add(&statistics.frontend, between - start);
    statistics.hops++;
    statistics.time_ms = (uint32_t)((uint64_t)(number + 1) * FRONTEND_HOP_SAMPLES * 1000u / FRONTEND_SAMPLE_RATE_HZ);
    return decision_step(&decision, scores);
}

static void report(int32_t keyword)
{
    static uint32_t led_hops, overruns, hops_since_warning = HOPS_OF(1);
    const char *warning = microphone_check(hop, FRONTEND_HOP_SAMPLES, HOPS_OF(1));
    if (warning != NULL) {
        print_text(warning);
    }
    hops_since_warning++;
    if (audio_overruns() != overruns && hops_since_warning > HOPS_OF(1)) { /* not more than once a second */
        overruns = audio_overruns();
        hops_since_warning = 0;
        print_text("warning: sound was lost,");
        print_value("overruns", overruns);
        print_text("\n");
    }
    if (keyword >= 0) {
        statistics.detections++;
        led_hops = LED_HOPS;
        print_detection(keyword);
    }
    led_set(led_hops > 0);
    led_hops -= led_hops > 0;
}

/* Sleep until the next hop, with a look for commands after each interrupt: of the microphones, and of the serial port
 * while it sends. Where the next hop is there already, commands are served all the same, once. */
static void wait_for_hop(void)
{
    uint32_t slept_us = 0;
    do {
        slept_us += sleep_unless(audio_ready);
        commands_serve(&statistics);
    } while (!audio_ready());
    const uint32_t now_us = microseconds();
    statistics.asleep_us += slept_us;
    statistics.awake_us += now_us - last_us - slept_us;
    last_us = now_us;
}

int main(void)
{
    static const decision_config_t config = LIVE_DECISION;
    const char *clock_failure = board_init();
    print_text("\nkeyword spotting on the STM32F746G-Discovery, revision " REVISION "\nlast reset: ");
    print_text(reset_cause());
    print_text("\n");
    print_model();
    if (clock_failure != NULL) {
        print_text("error: no answer from ");
        print_text(clock_failure);
        print_text("; running on the internal oscillator\n");
    }
    check_network();
    stop_if(engine_start());
    frontend_init(&frontend);
    decision_start(&decision, &config);
    watchdog_start();
    microseconds_start();
    start_audio();
    print_text("listening\n");
    last_us = microseconds();
    for (;;) {
        wait_for_hop();
        const uint32_t start = cycle_count();
        const int32_t keyword = process();
        recording_add(hop);
        report(keyword);
        cost_add(&statistics.other, cycle_count() - start - statistics.frontend.last - statistics.inference.last);
        watchdog_feed(); /* by nothing but a hop that went all the way */
    }
}

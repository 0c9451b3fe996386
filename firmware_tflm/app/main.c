/* Runs the front end over a fixed test signal, hop by hop, and reports what it costs; then feeds the watchdog, blinks,
 * and repeats the report when the button is pressed or a character arrives. */
#include <stddef.h>

#include "board.h"
#include "frontend.h"
#include "print.h"
#include "revision.h"
#include "stm32f746.h"
#include "test_signal.h"

#define HOPS (FRONTEND_FRAMES + FRONTEND_HOPS_PER_FRAME - 1) /* one clip */
#define BLINK_MS 500u

static frontend_t frontend;
static int16_t hop[FRONTEND_HOP_SAMPLES];
static float column[FRONTEND_BANDS];

static void print_setting(const char *name, uint32_t value, const char *unit)
{
    print_text(name);
    print_unsigned(value);
    print_text(unit);
}

static void print_switch(const char *name, uint32_t is_on)
{
    print_text(name);
    print_text(is_on ? " on" : " off");
}

/* FNV-1a over the bytes: equal features, equal number. */
static uint32_t checksum(uint32_t hash, const void *data, size_t n_bytes)
{
    const uint8_t *byte = data;
    for (size_t i = 0; i < n_bytes; i++) {
        hash = (hash ^ byte[i]) * 16777619u;
    }
    return hash;
}

static void print_banner(const char *clock_failure)
{
    const clocks_t clocks = clock_read();
    print_text("\nkeyword spotting on the STM32F746G-Discovery, revision " REVISION "\n");
    if (clock_failure != NULL) {
        print_text("error: no answer from ");
        print_text(clock_failure);
        print_text("; running on the internal oscillator\n");
    }
    print_setting("core ", clocks.core_hz, " Hz, ");
    print_setting("APB1 ", clocks.apb1_hz, " Hz, ");
    print_setting("APB2 ", clocks.apb2_hz, " Hz; ");
    print_switch("I-cache", SCB->CCR & SCB_CCR_IC);
    print_switch(", D-cache", SCB->CCR & SCB_CCR_DC);
    print_switch(", ART", FLASH->ACR & FLASH_ACR_ARTEN);
    print_text("\nlast reset: ");
    print_text(reset_cause());
    print_text("\n");
}

static void report(void)
{
    uint32_t total_cycles = 0;
    uint32_t longest_cycles = 0;
    uint32_t hash = 2166136261u;
    test_signal_t signal = TEST_SIGNAL_START;
    frontend_init(&frontend);
    for (uint32_t n = 0; n < HOPS; n++) {
        test_signal_next(&signal, hop, FRONTEND_HOP_SAMPLES);
        const uint32_t start = cycle_count();
        frontend_push(&frontend, hop, column);
        const uint32_t cycles = cycle_count() - start;
        total_cycles += cycles;
        longest_cycles = cycles > longest_cycles ? cycles : longest_cycles;
        hash = checksum(hash, column, sizeof column);
        watchdog_feed();
    }
    const uint32_t core_mhz = clock_read().core_hz / 1000000u;
    print_setting("front end " FRONTEND_NAME ": ", FRONTEND_FRAMES, " columns of ");
    print_setting("", FRONTEND_BANDS, " values, ");
    print_setting("a hop of ", FRONTEND_HOP_SAMPLES, " samples lasts ");
    print_fixed((int32_t)(FRONTEND_HOP_SAMPLES * 1000000ull / FRONTEND_SAMPLE_RATE_HZ), 3);
    print_setting(" ms\ncycles for a hop: mean ", total_cycles / HOPS, ", ");
    print_setting("longest ", longest_cycles, " (");
    print_fixed((int32_t)(longest_cycles / core_mhz), 3);
    print_text(" ms)\nchecksum of the features ");
    print_hex(hash);
    print_setting("\nstack: ", stack_used_bytes(), " bytes used at most\n");
}

int main(void)
{
    const char *clock_failure = board_init();
    print_banner(clock_failure);
    watchdog_start();
    report();
    tick_start();
    bool was_pressed = false;
    for (;;) {
        __asm volatile("wfi"); /* until the next millisecond */
        watchdog_feed();
        led_set(tick_ms() / BLINK_MS % 2 == 0);
        const bool is_pressed = button_pressed();
        if ((is_pressed && !was_pressed) || uart_read() >= 0) {
            report();
        }
        was_pressed = is_pressed;
    }
}

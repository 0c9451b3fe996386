/* Runs a network in TensorFlow Lite Micro on the clips that were built in, compares every output with what TFLM gave on
 * the computer, and reports; again when the button is pressed or a character arrives. */
#include <string.h>

#include "board.h"
#include "clips.h"
#include "print.h"
#include "tflm_network.h"

#define BLINK_MS 500u

static void print_number(const char *name, uint32_t value, const char *unit)
{
    print_text(name);
    print_unsigned(value);
    print_text(unit);
}

static void report(void)
{
    const uint32_t core_mhz = clock_read().core_hz / 1000000u;
    uint32_t equal = 0;
    for (uint32_t n = 0; n < CLIPS; n++) {
        memcpy(network_input(), clip_inputs[n], CLIP_INPUT_BYTES);
        const uint32_t start = cycle_count();
        const char *error = network_run();
        const uint32_t cycles = cycle_count() - start;
        const int is_equal = memcmp(network_output(), clip_outputs[n], CLIP_OUTPUT_BYTES) == 0;
        equal += is_equal ? 1u : 0u;
        print_text(clip_names[n]);
        print_number(": ", cycles, " cycles, ");
        print_fixed((int32_t)(cycles / core_mhz), 3);
        print_text(error ? " ms, " : is_equal ? " ms, output equal" : " ms, output DIFFERS");
        print_text(error ? error : "");
        print_text("\n");
        watchdog_feed();
    }
    print_number("", equal, " of ");
    print_number("", CLIPS, " outputs equal to the computer's\n");
    print_number("arena ", network_arena_bytes(), " bytes, ");
    print_number("stack ", stack_used_bytes(), " bytes used at most\n");
}

int main(void)
{
    const char *clock_failure = board_init();
    print_text("\nkeyword spotting in TensorFlow Lite Micro, " CLIP_MODEL "\n");
    if (clock_failure) {
        print_text("error: running on the internal oscillator, no answer from ");
        print_text(clock_failure);
        print_text("\n");
    }
    const char *error = network_init();
    if (!error && (network_input_bytes() != CLIP_INPUT_BYTES || network_output_bytes() != CLIP_OUTPUT_BYTES)) {
        error = "the clips are of another model";
    }
    if (error) {
        print_text("error: ");
        print_text(error);
        print_text("\n");
    } else {
        report();
    }
    watchdog_start();
    tick_start();
    bool was_pressed = false;
    for (;;) {
        __asm volatile("wfi"); /* until the next millisecond */
        watchdog_feed();
        led_set(tick_ms() / BLINK_MS % 2 == 0);
        const bool is_pressed = button_pressed();
        if (!error && ((is_pressed && !was_pressed) || uart_read() >= 0)) {
            report();
        }
        was_pressed = is_pressed;
    }
}

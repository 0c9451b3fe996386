/* Bench of a generated network that needs nobody but itself, for a real board: runs built-in inputs after reset, and
 * again for each character that arrives. Lines for kwslib/measure.py, each with the CRC-32 of what stands before it:
 *
 *     bench start model=... kernels=... sha256=... program=... core_hz=216000000 runs=12 crc=0x...
 *     bench run=1 program=... cycles=... equal=1 crc=0x...
 *     bench done program=... crc=0x...
 */
#include <stdbool.h>
#include <string.h>

#include "bench_clips.h"
#include "board.h"
#include "network.h"
#include "print.h"

#define ROUNDS 4u
#define RUNS (ROUNDS * BENCH_CLIPS)

static _Alignas(32) bench_input_t input[NETWORK_INPUT_VALUES];
static _Alignas(32) bench_output_t output[NETWORK_OUTPUT_VALUES];
static char line[sizeof BENCH_IDENTITY + 128];
static uint32_t length;

static void add_text(const char *text)
{
    while (*text != '\0' && length < sizeof line - 1) {
        line[length++] = *text++;
    }
    line[length] = '\0';
}

static void add_value(const char *name, uint32_t value)
{
    char digits[11];
    char *first = &digits[sizeof digits - 1];
    *first = '\0';
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    add_text(name);
    add_text(first);
}

/* CRC-32 of IEEE 802.3, as zlib computes it. */
static uint32_t crc32(const char *text, uint32_t n_bytes)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (uint32_t n = 0; n < n_bytes; n++) {
        crc ^= (uint8_t)text[n];
        for (uint32_t bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1u ? 0xEDB88320u : 0u);
        }
    }
    return ~crc;
}

static void send_line(void)
{
    print_text(line);
    print_text(" crc=");
    print_hex(crc32(line, length));
    print_text("\n");
    length = 0;
}

static bool output_is(const bench_output_t *expected)
{
    for (uint32_t n = 0; n < NETWORK_OUTPUT_VALUES; n++) {
        const float difference = (float)output[n] - (float)expected[n];
        if (!(difference >= -BENCH_TOLERANCE && difference <= BENCH_TOLERANCE)) {
            return false;
        }
    }
    return true;
}

/* Cycles of one inference; input, output and activations lie in DTCM, as in bench_network.c. */
static uint32_t infer(uint32_t clip)
{
    memcpy(input, bench_inputs[clip], sizeof input);
    const uint32_t start = cycle_count();
    network_run(input, output);
    return cycle_count() - start;
}

static void report(void)
{
    add_text("bench start " BENCH_IDENTITY " program=" BENCH_PROGRAM);
    add_value(" core_hz=", clock_read().core_hz);
    add_value(" runs=", RUNS);
    send_line();
    infer(0); /* fills the caches */
    for (uint32_t n = 0; n < RUNS; n++) {
        const uint32_t cycles = infer(n % BENCH_CLIPS);
        add_value("bench run=", n + 1);
        add_text(" program=" BENCH_PROGRAM);
        add_value(" cycles=", cycles);
        add_value(" equal=", output_is(bench_expected[n % BENCH_CLIPS]));
        send_line();
    }
    add_text("bench done program=" BENCH_PROGRAM);
    send_line();
}

int main(void)
{
    const char *clock_failure = board_init();
    print_text("\n");
    if (clock_failure != NULL) {
        print_text("error: no answer from ");
        print_text(clock_failure);
        print_text("; running on the internal oscillator\n");
    }
    for (;;) {
        report();
        while (uart_read() < 0) {
        }
    }
}

/* Commands: s statistics, m model, d dump of the last second of sound, ? help. */
#include "commands.h"

#include <stdbool.h>

#include "board.h"
#include "frontend.h"
#include "live_model.h"
#include "print.h"

#define RECORDING_HOPS ((FRONTEND_SAMPLE_RATE_HZ + FRONTEND_HOP_SAMPLES - 1) / FRONTEND_HOP_SAMPLES)
#define RECORDING_SAMPLES (RECORDING_HOPS * FRONTEND_HOP_SAMPLES)
#define LINE_SAMPLES 32
#define LINE_CHARACTERS (4 * LINE_SAMPLES + 19) /* the last: "audio ", samples, end of line, "audio end", end of line */
#define ROOM_FOR_OTHERS 512u /* characters: detections and statistics while a dump runs */

static IN_SRAM1 int16_t recording[RECORDING_SAMPLES]; /* a ring */
static uint32_t next_sample;
static uint32_t to_dump; /* samples that are still to be sent */

void recording_add(const int16_t *hop)
{
    if (to_dump > 0) {
        return;
    }
    for (uint32_t n = 0; n < FRONTEND_HOP_SAMPLES; n++) {
        recording[next_sample + n] = hop[n];
    }
    next_sample = (next_sample + FRONTEND_HOP_SAMPLES) % RECORDING_SAMPLES;
}

static void print_sample(int16_t sample)
{
    for (int shift = 12; shift >= 0; shift -= 4) {
        uart_write("0123456789abcdef"[(uint16_t)sample >> shift & 0xF]);
    }
}

static void dump_line(void)
{
    print_text("audio ");
    for (uint32_t n = 0; n < LINE_SAMPLES && to_dump > 0; n++) {
        print_sample(recording[(next_sample + RECORDING_SAMPLES - to_dump--) % RECORDING_SAMPLES]);
    }
    print_text("\n");
    if (to_dump == 0) {
        print_text("audio end\n");
    }
}

static void dump_start(void)
{
    to_dump = RECORDING_SAMPLES;
    print_text("audio");
    print_value("samples", RECORDING_SAMPLES);
    print_value("rate_hz", FRONTEND_SAMPLE_RATE_HZ);
    print_text(" hexadecimal\n");
}

void print_model(void)
{
    print_text("model " LIVE_MODEL ", kernels " LIVE_KERNELS "\nsha256 " LIVE_SHA256 "\n");
}

void commands_serve(const statistics_t *statistics)
{
    switch (uart_read()) {
    case 's':
        print_statistics(statistics);
        break;
    case 'm':
        print_model();
        break;
    case 'd':
        if (to_dump == 0) {
            dump_start();
        }
        break;
    case '?':
        print_text("s statistics, m model, d dump of the last second of sound\n");
        break;
    default:
        break;
    }
    while (to_dump > 0 && uart_room() >= LINE_CHARACTERS + ROOM_FOR_OTHERS) {
        dump_line();
    }
}

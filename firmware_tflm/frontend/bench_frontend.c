/* Bench of the front end on the emulated board: one hop in each round, with every stage and the cycles to read. */
#include "bench.h"

#include "board.h"
#include "frontend.h"
#include "frontend_stages.h"

/* Inputs. */
int16_t bench_hop[FRONTEND_HOP_SAMPLES];
uint32_t bench_starts; /* not 0: start with silence before this hop */
uint32_t bench_ends;   /* not 0: normalise and quantize after this hop */
float bench_scale = 1.0f;
int32_t bench_zero_point;

/* Results. */
float bench_column[FRONTEND_BANDS];
uint32_t bench_push_cycles;
uint32_t bench_quantize_cycles;
IN_SRAM1 frontend_stages_t bench_stages;
IN_SRAM1 float bench_normalised[FRONTEND_FRAMES * FRONTEND_BANDS];
IN_SRAM1 int8_t bench_int8[FRONTEND_FRAMES * FRONTEND_BANDS];
IN_SRAM1 int16_t bench_int16[FRONTEND_FRAMES * FRONTEND_BANDS];

static frontend_t frontend;

void bench_run(void)
{
    if (bench_starts) {
        frontend_init(&frontend);
    }
    uint32_t start = cycle_count();
    frontend_push(&frontend, bench_hop, bench_column);
    bench_push_cycles = cycle_count() - start;
    frontend_stages(&frontend, &bench_stages);
    if (bench_ends) {
        start = cycle_count();
        frontend_quantize_int8(&frontend, bench_scale, bench_zero_point, bench_int8);
        bench_quantize_cycles = cycle_count() - start;
        frontend_quantize_int16(&frontend, bench_scale, bench_zero_point, bench_int16);
        frontend_normalise(&frontend, bench_normalised);
    }
}

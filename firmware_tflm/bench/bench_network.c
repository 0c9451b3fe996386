/* Bench of a generated network on the emulated board: Python writes an input and reads the output. */
#include "bench.h"

#include "board.h"
#include "network.h"

_Alignas(32) uint8_t bench_input[NETWORK_INPUT_BYTES];   /* written by Python */
_Alignas(32) uint8_t bench_output[NETWORK_OUTPUT_BYTES]; /* results */
uint32_t bench_cycles;

void bench_run(void)
{
    const uint32_t start = cycle_count();
    network_run((const void *)bench_input, (void *)bench_output);
    bench_cycles = cycle_count() - start;
}

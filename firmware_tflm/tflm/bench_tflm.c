/* Bench of a network in TFLM on the emulated board: Python writes the input tensor and reads the output tensor. */
#include "bench.h"

#include "board.h"
#include "tflm_network.h"

/* Results of the first round, which prepares the network. */
uint32_t bench_input, bench_output, bench_input_bytes, bench_output_bytes; /* where the tensors are */
uint32_t bench_arena_bytes;

/* Results of every round. */
const char *bench_error; /* NULL, or a text */
uint32_t bench_cycles;   /* of the network alone */
uint32_t bench_stack_bytes;

void bench_run(void)
{
    static bool prepared;
    if (prepared) {
        const uint32_t start = cycle_count();
        bench_error = network_run();
        bench_cycles = cycle_count() - start;
    } else {
        bench_error = network_init();
        prepared = bench_error == 0;
        if (prepared) {
            bench_input = (uint32_t)network_input();
            bench_output = (uint32_t)network_output();
            bench_input_bytes = network_input_bytes();
            bench_output_bytes = network_output_bytes();
            bench_arena_bytes = network_arena_bytes();
        }
    }
    bench_stack_bytes = stack_used_bytes();
}

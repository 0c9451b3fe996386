/* Bench of the kernels on the emulated board: Python names the kernel and writes its layer, weights and input. */
#include "bench.h"

#include "board.h"
#include "kernels.h"

typedef void (*kernel_t)(const void *layer, const void *input, void *output);

/* Inputs. */
kernel_t bench_kernel;
uint32_t bench_layer[32];
_Alignas(2048) uint8_t bench_input[20 * 1024];
_Alignas(32) const uint8_t bench_flash[640 * 1024] = {0};

_Alignas(32) uint8_t bench_scratch[12 * 1024];

/* Results. */
_Alignas(32) uint8_t bench_output[20 * 1024];
uint32_t bench_cycles;

const void *volatile bench_keep;

void bench_run(void)
{
    const uint32_t start = cycle_count();
    if (bench_kernel) {
        bench_kernel(bench_layer, bench_input, bench_output);
    }
    bench_cycles = cycle_count() - start;
    bench_keep = bench_flash;
}

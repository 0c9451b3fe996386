/* Bench of the kernels on the emulated board: Python names the kernel and writes its layer, weights and input. */
#include "bench.h"

#include "board.h"
#include "kernels.h"

typedef void (*kernel_t)(const void *layer, const void *input, void *output);

/* Inputs. */
kernel_t bench_kernel;
uint32_t bench_layer[32];
_Alignas(2048) uint8_t bench_input[16 * 1024];
_Alignas(32) const uint8_t bench_flash[256 * 1024] = {0};

/* Results. */
_Alignas(8) uint8_t bench_output[8 * 1024];
uint32_t bench_cycles;

/* Whatever Python may name has to be linked. */
const kernel_t bench_kernels[] = {
    (kernel_t)convolve_s8,
    (kernel_t)convolve_skip_s8,
    (kernel_t)convolve_weight_first_s8,
    (kernel_t)convolve_weight_first_skip_s8,
    (kernel_t)convolve_packed_s8,
    (kernel_t)convolve_sparse_s8,
    (kernel_t)depthwise_convolve_s8,
    (kernel_t)fully_connected_packed_s8,
    (kernel_t)fully_connected_s8,
    (kernel_t)fully_connected_skip_s8,
    (kernel_t)fully_connected_sparse_s8,
    (kernel_t)panels_s8,
    (kernel_t)sparse_panel_s8,
};
const void *volatile bench_keep;

void bench_run(void)
{
    const uint32_t start = cycle_count();
    if (bench_kernel) {
        bench_kernel(bench_layer, bench_input, bench_output);
    }
    bench_cycles = cycle_count() - start;
    bench_keep = bench_kernels;
    bench_keep = bench_flash;
}

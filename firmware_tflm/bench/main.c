/* The same main() for every bench: board at full speed, then one round after the other, without end. */
#include "bench.h"

#include "board.h"

__attribute__((noinline)) void bench_ready(void)
{
    __asm volatile("" ::: "memory");
}

__attribute__((noinline)) void bench_done(void)
{
    __asm volatile("" ::: "memory");
}

int main(void)
{
    board_init();
    for (;;) {
        bench_ready();
        bench_run();
        bench_done();
    }
}

/* A program for the tests of the recorder: linked at 0, it runs on the STM32F746 (ITCM RAM, DTCM) and on QEMU's
 * mps2-an500. Exit status by semihosting: 0 if the checksum is right. */
#include <stdint.h>

#define N 200

extern uint32_t stack_end;
int main(void);
void reset_handler(void);

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = { &stack_end, (void *)reset_handler };

static int16_t samples[N];
static float floats[N];
static uint8_t bytes[N];

__attribute__((noinline)) static uint32_t fibonacci(uint32_t n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__attribute__((noinline)) static int32_t dot(const int16_t *a, const int16_t *b, uint32_t n)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i += 2) {
        uint32_t x = *(const uint32_t *)(const void *)(a + i), y = *(const uint32_t *)(const void *)(b + i);
        __asm("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(x), "r"(y));
    }
    return sum;
}

__attribute__((noinline)) static float filter(float *x, uint32_t n)
{
    float state = 0.0f;
    for (uint32_t i = 0; i < n; i++) {
        state = __builtin_fmaf(0.9f, state, x[i]);
        x[i] = __builtin_sqrtf(state * state + 1.0f);
    }
    return state;
}

/* Loads and stores inside IT blocks, on both outcomes of the condition. */
__attribute__((noinline)) static uint32_t clip(uint8_t *p, uint32_t n, uint32_t limit)
{
    uint32_t clipped = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t value = p[i];
        __asm volatile("cmp %1, %3\n\tittt hi\n\tstrbhi %3, [%2]\n\tldrbhi %1, [%2]\n\taddhi %0, #1"
                       : "+r"(clipped), "+r"(value) : "r"(p + i), "r"(limit) : "cc", "memory");
        clipped += value;
    }
    return clipped;
}

__attribute__((noinline)) static uint32_t select(uint32_t which, uint32_t x)
{
    switch (which) { /* a jump table */
    case 0: return x + 1;
    case 1: return x * 3;
    case 2: return x ^ 0x55u;
    case 3: return x >> 2;
    case 4: return x - 7;
    case 5: return ~x;
    default: return 0;
    }
}

int main(void)
{
    uint32_t seed = 1, sum = 0;
    uint32_t (*volatile through)(uint32_t, uint32_t) = select;
    for (uint32_t i = 0; i < N; i++) {
        seed = seed * 1664525u + 1013904223u;
        samples[i] = (int16_t)(seed >> 16);
        floats[i] = (float)samples[i] / 256.0f;
        bytes[i] = (uint8_t)(seed >> 24);
        sum += through(seed >> 29, i);
    }
    sum += fibonacci(10) + (uint32_t)dot(samples, samples, N) + clip(bytes, N, 100);
    sum += (uint32_t)(int32_t)filter(floats, N);
    uint32_t unaligned = *(const volatile uint32_t *)(const void *)(bytes + 1);
    return (sum + unaligned) == 0x0; /* any value: what counts is that all runs take the same way */
}

__attribute__((used)) void reset_handler(void)
{
    *(volatile uint32_t *)0xe000ed88u |= 0xfu << 20; /* CPACR: FPU on */
    __asm volatile("dsb\n\tisb");
    uint32_t block[2] = { 0x20026, (uint32_t)main() };
    register uint32_t operation __asm("r0") = 0x20; /* SYS_EXIT_EXTENDED */
    register uint32_t *argument __asm("r1") = block;
    __asm volatile("bkpt 0xab" : : "r"(operation), "r"(argument) : "memory");
    for (;;) {}
}

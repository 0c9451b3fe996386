/* Vector table and reset: FPU, caches, memory, constructors, main. The chip starts here at 16 MHz. */
#include "board.h"
#include "stm32f746.h"

typedef struct {
    const uint32_t *load;
    uint32_t *start;
    uint32_t *end;
} copy_t;

typedef struct {
    uint32_t *start;
    uint32_t *end;
} span_t;

#define STACK_PAINT 0x57AC57ACu

extern uint32_t __stack_start[], __stack_end[];
extern const copy_t __copy_table_start[], __copy_table_end[];
extern const span_t __zero_table_start[], __zero_table_end[];
extern void (*const __init_array_start[])(void);
extern void (*const __init_array_end[])(void);

int main(void);
void reset_handler(void);
void systick_handler(void);
void usart1_handler(void);
void dma2_stream7_handler(void);

typedef union {
    void (*handler)(void);
    uint32_t *stack;
} vector_t;

/* 16 core vectors (PM0253 section 2.4), 98 of the STM32F746 (RM0385, chapter NVIC, vector table). */
__attribute__((section(".vectors"), used)) const vector_t vector_table[16 + 98] = {
    [0] = {.stack = __stack_end},
    [1] = {.handler = reset_handler},
    [2 ... 6] = {.handler = fault_entry},
    [11 ... 12] = {.handler = fault_entry},
    [14] = {.handler = fault_entry},
    [15] = {.handler = systick_handler},
    [16 ... 16 + 36] = {.handler = fault_entry},
    [16 + 37] = {.handler = usart1_handler},
    [16 + 38 ... 16 + 69] = {.handler = fault_entry},
    [16 + 70] = {.handler = dma2_stream7_handler},
    [16 + 71 ... 16 + 97] = {.handler = fault_entry},
};

__attribute__((noreturn)) void reset_handler(void)
{
    /* First of all, as the compiler may move data through FPU registers. */
    SCB->CPACR |= SCB_CPACR_CP10_CP11;
    __asm volatile("dsb\n isb" ::: "memory");
    /* The chip boots through the flash's ITCM alias, where VTOR points after reset. */
    SCB->VTOR = (uint32_t)vector_table;
    cache_init(); /* before the loops below; it needs no variable */
    for (const copy_t *copy = __copy_table_start; copy < __copy_table_end; copy++) {
        const uint32_t *from = copy->load;
        for (uint32_t *to = copy->start; to < copy->end; to++) {
            *to = *from++;
        }
    }
    for (const span_t *span = __zero_table_start; span < __zero_table_end; span++) {
        for (uint32_t *word = span->start; word < span->end; word++) {
            *word = 0;
        }
    }
    /* Painted below the part in use, so that stack_used_bytes() can tell how deep the stack ever went. */
    uint32_t *stack_pointer;
    __asm volatile("mov %0, sp" : "=r"(stack_pointer));
    for (volatile uint32_t *word = __stack_start; word < stack_pointer - 8; word++) {
        *word = STACK_PAINT;
    }
    for (void (*const *constructor)(void) = __init_array_start; constructor < __init_array_end; constructor++) {
        (*constructor)();
    }
    main();
    for (;;) {
        __asm volatile("wfi");
    }
}

uint32_t stack_used_bytes(void)
{
    const uint32_t *word = __stack_start;
    while (word < __stack_end && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)(__stack_end - word) * 4;
}

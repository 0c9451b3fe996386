/* Every fault, and every interrupt that has no handler, ends here: registers over USART1, then a full stop, from which
 * only the watchdog or the reset button leads out. Bits of CFSR: PM0253 section 4.3. */
#include <stddef.h>

#include "board.h"
#include "print.h"
#include "stm32f746.h"

typedef struct {
    uint32_t mask;
    const char *text;
} cause_t;

static const cause_t causes[] = {
    {SCB_CFSR_IACCVIOL, "code fetched from a forbidden address"},
    {SCB_CFSR_DACCVIOL, "data access to a forbidden address"},
    {SCB_CFSR_MSTKERR | SCB_CFSR_STKERR, "stack overflow"},
    {SCB_CFSR_IBUSERR, "code fetched from where no memory is"},
    {SCB_CFSR_PRECISERR, "data access to where no memory is"},
    {SCB_CFSR_IMPRECISERR, "a buffered write failed a little earlier"},
    {SCB_CFSR_UNDEFINSTR, "undefined instruction (double precision?)"},
    {SCB_CFSR_INVSTATE, "jump to an even address"},
    {SCB_CFSR_INVPC, "wrong return from an interrupt"},
    {SCB_CFSR_NOCP, "FPU is off"},
    {SCB_CFSR_UNALIGNED, "unaligned access"},
    {SCB_CFSR_DIVBYZERO, "division by zero"},
};

static const char *const names[] = {
    [2] = "NMI", [3] = "HardFault", [4] = "MemManage", [5] = "BusFault", [6] = "UsageFault",
};

/* A stack of its own: after an overflow nothing can be pushed to the usual one. */
#define FAULT_STACK_BYTES 512
__attribute__((used, aligned(8))) static uint64_t fault_stack[FAULT_STACK_BYTES / 8];

static void print_register(const char *name, uint32_t value)
{
    print_text(name);
    print_hex(value);
}

/* `frame`: r0 to r3, r12, lr, pc, xpsr as the exception pushed them (PM0253 section 2.4). */
__attribute__((noreturn, used)) static void fault_report(const uint32_t *frame, uint32_t exc_return)
{
    static const char *const labels[] = {"r0 ", " r1 ", " r2 ", " r3 ", "\nr12 ", " lr ", " pc ", " xpsr "};
    const uint32_t exception = SCB->ICSR & 0x1FFu;
    const uint32_t cfsr = SCB->CFSR;
    if (!(RCC->APB2ENR & RCC_APB2ENR_USART1EN) || USART1->BRR == 0) {
        uart_init(clock_read().apb2_hz); /* a fault before board_init came to it */
    }
    print_text("\n*** ");
    if (exception < sizeof names / sizeof names[0] && names[exception] != NULL) {
        print_text(names[exception]);
    } else {
        print_text(exception < 16 ? "no handler for exception " : "no handler for interrupt ");
        print_unsigned(exception < 16 ? exception : exception - 16); /* its place in RM0385's vector table */
    }
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        if (cfsr & causes[i].mask) {
            print_text(", ");
            print_text(causes[i].text);
        }
    }
    print_text("\n");
    const uintptr_t address = (uintptr_t)frame;
    if (address >= 0x20000000u && address <= 0x20050000u - 32u && !(cfsr & (SCB_CFSR_MSTKERR | SCB_CFSR_STKERR))) {
        for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
            print_register(labels[i], frame[i]);
        }
    } else {
        print_text("registers were not saved");
    }
    print_register("\ncfsr ", cfsr);
    print_register(" hfsr ", SCB->HFSR);
    if (cfsr & SCB_CFSR_MMARVALID) {
        print_register(" mmfar ", SCB->MMFAR);
    }
    if (cfsr & SCB_CFSR_BFARVALID) {
        print_register(" bfar ", SCB->BFAR);
    }
    print_register(" sp ", (uint32_t)address);
    print_register(" exc_return ", exc_return);
    print_text("\nstopped\n");
    for (;;) {
    }
}

__attribute__((naked)) void fault_entry(void)
{
    __asm volatile(
        "tst lr, #4\n"
        "ite eq\n"
        "mrseq r0, msp\n"
        "mrsne r0, psp\n"
        "mov r1, lr\n"
        "ldr r2, =fault_stack + %c0\n"
        "mov sp, r2\n"
        "b fault_report\n" ::"i"(FAULT_STACK_BYTES));
}

/* Interrupts that some programs have a handler for. */
void usart1_handler(void) __attribute__((weak, alias("fault_entry")));
void dma2_stream7_handler(void) __attribute__((weak, alias("fault_entry")));

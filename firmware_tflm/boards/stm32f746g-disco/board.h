/* What the STM32F746G-Discovery offers to an application; one function group for each source file beside this. */
#ifndef BOARD_H
#define BOARD_H

#include <stdbool.h>
#include <stdint.h>

/* ---- Placement (stm32f746.ld); a variable without a mark lies in DTCM. IN_SRAM1 and IN_DMA_MEMORY are for variables,
 * all zero at start whatever their initializer; IN_ITCM is for functions, copied at reset. */
#define IN_ITCM __attribute__((section(".itcm"), noinline, long_call))
#define IN_SRAM1 __attribute__((section(".sram1")))
#define IN_DMA_MEMORY __attribute__((section(".dma"), aligned(32)))

/* ---- board.c */

/* Clocks, cycle counter, USART1, LED and button. Returns NULL, or the name of the clock that did not become
 * ready; the board then runs on its 16 MHz internal oscillator, with the right baud rate. */
const char *board_init(void);
void led_set(bool on);
bool button_pressed(void);
uint32_t cycle_count(void); /* may stand still while the core sleeps */
void wait_ms(uint32_t milliseconds); /* at most 19 s; or a little longer than asked; awake */
void tick_start(void);  /* from now on an interrupt every millisecond */
uint32_t tick_ms(void); /* milliseconds since tick_start */
void microseconds_start(void); /* starts the clock of the next two */
uint32_t microseconds(void);   /* since microseconds_start, around after 71 minutes */
/* Sleep until an interrupt unless `ready()`, and return the microseconds slept. */
uint32_t sleep_unless(bool (*ready)(void));

/* ---- startup.c */
uint32_t stack_used_bytes(void); /* the most that was ever used, from the pattern painted at reset */

/* ---- clock.c */
typedef struct {
    uint32_t core_hz; /* SYSCLK / HPRE: Cortex-M7, AHB */
    uint32_t apb1_hz;
    uint32_t apb2_hz;
} clocks_t;

const char *clock_init(void);
clocks_t clock_read(void); /* from the registers as they stand */
clocks_t clock_decode(uint32_t cfgr, uint32_t pllcfgr);

/* ---- cache.c */
void cache_init(void); /* startup.c calls it before main */

/* ---- uart.c: USART1 on the ST-LINK's virtual serial port, 115200 baud, 8N1 */
void uart_init(uint32_t clock_hz);
void uart_write(char character); /* '\n' goes out as "\r\n" */
int uart_read(void);             /* the character that arrived, or -1 */

/* ---- uart_buffer.c, for programs that link it (target board_audio): uart_write then goes into a buffer, which an
 * interrupt empties; what it has no room for is dropped and counted, up to the end of the line. A fault's report still
 * waits for the port. */
uint32_t uart_room(void); /* characters that fit now */
uint32_t uart_dropped(void);

/* ---- watchdog.c */
void watchdog_start(void); /* resets the board unless fed within about a second */
void watchdog_feed(void);
const char *reset_cause(void); /* reads and clears the flags: call it once */

/* ---- fault.c: the vector of every fault and of every interrupt without a handler */
void fault_entry(void);

#endif

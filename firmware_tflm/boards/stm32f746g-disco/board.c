/* Start-up of the board in its order, LED, button, cycle counter, millisecond tick. */
#include "board.h"

#include "stm32f746.h"

#define LED_PIN 1u     /* LD1 on PI1, high is on: UM1907 */
#define BUTTON_PIN 11u /* B1 on PI11, high is pressed */
#define LAR_KEY 0xC5ACCE55u

static volatile uint32_t ticks_ms;

static void cycle_counter_init(void)
{
    CORE_DEBUG->DEMCR |= CORE_DEBUG_DEMCR_TRCENA;
    DWT->LAR = LAR_KEY; /* without it CYCCNT stands still on the Cortex-M7 */
    DWT->CYCCNT = 0;
    DWT->CTRL |= DWT_CTRL_CYCCNTENA;
}

static void pins_init(void)
{
    RCC->AHB1ENR |= RCC_AHB1ENR_GPIOIEN;
    (void)RCC->AHB1ENR; /* the clock needs two cycles before the first access */
    GPIOI->MODER = (GPIOI->MODER & ~(3u << (2 * LED_PIN) | 3u << (2 * BUTTON_PIN))) | 1u << (2 * LED_PIN);
}

const char *board_init(void)
{
    /* Each fault gets its own handler; else all of them arrive as HardFault. */
    SCB->SHCSR |= SCB_SHCSR_MEMFAULTENA | SCB_SHCSR_BUSFAULTENA | SCB_SHCSR_USGFAULTENA;
    const char *failed = clock_init();
    cycle_counter_init();
    uart_init(clock_read().apb2_hz);
    pins_init();
    return failed;
}

void led_set(bool on)
{
    GPIOI->BSRR = on ? 1u << LED_PIN : 1u << (LED_PIN + 16);
}

bool button_pressed(void)
{
    return (GPIOI->IDR & 1u << BUTTON_PIN) != 0;
}

uint32_t cycle_count(void)
{
    return DWT->CYCCNT;
}

void wait_ms(uint32_t milliseconds)
{
    const uint32_t start = DWT->CYCCNT;
    const uint32_t cycles = clock_read().core_hz / 1000u * milliseconds;
    while (DWT->CYCCNT - start < cycles) {
        for (uint32_t n = 0; n < 5000; n++) {
            __asm volatile("nop");
        }
    }
}

void tick_start(void)
{
    ticks_ms = 0;
    SYSTICK->RVR = clock_read().core_hz / 1000 - 1;
    SYSTICK->CVR = 0;
    SYSTICK->CSR = SYSTICK_CSR_CLKSOURCE | SYSTICK_CSR_TICKINT | SYSTICK_CSR_ENABLE;
}

uint32_t tick_ms(void)
{
    return ticks_ms;
}

void systick_handler(void);
void systick_handler(void)
{
    ticks_ms++;
}

void microseconds_start(void)
{
    RCC->APB1ENR |= RCC_APB1ENR_TIM2EN;
    (void)RCC->APB1ENR; /* the clock needs two cycles before the first access */
    const clocks_t clocks = clock_read();
    /* Timers run at twice the clock of a divided bus: RM0385 section 5.2. */
    const uint32_t timer_hz = clocks.apb1_hz == clocks.core_hz ? clocks.apb1_hz : 2 * clocks.apb1_hz;
    TIM2->PSC = timer_hz / 1000000u - 1;
    TIM2->EGR = TIM2_EGR_UG;
    TIM2->CNT = 0;
    TIM2->CR1 = TIM2_CR1_CEN;
}

uint32_t microseconds(void)
{
    return TIM2->CNT;
}

uint32_t sleep_unless(bool (*ready)(void))
{
    uint32_t slept = 0;
    /* Masked, so that an interrupt between the question and the sleep ends the sleep at once. */
    __asm volatile("cpsid i" ::: "memory");
    if (!ready()) {
        const uint32_t start = TIM2->CNT;
        __asm volatile("dsb\n wfi" ::: "memory");
        slept = TIM2->CNT - start;
    }
    __asm volatile("cpsie i\n isb" ::: "memory");
    return slept;
}

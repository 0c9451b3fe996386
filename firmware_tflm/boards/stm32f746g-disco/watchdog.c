/* Independent watchdog, about one second, and the cause of the last reset: RM0385, chapter IWDG and section 5.3.21. */
#include "board.h"
#include "stm32f746.h"

#define KEY_UNLOCK 0x5555u
#define KEY_FEED 0xAAAAu
#define KEY_START 0xCCCCu
#define DIVIDE_BY_32 3u
#define RELOAD 1000u /* 1 s at 32 kHz; the oscillator's tolerance makes it 0.7 to 1.9 s */

void watchdog_start(void)
{
    IWDG->KR = KEY_START;
    IWDG->KR = KEY_UNLOCK;
    IWDG->PR = DIVIDE_BY_32;
    IWDG->RLR = RELOAD;
    /* The values reach the watchdog's own clock within a millisecond. */
    for (uint32_t poll = 0; poll < 200000u && (IWDG->SR & (IWDG_SR_PVU | IWDG_SR_RVU)); poll++) {
    }
    IWDG->KR = KEY_FEED;
}

void watchdog_feed(void)
{
    IWDG->KR = KEY_FEED;
}

const char *reset_cause(void)
{
    const uint32_t flags = RCC->CSR;
    RCC->CSR |= RCC_CSR_RMVF;
    if (flags & RCC_CSR_IWDGRSTF) {
        return "watchdog";
    }
    if (flags & RCC_CSR_SFTRSTF) {
        return "software";
    }
    return flags & RCC_CSR_PORRSTF ? "power-on" : "reset pin";
}

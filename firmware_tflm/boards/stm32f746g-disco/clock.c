/* 25 MHz crystal -> 216 MHz core, APB1 54 MHz, APB2 108 MHz: RM0385 sections 3.3, 4.1.4 and 5.2. */
#include <stddef.h>

#include "board.h"
#include "stm32f746.h"

#define HSE_HZ 25000000u /* X2 of the Discovery, UM1907 */
#define HSI_HZ 16000000u
#define SW_PLL 2u
/* Far above the slowest start in the datasheet (crystal 2 ms, PLL 0.3 ms): about 100 ms at 16 MHz. */
#define POLLS 200000u

enum { PLL_M = 25, PLL_N = 432, PLL_P = 2, PLL_Q = 9 }; /* 1 MHz in, VCO 432 MHz, 216 MHz core, 48 MHz for USB */

static bool becomes(volatile uint32_t *address, uint32_t mask, uint32_t value)
{
    for (uint32_t poll = 0; poll < POLLS; poll++) {
        if ((*address & mask) == value) {
            return true;
        }
    }
    return false;
}

const char *clock_init(void)
{
    RCC->CR |= RCC_CR_HSEON;
    if (!becomes(&RCC->CR, RCC_CR_HSERDY, RCC_CR_HSERDY)) {
        return "HSE (25 MHz crystal)";
    }
    const uint32_t fields = RCC_PLLCFGR_PLLM | RCC_PLLCFGR_PLLN | RCC_PLLCFGR_PLLP | RCC_PLLCFGR_PLLQ;
    RCC->PLLCFGR = (RCC->PLLCFGR & ~fields) | FIELD(RCC_PLLCFGR_PLLM, PLL_M) | FIELD(RCC_PLLCFGR_PLLN, PLL_N) |
                   FIELD(RCC_PLLCFGR_PLLP, PLL_P / 2 - 1) | FIELD(RCC_PLLCFGR_PLLQ, PLL_Q) | RCC_PLLCFGR_PLLSRC;
    RCC->CR |= RCC_CR_PLLON;
    /* Above 180 MHz the regulator needs overdrive, switched on while the core still runs from HSI. */
    RCC->APB1ENR |= RCC_APB1ENR_PWREN;
    (void)RCC->APB1ENR; /* the clock needs two cycles before the first access */
    PWR->CR1 |= PWR_CR1_ODEN;
    if (!becomes(&PWR->CSR1, PWR_CSR1_ODRDY, PWR_CSR1_ODRDY)) {
        return "overdrive";
    }
    PWR->CR1 |= PWR_CR1_ODSWEN;
    if (!becomes(&PWR->CSR1, PWR_CSR1_ODSWRDY, PWR_CSR1_ODSWRDY)) {
        return "overdrive switch";
    }
    if (!becomes(&RCC->CR, RCC_CR_PLLRDY, RCC_CR_PLLRDY)) {
        return "PLL";
    }
    /* Seven wait states above 210 MHz at 2.7 to 3.6 V (table 5). ART and prefetch serve the flash's ITCM alias only. */
#ifdef BOARD_WITHOUT_CACHES
    FLASH->ACR = FIELD(FLASH_ACR_LATENCY, 7);
#else
    FLASH->ACR = FIELD(FLASH_ACR_LATENCY, 7) | FLASH_ACR_ARTEN | FLASH_ACR_PRFTEN;
#endif
    if (!becomes(&FLASH->ACR, FLASH_ACR_LATENCY, FIELD(FLASH_ACR_LATENCY, 7))) {
        return "flash latency";
    }
    /* Bus dividers before the switch: APB1 at most 54 MHz, APB2 at most 108 MHz. 5 and 4 stand for 4 and 2. */
    RCC->CFGR = FIELD(RCC_CFGR_PPRE1, 5) | FIELD(RCC_CFGR_PPRE2, 4);
    RCC->CFGR |= FIELD(RCC_CFGR_SW, SW_PLL);
    if (!becomes(&RCC->CFGR, RCC_CFGR_SWS, FIELD(RCC_CFGR_SWS, SW_PLL))) {
        return "switch to the PLL";
    }
    return NULL;
}

clocks_t clock_decode(uint32_t cfgr, uint32_t pllcfgr)
{
    static const uint8_t ahb_shift[16] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 6, 7, 8, 9};
    static const uint8_t apb_shift[8] = {0, 0, 0, 0, 1, 2, 3, 4};
    uint32_t system_hz = HSI_HZ;
    if (FIELD_OF(RCC_CFGR_SWS, cfgr) == SW_PLL) {
        const uint64_t source_hz = pllcfgr & RCC_PLLCFGR_PLLSRC ? HSE_HZ : HSI_HZ;
        const uint32_t divider = FIELD_OF(RCC_PLLCFGR_PLLM, pllcfgr) * 2 * (FIELD_OF(RCC_PLLCFGR_PLLP, pllcfgr) + 1);
        system_hz = (uint32_t)(source_hz * FIELD_OF(RCC_PLLCFGR_PLLN, pllcfgr) / divider);
    } else if (FIELD_OF(RCC_CFGR_SWS, cfgr) == 1) {
        system_hz = HSE_HZ;
    }
    const uint32_t core_hz = system_hz >> ahb_shift[FIELD_OF(RCC_CFGR_HPRE, cfgr)];
    return (clocks_t){
        .core_hz = core_hz,
        .apb1_hz = core_hz >> apb_shift[FIELD_OF(RCC_CFGR_PPRE1, cfgr)],
        .apb2_hz = core_hz >> apb_shift[FIELD_OF(RCC_CFGR_PPRE2, cfgr)],
    };
}

clocks_t clock_read(void)
{
    return clock_decode(RCC->CFGR, RCC->PLLCFGR);
}

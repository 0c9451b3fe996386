/* Registers of the STM32F746 that this firmware uses, named as in ST's RM0385 (peripherals) and PM0253 (core).
 * tests/test_register_header.py compares every address and mask with ST's SVD and the Armv7-M manual. */
#ifndef STM32F746_H
#define STM32F746_H

#include <stdint.h>

/* The value of a field in its place; `mask` is the field's mask as defined below. */
#define FIELD(mask, value) ((uint32_t)(value) * ((mask) & (~(mask) + 1u)))
#define FIELD_OF(mask, word) (((word) & (mask)) / ((mask) & (~(mask) + 1u)))

/* ---- Reset and clock control: RM0385 section 5.3 */
typedef struct {
    volatile uint32_t CR;
    volatile uint32_t PLLCFGR;
    volatile uint32_t CFGR;
    uint32_t reserved_0c[9];
    volatile uint32_t AHB1ENR;
    uint32_t reserved_34[3];
    volatile uint32_t APB1ENR;
    volatile uint32_t APB2ENR;
    uint32_t reserved_48[11];
    volatile uint32_t CSR;
} rcc_t;
#define RCC ((rcc_t *)0x40023800u)
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_PLLCFGR_PLLM (0x3Fu << 0)
#define RCC_PLLCFGR_PLLN (0x1FFu << 6)
#define RCC_PLLCFGR_PLLP (0x3u << 16)
#define RCC_PLLCFGR_PLLSRC (1u << 22)
#define RCC_PLLCFGR_PLLQ (0xFu << 24)
#define RCC_CFGR_SW (0x3u << 0)
#define RCC_CFGR_SWS (0x3u << 2)
#define RCC_CFGR_HPRE (0xFu << 4)
#define RCC_CFGR_PPRE1 (0x7u << 10)
#define RCC_CFGR_PPRE2 (0x7u << 13)
#define RCC_AHB1ENR_GPIOAEN (1u << 0)
#define RCC_AHB1ENR_GPIOBEN (1u << 1)
#define RCC_AHB1ENR_GPIOIEN (1u << 8)
#define RCC_APB1ENR_PWREN (1u << 28)
#define RCC_APB2ENR_USART1EN (1u << 4)
#define RCC_CSR_RMVF (1u << 24)
#define RCC_CSR_PORRSTF (1u << 27)
#define RCC_CSR_SFTRSTF (1u << 28)
#define RCC_CSR_IWDGRSTF (1u << 29)

/* ---- Power control: RM0385 section 4.4 */
typedef struct {
    volatile uint32_t CR1;
    volatile uint32_t CSR1;
} pwr_t;
#define PWR ((pwr_t *)0x40007000u)
#define PWR_CR1_ODEN (1u << 16)
#define PWR_CR1_ODSWEN (1u << 17)
#define PWR_CSR1_ODRDY (1u << 16)
#define PWR_CSR1_ODSWRDY (1u << 17)

/* ---- Flash interface: RM0385 section 3.7 */
typedef struct {
    volatile uint32_t ACR;
} flash_t;
#define FLASH ((flash_t *)0x40023C00u)
#define FLASH_ACR_LATENCY (0xFu << 0)
#define FLASH_ACR_PRFTEN (1u << 8)
#define FLASH_ACR_ARTEN (1u << 9)

/* ---- General-purpose I/O: RM0385 section 6.4 */
typedef struct {
    volatile uint32_t MODER;
    volatile uint32_t OTYPER;
    volatile uint32_t OSPEEDR;
    volatile uint32_t PUPDR;
    volatile uint32_t IDR;
    volatile uint32_t ODR;
    volatile uint32_t BSRR;
    volatile uint32_t LCKR;
    volatile uint32_t AFRL;
    volatile uint32_t AFRH;
} gpio_t;
#define GPIOA ((gpio_t *)0x40020000u)
#define GPIOB ((gpio_t *)0x40020400u)
#define GPIOI ((gpio_t *)0x40022000u)

/* ---- USART: RM0385, chapter USART, registers */
typedef struct {
    volatile uint32_t CR1;
    volatile uint32_t CR2;
    volatile uint32_t CR3;
    volatile uint32_t BRR;
    uint32_t reserved_10[3];
    volatile uint32_t ISR;
    volatile uint32_t ICR;
    volatile uint32_t RDR;
    volatile uint32_t TDR;
} usart_t;
#define USART1 ((usart_t *)0x40011000u)
#define USART_CR1_UE (1u << 0)
#define USART_CR1_RE (1u << 2)
#define USART_CR1_TE (1u << 3)
#define USART_ISR_ORE (1u << 3)
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TXE (1u << 7)
#define USART_ICR_ORECF (1u << 3)

/* ---- Independent watchdog: RM0385, chapter IWDG, registers */
typedef struct {
    volatile uint32_t KR;
    volatile uint32_t PR;
    volatile uint32_t RLR;
    volatile uint32_t SR;
} iwdg_t;
#define IWDG ((iwdg_t *)0x40003000u)
#define IWDG_SR_PVU (1u << 0)
#define IWDG_SR_RVU (1u << 1)

/* ---- System control block, caches and FPU access: PM0253 sections 4.3, 4.7, 4.8 */
typedef struct {
    volatile uint32_t CPUID;
    volatile uint32_t ICSR;
    volatile uint32_t VTOR;
    volatile uint32_t AIRCR;
    volatile uint32_t SCR;
    volatile uint32_t CCR;
    volatile uint32_t SHPR1;
    volatile uint32_t SHPR2;
    volatile uint32_t SHPR3;
    volatile uint32_t SHCSR;
    volatile uint32_t CFSR;
    volatile uint32_t HFSR;
    uint32_t reserved_30;
    volatile uint32_t MMFAR;
    volatile uint32_t BFAR;
    uint32_t reserved_3c[17];
    volatile uint32_t CCSIDR;
    volatile uint32_t CSSELR;
    volatile uint32_t CPACR;
    uint32_t reserved_8c[113];
    volatile uint32_t ICIALLU;
    uint32_t reserved_254[3];
    volatile uint32_t DCISW;
} scb_t;
#define SCB ((scb_t *)0xE000ED00u)
#define SCB_CCR_DC (1u << 16)
#define SCB_CCR_IC (1u << 17)
#define SCB_SHCSR_MEMFAULTENA (1u << 16)
#define SCB_SHCSR_BUSFAULTENA (1u << 17)
#define SCB_SHCSR_USGFAULTENA (1u << 18)
#define SCB_CFSR_IACCVIOL (1u << 0)
#define SCB_CFSR_DACCVIOL (1u << 1)
#define SCB_CFSR_MSTKERR (1u << 4)
#define SCB_CFSR_MMARVALID (1u << 7)
#define SCB_CFSR_IBUSERR (1u << 8)
#define SCB_CFSR_PRECISERR (1u << 9)
#define SCB_CFSR_IMPRECISERR (1u << 10)
#define SCB_CFSR_STKERR (1u << 12)
#define SCB_CFSR_BFARVALID (1u << 15)
#define SCB_CFSR_UNDEFINSTR (1u << 16)
#define SCB_CFSR_INVSTATE (1u << 17)
#define SCB_CFSR_INVPC (1u << 18)
#define SCB_CFSR_NOCP (1u << 19)
#define SCB_CFSR_UNALIGNED (1u << 24)
#define SCB_CFSR_DIVBYZERO (1u << 25)
#define SCB_CPACR_CP10_CP11 (0xFu << 20)
#define SCB_CCSIDR_ASSOCIATIVITY (0x3FFu << 3)
#define SCB_CCSIDR_NUMSETS (0x7FFFu << 13)

/* ---- SysTick: PM0253 section 4.4 */
typedef struct {
    volatile uint32_t CSR;
    volatile uint32_t RVR;
    volatile uint32_t CVR;
} systick_t;
#define SYSTICK ((systick_t *)0xE000E010u)
#define SYSTICK_CSR_ENABLE (1u << 0)
#define SYSTICK_CSR_TICKINT (1u << 1)
#define SYSTICK_CSR_CLKSOURCE (1u << 2)

/* ---- Memory protection unit: PM0253 section 4.6 */
typedef struct {
    volatile uint32_t TYPER;
    volatile uint32_t CTRL;
    volatile uint32_t RNR;
    volatile uint32_t RBAR;
    volatile uint32_t RASR;
} mpu_t;
#define MPU ((mpu_t *)0xE000ED90u)
#define MPU_CTRL_ENABLE (1u << 0)
#define MPU_CTRL_PRIVDEFENA (1u << 2)
#define MPU_RASR_ENABLE (1u << 0)
#define MPU_RASR_SIZE (0x1Fu << 1)
#define MPU_RASR_S (1u << 18)
#define MPU_RASR_TEX (0x7u << 19)
#define MPU_RASR_AP (0x7u << 24)
#define MPU_RASR_XN (1u << 28)

/* ---- Trace enable and cycle counter: Armv7-M manual (DDI 0403) sections C1.6.5, C1.8; the lock: Arm DDI 0489 */
typedef struct {
    volatile uint32_t DEMCR;
} core_debug_t;
#define CORE_DEBUG ((core_debug_t *)0xE000EDFCu)
#define CORE_DEBUG_DEMCR_TRCENA (1u << 24)
typedef struct {
    volatile uint32_t CTRL;
    volatile uint32_t CYCCNT;
    uint32_t reserved_008[1002];
    volatile uint32_t LAR;
} dwt_t;
#define DWT ((dwt_t *)0xE0001000u)
#define DWT_CTRL_CYCCNTENA (1u << 0)

#endif

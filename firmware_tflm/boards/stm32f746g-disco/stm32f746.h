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
    uint32_t reserved_78[3];
    volatile uint32_t PLLI2SCFGR;
    uint32_t reserved_88;
    volatile uint32_t DCKCFGR1;
    volatile uint32_t DCKCFGR2;
} rcc_t;
#define RCC ((rcc_t *)0x40023800u)
#define RCC_CR_HSEON (1u << 16)
#define RCC_CR_HSERDY (1u << 17)
#define RCC_CR_PLLON (1u << 24)
#define RCC_CR_PLLRDY (1u << 25)
#define RCC_CR_PLLI2SON (1u << 26)
#define RCC_CR_PLLI2SRDY (1u << 27)
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
#define RCC_AHB1ENR_GPIOGEN (1u << 6)
#define RCC_AHB1ENR_GPIOHEN (1u << 7)
#define RCC_AHB1ENR_GPIOIEN (1u << 8)
#define RCC_AHB1ENR_DMA2EN (1u << 22)
#define RCC_APB1ENR_TIM2EN (1u << 0)
#define RCC_APB1ENR_I2C3EN (1u << 23)
#define RCC_APB1ENR_PWREN (1u << 28)
#define RCC_APB2ENR_USART1EN (1u << 4)
#define RCC_APB2ENR_SAI2EN (1u << 23)
#define RCC_CSR_RMVF (1u << 24)
#define RCC_CSR_PORRSTF (1u << 27)
#define RCC_CSR_SFTRSTF (1u << 28)
#define RCC_CSR_IWDGRSTF (1u << 29)
#define RCC_PLLI2SCFGR_PLLI2SN (0x1FFu << 6)
#define RCC_PLLI2SCFGR_PLLI2SQ (0xFu << 24)
#define RCC_DCKCFGR1_PLLI2SDIVQ (0x1Fu << 0)
#define RCC_DCKCFGR1_SAI2SEL (0x3u << 22)
#define RCC_DCKCFGR2_I2C3SEL (0x3u << 20)

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
#define GPIOG ((gpio_t *)0x40021800u)
#define GPIOH ((gpio_t *)0x40021C00u)
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
#define USART_CR1_TXEIE (1u << 7)
#define USART_ISR_ORE (1u << 3)
#define USART_ISR_RXNE (1u << 5)
#define USART_ISR_TXE (1u << 7)
#define USART_ICR_ORECF (1u << 3)

/* ---- I2C: RM0385, chapter I2C, registers */
typedef struct {
    volatile uint32_t CR1;
    volatile uint32_t CR2;
    volatile uint32_t OAR1;
    volatile uint32_t OAR2;
    volatile uint32_t TIMINGR;
    volatile uint32_t TIMEOUTR;
    volatile uint32_t ISR;
    volatile uint32_t ICR;
    volatile uint32_t PECR;
    volatile uint32_t RXDR;
    volatile uint32_t TXDR;
} i2c_t;
#define I2C3 ((i2c_t *)0x40005C00u)
#define I2C3_CR1_PE (1u << 0)
#define I2C3_CR2_SADD (0x3FFu << 0)
#define I2C3_CR2_RD_WRN (1u << 10)
#define I2C3_CR2_START (1u << 13)
#define I2C3_CR2_NBYTES (0xFFu << 16)
#define I2C3_CR2_AUTOEND (1u << 25)
#define I2C3_TIMINGR_SCLL (0xFFu << 0)
#define I2C3_TIMINGR_SCLH (0xFFu << 8)
#define I2C3_TIMINGR_SDADEL (0xFu << 16)
#define I2C3_TIMINGR_SCLDEL (0xFu << 20)
#define I2C3_TIMINGR_PRESC (0xFu << 28)
#define I2C3_ISR_TXIS (1u << 1)
#define I2C3_ISR_RXNE (1u << 2)
#define I2C3_ISR_NACKF (1u << 4)
#define I2C3_ISR_STOPF (1u << 5)
#define I2C3_ISR_TC (1u << 6)
#define I2C3_ICR_NACKCF (1u << 4)
#define I2C3_ICR_STOPCF (1u << 5)

/* ---- Serial audio interface: RM0385, chapter SAI, registers */
typedef struct {
    volatile uint32_t GCR;
    volatile uint32_t ACR1;
    volatile uint32_t ACR2;
    volatile uint32_t AFRCR;
    volatile uint32_t ASLOTR;
    volatile uint32_t AIM;
    volatile uint32_t ASR;
    volatile uint32_t ACLRFR;
    volatile uint32_t ADR;
    volatile uint32_t BCR1;
    volatile uint32_t BCR2;
    volatile uint32_t BFRCR;
    volatile uint32_t BSLOTR;
    volatile uint32_t BIM;
    volatile uint32_t BSR;
    volatile uint32_t BCLRFR;
    volatile uint32_t BDR;
} sai_t;
#define SAI2 ((sai_t *)0x40015C00u)
/* Block A has the same fields. */
#define SAI2_BCR1_MODE (0x3u << 0)
#define SAI2_BCR1_DS (0x7u << 5)
#define SAI2_BCR1_CKSTR (1u << 9)
#define SAI2_BCR1_SYNCEN (0x3u << 10)
#define SAI2_BCR1_OUTDRIV (1u << 13)
#define SAI2_BCR1_SAIBEN (1u << 16)
#define SAI2_BCR1_DMAEN (1u << 17)
#define SAI2_BCR1_MCKDIV (0xFu << 20)
#define SAI2_BCR2_FTH (0x7u << 0)
#define SAI2_BCR2_FFLUSH (1u << 3)
#define SAI2_BFRCR_FRL (0xFFu << 0)
#define SAI2_BFRCR_FSALL (0x7Fu << 8)
#define SAI2_BFRCR_FSDEF (1u << 16)
#define SAI2_BFRCR_FSOFF (1u << 18)
#define SAI2_BSLOTR_NBSLOT (0xFu << 8)
#define SAI2_BSLOTR_SLOTEN (0xFFFFu << 16)
#define SAI2_BSR_OVRUDR (1u << 0)
#define SAI2_BCLRFR_OVRUDR (1u << 0)

/* ---- DMA controller 2, stream 7: RM0385, chapter DMA, registers */
typedef struct {
    volatile uint32_t LISR;
    volatile uint32_t HISR;
    volatile uint32_t LIFCR;
    volatile uint32_t HIFCR;
    uint32_t reserved_10[42];
    volatile uint32_t S7CR;
    volatile uint32_t S7NDTR;
    volatile uint32_t S7PAR;
    volatile uint32_t S7M0AR;
    volatile uint32_t S7M1AR;
    volatile uint32_t S7FCR;
} dma_t;
#define DMA2 ((dma_t *)0x40026400u)
#define DMA2_HISR_HTIF7 (1u << 26)
#define DMA2_HISR_TCIF7 (1u << 27)
#define DMA2_S7CR_EN (1u << 0)
#define DMA2_S7CR_HTIE (1u << 3)
#define DMA2_S7CR_TCIE (1u << 4)
#define DMA2_S7CR_CIRC (1u << 8)
#define DMA2_S7CR_MINC (1u << 10)
#define DMA2_S7CR_PSIZE (0x3u << 11)
#define DMA2_S7CR_MSIZE (0x3u << 13)
#define DMA2_S7CR_PL (0x3u << 16)
#define DMA2_S7CR_CHSEL (0x7u << 25)

/* ---- Timer 2: RM0385, chapter general-purpose timers, registers */
typedef struct {
    volatile uint32_t CR1;
    volatile uint32_t CR2;
    volatile uint32_t SMCR;
    volatile uint32_t DIER;
    volatile uint32_t SR;
    volatile uint32_t EGR;
    volatile uint32_t CCMR1;
    volatile uint32_t CCMR2;
    volatile uint32_t CCER;
    volatile uint32_t CNT;
    volatile uint32_t PSC;
} tim_t;
#define TIM2 ((tim_t *)0x40000000u)
#define TIM2_CR1_CEN (1u << 0)
#define TIM2_EGR_UG (1u << 0)

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

/* ---- Interrupt controller: PM0253 section 4.2 */
typedef struct {
    volatile uint32_t ISER0;
    volatile uint32_t ISER1;
    volatile uint32_t ISER2;
} nvic_t;
#define NVIC ((nvic_t *)0xE000E100u)

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

/* SAI2: block A makes the clocks of the codec (MCLK PI4, SCK PI5, FS PI7), block B hears it (SD PG10). RM0385, chapters
 * SAI and DMA; pins and DMA stream: UM1907 and datasheet table 12, RM0385 table 26. */
#include "audio.h"

#include <stddef.h>

#include "board.h"
#include "codec.h"
#include "stm32f746.h"

#define ALTERNATE 2u /* MODER */
#define FAST 2u      /* OSPEEDR */
#define AF10_SAI2 10u
#define MICROPHONES 2u
#define POLLS 200000u
#define DMA2_STREAM7_IRQ 70u
#define ALL_FLAGS (0x3Du << 22)
#define SAMPLES_PER_MS (AUDIO_RATE_HZ / 1000u)

/* 1 MHz * 426 / 13 / 1 = 32.769 MHz, a master clock of an eighth of it, 256 of which make a frame: 16000.6 Hz. */
enum { PLLI2S_N = 426, PLLI2S_Q = 13, PLLI2S_DIVQ = 1, MCKDIV = 4 };

/* Two halves of one hop each, which the DMA fills in turn; a word holds the left sample below the right one. */
static IN_DMA_MEMORY uint32_t halves[2 * AUDIO_MOST_HOP_SAMPLES];
static uint32_t half_samples;
static uint32_t half_began_us; /* the half that the DMA fills now */
static volatile uint32_t hops_filled;
static uint32_t hops_read, hops_lost;

static bool clock_start(void)
{
    RCC->CR &= ~RCC_CR_PLLI2SON;
    RCC->PLLI2SCFGR = (RCC->PLLI2SCFGR & ~(RCC_PLLI2SCFGR_PLLI2SN | RCC_PLLI2SCFGR_PLLI2SQ)) |
                      FIELD(RCC_PLLI2SCFGR_PLLI2SN, PLLI2S_N) | FIELD(RCC_PLLI2SCFGR_PLLI2SQ, PLLI2S_Q);
    RCC->DCKCFGR1 = (RCC->DCKCFGR1 & ~(RCC_DCKCFGR1_PLLI2SDIVQ | RCC_DCKCFGR1_SAI2SEL)) |
                    FIELD(RCC_DCKCFGR1_PLLI2SDIVQ, PLLI2S_DIVQ - 1) | FIELD(RCC_DCKCFGR1_SAI2SEL, 1); /* PLLI2S */
    RCC->CR |= RCC_CR_PLLI2SON;
    for (uint32_t poll = 0; poll < POLLS; poll++) {
        if (RCC->CR & RCC_CR_PLLI2SRDY) {
            return true;
        }
    }
    return false;
}

static void pin_init(gpio_t *port, uint32_t pin)
{
    volatile uint32_t *function = pin < 8 ? &port->AFRL : &port->AFRH;
    *function = (*function & ~(0xFu << pin % 8 * 4)) | AF10_SAI2 << pin % 8 * 4;
    port->OSPEEDR = (port->OSPEEDR & ~(3u << 2 * pin)) | FAST << 2 * pin;
    port->MODER = (port->MODER & ~(3u << 2 * pin)) | ALTERNATE << 2 * pin;
}

/* Frames of 64 bits in I2S: four slots of 16 bits, which the codec fills with slot 0 and 1 left, slot 0 and 1 right.
 * The microphones are in its slot 1, so in slots 1 and 3 here. */
static void sai_init(void)
{
    const uint32_t frame = FIELD(SAI2_BFRCR_FRL, 63) | FIELD(SAI2_BFRCR_FSALL, 31) | SAI2_BFRCR_FSDEF |
                           SAI2_BFRCR_FSOFF;
    const uint32_t slots = FIELD(SAI2_BSLOTR_NBSLOT, 3) | FIELD(SAI2_BSLOTR_SLOTEN, 1u << 1 | 1u << 3);
    const uint32_t format = FIELD(SAI2_BCR1_DS, 4) | SAI2_BCR1_CKSTR; /* 16 bits, sampled at the rising edge */
    SAI2->ACR1 = format | FIELD(SAI2_BCR1_MODE, 1) | SAI2_BCR1_OUTDRIV | FIELD(SAI2_BCR1_MCKDIV, MCKDIV); /* master */
    SAI2->AFRCR = frame;
    SAI2->ASLOTR = slots;
    SAI2->BCR1 = format | FIELD(SAI2_BCR1_MODE, 3) | FIELD(SAI2_BCR1_SYNCEN, 1) | SAI2_BCR1_DMAEN; /* slave of A */
    SAI2->BCR2 = SAI2_BCR2_FFLUSH;
    SAI2->BFRCR = frame;
    SAI2->BSLOTR = slots;
}

static void dma_init(void)
{
    DMA2->S7CR = 0;
    while (DMA2->S7CR & DMA2_S7CR_EN) {
    }
    DMA2->HIFCR = ALL_FLAGS;
    DMA2->S7NDTR = 2 * half_samples * MICROPHONES;
    DMA2->S7PAR = (uint32_t)&SAI2->BDR;
    DMA2->S7M0AR = (uint32_t)halves;
    DMA2->S7FCR = 0; /* direct mode */
    /* Channel 0 is SAI2_B; half-words, around, an interrupt after each half. */
    DMA2->S7CR = FIELD(DMA2_S7CR_CHSEL, 0) | FIELD(DMA2_S7CR_PL, 2) | FIELD(DMA2_S7CR_MSIZE, 1) |
                 FIELD(DMA2_S7CR_PSIZE, 1) | DMA2_S7CR_MINC | DMA2_S7CR_CIRC | DMA2_S7CR_HTIE | DMA2_S7CR_TCIE;
    DMA2->S7CR |= DMA2_S7CR_EN;
    NVIC->ISER2 = 1u << (DMA2_STREAM7_IRQ - 64);
}

/* The flags cannot tell two hops from more. So the clock counts them, and an interrupt that was held back counts all
 * that it missed. Flags first: a hop that ends after them is counted here, and its own interrupt then counts none. */
void dma2_stream7_handler(void);
void dma2_stream7_handler(void)
{
    const uint32_t hop_us = half_samples * 1000u / SAMPLES_PER_MS;
    DMA2->HIFCR = ALL_FLAGS;
    const uint32_t left = DMA2->S7NDTR / MICROPHONES % half_samples;
    const uint32_t filled = left == 0 ? 0 : half_samples - left;
    const uint32_t began_us = microseconds() - filled * 1000u / SAMPLES_PER_MS;
    hops_filled += (began_us - half_began_us + hop_us / 2) / hop_us;
    half_began_us = began_us;
}

const char *audio_start(uint32_t hop_samples, uint32_t volume)
{
    half_samples = hop_samples;
    RCC->AHB1ENR |= RCC_AHB1ENR_GPIOGEN | RCC_AHB1ENR_GPIOIEN | RCC_AHB1ENR_DMA2EN;
    RCC->APB2ENR |= RCC_APB2ENR_SAI2EN;
    (void)RCC->APB2ENR; /* the clock needs two cycles before the first access */
    if (!clock_start()) {
        return "no answer from PLLI2S";
    }
    pin_init(GPIOI, 4);
    pin_init(GPIOI, 5);
    pin_init(GPIOI, 7);
    pin_init(GPIOG, 10);
    SAI2->BCR1 &= ~SAI2_BCR1_SAIBEN;
    SAI2->ACR1 &= ~SAI2_BCR1_SAIBEN;
    while ((SAI2->ACR1 | SAI2->BCR1) & SAI2_BCR1_SAIBEN) { /* it stops at the end of a frame */
    }
    sai_init();
    SAI2->ACR1 |= SAI2_BCR1_SAIBEN; /* the codec lives on MCLK */
    const char *failed = codec_start(volume);
    if (failed != NULL) {
        return failed;
    }
    hops_filled = hops_read = hops_lost = 0;
    dma_init();
    SAI2->BCR1 |= SAI2_BCR1_SAIBEN;
    half_began_us = microseconds();
    return NULL;
}

bool audio_ready(void)
{
    return hops_filled != hops_read;
}

/* What the DMA wrote is read neither before what comes before this nor after what comes after it. */
static void memory_barrier(void)
{
    __asm volatile("dmb" ::: "memory");
}

uint32_t audio_read(int16_t *samples)
{
    uint32_t hop;
    do { /* again, if the DMA has come round meanwhile */
        hop = hops_filled - 1;
        const bool first_is_filled_now = DMA2->S7NDTR > half_samples * MICROPHONES;
        const uint32_t *pairs = halves + (first_is_filled_now ? half_samples : 0);
        memory_barrier();
        for (uint32_t n = 0; n < half_samples; n++) {
            const uint32_t pair = pairs[n];
            samples[n] = (int16_t)(((int16_t)pair + (int16_t)(pair >> 16)) >> 1);
        }
        memory_barrier();
    } while (hops_filled - hop > 1);
    if (SAI2->BSR & SAI2_BSR_OVRUDR) { /* the DMA came too late, and samples are missing somewhere in a hop */
        SAI2->BCLRFR = SAI2_BCLRFR_OVRUDR;
        hops_lost++;
    }
    hops_lost += hop - hops_read;
    hops_read = hop + 1;
    return hop;
}

uint32_t audio_overruns(void)
{
    return hops_lost;
}

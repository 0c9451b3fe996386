/* I2C3 as master by polling, with a limit to every wait: RM0385, chapter I2C, master mode. */
#include "i2c.h"

#include <stddef.h>

#include "stm32f746.h"

#define ALTERNATE 2u /* MODER */
#define AF4_I2C3 4u  /* datasheet, table 12 */
/* Far above a byte at 100 kHz (90 us): some 10 ms at 216 MHz. */
#define POLLS 100000u

void i2c_init(void)
{
    RCC->AHB1ENR |= RCC_AHB1ENR_GPIOHEN;
    RCC->APB1ENR |= RCC_APB1ENR_I2C3EN;
    (void)RCC->APB1ENR; /* the clock needs two cycles before the first access */
    GPIOH->OTYPER |= 1u << 7 | 1u << 8;
    GPIOH->AFRL = (GPIOH->AFRL & ~(0xFu << 28)) | AF4_I2C3 << 28;
    GPIOH->AFRH = (GPIOH->AFRH & ~0xFu) | AF4_I2C3;
    GPIOH->MODER = (GPIOH->MODER & ~(0xFu << 14)) | ALTERNATE << 14 | ALTERNATE << 16;
    /* From APB1, 54 MHz: divided by 9, data 0.33 us after the clock's edge and 0.83 us before it, low 5 us, high 5 us.
     * The true rate is some percent lower, by the time in which the controller sees the edges. */
    I2C3->CR1 = 0;
    I2C3->TIMINGR = FIELD(I2C3_TIMINGR_PRESC, 8) | FIELD(I2C3_TIMINGR_SCLDEL, 4) | FIELD(I2C3_TIMINGR_SDADEL, 2) |
                    FIELD(I2C3_TIMINGR_SCLH, 29) | FIELD(I2C3_TIMINGR_SCLL, 29);
    I2C3->CR1 = I2C3_CR1_PE;
}

/* Wait for one of `flags`; false after an answer that did not come, or too long. */
static bool comes(uint32_t flags)
{
    for (uint32_t poll = 0; poll < POLLS; poll++) {
        const uint32_t status = I2C3->ISR;
        if (status & I2C3_ISR_NACKF) {
            return false;
        }
        if (status & flags) {
            return true;
        }
    }
    return false;
}

static void begin(uint32_t address, uint32_t n_bytes, uint32_t options)
{
    I2C3->CR2 = FIELD(I2C3_CR2_SADD, address << 1) | FIELD(I2C3_CR2_NBYTES, n_bytes) | options | I2C3_CR2_START;
}

static bool transfer(uint32_t address, const uint8_t *out, uint32_t n_out, uint8_t *in, uint32_t n_in)
{
    begin(address, n_out, n_in == 0 ? I2C3_CR2_AUTOEND : 0);
    for (uint32_t n = 0; n < n_out; n++) {
        if (!comes(I2C3_ISR_TXIS)) {
            return false;
        }
        I2C3->TXDR = out[n];
    }
    if (n_in == 0) {
        return comes(I2C3_ISR_STOPF);
    }
    if (!comes(I2C3_ISR_TC)) {
        return false;
    }
    begin(address, n_in, I2C3_CR2_AUTOEND | I2C3_CR2_RD_WRN);
    for (uint32_t n = 0; n < n_in; n++) {
        if (!comes(I2C3_ISR_RXNE)) {
            return false;
        }
        in[n] = (uint8_t)I2C3->RXDR;
    }
    return comes(I2C3_ISR_STOPF);
}

bool i2c_transfer(uint32_t address, const uint8_t *out, uint32_t n_out, uint8_t *in, uint32_t n_in)
{
    const bool done = transfer(address, out, n_out, in, n_in);
    I2C3->ICR = I2C3_ICR_NACKCF | I2C3_ICR_STOPCF;
    if (!done) { /* let go of the bus, whatever state it is in */
        I2C3->CR1 = 0;
        (void)I2C3->CR1; /* PE has to be low for three cycles of APB1 */
        (void)I2C3->CR1;
        I2C3->CR1 = I2C3_CR1_PE;
    }
    return done;
}

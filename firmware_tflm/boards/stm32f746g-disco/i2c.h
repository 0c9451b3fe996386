/* I2C3 by polling, as master: pins PH7 (clock) and PH8 (data), 100 kHz. On the Discovery: codec, touch controller. */
#ifndef I2C_H
#define I2C_H

#include <stdbool.h>
#include <stdint.h>

void i2c_init(void);
/* Write `n_out` bytes, 1 to 255, then read `n_in`, none or 1 to 255, at a 7-bit address. False: no acknowledge, or the
 * bus hangs. */
bool i2c_transfer(uint32_t address, const uint8_t *out, uint32_t n_out, uint8_t *in, uint32_t n_in);

#endif

/* The WM8994 codec on I2C3, as a recorder of the board's two digital microphones at 16 kHz. */
#ifndef CODEC_H
#define CODEC_H

#include <stdint.h>

/* Set the codec up; MCLK has to run. Takes some 60 ms. `volume`: 0xC0 for 0 dB, steps of 0.375 dB, to 0xEF. Returns
 * NULL, or what went wrong. */
const char *codec_start(uint32_t volume);

#endif

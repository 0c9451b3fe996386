/* What runs the network of network.h: engine_static.c or engine_tflm.c, chosen by the build. */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdint.h>

/* Both return NULL, or what went wrong. */
const char *engine_start(void);                                /* once */
const char *engine_run(const int8_t *input, int8_t *scores); /* NETWORK_INPUT_VALUES to NETWORK_OUTPUT_VALUES */

#endif

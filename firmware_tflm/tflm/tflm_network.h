/* One network in TensorFlow Lite Micro, for C: the model, the operators and the arena that kwslib.tflm writes. */
#ifndef TFLM_NETWORK_H
#define TFLM_NETWORK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

const char *network_init(void); /* once; NULL, or what is wrong with the model or the arena */
const char *network_run(void);  /* from input to output; NULL, or what is wrong */
void *network_input(void);      /* of the arena: a run may overwrite it */
const void *network_output(void);
uint32_t network_input_bytes(void);
uint32_t network_output_bytes(void);
uint32_t network_arena_bytes(void); /* in use; more after network_init never */

#ifdef __cplusplus
}
#endif

#endif

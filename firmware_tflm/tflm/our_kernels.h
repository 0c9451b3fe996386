/* Our kernels in the place of TFLM's: which operators of the model they serve, as kwslib.tflm_steps writes it. */
#ifndef OUR_KERNELS_H
#define OUR_KERNELS_H

#include <stdint.h>

/* One operator of the model. `run` goes from its input tensors to its output tensor; `scratch` is memory that holds
 * nothing between two calls. */
#define OUR_INPUTS 2u
typedef struct {
    int32_t output_tensor; /* index in the .tflite: tells operators of a kind apart */
    uint32_t inputs;        /* tensors that are computed: 1 or OUR_INPUTS, before weights and bias */
    uint32_t input_bytes, output_bytes, scratch_bytes, scratch_alignment;
    void (*run)(const void *const inputs[], void *output, uint8_t *scratch);
} our_operator_t;

#ifdef __cplusplus
#include "tensorflow/lite/micro/micro_common.h"

extern "C" const our_operator_t our_operators[];
extern "C" const uint32_t our_operator_count;

/* Takes the place of TFLM's own registration of CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, ... */
TFLMRegistration our_registration(void);
#endif

#endif

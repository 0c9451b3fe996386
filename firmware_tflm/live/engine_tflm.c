/* The network in TensorFlow Lite Micro. */
#include "engine.h"

#include <stddef.h>
#include <string.h>

#include "network.h"
#include "tflm_network.h"

const char *engine_start(void)
{
    const char *failed = network_init();
    if (failed == NULL &&
        (network_input_bytes() != NETWORK_INPUT_BYTES || network_output_bytes() != NETWORK_OUTPUT_BYTES)) {
        failed = "network.h is of another model";
    }
    return failed;
}

const char *engine_run(const int8_t *input, int8_t *scores)
{
    memcpy(network_input(), input, NETWORK_INPUT_BYTES); /* each time: the arena is used again for other tensors */
    const char *failed = network_run();
    memcpy(scores, network_output(), NETWORK_OUTPUT_BYTES);
    return failed;
}

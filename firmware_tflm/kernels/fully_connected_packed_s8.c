/* Dense fully connected layer, weights packed for four outputs at a time. */
#include "output_stage.h"

#ifdef __ARM_FEATURE_DSP
void fully_connected_rows(const uint8_t *stream, const int16_t *input, int16_t *output, int32_t inputs,
                          int32_t outputs);
#else
static void fully_connected_pair(const uint32_t *weights, const output_stage_t *stages, const int16_t *input,
                                 int16_t *output, int32_t inputs)
{
    uint32_t both = 0, second = 0; /* sums of 256 a + b wrap, what is left of them does not */
    for (int32_t in = 0; in < inputs; in++) {
        const int16_t weight = (int16_t)(weights[in / 2 * 2] >> 16 * (in % 2));
        both += (uint32_t)(weight * input[in]);
        second += (uint32_t)((int8_t)weight * input[in]);
    }
    output[0] = output_stage((int32_t)(both - second) >> 8, &stages[0]);
    output[1] = output_stage((int32_t)second, &stages[1]);
}

static void fully_connected_rows(const uint8_t *stream, const int16_t *input, int16_t *output, int32_t inputs,
                                 int32_t outputs)
{
    for (int32_t out = 0; out < outputs; out += 4) {
        const output_stage_t *const stages = (const output_stage_t *)(const void *)stream;
        const uint32_t *const weights = (const uint32_t *)(const void *)(stages + 4);
        fully_connected_pair(weights, stages, input, output + out, inputs);
        fully_connected_pair(weights + 1, stages + 2, input, output + out + 2, inputs);
        stream = (const uint8_t *)(weights + inputs);
    }
}
#endif

void fully_connected_packed_s8(const packed_fully_connected_t *layer, const int16_t *input, int16_t *output)
{
    fully_connected_rows(layer->stream, input, output, layer->inputs, layer->outputs);
}

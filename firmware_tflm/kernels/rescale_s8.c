/* The same values with another scale and zero point. */
#include "kernels_plain.h"
#include "requantize.h"
#include "within.h"

void rescale_s8(const rescaling_t *layer, const int8_t *input, int8_t *output)
{
    const rescaling_t l = *layer;
    for (int32_t k = 0; k < l.values; k++) {
        const int32_t value = multiply_by_quantized_multiplier(input[k] + l.input_offset, l.multiplier, l.shift);
        output[k] = (int8_t)within(value + l.output_offset, l.minimum, l.maximum);
    }
}

/* Softmax. */
#include <string.h>

#include "kernels_plain.h"

/* e^x for x <= 0 within 2 in 10^7, without the double precision that expf of a C library may use; 0 below e^-87. The
 * polynomial is that of expf in the Cephes library. */
static float exponential(float x)
{
    if (!(x > -87.0f)) {
        return 0.0f;
    }
    const int32_t power = (int32_t)(x * 1.44269504f - 0.5f);
    const float r = x - (float)power * 0.693359375f + (float)power * 2.12194440e-4f; /* x - power * ln 2 */
    float y = 1.9875691500e-4f;
    y = y * r + 1.3981999507e-3f;
    y = y * r + 8.3334519073e-3f;
    y = y * r + 4.1665795894e-2f;
    y = y * r + 1.6666665459e-1f;
    y = y * r + 5.0000001201e-1f;
    y = y * r * r + r + 1.0f;
    const int32_t bits = (power + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return y * scale;
}

void softmax_f32(const softmax_f32_t *layer, const float *input, float *output)
{
    const softmax_f32_t l = *layer;
    for (int32_t row = 0; row < l.rows; row++, input += l.classes, output += l.classes) {
        float largest = input[0];
        for (int32_t k = 1; k < l.classes; k++) {
            largest = input[k] > largest ? input[k] : largest;
        }
        float sum = 0.0f;
        for (int32_t k = 0; k < l.classes; k++) {
            output[k] = exponential((input[k] - largest) * l.beta);
            sum += output[k];
        }
        for (int32_t k = 0; k < l.classes; k++) {
            output[k] /= sum;
        }
    }
}

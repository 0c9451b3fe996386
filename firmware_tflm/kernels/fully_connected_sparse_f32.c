/* Sparse float fully connected layer: four sums in turn, as VFMA takes one every third cycle. */
#include "clamp_f32.h"
#include "kernels_f32.h"

void fully_connected_sparse_f32(const sparse_fully_connected_f32_t *layer, const float *input, float *output)
{
    const sparse_fully_connected_f32_t l = *layer;
    const float *weight = l.weights;
    const uint16_t *place = l.places;
    for (int32_t out = 0; out < l.outputs; out++) {
        float sums[4] = {l.bias[out], 0.0f, 0.0f, 0.0f};
        int32_t left = l.counts[out];
        for (; left >= 4; left -= 4, weight += 4, place += 4) {
            const float x = input[place[0]], y = input[place[1]], z = input[place[2]], w = input[place[3]];
            sums[0] += weight[0] * x;
            sums[1] += weight[1] * y;
            sums[2] += weight[2] * z;
            sums[3] += weight[3] * w;
        }
        for (; left > 0; left--) {
            sums[0] += *weight++ * input[*place++];
        }
        output[out] = clamp(sums[0] + sums[1] + (sums[2] + sums[3]), l.minimum, l.maximum);
    }
}

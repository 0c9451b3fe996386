/* Patches of a convolution's input as columns of a panel. */
#ifndef PATCH_S16_H
#define PATCH_S16_H

#include "kernels_convolution.h"

/* Write the values that the filters meet at output `position`, or at the last one if there are fewer: value k to
 * place[k / 2 * pair + k % 2 * odd]; zeros where the kernel hangs over the edge. */
void write_patch_s16(const geometry_t *geometry, const int16_t *input, int32_t position, int16_t *place, int32_t pair,
                     int32_t odd);

#endif

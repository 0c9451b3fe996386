/* A value held within limits: activation functions, ranges of integers. */
#ifndef WITHIN_H
#define WITHIN_H

#include <stdint.h>

static inline int32_t within(int32_t value, int32_t minimum, int32_t maximum)
{
    value = value < minimum ? minimum : value;
    return value > maximum ? maximum : value;
}

static inline float within_f32(float value, float minimum, float maximum)
{
    value = value < minimum ? minimum : value;
    return value > maximum ? maximum : value;
}

#endif

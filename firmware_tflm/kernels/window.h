/* What the pooling kernels share: the part of a window that lies inside, and limits. */
#ifndef WINDOW_H
#define WINDOW_H

#include <stdint.h>

typedef struct {
    int32_t start, end; /* end is exclusive */
} span_t;

static inline span_t window_span(int32_t origin, int32_t window, int32_t size)
{
    const int32_t end = origin + window;
    return (span_t){origin > 0 ? origin : 0, end < size ? end : size};
}

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

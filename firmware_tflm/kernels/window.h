/* The part of a window that lies inside the input, for pooling and convolve_simd_expand_s8.c. */
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

#endif

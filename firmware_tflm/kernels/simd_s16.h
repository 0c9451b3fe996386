/* Sums of products of int16 values and weights, two at a time by SMLAD or SMLALD. */
#ifndef SIMD_S16_H
#define SIMD_S16_H

#include <stdint.h>
#include <string.h>

#ifdef __ARM_FEATURE_DSP
static inline int32_t smlad(uint32_t a, uint32_t b, int32_t sum)
{
    __asm("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

static inline int64_t smlald(uint32_t a, uint32_t b, int64_t sum)
{
    __asm("smlald %Q0, %R0, %1, %2" : "+r"(sum) : "r"(a), "r"(b));
    return sum;
}

/* Four int8 in a word as two words of two int16. */
static inline void expand(uint32_t bytes, uint32_t *low, uint32_t *high)
{
    uint32_t even, odd;
    __asm("sxtb16 %0, %1" : "=r"(even) : "r"(bytes));
    __asm("sxtb16 %0, %1, ror #8" : "=r"(odd) : "r"(bytes));
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(*low) : "r"(even), "r"(odd));
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(*high) : "r"(odd), "r"(even));
}
#else
static inline int64_t smlald(uint32_t a, uint32_t b, int64_t sum)
{
    return sum + (int16_t)a * (int16_t)b + (int64_t)((int16_t)(a >> 16) * (int16_t)(b >> 16));
}

static inline int32_t smlad(uint32_t a, uint32_t b, int32_t sum)
{
    return (int32_t)smlald(a, b, sum);
}

static inline void expand(uint32_t bytes, uint32_t *low, uint32_t *high)
{
    *low = (uint32_t)(uint16_t)(int8_t)bytes | (uint32_t)(int8_t)(bytes >> 8) << 16;
    *high = (uint32_t)(uint16_t)(int8_t)(bytes >> 16) | (uint32_t)(int8_t)(bytes >> 24) << 16;
}
#endif

static inline uint32_t word_at(const void *place)
{
    uint32_t word;
    memcpy(&word, place, 4);
    return word;
}

static inline int64_t dot_long(const int16_t *weights, const int16_t *values, int32_t n, int64_t sum)
{
    int32_t k = 0;
    for (; k + 2 <= n; k += 2) {
        sum = smlald(word_at(weights + k), word_at(values + k), sum);
    }
    return k < n ? sum + weights[k] * values[k] : sum;
}

static inline int32_t dot(const int16_t *weights, const int16_t *values, int32_t n, int32_t sum)
{
    int32_t k = 0;
    for (; k + 2 <= n; k += 2) {
        sum = smlad(word_at(weights + k), word_at(values + k), sum);
    }
    return k < n ? sum + weights[k] * values[k] : sum;
}

static inline int32_t dot_expand(const int8_t *weights, const int16_t *values, int32_t n, int32_t sum)
{
    int32_t k = 0;
    for (; k + 4 <= n; k += 4) {
        uint32_t low, high;
        expand(word_at(weights + k), &low, &high);
        sum = smlad(low, word_at(values + k), sum);
        sum = smlad(high, word_at(values + k + 2), sum);
    }
    for (; k < n; k++) {
        sum += weights[k] * values[k];
    }
    return sum;
}

#endif

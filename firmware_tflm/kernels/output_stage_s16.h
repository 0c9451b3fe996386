/* From a sum to int16: sum * multiplier / 2^32, rounded to nearest, at least the minimum. */
#ifndef OUTPUT_STAGE_S16_H
#define OUTPUT_STAGE_S16_H

#include <stdint.h>

static inline int16_t output_stage_s16(int32_t sum, int32_t multiplier, int32_t minimum)
{
#ifdef __ARM_FEATURE_DSP
    int32_t value;
    __asm("smmulr %0, %1, %2" : "=r"(value) : "r"(sum), "r"(multiplier));
    __asm("ssat %0, #16, %0" : "+r"(value));
    const int32_t over = value - minimum; /* no branch: what an output is cannot be predicted */
    return (int16_t)(value - (over & (over >> 31)));
#else
    const int32_t value = (int32_t)(((int64_t)sum * multiplier + (1ll << 31)) >> 32);
    return (int16_t)(value < minimum ? minimum : value > INT16_MAX ? INT16_MAX : value);
#endif
}

/* The same for a sum of up to 47 bits, with a maximum. */
static inline int16_t output_stage_long_s16(int64_t sum, int32_t multiplier, int32_t minimum, int32_t maximum)
{
    const uint64_t low = (uint64_t)(uint32_t)sum * (uint32_t)multiplier + (1u << 31);
    const int32_t value = (int32_t)((sum >> 32) * multiplier + (int64_t)(low >> 32));
    return (int16_t)(value < minimum ? minimum : value > maximum ? maximum : value);
}

#endif

/* Helpers of the SIMD kernels: bytes as halves of a word, words at any address. */
#ifndef SIMD_H
#define SIMD_H

#include <stdint.h>
#include <string.h>

/* Bytes 0 and 2 of a word as int16, and bytes 1 and 3. */
#ifdef __ARM_FEATURE_DSP
static inline uint32_t even_bytes(uint32_t bytes)
{
    uint32_t halves;
    __asm("sxtb16 %0, %1" : "=r"(halves) : "r"(bytes));
    return halves;
}

static inline uint32_t odd_bytes(uint32_t bytes)
{
    uint32_t halves;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(bytes));
    return halves;
}

/* Halves of two words: the lower ones, and the upper ones; those of `first` below. */
static inline uint32_t lower_halves(uint32_t first, uint32_t second)
{
    uint32_t halves;
    __asm("pkhbt %0, %1, %2, lsl #16" : "=r"(halves) : "r"(first), "r"(second));
    return halves;
}

static inline uint32_t upper_halves(uint32_t first, uint32_t second)
{
    uint32_t halves;
    __asm("pkhtb %0, %1, %2, asr #16" : "=r"(halves) : "r"(second), "r"(first));
    return halves;
}

/* Halves of `sum`, and bytes 0 and 2 of a word, or 1 and 3, added to them. */
static inline uint32_t add_even_bytes(uint32_t sum, uint32_t bytes)
{
    __asm("sxtab16 %0, %0, %1" : "+r"(sum) : "r"(bytes));
    return sum;
}

static inline uint32_t add_odd_bytes(uint32_t sum, uint32_t bytes)
{
    __asm("sxtab16 %0, %0, %1, ror #8" : "+r"(sum) : "r"(bytes));
    return sum;
}
#else
static inline uint32_t even_bytes(uint32_t bytes)
{
    return (uint32_t)((int8_t)bytes & 0xffff) | (uint32_t)(int8_t)(bytes >> 16) << 16;
}

static inline uint32_t odd_bytes(uint32_t bytes)
{
    return even_bytes(bytes >> 8);
}

static inline uint32_t lower_halves(uint32_t first, uint32_t second)
{
    return (first & 0xffff) | second << 16;
}

static inline uint32_t upper_halves(uint32_t first, uint32_t second)
{
    return first >> 16 | (second & 0xffff0000);
}

static inline uint32_t add_even_bytes(uint32_t sum, uint32_t bytes)
{
    const uint32_t halves = even_bytes(bytes);
    return ((sum + halves) & 0xffff) | ((sum & 0xffff0000) + (halves & 0xffff0000));
}

static inline uint32_t add_odd_bytes(uint32_t sum, uint32_t bytes)
{
    return add_even_bytes(sum, bytes >> 8);
}
#endif

static inline uint32_t load_word(const int8_t *values)
{
    uint32_t word;
    memcpy(&word, values, 4);
    return word;
}

static inline void store_word(int8_t *values, uint32_t word)
{
    memcpy(values, &word, 4);
}

/* The C library's function goes byte by byte where it is built for size. */
static inline void copy_values(int8_t *target, const int8_t *source, int32_t n)
{
    for (; n >= 4; n -= 4, target += 4, source += 4) {
        store_word(target, load_word(source));
    }
    for (; n > 0; n--) {
        *target++ = *source++;
    }
}

/* `value` in all bytes of n words. */
static inline void fill_words(uint32_t *target, int32_t value, int32_t n)
{
    for (; n > 0; n--) {
        *target++ = (uint32_t)(value & 0xff) * 0x01010101u;
    }
}

static inline void clamp_values(int8_t *values, int32_t minimum, int32_t maximum, int32_t n)
{
    if (minimum <= -128 && maximum >= 127) {
        return;
    }
    for (; n > 0; n--, values++) {
        *values = (int8_t)(*values < minimum ? minimum : *values > maximum ? maximum : *values);
    }
}

#endif

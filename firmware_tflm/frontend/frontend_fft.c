/* Real FFT of 2 N samples as a complex FFT of N points: decimation in time, radix 8 after a first pass of radix
 * 8, 4 or 2. The first pass applies the window and the digit reversal, so that neither costs a pass of its own.
 *
 * Why not a package: CMSIS-DSP 1.10 arm_rfft_fast_f32 and KissFFT kiss_fftr, built beside it with gcc 12 -O3 and run
 * once on the emulated board with tables in DTCM, took more estimated cycles for the FFT alone than this file with
 * conversion from 16 bits, window and power of the bins (its own figures: benchmarks/frontend.py).
 * Compile with -O3 and without contraction to fused multiply-add (-ffp-contract=off, which -std=c11 implies): on the
 * Cortex-M7 an addition behind a VFMA waits, and without it every computer gets the same bits. */
#include "frontend_fft.h"

#define POINTS (FRONTEND_FFT_SIZE / 2)
#define BLOCKS (POINTS / FRONTEND_FIRST_RADIX)
/* Inlined whatever the compiler thinks: sixteen values live in registers only. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef frontend_complex_t complex_t;

static inline complex_t add(complex_t a, complex_t b)
{
    return (complex_t){a.re + b.re, a.im + b.im};
}

static inline complex_t subtract(complex_t a, complex_t b)
{
    return (complex_t){a.re - b.re, a.im - b.im};
}

/* a + i b */
static inline complex_t add_i(complex_t a, complex_t b)
{
    return (complex_t){a.re - b.im, a.im + b.re};
}

/* a - i b */
static inline complex_t subtract_i(complex_t a, complex_t b)
{
    return (complex_t){a.re + b.im, a.im - b.re};
}

static inline complex_t multiply(complex_t a, const float *twiddle)
{
    return (complex_t){a.re * twiddle[0] - a.im * twiddle[1], a.re * twiddle[1] + a.im * twiddle[0]};
}

/* DFT of 4 points. */
static inline void dft4(complex_t *a0, complex_t *a1, complex_t *a2, complex_t *a3)
{
    const complex_t sum02 = add(*a0, *a2), difference02 = subtract(*a0, *a2);
    const complex_t sum13 = add(*a1, *a3), difference13 = subtract(*a1, *a3);
    *a0 = add(sum02, sum13);
    *a1 = subtract_i(difference02, difference13);
    *a2 = subtract(sum02, sum13);
    *a3 = add_i(difference02, difference13);
}

/* DFT of 8 points, written to out[0], out[step], ... */
ALWAYS_INLINE void dft8(complex_t a0, complex_t a1, complex_t a2, complex_t a3, complex_t a4, complex_t a5,
                        complex_t a6, complex_t a7, complex_t *out, int32_t step)
{
    const float half_root = 0.70710678f;

    dft4(&a0, &a2, &a4, &a6);
    dft4(&a1, &a3, &a5, &a7);
    /* odd results 1 and 3 times exp(-i pi / 4) and exp(-3 i pi / 4) */
    const complex_t odd1 = {(a3.re + a3.im) * half_root, (a3.im - a3.re) * half_root};
    /* odd3 with the sign of its imaginary part turned */
    const complex_t odd3 = {(a7.im - a7.re) * half_root, (a7.re + a7.im) * half_root};
    out[0] = add(a0, a1);
    out[4 * step] = subtract(a0, a1);
    out[1 * step] = add(a2, odd1);
    out[5 * step] = subtract(a2, odd1);
    out[2 * step] = subtract_i(a4, a5);
    out[6 * step] = add_i(a4, a5);
    out[3 * step] = (complex_t){a6.re + odd3.re, a6.im - odd3.im};
    out[7 * step] = (complex_t){a6.re - odd3.re, a6.im + odd3.im};
}

/* Window, digit reversal and the first pass: block b of the output holds the DFT of every BLOCKS-th point. */
static void first_pass(const int16_t *frame, complex_t *out)
{
    const float *window = frontend_window;

    for (int32_t block = 0; block < BLOCKS; block++) {
        const int16_t *pair = frame + frontend_fft_order[block];
#define POINT(n) frontend_windowed(pair + 2 * (n) * BLOCKS, window + 2 * (n))
#if FRONTEND_FIRST_RADIX == 8
        dft8(POINT(0), POINT(1), POINT(2), POINT(3), POINT(4), POINT(5), POINT(6), POINT(7), out, 1);
#elif FRONTEND_FIRST_RADIX == 4
        complex_t a0 = POINT(0), a1 = POINT(1), a2 = POINT(2), a3 = POINT(3);
        dft4(&a0, &a1, &a2, &a3);
        out[0] = a0;
        out[1] = a1;
        out[2] = a2;
        out[3] = a3;
#else
        out[0] = add(POINT(0), POINT(1));
        out[1] = subtract(POINT(0), POINT(1));
#endif
#undef POINT
        window += 2 * FRONTEND_FIRST_RADIX;
        out += FRONTEND_FIRST_RADIX;
    }
}

/* One pass of radix 8 in place: transforms of `span` points become transforms of 8 * span points. */
ALWAYS_INLINE void pass8(complex_t *data, int32_t span, const float *twiddles)
{
    for (complex_t *group = data; group < data + POINTS; group += 8 * span) {
        const float *twiddle = twiddles;
        for (complex_t *a = group; a < group + span; a++) {
            dft8(a[0], multiply(a[1 * span], twiddle), multiply(a[2 * span], twiddle + 2),
                 multiply(a[3 * span], twiddle + 4), multiply(a[4 * span], twiddle + 6),
                 multiply(a[5 * span], twiddle + 8), multiply(a[6 * span], twiddle + 10),
                 multiply(a[7 * span], twiddle + 12), a, span);
            twiddle += 14;
        }
    }
}

/* Bins k and POINTS - k of the real frame from points k and POINTS - k of the complex FFT. The window holds a factor
 * 1/2, so that E = z[k] + conj z[N - k] and O = -i (z[k] - conj z[N - k]) are the even and odd samples' spectra. */
static inline void split(const complex_t *low, const complex_t *high, const float *twiddle, float *low_power,
                         float *high_power)
{
    const complex_t even = {low->re + high->re, low->im - high->im};
    const complex_t odd = {low->im + high->im, high->re - low->re};
    const complex_t turned = multiply(odd, twiddle);
    const complex_t x = add(even, turned);

    *low_power = x.re * x.re + x.im * x.im;
    if (high_power) {
        const complex_t y = subtract(even, turned);
        *high_power = y.re * y.re + y.im * y.im;
    }
}

void frontend_power_spectrum(const int16_t *frame, complex_t *restrict spectrum, float *restrict power)
{
    const float *const twiddles = frontend_fft_twiddles;

    first_pass(frame, spectrum);
    pass8(spectrum, FRONTEND_FIRST_RADIX, twiddles); /* a constant span each: its multiples become part of addresses */
    if (POINTS > 8 * FRONTEND_FIRST_RADIX) {
        pass8(spectrum, 8 * FRONTEND_FIRST_RADIX, twiddles + 14 * FRONTEND_FIRST_RADIX);
    }
    if (POINTS > 64 * FRONTEND_FIRST_RADIX) {
        pass8(spectrum, 64 * FRONTEND_FIRST_RADIX, twiddles + 14 * 9 * FRONTEND_FIRST_RADIX);
    }

    const float zero = 2.0f * (spectrum[0].re + spectrum[0].im);
    const float *twiddle = frontend_split_twiddles;
    int32_t k = 1;

    power[0] = zero * zero;
#pragma GCC unroll 2
    for (; k <= POINTS / 2 && k <= POINTS - FRONTEND_BINS && k < FRONTEND_BINS; k++, twiddle += 2) {
        split(spectrum + k, spectrum + POINTS - k, twiddle, power + k, 0);
    }
#pragma GCC unroll 2
    for (; k <= POINTS / 2 && k < FRONTEND_BINS; k++, twiddle += 2) {
        split(spectrum + k, spectrum + POINTS - k, twiddle, power + k, power + POINTS - k);
    }
}

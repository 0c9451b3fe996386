/* The last step of the packed kernels in assembly, see output_stage.h: from twice the accumulators, bias included, to
 * outputs. One step for all values, then the next: each has to wait for the one before. r10 holds the multiplier, r11
 * rounding, r12 right_shift. */
    .macro output_stages values:vararg
    .irp value, \values
    smmulr  \value, \value, r10
    .endr
    .irp value, \values
    add     \value, \value, \value, asr #31
    .endr
    .irp value, \values
    add     \value, \value, r11
    .endr
    .irp value, \values
    asr     \value, \value, r12
    .endr
    .irp value, \values
    ssat    \value, #8, \value
    .endr
    .endm

/* The same for four values, a step of one beside a step of another, and stored: halves from `offset` behind r1. */
    .macro output_four a b c d offset=0
    smmulr  \a, \a, r10
    smmulr  \b, \b, r10
    smmulr  \c, \c, r10
    add     \a, \a, \a, asr #31
    smmulr  \d, \d, r10
    add     \b, \b, \b, asr #31
    add     \a, \a, r11
    add     \c, \c, \c, asr #31
    asr     \a, \a, r12
    add     \d, \d, \d, asr #31
    add     \b, \b, r11
    ssat    \a, #8, \a
    asr     \b, \b, r12
    add     \c, \c, r11
    add     \d, \d, r11
    ssat    \b, #8, \b
    asr     \c, \c, r12
    asr     \d, \d, r12
    strh    \a, [r1, #\offset]
    ssat    \c, #8, \c
    strh    \b, [r1, #\offset + 2]
    ssat    \d, #8, \d
    strh    \c, [r1, #\offset + 4]
    strh    \d, [r1, #\offset + 6]
    .endm

/* The activation function of a float output, as its two limits. */
#ifndef CLAMP_F32_H
#define CLAMP_F32_H

static inline float clamp(float value, float minimum, float maximum)
{
    value = value < minimum ? minimum : value;
    return value > maximum ? maximum : value;
}

#endif

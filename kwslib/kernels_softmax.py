"""Tables of the softmax kernels, number by number as TensorFlow Lite Micro computes them."""

from collections.abc import Callable

import numpy as np

from kwslib.kernels import KernelError, quantize_multiplier

_STEPS = 512


def exponentials(scale: float, beta: float) -> np.ndarray:
    """e^(-d * scale * beta) for d = 0 ... 255 in int32, 31 fraction bits, as gemmlowp computes it; 0 from e^-32 on.

    Raises KernelError for a scale so small that no difference counts.
    """
    factor = min(beta * scale * 2**26, 2.0**31 - 1)  # differences get 26 fraction bits
    if factor <= 1:
        raise KernelError(
            f"its input is constant (scale {scale:.1g}): the network is dead, train it again or prune less"
        )
    multiplier, shift = quantize_multiplier(factor)
    steps = np.arange(256, dtype=np.int64)
    counted = steps <= (31 << 26) >> shift
    x = _multiply(-np.where(counted, steps, 0) << shift, multiplier)
    # x = -remainder + fraction, with remainder in quarters: a polynomial for the fraction, factors for the remainder.
    fraction = (x & (2**24 - 1)) - 2**24
    remainder, y = fraction - x, (fraction << 5) + 2**28
    y2 = _multiply(y, y)
    y3, y4 = _multiply(y2, y), _multiply(y2, y2)
    cubic = _multiply(_divide(y4, 2) + y3, 715827883) + y2  # 1/3
    value = 1895147668 + _multiply(1895147668, y + _divide(cubic, 1))  # e^(-1/8)
    for exponent, power in enumerate((1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242), 24):
        value = np.where(remainder & (1 << exponent), _multiply(value, power), value)  # e^(-1/4), e^(-1/2), ...
    value = np.where(x == 0, 2**31 - 1, value)
    return np.where(counted, value, 0).astype(np.int32)


def _multiply(a, b):
    """Upper word of 2ab, rounded to nearest, halves up."""
    return (a * np.int64(b) + 2**30) >> 31


def _divide(x, exponent):
    """x / 2^exponent, rounded to nearest, halves away from zero."""
    return (x + (1 << (exponent - 1)) - (x < 0)) >> exponent


def interpolated(function: Callable[[np.ndarray], np.ndarray], scale: float, zero_point: int) -> np.ndarray:
    """A function in 512 equal steps over scale * (-32768 - zero_point) to scale * (32767 - zero_point): int16 [513].

    32768 stands for one. Each value is lowered by half of the error that the line to the next one has in its middle,
    in float32.
    """
    low, high = (np.float32(scale) * np.float32(limit - zero_point) for limit in (-(2**15), 2**15 - 1))
    step = (high - low) / np.float32(_STEPS)
    unit = np.float32(2.0 / 65535)  # of an output, before it is rounded
    inverse = np.float32(65536) / (unit * np.float32(2**15 - 1) - unit * np.float32(-(2**15)))
    x = low + np.arange(_STEPS, dtype=np.float32) * step
    value, middle = (function(np.float64(at)).astype(np.float32) for at in (x, x + step / np.float32(2)))
    following = function(np.float64(low + np.arange(1, _STEPS + 1, dtype=np.float32) * step)).astype(np.float32)
    sample = _rounded(value * inverse)
    line = _rounded((following * inverse + sample) / np.float32(2))
    sample = sample - _rounded((line - _rounded(middle * inverse)) / np.float32(2))
    last = _rounded(function(np.float64(high)).astype(np.float32) * inverse)
    return np.clip(np.append(sample, last), -(2**15), 2**15 - 1).astype(np.int16)


def _rounded(values):
    """Halves away from zero."""
    return np.copysign(np.floor(np.abs(values) + np.float32(0.5)), values).astype(np.float32)

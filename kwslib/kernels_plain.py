"""Operators of an int8 .tflite on the plain kernels, one after the other: what every other choice is compared with.

A function here takes `(info, op)` and gives the steps of that operator; it raises KernelError where it cannot.
"""

import math

import numpy as np

from kwslib import kernels
from kwslib.kernels import KernelError, Layer, Step, quantize_multiplier
from kwslib.tflite_graph import ModelInfo, Op, Tensor

NO_STEP = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")  # the values stay where they are
_MOST_CLASSES = 4095  # their exponentials add up to less than 2^31
_WEIGHTED = {
    "CONV_2D": "convolve_s8",
    "DEPTHWISE_CONV_2D": "depthwise_convolve_s8",
    "FULLY_CONNECTED": "fully_connected_s8",
}


def plain(info: ModelInfo, op: Op) -> list[Step]:
    """Steps of one operator in plain loops, output after output. Raises KernelError."""
    if op.name in _WEIGHTED:
        return [_weighted(info, op, _WEIGHTED[op.name])]
    if op.name not in _LOWERINGS:
        raise KernelError("there is no kernel for it: use another layer in Keras, or TensorFlow Lite Micro")
    source, target = info.tensors[op.inputs[0]], info.tensors[op.outputs[0]]
    kernel, layer = _LOWERINGS[op.name](info, op, source, target)
    return [Step(kernel, layer, target.size, target.dtype)]


def skip(info: ModelInfo, op: Op) -> list[Step]:
    """The same with an `if` that skips zero weights: CONV_2D and FULLY_CONNECTED. Raises KernelError."""
    return _variant(info, op, {"CONV_2D": "convolve_skip_s8", "FULLY_CONNECTED": "fully_connected_skip_s8"})


def weight_first(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D weight after weight. Raises KernelError."""
    return _variant(info, op, {"CONV_2D": "convolve_weight_first_s8"})


def weight_first_skip(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D weight after weight and FULLY_CONNECTED, with an `if` that skips zero weights. Raises KernelError."""
    named = {"CONV_2D": "convolve_weight_first_skip_s8", "FULLY_CONNECTED": "fully_connected_skip_s8"}
    return _variant(info, op, named)


def _variant(info, op, named):
    if op.name not in named:
        raise KernelError(f"there is no such kernel for {op.name}")
    return [_weighted(info, op, named[op.name])]


def _weighted(info, op, kernel):
    layer, target = kernels.plain_layer(info, op), info.tensors[op.outputs[0]]
    if "weight_first" in kernel:
        positions = layer.members["output_height"] * layer.members["output_width"]
        if positions > kernels.CONVOLVE_POSITIONS:
            raise KernelError(f"{positions} positions: weight first takes at most {kernels.CONVOLVE_POSITIONS}")
    return Step(kernel, layer, target.size, target.dtype)


def _needs(condition, text):
    if not condition:
        raise KernelError(text)


def _int8(*tensors: Tensor):
    kinds = "+".join(sorted({tensor.dtype for tensor in tensors}))
    _needs(kinds == "int8", f"its tensors are {kinds}: needed is int8")
    _needs(all(len(tensor.scales) == 1 for tensor in tensors), "its tensors have no scale, or several")


def _same_size(source, target):
    _needs(source.size == target.size, f"its tensors have the shapes {source.shape} and {target.shape}: sizes differ")


def _same_scale(source, target):
    near = abs(source.scales[0] - target.scales[0]) <= 1e-6  # TFLM asks for no more
    _needs(near and source.zero_points == target.zero_points, "scale or zero point of input and output differ")


def _pooling(kernel):
    def lower(info, op, source, target):
        _int8(source, target)
        _same_scale(source, target)
        _needs(len(source.shape) == 4 and source.shape[0] == 1, "its input is not one image")
        window = op.options["filterHeight"], op.options["filterWidth"]
        pad = kernels.padding(op, window, source, target)
        _needs(source.shape[3] == target.shape[3], f"its output has the shape {target.shape}")
        members = dict(zip(("input_height", "input_width", "channels"), source.shape[1:], strict=True))
        members |= {"window_height": window[0], "window_width": window[1]}
        members |= {"output_height": target.shape[1], "output_width": target.shape[2]}
        members |= {"stride_height": op.stride[0], "stride_width": op.stride[1]}
        members |= {"pad_height": pad[0], "pad_width": pad[1]} | _limits(target, op.activation)
        return kernel, Layer("pooling_t", members)

    return lower


def _limits(target, activation):
    minimum, maximum = kernels.output_limits(target, activation)
    return {"minimum": minimum, "maximum": maximum}


def _mean(info, op, source, target):
    _int8(source, target)
    axes = info.tensors[op.inputs[1]].data
    _needs(axes is not None, "its axes are computed: only constants can be used")
    axes = sorted({int(axis) % len(source.shape) for axis in np.ravel(axes)})
    _needs(axes, "it has no axes")
    _needs(axes == list(range(axes[0], axes[-1] + 1)), f"its axes {axes} are apart")
    outer, count = math.prod(source.shape[: axes[0]]), math.prod(source.shape[axes[0] : axes[-1] + 1])
    _needs(target.size * count == source.size, f"its output has the shape {target.shape}")
    multiplier, shift = quantize_multiplier(source.scales[0] / target.scales[0])
    down = min(count.bit_length() - 1, 32, 31 + shift)
    members = {"outer": outer, "count": count, "inner": source.size // outer // count}
    members |= {"input_offset": -count * source.zero_points[0], "multiplier": (multiplier << down) // count}
    members |= {"shift": shift - down, "output_offset": target.zero_points[0]}
    return "mean_s8", Layer("mean_t", members)


def _add(info, op, source, target, left_shift=20):
    first, second = (info.tensors[index] for index in op.inputs)
    _int8(first, second, target)
    _needs(first.data is None and second.data is None, "it adds a constant: both inputs have to be computed")
    _needs(first.shape == second.shape, f"its inputs have the shapes {first.shape} and {second.shape}: needed is one")
    _same_size(first, target)
    twice = 2 * max(first.scales[0], second.scales[0])
    members = {"values": target.size, "left_shift": left_shift}
    for name, tensor in (("first", first), ("second", second)):
        multiplier, shift = quantize_multiplier(tensor.scales[0] / twice)
        members |= {f"{name}_offset": -tensor.zero_points[0], f"{name}_multiplier": multiplier, f"{name}_shift": shift}
    multiplier, shift = quantize_multiplier(twice / (2**left_shift * target.scales[0]))
    _needs(shift <= 0, "the scale of its output is too small beside those of its inputs")
    members |= {"output_offset": target.zero_points[0], "output_multiplier": multiplier, "output_shift": shift}
    return "add_s8", Layer("addition_t", members | _limits(target, op.activation))


def _softmax(info, op, source, target):
    _int8(source, target)
    fits = target.scales[0] == 1 / 256 and target.zero_points[0] == -128
    _needs(fits, "its output has to have the scale 1/256 and the zero point -128")
    _same_size(source, target)
    classes = source.shape[-1]
    _needs(classes <= _MOST_CLASSES, f"{classes} classes: at most {_MOST_CLASSES} can be added up")
    members = {"rows": source.size // classes, "classes": classes}
    return "softmax_s8", Layer(
        "softmax_t", members | {"exponentials": exponentials(source.scales[0], op.options["beta"])}
    )


def exponentials(scale: float, beta: float) -> np.ndarray:
    """e^(-d * scale * beta) for d = 0 ... 255 in int32, 31 fraction bits, as gemmlowp computes it; 0 from e^-32 on.

    Raises KernelError for a scale so small that no difference counts.
    """
    factor = min(beta * scale * 2**26, 2.0**31 - 1)  # differences get 26 fraction bits
    _needs(factor > 1, f"the input of SOFTMAX is constant (scale {scale:.1g}); the network is dead")
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


def _rescaling(info, op, source, target):
    _int8(source, target)
    _same_size(source, target)
    ratio = source.scales[0] / target.scales[0]
    if op.name == "RELU":  # TFLM divides in float32 here
        ratio = float(np.float32(source.scales[0]) / np.float32(target.scales[0]))
    multiplier, shift = quantize_multiplier(ratio)
    members = {"values": target.size, "input_offset": -source.zero_points[0], "multiplier": multiplier, "shift": shift}
    members |= {"output_offset": target.zero_points[0]}
    return "rescale_s8", Layer("rescaling_t", members | _limits(target, "RELU" if op.name == "RELU" else "NONE"))


def _relu6(info, op, source, target):
    _int8(source, target)
    _same_size(source, target)
    return "clamp_s8", Layer("limits_t", {"values": target.size} | _limits(source, "RELU6"))


def _pad(info, op, source, target):
    _int8(source, target)
    borders = info.tensors[op.inputs[1]].data
    _needs(borders is not None and len(op.inputs) == 2, "its border or value is computed or not the zero point")
    _needs(len(source.shape) == 4, f"its input has the shape {source.shape}: needed are four axes")
    borders = np.asarray(borders)
    _needs(borders.shape == (4, 2) and (borders >= 0).all(), "its border is not one of two sizes for each axis")
    _needs(not borders[0].any() and source.shape[0] == 1, "it pads clips: one clip is needed")
    fits = tuple(borders.sum(axis=1) + source.shape) == target.shape
    _needs(fits, f"its output has the shape {target.shape}")
    members = {}
    for kind, sizes in (("input", source.shape[1:]), ("before", borders[1:, 0]), ("output", target.shape[1:])):
        for axis, size in zip(("height", "width", "channels"), sizes, strict=True):
            members[f"{kind}_{axis}"] = int(size)
    return "pad_s8", Layer("border_t", members | {"value": target.zero_points[0]})


def _quantize(info, op, source, target):
    if source.dtype != "float32":
        return _rescaling(info, op, source, target)
    _int8(target)
    _same_size(source, target)
    return "quantize_s8", _affine(target)


def _dequantize(info, op, source, target):
    _int8(source)
    _same_size(source, target)
    return "dequantize_s8", _affine(source)


def _affine(tensor):
    members = {"values": tensor.size, "scale": tensor.scales[0], "zero_point": tensor.zero_points[0]}
    return Layer("affine_t", members)


_LOWERINGS = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _pooling("average_pool_s8"),
    "DEQUANTIZE": _dequantize,
    "MAX_POOL_2D": _pooling("max_pool_s8"),
    "MEAN": _mean,
    "PAD": _pad,
    "QUANTIZE": _quantize,
    "RELU": _rescaling,
    "RELU6": _relu6,
    "SOFTMAX": _softmax,
}

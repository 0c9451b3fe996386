"""Operators of a .tflite on the plain kernels, one after the other: what every other choice is compared with.

A function here takes `(info, op)` and gives the steps of that operator; it raises KernelError where it cannot.
"""

import math

import numpy as np

from kwslib import kernels, kernels_softmax
from kwslib.kernels import KernelError, Layer, Step, quantize_multiplier
from kwslib.tflite_graph import ModelInfo, Op, Tensor

_ALL = ("s8", "s16", "f32")
_TYPES = {"s8": "int8", "s16": "int16", "f32": "float32"}
_MOST_CLASSES = 4095  # their exponentials add up to less than 2^31
_WEIGHTED = {
    "CONV_2D": "convolve_s8",
    "DEPTHWISE_CONV_2D": "depthwise_convolve_s8",
    "FULLY_CONNECTED": "fully_connected_s8",
}


def plain(info: ModelInfo, op: Op) -> list[Step]:
    """Steps of one operator in plain loops, output after output. Raises KernelError."""
    if op.name in _WEIGHTED:
        return weighted(info, op)
    if op.name not in _LOWERINGS:
        raise KernelError("there is no kernel for it: use another layer in Keras, or TensorFlow Lite Micro")
    source, target = info.tensors[op.inputs[0]], info.tensors[op.outputs[0]]
    kernel, layer = _LOWERINGS[op.name](info, op, source, target)
    return [Step(kernel, layer, target.size, target.dtype)]


def weighted(info: ModelInfo, op: Op) -> list[Step]:
    """The same for operators that have weights only. Raises KernelError."""
    return _variant(info, op, _WEIGHTED)


def skip(info: ModelInfo, op: Op) -> list[Step]:
    """The same with an `if` that skips zero weights, for operators that have weights. Raises KernelError."""
    return _variant(info, op, {name: kernel.replace("_s8", "_skip_s8") for name, kernel in _WEIGHTED.items()})


def weight_first(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D and DEPTHWISE_CONV_2D weight after weight. Raises KernelError."""
    named = {name: kernel.replace("_s8", "_weight_first_s8") for name, kernel in _WEIGHTED.items() if "CONV" in name}
    return _variant(info, op, named)


def weight_first_skip(info: ModelInfo, op: Op) -> list[Step]:
    """The same, and FULLY_CONNECTED, with an `if` that skips zero weights. Raises KernelError."""
    named = {name: kernel.replace("_s8", "_weight_first_skip_s8") for name, kernel in _WEIGHTED.items()}
    return _variant(info, op, named | {"FULLY_CONNECTED": "fully_connected_skip_s8"})


def simd_expand(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D and FULLY_CONNECTED, two products at a time by SMLAD, weights expanded on the fly. Raises KernelError."""
    named = {"CONV_2D": "convolve_simd_expand_s8", "FULLY_CONNECTED": "fully_connected_simd_expand_s8"}
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


def _kind(*tensors: Tensor, kinds=("s8",)) -> str:
    """Which kernels serve the type of all these tensors: s8, s16 or f32. Raises KernelError."""
    named = "+".join(sorted({tensor.dtype for tensor in tensors}))
    kind = next((kind for kind in kinds if _TYPES[kind] == named), None)
    _needs(kind, f"its tensors are {named}: needed is {' or '.join(_TYPES[kind] for kind in kinds)}")
    counts = 0 if kind == "f32" else 1
    _needs(all(len(tensor.scales) == counts for tensor in tensors), "its tensors have no scale, or several")
    return kind


def _same_size(source, target):
    _needs(source.size == target.size, f"its tensors have the shapes {source.shape} and {target.shape}: sizes differ")


def _same_scale(source, target):
    near = abs(source.scales[0] - target.scales[0]) <= 1e-6  # TFLM asks for no more
    _needs(near and source.zero_points == target.zero_points, "scale or zero point of input and output differ")


def _pooling(kernel):
    def lower(info, op, source, target):
        kind = _kind(source, target, kinds=_ALL)
        if kind != "f32":
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
        return f"{kernel}_{kind}", Layer("pooling_f32_t" if kind == "f32" else "pooling_t", members)

    return lower


def _limits(target, activation):
    if target.dtype == "float32":
        _needs(activation in kernels.ACTIVATION_RANGES, f"activation function {activation} is not known")
        limits = map(float, kernels.ACTIVATION_RANGES[activation])
    else:
        limits = kernels.output_limits(target, activation)
    return dict(zip(("minimum", "maximum"), limits, strict=True))


def _mean(info, op, source, target):
    kind = _kind(source, target, kinds=_ALL)
    axes = info.tensors[op.inputs[1]].data
    _needs(axes is not None, "its axes are computed: only constants can be used")
    axes = sorted({int(axis) % len(source.shape) for axis in np.ravel(axes)})
    _needs(axes, "it has no axes")
    _needs(axes == list(range(axes[0], axes[-1] + 1)), f"its axes {axes} are apart")
    outer, count = math.prod(source.shape[: axes[0]]), math.prod(source.shape[axes[0] : axes[-1] + 1])
    _needs(target.size * count == source.size, f"its output has the shape {target.shape}")
    members = {"outer": outer, "count": count, "inner": source.size // outer // count}
    if kind == "f32":
        return "mean_f32", Layer("mean_f32_t", members)
    multiplier, shift = quantize_multiplier(source.scales[0] / target.scales[0])
    down = min(count.bit_length() - 1, 32, 31 + shift)
    members |= {"input_offset": -count * source.zero_points[0], "multiplier": (multiplier << down) // count}
    members |= {"shift": shift - down, "output_offset": target.zero_points[0]}
    return f"mean_{kind}", Layer("mean_t", members)


def _add(info, op, source, target):
    _needs(len(op.inputs) == 2, f"it has {len(op.inputs)} inputs")
    first, second = (info.tensors[index] for index in op.inputs)
    kind = _kind(first, second, target, kinds=_ALL)
    _needs(first.data is None and second.data is None, "it adds a constant: both inputs have to be computed")
    _needs(first.shape == second.shape, f"its inputs have the shapes {first.shape} and {second.shape}: needed is one")
    _same_size(first, target)
    if kind == "f32":
        return "add_f32", Layer("limits_f32_t", {"values": target.size} | _limits(target, op.activation))
    twice, left_shift = 2 * max(first.scales[0], second.scales[0]), 20 if kind == "s8" else 15
    members = {"values": target.size, "left_shift": left_shift}
    for name, tensor in (("first", first), ("second", second)):
        multiplier, shift = quantize_multiplier(tensor.scales[0] / twice)
        members |= {f"{name}_offset": -tensor.zero_points[0], f"{name}_multiplier": multiplier, f"{name}_shift": shift}
    multiplier, shift = quantize_multiplier(twice / (2**left_shift * target.scales[0]))
    _needs(shift <= 0, "the scale of its output is too small beside those of its inputs")
    members |= {"output_offset": target.zero_points[0], "output_multiplier": multiplier, "output_shift": shift}
    return f"add_{kind}", Layer("addition_t", members | _limits(target, op.activation))


def _softmax(info, op, source, target):
    kind, classes, beta = _kind(source, target, kinds=_ALL), source.shape[-1], float(op.options["beta"])
    _same_size(source, target)
    _needs(classes <= _MOST_CLASSES, f"{classes} classes: at most {_MOST_CLASSES} can be added up")
    members = {"rows": source.size // classes, "classes": classes}
    if kind == "f32":
        return "softmax_f32", Layer("softmax_f32_t", members | {"beta": beta})
    if kind == "s16":
        _needs(not any(source.zero_points + target.zero_points), "its tensors have to have the zero point 0")
        _needs(math.isclose(target.scales[0], 2**-15, rel_tol=1e-3), "its output has to have the scale 1/32768")
        multiplier, shift = quantize_multiplier(source.scales[0] * beta / (10 / 65535))
        members |= {"multiplier": multiplier, "shift": shift}
        members["exponentials"] = kernels_softmax.interpolated(np.exp, 10 / 65535, 2**15 - 1)
        members["reciprocals"] = kernels_softmax.interpolated(lambda x: 1 / (1 + x), 1 / 65535, -(2**15))
        return "softmax_s16", Layer("softmax_s16_t", members)
    fits = target.scales[0] == 1 / 256 and target.zero_points[0] == -128
    _needs(fits, "its output has to have the scale 1/256 and the zero point -128")
    table = kernels_softmax.exponentials(source.scales[0], beta)
    return "softmax_s8", Layer("softmax_t", members | {"exponentials": table})


def _rescaling(info, op, source, target):
    _same_size(source, target)
    if _kind(source, target, kinds=("s8", "f32") if op.name == "RELU" else ("s8",)) == "f32":
        return "clamp_f32", Layer("limits_f32_t", {"values": target.size} | _limits(target, op.name))
    ratio = source.scales[0] / target.scales[0]
    if op.name == "RELU":  # TFLM divides in float32 here
        ratio = float(np.float32(source.scales[0]) / np.float32(target.scales[0]))
    multiplier, shift = quantize_multiplier(ratio)
    members = {"values": target.size, "input_offset": -source.zero_points[0], "multiplier": multiplier, "shift": shift}
    members |= {"output_offset": target.zero_points[0]}
    return "rescale_s8", Layer("rescaling_t", members | _limits(target, "RELU" if op.name == "RELU" else "NONE"))


def _relu6(info, op, source, target):
    kind = _kind(source, target, kinds=("s8", "f32"))
    _same_size(source, target)
    struct = "limits_f32_t" if kind == "f32" else "limits_t"
    return f"clamp_{kind}", Layer(struct, {"values": target.size} | _limits(source, "RELU6"))


def _pad(info, op, source, target):
    _kind(source, target)
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
    _kind(target)
    _same_size(source, target)
    return "quantize_s8", _affine(target)


def _dequantize(info, op, source, target):
    _kind(source)
    _same_size(source, target)
    return "dequantize_s8", _affine(source)


def _affine(tensor):
    members = {"values": tensor.size, "scale": tensor.scales[0], "zero_point": tensor.zero_points[0]}
    return Layer("affine_t", members)


_LOWERINGS = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _pooling("average_pool"),
    "DEQUANTIZE": _dequantize,
    "MAX_POOL_2D": _pooling("max_pool"),
    "MEAN": _mean,
    "PAD": _pad,
    "QUANTIZE": _quantize,
    "RELU": _rescaling,
    "RELU6": _relu6,
    "SOFTMAX": _softmax,
}

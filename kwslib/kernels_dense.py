"""Dense int8 kernels with SIMD for operators of any shape: lowerings of the operators of a .tflite, one by one."""

import numpy as np

from kwslib import kernels
from kwslib.kernels import KernelError, Layer, Scratch, Step
from kwslib.tflite_graph import ModelInfo, Op

SCRATCH_BYTES = 12 * 1024  # of which a convolution takes what its positions need at most
PLANE_COLUMNS = 16  # SIMD_PLANE_COLUMNS
_ADD_SHIFT = 20  # fraction bits of a sum
_BEHIND = 16  # bytes that the inner loops may read behind the panels


def convolution(info: ModelInfo, op: Op) -> list[Step]:
    """A CONV_2D or FULLY_CONNECTED by `convolve_simd_s8`. Raises KernelError."""
    plain = kernels.plain_layer(info, op)
    plain = _as_convolution(plain) if op.name == "FULLY_CONNECTED" else plain
    return [Step("convolve_simd_s8", simd_convolution(plain), info.tensors[op.outputs[0]].size, "int8")]


def simd_convolution(plain: Layer) -> Layer:
    """A convolution_t as a simd_convolution_t: see kernels_dense.h. Raises KernelError."""
    m = plain.members
    height, width, channels = m["input_height"], m["input_width"], m["input_channels"]
    above, left = m["pad_height"], m["pad_width"]
    below = max(0, (m["output_height"] - 1) * m["stride_height"] + m["kernel_height"] - above - height)
    right = max(0, (m["output_width"] - 1) * m["stride_width"] + m["kernel_width"] - left - width)
    row = (left + width + right) * channels
    runs, run = m["kernel_height"], m["kernel_width"] * channels
    weights = m["weights"].reshape(m["output_channels"], runs, run)
    if run == row:  # rows of the kernel follow each other
        runs, run, weights = 1, runs * run, weights.reshape(-1, 1, runs * run)
    bordered = above or below or left or right or run % 4
    weights = np.pad(weights, ((0, 0), (0, 0), (0, -run % 4)))
    columns = weights[0].size
    padded = [above + height + below, row] if bordered else [0, 0]
    positions = m["output_height"] * m["output_width"]
    padded_bytes = padded[0] * padded[1] + 4 if bordered else 0
    block = positions + (positions % 4 == 3)  # three positions are taken as four, if there are others
    if 2 * columns * block + _BEHIND + padded_bytes > SCRATCH_BYTES:
        block = (SCRATCH_BYTES - _BEHIND - padded_bytes) // (2 * columns) // 4 * 4
    if block <= 0:
        raise KernelError(f"{4 * columns} values of four positions do not fit {SCRATCH_BYTES} bytes of scratch")
    panel_bytes = 2 * columns * block + _BEHIND
    members = {"input_height": height, "input_row": width * channels}
    members |= {"padded_height": padded[0], "padded_row": padded[1]}
    members |= {"border_height": above, "border_value": left * channels}
    members |= {"zero_point": -m["quantization"]["input_offset"], "output_width": m["output_width"]}
    members |= {"step_height": m["stride_height"] * row, "step_width": m["stride_width"] * channels}
    members |= {"runs": runs, "run": weights.shape[2], "run_step": row}
    members |= {"positions": positions, "columns": columns, "filters": m["output_channels"], "block": block}
    members |= {name: m["quantization"][name] for name in ("minimum", "maximum")}
    members |= {"stream": _pairs(plain, weights.reshape(-1, columns)), "panel_bytes": panel_bytes}
    return Layer("simd_convolution_t", members | {"panels": Scratch(panel_bytes + padded_bytes)})


def depthwise_convolution(info: ModelInfo, op: Op) -> list[Step]:
    """A DEPTHWISE_CONV_2D of 3 x 3 with stride 1 by `depthwise_convolve_simd_s8`. Raises KernelError."""
    layer = simd_depthwise(kernels.plain_layer(info, op))
    return [Step("depthwise_convolve_simd_s8", layer, info.tensors[op.outputs[0]].size, "int8")]


def simd_depthwise(plain: Layer) -> Layer:
    """A convolution_t of a depthwise layer as a simd_depthwise_t: see kernels_dense.h. Raises KernelError."""
    m = plain.members
    channels = m["input_channels"]
    sizes = m["kernel_height"], m["kernel_width"], m["stride_height"], m["stride_width"]
    if sizes != (3, 3, 1, 1) or m["output_channels"] != channels or channels < 4:
        raise KernelError("a SIMD depthwise layer needs kernels of 3 x 3, stride 1, one filter a channel, 4 channels")
    if m["output_height"] in (2, 3):
        raise KernelError("a SIMD depthwise layer needs one row of outputs, or at least four")
    weights = np.moveaxis(m["weights"].reshape(3, 3, channels), -1, 0)
    stages = _stages(Layer(plain.struct, m | {"weights": weights}))
    words = 2 * weights.transpose(0, 2, 1)[:, :, [0, 1, 1, 2]].astype(np.int16)
    parts = [np.ascontiguousarray(part).reshape(channels, -1).view(np.uint8) for part in (words, stages)]
    words = 4 * ((m["output_height"] + 1) // 2 + 1) * PLANE_COLUMNS
    if 4 * words > SCRATCH_BYTES:
        raise KernelError(f"planes of {4 * words} bytes do not fit {SCRATCH_BYTES} bytes of scratch")
    members = {name: m[name] for name in ("input_height", "input_width")} | {"channels": channels}
    members |= {"border_height": m["pad_height"], "border_width": m["pad_width"]}
    members |= {"zero_point": -m["quantization"]["input_offset"]}
    members |= {name: m[name] for name in ("output_height", "output_width")}
    members |= {name: m["quantization"][name] for name in ("minimum", "maximum")}
    return Layer(
        "simd_depthwise_t", members | {"stream": np.concatenate(parts, axis=1).ravel(), "planes": Scratch(4 * words)}
    )


def average_pool(info: ModelInfo, op: Op) -> list[Step]:
    """An AVERAGE_POOL_2D over the whole input by `average_pool_simd_s8`. Raises KernelError."""
    source, target = info.tensors[op.inputs[0]], info.tensors[op.outputs[0]]
    _check_int8(op, source, target)
    if (source.scales, source.zero_points) != (target.scales, target.zero_points):
        raise KernelError("scale or zero point of input and output differ")
    window, channels = (op.options["filterHeight"], op.options["filterWidth"]), source.shape[-1]
    positions = source.size // channels
    if source.shape != (1, *window, channels) or target.size != channels or positions > 256 or channels < 4:
        raise KernelError("SIMD pooling averages the whole input, at most 256 positions and at least 4 channels")
    members = {"positions": positions, "channels": channels} | _limits(target, op)
    return [Step("average_pool_simd_s8", Layer("simd_pooling_t", members), target.size, "int8")]


def add(info: ModelInfo, op: Op) -> list[Step]:
    """An ADD of two tensors of the same shape by `add_simd_s8`, which takes two inputs. Raises KernelError."""
    first, second = (info.tensors[index] for index in op.inputs)
    target = info.tensors[op.outputs[0]]
    _check_int8(op, first, second, target)
    if first.shape != second.shape or first.data is not None or second.data is not None:
        raise KernelError("a SIMD addition needs two computed inputs of the same shape")
    twice = 2 * max(first.scales[0], second.scales[0])
    multiplier, shift = kernels.quantize_multiplier(twice / (2**_ADD_SHIFT * target.scales[0]))
    if not 1 <= -shift <= 22:
        raise KernelError("a SIMD addition needs scales of inputs and output that are nearer to each other")
    members = {"values": target.size, "first": _contributions(first, twice), "second": _contributions(second, twice)}
    members |= {"multiplier": multiplier, "rounding": (1 << (-shift - 1)) + (target.zero_points[0] << -shift)}
    members |= {"right_shift": -shift} | _limits(target, op)
    return [Step("add_simd_s8", Layer("simd_addition_t", members), target.size, "int8")]


def steps(info: ModelInfo, op: Op) -> list[Step]:
    """Lower one operator by the kernel that fits it. Raises KernelError."""
    if op.name not in _LOWERINGS:
        raise KernelError(f"there is no SIMD kernel for {op.name}")
    return _LOWERINGS[op.name](info, op)


def _check_int8(op, *tensors):
    if any(tensor.dtype != "int8" or len(tensor.scales) != 1 for tensor in tensors):
        raise KernelError(f"operator {op.index} ({op.name}) has tensors that are not int8 with one scale")


def _limits(target, op):
    if op.activation not in ("NONE", "RELU"):
        raise KernelError(f"operator {op.index} ({op.name}) has activation function {op.activation}")
    return {"minimum": -128 if op.activation == "NONE" else target.zero_points[0], "maximum": 127}


def _contributions(tensor, twice):
    """What the values 0 to 127, -128 to -1 of an input add to a sum in the common scale: int32 [256]."""
    multiplier, shift = kernels.quantize_multiplier(tensor.scales[0] / twice)
    shifted = (np.arange(256).astype(np.int8).astype(np.int64) - tensor.zero_points[0]) << _ADD_SHIFT
    high = (shifted * multiplier + (1 << 30)) >> 31
    if shift >= 0:  # the larger scale of both: one half
        return (high << shift).astype(np.int32)
    return ((high + (high >> 63) + (1 << (-shift - 1))) >> -shift).astype(np.int32)


def _pairs(plain, weights):
    """Stream of a convolution: see kernels_dense.h."""
    stages, weights = _stages(plain), weights.astype(np.int32)
    if (weights == -128).any() or (kernels.magnitudes(weights[0::2]) >= kernels.MOST_MAGNITUDE).any():
        raise KernelError("a SIMD convolution needs weights above -128 that add up to less than 2^16 in magnitude")
    odd = ((0, len(weights) % 2), (0, 0))
    stages, weights = np.pad(stages, odd, mode="edge"), np.pad(weights, odd, mode="edge")
    both = (256 * weights[0::2] + weights[1::2]).astype(np.int16)[:, kernels.column_order(weights.shape[1])]
    head = np.ascontiguousarray(stages.reshape(-1, 8))
    stream = np.concatenate([head.view(np.uint8), np.ascontiguousarray(both).view(np.uint8)], axis=1).ravel()
    return np.pad(stream, (0, 8))


def _stages(plain):
    """Output stages that clamp to int8; the kernel clamps further."""
    quantization = plain.members["quantization"] | {"minimum": -128, "maximum": 127}
    return kernels.output_stages(Layer(plain.struct, plain.members | {"quantization": quantization}))


def _as_convolution(plain):
    """A fully_connected_t as a convolution_t of one position."""
    m = plain.members
    sizes = dict.fromkeys(("input_height", "input_width", "kernel_height", "kernel_width"), 1)
    sizes |= dict.fromkeys(("output_height", "output_width", "stride_height", "stride_width"), 1)
    sizes |= {"pad_height": 0, "pad_width": 0, "input_channels": m["inputs"], "output_channels": m["outputs"]}
    return Layer("convolution_t", sizes | {name: m[name] for name in ("weights", "bias", "quantization")})


_LOWERINGS = {
    "ADD": add,
    "AVERAGE_POOL_2D": average_pool,
    "CONV_2D": convolution,
    "DEPTHWISE_CONV_2D": depthwise_convolution,
    "FULLY_CONNECTED": convolution,
}

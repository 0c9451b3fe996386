"""Layers of an int8 .tflite as the C kernels in `firmware_tflm/kernels` take them: parameters and packed weights."""

import math
from dataclasses import dataclass

import numpy as np

from kwslib.tflite_graph import ModelInfo, Op, Tensor

CONVOLVE_POSITIONS = 512  # of a convolution weight first: see kernels.h
COLUMNS_STEP = 16  # columns of a packed convolution come in such steps
MOST_COLUMNS = 256
PANEL_BYTES = 2048
MOST_MAGNITUDE = 2**16  # sums of the magnitudes of the first of two outputs in a word of weights stay below it
ACTIVATION_RANGES = {"NONE": (-math.inf, math.inf), "RELU": (0, math.inf), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}


class KernelError(ValueError):
    """A layer does not fit a kernel; the message names what is wrong with it."""


class OtherKindError(KernelError):
    """A chain of kernels is for networks of another kind than this one."""


@dataclass(frozen=True)
class Scratch:
    """A member of a layer that points to `n_bytes` of memory that hold nothing between two calls; aligned to 32."""

    n_bytes: int


@dataclass(frozen=True)
class Layer:
    """What a kernel works on: `struct` is the name of a C struct, `members` its members in order.

    A member is an integer, a float, an array (a pointer to constants in C), a Scratch, or a dict of members.
    """

    struct: str
    members: dict


@dataclass(frozen=True)
class Step:
    """A call of a kernel: its layer, and how many values of which dtype it writes, aligned to so many bytes."""

    kernel: str
    layer: Layer
    n_out: int
    dtype: str
    alignment: int = 32  # of the output, in bytes


def quantize_multiplier(scale: float) -> tuple[int, int]:
    """`(multiplier, shift)` with scale = multiplier * 2^(shift - 31), as TensorFlow Lite's QuantizeMultiplier."""
    if not scale:
        return 0, 0
    fraction, shift = math.frexp(scale)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    return (0, 0) if shift < -31 else (multiplier, shift)


def output_limits(target: Tensor, activation: str) -> tuple[int, int]:
    """Smallest and largest value of an int8 or int16 tensor behind an activation function. Raises KernelError."""
    if activation not in ACTIVATION_RANGES:
        raise KernelError(f"activation function {activation} is not known: use none, RELU, RELU6 or RELU_N1_TO_1")
    least, most = np.iinfo(target.dtype).min, np.iinfo(target.dtype).max
    limits = []
    for limit, open_end in zip(ACTIVATION_RANGES[activation], (least, most), strict=True):
        value = open_end
        if math.isfinite(limit):  # TFLM divides in float32 and rounds halves away from zero
            ratio = float(np.float32(limit) / np.float32(target.scales[0]))
            value = target.zero_points[0] + int(math.copysign(math.floor(abs(ratio) + 0.5), ratio))
        limits.append(int(np.clip(value, least, most)))
    return limits[0], limits[1]


def plain_layer(info: ModelInfo, op: Op) -> Layer:
    """A CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED as the plain kernels take it. Raises KernelError."""
    if op.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        raise KernelError(f"{op.name} has no weights")
    source, weights, target = info.tensors[op.inputs[0]], info.tensors[op.inputs[1]], info.tensors[op.outputs[0]]
    if (source.dtype, weights.dtype, target.dtype) != ("int8",) * 3 or any(weights.zero_points):
        raise KernelError(f"{op.name} of {source.dtype}: needed is int8, with weights whose zero point is 0")
    channels = weights.shape[-1 if op.name == "DEPTHWISE_CONV_2D" else 0]
    check_shapes(op, source, weights, target, channels)
    shared = {
        "weights": np.ascontiguousarray(weights.data),
        "bias": bias(info, op, channels, "int32"),
        "quantization": quantization(source, weights, target, op, channels),
    }
    if op.name == "FULLY_CONNECTED":
        return Layer("fully_connected_t", {"inputs": weights.shape[1], "outputs": channels} | shared)
    return Layer("convolution_t", geometry(op, source, weights, target) | shared)


def bias(info: ModelInfo, op: Op, channels: int, dtype: str) -> np.ndarray:
    """Bias of an operator with weights: [channels], zeros where it has none. Raises KernelError."""
    found = info.tensors[op.inputs[2]].data if len(op.inputs) > 2 else np.zeros(channels, dtype)
    if found is None or found.size != channels or found.dtype != dtype:
        raise KernelError(f"its bias is not one {dtype} constant for each of {channels} outputs")
    return np.ascontiguousarray(found)


def quantization(source: Tensor, weights: Tensor, target: Tensor, op: Op, channels: int) -> dict:
    """Members of a quantization_t of an int8 or int16 layer with so many outputs. Raises KernelError."""
    scales = weights.scales if len(weights.scales) > 1 else weights.scales * channels
    if op.name == "FULLY_CONNECTED" and len(weights.scales) == 1:  # TFLM multiplies these two in float32
        products = [float(np.float32(source.scales[0]) * np.float32(scale)) for scale in scales]
    else:
        products = [source.scales[0] * scale for scale in scales]
    pairs = np.array([quantize_multiplier(product / target.scales[0]) for product in products], np.int32)
    minimum, maximum = output_limits(target, op.activation)
    return {
        "input_offset": -source.zero_points[0],
        "output_offset": target.zero_points[0],
        "minimum": minimum,
        "maximum": maximum,
        "multiplier": np.ascontiguousarray(pairs[:, 0]),
        "shift": np.ascontiguousarray(pairs[:, 1]),
    }


def geometry(op: Op, source: Tensor, weights: Tensor, target: Tensor) -> dict[str, int]:
    """Members of a convolution's struct that say how it lies in its input and output. Raises KernelError."""
    (_, in_height, in_width, in_channels), (_, out_height, out_width, channels) = source.shape, target.shape
    _, height, width, _ = weights.shape
    pad = padding(op, (height, width), source, target)
    members = {"input_height": in_height, "input_width": in_width, "input_channels": in_channels}
    members |= {"kernel_height": height, "kernel_width": width}
    members |= {"output_height": out_height, "output_width": out_width, "output_channels": channels}
    members |= {"stride_height": op.stride[0], "stride_width": op.stride[1]}
    return members | {"pad_height": pad[0], "pad_width": pad[1]}


def padding(op: Op, window: tuple[int, int], source: Tensor, target: Tensor) -> tuple[int, int]:
    """Rows above and columns to the left of an input [1, height, width, channels] over which windows reach.

    Raises KernelError where the output has another size than the windows give.
    """
    pads = []
    for out, stride, size, has in zip(target.shape[1:3], op.stride, window, source.shape[1:3], strict=True):
        positions = -(-has // stride) if op.padding == "SAME" else (has - size) // stride + 1
        if positions != out or stride < 1 or size < 1:
            raise KernelError(f"its output has the shape {target.shape}, which input, window and stride do not give")
        pads.append(max(0, (out - 1) * stride + size - has) // 2)
    return pads[0], pads[1]


def check_shapes(op: Op, source: Tensor, weights: Tensor, target: Tensor, channels: int) -> None:
    """Raise KernelError for what no kernel computes, and for what a damaged file may claim."""
    if weights.data is None:
        raise KernelError("its weights are computed: only constants can be used")
    if len(weights.scales) not in ((0,) if weights.dtype == "float32" else (1, channels)):
        raise KernelError(f"its weights have {len(weights.scales)} scales for {channels} outputs")
    if op.name == "FULLY_CONNECTED":
        fits, needed = source.size == weights.size // channels, f"an input of {weights.size // channels} values"
        fits = fits and target.size == channels
    else:
        images = all(len(tensor.shape) == 4 for tensor in (source, weights, target)) and source.shape[0] == 1
        fits, needed = images and target.shape[-1] == channels, "one image"
        if op.name == "CONV_2D":
            fits, needed = fits and source.shape[-1] == weights.shape[-1], "one image, and no groups"
        else:
            fits = fits and weights.shape[0] == 1 and channels % source.shape[-1] == 0
    if not fits:
        raise KernelError(f"its input has the shape {source.shape}: needed is {needed}")
    if any(op.options.get(f"dilation{axis}Factor", 1) != 1 for axis in "HW"):
        raise KernelError("it is dilated, which no kernel here computes: use larger strides, or TensorFlow Lite Micro")


def output_stages(layer: Layer) -> np.ndarray:
    """`output_stage_t` of each output channel: int32 [channels, 4]. Raises KernelError."""
    quantization, weights = layer.members["quantization"], layer.members["weights"]
    multiplier, shift = quantization["multiplier"].copy(), -quantization["shift"]
    if (quantization["minimum"], quantization["maximum"]) != (-128, 127):
        raise KernelError("a packed layer clamps to int8 only: this activation function has other limits")
    rows = weights.reshape(len(weights), -1).astype(np.int64)
    bias = layer.members["bias"] + quantization["input_offset"] * rows.sum(axis=1)
    constant = ~rows.any(axis=1)  # a pruned filter may have any scale
    if (~constant & ((shift < 1) | (shift > 22))).any():
        raise KernelError("a packed layer needs scales between 2^-23 and 1/2 from accumulator to output")
    values = requantize(bias, quantization)
    bias[constant], multiplier[constant], shift[constant] = 0, 0, 1
    if (np.abs(bias) >= 2**29).any():
        raise KernelError("a packed layer needs biases below 2^29")
    offset = np.where(constant, values, quantization["output_offset"]).astype(np.int64)
    rounding = (1 << (shift - 1)) + (offset << shift)
    return np.stack([2 * bias, multiplier, rounding, shift], axis=1).astype(np.int32)


def requantize(accumulators: np.ndarray, quantization: dict) -> np.ndarray:
    """Outputs int8 [..., channels] of accumulators, as TensorFlow Lite Micro rounds them (twice)."""
    shift = quantization["shift"].astype(np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    shifted = (accumulators.astype(np.int64) << left).astype(np.int32).astype(np.int64)
    high = (shifted * quantization["multiplier"] + (1 << 30)) >> 31
    mask = (1 << right) - 1
    value = (high >> right) + ((high & mask) > (mask >> 1) + (high < 0)) + quantization["output_offset"]
    return np.clip(value, quantization["minimum"], quantization["maximum"]).astype(np.int8)


def pack_convolution(layer: Layer) -> Layer:
    """Pack a CONV_2D for `convolve_packed_s8`: see kernels.h. Raises KernelError."""
    members, stages = layer.members, output_stages(layer)
    weights = members["weights"].reshape(len(stages), -1).astype(np.int32)
    n_filters, columns = len(weights), -(-weights.shape[1] // COLUMNS_STEP) * COLUMNS_STEP
    if n_filters % 2 or columns > MOST_COLUMNS or (weights == -128).any():
        raise KernelError(
            f"a packed convolution needs an even number of filters, at most {MOST_COLUMNS} columns, weights above -128"
        )
    weights = np.pad(weights, ((0, 0), (0, columns - weights.shape[1])))
    both = (256 * weights[0::2] + weights[1::2]).astype(np.int16)[:, column_order(columns)]
    head = stages.reshape(n_filters // 2, 8)
    stream = np.concatenate([head.view(np.uint8), np.ascontiguousarray(both).view(np.uint8)], axis=1).ravel()
    positions = members["output_height"] * members["output_width"]
    sizes = {"positions": positions, "columns": columns, "filters": n_filters}
    return Layer("packed_convolution_t", sizes | {"stream": np.pad(stream, (0, 8))})


def pack_fully_connected(layer: Layer, inputs: np.ndarray | None = None, outputs: np.ndarray | None = None) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_packed_s8`.

    `inputs` holds the input that comes at each place, `outputs` the output that goes to each place, where these are
    not the layer's own orders. Outputs that fill a group of four up are constant. Raises KernelError.
    """
    stages, weights = _padded_rows(layer, inputs, outputs)
    n_out, n_in = weights.shape
    if (weights == -128).any() or (magnitudes(weights[0::2]) >= MOST_MAGNITUDE).any():
        raise KernelError("a packed layer needs weights above -128 that add up to less than 2^16 in magnitude")
    both = (256 * weights[0::2] + weights[1::2]).astype(np.int16).reshape(n_out // 4, 2, n_in // 2, 2)
    both = np.ascontiguousarray(both.transpose(0, 2, 1, 3)).reshape(n_out // 4, -1)
    head = stages.reshape(n_out // 4, 16)
    stream = np.concatenate([head.view(np.uint8), both.view(np.uint8)], axis=1).ravel()
    sizes = {"inputs": n_in, "outputs": n_out}
    return Layer("packed_fully_connected_t", sizes | {"stream": np.pad(stream, (0, 8))})


def outputs_order(layer: Layer) -> np.ndarray | None:
    """Order of outputs in which `pack_fully_connected` can take a layer whose own order breaks its limit of magnitudes.

    The output that goes to each place: those with the least weights at the even ones. None for the layer's own order.
    """
    sums = magnitudes(layer.members["weights"])
    if (sums[0::2] < MOST_MAGNITUDE).all():
        return None
    by_sum, n_even = np.argsort(sums, kind="stable"), -(-len(sums) // 2)
    order = np.empty(len(sums), np.int64)
    order[0::2], order[1::2] = np.sort(by_sum[:n_even]), np.sort(by_sum[n_even:])
    return order


def magnitudes(weights: np.ndarray) -> np.ndarray:
    """Sum of the magnitudes of the weights [outputs, ...] of each output."""
    return np.abs(weights.reshape(len(weights), -1).astype(np.int64)).sum(axis=1)


def panels_layer(layer: Layer, packed: Layer) -> Layer:
    """What `panels_s8` needs to write the input of a packed CONV_2D. Raises KernelError."""
    m = layer.members
    run = m["kernel_width"] * m["input_channels"]
    if m["pad_height"] or m["pad_width"] or m["output_height"] > 1 or run % 4:
        raise KernelError("a packed convolution needs one row of positions, no padding, and a run of 4, 8, ... values")
    sizes = {"positions": m["output_width"], "step": m["stride_width"] * m["input_channels"]}
    sizes |= {"runs": m["kernel_height"], "run": run, "row": m["input_width"] * m["input_channels"]}
    return Layer("panels_t", sizes | {"columns": packed.members["columns"]})


def _padded_rows(layer, inputs, outputs):
    """Output stages and weights (int32) of a FULLY_CONNECTED, outputs in fours and inputs in sixteens."""
    stages, weights = output_stages(layer), layer.members["weights"].astype(np.int32)
    weights = weights if inputs is None else weights[:, inputs]
    if outputs is not None:
        stages, weights = stages[outputs], weights[outputs]
    n_out, n_in = weights.shape
    stages = np.pad(stages, ((0, -n_out % 4), (0, 0)), mode="edge")
    return stages, np.pad(weights, ((0, -n_out % 4), (0, -n_in % COLUMNS_STEP)))


def column_order(columns: int) -> np.ndarray:
    """Order of columns that SXTB16 makes of four bytes: 0, 2, 1, 3."""
    return np.arange(columns).reshape(-1, 4)[:, [0, 2, 1, 3]].ravel()

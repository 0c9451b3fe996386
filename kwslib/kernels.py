"""Layers of an int8 .tflite as the C kernels in `firmware_tflm/kernels` take them: parameters and packed weights."""

import math
import struct
from dataclasses import dataclass

import numpy as np

from kwslib.tflite_graph import ModelInfo, Op, describe

COLUMNS_STEP = 16  # columns of a packed convolution come in such steps
MOST_COLUMNS = 256
PANEL_BYTES = 2048
SPARSE_POSITIONS = 9
SPARSE_PANEL_WORDS = 255
_RANGES = {"NONE": (-math.inf, math.inf), "RELU": (0, math.inf), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}


class KernelError(ValueError):
    """A layer does not fit a kernel; the message names what is wrong with it."""


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


def plain_layer(info: ModelInfo, op: Op) -> Layer:
    """A CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED as the plain kernels take it. Raises KernelError."""
    source, weights, target = info.tensors[op.inputs[0]], info.tensors[op.inputs[1]], info.tensors[op.outputs[0]]
    if op.name not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        raise KernelError(f"operator {op.index} is {op.name}: it has no weights")
    if (source.dtype, weights.dtype, target.dtype) != ("int8",) * 3 or any(weights.zero_points):
        raise KernelError(f"operator {op.index} ({op.name}) is not int8 with symmetric weights")
    channels = weights.shape[-1 if op.name == "DEPTHWISE_CONV_2D" else 0]
    bias = info.tensors[op.inputs[2]].data if len(op.inputs) > 2 else np.zeros(channels, np.int32)
    shared = {
        "weights": np.ascontiguousarray(weights.data),
        "bias": np.ascontiguousarray(bias, np.int32),
        "quantization": _quantization(source, weights, target, op, channels),
    }
    if op.name == "FULLY_CONNECTED":
        return Layer("fully_connected_t", {"inputs": weights.shape[1], "outputs": channels} | shared)
    (_, in_height, in_width, in_channels), (_, out_height, out_width, _) = source.shape, target.shape
    _, height, width, _ = weights.shape
    pad = [0, 0]
    if op.padding == "SAME":
        sizes = zip((out_height, out_width), op.stride, (height, width), (in_height, in_width), strict=True)
        pad = [max(0, (out - 1) * stride + kernel - size) // 2 for out, stride, kernel, size in sizes]
    members = {"input_height": in_height, "input_width": in_width, "input_channels": in_channels}
    members |= {"kernel_height": height, "kernel_width": width}
    members |= {"output_height": out_height, "output_width": out_width, "output_channels": channels}
    members |= {"stride_height": op.stride[0], "stride_width": op.stride[1]}
    return Layer("convolution_t", members | {"pad_height": pad[0], "pad_width": pad[1]} | shared)


def plain_layers(tflite: bytes) -> list[Layer]:
    """The layers with weights of a model, in order of execution."""
    info = describe(tflite)
    return [plain_layer(info, op) for op in info.ops if op.macs]


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
        raise KernelError("a packed layer needs scales between 2^-22 and 1/2 from accumulator to output")
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


def pack_fully_connected(layer: Layer, order: np.ndarray | None = None) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_packed_s8`; `order` holds the input that comes at each place.

    Outputs that fill a group of four up are constant. Raises KernelError.
    """
    stages, weights = _padded_rows(layer, order)
    n_out, n_in = weights.shape
    if (weights == -128).any() or (np.abs(weights[0::2]).sum(axis=1) >= 2**16).any():
        raise KernelError("a packed layer needs weights above -128 that add up to less than 2^16 in magnitude")
    both = (256 * weights[0::2] + weights[1::2]).astype(np.int16).reshape(n_out // 4, 2, n_in // 2, 2)
    both = np.ascontiguousarray(both.transpose(0, 2, 1, 3)).reshape(n_out // 4, -1)
    head = stages.reshape(n_out // 4, 16)
    stream = np.concatenate([head.view(np.uint8), both.view(np.uint8)], axis=1).ravel()
    sizes = {"inputs": n_in, "outputs": n_out}
    return Layer("packed_fully_connected_t", sizes | {"stream": np.pad(stream, (0, 8))})


def pack_sparse_convolution(layer: Layer) -> Layer:
    """Pack a CONV_2D with nine positions for `convolve_sparse_s8`: see kernels.h. Raises KernelError."""
    members, stages = layer.members, output_stages(layer)
    weights = members["weights"].reshape(len(stages), -1).astype(np.int32)
    positions, columns = members["output_height"] * members["output_width"], weights.shape[1]
    if positions != SPARSE_POSITIONS or columns >= SPARSE_PANEL_WORDS:
        raise KernelError(f"a sparse convolution needs nine positions and fewer than {SPARSE_PANEL_WORDS} columns")
    stream = bytearray()
    for row, (twice_bias, *stage) in zip(weights, stages.tolist(), strict=True):
        parts = _parts(row, twice_bias // 2)
        for number, (part, part_bias) in enumerate(parts, 1):
            start = (part_bias + 2**20) * (1 + 2**21)
            ninth = _wrapped((start >> 32) + (part_bias << 10))
            stream += struct.pack("<qi", start, ninth)
            stream += struct.pack("<iii", *(stage if number == len(parts) else (0, 0, 0)))
            stream += _interleaved(_distances(part, step=4))
            stream += bytes(-len(stream) % 8)
    sizes = {"positions": positions, "columns": columns, "filters": len(weights)}
    return Layer("packed_convolution_t", sizes | {"stream": np.frombuffer(bytes(stream), np.uint8)})


def _parts(row, bias):
    """A filter as `[(weights, bias), ...]`, each with |bias| + 128 * sum of |weights| below 2^20."""
    if abs(bias) + 128 * np.abs(row).sum() < 2**20:
        return [(row, bias)]
    if abs(bias) >= 2**20:
        raise KernelError("a sparse convolution needs biases below 2^20")
    number = np.cumsum(np.abs(row)) // (2**12)  # parts of at most 2^19 + 128 * 127
    parts = [(np.where(number == part, row, 0), 0) for part in np.unique(number[row != 0])]
    return [(0 * row, bias), *parts]


def panels_layer(layer: Layer, packed: Layer) -> Layer:
    """What `panels_s8` and `sparse_panel_s8` need to write the input of a packed CONV_2D. Raises KernelError."""
    m = layer.members
    run = m["kernel_width"] * m["input_channels"]
    if m["pad_height"] or m["pad_width"] or m["output_height"] > 1 or run % 4:
        raise KernelError("a packed convolution needs one row of positions, no padding, and a run of 4, 8, ... values")
    sizes = {"positions": m["output_width"], "step": m["stride_width"] * m["input_channels"]}
    sizes |= {"runs": m["kernel_height"], "run": run, "row": m["input_width"] * m["input_channels"]}
    return Layer("panels_t", sizes | {"columns": packed.members["columns"]})


def _distances(row, step) -> bytes:
    """Bytes `step * distance, weight` for each non-zero weight; long distances in parts, over weights 0."""
    out, last, most = bytearray(), -1, 255 // step
    for column in np.flatnonzero(row).tolist():
        while column - last > most:
            last += most
            out += bytes((step * most, 0))
        out += bytes((step * (column - last), int(row[column]) & 0xFF))
        last = column
    return bytes(out)


def _interleaved(pairs: bytes) -> bytes:
    """d[0] w[0] d[1] w[1] ... as d[0] d[1] w[0] d[2] w[1] ... 0 w[n]."""
    distances, weights = pairs[::2] + bytes(1), pairs[1::2]
    return distances[:1] + bytes(byte for pair in zip(distances[1:], weights, strict=True) for byte in pair)


def _wrapped(value):
    return (value + 2**31) % 2**32 - 2**31


def pack_sparse_fully_connected(layer: Layer, order: np.ndarray | None = None) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_sparse_s8`; `order` as in `pack_fully_connected`."""
    stages, weights = output_stages(layer), layer.members["weights"].astype(np.int32)
    weights = weights if order is None else weights[:, order]
    stream = bytearray()
    for row, stage in zip(weights, stages, strict=True):
        pairs = _distances(row, step=2)
        pairs += bytes(-len(pairs) % 8)
        swapped = np.frombuffer(pairs, np.uint8).reshape(-1, 2)[:, ::-1].tobytes()
        stream += struct.pack("<i", len(pairs) // 4) + stage.tobytes() + swapped
    sizes = {"inputs": weights.shape[1], "outputs": len(weights)}
    return Layer("packed_fully_connected_t", sizes | {"stream": np.frombuffer(bytes(stream) + bytes(4), np.uint8)})


def _padded_rows(layer, order):
    """Output stages and weights (int32) of a FULLY_CONNECTED, outputs in fours and inputs in sixteens."""
    stages, weights = output_stages(layer), layer.members["weights"].astype(np.int32)
    weights = weights if order is None else weights[:, order]
    n_out, n_in = weights.shape
    stages = np.pad(stages, ((0, -n_out % 4), (0, 0)), mode="edge")
    return stages, np.pad(weights, ((0, -n_out % 4), (0, -n_in % COLUMNS_STEP)))


def column_order(columns: int) -> np.ndarray:
    """Order of columns that SXTB16 makes of four bytes: 0, 2, 1, 3."""
    return np.arange(columns).reshape(-1, 4)[:, [0, 2, 1, 3]].ravel()


def _quantization(source, weights, target, op, channels):
    scales = weights.scales if len(weights.scales) > 1 else weights.scales * channels
    if op.name == "FULLY_CONNECTED" and len(weights.scales) == 1:  # TFLM multiplies these two in float32
        products = [float(np.float32(source.scales[0]) * np.float32(scale)) for scale in scales]
    else:
        products = [source.scales[0] * scale for scale in scales]
    pairs = np.array([quantize_multiplier(product / target.scales[0]) for product in products], np.int32)
    low, high = (
        float(np.clip(limit / target.scales[0] + target.zero_points[0], -128, 127)) for limit in _RANGES[op.activation]
    )
    return {
        "input_offset": -source.zero_points[0],
        "output_offset": target.zero_points[0],
        "minimum": round(low),
        "maximum": round(high),
        "multiplier": np.ascontiguousarray(pairs[:, 0]),
        "shift": np.ascontiguousarray(pairs[:, 1]),
    }

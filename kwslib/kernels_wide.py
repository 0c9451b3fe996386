"""Float32 and int16 layers as the kernels take them, from plain loops to the best: the paper's ladder for wide types.

python -m kwslib.kernels_wide results/models/paper6_paper_cnn_ours_s0_float32.tflite
"""

import math
from dataclasses import replace

import numpy as np

from kwslib.kernels import KernelError, Layer, Scratch, Step, quantize_multiplier
from kwslib.tflite_graph import ModelInfo, Op

POSITIONS = 9  # that the kernels with accumulators in registers take at a time
MOST_POSITIONS = 512  # CONVOLVE_POSITIONS of kernels.h
COLUMNS_STEP = 16  # columns of a packed int16 convolution come in such steps
SCRATCH_BYTES = 10 * 1024  # for the panels of a packed convolution, if one is not larger
_SUFFIXES = {"float32": "f32", "int16": "s16"}
_KERNELS = {"CONV_2D": "convolve", "DEPTHWISE_CONV_2D": "depthwise_convolve", "FULLY_CONNECTED": "fully_connected"}
_LIMITS = {"NONE": (-math.inf, math.inf), "RELU": (0, math.inf), "RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1)}


def layer(info: ModelInfo, op: Op) -> Layer:
    """A CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED, float32 or int16x8, as the plain kernels take it.

    Raises KernelError for other operators and types.
    """
    if op.name not in _KERNELS:
        raise KernelError(f"operator {op.index} is {op.name}: it has no weights")
    source, weights, target = info.tensors[op.inputs[0]], info.tensors[op.inputs[1]], info.tensors[op.outputs[0]]
    types = (source.dtype, weights.dtype, target.dtype)
    if types not in (("float32",) * 3, ("int16", "int8", "int16")) or weights.data is None:
        raise KernelError(f"operator {op.index} ({op.name}) has types {', '.join(types)}, not float32 or int16x8")
    suffix = _SUFFIXES[source.dtype]
    if suffix == "s16" and any((*source.zero_points, *weights.zero_points, *target.zero_points)):
        raise KernelError(f"operator {op.index} ({op.name}) has a zero point other than 0")
    channels = weights.shape[-1 if op.name == "DEPTHWISE_CONV_2D" else 0]
    bias_dtype = np.float32 if suffix == "f32" else np.int64
    bias = info.tensors[op.inputs[2]] if len(op.inputs) > 2 else None
    if suffix == "s16" and bias is not None and bias.dtype != "int64":
        raise KernelError(f"operator {op.index} ({op.name}) has a bias of {bias.dtype}, not int64")
    shared = {
        "weights": np.ascontiguousarray(weights.data),
        "bias": np.zeros(channels, bias_dtype) if bias is None else np.ascontiguousarray(bias.data),
    }
    if suffix == "f32":
        largest = float(np.finfo(np.float32).max)
        low, high = (float(np.clip(limit, -largest, largest)) for limit in _LIMITS[op.activation])
        shared |= {"minimum": low, "maximum": high}
    else:
        shared["quantization"] = _quantization(source, weights, target, op, channels)
    if op.name == "FULLY_CONNECTED":
        return Layer(f"fully_connected_{suffix}_t", {"inputs": weights.shape[1], "outputs": channels} | shared)
    return Layer(f"convolution_{suffix}_t", _sizes(source.shape, weights.shape, target.shape, op) | shared)


def _sizes(source, weights, target, op):
    """Members of a convolution that say how it lies, from shapes [n, height, width, channels]."""
    pad = [0, 0]
    if op.padding == "SAME":
        sizes = zip(target[1:3], op.stride, weights[1:3], source[1:3], strict=True)
        pad = [max(0, (out - 1) * stride + kernel - size) // 2 for out, stride, kernel, size in sizes]
    members = {"input_height": source[1], "input_width": source[2], "input_channels": source[3]}
    members |= {"kernel_height": weights[1], "kernel_width": weights[2]}
    members |= {"output_height": target[1], "output_width": target[2], "output_channels": target[3]}
    members |= {"stride_height": op.stride[0], "stride_width": op.stride[1]}
    return members | {"pad_height": pad[0], "pad_width": pad[1]}


def _quantization(source, weights, target, op, channels):
    scales = weights.scales if len(weights.scales) > 1 else weights.scales * channels
    if op.name == "FULLY_CONNECTED" and len(weights.scales) == 1:  # TFLM multiplies these two in float32
        products = [float(np.float32(source.scales[0]) * np.float32(scale)) for scale in scales]
    else:
        products = [source.scales[0] * scale for scale in scales]
    pairs = np.array([quantize_multiplier(product / target.scales[0]) for product in products], np.int32)
    if (pairs[:, 1] > 7).any():
        raise KernelError(f"operator {op.index} ({op.name}) has scales above 2^7 from accumulator to output")
    low, high = (float(np.clip(limit / target.scales[0], -(2**15), 2**15 - 1)) for limit in _LIMITS[op.activation])
    return {
        "input_offset": 0,
        "output_offset": 0,
        "minimum": math.floor(low + 0.5),
        "maximum": math.floor(high + 0.5),
        "multiplier": np.ascontiguousarray(pairs[:, 0]),
        "shift": np.ascontiguousarray(pairs[:, 1]),
    }


def plain_wide(info: ModelInfo, op: Op) -> list[Step]:
    """Plain loops, one output after the other. Raises KernelError."""
    return _one_step(info, op, "")


def skip_wide(info: ModelInfo, op: Op) -> list[Step]:
    """Plain loops with an `if` that skips zero weights. Raises KernelError."""
    return _one_step(info, op, "_skip")


def weight_first_wide(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D, weight first, accumulators in memory. Raises KernelError."""
    return _weight_first(info, op, "_weight_first")


def weight_first_skip_wide(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D, weight first, accumulators in memory; zero weights are skipped. Raises KernelError."""
    return _weight_first(info, op, "_weight_first_skip")


def weight_first_registers_wide(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D of nine positions in a row, weight first, accumulators in registers. Raises KernelError."""
    return _weight_first(info, op, "_weight_first_nine")


def weight_first_registers_skip_wide(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D of nine positions in a row, weight first, accumulators in registers; zero weights are skipped."""
    return _weight_first(info, op, "_weight_first_nine_skip")


def simd_long_wide(info: ModelInfo, op: Op) -> list[Step]:
    """Int16 layers, two products at a time by SMLALD: weights expanded beforehand, sums of 64 bits."""
    return _simd(info, op, "_simd_long", expanded=True)


def simd_wide(info: ModelInfo, op: Op) -> list[Step]:
    """Int16 layers, two products at a time by SMLAD: weights expanded beforehand, sums of 32 bits."""
    return _simd(info, op, "_simd", expanded=True)


def simd_expand_wide(info: ModelInfo, op: Op) -> list[Step]:
    """Int16 layers, two products at a time by SMLAD: int8 weights expanded on the fly, sums of 32 bits."""
    return _simd(info, op, "_simd_expand", expanded=False)


def packed_wide(info: ModelInfo, op: Op) -> list[Step]:
    """Our best dense kernels: CONV_2D and FULLY_CONNECTED with packed weights. Raises KernelError."""
    member = layer(info, op)
    target = info.tensors[op.outputs[0]]
    if op.name == "DEPTHWISE_CONV_2D":
        raise KernelError(f"operator {op.index} is {op.name}: there is no packed kernel for it")
    kernel = f"{_KERNELS[op.name]}_packed_{_SUFFIXES[target.dtype]}"
    return [Step(kernel, _PACKERS[member.struct](member), target.size, target.dtype)]


def sparse_wide(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D and FULLY_CONNECTED with the non-zero weights only, weight first. Raises KernelError."""
    member = layer(info, op)
    target = info.tensors[op.outputs[0]]
    if op.name == "DEPTHWISE_CONV_2D":
        raise KernelError(f"operator {op.index} is {op.name}: there is no sparse kernel for it")
    kernel = f"{_KERNELS[op.name]}_sparse_{_SUFFIXES[target.dtype]}"
    return [Step(kernel, _SPARSE_PACKERS[member.struct](member), target.size, target.dtype)]


def pack_convolution_f32(plain: Layer) -> Layer:
    """Pack a CONV_2D for `convolve_packed_f32`: see kernels_f32.h."""
    members = dict(plain.members)
    bias, weights = members.pop("bias"), members.pop("weights")
    weights = weights.reshape(len(weights), -1)
    n_filters, columns = weights.shape
    weights = np.pad(weights, ((0, n_filters % 2), (0, columns % 2)))
    rows = np.concatenate([np.pad(bias, (0, n_filters % 2))[:, None], weights], axis=1)  # bias, then weights
    stream = rows.reshape(len(rows) // 2, 2, -1).transpose(0, 2, 1)
    limits = {name: members.pop(name) for name in ("minimum", "maximum")}
    count, scratch = _panels(members, 4 * POSITIONS * weights.shape[1], POSITIONS, behind=16)
    packed = {"geometry": members, "panels": count, "stream": np.pad(stream.ravel(), (0, 2)), "scratch": scratch}
    return Layer("packed_convolution_f32_t", packed | limits)


def pack_fully_connected_f32(plain: Layer) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_packed_f32`: see kernels_f32.h. Raises KernelError."""
    members = dict(plain.members)
    bias, weights = members.pop("bias"), members.pop("weights")
    if weights.shape[1] % 2:
        raise KernelError(f"a packed float layer needs an even number of inputs, this one has {weights.shape[1]}")
    missing = -len(weights) % 8
    rows = np.concatenate([bias[:, None], weights], axis=1)
    stream = np.pad(rows, ((0, missing), (0, 0))).reshape(-1, 8, rows.shape[1]).transpose(0, 2, 1)
    sizes = {"inputs": members.pop("inputs"), "outputs": members.pop("outputs")}
    return Layer("packed_fully_connected_f32_t", sizes | {"stream": np.pad(stream.ravel(), (0, 4))} | members)


def pack_convolution_s16(plain: Layer) -> Layer:
    """Pack a CONV_2D for `convolve_packed_s16`: see kernels_s16.h. Raises KernelError."""
    members = dict(plain.members)
    bias, weights, quantization = members.pop("bias"), members.pop("weights"), members.pop("quantization")
    check_sums(plain)
    if quantization["maximum"] != 2**15 - 1:
        raise KernelError("a packed int16 layer clamps to int16 only: this activation function has another maximum")
    weights = weights.reshape(len(weights), -1)
    n_filters, columns = len(weights), -(-weights.shape[1] // COLUMNS_STEP) * COLUMNS_STEP
    heads = np.stack([bias.astype(np.int32), _high_word_multiplier(quantization)], axis=1)
    heads = np.pad(heads, ((0, n_filters % 2), (0, 0))).reshape(-1, 4)
    weights = np.pad(weights, ((0, n_filters % 2), (0, columns - weights.shape[1])))
    pairs = np.ascontiguousarray(weights.reshape(len(heads), 2, columns).transpose(0, 2, 1)).reshape(len(heads), -1)
    stream = np.concatenate([heads.view(np.uint8), pairs.view(np.uint8)], axis=1).ravel()
    count, scratch = _panels(members, 6 * columns, 3, behind=8)
    minimum = int(np.full(2, quantization["minimum"], np.int16).view(np.int32)[0])
    packed = {"geometry": members, "columns": columns, "panels": count, "minimum": minimum}
    return Layer("packed_convolution_s16_t", packed | {"stream": np.pad(stream, (0, 4)), "scratch": scratch})


def pack_fully_connected_s16(plain: Layer) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_packed_s16`: see kernels_s16.h."""
    weights = plain.members["weights"]
    n_out, n_in = weights.shape
    weights = np.pad(weights, ((0, -n_out % 4), (0, -n_in % 8)))
    n_in = weights.shape[1]
    # The largest part whose sums fit 32 bits wherever it lies.
    magnitudes = np.abs(weights.astype(np.int64)).reshape(len(weights), -1, 8).sum(axis=2)
    part = next(p for p in range(n_in, 0, -8) if _largest_part(magnitudes, p // 8) < 2**16)
    stream = weights.reshape(len(weights) // 4, 2, 2, n_in // 2, 2).transpose(0, 3, 1, 4, 2)
    members = {"inputs": n_in, "outputs": n_out, "part": part}
    members |= {name: plain.members["quantization"][name] for name in ("minimum", "maximum")}
    missing = (0, len(weights) - n_out)
    members |= {"stream": np.pad(stream.ravel(), (0, 8)), "bias": np.pad(plain.members["bias"], missing)}
    multiplier = np.pad(_high_word_multiplier(plain.members["quantization"]), missing)
    return Layer("packed_fully_connected_s16_t", members | {"multiplier": multiplier})


def pack_sparse_convolution_f32(plain: Layer) -> Layer:
    """Pack a CONV_2D for `convolve_sparse_f32`: see kernels_f32.h."""
    geometry = dict(plain.members)
    bias, weights = geometry.pop("bias"), geometry.pop("weights")
    limits = {name: geometry.pop(name) for name in ("minimum", "maximum")}
    weights = weights.reshape(len(weights), -1)
    stream = []
    for row, start in zip(weights, bias, strict=True):
        (places,) = np.nonzero(row)
        missing = (0, len(places) % 2 + 2)
        distances = np.pad(4 * POSITIONS * np.diff(places, prepend=0), missing).astype(np.int32)
        values = np.pad(row[places], missing).astype(np.float32).view(np.int32)
        head = np.array([len(distances) - 2, np.float32(start).view(np.int32)], np.int32)
        stream += [head, np.stack([distances, values], axis=1).ravel()]
    room = Scratch(4 * POSITIONS * (weights.shape[1] + weights.shape[1] % 2))
    members = {"geometry": geometry, "stream": np.concatenate(stream), "scratch": room}
    return Layer("sparse_convolution_f32_t", members | limits)


def pack_sparse_fully_connected_f32(plain: Layer) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_sparse_f32`: see kernels_f32.h. Raises KernelError."""
    members = plain.members
    fours, places, values = _nonzeros(members["weights"])
    stream = np.concatenate([places.view(np.uint32), values.view(np.uint32)], axis=1).ravel()
    sparse = {"inputs": members["inputs"], "outputs": members["outputs"], "stream": stream, "fours": fours}
    shared = {name: members[name] for name in ("bias", "minimum", "maximum")}
    return Layer("sparse_fully_connected_f32_t", sparse | shared)


def pack_sparse_convolution_s16(plain: Layer) -> Layer:
    """Pack a CONV_2D for `convolve_sparse_s16`: see kernels_s16.h. Raises KernelError."""
    geometry = dict(plain.members)
    bias, weights, quantization = geometry.pop("bias"), geometry.pop("weights"), geometry.pop("quantization")
    check_sums(plain)
    weights = weights.reshape(len(weights), -1)
    if weights.shape[1] * 20 >= 2**16 or quantization["maximum"] != 2**15 - 1:
        raise KernelError("a sparse int16 convolution needs fewer than 3277 columns and clamps to int16 only")
    stream = []
    for row, start, multiplier in zip(weights, bias, _high_word_multiplier(quantization), strict=True):
        (places,) = np.nonzero(row)
        places = places if len(places) else np.zeros(1, np.int64)
        words = 20 * np.diff(places, append=places[-1]) << 16 | row[places].astype(np.int64) & 0xFFFF
        stream += [[start, multiplier, quantization["minimum"], len(words), 20 * places[0]], words]
    stream = np.concatenate(stream).astype(np.int64).astype(np.uint32).view(np.int32)
    room = Scratch(20 * (weights.shape[1] + weights.shape[1] % 2))
    return Layer("sparse_convolution_s16_t", {"geometry": geometry, "stream": stream, "scratch": room})


def pack_sparse_fully_connected_s16(plain: Layer) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_sparse_s16`: see kernels_s16.h. Raises KernelError."""
    members, quantization = plain.members, plain.members["quantization"]
    fours, places, values = _nonzeros(members["weights"])
    words = places.astype(np.uint32) << 16 | values.astype(np.int16).view(np.uint16)
    sparse = {"inputs": members["inputs"], "outputs": members["outputs"]}
    sparse |= {name: quantization[name] for name in ("minimum", "maximum")}
    sparse |= {"stream": words.astype(np.uint32).ravel(), "fours": fours, "bias": members["bias"]}
    return Layer("sparse_fully_connected_s16_t", sparse | {"multiplier": _high_word_multiplier(quantization)})


def _nonzeros(weights):
    """Non-zero weights in fours, filled up with zeros: how many fours each row has, places and values [n, 4].

    A row has at least one four; a four of zeros ends it all.
    """
    if weights.shape[1] >= 2**16:
        raise KernelError(f"a sparse layer needs fewer than 2^16 inputs, this one has {weights.shape[1]}")
    kept = [np.flatnonzero(row) for row in weights]
    fours = [max(1, -(-len(places) // 4)) for places in kept]
    places = np.zeros((sum(fours) + 1) * 4, np.uint16)
    values = np.zeros(places.size, weights.dtype)
    for start, found, row in zip(np.cumsum([0, *fours[:-1]]) * 4, kept, weights, strict=True):
        places[start : start + len(found)], values[start : start + len(found)] = found, row[found]
    return np.array(fours, np.uint16), places.reshape(-1, 4), values.reshape(-1, 4)


_SPARSE_PACKERS = {
    "convolution_f32_t": pack_sparse_convolution_f32,
    "fully_connected_f32_t": pack_sparse_fully_connected_f32,
    "convolution_s16_t": pack_sparse_convolution_s16,
    "fully_connected_s16_t": pack_sparse_fully_connected_s16,
}

_PACKERS = {
    "convolution_f32_t": pack_convolution_f32,
    "fully_connected_f32_t": pack_fully_connected_f32,
    "convolution_s16_t": pack_convolution_s16,
    "fully_connected_s16_t": pack_fully_connected_s16,
}


def _largest_part(magnitudes, n):
    """Largest sum of `n` magnitudes that a kernel adds up in one part: [outputs, blocks] in steps of n."""
    return max(magnitudes[:, start : start + n].sum(axis=1).max() for start in range(0, magnitudes.shape[1], n))


def _high_word_multiplier(quantization):
    """Multipliers, int32, for which the upper word of a product, rounded, is what TFLM makes of an accumulator.

    TFLM: (accumulator * reduced + 2^(right - 1)) >> right, with a multiplier reduced to 15 bits and right = 15 - shift.
    """
    multiplier, right = quantization["multiplier"].astype(np.int64), 15 - quantization["shift"]
    reduced = np.where(multiplier < 0x7FFF0000, (multiplier + 2**15) >> 16, 0x7FFF)
    if ((right < 16) | (right > 32))[reduced > 0].any():
        raise KernelError("a packed int16 layer needs scales between 2^-17 and 1/2 from accumulator to output")
    return (reduced << (32 - np.clip(right, 16, 32))).astype(np.int32)


def _panels(members, n_bytes, positions, behind):
    """How many panels of `positions`, each of `n_bytes`, a packed convolution lays out at a time, and room for them."""
    needed = -(-members["output_height"] * members["output_width"] // positions)
    count = min(needed, max(1, (SCRATCH_BYTES - behind) // n_bytes))
    return count, Scratch(count * n_bytes + behind)


LOWERINGS = {
    "plain": plain_wide,
    "skip": skip_wide,
    "weight_first": weight_first_wide,
    "weight_first_skip": weight_first_skip_wide,
    "weight_first_registers": weight_first_registers_wide,
    "weight_first_registers_skip": weight_first_registers_skip_wide,
    "simd_long": simd_long_wide,
    "simd": simd_wide,
    "simd_expand": simd_expand_wide,
    "packed": packed_wide,
    "sparse": sparse_wide,
}


def _one_step(info, op, variant):
    member = layer(info, op)
    target = info.tensors[op.outputs[0]]
    return [Step(f"{_KERNELS[op.name]}{variant}_{_SUFFIXES[target.dtype]}", member, target.size, target.dtype)]


def _weight_first(info, op, variant):
    if op.name != "CONV_2D":
        raise KernelError(f"operator {op.index} is {op.name}: only a CONV_2D meets a weight at several positions")
    sizes = layer(info, op).members
    positions = sizes["output_height"] * sizes["output_width"]
    if "nine" in variant:
        padded = op.padding == "SAME" and (sizes["kernel_height"], sizes["kernel_width"]) != (1, 1)
        if (sizes["output_height"], sizes["output_width"]) != (1, POSITIONS) or padded:
            raise KernelError(f"operator {op.index} has {positions} positions: needed are nine in a row, no padding")
        check_sums(layer(info, op))
    elif positions > MOST_POSITIONS:
        raise KernelError(f"operator {op.index} has {positions} positions: at most {MOST_POSITIONS} fit")
    return _one_step(info, op, variant)


def _simd(info, op, variant, expanded):
    (step,) = _one_step(info, op, variant)
    if step.dtype != "int16" or op.name == "DEPTHWISE_CONV_2D":
        raise KernelError(f"operator {op.index} ({op.name}, {step.dtype}): SIMD kernels take int16 along channels")
    if "long" not in variant:
        check_sums(step.layer)
    if not expanded:
        return [step]
    members = step.layer.members | {"weights": step.layer.members["weights"].astype(np.int16)}
    return [replace(step, layer=Layer(f"expanded_{step.layer.struct}", members))]


def check_sums(plain: Layer) -> None:
    """Refuse an int16 layer whose sums could leave 32 bits.

    For every output, 2^15 times the sum of |weights| plus |bias| has to be below 2^31. Raises KernelError.
    """
    if not plain.struct.endswith("s16_t"):
        return
    weights = plain.members["weights"]
    magnitudes = np.abs(weights.reshape(len(weights), -1).astype(np.int64)).sum(axis=1)
    if (magnitudes * 2**15 + np.abs(plain.members["bias"]) >= 2**31).any():
        raise KernelError("the sums of this int16 layer may not fit 32 bits: the magnitudes of its weights are too large")

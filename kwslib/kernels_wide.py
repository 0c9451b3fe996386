"""Float32 and int16 layers as the kernels take them, from plain loops to the best: the paper's ladder for wide types.

python -m kwslib.kernels_wide results/models/paper6_paper_cnn_ours_s0_float32.tflite
"""

import math
import sys
from dataclasses import replace

import numpy as np
import pandas as pd

from kwslib import packers_wide
from kwslib.kernels import KernelError, Layer, Step, quantize_multiplier
from kwslib.tflite_graph import ModelInfo, Op, describe, read_model

INPUT_BYTES_BEHIND = 32  # the kernels read so far behind their input at most
NINE = 9  # positions of the weight-first kernels with accumulators in registers
MOST_POSITIONS = 512  # CONVOLVE_POSITIONS of kernels.h
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
    if any(op.options.get(f"dilation{axis}Factor", 1) != 1 for axis in "HW"):
        raise KernelError("it is dilated, which no kernel here computes: use larger strides, or TensorFlow Lite Micro")
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
    return _packed(info, op, "_packed", packers_wide.PACK)


def sparse_wide(info: ModelInfo, op: Op) -> list[Step]:
    """CONV_2D and FULLY_CONNECTED with the non-zero weights only, weight first. Raises KernelError."""
    return _packed(info, op, "_sparse", packers_wide.PACK_SPARSE)


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
        if (sizes["output_height"], sizes["output_width"]) != (1, NINE) or padded:
            raise KernelError(f"operator {op.index} has {positions} positions: needed are nine in a row, no padding")
        if sizes["weights"].dtype == np.int8:
            packers_wide.check_sums(sizes["weights"], sizes["bias"])
    elif positions > MOST_POSITIONS:
        raise KernelError(f"operator {op.index} has {positions} positions: at most {MOST_POSITIONS} fit")
    return _one_step(info, op, variant)


def _simd(info, op, variant, expanded):
    (step,) = _one_step(info, op, variant)
    if step.dtype != "int16" or op.name == "DEPTHWISE_CONV_2D":
        raise KernelError(f"operator {op.index} ({op.name}, {step.dtype}): SIMD kernels take int16 along channels")
    if "long" not in variant:
        packers_wide.check_sums(step.layer.members["weights"], step.layer.members["bias"])
    if not expanded:
        return [step]
    members = step.layer.members | {"weights": step.layer.members["weights"].astype(np.int16)}
    return [replace(step, layer=Layer(f"expanded_{step.layer.struct}", members))]


def _packed(info, op, variant, packers):
    (step,) = _one_step(info, op, variant)
    if op.name == "DEPTHWISE_CONV_2D":
        raise KernelError(f"operator {op.index} is {op.name}: there is no {variant[1:]} kernel for it")
    return [replace(step, layer=packers[step.layer.struct](step.layer))]


def table(tflite: bytes, board) -> pd.DataFrame:
    """What each lowering costs on `board` for each operator with weights: a row each.

    Columns: lowering, operator (its index), kernel, instructions (exact), cycles, low, high (estimates), cycles_per_mac
    (of all weights, zeros too). Where a lowering refuses an operator, the row tells of the plain kernel; one that
    refuses all of them has no rows.
    """
    info, rows = describe(tflite), []
    rng = np.random.default_rng(0)
    for op in filter(lambda op: op.macs, info.ops):
        source = info.tensors[op.inputs[0]]
        values = rng.normal(0, 1, source.size) if source.dtype == "float32" else rng.integers(0, 2**15, source.size)
        values = np.pad(values.astype(source.dtype), (0, INPUT_BYTES_BEHIND))
        costs = {}
        for name, lower in LOWERINGS.items():
            try:
                (step,) = lower(info, op)
            except KernelError:
                (step,) = plain_wide(info, op)
            if step.kernel not in costs:
                board.run(step.kernel, step.layer, values, step.n_out, step.dtype)
                costs[step.kernel] = {"kernel": step.kernel} | board.costs()
            cost = costs[step.kernel]
            ratio = round(cost["cycles"] / op.macs, 3)
            rows.append({"lowering": name, "operator": op.index} | cost | {"cycles_per_mac": ratio})
    plain = {row["kernel"] for row in rows if row["lowering"] == "plain"}
    used = {row["lowering"] for row in rows if row["lowering"] == "plain" or row["kernel"] not in plain}
    return pd.DataFrame([row for row in rows if row["lowering"] in used])


def main() -> None:
    """Print the table of one model, and what the operators with weights cost together."""
    from kwslib import kernels_board
    from kwslib.firmware import BoardError
    from kwslib.tflite_graph import ModelFileError
    from kwslib.toolchain import ToolchainError

    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        tflite = read_model(sys.argv[1])
        costs = table(tflite, kernels_board.BoardKernels(kernels_board.build()))
    except (KernelError, ModelFileError, ToolchainError, BoardError) as error:
        sys.exit(f"error: {error}")
    print(costs.to_string(index=False))
    sums = costs.groupby("lowering", sort=False)[["instructions", "cycles", "low", "high"]].sum()
    sums["cycles_per_mac"] = (sums.cycles / describe(tflite).macs).round(3)
    print(sums.to_string())


if __name__ == "__main__":
    main()

"""Float32 and int16 layers as the kernels take them, from plain loops to the best: the ladder for wide types."""

from dataclasses import replace

import numpy as np

from kwslib import kernels, packers_wide
from kwslib.kernels import CONVOLVE_POSITIONS, KernelError, Layer, Step
from kwslib.tflite_graph import ModelInfo, Op

NINE = 9  # positions of the weight-first kernels with accumulators in registers
_MOST_SHIFT = 7  # to the left, of an int16 layer
_SUFFIXES = {"float32": "f32", "int16": "s16"}
_KERNELS = {"CONV_2D": "convolve", "DEPTHWISE_CONV_2D": "depthwise_convolve", "FULLY_CONNECTED": "fully_connected"}


def layer(info: ModelInfo, op: Op) -> Layer:
    """A CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED, float32 or int16x8, as the plain kernels take it.

    Raises KernelError for other operators and types.
    """
    if op.name not in _KERNELS:
        raise KernelError(f"operator {op.index} is {op.name}: it has no weights")
    source, weights, target = info.tensors[op.inputs[0]], info.tensors[op.inputs[1]], info.tensors[op.outputs[0]]
    types = (source.dtype, weights.dtype, target.dtype)
    if types not in (("float32",) * 3, ("int16", "int8", "int16")):
        raise KernelError(f"operator {op.index} ({op.name}) has types {', '.join(types)}, not float32 or int16x8")
    suffix = _SUFFIXES[source.dtype]
    if suffix == "s16" and any((*source.zero_points, *weights.zero_points, *target.zero_points)):
        raise KernelError(f"operator {op.index} ({op.name}) has a zero point other than 0")
    channels = weights.shape[-1 if op.name == "DEPTHWISE_CONV_2D" else 0]
    kernels.check_shapes(op, source, weights, target, channels)
    bias = kernels.bias(info, op, channels, "float32" if suffix == "f32" else "int64")
    shared = {"weights": np.ascontiguousarray(weights.data), "bias": bias}
    if suffix == "f32":
        if op.activation not in kernels.ACTIVATION_RANGES:
            raise KernelError(f"activation function {op.activation} is not known")
        largest = float(np.finfo(np.float32).max)
        low, high = (float(np.clip(limit, -largest, largest)) for limit in kernels.ACTIVATION_RANGES[op.activation])
        shared |= {"minimum": low, "maximum": high}
    else:
        shared["quantization"] = kernels.quantization(source, weights, target, op, channels)
        if (shared["quantization"]["shift"] > _MOST_SHIFT).any():
            raise KernelError(f"operator {op.index} ({op.name}) has scales above 2^7 from accumulator to output")
    if op.name == "FULLY_CONNECTED":
        return Layer(f"fully_connected_{suffix}_t", {"inputs": weights.shape[1], "outputs": channels} | shared)
    return Layer(f"convolution_{suffix}_t", kernels.geometry(op, source, weights, target) | shared)


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
    elif positions > CONVOLVE_POSITIONS:
        raise KernelError(f"operator {op.index} has {positions} positions: at most {CONVOLVE_POSITIONS} fit")
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

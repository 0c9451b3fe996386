"""Networks like `paper_cnn` in the packed kernels' own layout: int16 activations from the first layer to the logits."""

import numpy as np

from kwslib import kernels
from kwslib.kernels import KernelError, Layer, Step
from kwslib.tflite_graph import ModelInfo, Op

VARIANTS = ("packed", "sparse")


def packed(info: ModelInfo, ops: list[Op]) -> tuple[int, list[Step]]:
    """CONV_2D and the FULLY_CONNECTED behind it: how many of `ops` that is, and their steps. Raises KernelError."""
    return _chain(info, ops, "packed")


def sparse(info: ModelInfo, ops: list[Op]) -> tuple[int, list[Step]]:
    """The same over the non-zero weights only."""
    return _chain(info, ops, "sparse")


def _chain(info, ops, variant):
    names = [op.name for op in ops]
    dense = next((number for number, name in enumerate(names[1:], 1) if name == "FULLY_CONNECTED"), 0)
    if names[0] != "CONV_2D" or not dense or set(names[1:dense]) - {"RESHAPE"}:
        raise KernelError(f"it begins {', '.join(names[:3])}: needed is CONV_2D, then FULLY_CONNECTED")
    n_ops = next((number for number, name in enumerate(names[dense:], dense) if name != "FULLY_CONNECTED"), len(names))
    first, *others = (kernels.plain_layer(info, op) for op in ops[:n_ops] if op.macs)
    steps, order = _convolution(first, variant)
    pack = kernels.pack_sparse_fully_connected if variant == "sparse" else kernels.pack_fully_connected
    for layer in others:
        member = pack(layer, order)
        steps.append(Step(f"fully_connected_{variant}_s8", member, member.members["outputs"], "int16"))
        order = None
    n_out = info.tensors[ops[n_ops - 1].outputs[0]].size
    limits = Layer("limits_t", {"values": n_out, "minimum": -128, "maximum": 127})
    return n_ops, [*steps, Step("narrow_s16", limits, n_out, "int8")]


def _convolution(layer, variant):
    """Steps of the convolution, and the order in which they leave what the next layer takes."""
    if variant == "sparse":
        member = kernels.pack_sparse_convolution(layer)
        n_panel, dtype, alignment = 5 * kernels.SPARSE_PANEL_WORDS, "int32", 32
    else:
        member = kernels.pack_convolution(layer)
        n_panel = sum(divmod(member.members["positions"], 4)) * kernels.PANEL_BYTES // 2
        dtype, alignment = "int16", kernels.PANEL_BYTES
    panel = "sparse_panel_s8" if variant == "sparse" else "panels_s8"
    positions, filters = member.members["positions"], member.members["filters"]
    steps = [
        Step(panel, kernels.panels_layer(layer, member), n_panel, dtype, alignment),
        Step(f"convolve_{variant}_s8", member, positions * filters, "int16"),
    ]
    # The packed convolution writes [filter][position], the next layer's weights expect [position][filter].
    return steps, np.arange(positions * filters).reshape(positions, filters).T.ravel()

"""Networks like `paper_cnn` in the packed kernels' own layout: int16 activations from the first layer to the logits."""

import numpy as np

from kwslib import kernels
from kwslib.kernels import Layer, OtherKindError, Step
from kwslib.tflite_graph import ModelInfo, Op


def packed(info: ModelInfo, ops: list[Op]) -> tuple[int, list[Step]]:
    """An int8 CONV_2D and the FULLY_CONNECTED behind it: how many of `ops` that is, and their steps.

    Raises KernelError, of which OtherKindError for other operators or types.
    """
    names = [op.name for op in ops]
    dense = next((number for number, name in enumerate(names[1:], 1) if name == "FULLY_CONNECTED"), 0)
    if names[0] != "CONV_2D" or not dense or set(names[1:dense]) - {"RESHAPE"}:
        raise OtherKindError(f"it begins {', '.join(names[:3])}: needed is CONV_2D, then FULLY_CONNECTED")
    if info.tensors[ops[0].inputs[0]].dtype != "int8":
        raise OtherKindError(f"{names[0]} of {info.tensors[ops[0].inputs[0]].dtype}: needed is int8")
    n_ops = next((number for number, name in enumerate(names[dense:], dense) if name != "FULLY_CONNECTED"), len(names))
    first, *others = (kernels.plain_layer(info, op) for op in ops[:n_ops] if op.macs)
    steps, order = _convolution(first)
    for number, layer in enumerate(others, 1):
        # What is inside may have any order of its values, the last layer's outputs are the network's.
        following = kernels.outputs_order(layer) if number < len(others) else None
        member = kernels.pack_fully_connected(layer, order, following)
        steps.append(Step("fully_connected_packed_s8", member, member.members["outputs"], "int16"))
        order = following
    n_out = info.tensors[ops[n_ops - 1].outputs[0]].size
    limits = Layer("limits_t", {"values": n_out, "minimum": -128, "maximum": 127})
    return n_ops, [*steps, Step("narrow_s16", limits, n_out, "int8")]


def _convolution(layer):
    """Steps of the convolution, and the order in which they leave what the next layer takes."""
    member = kernels.pack_convolution(layer)
    n_panel = sum(divmod(member.members["positions"], 4)) * kernels.PANEL_BYTES // 2
    positions, filters = member.members["positions"], member.members["filters"]
    steps = [
        Step("panels_s8", kernels.panels_layer(layer, member), n_panel, "int16", kernels.PANEL_BYTES),
        Step("convolve_packed_s8", member, positions * filters, "int16"),
    ]
    # The packed convolution writes [filter][position], the next layer's weights expect [position][filter].
    return steps, np.arange(positions * filters).reshape(positions, filters).T.ravel()

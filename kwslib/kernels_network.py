"""The layers of `paper_cnn` on the kernels, one after the other, and what each costs on the emulated board.

python -m kwslib.kernels_network results/models/paper6_paper_cnn_element-80_s0.tflite
"""

import sys

import numpy as np
import pandas as pd

from kwslib import kernels, kernels_sparse
from kwslib.kernels import KernelError, Step
from kwslib.tflite_graph import describe, read_model

INPUT_BYTES_BEHIND = 32  # the kernels read so far behind their input at most
VARIANTS = ("packed", "sparse")
_PLAIN = {
    "convolution_t": ("convolve_s8", "convolve_skip_s8", "convolve_weight_first_s8", "convolve_weight_first_skip_s8"),
    "fully_connected_t": ("fully_connected_s8", "fully_connected_skip_s8"),
}


def steps(tflite: bytes, variant: str = "packed") -> list[Step]:
    """Calls that take an int8 input [frames, bands] to logits. Raises KernelError for any other network."""
    if variant not in VARIANTS:
        raise KernelError(f"variant = {variant!r}: allowed is {' or '.join(map(repr, VARIANTS))}")
    info = describe(tflite)
    names = [op.name for op in info.ops if op.name != "RESHAPE"]
    if names[0] != "CONV_2D" or names[-1] != "SOFTMAX" or set(names[1:-1]) != {"FULLY_CONNECTED"}:
        raise KernelError(f"the network has {', '.join(names)}: needed is CONV_2D, FULLY_CONNECTED, ..., SOFTMAX")
    if variant == "sparse":
        return [step for op in info.ops if op.macs for step in kernels_sparse.sparse_element(info, op)]
    first, *others = kernels.plain_layers(tflite)
    packed = kernels.pack_convolution(first)
    n_panels = sum(divmod(packed.members["positions"], 4))
    panel = Step("panels_s8", kernels.panels_layer(first, packed), n_panels * kernels.PANEL_BYTES // 2, "int16")
    n_out = packed.members["positions"] * packed.members["filters"]
    calls = [panel, Step("convolve_packed_s8", packed, n_out, "int16")]
    # The packed convolution writes [filter][position], the next layer's weights expect [position][filter].
    order = np.arange(n_out).reshape(packed.members["positions"], -1).T.ravel()
    for layer in others:
        member = kernels.pack_fully_connected(layer, order)
        calls.append(Step("fully_connected_packed_s8", member, member.members["outputs"], "int16"))
        order = None
    return calls


def run(engine, calls: list[Step], values: np.ndarray) -> tuple[np.ndarray, list[dict]]:
    """Run steps on `engine` (HostKernels or BoardKernels) from int8 input values: `(output of each step, costs)`.

    `costs` are those of `BoardKernels.costs`, empty on the host.
    """
    outputs, costs = [], []
    for call in calls:
        padded = np.pad(np.ravel(values), (0, INPUT_BYTES_BEHIND))
        values = engine.run(call.kernel, call.layer, padded, call.n_out, call.dtype)
        outputs.append(values)
        if hasattr(engine, "costs"):
            costs.append({"kernel": call.kernel} | engine.costs())
    return outputs, costs


def table(tflite: bytes, board) -> pd.DataFrame:
    """What each kernel costs on `board` for each layer of a model: a row a layer, kernel and variant.

    Columns: variant (plain, packed, sparse), layer (its number among those with weights), kernel, instructions (exact),
    cycles, low, high (estimates), cycles_per_mac (of all weights, zeros too). Layer 0 of a packed variant has a row for
    the kernel that lays its input out; the rows of a variant add up to the network without its softmax. Raises
    KernelError for another network than `paper_cnn`.
    """
    calls = {variant: steps(tflite, variant) for variant in VARIANTS}
    info = describe(tflite)
    macs = [op.macs for op in info.ops if op.macs]
    values = np.random.default_rng(0).integers(-128, 128, info.input.size).astype(np.int8)
    rows = []
    for number, layer in enumerate(kernels.plain_layers(tflite)):
        sizes = layer.members
        n_in = sizes["inputs"] if number else values.size
        n_out = macs[number] // (sizes["weights"].size // len(sizes["weights"]))
        for kernel in _PLAIN[layer.struct]:
            board.run(kernel, layer, np.resize(values, n_in), n_out)
            rows.append({"variant": "plain", "layer": number, "kernel": kernel} | board.costs())
    for variant in VARIANTS:
        for number, cost in enumerate(run(board, calls[variant], values)[1]):
            rows.append({"variant": variant, "layer": max(0, number - 1)} | cost)
    costs = pd.DataFrame(rows)
    costs["cycles_per_mac"] = (costs.cycles / costs.layer.map(dict(enumerate(macs)))).round(3)
    return costs


def main() -> None:
    """Print the table of one model."""
    from kwslib import kernels_board
    from kwslib.firmware import BoardError
    from kwslib.tflite_graph import ModelFileError
    from kwslib.toolchain import ToolchainError

    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        costs = table(read_model(sys.argv[1]), kernels_board.BoardKernels(kernels_board.build()))
    except (KernelError, ModelFileError, ToolchainError, BoardError) as error:
        sys.exit(f"error: {error}")
    print(costs.to_string(index=False))
    print(costs[costs.variant != "plain"].groupby("variant")[["instructions", "cycles", "low", "high"]].sum())


if __name__ == "__main__":
    main()

"""Layers of a pruned int8 .tflite for the sparse kernels: streams of weights without the zeros.

Formats: firmware_tflm/kernels/kernels_sparse.h. Each `sparse_...` takes one operator, from int8 to int8.
"""

import struct

import numpy as np

from kwslib.kernels import KernelError, Layer, Scratch, Step, output_stages, plain_layer
from kwslib.tflite_graph import ModelInfo, Op

POSITIONS = 9
PANEL_WORDS = 253
MOST_COLUMNS = 240  # of a filter with nine positions
BLOCK4_PANEL_WORDS = MOST_COLUMNS // 4
_MOST_SUM, _MOST_PARTS = 2**20, 64
_VALUES = -128, 127  # of an activation


def sparse_element(info: ModelInfo, op: Op) -> list[Step]:
    """A CONV_2D or a FULLY_CONNECTED weight by weight. Raises KernelError."""
    layer = plain_layer(info, op)
    if op.name == "FULLY_CONNECTED":
        return [_fully_connected(pack_sparse_fully_connected(layer), "fully_connected_sparse_s8")]
    return _convolution(op, layer, 1)


def sparse_block2(info: ModelInfo, op: Op) -> list[Step]:
    """A CONV_2D by runs of two weights that follow each other in a filter. Raises KernelError."""
    if op.name == "FULLY_CONNECTED":
        return sparse_element(info, op)
    return _convolution(op, plain_layer(info, op), 2)


def sparse_block4(info: ModelInfo, op: Op) -> list[Step]:
    """A CONV_2D or a FULLY_CONNECTED by runs of four weights. Raises KernelError."""
    layer = plain_layer(info, op)
    if op.name != "FULLY_CONNECTED":
        return _convolution(op, layer, 4)
    n_in = layer.members["inputs"]
    widen = Step("widen_block4_s8", Layer("widen_t", {"values": n_in}), -(-n_in // 4) * 4, "int16")
    return [widen, _fully_connected(pack_block_fully_connected(layer), "fully_connected_block4_s8")]


def sparse_vector(info: ModelInfo, op: Op) -> list[Step]:
    """A CONV_2D by fours of a row of its kernel where a row lies in one piece, else weight by weight. KernelError."""
    layer = plain_layer(info, op)
    m = layer.members
    if op.name == "CONV_2D" and m["input_channels"] == 1 and _has_nine(layer):
        return _convolution(op, layer, 4)
    return sparse_element(info, op)


def weight_first_registers(info: ModelInfo, op: Op) -> list[Step]:
    """A CONV_2D of nine positions, weight first, accumulators in registers, in plain C. Raises KernelError."""
    return _registers(info, op, "")


def weight_first_registers_skip(info: ModelInfo, op: Op) -> list[Step]:
    """The same with an `if` that skips zero weights. Raises KernelError."""
    return _registers(info, op, "skip_")


def _registers(info, op, variant):
    layer = plain_layer(info, op)
    if op.name != "CONV_2D":
        raise KernelError(f"operator {op.index} is {op.name}: needed is CONV_2D")
    panel_layer(layer)
    kernel = f"convolve_weight_first_registers_{variant}s8"
    return [Step(kernel, layer, POSITIONS * layer.members["output_channels"], "int8")]


def _fully_connected(layer, kernel):
    return Step(kernel, layer, layer.members["outputs"], "int8")


def _has_nine(layer):
    """Whether the kernels of nine positions take a CONV_2D."""
    try:
        panel_layer(layer)
    except KernelError:
        return False
    return True


def _convolution(op, layer, run):
    if op.name != "CONV_2D":
        raise KernelError(f"operator {op.index} is {op.name}: needed is CONV_2D or FULLY_CONNECTED")
    if _has_nine(layer):
        return _nine_positions(layer, run)
    packed = pack_any_convolution(layer, run)
    m = packed.members
    n_out = m["output_height"] * m["output_width"] * m["filters"]
    return [Step(f"convolve_{_name(run)}_any_s8", packed, n_out, "int8")]


def _nine_positions(layer, run):
    panel = Step("sparse_panel_s8", panel_layer(layer), 5 * PANEL_WORDS, "int32")
    if run == 1:
        packed = pack_sparse_convolution(layer)
    elif run == 4:
        packed = pack_block4_convolution(layer)
        panel = Step("panel_block4_s8", panel.layer, 36 * BLOCK4_PANEL_WORDS, "int16")
    else:
        packed = pack_block2_convolution(layer)
    return [panel, Step(f"convolve_{_name(run)}_s8", packed, POSITIONS * packed.members["filters"], "int8")]


def _name(run):
    return "sparse" if run == 1 else f"block{run}"


def panel_layer(layer: Layer) -> Layer:
    """What `sparse_panel_s8` or `panel_block4_s8` needs to write the input of a CONV_2D. Raises KernelError."""
    m = layer.members
    if m["output_height"] * m["output_width"] != POSITIONS:
        raise KernelError(f"a convolution of {m['output_height']} x {m['output_width']} positions: needed are nine")
    run = m["kernel_width"] * m["input_channels"]
    padded = m["kernel_height"] > m["input_height"] or m["pad_height"] or m["pad_width"]
    padded = padded or (POSITIONS - 1) * m["stride_width"] + m["kernel_width"] > m["input_width"]
    if padded or m["output_height"] > 1 or run % 4:
        raise KernelError("nine positions need one row of them, no padding, and a run of 4, 8, ... values")
    columns = run * m["kernel_height"]
    if columns > MOST_COLUMNS:
        raise KernelError(f"a filter of {columns} weights: nine positions take {MOST_COLUMNS}")
    sizes = {"positions": POSITIONS, "step": m["stride_width"] * m["input_channels"]}
    sizes |= {"runs": m["kernel_height"], "run": run, "row": m["input_width"] * m["input_channels"]}
    return Layer("panels_t", sizes | {"columns": columns})


def pack_sparse_convolution(layer: Layer) -> Layer:
    """Pack a CONV_2D with nine positions for `convolve_sparse_s8`. Raises KernelError."""
    return _pack_filters(layer, _pairs)


def pack_block2_convolution(layer: Layer) -> Layer:
    """Pack a CONV_2D with nine positions for `convolve_block2_s8`. Raises KernelError."""
    return _pack_filters(layer, lambda row: _runs(row, 2))


def pack_block4_convolution(layer: Layer) -> Layer:
    """Pack a CONV_2D with nine positions for `convolve_block4_s8`. Raises KernelError."""
    stages = output_stages(layer)
    weights, stream = layer.members["weights"].reshape(len(stages), -1), bytearray()
    for row, (twice_bias, multiplier, rounding, shift) in zip(weights, stages.tolist(), strict=True):
        distances, blocks = _blocks4(row, step=4)
        fours = range(0, len(distances) + 1, 4)
        content = b"".join(distances[n : n + 4].ljust(4, b"\0") + blocks[4 * n : 4 * n + 16] for n in fours)
        stage = twice_bias, multiplier, rounding, 256 * (16 + len(content)) + shift
        stream += struct.pack("<iiiI", *stage) + content
    return Layer("sparse_convolution_t", {"filters": len(weights), "stream": _frozen(stream + bytes(4))})


def _blocks4(row, step) -> tuple[bytes, bytes]:
    """Blocks of four of a row of weights: `step` times the number of blocks from the one before, and the weights."""
    blocks = np.pad(row, (0, -len(row) % 4)).reshape(-1, 4).astype(np.int8)
    places = _places(blocks, most=255 // step)
    return (step * np.diff(places)).astype(np.uint8).tobytes(), blocks[places[1:]].tobytes()


def _runs(row, run) -> bytes:
    """Bytes of a row of weights by runs: distance, first weight, distance of the next, other weights, ..., 0 0."""
    runs = np.pad(row, (0, -len(row) % run)).reshape(-1, run).astype(np.int8)
    places = _places(runs, most=255)
    distances = np.diff(places, append=places[-1]).astype(np.uint8)
    blocks = np.insert(runs[places[1:]].view(np.uint8), 1, distances[1:], axis=1)
    return distances[:1].tobytes() + blocks.tobytes() + bytes(2)


def _places(runs, most) -> list[int]:
    """-1 and the numbers of runs to store, one at least: those with weights, others where over `most` lie between."""
    kept, places = np.flatnonzero(runs.any(axis=1)), [-1]
    for place in kept if kept.size else [0]:
        places += [*range(places[-1] + most, place, most), place]
    return places


def pack_any_convolution(layer: Layer, run: int) -> Layer:
    """Pack a CONV_2D for `convolve_sparse_any_s8` (run 1), `convolve_block2_any_s8` or 4. Raises KernelError."""
    m, stages = layer.members, output_stages(layer)
    positions = m["output_height"] * m["output_width"]
    if positions < 4:
        raise KernelError(f"a sparse convolution needs four positions: there are {positions}")
    weights, stream = m["weights"].reshape(len(stages), -1).astype(np.int64), bytearray()
    for row, (twice_bias, *stage) in zip(weights, stages.tolist(), strict=True):
        bias, ends = twice_bias // 2, np.outer(_VALUES, row)
        low = bias + int(ends.min(axis=0).sum())
        if bias + int(ends.max(axis=0).sum()) - low >= 2**23:
            raise KernelError("a sparse convolution needs smaller weights: its sums have 23 bits")
        stream += struct.pack("<qiiii", bias - low + (bias << 23), 2 * low, *stage) + _runs(row, run)
        stream += bytes(-len(stream) % 8)
    names = ("input_height", "input_width", "input_channels", "kernel_height", "kernel_width", "output_height")
    sizes = {name: m[name] for name in names} | {"output_width": m["output_width"], "filters": len(weights)}
    sizes |= {name: m[name] for name in ("stride_height", "stride_width", "pad_height", "pad_width")}
    padding = np.full(m["input_channels"], -m["quantization"]["input_offset"], np.int8)
    panel = Scratch((weights.shape[1] + 3) * (16 if positions >= 8 else 8))
    return Layer("sparse_any_t", sizes | {"padding": padding, "panel": panel, "stream": _frozen(stream)})


def _pack_filters(layer, encode):
    """Filters of nine positions, with heads; `encode` gives the bytes of a row of weights."""
    members, stages = layer.members, output_stages(layer)
    weights = members["weights"].reshape(len(stages), -1).astype(np.int64)
    stream = bytearray()
    for row, (twice_bias, *stage) in zip(weights, stages.tolist(), strict=True):
        parts = _parts(row, twice_bias // 2)
        for number, (part, bias) in enumerate(parts, 1):
            start = bias + 2**20 + (bias << 22)
            ninth = _wrapped((start >> 32) + 2**10 + (bias << 11))
            stream += struct.pack("<qi", start, ninth)
            stream += struct.pack("<iii", *(stage if number == len(parts) else (0, 0, 0)))
            stream += encode(part)
            stream += bytes(-len(stream) % 8)
    return Layer("sparse_convolution_t", {"filters": len(weights), "stream": _frozen(stream)})


def _parts(row, bias):
    """A filter as `[(weights, bias), ...]`, each with accumulators below 2^20 in magnitude."""
    reached = np.cumsum(np.abs(row))
    for n_parts in range(1, _MOST_PARTS + 1):
        number = np.minimum(reached * n_parts // max(1, reached[-1]), n_parts - 1)
        parts = [np.where(number == part, row, 0) for part in range(n_parts)]
        biases = [bias * (part + 1) // n_parts - bias * part // n_parts for part in range(n_parts)]
        if all(_largest(*part) < _MOST_SUM for part in zip(parts, biases, strict=True)):
            return list(zip(parts, biases, strict=True))
    raise KernelError("a sparse convolution needs smaller biases and weights: its sums have 21 bits")


def _largest(row, bias):
    """The largest magnitude of accumulators that any input can lead to."""
    ends = np.outer(_VALUES, row)
    return max(abs(bias + int(ends.max(axis=0).sum())), abs(bias + int(ends.min(axis=0).sum())))


def _distances(row, step=1) -> bytes:
    """Bytes `step * distance, weight` for each non-zero weight; long distances in parts, over weights 0."""
    out, last, most = bytearray(), -1, 255 // step
    for column in np.flatnonzero(row).tolist():
        while column - last > most:
            last += most
            out += bytes((step * most, 0))
        out += bytes((step * (column - last), int(row[column]) & 0xFF))
        last = column
    return bytes(out)


def _pairs(row) -> bytes:
    """Bytes d[0] d[1] w[0] d[2] w[1] ... of a row of weights, an even number of them, with two more at the end."""
    pairs = _distances(row, step=4) or bytes((4, 0))
    pairs += bytes(-len(pairs) % 4 + 4)
    distances, weights = pairs[::2], pairs[1::2]
    return distances[:1] + bytes(byte for pair in zip(distances[1:], weights[:-1], strict=True) for byte in pair)


def pack_sparse_fully_connected(layer: Layer) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_sparse_s8`. Raises KernelError."""

    def encode(row):
        pairs = _distances(row) or bytes((1, 0))
        pairs += bytes(-len(pairs) % 8)
        return np.frombuffer(pairs, np.uint8).reshape(-1, 2)[:, ::-1].tobytes()

    return _pack_outputs(layer, encode)


def pack_block_fully_connected(layer: Layer) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_block4_s8`. Raises KernelError."""

    def encode(row):
        distances, blocks = _blocks4(row, step=8)
        n_groups = -(-len(distances) // 4)
        groups = [distances.ljust(4 * n_groups, b"\0"), blocks.ljust(16 * n_groups, b"\0")]
        return np.concatenate([np.frombuffer(g, np.uint8).reshape(n_groups, -1) for g in groups], axis=1).tobytes()

    return _pack_outputs(layer, encode, end=bytes(4))


def _pack_outputs(layer, encode, end=b""):
    """Outputs of a fully connected layer, with heads; `encode` gives the bytes of a row of weights, before `end`."""
    weights, stream = layer.members["weights"].astype(np.int32), bytearray()
    offset = layer.members["quantization"]["output_offset"]
    for row, (twice_bias, multiplier, rounding, shift) in zip(weights, output_stages(layer).tolist(), strict=True):
        if not multiplier:  # a constant, which is rounding / 2: made from a bias here
            twice_bias, multiplier = 8 * (rounding // 2 - offset), 2**30
        content = encode(row)
        stream += struct.pack("<Iii", 256 * len(content) + shift, twice_bias // 2, multiplier) + content + end
    sizes = {"outputs": len(weights), "output_offset": offset}
    return Layer("sparse_fully_connected_t", sizes | {"stream": _frozen(stream + bytes(20))})


def _wrapped(value):
    return (value + 2**31) % 2**32 - 2**31


def _frozen(stream):
    return np.frombuffer(bytes(stream), np.uint8)

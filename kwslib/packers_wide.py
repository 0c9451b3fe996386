"""Float32 and int16 layers packed for the kernels: streams of weights, see kernels_f32.h and kernels_s16.h."""

import numpy as np

from kwslib.kernels import KernelError, Layer, Scratch, magnitudes

COLUMNS_STEP = 16  # columns of a packed int16 convolution come in such steps
SCRATCH_BYTES = 10 * 1024  # for the panels of a packed convolution, if one is not larger
POSITIONS = 9  # of a panel of the float kernels and of the sparse ones
PACKED_INT16_POSITIONS = 3


def check_sums(weights: np.ndarray, bias: np.ndarray) -> None:
    """Refuse an int16 layer, weights [outputs, ...], whose sums could leave 32 bits.

    For every output, 2^15 times the sum of |weights| plus |bias| has to be below 2^31. Raises KernelError.
    """
    if (magnitudes(weights) * 2**15 + np.abs(bias) >= 2**31).any():
        raise KernelError("sums of this int16 layer may not fit 32 bits: the magnitudes of its weights are too large")


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
    bias, multiplier = _output_stages(plain)
    members = {name: value for name, value in plain.members.items() if name not in ("bias", "quantization", "weights")}
    weights, quantization = plain.members["weights"], plain.members["quantization"]
    check_sums(weights, bias)
    if quantization["maximum"] != 2**15 - 1:
        raise KernelError("a packed int16 layer clamps to int16 only: this activation function has another maximum")
    weights = weights.reshape(len(weights), -1)
    n_filters, columns = len(weights), -(-weights.shape[1] // COLUMNS_STEP) * COLUMNS_STEP
    heads = np.stack([bias.astype(np.int32), multiplier], axis=1)
    heads = np.pad(heads, ((0, n_filters % 2), (0, 0))).reshape(-1, 4)
    weights = np.pad(weights, ((0, n_filters % 2), (0, columns - weights.shape[1])))
    pairs = np.ascontiguousarray(weights.reshape(len(heads), 2, columns).transpose(0, 2, 1)).reshape(len(heads), -1)
    stream = np.concatenate([heads.view(np.uint8), pairs.view(np.uint8)], axis=1).ravel()
    count, scratch = _panels(members, 2 * PACKED_INT16_POSITIONS * columns, PACKED_INT16_POSITIONS, behind=8)
    minimum = int(np.full(2, quantization["minimum"], np.int16).view(np.int32)[0])
    packed = {"geometry": members, "columns": columns, "panels": count, "minimum": minimum}
    return Layer("packed_convolution_s16_t", packed | {"stream": np.pad(stream, (0, 4)), "scratch": scratch})


def pack_fully_connected_s16(plain: Layer) -> Layer:
    """Pack a FULLY_CONNECTED for `fully_connected_packed_s16`: see kernels_s16.h. Raises KernelError."""
    weights = plain.members["weights"]
    n_out, n_in = weights.shape
    weights = np.pad(weights, ((0, -n_out % 4), (0, -n_in % 8)))
    n_in = weights.shape[1]
    # The largest part whose sums fit 32 bits wherever it lies.
    eights = np.abs(weights.astype(np.int64)).reshape(len(weights), -1, 8).sum(axis=2)
    part = next(p for p in range(n_in, 0, -8) if _largest_part(eights, p // 8) < 2**16)
    stream = weights.reshape(len(weights) // 4, 2, 2, n_in // 2, 2).transpose(0, 3, 1, 4, 2)
    members = {"inputs": n_in, "outputs": n_out, "part": part}
    members |= {name: plain.members["quantization"][name] for name in ("minimum", "maximum")}
    bias, multiplier = (np.pad(values, (0, len(weights) - n_out)) for values in _output_stages(plain))
    members |= {"stream": np.pad(stream.ravel(), (0, 8)), "bias": bias, "multiplier": multiplier}
    return Layer("packed_fully_connected_s16_t", members)


def pack_sparse_convolution_f32(plain: Layer) -> Layer:
    """Pack a CONV_2D for `convolve_sparse_f32`: see kernels_f32.h."""
    geometry = dict(plain.members)
    bias, weights = geometry.pop("bias"), geometry.pop("weights")
    limits = {name: geometry.pop(name) for name in ("minimum", "maximum")}
    weights = weights.reshape(len(weights), -1)
    stream = []
    for row, start in zip(weights, bias, strict=True):
        (places,) = np.nonzero(row)
        missing = (0, max(2, len(places) + len(places) % 2) + 2 - len(places))
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
    bias, multipliers = _output_stages(plain)
    geometry = {name: value for name, value in plain.members.items() if name not in ("bias", "quantization", "weights")}
    weights, quantization = plain.members["weights"], plain.members["quantization"]
    check_sums(weights, bias)
    weights = weights.reshape(len(weights), -1)
    if weights.shape[1] * 20 >= 2**16 or quantization["maximum"] != 2**15 - 1:
        raise KernelError("a sparse int16 convolution needs fewer than 3277 columns and clamps to int16 only")
    stream = []
    for row, start, multiplier in zip(weights, bias, multipliers, strict=True):
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
    pairs = [_distances(row) for row in members["weights"].astype(int).tolist()]
    fours = np.array([len(row) // 8 for row in pairs], np.uint16)
    sparse = {"inputs": members["inputs"], "outputs": members["outputs"]}
    sparse |= {name: quantization[name] for name in ("minimum", "maximum")}
    bias, multiplier = _output_stages(plain)
    sparse |= {
        "stream": np.frombuffer(b"".join([*pairs, bytes(8)]), np.uint8),
        "fours": fours,
        "bias": bias,
        "multiplier": multiplier,
    }
    return Layer("sparse_fully_connected_s16_t", sparse)


def _largest_part(eights, n):
    """Largest sum of magnitudes in one part of `n` blocks; `eights` [outputs, blocks] are those of eight weights."""
    return max(eights[:, start : start + n].sum(axis=1).max() for start in range(0, eights.shape[1], n))


def _output_stages(plain):
    """Bias int64 and multiplier int32 of each output: the upper word of sum * multiplier, rounded, is what TFLM gives.

    TFLM: (sum * reduced + 2^(right - 1)) >> right, with a multiplier reduced to 15 bits and right = 15 - shift. An
    output without weights, which may have any scale, is a constant.
    """
    bias, quantization = plain.members["bias"].astype(np.int64), plain.members["quantization"]
    multiplier, right = quantization["multiplier"].astype(np.int64), 15 - quantization["shift"].astype(np.int64)
    reduced = np.where(multiplier < 0x7FFF0000, (multiplier + 2**15) >> 16, 0x7FFF)
    constant = ~plain.members["weights"].reshape(len(bias), -1).any(axis=1)
    if ((right < 16) | (right > 32))[~constant & (reduced > 0)].any():
        raise KernelError("a packed int16 layer needs scales between 2^-18 and 1/2 from accumulator to output")
    value = ((bias * reduced + (1 << (right - 1))) >> right).astype(np.int32)
    value = np.clip(value, quantization["minimum"], quantization["maximum"]).astype(np.int64)
    factor = np.where(constant, 2**31 - 1, reduced << (32 - np.clip(right, 16, 32)))
    return np.where(constant, 2 * value, bias), factor.astype(np.int32)


def _panels(members, n_bytes, positions, behind):
    """How many panels of `positions`, each of `n_bytes`, a packed convolution lays out at a time, and room for them."""
    needed = -(-members["output_height"] * members["output_width"] // positions)
    count = min(needed, max(1, (SCRATCH_BYTES - behind) // n_bytes))
    return count, Scratch(count * n_bytes + behind)


def _distances(weights):
    """Bytes 2 * distance and weight of the non-zero weights of a row, in fours, at least one."""
    pairs, place = bytearray(), 0
    for number, weight in enumerate(weights):
        if weight:
            while number - place > 127:
                pairs += bytes([254, 0])
                place += 127
            pairs += bytes([2 * (number - place), weight & 255])
            place = number
    return bytes(pairs) + bytes(-len(pairs) % 8 or (0 if pairs else 8))


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


PACK_SPARSE = {
    "convolution_f32_t": pack_sparse_convolution_f32,
    "fully_connected_f32_t": pack_sparse_fully_connected_f32,
    "convolution_s16_t": pack_sparse_convolution_s16,
    "fully_connected_s16_t": pack_sparse_fully_connected_s16,
}

PACK = {
    "convolution_f32_t": pack_convolution_f32,
    "fully_connected_f32_t": pack_fully_connected_f32,
    "convolution_s16_t": pack_convolution_s16,
    "fully_connected_s16_t": pack_fully_connected_s16,
}

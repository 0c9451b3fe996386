"""Which weights form a group, and which groups a pruning mask keeps.

Weights are set to zero in groups; the groups with the smallest mean magnitude go. A convolution's kernel is
[kh, kw, cin, cout], a depthwise one's [kh, kw, c, 1]; a dense layer [in, out] counts as a 1x1 convolution.

- "element": every weight on its own.
- "vector": a kernel row, the kw weights at [i, :, cin, cout], as in Wang & Li 2022. Where kw is 1 and kh is not
  (convolution over time), the kh weights at [:, 0, cin, cout]. 1x1 kernels have no rows: single weights.
- "kernel": a two-dimensional kernel [:, :, cin, cout]. 1x1 kernels: single weights.
- "block2", "block4": 2 or 4 weights of one output channel in a row, in the order (kh, kw, cin) in which they lie in
  a .tflite file, as one SMLAD or one word load takes them: along cin, or along kw where cin is 1. What is left at
  the end of an output channel is a group of its own.
- "2:4": the two smallest of every such run of 4; what is left at the end of an output channel stays dense.
- "filter": an output channel [:, :, :, cout] or dense unit [:, out], with its bias and with gamma and beta of the batch
  normalisation behind it, so that it is exactly 0 from there on; a depthwise convolution follows its input. Layers
  that meet in an Add share one mask, by the mean of their scores; if one of them is left dense, all are. What makes
  the network's outputs is never pruned.

Depthwise kernels, which TF-MOT leaves out without a word, are pruned for element, vector and kernel. They stay dense
for blocks and 2:4: their channels lie interleaved in the file, so that no run there belongs to one channel.
"""

from dataclasses import dataclass

import numpy as np

GRANULARITIES = ("element", "vector", "kernel", "block2", "block4", "2:4", "filter")
_RUNS = {"block2": 2, "block4": 4, "2:4": 4}


@dataclass(frozen=True)
class Part:
    """A weight variable of the layer `layer`, and the group number of each of its weights (int, the same shape)."""

    layer: str
    weight: object
    groups: np.ndarray


@dataclass(frozen=True)
class Unit:
    """Weights that share one mask over their groups: `kernels` are scored, `followers` only masked."""

    kernels: tuple[Part, ...]
    followers: tuple[Part, ...] = ()

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that is masked."""
        return self.kernels + self.followers


def group_numbers(shape, granularity: str) -> np.ndarray:
    """Number of the group, from 0, that each weight of a kernel belongs to: int [kh, kw, cin, cout] or [in, out].

    The groups of "2:4" are the runs of 4 inside which weights compete.
    """
    four = (1, 1, *shape) if len(shape) == 2 else tuple(shape)
    rows, columns, inputs, outputs = four
    if granularity == "element":
        numbers = np.arange(np.prod(four)).reshape(four)
    elif granularity == "vector":
        along = (rows, 1, inputs, outputs) if columns > 1 else (1, 1, inputs, outputs)
        numbers = np.arange(np.prod(along)).reshape(along)
    elif granularity == "kernel":
        numbers = np.arange(inputs * outputs).reshape(inputs, outputs)
    elif granularity == "filter":
        numbers = np.arange(outputs)
    else:
        run, length = _RUNS[granularity], rows * columns * inputs
        runs = np.arange(length) // run
        numbers = (runs[:, None] + np.arange(outputs) * (runs[-1] + 1)).reshape(four)
    return np.broadcast_to(numbers, four).reshape(shape)


def new_masks(units, sparsity, granularity: str, norm: str, round_to: int = 1) -> list:
    """Masks (0 or 1, the weight's shape and dtype) that bring the units together to `sparsity`, in the order of parts.

    Groups are ranked over all units by score ("l1": mean magnitude, "l2": root mean square; equal ones in the order
    of the units and of their group numbers), and kept from the top up to `1 - sparsity` of all weights, or as near as
    whole groups come. They are taken `round_to` at a time, the best of a unit first; every unit keeps its first lot.
    Doing it again with the weights masked, all or some of them, gives the same masks.
    "2:4" knows only its own sparsity. Works in eager and in graph mode, where `sparsity` is a tensor.
    """
    import tensorflow as tf

    if granularity == "2:4":
        return [_two_of_four(part) for unit in units for part in unit.parts]
    lots, scores, sizes, orders, largest = [], [], [], [], 0
    for unit in units:
        score, size = _scored(unit, norm)
        ranked, order = tf.math.top_k(score, len(size))
        lot = np.arange(len(size)) // round_to
        mean = tf.math.segment_mean(ranked, lot)
        scores.append(tf.concat([[np.inf], mean[1:]], 0))
        sizes.append(tf.math.segment_sum(tf.gather(size, order), lot))
        lots.append(lot)
        orders.append(order)
        largest = max(largest, np.sort(size)[-round_to:].sum())
    total = float(sum(part.groups.size for unit in units for part in unit.kernels))
    wanted = tf.where(sparsity > 0, (1 - sparsity) * total, np.inf)
    scores, sizes = tf.concat(scores, 0), tf.concat(sizes, 0)
    order = tf.math.top_k(scores, len(scores)).indices
    # Half of the largest lot, not of each: else what is kept would depend on the sizes of those that are not
    kept = tf.cumsum(tf.gather(sizes, order), exclusive=True) + largest / 2 < wanted
    kept = tf.scatter_nd(order[:, None], tf.cast(kept, tf.float32), [len(scores)])
    kept = tf.where(scores == np.inf, 1.0, kept)
    masks, start = [], 0
    for unit, lot, order in zip(units, lots, orders, strict=True):
        groups = tf.scatter_nd(order[:, None], tf.gather(kept, start + lot), [len(lot)])
        start += lot[-1] + 1
        masks += [tf.cast(tf.gather(groups, part.groups), part.weight.dtype) for part in unit.parts]
    return masks


def _scored(unit, norm):
    """Score and number of weights of each group of a unit, float32 [groups]."""
    import tensorflow as tf

    scores, counts = [], []
    for part in unit.kernels:
        numbers = part.groups.ravel()
        count = np.bincount(numbers).astype(np.float32)
        values = tf.reshape(tf.cast(part.weight, tf.float32), [-1])
        total = tf.math.unsorted_segment_sum(abs(values) if norm == "l1" else values**2, numbers, len(count))
        scores.append(total / count if norm == "l1" else tf.sqrt(total / count))
        counts.append(count)
    return tf.add_n(scores) / len(scores), np.sum(counts, axis=0)


def _two_of_four(part):
    """The mask with two of every four weights, ragged ends dense."""
    import tensorflow as tf

    length, outputs = part.groups.size // part.groups.shape[-1], part.groups.shape[-1]
    whole = length - length % 4
    channels = tf.transpose(tf.reshape(part.weight, [length, outputs]))
    runs = tf.reshape(abs(channels[:, :whole]), [-1, 4])
    best = tf.reduce_sum(tf.one_hot(tf.math.top_k(runs, 2).indices, 4, dtype=part.weight.dtype), 1)
    mask = tf.concat([tf.reshape(best, [outputs, whole]), tf.ones([outputs, length - whole], best.dtype)], 1)
    return tf.reshape(tf.transpose(mask), part.weight.shape)

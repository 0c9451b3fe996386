"""Prune networks at every granularity of `masks`, on TF-MOT's wrapper, schedule, callback and strip.

`prune`, train, `strip`, `check_sparsity`; what "filter" leaves dead, `removal.remove_filters` takes out.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kwslib import removal
from kwslib.config import Settings, check
from kwslib.masks import GRANULARITIES, Part, Unit, group_numbers, new_masks

_FEWEST_UPDATES = 4  # mask updates on the ramp, where there are so many steps


class PruneError(ValueError):
    """A network cannot be pruned as asked, or lost its zeros; the message names the layer and the remedy."""


@dataclass(frozen=True)
class PruneConfig(Settings):
    """Which groups of weights are set to zero, how many, and how fast while training.

    2:4 is the same for every `norm` and `scope`. "filter" rounds to the nearest multiple of `round_to`.
    """

    granularity: str = "element"
    sparsity: float = 0.8  # share of the groups set to zero; global scope: share of the weights
    norm: str = "l1"  # a group's score: mean magnitude, or "l2", root mean square
    scope: str = "layer"  # so many groups of each layer, or "global": of all pruned layers together
    skip: tuple[str, ...] = ("logits",)  # layers left dense, by name
    round_to: int = 4  # "filter": channels kept are a multiple of it, at least one, where a layer has more
    ramp_end: float = 0.5  # share of the training steps after which the sparsity is reached; the rest recovers
    update_steps: int = 10  # training steps between two updates of the masks; fewer in a short ramp

    def __post_init__(self):
        self._fix_types()
        check(self, "granularity", ", ".join(map(repr, GRANULARITIES)), choices=GRANULARITIES)
        if self.granularity == "2:4":
            check(self, "sparsity", "0.5 for granularity '2:4'", choices=(0.5,))
        check(self, "sparsity", "0 to 0.99", low=0, high=0.99)
        check(self, "norm", "'l1' or 'l2'", choices=("l1", "l2"))
        check(self, "scope", "'layer' or 'global'", choices=("layer", "global"))
        check(self, "round_to", "1 to 256", low=1, high=256)
        check(self, "ramp_end", "0 to 1", low=0, high=1)
        check(self, "update_steps", "1 to 100000", low=1, high=100000)

    @property
    def label(self) -> str:
        """Name in tables and files, such as "element-80", "element-80-global", "2:4" or "filter-50"."""
        if self.granularity == "2:4":
            return self.granularity
        return f"{self.granularity}-{100 * self.sparsity:g}" + "-global" * (self.scope == "global")


def prune(network, config: PruneConfig, steps: int):
    """A copy of the network, wrapped by TF-MOT, whose masks reach the sparsity within `steps` steps of training.

    Compile it, and train it with `tfmot.sparsity.keras.UpdatePruningStep()` among the callbacks for `steps` steps or
    more; sparsity rises as a cubic polynomial (Zhu & Gupta 2017) up to `config.ramp_end`, then the masks stay.
    `strip` gives the plain network. `network` is not changed.
    Raises PruneError for layers that cannot be pruned, names in `config.skip` that do not exist, and no layer left.
    """
    import tensorflow as tf
    import tf_keras

    if not (isinstance(steps, int) and steps >= 1):
        raise PruneError(f"steps = {steps!r}: allowed is a whole number from 1")
    copy = _copied(network)
    schedule, wrapper, wrapped = _schedule(config, steps), _wrapper(), {}
    for pool in _pools(copy, config):
        masks_of = tf.function(functools.partial(_masks, pool, config))  # traced once for all its layers
        for number, part in enumerate(_parts(pool)):
            wrapped.setdefault(part.layer, []).append((part.weight, masks_of, number))

    def wrap(layer):
        if layer.name not in wrapped:
            return layer
        weights = [weight for weight, _, _ in wrapped[layer.name]]
        layer.get_prunable_weights = lambda: weights  # where TF-MOT asks; its own list is for kernels only
        return wrapper(layer, schedule, {weight.ref(): found for weight, *found in wrapped[layer.name]})

    return tf_keras.models.clone_model(copy, clone_function=wrap)


def strip(wrapped):
    """The plain network behind `prune`: a copy with masks burnt in, zeros exact, whatever the last step did.

    Nothing holds the zeros any more: training it further fills them (`check_sparsity` tells).
    """
    import tensorflow_model_optimization as tfmot

    for layer in wrapped.layers:
        if isinstance(layer, _wrapper()):
            layer.pruning_obj.weight_mask_op()
    return _copied(tfmot.sparsity.keras.strip_pruning(wrapped))  # its own layers are still those of `wrapped`


def prune_once(network, config: PruneConfig, only: str | None = None):
    """A copy of the network, pruned at once to the full sparsity, without training.

    `only` names a layer to prune alone ("filter": with those that share its mask), for a sensitivity analysis.
    Raises PruneError as `prune` does, and if `only` is no layer that the settings prune.
    """
    copy = _copied(network)
    pools = _pools(copy, config)
    if only is not None:
        units = [unit for pool in pools for unit in pool]
        pools = [[unit] for unit in units if only in [part.layer for part in unit.kernels]]
        if not pools:
            names = ", ".join(part.layer for unit in units for part in unit.kernels)
            raise PruneError(f"only = {only!r}: pruned with these settings are {names}")
    for pool in pools:
        for part, mask in zip(_parts(pool), _masks(pool, config, config.sparsity), strict=True):
            part.weight.assign(part.weight * mask)
    return copy


def check_sparsity(network, config: PruneConfig) -> None:
    """Raise PruneError, naming the first layer in which fewer groups are zero than the settings ask for."""
    for pool in _pools(network, config):
        sizes = [sum(np.bincount(part.groups.ravel()) for part in unit.kernels) for unit in pool]
        sizes = np.concatenate(sizes)
        # Which groups reach the sparsity depends on the order of those that are kept if sizes differ
        spare = sizes.max() if (sizes != sizes[0]).any() else 0
        # The mask takes the smallest groups: if enough of them are zero, it takes only zeros
        for part, mask in zip(_parts(pool), _masks(pool, config, config.sparsity), strict=True):
            dropped = mask.numpy() == 0
            filled = np.count_nonzero(part.weight.numpy()[dropped])
            if filled > spare:
                raise PruneError(
                    f"layer {part.layer!r} lost its mask: {filled} of {dropped.sum()} weights that {config.label} "
                    "sets to zero are not; was it trained after strip, or restored from an epoch before the ramp's end?"
                )


def layer_sparsity(network) -> pd.DataFrame:
    """One row a convolution, depthwise convolution or dense layer: layer, shape, weights, zeros, sparsity (kernel)."""
    rows = []
    for layer in network.layers:
        if (kernel := _kernel(layer)) is not None:
            zeros = int(np.count_nonzero(kernel.numpy() == 0))
            row = {"layer": layer.name, "shape": tuple(kernel.shape), "weights": int(np.prod(kernel.shape))}
            rows.append(row | {"zeros": zeros, "sparsity": zeros / row["weights"]})
    return pd.DataFrame(rows, columns=["layer", "shape", "weights", "zeros", "sparsity"])


def nonzero_macs(network) -> int:
    """Multiply-accumulates of one inference that meet a weight other than zero (`models.count` counts all)."""
    macs = 0
    for layer in network.layers:
        if (kernel := _kernel(layer)) is not None:
            positions = 1 if len(kernel.shape) == 2 else int(np.prod(layer.output_shape[1:3]))
            macs += positions * int(np.count_nonzero(kernel.numpy()))
    return macs


def _copied(network):
    import tf_keras

    copy = tf_keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    return copy


def _kernel(layer):
    """The kernel of a convolution or dense layer as a variable, None for other layers."""
    kind = type(layer).__name__
    return layer.depthwise_kernel if kind == "DepthwiseConv2D" else layer.kernel if kind in removal.MAKERS else None


def _schedule(config, steps):
    """The stock schedule, whose last update falls on its last step: TF-MOT counts the steps from 1."""
    import tensorflow_model_optimization as tfmot

    last = max(1, round(config.ramp_end * steps))
    frequency = max(1, min(config.update_steps, last // _FEWEST_UPDATES))
    last -= last % frequency
    return tfmot.sparsity.keras.PolynomialDecay(0.0, config.sparsity, 0, last, power=3, frequency=frequency)


@functools.cache
def _wrapper():
    """The wrapper class; made on demand because importing TF-MOT takes seconds."""
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_wrapper

    class GroupPruning(pruning_impl.Pruning):
        def _maybe_update_block_mask(self, weights):
            sparsity = self._pruning_schedule(self._step_fn())[1]
            # No threshold: scores of different tensors have one in common. TF-MOT only logs it.
            masks_of, number = self.masks[weights.ref()]
            return 0.0, masks_of(sparsity)[number]

    class PruneGroups(pruning_wrapper.PruneLowMagnitude):
        def __init__(self, layer, schedule, masks):
            super().__init__(layer, pruning_schedule=schedule)
            self._masks = lambda: masks  # hidden from Keras, which would count what it finds as the layer's own

        def build(self, input_shape):
            super().build(input_shape)
            step = self.pruning_step
            self.pruning_obj = GroupPruning(lambda: step, self.pruning_vars, self.pruning_schedule, (1, 1), "AVG")
            self.pruning_obj.masks = self._masks()

    return PruneGroups


def _parts(pool) -> list[Part]:
    return [part for unit in pool for part in unit.parts]


def _masks(pool, config, sparsity):
    round_to = config.round_to if config.granularity == "filter" else 1
    return new_masks(pool, sparsity, config.granularity, config.norm, round_to)


def _pools(network, config) -> list[list[Unit]]:
    """What is pruned: units that share one threshold, in the order of the layers."""
    try:
        channels = removal.trace(network)
    except removal.RemovalError as error:
        raise PruneError(f"cannot prune: {error}") from None
    unknown = set(config.skip) - set(channels) - set(PruneConfig.skip)
    if unknown:
        raise PruneError(f"skip names {min(unknown)!r}: the network has {', '.join(channels)}")
    layers = {layer.name: layer for layer in network.layers}
    if config.granularity == "filter":
        units = _filter_units(layers, channels, config.skip)
    else:
        kernels = {name: _kernel(layer) for name, layer in layers.items() if name not in config.skip}
        dense = ("DepthwiseConv2D",) if config.granularity in ("block2", "block4", "2:4") else ()
        units = [
            Unit((Part(name, kernel, group_numbers(kernel.shape, config.granularity)),))
            for name, kernel in kernels.items()
            if kernel is not None and type(layers[name]).__name__ not in dense
        ]
    if not units:
        raise PruneError(f"{config.label}: no layer is left to prune; skip is {', '.join(config.skip) or 'empty'}")
    return [units] if config.scope == "global" else [[unit] for unit in units]


def _filter_units(layers, channels, skip) -> list[Unit]:
    """A unit for each set of channels that can go, with everything that works on these channels alone."""
    units = []
    for root in dict.fromkeys(found.root for found in channels.values() if not found.fixed):
        members = {name: found.index for name, found in channels.items() if found.root == root}
        kernels, followers = [], []
        for name, index in members.items():
            layer = layers[name]
            if (kernel := _kernel(layer)) is not None:
                maker = type(layer).__name__ in removal.MAKERS
                groups = np.broadcast_to(index if maker else index[:, None], kernel.shape)
                (kernels if maker else followers).append(Part(name, kernel, groups))
            vectors = [getattr(layer, kind, None) for kind in ("bias", "gamma", "beta")]
            followers += [Part(name, vector, index) for vector in vectors if vector is not None]
        if not set(skip) & set(members):
            units.append(Unit(tuple(kernels), tuple(followers)))
    return units

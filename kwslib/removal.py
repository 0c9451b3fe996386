"""Remove dead channels: a network whose filters were pruned becomes a smaller dense one with the same outputs.

A channel is made by a convolution or a dense layer, and runs unmixed through batch normalisation, depthwise
convolution, activation, dropout, pooling, flattening and addition up to the next convolution or dense layer.
Channels that meet in an Add are one channel: it goes from all branches or from none.
"""

from dataclasses import dataclass

import numpy as np

MAKERS = ("Conv2D", "Dense")  # layers that make channels
_TYPES = (*MAKERS, "InputLayer", "DepthwiseConv2D", "BatchNormalization", "ReLU", "Softmax", "Dropout", "Add")
_TYPES += ("AveragePooling2D", "Flatten", "Reshape")


class RemovalError(ValueError):
    """Channels of a network cannot be followed; the message names the layer and what is allowed."""


@dataclass(frozen=True)
class Channels:
    """The channels along the last axis of a layer's output.

    `root` names the layer that stands for all that make these channels, `index` (int [last axis]) holds the number
    of the channel at every place: 0, 1, 2, ... but behind Flatten, where every channel comes once a position.
    `fixed` channels cannot go: the network's inputs and outputs, and those that a layer mixes or lifts off zero.
    """

    inputs: tuple[str, ...]
    root: str
    index: np.ndarray
    fixed: bool


def trace(network) -> dict[str, Channels]:
    """Follow the channels of a tf_keras model: layer name to `Channels`, in the order of execution.

    Raises RemovalError for layer types it does not know, shared layers, grouped convolutions, depthwise
    convolutions with a multiplier, and an Add of tensors whose channels lie in different order.
    """
    import tf_keras

    network = tf_keras.Model(network.inputs, network.outputs, name=network.name)  # of a Sequential model too
    layers = {layer.name: layer for layer in network.layers}
    inputs, outputs = _wiring(network)
    above = {name: name for name in inputs}  # a forest: every root is its own parent
    index, fixed = {}, set(outputs)

    def root(name):
        return name if above[name] == name else root(above[name])

    for name, before in inputs.items():
        layer, kind = layers[name], _kind(layers[name])
        if kind in (*MAKERS, "InputLayer"):
            index[name] = np.arange(_shape(layer)[-1])
        elif kind in ("Flatten", "Reshape"):
            rows = _reshaped(index[before[0]], layers[before[0]], layer)
            if (rows == rows[0]).all():
                index[name], above[name] = rows[0], before[0]
            else:  # a place of the last axis holds several channels
                index[name] = np.arange(_shape(layer)[-1])
                fixed |= {name, before[0]}
        else:
            if any(not np.array_equal(index[other], index[before[0]]) for other in before):
                raise RemovalError(f"layer {name!r} adds tensors whose channels lie in different order")
            index[name] = index[before[0]]
            for other in (name, *before[1:]):
                above[root(other)] = root(before[0])
        if kind in ("InputLayer", "Softmax") or not _keeps_zero(layer):
            fixed.add(name)
    roots = {root(name) for name in fixed}
    return {name: Channels(before, root(name), index[name], root(name) in roots) for name, before in inputs.items()}


def remove_filters(network, round_to: int = 4):
    """A smaller network without the channels that are exactly 0 wherever they are used; same outputs, same names.

    A channel goes if its weights in the kernel and its bias are all 0, or if gamma and beta of the batch
    normalisation behind it are 0. With it go the filter or unit, its bias and batch normalisation, its depthwise
    kernel, and the weights of the next convolution or dense layer that it met. A channel whose kernel is 0 but whose
    bias or beta is not carries a constant and stays. Where branches meet in an Add, a channel stays that is alive in
    any of them.

    Each layer keeps a multiple of `round_to` channels: dead ones stay to fill up, as far as it had that many, and a
    layer that is wholly dead keeps `round_to`.
    Returns a functional tf_keras model of plain layers with weights of its own; `network` is not changed.
    Raises RemovalError for a wrong `round_to` and where `trace` does.
    """
    import tf_keras

    if not (isinstance(round_to, int) and round_to >= 1):
        raise RemovalError(f"round_to = {round_to!r}: allowed is a whole number from 1")
    network = tf_keras.Model(network.inputs, network.outputs, name=network.name)  # of a Sequential model too
    channels = trace(network)
    kept = _kept(network, channels, round_to)
    made, weights = {}, {}

    def smaller(layer):
        name, kind = layer.name, _kind(layer)
        entering, own = kept[channels[name].inputs[0]], kept[name]
        settings, values = layer.get_config(), layer.get_weights()
        if kind in MAKERS:
            settings["filters" if kind == "Conv2D" else "units"] = int(own.sum())
            values = [values[0][..., entering, :][..., own], *(bias[own] for bias in values[1:])]
        elif kind == "DepthwiseConv2D":
            values = [values[0][:, :, own], *(bias[own] for bias in values[1:])]
        elif kind == "BatchNormalization":
            values = [value[own] for value in values]
        elif kind == "Reshape":
            settings["target_shape"] = (*_shape(layer)[:-1], int(own.sum()))
        made[name], weights[name] = type(layer).from_config(settings), values
        return made[name]

    small = tf_keras.models.clone_model(network, clone_function=smaller)
    for name, layer in made.items():
        layer.set_weights(weights[name])
    return small


def _kept(network, channels, round_to) -> dict[str, np.ndarray]:
    """Which places of the last axis of every layer's output stay: bool [last axis]."""
    layers, zero = {layer.name: layer for layer in network.layers}, {}
    needed = {name: np.full(len(found.index), found.fixed) for name, found in channels.items() if name == found.root}
    for name, found in channels.items():
        dead = _zero(layers[name], [(layers[other], zero[other]) for other in found.inputs])
        zero[name] = dead & (not found.fixed)  # fixed channels may be lifted off zero
        if _kind(layers[name]) in MAKERS:
            source = channels[found.inputs[0]]
            np.logical_or.at(needed[source.root], source.index, ~zero[found.inputs[0]])
    for alive in needed.values():
        spare = min(len(alive), max(1, -(-alive.sum() // round_to)) * round_to) - alive.sum()
        alive[np.flatnonzero(~alive)[:spare]] = True
    return {name: needed[found.root][found.index] for name, found in channels.items()}


def _zero(layer, inputs) -> np.ndarray:
    """Which places of the last axis of a layer's output are 0 whatever the network is fed: bool [last axis].

    `inputs` holds (layer, the same of its output). Activations are taken to keep 0.
    """
    kind = _kind(layer)
    if kind == "InputLayer":
        return np.zeros(_shape(layer)[-1], bool)
    (before, dead), *others = inputs
    if kind in MAKERS:
        kernel, *bias = layer.get_weights()
        kernel = kernel[..., ~dead, :]
        return np.logical_and.reduce([~kernel.any(axis=tuple(range(kernel.ndim - 1))), *(value == 0 for value in bias)])
    if kind == "DepthwiseConv2D":
        kernel, *bias = layer.get_weights()
        return np.logical_and.reduce([dead | ~kernel.any(axis=(0, 1, 3)), *(value == 0 for value in bias)])
    if kind == "BatchNormalization":
        scaled_away = layer.gamma.numpy() == 0 if layer.scale else np.zeros(len(dead), bool)
        return scaled_away & (layer.beta.numpy() == 0 if layer.center else True)
    if kind in ("Flatten", "Reshape"):
        return _reshaped(dead, before, layer).all(axis=0)
    return np.logical_and.reduce([dead, *(other for _, other in others)])


def _wiring(network) -> tuple[dict[str, tuple[str, ...]], set[str]]:
    """Names of the layers that feed each layer, in the order of execution, and of the layers that feed the outputs."""
    # Keras' own description of the graph: a layer's `input` fails once it also serves in a second model
    graph = network.get_config()
    inputs = {}
    for layer in graph["layers"]:
        nodes = layer["inbound_nodes"]
        if len(nodes) > 1:
            raise RemovalError(f"layer {layer['name']!r} is used {len(nodes)} times: each layer may serve once")
        inputs[layer["name"]] = tuple(node[0] for node in nodes[0]) if nodes else ()
    return inputs, {output[0] for output in graph["output_layers"]}


def _kind(layer) -> str:
    """The layer's type, by name; raises RemovalError for a layer whose channels cannot be followed."""
    from tf_keras import layers

    kind = type(layer).__name__
    if kind not in _TYPES or type(layer) is not getattr(layers, kind):
        raise RemovalError(f"layer {layer.name!r} is a {kind}: channels can be followed through {', '.join(_TYPES)}")
    if getattr(layer, "groups", 1) != 1 or getattr(layer, "depth_multiplier", 1) != 1:
        raise RemovalError(f"layer {layer.name!r}: allowed is a convolution with groups and depth_multiplier 1")
    return kind


def _shape(layer) -> tuple[int, ...]:
    """Shape of a layer's output without the batch."""
    shape = layer.output_shape
    return tuple(shape[0][1:] if isinstance(shape, list) else shape[1:])


def _reshaped(values, before, layer) -> np.ndarray:
    """Values [channels] of `before` as they lie in the output of a reshaping layer: [positions, last axis]."""
    return np.broadcast_to(values, _shape(before)).reshape(-1, _shape(layer)[-1])


def _keeps_zero(layer) -> bool:
    """Whether 0 stays 0 in the layer's activation (not so in a sigmoid)."""
    activation = layer if type(layer).__name__ == "ReLU" else getattr(layer, "activation", None)
    return activation is None or not np.any(activation(np.zeros((1, 2), np.float32)))

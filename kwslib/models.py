"""Networks in tf-keras: input [frames, bands, 1], output class probabilities, only operators that TFLM has.

Builders take `(shape, classes, ...)`; `build` finds one by name, or in the text of a file with a network of one's own.
Convolutions with batch normalisation have no bias.
"""

import functools

import numpy as np

from kwslib import removal
from kwslib.config import ConfigError

# Widths of TC-ResNet8 (Choi et al. 2019), scaled by `width` and rounded to the SIMD group of four channels.
_TC_CHANNELS = (16, 24, 32, 48)


def paper_cnn(shape, classes: int):
    """Wang & Li 2022, "cnn-one-fstride4": one convolution over all 30 columns, then three dense layers.

    For shape (30, 40, 1) and 6 classes: 119,936 parameters, 476,576 multiply-accumulates.
    """
    import tf_keras
    from tf_keras import layers

    inputs = layers.Input(shape, name="features")
    x = layers.Conv2D(186, (shape[0], 8), strides=(1, 4), activation="relu", name="conv")(inputs)  # [1, 9, 186]
    x = layers.Flatten(name="flatten")(x)
    for number, units in enumerate((32, 128, 128), 1):
        x = layers.Dense(units, activation="relu", name=f"dense{number}")(x)
    return tf_keras.Model(inputs, _head(x, classes), name="paper_cnn")


def ds_cnn(shape, classes: int):
    """DS-CNN of MLPerf Tiny (after Zhang et al. 2017): one convolution, four depthwise-separable ones, 64 channels.

    For shape (49, 10, 1) and 12 classes: 2,656,768 multiply-accumulates.
    """
    import tf_keras
    from tf_keras import layers

    inputs = layers.Input(shape, name="features")
    x = _normalised(layers.Conv2D(64, (10, 4), strides=2, padding="same", use_bias=False, name="conv"), inputs)
    x = layers.Dropout(0.2, name="drop1")(x)
    for number in range(1, 5):
        x = _normalised(layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"depthwise{number}"), x)
        x = _normalised(layers.Conv2D(64, 1, use_bias=False, name=f"pointwise{number}"), x)
    x = layers.Dropout(0.4, name="drop2")(x)
    return tf_keras.Model(inputs, _head(_pooled(x), classes), name="ds_cnn")


def tc_resnet(shape, classes: int, width: float = 2.0, kernel: int = 7):
    """Temporal convolution network after TC-ResNet8 (Choi et al. 2019): bands are channels, convolution over time only.

    A weight vector lies along the channels, the layout that SIMD dot products want. Three residual blocks halve the
    columns; channels are 16, 24, 32, 48 times `width`, rounded to multiples of 4. `kernel` is in columns (the
    original's 9 columns of 10 ms are far shorter than 7 of 32 ms).
    """
    import tf_keras
    from tf_keras import layers

    first, *rest = (max(4, 4 * round(channels * width / 4)) for channels in _TC_CHANNELS)
    inputs = layers.Input(shape, name="features")
    x = layers.Reshape((shape[0], 1, shape[1]), name="bands_to_channels")(inputs)
    x = _normalised(layers.Conv2D(first, (3, 1), padding="same", use_bias=False, name="conv"), x)
    for number, channels in enumerate(rest, 1):
        options = {"padding": "same", "use_bias": False}
        y = _normalised(layers.Conv2D(channels, (kernel, 1), strides=2, name=f"block{number}_conv1", **options), x)
        y = _normalised(layers.Conv2D(channels, (kernel, 1), name=f"block{number}_conv2", **options), y, relu=False)
        x = _normalised(layers.Conv2D(channels, 1, strides=2, name=f"block{number}_skip", **options), x)
        x = layers.ReLU(name=f"block{number}_relu")(layers.Add(name=f"block{number}_add")([x, y]))
    x = layers.Dropout(0.3, name="drop")(_pooled(x))
    return tf_keras.Model(inputs, _head(x, classes), name="tc_resnet")


BUILDERS = {builder.__name__: builder for builder in (paper_cnn, ds_cnn, tc_resnet)}


def build(name: str, shape, classes: int, source: str | None = None, **options):
    """Build a network by its name in `BUILDERS`, or with the function `name` of the Python text `source`.

    Raises ValueError for an unknown name or a wrong shape, ConfigError (a ValueError) for a network of one's own that
    cannot be built or used.
    """
    if source is None and name not in BUILDERS:
        raise ValueError(f"model {name!r}: allowed is {', '.join(BUILDERS)}")
    if len(shape) != 3 or min(shape) < 1 or shape[2] != 1:
        raise ValueError(f"shape {shape!r}: needed is (frames, bands, 1)")
    if source is None:
        return BUILDERS[name](tuple(shape), classes, **options)
    import tf_keras

    tf_keras.backend.reset_uids()  # layers without a name get the same one each time
    try:
        network = _own_builder(name, source)(tuple(shape), classes, **options)
    except Exception as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"model {name!r}: its function failed with {type(error).__name__}: {said}") from error
    _check_own(network, name, tuple(shape), classes)
    return network


@functools.cache
def _own_builder(name: str, source: str):
    space = {"__name__": name}
    exec(compile(source, f"<{name}>", "exec"), space)
    return space[name]


def _check_own(network, name: str, shape, classes: int) -> None:
    """Refuse a network that training, pruning, conversion or removal of filters could not handle later."""
    import tf_keras

    if not isinstance(network, tf_keras.Model):
        raise ConfigError(f"model {name!r}: a tf_keras.Model is needed, not {type(network).__name__}; import tf_keras")
    ends = network.input_shape, network.output_shape
    if ends != ((None, *shape), (None, classes)):
        raise ConfigError(f"model {name!r}: maps {ends[0]} to {ends[1]}, needed is (None, *shape) to (None, classes)")
    if network.layers[-1].__class__.__name__ != "Softmax" or "logits" not in [layer.name for layer in network.layers]:
        raise ConfigError(f"model {name!r}: must end in Dense(classes, name='logits') and Softmax(), two layers")
    try:
        removal.trace(network)
    except removal.RemovalError as error:
        raise ConfigError(f"model {name!r}: {error}") from None


def count(network) -> dict[str, int]:
    """Parameters and multiply-accumulates of one inference, counted from the Keras graph.

    Batch normalisation counts as the one bias per channel that it leaves once it is folded into the layer before it,
    which may have that bias already. A multiply-accumulate is one weight applied at one output position, padding
    included.
    """
    from tf_keras import layers

    params = macs = 0
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            before = layer.inbound_nodes[0].inbound_layers
            params += 0 if getattr(before, "use_bias", False) else layer.moving_mean.shape[0]
            continue
        weights = [int(np.prod(weight.shape)) for weight in layer.weights]
        params += sum(weights)
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            macs += weights[0] * int(np.prod(layer.output_shape[1:3]))
        elif isinstance(layer, layers.Dense):
            macs += weights[0]
    return {"params": params, "macs": macs}


def _normalised(layer, x, relu: bool = True):
    """A convolution, its batch normalisation and, by default, a ReLU, named after the convolution."""
    from tf_keras import layers

    # 0.95 instead of Keras' 0.99: an epoch has only about 100 steps, and the statistics must settle
    x = layers.BatchNormalization(momentum=0.95, name=f"{layer.name}_bn")(layer(x))
    return layers.ReLU(name=f"{layer.name}_relu")(x) if relu else x


def _pooled(x):
    """Average over all positions, as a pooling layer that TFLM and CMSIS-NN have: [n, channels]."""
    from tf_keras import layers

    return layers.Flatten(name="flatten")(layers.AveragePooling2D(x.shape[1:3], name="pool")(x))


def _head(x, classes):
    from tf_keras import layers

    return layers.Softmax(name="probabilities")(layers.Dense(classes, name="logits")(x))

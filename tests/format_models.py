"""A small network with one weight tensor large enough for every format, pruned or not, converted once in a test run."""

import functools

import numpy as np
from small_models import SHAPE, random_features

from kwslib import quantize


def wide_cnn(sparsity=0.0):
    """640, 144, 512 (convolutions), 4096 and 192 (dense) weights, of which the smallest are zero."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(2)
    random = {"bias_initializer": "random_normal", "activation": "relu"}  # the converter drops a bias of zeros
    start = layers.Input(SHAPE)
    x = layers.Conv2D(16, (10, 4), strides=4, padding="same", kernel_initializer="he_normal", **random)(start)
    x = layers.DepthwiseConv2D(3, padding="same", depthwise_initializer="he_normal", **random)(x)
    x = layers.Conv2D(32, 1, kernel_initializer="he_normal", **random)(x)
    x = layers.Flatten()(layers.AveragePooling2D((4, 5))(x))
    x = layers.Dense(32, kernel_initializer="he_normal", **random)(x)
    loud = tf_keras.initializers.RandomNormal(stddev=2.0)  # so that the classes of random clips differ
    x = layers.Dense(6, kernel_initializer=loud, bias_initializer="random_normal")(x)
    model = tf_keras.Model(start, layers.Softmax()(x))
    prune(model, sparsity)
    return model


def prune(model, sparsity):
    """Set the smallest weights of every kernel to zero, in place."""
    for weight in model.weights:
        if "kernel" in weight.name:
            values = weight.numpy().copy()
            smallest = np.argsort(np.abs(values), axis=None)[: round(sparsity * values.size)]
            values.flat[smallest] = 0
            weight.assign(values)


@functools.cache
def in_format(fmt="int8", sparsity=0.0) -> bytes:
    """`wide_cnn` as a .tflite file."""
    calibration = random_features(30, seed=7) if fmt in ("int8", "int8_per_tensor", "int16x8") else None
    return quantize.to_tflite(wide_cnn(sparsity), fmt, calibration)

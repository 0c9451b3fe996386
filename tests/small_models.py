"""Small networks for the tests, converted once in a test run."""

import functools

import numpy as np

from kwslib import quantize

SHAPE = (30, 40, 1)


def small_cnn(classes=6):
    """Every operator that the project's networks use, two dense layers in a row."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(1)
    norm = functools.partial(layers.BatchNormalization, momentum=0.8)
    start = layers.Input(SHAPE)
    x = layers.ReLU()(norm()(layers.Conv2D(8, (10, 4), strides=2, padding="same", use_bias=False)(start)))
    y = layers.ReLU()(norm()(layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)))
    y = norm()(layers.Conv2D(8, 1, use_bias=False)(y))
    x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D((15, 4))(x))
    x = layers.Dense(classes)(layers.Dense(16, activation="relu", bias_initializer="ones")(x))
    return tf_keras.Model(start, layers.Softmax()(x))


def random_features(clips, seed=0):
    """Features as after normalisation: float32 [clips, 30, 40, 1], zero mean, unit variance."""
    return np.random.default_rng(seed).normal(size=(clips, *SHAPE)).astype(np.float32)


@functools.cache
def small_tflite(fmt="int8", classes=6) -> bytes:
    """`small_cnn` with its initial weights as a .tflite file."""
    return quantize.to_tflite(small_cnn(classes), fmt, random_features(50, seed=7) if fmt == "int8" else None)

"""Networks: their cost counted twice, and their way into TensorFlow Lite Micro."""

import numpy as np
import pytest

from kwslib import config, interpreters, models, quantize
from kwslib.tflite_graph import describe

PAPER, MFCC = config.PAPER_FEATURES.shape, config.MFCC_FEATURES.shape
FAMILIES = {
    "paper_cnn": ("paper_cnn", PAPER, 6, {}),
    "ds_cnn": ("ds_cnn", MFCC, 12, {}),
    "tc_resnet": ("tc_resnet", PAPER, 10, {}),
    "tc_resnet_w0.25": ("tc_resnet", MFCC, 4, {"width": 0.25}),
}
FAMILIES |= {name: (name, PAPER, 10, {}) for name in models.BUILDERS if name not in FAMILIES}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    """A network with random weights, its int8 file, and features to run it on."""
    import tf_keras

    tf_keras.utils.set_random_seed(1)
    name, shape, classes, options = FAMILIES[request.param]
    network = models.build(name, shape, classes, **options)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, *shape)).astype(np.float32)
    for layer in network.layers:
        for weight in layer.trainable_weights:
            if len(weight.shape) == 1:  # the converter leaves out biases that are 0
                weight.assign(weight + rng.uniform(-0.3, 0.3, weight.shape))
        if isinstance(layer, tf_keras.layers.BatchNormalization):
            layer.momentum = 0.0
    network(x, training=True)  # settles the statistics of batch normalisation
    return network, quantize.to_tflite(network, "int8", x), x


def test_published_costs():
    assert models.count(models.build("paper_cnn", (30, 40, 1), 6)) == {"params": 119_936, "macs": 476_576}
    assert models.count(models.build("ds_cnn", (49, 10, 1), 12))["macs"] == 2_656_768


def test_paper_network_by_hand():
    convolution = 30 * 8 * 186
    dense = [(9 * 186, 32), (32, 128), (128, 128), (128, 6)]
    params = convolution + 186 + sum((rows + 1) * columns for rows, columns in dense)
    macs = 9 * convolution + sum(rows * columns for rows, columns in dense)
    assert models.count(models.build("paper_cnn", (30, 40, 1), 6)) == {"params": params, "macs": macs}


def test_network_and_file_have_the_same_cost(family):
    network, tflite, _ = family
    info = describe(tflite)
    assert models.count(network) == {"params": info.parameters, "macs": info.macs}


def test_batch_normalisation_leaves_one_bias():
    """Also behind a layer that has one, and without an offset of its own."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(1)
    random = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    inputs = layers.Input((8, 8, 1))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, **random)(inputs))
    x = layers.BatchNormalization(center=False)(layers.Conv2D(8, 1, use_bias=False)(layers.ReLU()(x)))
    x = layers.Dense(3, **random)(layers.Flatten()(layers.ReLU()(x)))
    network = tf_keras.Model(inputs, layers.Softmax()(x))
    clips = np.random.default_rng(2).normal(size=(40, 8, 8, 1)).astype(np.float32)
    for layer in network.layers:
        layer.momentum = 0.0
    network(clips, training=True)
    info = describe(quantize.to_tflite(network, "int8", clips))
    weights = 9 * 4 + 4 * 8 + 36 * 8 * 3
    assert models.count(network)["params"] == weights + 4 + 8 + 3 == info.parameters


def test_shapes_and_probabilities(family):
    network, tflite, x = family
    info = describe(tflite)
    assert (info.input.dtype, info.output.dtype) == ("int8", "int8")
    assert info.input.shape[1:] == x.shape[1:] == network.input_shape[1:]
    assert info.output.shape == (1, network.output_shape[1])
    probabilities = network.predict(x, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.abs(probabilities - probabilities[0]).max() > 1e-3


def test_int8_network_runs_in_tflm_with_the_same_bits(family):
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
    network, tflite, x = family
    table = interpreters.compare_engines(tflite, x[:12])
    dense = table.op == "FULLY_CONNECTED"
    before = table[table["index"] < table[dense]["index"].min()]
    assert {"CONV_2D"} <= set(before.op) and before["values"].min() > 0
    assert before.different.sum() == 0
    alone = table[~dense & (table.op != "SOFTMAX")]
    assert alone.own_different.sum() == 0
    assert table[dense].own_max_difference.max() <= 1
    found = interpreters.predict(tflite, x)
    assert np.abs(found - network.predict(x, verbose=0)).mean() < 0.05
    assert 0 < interpreters.tflm_arena_bytes(tflite) < 200_000


def test_width_scales_tc_resnet_in_steps_of_four_channels():
    costs = []
    for width in (0.1, 0.5, 1.0, 2.0):
        network = models.build("tc_resnet", PAPER, 10, width=width)
        channels = [layer.filters for layer in network.layers if hasattr(layer, "filters")]
        assert all(number % 4 == 0 and number >= 4 for number in channels)
        costs.append(models.count(network)["macs"])
    assert costs == sorted(set(costs))
    short, long = (models.count(models.build("tc_resnet", PAPER, 10, kernel=kernel))["params"] for kernel in (3, 9))
    assert short < long


def test_unknown_names_and_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="model 'resnet': allowed is paper_cnn, ds_cnn, "):
        models.build("resnet", PAPER, 6)
    for shape in ((30, 40), (30, 40, 3), (0, 40, 1), (30, 40, 1, 1)):
        with pytest.raises(ValueError, match=r"needed is \(frames, bands, 1\)"):
            models.build("paper_cnn", shape, 6)

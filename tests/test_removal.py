"""Removal of dead channels: the small network gives what the masked one gave, and runs in TensorFlow Lite Micro."""

import numpy as np
import pytest
from small_models import small_cnn

from kwslib import interpreters, models, pruning, quantize, removal
from kwslib.pruning import PruneConfig

FAMILIES = {
    "paper_cnn": ("paper_cnn", (30, 40, 1), {}),
    "ds_cnn": ("ds_cnn", (49, 10, 1), {}),
    "tc_resnet": ("tc_resnet", (30, 40, 1), {"width": 0.5}),
    "small_cnn": None,
}


def clips(shape, n=24, seed=4):
    return np.random.default_rng(seed).normal(size=(n, *shape)).astype(np.float32)


def pruned_filters(network, x, y):
    """Fine-tuned with filter pruning for a few steps, so that biases and statistics are not what they were."""
    import tensorflow_model_optimization as tfmot

    settings = PruneConfig(granularity="filter", sparsity=0.5)
    steps = -(-len(x) // 8)
    wrapped = pruning.prune(network, settings, steps)
    wrapped.compile("adam", "sparse_categorical_crossentropy")
    wrapped.fit(x, y, batch_size=8, verbose=0, callbacks=[tfmot.sparsity.keras.UpdatePruningStep()])
    masked = pruning.strip(wrapped)
    pruning.check_sparsity(masked, settings)
    return masked


def widths(network):
    """Channels that each convolution and dense layer makes."""
    return {layer.name: layer.kernel.shape[-1] for layer in network.layers if type(layer).__name__ in removal.MAKERS}


def assert_same_outputs(one, other, x):
    np.testing.assert_allclose(one.predict(x, verbose=0), other.predict(x, verbose=0), rtol=0, atol=1e-5)


@pytest.fixture(scope="module", params=FAMILIES)
def pair(request):
    """A masked network of each family, the one without the dead channels, and features."""
    import tf_keras

    tf_keras.utils.set_random_seed(6)
    if request.param == "small_cnn":
        network = small_cnn()
    else:
        name, shape, options = FAMILIES[request.param]
        network = models.build(name, shape, 6, **options)
    for layer in network.layers:
        layer.momentum = 0.5  # batch normalisation: its statistics settle in a few steps
    x = clips(network.input_shape[1:], 64)
    masked = pruned_filters(network, x, np.arange(64) % 6)
    return masked, removal.remove_filters(masked), x


def test_the_small_network_is_the_masked_one(pair):
    masked, small, x = pair
    before = masked.get_weights()
    assert_same_outputs(masked, small, x)
    assert masked.predict(x, verbose=0).std(axis=0).max() > 1e-3  # outputs that differ from clip to clip
    for one, other in zip(before, masked.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [layer.name for layer in small.layers] == [layer.name for layer in masked.layers]
    assert [type(layer) for layer in small.layers] == [type(layer) for layer in masked.layers]
    wide, narrow = widths(masked), widths(small)
    output = list(wide)[-1]
    assert narrow.pop(output) == wide.pop(output) == 6
    assert all(width % 4 == 0 and abs(width - wide[name] / 2) <= 2 for name, width in narrow.items())
    assert models.count(small)["macs"] < 0.51 * models.count(masked)["macs"]
    assert small.count_params() < 0.55 * masked.count_params()


def test_it_runs_in_tflm(pair):
    _, small, x = pair
    pytest.importorskip("tflite_micro")
    expected = small.predict(x, verbose=0)
    found = interpreters.predict(quantize.to_tflite(small, "int8", x), x)
    np.testing.assert_allclose(found, expected, atol=0.06)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.8


def test_it_can_be_saved_and_removed_from_again(pair, tmp_path):
    import tf_keras

    _, small, x = pair
    small.save(tmp_path / "small.h5")
    again = tf_keras.models.load_model(tmp_path / "small.h5", compile=False)
    np.testing.assert_array_equal(again.predict(x, verbose=0), small.predict(x, verbose=0))
    assert widths(removal.remove_filters(again)) == widths(small)


def test_a_trained_network_on_speech(small_run, speech_folder):
    x, _ = small_run.test(str(speech_folder))
    masked = pruning.prune_once(small_run.model(), PruneConfig(granularity="filter", sparsity=0.25))
    small = removal.remove_filters(masked)
    assert_same_outputs(masked, small, x)
    assert models.count(small)["params"] < 0.8 * models.count(masked)["params"]


def sequence(*made, shape=(6, 5, 1)):
    """The layers one behind the other, with random weights, biases among them."""
    import tf_keras

    network = tf_keras.Sequential([tf_keras.layers.Input(shape), *made])
    rng = np.random.default_rng(7)
    network.set_weights([rng.uniform(0.1, 1, weight.shape) * rng.choice([-1, 1]) for weight in network.get_weights()])
    for layer in network.layers:
        if hasattr(layer, "moving_variance"):
            layer.moving_variance.assign(abs(layer.moving_variance))
    return network


def clear(layer, channels, *names):
    for weight in (getattr(layer, name) for name in names):
        values = weight.numpy()
        values[..., channels] = 0
        weight.assign(values)


def test_by_hand():
    """Of 6 filters on 3 x 4 places two go: 12 rows each of the dense layer behind the flattening go with them."""
    from tf_keras import layers

    convolution, dense = layers.Conv2D(6, (4, 2), activation="relu"), layers.Dense(5, activation="relu")
    network = sequence(convolution, layers.Flatten(), dense, layers.Dense(3))
    clear(convolution, [1, 4], "kernel", "bias")
    clear(dense, [0], "kernel", "bias")
    small = removal.remove_filters(network, round_to=1)
    kernel, bias, rows = (small.get_weights()[number] for number in (0, 1, 2))
    np.testing.assert_array_equal(kernel, convolution.kernel.numpy()[..., [0, 2, 3, 5]])
    np.testing.assert_array_equal(bias, convolution.bias.numpy()[[0, 2, 3, 5]])
    np.testing.assert_array_equal(rows, dense.kernel.numpy().reshape(3, 4, 6, 5)[:, :, [0, 2, 3, 5], 1:].reshape(48, 4))
    assert small.layers[-1].kernel.shape == (4, 3)
    assert_same_outputs(network, small, clips((6, 5, 1)))
    for round_to, width in ((4, 4), (3, 6), (5, 5)):
        assert small_width(network, convolution, round_to) == width


def small_width(network, layer, round_to=1):
    small = removal.remove_filters(network, round_to)
    assert_same_outputs(network, small, clips(network.input_shape[1:]))
    return widths(small)[layer.name]


def test_a_constant_is_not_removed():
    """A filter of zeros with a bias, or with a beta, still says something."""
    from tf_keras import layers

    convolution, norm = layers.Conv2D(4, 2), layers.BatchNormalization()
    network = sequence(convolution, layers.ReLU(), layers.Flatten(), layers.Dense(2))
    clear(convolution, [0, 1], "kernel")
    clear(convolution, [1], "bias")
    assert small_width(network, convolution) == 3
    convolution = layers.Conv2D(4, 2, use_bias=False)
    network = sequence(convolution, norm, layers.ReLU(), layers.Flatten(), layers.Dense(2))
    clear(convolution, [0, 1, 2], "kernel")
    clear(norm, [1, 2], "gamma")
    clear(norm, [2], "beta")
    assert small_width(network, convolution) == 3


def test_depthwise_goes_in_step():
    from tf_keras import layers

    convolution, depthwise = layers.Conv2D(5, 2), layers.DepthwiseConv2D(2)
    network = sequence(convolution, depthwise, layers.AveragePooling2D(2), layers.Flatten(), layers.Dense(2))
    clear(convolution, [0, 3], "kernel", "bias")
    clear(depthwise, [3], "bias")  # channel 0 comes alive again by its bias
    assert small_width(network, convolution) == 4
    small = removal.remove_filters(network, 1)
    np.testing.assert_array_equal(
        small.layers[2].depthwise_kernel, depthwise.depthwise_kernel.numpy()[:, :, [0, 1, 2, 4]]
    )


def test_what_stays():
    from tf_keras import layers

    for activation, width in (("relu", 1), ("linear", 1), ("sigmoid", 3)):
        hidden, last = layers.Dense(3, activation=activation), layers.Dense(4)
        network = sequence(layers.Flatten(), hidden, last)
        clear(hidden, [0, 1, 2], "kernel", "bias")  # a dead layer keeps one channel; sigmoid(0) is no zero
        clear(last, [1, 2], "kernel", "bias")
        assert small_width(network, hidden) == width
        assert widths(removal.remove_filters(network, 4)) == {hidden.name: 3, last.name: 4}  # outputs never go


@pytest.mark.parametrize("dead_in_both, width", [([1, 2], 4), ([], 6)])
def test_an_add_keeps_what_one_branch_needs(dead_in_both, width):
    import tf_keras
    from tf_keras import layers

    start = layers.Input((6, 5, 1))
    one, other = layers.Conv2D(6, 1, name="one"), layers.Conv2D(6, 1, name="other")
    x = layers.ReLU()(layers.Add()([one(start), other(start)]))
    x = layers.Conv2D(3, 2, name="next")(layers.Reshape((5, 6, 6))(x))
    network = tf_keras.Model(start, layers.Flatten()(x))
    network.set_weights([weight + 0.1 for weight in network.get_weights()])
    clear(one, [0, *dead_in_both], "kernel", "bias")
    clear(other, [3, *dead_in_both], "kernel", "bias")
    assert small_width(network, one) == small_width(network, other) == width
    small = removal.remove_filters(network, 1)
    assert small.get_layer("next").kernel.shape == (2, 2, width, 3)


def test_a_reshape_that_mixes_channels_keeps_them():
    from tf_keras import layers

    convolution = layers.Conv2D(4, 1)
    network = sequence(convolution, layers.Reshape((6, 4, 5)), layers.Conv2D(2, 1), layers.Flatten())
    clear(convolution, [0, 1], "kernel", "bias")
    assert small_width(network, convolution) == 4


def test_wrong_use():
    import tf_keras
    from tf_keras import layers

    with pytest.raises(removal.RemovalError, match="round_to = 0"):
        removal.remove_filters(small_cnn(), 0)
    with pytest.raises(removal.RemovalError, match="'up' is a UpSampling2D: channels can be followed through Conv2D"):
        removal.remove_filters(sequence(layers.UpSampling2D(name="up"), layers.Flatten(), layers.Dense(2)))
    with pytest.raises(removal.RemovalError, match="'two' is used 2 times"):
        start, twice = layers.Input((4,)), layers.Dense(4, name="two")
        removal.remove_filters(tf_keras.Model(start, twice(twice(start))))
    with pytest.raises(removal.RemovalError, match="'grouped': allowed is a convolution with groups"):
        removal.remove_filters(sequence(layers.Conv2D(4, 1), layers.Conv2D(4, 1, groups=2, name="grouped")))

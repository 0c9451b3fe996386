"""Pruning through TF-MOT: masks reach the sparsity, survive training and stripping, and end up in the .tflite."""

import functools

import numpy as np
import pandas as pd
import pytest
from small_models import random_features, small_cnn

from kwslib import config, models, pruning, quantize, removal, tflite_graph
from kwslib.pruning import PruneConfig, PruneError

FAMILIES = {"paper_cnn": {}, "ds_cnn": {}, "tc_resnet": {"width": 1.0}}
STEPS = 8


def settings(granularity="element", sparsity=0.5, **changes):
    return PruneConfig(granularity=granularity, sparsity=sparsity, **changes)


@functools.cache
def network_of(name):
    import tf_keras

    tf_keras.utils.set_random_seed(2)
    return small_cnn() if name == "small_cnn" else models.build(name, (30, 40, 1), 6, **FAMILIES[name])


def tiny_network():
    """Two dense layers and logits, fast enough for hundreds of steps."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(3)
    start = layers.Input((4, 5, 1))
    x = layers.Dense(10, activation="relu", name="dense2")(layers.Dense(15, name="dense1")(layers.Flatten()(start)))
    return tf_keras.Model(start, layers.Softmax()(layers.Dense(3, name="logits")(x)))


def fit(network, steps, callbacks=()):
    """Train for so many steps, 8 random clips each."""
    network.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8 * steps, *network.input_shape[1:])).astype(np.float32)
    network.fit(x, rng.integers(0, 3, 8 * steps), batch_size=8, verbose=0, callbacks=list(callbacks))


def trained(network, config, steps=STEPS, run=None):
    """Wrapped by `prune` for `steps` steps, and trained for `run` of them."""
    import tensorflow_model_optimization as tfmot

    wrapped = pruning.prune(network, config, steps)
    fit(wrapped, run or steps, [tfmot.sparsity.keras.UpdatePruningStep()])
    return wrapped


def zero_share(network):
    return pruning.layer_sparsity(network).set_index("layer").sparsity


def test_settings():
    assert PruneConfig.from_dict(settings("filter", skip=["a"]).to_dict()) == settings("filter", skip=("a",))
    labels = [settings(g, s).label for g, s in (("element", 0.8), ("2:4", 0.5), ("filter", 0.125))]
    assert labels == ["element-80", "2:4", "filter-12.5"]
    assert PruneConfig("element", 0.8, scope="global").label == "element-80-global"
    wrong = [{"granularity": "row"}, {"sparsity": 1.0}, {"granularity": "2:4", "sparsity": 0.8}, {"norm": "max"}]
    wrong += [{"scope": "all"}, {"round_to": 0}, {"ramp_end": 1.5}, {"update_steps": 0}, {"skip": (1,)}]
    for changes in wrong:
        with pytest.raises(config.ConfigError, match=f"PruneConfig.{list(changes)[-1]} = "):
            PruneConfig(**changes)


@pytest.mark.parametrize("granularity", pruning.GRANULARITIES)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_and_granularity(name, granularity):
    network, config = network_of(name), settings(granularity)
    before = network.get_weights()
    pruned = pruning.prune_once(network, config)
    pruning.check_sparsity(pruned, config)
    with pytest.raises(PruneError, match="lost its mask"):
        pruning.check_sparsity(network, config)
    share = zero_share(pruned)
    assert share["logits"] == 0
    for layer, value in share.drop("logits").items():
        dense = layer.startswith("depthwise") and granularity in ("block2", "block4", "2:4")
        assert value == pytest.approx(0 if dense else 0.5, abs=0.02), layer
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    one_layer = zero_share(pruning.prune_once(network, config, only="conv"))
    assert one_layer["conv"] == share["conv"]
    if granularity != "filter":  # there depthwise layers follow
        assert (one_layer.drop("conv") == 0).all()


@pytest.mark.parametrize("granularity", ["vector", "2:4", "filter"])
def test_trained_and_stripped(granularity):
    import tf_keras

    network, config = network_of("small_cnn"), settings(granularity)
    before = network.get_weights()
    wrapped = trained(network, config)
    stripped = pruning.strip(wrapped)
    pruning.check_sparsity(stripped, config)
    assert [type(layer) for layer in stripped.layers] == [type(layer) for layer in network.layers]
    assert [layer.name for layer in stripped.layers] == [layer.name for layer in network.layers]
    for one, other in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    moved = [np.abs(a - b).max() for a, b in zip(before, stripped.get_weights(), strict=True)]
    assert min(moved) > 0
    x = random_features(20)
    np.testing.assert_allclose(stripped.predict(x, verbose=0), wrapped.predict(x, verbose=0), atol=1e-6)
    share = zero_share(stripped)
    pruned = [layer.name for layer in stripped.layers if isinstance(layer, tf_keras.layers.Conv2D)]
    assert share[pruned].tolist() == pytest.approx([0.5, 0.5])
    fit(stripped, 2)
    if granularity == "filter":  # no gradient reaches a filter that is 0 up to behind its ReLU
        pruning.check_sparsity(stripped, config)
    else:
        with pytest.raises(PruneError, match=r"layer 'conv2d\w*' lost its mask: \d+ of \d+ weights"):
            pruning.check_sparsity(stripped, config)


def test_training_goes_on_in_global_scope():
    config = settings("block4", 0.75, scope="global", norm="l2")
    stripped = pruning.strip(trained(network_of("tc_resnet"), config))
    pruning.check_sparsity(stripped, config)
    table = pruning.layer_sparsity(stripped).set_index("layer").drop("logits")
    assert abs(table.zeros.sum() - 0.75 * table.weights.sum()) <= 2
    assert table.sparsity.max() - table.sparsity.min() > 0.05 and table.sparsity.max() < 1


def test_global_scope_hits_the_total():
    network = tiny_network()
    network.get_layer("dense2").kernel.assign(network.get_layer("dense2").kernel * 1e-4)
    pruned = pruning.prune_once(network, settings(sparsity=0.9, scope="global"))
    table = pruning.layer_sparsity(pruned).set_index("layer")
    assert table.zeros.drop("logits").sum() == round(0.9 * 450)
    assert table.weights["dense2"] - table.zeros["dense2"] == 1  # never wiped out
    assert list(table["shape"]) == [(20, 15), (15, 10), (10, 3)]


@pytest.mark.parametrize("steps", [1, 3, 17, 200])
@pytest.mark.parametrize("ramp_end", [0.0, 0.5, 1.0])
def test_the_schedule_lands(steps, ramp_end):
    config = settings(sparsity=0.9, ramp_end=ramp_end, update_steps=7)
    wrapped = pruning.prune(tiny_network(), config, steps)
    schedule = next(layer for layer in wrapped.layers if hasattr(layer, "pruning_schedule")).pruning_schedule
    updates = [(step, float(schedule(step)[1])) for step in range(1, steps + 1) if schedule(step)[0]]
    assert updates[-1][1] == pytest.approx(0.9, abs=1e-6)
    assert updates[-1][0] <= max(1, round(steps * ramp_end))
    assert len(updates) >= min(4, round(steps * ramp_end))
    assert [share for _, share in updates] == sorted(share for _, share in updates)


@pytest.mark.parametrize("steps", [1, 3, 17, 200])
def test_so_many_steps_are_enough_and_fewer_are_told(steps):
    config = settings(sparsity=0.9, ramp_end=1.0)
    stripped = pruning.strip(trained(tiny_network(), config, steps))
    pruning.check_sparsity(stripped, config)
    assert zero_share(stripped).to_dict() == pytest.approx({"dense1": 0.9, "dense2": 0.9, "logits": 0})
    if steps > 3:
        with pytest.raises(PruneError, match="layer 'dense1' lost its mask"):
            pruning.check_sparsity(pruning.strip(trained(tiny_network(), config, steps, run=steps // 2)), config)


def test_strip_burns_the_masks_in():
    wrapped = trained(tiny_network(), settings())
    for layer in wrapped.layers:
        for weight, _, _ in getattr(layer, "pruning_vars", []):
            weight.assign(weight + 1)  # as an optimizer does after the last update
    stripped = pruning.strip(wrapped)
    pruning.check_sparsity(stripped, settings())
    wrapped.set_weights([np.ones_like(weight) for weight in wrapped.get_weights()])
    pruning.check_sparsity(stripped, settings())  # its weights are its own


@pytest.mark.parametrize("name", FAMILIES)
def test_removed_channels_are_zero_from_there_on(name):
    """Also where branches meet: both have the same mask."""
    import tf_keras

    network = network_of(name)
    stripped = pruning.strip(trained(network, settings("filter")))
    x = np.random.default_rng(5).normal(size=(10, 30, 40, 1)).astype(np.float32)
    followed = {layer: found for layer, found in removal.trace(stripped).items() if not found.fixed}
    outputs = tf_keras.Model(stripped.input, [stripped.get_layer(layer).output for layer in followed])(x)
    for (layer, found), out in zip(followed.items(), outputs, strict=True):
        kernel = stripped.get_layer(found.root).kernel.numpy()
        dead = (kernel == 0).all(axis=tuple(range(kernel.ndim - 1)))
        assert dead.mean() == pytest.approx(0.5, abs=2 / len(dead)) and (~dead).sum() % 4 == 0, layer
        assert (out.numpy()[..., dead[found.index]] == 0).all(), layer
    assert len(followed) >= 5
    if name == "tc_resnet":
        for number in (1, 2, 3):
            tied = [stripped.get_layer(f"block{number}_{part}").kernel.numpy() for part in ("conv2", "skip")]
            dead = [(kernel == 0).all(axis=(0, 1, 2)).tolist() for kernel in tied]
            assert dead[0] == dead[1] and any(dead[0])


@pytest.mark.parametrize("granularity", ["block4", "vector", "kernel", "filter"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_another_order_of_what_is_kept_is_no_lost_mask(granularity, scope):
    """Runs that end an output channel are shorter: which groups fit depends on the order of those that are kept."""
    dense, asked = network_of("small_cnn") if granularity != "block4" else tiny_network(), settings(granularity)
    network = pruning.prune_once(dense, asked.replace(scope=scope))
    zeros = [weight != 0 for weight in network.get_weights()]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        network.set_weights([keep * rng.normal(1, 0.5, keep.shape) for keep in zeros])
        pruning.check_sparsity(network, asked.replace(scope=scope))
    filled = [weight if weight.ndim < 2 else weight + 0.01 for weight in network.get_weights()]
    network.set_weights(filled)
    with pytest.raises(PruneError, match="lost its mask"):
        pruning.check_sparsity(network, asked.replace(scope=scope))


def test_what_skip_leaves_dense():
    network = network_of("tc_resnet")
    share = zero_share(pruning.prune_once(network, settings("filter", skip=("logits", "block1_skip"))))
    assert (share[["block1_skip", "block1_conv2", "logits"]] == 0).all()
    assert (share.drop(["block1_skip", "block1_conv2", "logits"]) > 0).all()
    assert zero_share(pruning.prune_once(network, settings(skip=())))["logits"] == 0.5
    assert zero_share(pruning.prune_once(network, settings("filter", skip=())))["logits"] == 0


def test_a_sequential_model():
    import tf_keras

    functional = tiny_network()
    network = tf_keras.Sequential(functional.layers[1:])
    network.build((None, 4, 5, 1))
    for granularity in ("element", "filter"):
        pruned = [zero_share(pruning.prune_once(one, settings(granularity))) for one in (functional, network)]
        assert pruned[0].equals(pruned[1]) and pruned[0]["dense2"] > 0.3


def test_wrong_use():
    import tf_keras
    from tf_keras import layers

    network = tiny_network()
    with pytest.raises(PruneError, match=r"skip names 'dense9': the network has .*dense1"):
        pruning.prune_once(network, settings(skip=("dense9",)))
    with pytest.raises(PruneError, match="no layer is left to prune"):
        pruning.prune(network, settings(skip=("dense1", "dense2", "logits")), 10)
    with pytest.raises(PruneError, match=r"only = 'logits': pruned with these settings are dense1, dense2"):
        pruning.prune_once(network, settings(), only="logits")
    with pytest.raises(PruneError, match="steps = 0"):
        pruning.prune(network, settings(), 0)
    start = layers.Input((4, 5))
    recurrent = tf_keras.Model(start, layers.Dense(3)(layers.GRU(4, name="recurrent")(start)))
    with pytest.raises(PruneError, match=r"layer 'recurrent' is a GRU"):
        pruning.prune(recurrent, settings(), 10)


def test_macs_that_meet_a_weight():
    network = network_of("paper_cnn")
    assert pruning.nonzero_macs(network) == models.count(network)["macs"] == 476_576
    pruned = pruning.prune_once(network, settings(sparsity=0.75))
    table = pruning.layer_sparsity(pruned).set_index("layer")
    left = table.weights - table.zeros
    assert pruning.nonzero_macs(pruned) == 9 * left["conv"] + left.drop("conv").sum()
    assert isinstance(table, pd.DataFrame) and left["conv"] == 0.25 * 30 * 8 * 186


@pytest.mark.parametrize("granularity", ["element", "vector", "block4", "2:4"])
def test_zeros_survive_in_the_int8_file(granularity):
    """Read from the buffers: a zero stays the integer 0 at its place, and the zero point of weights is 0."""
    pruned = pruning.prune_once(network_of("paper_cnn"), settings(granularity))
    info = tflite_graph.describe(quantize.to_tflite(pruned, "int8", random_features(20)))
    stored = [info.tensors[op.inputs[1]] for op in info.ops if op.name in ("CONV_2D", "FULLY_CONNECTED")]
    kernels = [pruned.get_layer(name).kernel.numpy() for name in ("conv", "dense1", "dense2", "dense3", "logits")]
    assert len(stored) == len(kernels)
    for tensor, kernel in zip(stored, kernels, strict=True):
        assert tensor.dtype == "int8" and set(tensor.zero_points) == {0}
        assert (np.moveaxis(tensor.data, 0, -1).reshape(kernel.shape)[kernel == 0] == 0).all()
    for tensor in stored[:-1]:
        assert (tensor.data == 0).mean() >= 0.499
        if granularity == "block4":  # the file's own order: four bytes in a row, from the start of each channel
            channels = tensor.data.reshape(len(tensor.data), -1)
            runs = channels[:, : channels.shape[1] // 4 * 4].reshape(-1, 4)
            assert (runs == 0).all(axis=1).mean() == pytest.approx(0.5, abs=0.01)

"""Quantization-aware training: every network of the project, zeros kept or lost, and what is refused."""

import functools

import numpy as np
import pytest
from format_models import prune, wide_cnn
from small_models import SHAPE, random_features, small_cnn

from kwslib import interpreters, models, qat, quantize
from kwslib.qat import QatError
from kwslib.tflite_graph import describe, storage, weight_sparsity

FAMILIES = {"paper_cnn": {}, "ds_cnn": {}, "tc_resnet": {"width": 0.5}}


def trained(model, epochs=3):
    """Train on random classes: enough to move every weight."""
    import tf_keras

    labels = np.eye(6, dtype=np.float32)[np.random.default_rng(0).integers(6, size=64)]
    model.compile(tf_keras.optimizers.Adam(1e-3), "categorical_crossentropy")
    model.fit(random_features(64), labels, epochs=epochs, verbose=0)
    return model


@functools.cache
def family(name):
    """A network of `kwslib.models` with 80 % zeros, trained quantization-aware while they are kept, and its file."""
    network = models.build(name, SHAPE, 6, **FAMILIES[name])
    for layer in network.layers:
        if layer.name.endswith("_bn"):
            layer.gamma.assign(4 * layer.gamma)  # as if trained: the activations do not die away
    prune(network, 0.8)
    aware = trained(qat.quantization_aware(network, preserve_sparsity=True))
    return aware, quantize.to_tflite(aware)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_trained_converted_and_run(name):
    aware, tflite = family(name)
    info, kinds = describe(tflite), storage(tflite)
    assert (info.input.dtype, info.output.dtype) == ("int8", "int8")
    assert (kinds["weights"], kinds["activations"], kinds["biases"]) == ("int8", "int8", "int32")
    assert kinds["scales"] == "per channel+per tensor"  # dense layers have one
    assert not any(op.name in ("DEQUANTIZE", "BATCH_MATMUL", "MUL") for op in info.ops)
    features = random_features(40, seed=1)
    found = interpreters.predict(tflite, features, "reference")
    np.testing.assert_allclose(found, aware.predict(features, verbose=0), atol=0.05)
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
    assert interpreters.tflm_refusal(tflite) == ""
    np.testing.assert_allclose(interpreters.predict(tflite, features), found, atol=3 / 256)


@pytest.mark.parametrize("name", FAMILIES)
def test_zeros_are_kept_in_every_kernel_of_the_file(name):
    table = weight_sparsity(family(name)[1])
    assert (table.zeros >= np.round(0.8 * table.weights)).all(), table


def test_plain_training_loses_the_zeros():
    """Depthwise kernels are among them, which TF-MOT's own scheme would not keep."""
    tables = {}
    for preserve in (False, True):
        aware = trained(qat.quantization_aware(wide_cnn(0.8), preserve_sparsity=preserve))
        tables[preserve] = weight_sparsity(quantize.to_tflite(aware))
    assert "DEPTHWISE_CONV_2D" in set(tables[True].op)
    assert (tables[True].sparsity >= 0.79).all()
    assert (tables[False].sparsity[:4] < 0.5).all()  # the last layer has weights too large to move in six steps


def test_the_source_is_untouched():
    network = wide_cnn(0.5)
    before = network.get_weights()
    aware = qat.quantization_aware(network)
    kernel = next(weight for weight in aware.weights if weight.shape == network.layers[1].kernel.shape)
    assert np.array_equal(kernel.numpy(), before[0])  # copied
    trained(aware, epochs=1)
    assert not np.array_equal(kernel.numpy(), before[0])  # a copy
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    assert not qat.is_quantization_aware(network) and qat.is_quantization_aware(aware)


def test_calibration_sets_the_ranges_that_would_start_at_6():
    network, features = wide_cnn(), random_features(30)
    exact = network.predict(features, verbose=0)
    assert np.abs(qat.quantization_aware(network).predict(features, verbose=0) - exact).max() > 0.2
    aware = qat.quantization_aware(network, calibration=features)
    found = aware.predict(features, verbose=0)
    assert 1e-4 < np.abs(found - exact).max() < 0.05  # rounded, but the same network
    # Without any training the file is as good as one that was calibrated after training.
    np.testing.assert_allclose(interpreters.predict(quantize.to_tflite(aware), features, "reference"), exact, atol=0.05)
    ranges = {weight.name: float(weight) for weight in aware.weights if "quantize_layer" in weight.name}
    assert [value for name, value in ranges.items() if name.endswith("_max:0")] == [pytest.approx(features.max(), 1e-3)]


def test_calibration_leaves_the_weights_alone():
    """Batch normalisation would follow the calibration clips."""
    network = small_cnn()
    aware = qat.quantization_aware(network, calibration=5 + random_features(30))
    held = {weight.name.split("/")[-1]: weight.numpy() for weight in aware.weights if "moving" in weight.name}
    assert set(held) == {"moving_mean:0", "moving_variance:0"}
    assert (held["moving_mean:0"] == 0).all() and (held["moving_variance:0"] == 1).all()
    kernels = [weight.numpy() for weight in aware.weights if weight.name.endswith("kernel:0")]
    expected = [weight.numpy() for weight in network.weights if weight.name.endswith("kernel:0")]
    assert sorted(kernel.sum() for kernel in kernels) == sorted(kernel.sum() for kernel in expected)


@pytest.mark.parametrize("fmt", [fmt for fmt in quantize.FORMATS if fmt != "int8"])
def test_another_format_is_refused(fmt):
    calibration = random_features(20) if fmt in ("int8_per_tensor", "int16x8") else None
    with pytest.raises(quantize.QuantizeError, match=f"fmt '{fmt}' of a network trained quantization-aware"):
        quantize.to_tflite(family("paper_cnn")[0], fmt, calibration)


def test_calibration_is_refused():
    with pytest.raises(quantize.QuantizeError, match="nothing is calibrated there, leave it out"):
        quantize.to_tflite(family("paper_cnn")[0], "int8", random_features(20))


def test_what_cannot_be_trained_is_named():
    import tensorflow_model_optimization as tfmot
    import tf_keras
    from tf_keras import layers

    with pytest.raises(QatError, match="quantization-aware already"):
        qat.quantization_aware(family("paper_cnn")[0])
    with pytest.raises(QatError, match=r"prune_low_magnitude_.*still wrapped for pruning: strip"):
        qat.quantization_aware(tfmot.sparsity.keras.prune_low_magnitude(wide_cnn()))
    start = layers.Input(SHAPE)
    for layer, name in ((layers.LayerNormalization(), "LayerNormalization"), (layers.Lambda(lambda x: x), "Lambda")):
        with pytest.raises(QatError, match=f"TF-MOT cannot quantize network.*{name}"):
            qat.quantization_aware(tf_keras.Model(start, layer(start)))

"""Conversion to every format, and the draw of calibration clips."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from format_models import in_format, wide_cnn
from small_models import SHAPE, random_features, small_cnn, small_tflite

from kwslib import interpreters, quantize
from kwslib.quantize import QuantizeError
from kwslib.tflite_graph import describe, storage, weight_sparsity

LABELS = ["yes"] * 30 + ["no"] * 20 + ["unknown"] * 5


def test_calibration_clips_are_balanced_and_seeded():
    rows = quantize.calibration_clips(LABELS, 8, seed=3)
    drawn = np.array(LABELS)[rows]
    assert {name: int((drawn == name).sum()) for name in set(LABELS)} == {"yes": 8, "no": 8, "unknown": 5}
    assert len(set(rows)) == len(rows) and list(rows) == sorted(rows)
    assert np.array_equal(rows, quantize.calibration_clips(LABELS, 8, seed=3))
    assert not np.array_equal(rows, quantize.calibration_clips(LABELS, 8, seed=4))


def test_calibration_clips_need_every_class():
    with pytest.raises(QuantizeError, match="class 'silence' has no training clip"):
        quantize.calibration_clips(LABELS, 8, 3, classes=("yes", "no", "unknown", "silence"))
    with pytest.raises(QuantizeError, match="no labels"):
        quantize.calibration_clips([], 8, 3)
    with pytest.raises(QuantizeError, match="per_class = 0"):
        quantize.calibration_clips(LABELS, 0, 3)


def test_int8_is_integer_throughout_and_per_channel():
    info = describe(small_tflite("int8"))
    assert info.input.dtype == info.output.dtype == "int8"
    used = [info.tensors[i] for op in info.ops for i in (*op.inputs, *op.outputs)]
    assert {tensor.dtype for tensor in used} == {"int8", "int32"}
    weights = [info.tensors[op.inputs[1]] for op in info.ops if "CONV" in op.name]
    assert [len(tensor.scales) for tensor in weights] == [8, 8, 8]
    assert all(set(tensor.zero_points) == {0} for tensor in weights)


@pytest.mark.parametrize("fmt", quantize.FORMATS)
def test_the_graph_is_that_of_the_model_saved_whole(fmt, monkeypatch):
    """Conversion from a function is the fast way; the converter's own gives the same but longer names."""
    model, calibration = small_cnn(), random_features(20) if fmt in quantize.CALIBRATED else None
    fast = quantize.to_tflite(model, fmt, calibration)
    start = tf_keras.Input(batch_shape=(1, *SHAPE))
    whole = tf_keras.Model(start, model(start))
    slow_way = tf.lite.TFLiteConverter.from_keras_model
    monkeypatch.setattr(tf.lite.TFLiteConverter, "from_concrete_functions", lambda *_: slow_way(whole))
    slow = quantize.to_tflite(model, fmt, calibration)
    assert fast != slow and len(fast) < len(slow) and graph(fast) == graph(slow)


def graph(tflite):
    """Operators with their tensors: all that a file says but names and numbers."""
    info, found = describe(tflite), []
    for op in info.ops:
        tensors = [info.tensors[number] for number in (*op.inputs, *op.outputs)]
        found.append((op.name, op.inputs, op.outputs, op.activation, op.padding, op.stride, op.options))
        found += [(t.shape, t.dtype, t.scales, t.zero_points, t.axis) for t in tensors]
        found += [None if t.data is None else t.data.tobytes() for t in tensors]
    return found


def test_float32_holds_no_quantized_tensor():
    info = describe(small_tflite("float32"))
    assert info.input.dtype == info.output.dtype == "float32"
    assert not any(tensor.scales for tensor in info.tensors)


def test_float32_gives_the_outputs_of_keras():
    features = random_features(20)
    expected = small_cnn().predict(features, verbose=0)
    found = interpreters.predict(small_tflite("float32"), features, "reference")
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_int8_stays_near_float32():
    features = random_features(200)
    exact, found = (interpreters.predict(small_tflite(fmt), features, "reference") for fmt in ("float32", "int8"))
    assert np.abs(found - exact).max() < 0.03  # 8 steps of the output
    assert (found.argmax(axis=1) == exact.argmax(axis=1)).mean() > 0.9


def test_missing_last_axis_is_added_and_the_result_is_the_same():
    model = small_cnn()
    with_axis = quantize.to_tflite(model, "int8", random_features(20))
    without = quantize.to_tflite(model, "int8", random_features(20)[..., 0])
    features = random_features(5, seed=1)
    assert np.array_equal(
        interpreters.run_reference(with_axis, features), interpreters.run_reference(without, features)
    )


def test_calibration_sets_the_input_range():
    wide = describe(quantize.to_tflite(small_cnn(), "int8", 10 * random_features(20))).input
    narrow = describe(quantize.to_tflite(small_cnn(), "int8", random_features(20))).input
    assert wide.scales[0] == pytest.approx(10 * narrow.scales[0], rel=0.01)


def test_reshape_needs_no_shape_arithmetic():
    """The batch dimension is fixed to 1; an open one costs three more operators, which a device has to carry."""
    import tf_keras

    start = tf_keras.layers.Input(SHAPE)
    model = tf_keras.Model(start, tf_keras.layers.Reshape((30, 1, 40))(start))
    info = describe(quantize.to_tflite(model, "float32"))
    assert [op.name for op in info.ops] == ["RESHAPE"] and info.output.shape == (1, 30, 1, 40)


def test_the_same_model_gives_the_same_bytes():
    model = small_cnn()
    first, second = (quantize.to_tflite(model, "int8", random_features(10)) for _ in range(2))
    assert first == second


def test_conversion_is_quiet(capfd):
    model = small_cnn()
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        quantize.to_tflite(model, "int8", random_features(10))
        quantize.to_tflite(model, "float32")
    assert capfd.readouterr() == ("", "")


STORED = {
    "float32": ("float32", "float32", "float32", "float32", "none"),
    "float16": ("float32", "float16", "float32", "float16", "none"),
    "dynamic": ("float32", "float32+int8", "float32", "float32", "per channel"),
    "int8": ("int8", "int8", "int8", "int32", "per channel"),
    "int8_per_tensor": ("int8", "int8", "int8", "int32", "per tensor"),
    "int16x8": ("int16", "int8", "int16", "int64", "per channel"),
}


@pytest.mark.parametrize("fmt", quantize.FORMATS)
def test_a_format_is_what_its_name_says(fmt):
    features = random_features(30, seed=7)  # those of the calibration: nothing is out of range
    outside, weights, activations, biases, scales = STORED[fmt]
    assert storage(in_format(fmt)) == {
        "input": outside,
        "output": outside,
        "weights": weights,
        "activations": activations,
        "biases": biases,
        "scales": scales,
    }
    exact = wide_cnn().predict(features, verbose=0)
    found = interpreters.predict(in_format(fmt), features, "reference")
    np.testing.assert_allclose(found, exact, atol={"float32": 1e-5, "float16": 2e-3, "int16x8": 0.02}.get(fmt, 0.05))
    assert np.ptp(exact, axis=0).max() > 0.1  # or the comparison says nothing


def test_sizes_are_in_order():
    size = {fmt: len(in_format(fmt)) for fmt in quantize.FORMATS}
    order = ("float32", "float16", "int16x8", "int8", "int8_per_tensor")
    assert sorted(order, key=size.get, reverse=True) == list(order)
    assert size["dynamic"] < size["float16"]


def test_per_tensor_means_one_scale_for_every_weight_tensor_dense_layers_too():
    for fmt, counts in (("int8", [16, 16, 32, 32, 6]), ("int8_per_tensor", [1, 1, 1, 1, 1])):
        info = describe(in_format(fmt))
        weights = [info.tensors[op.inputs[1]] for op in info.ops if "CONV" in op.name or "FULLY" in op.name]
        assert [len(tensor.scales) for tensor in weights] == counts


def test_dynamic_leaves_small_weight_tensors_in_float():
    table = weight_sparsity(in_format("dynamic"))
    assert table.weights.tolist() == [640, 144, 512, 4096, 192]
    assert table.dtype.tolist() == ["float32", "float32", "float32", "int8", "float32"]


@pytest.mark.parametrize("fmt", quantize.FORMATS)
def test_zeros_of_a_pruned_network_stay_zero(fmt):
    kept = [round(0.8 * size) for size in (640, 144, 512, 4096, 192)]
    assert (weight_sparsity(in_format(fmt, 0.8)).zeros >= kept).all()
    assert (weight_sparsity(in_format(fmt, 0.8)).sparsity < 0.83).all()


@pytest.mark.parametrize(
    "fmt, calibration, message",
    [
        ("int8", None, "without calibration data"),
        ("int8", np.zeros((9, *SHAPE), np.float32), "9 calibration clips"),
        ("int8", np.zeros((0, *SHAPE), np.float32), "0 calibration clips"),
        ("int8", np.zeros((20, 40, 30, 1), np.float32), r"shape \(20, 40, 30, 1\)"),
        ("int8", np.zeros(SHAPE, np.float32), r"shape \(30, 40, 1\)"),
        ("int8", np.full((20, *SHAPE), np.nan, np.float32), "NaN"),
        ("float32", np.zeros((20, *SHAPE), np.float32), "leave it out"),
        ("float16", np.zeros((20, *SHAPE), np.float32), "fmt 'float16': nothing is calibrated there, leave it out"),
        ("dynamic", np.zeros((20, *SHAPE), np.float32), "leave it out"),
        ("int8_per_tensor", None, "int8_per_tensor without calibration data"),
        ("int16x8", None, "int16x8 without calibration data"),
        ("int4", None, "allowed is 'float32', 'float16', 'dynamic', 'int8', 'int8_per_tensor', 'int16x8'"),
    ],
)
def test_refusals_say_what_is_needed(fmt, calibration, message):
    with pytest.raises(QuantizeError, match=message):
        quantize.to_tflite(small_cnn(), fmt, calibration)


def test_int16x8_never_falls_back_to_float():
    import tensorflow as tf
    import tf_keras

    start = tf_keras.layers.Input(SHAPE)
    model = tf_keras.Model(start, tf_keras.layers.Lambda(lambda x: tf.sin(x))(start))
    with pytest.raises(Exception, match=r"(?i)sin.*not.*support|not.*support.*sin"):
        quantize.to_tflite(model, "int16x8", random_features(10))


def test_a_failed_conversion_shows_the_converter_messages(capfd):
    import tensorflow as tf
    import tf_keras

    start = tf_keras.layers.Input(SHAPE)
    model = tf_keras.Model(start, tf_keras.layers.Lambda(lambda x: tf.strings.as_string(x))(start))
    with pytest.raises(Exception, match="AsString"):
        quantize.to_tflite(model, "float32")
    assert "AsString" in capfd.readouterr().err

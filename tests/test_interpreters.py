"""TensorFlow Lite Micro and the reference kernels: the same numbers, and where and why they differ."""

import re
import sys

import numpy as np
import pytest
from format_models import in_format, wide_cnn
from small_models import SHAPE, random_features, small_tflite

from kwslib import interpreters, quantize
from kwslib.interpreters import InterpreterError, TflmMissingError
from kwslib.tflite_graph import Tensor, describe

INT8 = Tensor(0, "x", (1, 2, 2, 1), "int8", (0.5,), (3,), 0, None)
FLOAT = Tensor(0, "x", (1, 2, 2, 1), "float32", (), (), 0, None)


@pytest.fixture
def tflm():
    return pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")


def test_quantize_input_by_hand():
    clip = [[0.0, 0.26], [-0.5, 1000.0]]
    found = interpreters.quantize_input(np.array([clip]), INT8)
    assert found.dtype == np.int8 and found.shape == (1, 2, 2, 1)
    assert found.ravel().tolist() == [3, 4, 2, 127]  # round(0.52) = 1; the last is held inside the range
    assert interpreters.quantize_input(-np.array([clip]), INT8).ravel().tolist() == [3, 2, 4, -128]
    assert interpreters.quantize_input(np.array([clip]), FLOAT).ravel().tolist() == pytest.approx([0, 0.26, -0.5, 1000])


def test_dequantize_output_by_hand():
    found = interpreters.dequantize_output(np.array([[3, 4, -128]], np.int8), INT8)
    assert found.dtype == np.float32 and found.tolist() == [[0.0, 0.5, -65.5]]
    assert interpreters.dequantize_output(np.array([0.25], np.float32), FLOAT).tolist() == [0.25]


def test_quantizing_loses_at_most_half_a_step():
    tensor = describe(small_tflite()).input
    features = random_features(20).clip(-2, 2)
    back = interpreters.dequantize_output(interpreters.quantize_input(features, tensor), tensor)
    assert np.abs(back - features).max() <= 0.5001 * tensor.scales[0]


@pytest.mark.parametrize(
    "features, message",
    [
        (np.zeros((2, 3, 2)), r"shape \(2, 3, 2\): the model needs \[n, 2, 2, 1\]"),
        (np.zeros((2, 2)), r"shape \(2, 2\)"),
        (np.zeros((0, 2, 2)), r"shape \(0, 2, 2\)"),
        (np.full((1, 2, 2), np.nan), "NaN"),
        (np.full((1, 2, 2), np.inf), "infinite"),
    ],
)
@pytest.mark.parametrize("tensor", [INT8, FLOAT])
def test_quantize_input_refuses(features, message, tensor):
    with pytest.raises(InterpreterError, match=message):
        interpreters.quantize_input(features, tensor)


@pytest.mark.parametrize("engine", interpreters.ENGINES)
def test_predict_gives_probabilities(engine, request):
    if engine == "tflm":
        request.getfixturevalue("tflm")
    features = random_features(30)
    found = interpreters.predict(small_tflite("int8"), features, engine)
    assert found.shape == (30, 6) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=6 / 256)
    assert np.array_equal(found, interpreters.predict(small_tflite("int8"), features[..., 0], engine))
    exact = interpreters.predict(small_tflite("float32"), features, engine)
    np.testing.assert_allclose(found, exact, atol=0.03)


def test_predict_refuses_another_engine():
    with pytest.raises(InterpreterError, match="engine = 'xnnpack': allowed is 'tflm' or 'reference'"):
        interpreters.predict(small_tflite(), random_features(1), "xnnpack")


def test_one_clip_does_not_change_the_next(tflm):
    features = random_features(6)
    together = interpreters.run_tflm(small_tflite(), features)
    alone = [interpreters.run_tflm(small_tflite(), clip[None])[0] for clip in features]
    assert np.array_equal(together, alone)


def test_engines_are_bit_exact_but_for_the_dense_layers(tflm):
    """The claim that the compare table makes for every int8 model, on 300 clips."""
    table = interpreters.compare_engines(small_tflite("int8"), random_features(300))
    dense = table.op == "FULLY_CONNECTED"
    assert table.op.tolist()[-3:] == ["FULLY_CONNECTED", "FULLY_CONNECTED", "SOFTMAX"]
    assert (table.own_different[~dense] == 0).all() and (table.own_max_difference[~dense] == 0).all()
    assert (table.own_different[dense] > 0).all() and (table.own_max_difference[dense] == 1).all()
    # Before the first dense layer every clip is compared; after it only those whose inputs are still equal.
    assert (table.clips_compared[:7] == 300).all() and (table.different[:6] == 0).all()
    assert (table.clips_compared[7:] < 300).all() and (table.clips_compared[7:] > 100).all()
    assert (table["values"][:3] == 300 * 15 * 20 * 8).all()
    assert (table.own_values == table["values"] // 300 * table.clips_compared).all()


def test_a_float_model_is_bit_exact(tflm):
    table = interpreters.compare_engines(small_tflite("float32"), random_features(50))
    assert (table.different == 0).all() and (table.clips_compared == 50).all()


def test_compare_engines_sees_a_difference(tflm, monkeypatch):
    """A wrong bit in one tensor is charged to the operator that made it, and passed over further down."""
    info = describe(small_tflite())
    broken = info.ops[2].outputs[0]
    right = interpreters._Tflm.tensor

    def wrong(self, index):
        values = right(self, index).copy()
        values.flat[0] ^= 4 if index == broken else 0
        return values

    monkeypatch.setattr(interpreters._Tflm, "tensor", wrong)
    table = interpreters.compare_engines(small_tflite(), random_features(10))
    assert table.own_different[:4].tolist() == [0, 0, 10, 0] and table.own_max_difference[2] == 4
    assert table.clips_compared[:4].tolist() == [10, 10, 10, 0]


def test_dense_layers_differ_because_tflm_rounds_twice(tflm):
    """Recomputed in numpy from the dense layer's own input: twice rounded is TFLM, once rounded is the reference."""
    info = describe(small_tflite())
    op = info.ops[6]
    start, weights = (info.tensors[i] for i in op.inputs[:2])
    end = info.tensors[op.outputs[0]]
    bias = info.tensors[op.inputs[2]].data.astype(np.int64)
    multipliers = [float(start.scales[0]) * scale / end.scales[0] for scale in weights.scales]
    found = {"tflm": [], "reference": []}
    inputs = []
    engines = {"tflm": interpreters._Tflm, "reference": interpreters._Reference}
    engines = {name: make(small_tflite(), keep_tensors=True) for name, make in engines.items()}
    for clip in interpreters.quantize_input(random_features(300), info.input):
        for name, engine in engines.items():
            engine.invoke(clip[None])
            found[name].append(engine.tensor(end.index)[0])
        inputs.append(engines["tflm"].tensor(start.index)[0])
    sums = (np.array(inputs, np.int64) - start.zero_points[0]) @ weights.data.astype(np.int64).T + bias
    for name, rounding in (("tflm", _rounded_twice), ("reference", _rounded_once)):
        columns = [rounding(sums[:, i], *_mantissa(multiplier)) for i, multiplier in enumerate(multipliers)]
        expected = np.clip(np.stack(columns, axis=1) + end.zero_points[0], end.zero_points[0], 127)  # RELU
        assert np.array_equal(expected, found[name]), name
    assert not np.array_equal(found["tflm"], found["reference"])


def _mantissa(multiplier):
    """A real multiplier as a 31-bit integer and a power of two, as QuantizeMultiplier in TensorFlow Lite."""
    fraction, exponent = np.frexp(multiplier)
    mantissa, exponent = round(fraction * 2**31), int(exponent)  # an int32 would overflow in shifts
    return (mantissa // 2, exponent + 1) if mantissa == 2**31 else (mantissa, exponent)


def _rounded_twice(values, mantissa, exponent):
    """gemmlowp: SaturatingRoundingDoublingHighMul, then RoundingDivideByPOT."""
    product = (values << max(exponent, 0)) * mantissa
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    high = np.where(nudged >= 0, nudged >> 31, -((-nudged) >> 31))
    shift = max(-exponent, 0)
    mask = (1 << shift) - 1
    return (high >> shift) + ((high & mask) > (mask >> 1) + (high < 0))


def _rounded_once(values, mantissa, exponent):
    shift = 31 - exponent
    return (values * mantissa + (1 << (shift - 1))) >> shift


def test_class_agreement(tflm, monkeypatch):
    features = random_features(40)
    assert interpreters.class_agreement(small_tflite(), features) > 0.97
    monkeypatch.setattr(interpreters, "run_reference", lambda *_: 5 - interpreters.run_tflm(small_tflite(), features))
    assert interpreters.class_agreement(small_tflite(), features) == 0


def test_arena_bytes_are_what_tflm_needs(tflm, capfd):
    from tflite_micro import runtime

    needed = interpreters.tflm_arena_bytes(small_tflite())
    assert capfd.readouterr() == ("", "")
    # The largest moment: two tensors of 15 x 20 x 8 for the addition and the third that it makes.
    assert 3 * 2400 <= needed < 20_000
    runtime.Interpreter.from_bytes(small_tflite(), arena_size=needed + 16)  # the arena's own alignment
    with interpreters.captured_stderr(), pytest.raises(RuntimeError):
        runtime.Interpreter.from_bytes(small_tflite(), arena_size=needed - 64)


def test_missing_tflm_is_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)  # as if not installed
    with pytest.raises(TflmMissingError, match=r"Linux on x86-64 only.*engine 'reference'"):
        interpreters.run_tflm(small_tflite(), random_features(1))
    with pytest.raises(TflmMissingError):
        interpreters.tflm_arena_bytes(small_tflite())
    assert interpreters.predict(small_tflite(), random_features(1), "reference").shape == (1, 6)


def test_unsupported_operator_is_named(tflm, capfd):
    import tensorflow as tf
    import tf_keras

    start = tf_keras.layers.Input(SHAPE)
    model = tf_keras.Model(start, tf_keras.layers.Lambda(lambda x: tf.atan2(x, x + 3.0))(start))
    tflite = quantize.to_tflite(model, "float32")
    capfd.readouterr()
    with pytest.raises(InterpreterError, match=r"does not run in TensorFlow Lite Micro.*ATAN2"):
        interpreters.run_tflm(tflite, random_features(1))
    assert capfd.readouterr().err == ""
    assert interpreters.run_reference(tflite, random_features(1)).shape == (1, 1200)


@pytest.mark.parametrize("fmt", quantize.FORMATS)
def test_what_tflm_takes_and_what_it_refuses(tflm, capfd, fmt):
    refusals = {
        "float16": r"input->type == .* was not true\..*DEQUANTIZE",
        "dynamic": "FLOAT32 with filter type: INT8 not supported.*FULLY_CONNECTED",
    }
    refusal = interpreters.tflm_refusal(in_format(fmt))
    assert capfd.readouterr() == ("", "")
    if fmt in refusals:
        assert re.search(refusals[fmt], refusal) and "\n" not in refusal and ".cc" not in refusal
        with pytest.raises(InterpreterError, match="does not run in TensorFlow Lite Micro"):
            interpreters.run_tflm(in_format(fmt), random_features(1))
    else:
        assert refusal == ""
        assert interpreters.class_agreement(in_format(fmt), random_features(60)) > 0.97


def test_engines_agree_on_int16_but_for_the_dense_layers(tflm):
    table = interpreters.compare_engines(in_format("int16x8"), random_features(50))
    dense = table.op == "FULLY_CONNECTED"
    assert (table.own_different[~dense] == 0).all() and (table.own_max_difference[dense] <= 1).all()
    assert table.own_different[dense].sum() > 0


def test_a_dead_network_is_an_error_not_the_end_of_the_process(tflm):
    """Both engines check the scale of int8 logits and abort; a sweep would die with them."""
    model = wide_cnn()
    model.layers[-2].set_weights([weight * 1e-9 for weight in model.layers[-2].get_weights()])
    tflite = quantize.to_tflite(model, "int8", random_features(20))
    for engine in interpreters.ENGINES:
        with pytest.raises(InterpreterError, match=r"input of SOFTMAX is constant.*network is dead"):
            interpreters.predict(tflite, random_features(1), engine)
    assert "SOFTMAX is constant" in interpreters.tflm_refusal(tflite)


def test_captured_stderr_gives_the_text_back():
    import os

    with interpreters.captured_stderr() as caught:
        os.write(2, b"from C")
    assert caught == ["from C"]


def test_captured_stderr_shows_the_text_after_an_error(capfd):
    import os

    with pytest.raises(KeyError), interpreters.captured_stderr():
        os.write(2, b"the reason")
        raise KeyError
    assert capfd.readouterr().err == "the reason"

"""The graph of a .tflite file against the Keras model it was made from, against LiteRT, and damaged files."""

import sys

import numpy as np
import pytest
from format_models import in_format, wide_cnn
from small_models import random_features, small_cnn, small_tflite

from kwslib import tflite_graph
from kwslib.tflite_graph import ModelFileError, describe, storage, weight_sparsity

# Counted by hand: output positions x kernel size (x input channels), borders in full.
MACS = [15 * 20 * 8 * 10 * 4, 15 * 20 * 8 * 3 * 3, 15 * 20 * 8 * 8, 0, 0, 0, 40 * 16, 16 * 6, 0]
OPS = ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "AVERAGE_POOL_2D", "RESHAPE"]
OPS += ["FULLY_CONNECTED", "FULLY_CONNECTED", "SOFTMAX"]


@pytest.mark.parametrize("fmt", ["int8", "float32"])
def test_operators_and_macs(fmt):
    info = describe(small_tflite(fmt))
    assert [op.name for op in info.ops] == OPS
    assert [op.macs for op in info.ops] == MACS and info.macs == sum(MACS)
    assert [op.index for op in info.ops] == list(range(len(OPS)))
    first, pool, dense = info.ops[0], info.ops[4], info.ops[6]
    assert (first.stride, first.padding, first.activation) == ((2, 2), "SAME", "RELU")
    assert (pool.stride, pool.padding, pool.activation) == ((15, 4), "VALID", "NONE")
    assert (dense.stride, dense.padding, dense.activation) == ((), "", "RELU")


def test_parameters_equal_folded_keras_weights():
    model = small_cnn()
    # Folding turns the four vectors of a batch normalisation into one bias; the last bias is zero and dropped.
    kernels = sum(np.prod(weight.shape) for weight in model.weights if "kernel" in weight.name)
    assert describe(small_tflite("int8")).parameters == kernels + 3 * 8 + 16
    assert describe(small_tflite("float32")).parameters == kernels + 3 * 8 + 16


@pytest.mark.parametrize("fmt", ["int8", "float32"])
def test_tensors_equal_those_of_litert(fmt):
    from ai_edge_litert import interpreter as litert

    info = describe(small_tflite(fmt))
    other = litert.Interpreter(
        model_content=small_tflite(fmt), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    other.allocate_tensors()
    details = {detail["index"]: detail for detail in other.get_tensor_details()}
    for tensor in info.tensors:
        detail = details[tensor.index]
        assert (tensor.name, tensor.shape) == (detail["name"], tuple(detail["shape"]))
        assert np.dtype(tensor.dtype) == detail["dtype"]
        assert tensor.bytes == tensor.size * np.dtype(detail["dtype"]).itemsize
        np.testing.assert_array_equal(tensor.scales, detail["quantization_parameters"]["scales"].astype(float))
        np.testing.assert_array_equal(tensor.zero_points, detail["quantization_parameters"]["zero_points"])
        if tensor.data is not None:
            np.testing.assert_array_equal(tensor.data, other.get_tensor(tensor.index))
    assert info.input.index == other.get_input_details()[0]["index"]
    assert info.output.index == other.get_output_details()[0]["index"]


def test_weights_of_a_float_model_are_those_of_keras():
    info = describe(small_tflite("float32"))
    dense = info.tensors[info.ops[6].inputs[1]]
    np.testing.assert_array_equal(dense.data, small_cnn().layers[-3].kernel.numpy().T)


def test_sizes():
    import gzip

    content = small_tflite("int8")
    info = describe(content)
    assert info.model_bytes == len(content)
    assert info.gzip_bytes == len(gzip.compress(content, 9)) < len(content)


@pytest.mark.parametrize("fmt", ["float16", "int16x8", "int8_per_tensor"])
def test_parameters_are_the_same_in_every_format(fmt):
    """Float16 constants stand before a DEQUANTIZE, which equal biases share."""
    assert describe(in_format(fmt)).parameters == wide_cnn().count_params() == describe(in_format("int8")).parameters
    assert describe(in_format(fmt)).macs == describe(in_format("int8")).macs
    assert describe(small_tflite("float16")).parameters == describe(small_tflite("int8")).parameters


def test_weight_sparsity_by_hand():
    import tf_keras

    from kwslib import quantize

    start = tf_keras.layers.Input((2, 2, 1))
    dense = tf_keras.layers.Dense(2, use_bias=False, name="dense")
    model = tf_keras.Model(start, dense(tf_keras.layers.Flatten()(start)))
    # The second column is so small beside the first that its values are zero in int8 with one scale only.
    dense.set_weights([np.array([[1.0, 0.001], [0.0, 0.0], [-0.5, 0.0005], [0.0, 0.001]])])
    clips = random_features(10)[:, :2, :2]
    expected = {"float32": 3, "float16": 3, "int8": 3, "int8_per_tensor": 6}
    for fmt, zeros in expected.items():
        table = weight_sparsity(quantize.to_tflite(model, fmt, clips if fmt.startswith("int8") else None))
        row = table.iloc[0].to_dict()
        assert len(table) == 1 and (row["op"], row["shape"]) == ("FULLY_CONNECTED", (2, 4))
        assert (row["weights"], row["zeros"], row["sparsity"]) == (8, zeros, zeros / 8), fmt
        assert row["dtype"] == fmt.split("_")[0]


def test_a_zero_is_the_zero_point():
    """Old uint8 files have weights with a zero point; theirs is the value that means nothing."""
    info = describe(small_tflite("int8"))
    op = info.ops[6]
    weights = info.tensors[op.inputs[1]]
    moved = tflite_graph.replace(weights, data=weights.data + np.int8(3), zero_points=(3,) * len(weights.zero_points))
    tensors = tuple(moved if tensor is weights else tensor for tensor in info.tensors)
    shifted = tflite_graph.replace(info, tensors=tensors)
    before = weight_sparsity(small_tflite("int8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tflite_graph, "describe", lambda tflite: shifted)
        assert weight_sparsity(b"").zeros.tolist() == before.zeros.tolist()


def test_no_weights_no_rows():
    import tf_keras

    from kwslib import quantize

    start = tf_keras.layers.Input((2, 2, 1))
    tflite = quantize.to_tflite(tf_keras.Model(start, tf_keras.layers.ReLU()(start)), "float32")
    assert list(weight_sparsity(tflite).columns) == ["op", "tensor", "dtype", "shape", "weights", "zeros", "sparsity"]
    assert len(weight_sparsity(tflite)) == 0
    kinds = dict.fromkeys(("input", "output", "activations"), "float32")
    assert storage(tflite) == kinds | dict.fromkeys(("weights", "biases", "scales"), "none")


def test_a_file_called_float_that_is_quantized_is_exposed():
    """Float input and output, as such files have: the inside says what it is."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(wide_cnn())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([clip[None]] for clip in random_features(10))
    named_float = converter.convert()
    kinds = storage(named_float)
    assert (kinds["input"], kinds["output"]) == ("float32", "float32")
    assert (kinds["weights"], kinds["biases"], kinds["scales"]) == ("int8", "int32", "per channel")
    assert kinds["activations"] == "int8"
    assert storage(in_format("float32"))["weights"] == "float32"


def test_several_outputs_are_refused_where_one_is_needed():
    info = describe(small_tflite("int8"))
    several = tflite_graph.ModelInfo(**(vars(info) | {"outputs": info.tensors[:2]}))
    assert several.input is info.input
    with pytest.raises(ModelFileError, match="2 outputs: one is needed"):
        _ = several.output


def test_read_model_names_the_file(tmp_path):
    path = tmp_path / "model.tflite"
    with pytest.raises(ModelFileError, match=r"model\.tflite: not readable \(No such file"):
        tflite_graph.read_model(path)
    path.write_bytes(small_tflite("int8"))
    assert tflite_graph.read_model(path) == small_tflite("int8")
    for content in (b"", b"abc", b"\x89PNG and so on", small_tflite("int8")[:-200]):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"model\.tflite: (no TensorFlow Lite model|damaged)"):
            tflite_graph.read_model(path)


def test_damage_is_never_another_error():
    """Cut off anywhere, or with wrong bytes anywhere, the answer is a description or ModelFileError."""
    content = small_tflite("int8")
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        broken = bytearray(content[: rng.integers(8, len(content))] if rng.random() < 0.3 else content)
        for position in rng.integers(8, len(broken), size=rng.integers(1, 30)):
            broken[position] = rng.integers(256)
        try:
            describe(bytes(broken))
        except ModelFileError:
            refused += 1
    assert refused > 50


def test_tensorflow_is_not_needed():
    import subprocess

    code = (
        "import sys; from kwslib.tflite_graph import describe; describe(sys.stdin.buffer.read()); "
        "print('tensorflow' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], input=small_tflite("int8"), capture_output=True, check=True)
    assert run.stdout.strip() == b"False"

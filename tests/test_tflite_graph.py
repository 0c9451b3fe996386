"""The graph of a .tflite file against the Keras model it was made from, against LiteRT, and damaged files."""

import sys

import numpy as np
import pytest
from small_models import small_cnn, small_tflite

from kwslib import tflite_graph
from kwslib.tflite_graph import ModelFileError, describe

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

"""Packed weights: the same outputs in the real TFLM, smaller files, a larger arena."""

import functools
import sys

import numpy as np
import pytest
from format_models import in_format
from small_models import random_features

from kwslib import decode, interpreters
from kwslib.decode import DecodeError, DecodeMissingError
from kwslib.tflite_graph import describe, storage, weight_sparsity

LARGEST = 4096  # the dense layer of wide_cnn


@pytest.fixture(autouse=True)
def tools():
    try:
        decode._tools()
    except DecodeMissingError as error:
        pytest.skip(str(error))


@functools.cache
def packed(sparsity):
    return decode.pack_pruned(in_format("int8", sparsity))


def unpacked_sizes(tflite):
    """Weights of each tensor that a DECODE unpacks."""
    info = describe(tflite)
    return [info.tensors[index].size for op in info.ops if op.name == "TFLM_DECODE" for index in op.outputs]


def test_the_encoding_by_hand():
    values = np.array([[0, 5, 0, 0], [-1, 0, 0, 0], [0, 7, 0, 0]], np.int8)
    mask, ancillary = decode._encoded(values)
    assert mask == bytes([0b01001000, 0b01000000])
    assert ancillary == bytes([2, 1, 0, 0, 1] + [0] * 11) + bytes([5, 255, 7])


@pytest.mark.parametrize("fmt, sparsity", [("int8", 0.5), ("int8", 0.8), ("int8_per_tensor", 0.8), ("int16x8", 0.8)])
def test_outputs_are_bit_exact_and_the_file_is_smaller(fmt, sparsity):
    plain, features = in_format(fmt, sparsity), random_features(100)
    small = decode.pack_pruned(plain)
    expected, found = (interpreters.run_tflm(tflite, features) for tflite in (plain, small))
    assert np.array_equal(expected, found) and len(np.unique(found)) > 10
    # Every packed tensor saves its zeros and costs a mask of a bit a weight and some hundred bytes.
    assert len(plain) - len(small) > (sparsity - 1 / 8) * LARGEST - 600


def test_the_more_zeros_the_more_is_packed():
    counts = [[op.name for op in describe(packed(level)).ops].count("TFLM_DECODE") for level in (0.5, 0.95)]
    assert 1 <= counts[0] < counts[1]


def test_a_packed_file_is_described_like_the_plain_one():
    plain, small = in_format("int8", 0.8), packed(0.8)
    before, after = describe(plain), describe(small)
    assert (before.parameters, before.macs) == (after.parameters, after.macs)
    assert after.model_bytes == len(small) < before.model_bytes
    assert storage(plain) == storage(small)
    kept = [sum(len(tensor.scales) for tensor in info.tensors) for info in (before, after)]
    assert kept[0] == kept[1]  # no second copy of the scales
    columns = ["op", "dtype", "shape", "weights", "zeros", "sparsity"]
    assert weight_sparsity(plain)[columns].equals(weight_sparsity(small)[columns])


@pytest.mark.parametrize("sparsity, peak", [(0.5, LARGEST + 128 + 32), (0.8, 512 + 1280 + 2560)])
def test_the_arena_holds_unpacked_weights_beside_the_activations(sparsity, peak):
    """Most is needed by the dense layer, or where its weights are packed too by the second convolution (1280 to 2560
    bytes), which is the peak of the plain model; each DECODE has some 200 bytes of its own."""
    plain, small = in_format("int8", sparsity), packed(sparsity)
    grown = interpreters.tflm_arena_bytes(small) - interpreters.tflm_arena_bytes(plain)
    own = grown - (peak - (1280 + 2560))
    assert 150 <= own / len(unpacked_sizes(small)) <= 300


def test_a_dense_model_is_left_alone():
    assert decode.pack_pruned(in_format("int8")) == in_format("int8")


def test_small_tensors_are_left_alone():
    """144 and 192 weights always; 512 are worth it where nearly all are zero."""
    assert sorted(unpacked_sizes(packed(0.95))) == [512, 640, LARGEST]
    assert sorted(unpacked_sizes(packed(0.5))) == [640, LARGEST]


def test_every_kind_of_weight_can_be_packed():
    """Also the depthwise kernel, which is too small here to be worth it."""
    plain, features = in_format("int8", 0.8), random_features(50)
    info = describe(plain)
    users = [op for op in info.ops if op.name in decode.WEIGHTED_OPS]
    everything = decode._written(plain, {op.inputs[1]: info.tensors[op.inputs[1]].data for op in users})
    assert [op.name for op in describe(everything).ops].count("TFLM_DECODE") == 5
    assert np.array_equal(interpreters.run_tflm(plain, features), interpreters.run_tflm(everything, features))


def test_packing_twice_changes_nothing():
    assert decode.pack_pruned(packed(0.8)) == packed(0.8)


def test_only_tflm_runs_it_and_litert_says_so():
    assert interpreters.tflm_refusal(packed(0.8)) == ""
    with pytest.raises(interpreters.InterpreterError, match="TFLM_DECODE"):
        interpreters.run_reference(packed(0.8), random_features(1))


@pytest.mark.parametrize("fmt", ["float32", "float16", "dynamic"])
def test_a_model_without_int8_weights_and_integer_activations_is_refused(fmt):
    with pytest.raises(DecodeError, match="needed is a model in format int8"):
        decode.pack_pruned(in_format(fmt))


def test_missing_tools_are_told_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro.tensorflow.lite.micro.compression", None)
    monkeypatch.delitem(sys.modules, "tflite_micro.tensorflow.lite.micro.compression.decode_insert", raising=False)
    with pytest.raises(DecodeMissingError, match=r"no tools for DECODE.*requirements\.lock"):
        decode.pack_pruned(in_format("int8", 0.8))

"""Sparse kernels against TensorFlow Lite Micro and the plain kernels, on this computer and on the emulated board."""

import numpy as np
import pytest
from test_kernels import MODELS, board, host, random_layer, tflm_tensors  # noqa: F401

from kwslib import kernels_sparse
from kwslib.kernels import Layer
from kwslib.tflite_graph import describe, read_model

# Estimated cycles of a whole network without its softmax when written, and a little room.
MOST_CYCLES = {
    ("element", "paper6_paper_cnn_element-80_s0"): 155_000,
    ("element", "paper6_paper_cnn_element-90_s0"): 92_900,
}


def run(engine, steps, values):
    """Output of steps, and their cycles on the board."""
    cycles = 0
    for step in steps:
        values = engine.run(step.kernel, step.layer, np.pad(np.ravel(values), (0, 4)), step.n_out, step.dtype)
        cycles += engine.costs()["cycles"] if hasattr(engine, "costs") else 0
    return values, cycles


@pytest.mark.parametrize(("granularity", "model"), MOST_CYCLES)
def test_network_equals_tflm_and_costs_no_more_than_before(host, board, granularity, model):  # noqa: F811
    tflite = read_model(MODELS / f"{model}.tflite")
    info = describe(tflite)
    values = np.random.default_rng(1).normal(-17, 40, info.input.size).clip(-128, 127).astype(np.int8)
    tensor, cycles = tflm_tensors(tflite, values), 0
    for op in filter(lambda op: op.macs, info.ops):
        steps, expected = kernels_sparse.LOWERINGS[granularity](info, op), tensor(op.outputs[0])
        np.testing.assert_array_equal(run(host, steps, tensor(op.inputs[0]))[0], expected, err_msg=str(op))
        found, cost = run(board, steps, tensor(op.inputs[0]))
        np.testing.assert_array_equal(found, expected, err_msg=str(op))
        cycles += cost
    assert 0 < cycles < MOST_CYCLES[granularity, model]


@pytest.mark.parametrize("engine", ["host", "board"])
def test_unusual_filters(request, host, engine):  # noqa: F811
    rng = np.random.default_rng(2)
    weights = np.zeros((8, 200), np.int8)
    weights[1, [0, 199]] = 127, -127  # a distance above 63
    weights[2, 64] = 5
    weights[3] = 127  # more than a sum of 21 bits holds
    weights[4] = -127
    weights[5] = rng.integers(-127, 128, 200)
    weights[6, ::2] = rng.integers(-127, 128, 100)
    weights[7, 199] = 1
    layer = random_layer(200, weights)
    steps = kernels_sparse._nine_positions(layer, kernels_sparse.pack_sparse_convolution(layer), "convolve_sparse_s8")
    for values in (rng.integers(-128, 128, 1800), np.full(1800, -128), np.full(1800, 127)):
        values = values.astype(np.int8)
        expected = host.run("convolve_s8", layer, values, 72)
        np.testing.assert_array_equal(run(request.getfixturevalue(engine), steps, values)[0], expected)


@pytest.mark.parametrize("engine", ["host", "board"])
def test_unusual_outputs(request, host, engine):  # noqa: F811
    rng = np.random.default_rng(3)
    weights = np.zeros((5, 700), np.int8)
    weights[1, 699], weights[2, [0, 256, 700 - 1]] = -3, 9  # distances above 255
    weights[3] = rng.integers(-127, 128, 700)
    convolution = random_layer(700, weights, seed=4).members
    names = ("weights", "bias", "quantization")
    layer = Layer("fully_connected_t", {"inputs": 700, "outputs": 5} | {name: convolution[name] for name in names})
    values = rng.integers(-128, 128, 700).astype(np.int8)
    expected = host.run("fully_connected_s8", layer, values, 5)
    sparse = kernels_sparse.pack_sparse_fully_connected(layer)
    found = request.getfixturevalue(engine).run("fully_connected_sparse_s8", sparse, values, 5)
    np.testing.assert_array_equal(found, expected)

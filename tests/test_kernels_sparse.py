"""Sparse kernels against TensorFlow Lite Micro and the plain kernels, on this computer and on the emulated board."""

from dataclasses import replace

import numpy as np
import pytest
from test_kernels import MODELS, random_layer, tflm_tensors

from kwslib import kernels, kernels_board, kernels_sparse
from kwslib.kernels import KernelError, Layer
from kwslib.kernels_host import HostKernels
from kwslib.tflite_graph import describe, read_model

LEVELS = {"element": (50, 70, 80, 90, 95), "block4": (50, 70, 80, 90), "vector": (50, 80)}
# Estimated cycles of a network without softmax, pooling and addition when written, and at most 3 % of room.
MOST_CYCLES = {
    "paper_cnn_element-50": 324_000,
    "paper_cnn_element-80": 146_000,
    "paper_cnn_element-90": 88_300,
    "paper_cnn_block4-50": 229_800,
    "paper_cnn_vector-80": 127_700,
    "tc_resnet_w2_element-80": 460_000,
    "tc_resnet_w2_block4-70": 499_000,
}

LOWERINGS = {name: getattr(kernels_sparse, f"sparse_{name}") for name in ("element", "block2", "block4", "vector")}


@pytest.fixture(scope="module")
def host():
    return HostKernels()


@pytest.fixture(scope="module")
def board():
    return kernels_board.BoardKernels(kernels_board.build())


def run(engine, steps, values):
    """Output of steps, and their cycles on the board."""
    cycles = 0
    for step in steps:
        values = engine.run(step.kernel, step.layer, np.pad(np.ravel(values), (0, 8)), step.n_out, step.dtype)
        cycles += engine.costs()["cycles"] if hasattr(engine, "costs") else 0
    return values, cycles


def layers(model):
    """Operators with weights of a model: `(info, op, input, output as TFLM computes it)`."""
    tflite = read_model(MODELS / f"paper6_{model}_s0.tflite")
    info = describe(tflite)
    values = np.random.default_rng(1).normal(-17, 40, info.input.size).clip(-128, 127).astype(np.int8)
    tensor = tflm_tensors(tflite, values)
    return [(info, op, tensor(op.inputs[0]), tensor(op.outputs[0])) for op in info.ops if op.macs]


def random_convolution(rng, size, kernel, stride, channels, filters, padding):
    """A CONV_2D of int8 with half of its weights 0, laid out as TensorFlow Lite pads it."""
    outs = [
        -(-s // d) if padding == "SAME" else -(-(s - k + 1) // d) for s, k, d in zip(size, kernel, stride, strict=True)
    ]
    whole = [max(0, (o - 1) * d + k - s) for o, d, k, s in zip(outs, stride, kernel, size, strict=True)]
    pad = [w // 2 if padding == "SAME" else 0 for w in whole]
    weights = rng.integers(-127, 128, (filters, *kernel, channels)) * (rng.random((filters, *kernel, channels)) < 0.5)
    shared = random_layer(4, np.ones((filters, 4), np.int8)).members
    members = {"input_height": size[0], "input_width": size[1], "input_channels": channels}
    members |= {
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "output_height": outs[0],
        "output_width": outs[1],
    }
    members |= {"output_channels": filters, "stride_height": stride[0], "stride_width": stride[1]}
    members |= {"pad_height": pad[0], "pad_width": pad[1], "weights": weights.astype(np.int8)}
    return Layer("convolution_t", members | {name: shared[name] for name in ("bias", "quantization")})


@pytest.mark.parametrize("model", ["paper_cnn", "tc_resnet_w2"])
@pytest.mark.parametrize("granularity", LEVELS)
def test_every_saved_level_equals_tflm_layer_by_layer(host, model, granularity):
    for level in LEVELS[granularity]:
        for info, op, values, expected in layers(f"{model}_{granularity}-{level}"):
            found, _ = run(host, LOWERINGS[granularity](info, op), values)
            np.testing.assert_array_equal(found, expected, err_msg=f"{level} {op}")


@pytest.mark.parametrize("model", MOST_CYCLES)
def test_networks_on_the_board_equal_tflm_and_cost_no_more_than_before(board, model):
    lower, cycles = LOWERINGS[model.split("_")[-1].split("-")[0]], 0
    for info, op, values, expected in layers(model):
        found, cost = run(board, lower(info, op), values)
        np.testing.assert_array_equal(found, expected, err_msg=str(op))
        cycles += cost
    assert 0 < cycles < MOST_CYCLES[model]


@pytest.mark.parametrize("engine", ["host", "board"])
@pytest.mark.parametrize("length", [1, 2, 4])
def test_unusual_filters_at_nine_positions(request, host, engine, length):
    rng = np.random.default_rng(2)
    weights = np.zeros((9, 200), np.int8)
    weights[1, [0, 199]] = 127, -127  # a distance above 63
    weights[2, 64] = 5
    weights[3] = 127  # more than a sum of 21 bits holds
    weights[4] = -127
    weights[5] = rng.integers(-127, 128, 200)
    weights[6, ::2] = rng.integers(-127, 128, 100)
    weights[7, 199], weights[8, :3] = 1, (-128, 3, -128)
    layer = random_layer(200, weights)
    for values in (rng.integers(-128, 128, 1800), np.full(1800, -128), np.full(1800, 127)):
        values = values.astype(np.int8)
        expected = host.run("convolve_s8", layer, values, 81)
        found, _ = run(request.getfixturevalue(engine), kernels_sparse._nine_positions(layer, length), values)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("engine", ["host", "board"])
@pytest.mark.parametrize(("length", "kernel"), [(1, "sparse"), (2, "block2"), (4, "block4")])
def test_convolutions_of_any_size(request, host, engine, length, kernel):
    rng = np.random.default_rng(5)
    shapes = [  # size, kernel, stride, channels, filters, padding
        ((30, 1), (3, 1), (1, 1), 40, 4, "SAME"),
        ((15, 1), (9, 1), (2, 1), 5, 3, "SAME"),
        ((4, 1), (9, 1), (1, 1), 33, 2, "SAME"),  # a kernel longer than the input
        ((7, 6), (3, 2), (2, 2), 3, 5, "SAME"),
        ((5, 5), (2, 4), (1, 1), 1, 2, "VALID"),
        ((6, 1), (1, 1), (1, 1), 1, 1, "VALID"),  # one weight, six positions: two lots of four
        ((8, 1), (8, 1), (1, 1), 70, 2, "SAME"),  # distances above 255
    ]
    for shape in shapes:
        layer = random_convolution(rng, *shape)
        if shape[3] == 70:
            weights = layer.members["weights"]
            weights[0], weights[1, 1:] = 0, 0
            weights[1, -1, 0, -1] = 7
        packed = kernels_sparse.pack_any_convolution(layer, length)
        m = layer.members
        n_in, n_out = (m[f"{end}_height"] * m[f"{end}_width"] * m[f"{end}_channels"] for end in ("input", "output"))
        values = rng.integers(-128, 128, n_in).astype(np.int8)
        expected = host.run("convolve_s8", layer, values, n_out)
        found = request.getfixturevalue(engine).run(f"convolve_{kernel}_any_s8", packed, values, n_out)
        np.testing.assert_array_equal(found, expected, err_msg=str(shape))


@pytest.mark.parametrize("engine", ["host", "board"])
@pytest.mark.parametrize("n_in", [700, 701, 702, 703])
def test_unusual_outputs(request, host, engine, n_in):
    rng = np.random.default_rng(3)
    weights = np.zeros((6, n_in), np.int8)
    weights[1, n_in - 1], weights[2, [0, 256, n_in - 1]] = -3, 9  # distances above 255 and above 31 blocks
    weights[3] = rng.integers(-127, 128, n_in)
    weights[4, :5] = -128
    convolution = random_layer(n_in, weights, seed=4).members
    names = ("weights", "bias", "quantization")
    layer = Layer("fully_connected_t", {"inputs": n_in, "outputs": 6} | {name: convolution[name] for name in names})
    values = rng.integers(-128, 128, n_in).astype(np.int8)
    expected = host.run("fully_connected_s8", layer, values, 6)
    engine = request.getfixturevalue(engine)
    sparse = kernels_sparse.pack_sparse_fully_connected(layer)
    np.testing.assert_array_equal(engine.run("fully_connected_sparse_s8", sparse, values, 6), expected)
    wide = engine.run("widen_block4_s8", Layer("widen_t", {"values": n_in}), values, -(-n_in // 4) * 4, "int16")
    blocks = kernels_sparse.pack_block_fully_connected(layer)
    np.testing.assert_array_equal(engine.run("fully_connected_block4_s8", blocks, wide, 6), expected)


@pytest.mark.parametrize("engine", ["host", "board"])
def test_accumulators_in_registers(request, host, engine):
    engine, (info, op, values, expected) = request.getfixturevalue(engine), layers("paper_cnn_element-80")[0]
    for lower in (kernels_sparse.weight_first_registers, kernels_sparse.weight_first_registers_skip):
        found, _ = run(engine, lower(info, op), values)
        np.testing.assert_array_equal(found, expected)
    other = random_layer(12, np.random.default_rng(6).integers(-127, 128, (3, 12)).astype(np.int8))  # a step of 12
    values = np.random.default_rng(7).integers(-128, 128, 108).astype(np.int8)
    expected = host.run("convolve_s8", other, values, 27)
    found = engine.run("convolve_weight_first_registers_skip_s8", other, values, 27)
    np.testing.assert_array_equal(found, expected)


def test_what_does_not_fit_is_refused():
    info, op, *_ = layers("paper_cnn_element-80")[0]
    layer = kernels.plain_layer(info, op)
    for member, value, message in (("pad_width", 1, "no padding"), ("output_width", 8, "needed are nine")):
        with pytest.raises(KernelError, match=message):
            kernels_sparse.panel_layer(replace(layer, members=layer.members | {member: value}))
    with pytest.raises(KernelError, match="four positions"):
        kernels_sparse.pack_any_convolution(replace(layer, members=layer.members | {"output_width": 3}), 1)
    with pytest.raises(KernelError, match="23 bits"):
        kernels_sparse.pack_any_convolution(random_layer(300, np.full((1, 300), 127, np.int8)), 1)
    depthwise = describe(read_model(MODELS / "kws10_ds_cnn_ours_s0.tflite"))
    op = next(op for op in depthwise.ops if op.name == "DEPTHWISE_CONV_2D")
    for lower in LOWERINGS.values():
        with pytest.raises(KernelError, match="DEPTHWISE_CONV_2D"):
            lower(depthwise, op)

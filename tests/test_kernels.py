"""Kernels in C against TensorFlow Lite Micro and against each other, on this computer and on the emulated board."""

from dataclasses import replace

import numpy as np
import pytest

from kwslib import cache, interpreters, kernels, kernels_board, kernels_network
from kwslib.kernels import KernelError, Layer
from kwslib.kernels_host import HostKernels
from kwslib.tflite_graph import describe, read_model

MODELS = cache.PROJECT_FOLDER / "results" / "models"
PRUNED = "paper6_paper_cnn_element-80_s0"
PLAIN = {
    "CONV_2D": (
        "convolve_s8",
        "convolve_skip_s8",
        "convolve_weight_first_s8",
        "convolve_weight_first_skip_s8",
        "convolve_simd_expand_s8",
    ),
    "DEPTHWISE_CONV_2D": (
        "depthwise_convolve_s8",
        "depthwise_convolve_skip_s8",
        "depthwise_convolve_weight_first_s8",
        "depthwise_convolve_weight_first_skip_s8",
    ),
    "FULLY_CONNECTED": ("fully_connected_s8", "fully_connected_skip_s8", "fully_connected_simd_expand_s8"),
}


@pytest.fixture(scope="module")
def host():
    return HostKernels()


@pytest.fixture(scope="module")
def board():
    return kernels_board.BoardKernels(kernels_board.build())


def tflm_tensors(tflite, values):
    """Function from the index of a tensor to what TFLM computes for it."""
    interpreter = interpreters._Tflm(tflite, keep_tensors=True)
    interpreter.invoke(values.reshape(describe(tflite).input.shape))
    return lambda index: np.ravel(interpreter.tensor(index)).copy()


def random_layer(columns, weights, seed=0):
    """A convolution of nine positions whose patches touch, with weights [filters, columns]."""
    rng, n_filters = np.random.default_rng(seed), len(weights)
    scales = rng.uniform(2e-5, 2e-4, n_filters)
    multiplier, shift = np.array([kernels.quantize_multiplier(scale) for scale in scales], np.int32).T
    quantization = {"input_offset": 17, "output_offset": -5, "minimum": -128, "maximum": 127}
    quantization |= {"multiplier": np.ascontiguousarray(multiplier), "shift": np.ascontiguousarray(shift)}
    sizes = {"input_height": 1, "input_width": 9 * columns, "input_channels": 1, "kernel_height": 1}
    sizes |= {"kernel_width": columns, "output_height": 1, "output_width": 9, "output_channels": n_filters}
    sizes |= {"stride_height": 1, "stride_width": columns, "pad_height": 0, "pad_width": 0}
    bias = rng.integers(-5000, 5000, n_filters).astype(np.int32)
    return Layer("convolution_t", sizes | {"weights": weights, "bias": bias, "quantization": quantization})


def fully_connected(weights, seed=0):
    """A fully connected layer with weights [outputs, inputs]."""
    convolution = random_layer(weights.shape[1], weights, seed).members
    shared = {name: convolution[name] for name in ("weights", "bias", "quantization")}
    return Layer("fully_connected_t", {"inputs": weights.shape[1], "outputs": len(weights)} | shared)


def convolve(engine, layer, values):
    """Output of the packed kernel as a plain one has it: [position, filter], int8."""
    packed = kernels.pack_convolution(layer)
    padded = engine.run("panels_s8", kernels.panels_layer(layer, packed), values, 3 * 1024, "int16")
    n_out = 9 * packed.members["filters"]
    output = engine.run("convolve_packed_s8", packed, np.pad(padded, (0, 16)), n_out, "int16")
    return output.reshape(-1, 9).T.astype(np.int8)


def test_quantize_multiplier():
    assert kernels.quantize_multiplier(1.0) == (2**30, 1)
    assert kernels.quantize_multiplier(0.75) == (3 * 2**29, 0)
    assert kernels.quantize_multiplier(1 - 2**-40) == (2**30, 1)  # rounds up to the next power of two
    assert kernels.quantize_multiplier(0.0) == kernels.quantize_multiplier(2.0**-33) == (0, 0)


@pytest.mark.parametrize("model", ["kws10_ds_cnn_ours_s0", PRUNED])
def test_plain_kernels_equal_tflm_layer_by_layer(host, model):
    tflite = read_model(MODELS / f"{model}.tflite")
    info = describe(tflite)
    values = np.random.default_rng(0).normal(0, 50, info.input.size).clip(-128, 127).astype(np.int8)
    tensor = tflm_tensors(tflite, values)
    for op in filter(lambda op: op.macs, info.ops):
        expected = tensor(op.outputs[0])
        for kernel in PLAIN[op.name]:
            layer = kernels.plain_layer(info, op)
            found = host.run(kernel, layer, tensor(op.inputs[0]), expected.size)
            np.testing.assert_array_equal(found, expected, err_msg=f"{kernel} {op.index}")


def test_plain_kernels_on_the_board(host, board):
    info = describe(read_model(MODELS / f"{PRUNED}.tflite"))
    layer = kernels.plain_layer(info, info.ops[3])
    values = np.random.default_rng(0).integers(-128, 128, layer.members["inputs"]).astype(np.int8)
    for kernel in PLAIN["FULLY_CONNECTED"]:
        expected = host.run(kernel, layer, values, 128)
        np.testing.assert_array_equal(board.run(kernel, layer, values, 128), expected)
    rng = np.random.default_rng(1)
    layer = random_layer(30, rng.integers(-2, 3, (3, 30)).astype(np.int8))
    values = rng.integers(-128, 128, 270).astype(np.int8)
    for kernel in PLAIN["CONV_2D"]:
        expected = host.run(kernel, layer, values, 27)
        np.testing.assert_array_equal(board.run(kernel, layer, values, 27), expected)


@pytest.mark.parametrize("engine", ["host", "board"])
def test_unusual_filters(request, host, engine):
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
    for values in (rng.integers(-128, 128, 1800), np.full(1800, -128), np.full(1800, 127)):
        values = values.astype(np.int8)
        expected = host.run("convolve_s8", layer, values, 72).reshape(9, 8)
        np.testing.assert_array_equal(convolve(request.getfixturevalue(engine), layer, values), expected)


@pytest.mark.parametrize("engine", ["host", "board"])
def test_unusual_outputs(request, host, engine):
    rng = np.random.default_rng(3)
    weights = np.zeros((5, 300), np.int8)
    weights[1, 299], weights[2, [0, 128, 256]] = -3, 9  # distances above 127
    weights[3] = rng.integers(-127, 128, 300)
    layer = fully_connected(weights, seed=4)
    values = rng.integers(-128, 128, 300).astype(np.int8)
    expected = host.run("fully_connected_s8", layer, values, 5)
    run, padded = request.getfixturevalue(engine).run, np.pad(values.astype(np.int16), (0, 32))
    packed = kernels.pack_fully_connected(layer)
    np.testing.assert_array_equal(run("fully_connected_packed_s8", packed, padded, 8, "int16")[:5], expected)


@pytest.mark.parametrize("shift", [-1, -22])
def test_smallest_and_largest_scales(shift):
    """Scales are from 2^(shift - 1) up to 2^shift: both ends of what the message allows."""
    layer = random_layer(200, np.ones((2, 200), np.int8))
    quantization = layer.members["quantization"] | {"shift": np.full(2, shift, np.int32)}
    stages = kernels.output_stages(replace(layer, members=layer.members | {"quantization": quantization}))
    assert (stages[:, 3] == -shift).all()
    smallest = 2.0 ** (shift - 1)
    assert kernels.quantize_multiplier(smallest) == (2**30, shift)
    assert kernels.quantize_multiplier(1.999 * smallest)[1] == shift


@pytest.mark.parametrize("engine", ["host", "board"])
def test_outputs_whose_weights_are_large_come_second_in_a_word(request, host, engine):
    rng = np.random.default_rng(5)
    weights = rng.integers(-60, 61, (7, 600)).astype(np.int8)
    layer = fully_connected(weights)
    assert kernels.outputs_order(layer) is None
    weights[1] = 127  # at its place any magnitude fits
    assert kernels.outputs_order(layer) is None
    weights[2], weights[6] = -127, 127
    with pytest.raises(KernelError, match="less than 2"):
        kernels.pack_fully_connected(layer)
    order, places = kernels.outputs_order(layer), rng.permutation(600)
    assert order.tolist() == [0, 1, 3, 2, 4, 6, 5]
    packed = kernels.pack_fully_connected(layer, places, order)
    for values in (rng.integers(-128, 128, 600), np.full(600, -128), np.full(600, 127)):
        values = values.astype(np.int8)
        expected = host.run("fully_connected_s8", layer, values, 7)
        padded = np.pad(values[places].astype(np.int16), (0, 32))
        found = request.getfixturevalue(engine).run("fully_connected_packed_s8", packed, padded, 8, "int16")
        np.testing.assert_array_equal(found[:7], expected[order])
    weights[:] = 127  # half of the outputs have to have less
    with pytest.raises(KernelError, match="less than 2"):
        kernels.pack_fully_connected(layer, outputs=kernels.outputs_order(layer))


def test_what_does_not_fit_is_refused():
    layer = random_layer(200, np.ones((2, 200), np.int8))
    quantization = layer.members["quantization"]
    scales = r"scales between 2\^-23 and 1/2"
    for member, value, message in (("maximum", 100, "clamps"), ("shift", np.array([0, -3], np.int32), scales)):
        changed = replace(layer, members=layer.members | {"quantization": quantization | {member: value}})
        with pytest.raises(KernelError, match=message):
            kernels.pack_convolution(changed)
    with pytest.raises(KernelError, match="even number of filters"):
        kernels.pack_convolution(random_layer(200, np.ones((3, 200), np.int8)))
    with pytest.raises(KernelError, match="above -128"):
        kernels.pack_convolution(random_layer(200, np.full((2, 200), -128, np.int8)))
    info = describe(read_model(MODELS / "kws10_ds_cnn_ours_s0.tflite"))
    with pytest.raises(KernelError, match=r"DEPTHWISE_CONV_2D.*needed is CONV_2D"):
        kernels_network.packed(info, list(info.ops))

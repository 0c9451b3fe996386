"""Dense SIMD kernels against TensorFlow Lite Micro and the plain kernels, on the host and on the emulated board."""

import os
from dataclasses import replace

import numpy as np
import pytest
from test_kernels import tflm_tensors

from kwslib import cache, kernels, kernels_board, kernels_dense
from kwslib.kernels import KernelError, Layer
from kwslib.kernels_host import HostKernels
from kwslib.tflite_graph import describe, read_model

MODELS = cache.PROJECT_FOLDER / "results" / "models"
# Estimated 1,980,000 and 907,000 for the operators with one input, when written.
MOST_CYCLES = {"kws10_ds_cnn_ours_s0": 2_030_000, "paper6_tc_resnet_w2_ours_s0": 930_000}


@pytest.fixture(scope="module")
def host():
    return HostKernels()


@pytest.fixture(scope="module")
def board():
    return kernels_board.BoardKernels(kernels_board.build())


PLANE, CUBE = ("height", "width"), ("height", "width", "channels")
AXES = {"input": CUBE, "kernel": PLANE, "output": CUBE, "stride": PLANE, "pad": PLANE}  # of a convolution_t


def random_values(rng, n):
    return rng.normal(-20, 50, n).clip(-128, 127).astype(np.int8)


def random_quantization(rng, channels, columns, **changed):
    """Scales that spread the sums of so many columns over the range of int8."""
    scales = 0.01 / columns**0.5 * 2 ** rng.uniform(-1, 1, channels)
    multiplier, shift = np.array([kernels.quantize_multiplier(scale) for scale in scales], np.int32).T
    quantization = {"input_offset": int(rng.integers(-127, 129)), "output_offset": int(rng.integers(-40, 40))}
    quantization |= {"minimum": -128, "maximum": 127} | changed
    return quantization | {"multiplier": np.ascontiguousarray(multiplier), "shift": np.ascontiguousarray(shift)}


def random_convolution(rng, size, channels, kernel, stride, pad, filters, depthwise=False, **changed):
    """A convolution_t; `size`, `kernel`, `stride` and `pad` (above, left; as much below and right) are pairs."""
    output = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(size, pad, kernel, stride, strict=True)]
    pairs = {"input": size, "kernel": kernel, "output": output, "stride": stride, "pad": pad}
    sizes = {f"{name}_{axis}": int(pair[k]) for name, pair in pairs.items() for k, axis in enumerate(PLANE)}
    sizes |= {"input_channels": channels, "output_channels": filters}
    shape = (1, *kernel, filters) if depthwise else (filters, *kernel, channels)
    order = [f"{name}_{axis}" for name in ("input", "kernel", "output", "stride", "pad") for axis in AXES[name]]
    members = {name: sizes[name] for name in order} | {"weights": rng.integers(-127, 128, shape).astype(np.int8)}
    members["bias"] = rng.integers(-5000, 5000, filters).astype(np.int32)
    members["quantization"] = random_quantization(rng, filters, members["weights"].size // filters, **changed)
    return Layer("convolution_t", members)


def outputs(layer):
    return layer.members["output_height"] * layer.members["output_width"] * layer.members["output_channels"]


def inputs(layer):
    return layer.members["input_height"] * layer.members["input_width"] * layer.members["input_channels"]


def models():
    names = [name for name in sorted(MODELS.glob("*.tflite")) if not name.stem.endswith(("_float32", "_int16x8"))]
    chosen = (
        "ds_cnn_ours_s0",
        "tc_resnet_w1_ours_s0",
        "tc_resnet_w2_ours_s0",
        "tc_resnet_w2_filter",
        "paper_cnn_filter-75",
    )
    return [path for path in names if any(part in path.stem for part in chosen)]


@pytest.mark.parametrize("path", models(), ids=lambda path: path.stem)
def test_every_operator_equals_tflm(host, path):
    check(host, path)


@pytest.mark.parametrize("name", MOST_CYCLES)
def test_board_equals_tflm_and_costs_no_more_than_before(board, name):
    assert check(board, MODELS / f"{name}.tflite") < MOST_CYCLES[name]


@pytest.mark.skipif(
    "KWS_REFERENCE" not in os.environ, reason="KWS_REFERENCE names no kws_ref_model.tflite of MLPerf Tiny"
)
def test_mlperf_model_equals_tflm_and_costs_no_more_than_before(host, board):
    check(host, os.environ["KWS_REFERENCE"])
    assert check(board, os.environ["KWS_REFERENCE"]) < 2_030_000


def check(engine, path):
    """Run each operator that has a kernel here on TFLM's input of it; returns the cycles of those with one input."""
    tflite = read_model(path)
    info, cycles = describe(tflite), 0
    tensor = tflm_tensors(tflite, random_values(np.random.default_rng(1), info.input.size))
    for op in info.ops:
        if op.name not in ("ADD", "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            continue
        if op.name == "ADD" and engine.__class__ is not HostKernels:
            continue
        (step,) = kernels_dense.steps(info, op)
        values = tuple(tensor(index) for index in op.inputs) if op.name == "ADD" else tensor(op.inputs[0])
        found = engine.run(step.kernel, step.layer, values, step.n_out, step.dtype)
        np.testing.assert_array_equal(found, tensor(op.outputs[0]), err_msg=f"{op.index} {op.name}")
        cycles += engine.costs()["cycles"] if hasattr(engine, "costs") else 0
    return cycles


SHAPES = [  # size, channels, kernel, stride, pad, filters
    ((1, 1), 5, (1, 1), (1, 1), (0, 0), 1),
    ((1, 2), 8, (1, 1), (1, 1), (0, 0), 2),
    ((3, 1), 4, (1, 1), (1, 1), (0, 0), 3),
    ((7, 1), 3, (3, 1), (1, 1), (1, 0), 5),
    ((5, 7), 1, (3, 3), (1, 1), (1, 1), 4),
    ((9, 6), 2, (2, 5), (2, 1), (0, 2), 7),
    ((10, 10), 1, (4, 3), (3, 2), (2, 0), 2),
    ((1, 9), 64, (1, 1), (1, 1), (0, 0), 6),
    ((6, 6), 17, (1, 1), (2, 2), (0, 0), 9),
    ((12, 1), 96, (9, 1), (2, 1), (4, 0), 3),
    ((16, 16), 16, (3, 3), (1, 1), (1, 1), 2),
]


@pytest.mark.parametrize("engine", ["host", "board"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_convolutions_of_any_shape(request, host, engine, shape):
    rng = np.random.default_rng(2)
    for changed in ({}, {"minimum": -100, "maximum": 90}):
        layer = random_convolution(rng, *shape, **changed)
        values = random_values(rng, inputs(layer))
        expected = host.run("convolve_s8", layer, values, outputs(layer))
        packed = kernels_dense.simd_convolution(layer)
        found = request.getfixturevalue(engine).run("convolve_simd_s8", packed, values, outputs(layer))
        np.testing.assert_array_equal(found, expected)
        assert len(np.unique(expected)) > 2 or expected.size < 8


@pytest.mark.parametrize("engine", ["host", "board"])
@pytest.mark.parametrize("pad", [(0, 0), (1, 1), (1, 0)])
def test_depthwise_convolutions_of_any_shape(request, host, engine, pad):
    rng = np.random.default_rng(3)
    for (height, width), channels in (((1, 1), 4), ((4, 3), 5), ((5, 5), 7), ((6, 14), 4), ((7, 15), 9), ((10, 30), 6)):
        size = height + 2 - 2 * pad[0], width + 2 - 2 * pad[1]
        layer = random_convolution(rng, size, channels, (3, 3), (1, 1), pad, channels, True, minimum=-120)
        values = random_values(rng, inputs(layer))
        expected = host.run("depthwise_convolve_s8", layer, values, outputs(layer))
        packed = kernels_dense.simd_depthwise(layer)
        found = request.getfixturevalue(engine).run("depthwise_convolve_simd_s8", packed, values, outputs(layer))
        np.testing.assert_array_equal(found, expected, err_msg=f"{height} {width} {channels}")


@pytest.mark.parametrize("engine", ["host", "board"])
def test_largest_sums(request, host, engine):
    """256 a + b leaves 24 bits for the sum of filter a: as many columns as the packer lets pass, at both ends."""
    rng = np.random.default_rng(4)
    layer = random_convolution(rng, (1, 4), 516, (1, 1), (1, 1), (0, 0), 4, input_offset=128)
    weights = np.stack([np.full(516, 127), np.full(516, -127), np.full(516, -127), np.full(516, 127)])
    members = layer.members | {"weights": weights.astype(np.int8).reshape(4, 1, 1, 516)}
    layer = Layer("convolution_t", members)
    for value in (-128, 127):
        values = np.full(inputs(layer), value, np.int8)
        expected = host.run("convolve_s8", layer, values, 16)
        packed = kernels_dense.simd_convolution(layer)
        np.testing.assert_array_equal(
            request.getfixturevalue(engine).run("convolve_simd_s8", packed, values, 16), expected
        )


@pytest.mark.parametrize("engine", ["host", "board"])
def test_nothing_is_written_behind_the_output(request, engine):
    rng, run = np.random.default_rng(5), request.getfixturevalue(engine).run
    convolutions = [random_convolution(rng, (height, 3), 6, (3, 3), (1, 1), (1, 1), 5) for height in (5, 6)]
    layers = [("convolve_simd_s8", layer, kernels_dense.simd_convolution(layer)) for layer in convolutions]
    depthwise = [random_convolution(rng, (height, 5), 6, (3, 3), (1, 1), (1, 1), 6, True) for height in (6, 9)]
    layers += [("depthwise_convolve_simd_s8", layer, kernels_dense.simd_depthwise(layer)) for layer in depthwise]
    for kernel, layer, packed in layers:
        n, found = outputs(layer), []
        for _ in range(2):  # the board's output keeps what lies behind
            found.append(run(kernel, packed, random_values(rng, inputs(layer)), n + 64))
        assert (found[0][:n] != found[1][:n]).any()
        np.testing.assert_array_equal(found[0][n:], found[1][n:])


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(6)
    layer = random_convolution(rng, (1, 4), 600, (1, 1), (1, 1), (0, 0), 2)
    for weight, message in ((-128, "above -128"), (127, "less than 2")):
        weights = np.full((2, 1, 1, 600), weight, np.int8)
        with pytest.raises(KernelError, match=message):
            kernels_dense.simd_convolution(replace(layer, members=layer.members | {"weights": weights}))
    quantization = layer.members["quantization"] | {"shift": np.array([0, -3], np.int32)}
    with pytest.raises(KernelError, match="scales"):
        kernels_dense.simd_convolution(replace(layer, members=layer.members | {"quantization": quantization}))
    with pytest.raises(KernelError, match="scratch"):
        kernels_dense.simd_convolution(random_convolution(rng, (1, 4), 6400, (1, 1), (1, 1), (0, 0), 2))
    for kernel, stride in (((3, 2), (1, 1)), ((3, 3), (2, 2))):
        with pytest.raises(KernelError, match="3 x 3"):
            kernels_dense.simd_depthwise(random_convolution(rng, (9, 9), 8, kernel, stride, (1, 1), 8, True))
    info = describe(read_model(MODELS / "kws10_ds_cnn_ours_s0.tflite"))
    with pytest.raises(KernelError, match="SOFTMAX"):
        kernels_dense.steps(info, info.ops[-1])

"""Random quantized networks: every kernel set equals TensorFlow Lite Micro after every operator, inside its buffers."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tflite_builder import Builder, output_size

from kwslib import engine, interpreters
from kwslib.arena import BYTES_AROUND
from kwslib.engine_host import NetworkOnHost
from kwslib.kernel_sets import KERNEL_SETS
from kwslib.kernels_host import HostKernels
from kwslib.tflite_graph import describe

ACTIVATIONS = st.sampled_from(["NONE", "RELU", "RELU6", "RELU_N1_TO_1"])
SCALES = st.floats(0.004, 0.4).map(lambda value: float(np.float32(value)))
ZERO_POINTS = st.sampled_from([-128, 0, 127]) | st.integers(-128, 127)
SMALL = settings(
    max_examples=50, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
OPERATORS = ("convolve", "depthwise", "pool", "add", "rescale", "pad")


def tflm_tensors(tflite, inputs):
    """What TFLM computes for every tensor, a list for each input; None where it refuses the network."""
    try:
        interpreter = interpreters._Tflm(tflite, keep_tensors=True)
    except interpreters.InterpreterError:
        return None
    info, found = describe(tflite), []
    wanted = [index for op in info.ops for index in op.outputs]
    for values in inputs:
        interpreter.invoke(values.reshape(info.input.shape))
        found.append({index: np.ravel(interpreter.tensor(index)).copy() for index in wanted})
    return found


def run_calls(program, host, values):
    """Output of each call on `host` (HostKernels), from one input. A layout may have gaps that hold nothing."""
    held = {program.input: np.ravel(values).astype(program.info.input.dtype)}
    outputs = []
    for call in program.calls:
        around = [np.frombuffer(held[number].tobytes() + bytes(BYTES_AROUND), np.uint8) for number in call.inputs]
        step = call.step
        inputs = tuple(around) if len(around) > 1 else around[0]
        held[call.output] = host.run(step.kernel, step.layer, inputs, step.n_out, step.dtype)
        outputs.append(held[call.output])
    return outputs


class Tflm:
    """TFLM in a process of its own, as it ends the process over some networks."""

    def __init__(self):
        self.pool = ProcessPoolExecutor(1, get_context("spawn"))

    def __call__(self, tflite, inputs):
        try:
            return self.pool.submit(tflm_tensors, tflite, inputs).result()
        except BrokenProcessPool:
            self.pool.shutdown()
            self.pool = ProcessPoolExecutor(1, get_context("spawn"))
            return None


@pytest.fixture(scope="module")
def tflm():
    """TFLM behind a function."""
    worker = Tflm()
    yield worker
    worker.pool.shutdown()


@pytest.fixture(scope="module")
def host():
    return HostKernels()


@st.composite
def networks(draw):
    """A network of one to four operators on images, then pooling or MEAN, then dense layers and softmax."""
    height, width, channels = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 9))
    builder = Builder((1, height, width, channels), draw(SCALES), draw(ZERO_POINTS))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    for name in draw(st.lists(st.sampled_from(OPERATORS), min_size=1, max_size=4)):
        window, stride = (draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(2))
        padding, activation = draw(st.sampled_from(["SAME", "VALID"])), draw(ACTIVATIONS)
        if padding == "VALID":
            window = tuple(min(size) for size in zip(window, builder.shape(builder.last)[1:3], strict=True))
        common = {"activation": activation, "scale": draw(SCALES), "zero_point": draw(ZERO_POINTS)}
        if name == "convolve":
            builder.convolve(rng, draw(st.integers(1, 9)), window, stride, padding, **common)
        elif name == "depthwise":
            builder.depthwise(rng, draw(st.integers(1, 3)), window, stride, padding, **common)
        elif name == "pool":
            kind = draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
            builder.pool(kind, window, stride, padding, activation)
        elif name == "add":
            other = builder.last
            builder.rescale("QUANTIZE", draw(SCALES), draw(ZERO_POINTS))
            builder.add(other, common["scale"], common["zero_point"], activation)
        elif name == "rescale":
            builder.rescale(draw(st.sampled_from(["QUANTIZE", "RELU"])), common["scale"], common["zero_point"])
        else:
            builder.pad(
                [[0, 0], *draw(st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=2), min_size=3, max_size=3))]
            )
    if draw(st.booleans()):
        builder.mean(draw(st.sampled_from([[1, 2], [1], [2], [3]])), draw(SCALES), draw(ZERO_POINTS))
    for _ in range(draw(st.integers(1, 2))):
        builder.dense(
            rng, draw(st.integers(1, 9)), draw(ACTIVATIONS), draw(SCALES), draw(ZERO_POINTS), draw(st.booleans())
        )
    builder.softmax(draw(st.sampled_from([1.0, 0.5, 3.0])))
    return builder.pack()


@st.composite
def packed_networks(draw):
    """Networks like paper_cnn in small: the packed chain takes them, but for what random weights forbid."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    run, stride, rows = 4 * draw(st.integers(1, 3)), draw(st.integers(1, 9)), draw(st.integers(1, 12))
    builder = Builder((1, rows, 8 * stride + run, 1), draw(SCALES), draw(ZERO_POINTS))
    filters = 2 * draw(st.integers(1, 5))
    activation = draw(st.sampled_from(["NONE", "RELU"]))
    zero_point = draw(ZERO_POINTS) if activation == "NONE" else -128
    builder.convolve(rng, filters, (rows, run), (1, stride), "VALID", activation, draw(SCALES), zero_point)
    for _ in range(draw(st.integers(1, 3))):
        builder.dense(rng, draw(st.integers(1, 20)), "NONE", draw(SCALES), draw(ZERO_POINTS), draw(st.booleans()))
    builder.softmax()
    return builder.pack()


def inputs_of(tflite, n=3):
    """Inputs over the whole range, and such that are constant."""
    size = describe(tflite).input.size
    random = np.random.default_rng(0).integers(-128, 128, (n, size)).astype(np.int8)
    return [*random, np.full(size, -128, np.int8), np.full(size, 127, np.int8)]


def check(tflite, tflm, host, kernels):
    """Compare what every call gives with TFLM; returns the program, or None where TFLM refuses the network."""
    inputs = inputs_of(tflite)
    expected = tflm(tflite, inputs)
    if expected is None:
        return None
    program = engine.plan(tflite, kernels)
    for values, tensors in zip(inputs, expected, strict=True):
        for call, found in zip(program.calls, run_calls(program, host, values), strict=True):
            if call.tensor is not None:
                np.testing.assert_array_equal(found, tensors[call.tensor], err_msg=call.step.kernel)
    return program


@SMALL
@given(tflite=networks(), kernels=st.sampled_from(list(KERNEL_SETS)))
def test_random_networks_equal_tflm(tflm, host, tflite, kernels):
    assume(check(tflite, tflm, host, kernels) is not None)


@SMALL
@given(tflite=packed_networks(), kernels=st.sampled_from(["packed", "element"]))
def test_random_networks_like_paper_cnn_equal_tflm(tflm, host, tflite, kernels):
    assume(check(tflite, tflm, host, kernels) is not None)


@st.composite
def wide_networks(draw, kind):
    """Networks of int16 or float32 without weights."""
    shape = (1, *(draw(st.integers(1, 9)) for _ in range(3)))
    scales = SCALES.map(lambda value: value / 256) if kind == "int16" else SCALES
    builder = Builder(shape, () if kind == "float32" else draw(scales), 0, kind, kind)
    for name in draw(st.lists(st.sampled_from(["pool", "add", "relu"]), min_size=1, max_size=4)):
        window, stride = (draw(st.tuples(st.integers(1, 4), st.integers(1, 4))) for _ in range(2))
        if name == "pool":
            pool = draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
            builder.pool(pool, window, stride, "SAME", draw(ACTIVATIONS))
        elif name == "add":
            other = builder.last
            builder.add(other, draw(scales), 0)
            builder.add(other, draw(scales), 0, draw(ACTIVATIONS))
        elif kind == "float32":
            builder.rescale(draw(st.sampled_from(["RELU", "RELU6"])), 0, 0)
    if draw(st.booleans()):
        builder.mean(draw(st.sampled_from([[1, 2], [1], [2], [3]])), draw(scales), 0)
    builder.softmax(draw(st.sampled_from([1.0, 0.5])))
    return builder.pack()


@SMALL
@given(tflite=st.sampled_from(["int16", "float32"]).flatmap(wide_networks))
def test_random_wide_networks_equal_tflm(tflm, host, tflite):
    info = describe(tflite)
    values = np.random.default_rng(0).normal(0, 9000 if info.input.dtype == "int16" else 3, (3, info.input.size))
    inputs = list(np.clip(values, -32768, 32767).astype(info.input.dtype))
    expected = tflm(tflite, inputs)
    assume(expected is not None)
    program = engine.plan(tflite, "plain")
    for values, tensors in zip(inputs, expected, strict=True):
        for call, found in zip(program.calls, run_calls(program, host, values), strict=True):
            tolerance = 1e-6 if found.dtype == np.float32 else 0
            np.testing.assert_allclose(found, tensors[call.tensor], rtol=tolerance, err_msg=call.step.kernel)


def every_operator():
    """One network with every operator that there is a kernel for, float32 at its ends."""
    rng = np.random.default_rng(0)
    builder = Builder((1, 9, 7, 3), (), 0, "float32")
    builder.rescale("QUANTIZE", 0.05, -5)
    builder.convolve(rng, 5, (3, 2), (2, 1), "SAME", "RELU6", 0.03, -128)
    first = builder.last
    builder.depthwise(rng, 1, (3, 3), padding="SAME", scale=0.04, zero_point=3)
    builder.add(first, 0.06, -20, "RELU")
    builder.pad([[0, 0], [1, 2], [0, 1], [0, 0]])
    builder.depthwise(rng, 2, (2, 3), (1, 2), "VALID", scale=0.1, zero_point=-7)
    builder.rescale("QUANTIZE", 0.07, 11)
    builder.rescale("RELU", 0.05, -128)
    builder.pool("MAX_POOL_2D", (2, 2), (1, 1), "SAME")
    builder.pool("AVERAGE_POOL_2D", (3, 2), (2, 1), "SAME", "RELU6")
    builder.rescale("RELU6", builder.scale(builder.last), builder.zero_point(builder.last))
    builder.mean([1, 2], 0.02, 4)
    builder.dense(rng, 9, scale=0.1)
    builder.softmax()
    builder.operator("DEQUANTIZE", [builder.last], builder.tensor(builder.shape(builder.last), dtype="float32"))
    return builder.pack()


def test_every_operator_in_generated_c(tflm):
    tflite = every_operator()
    inputs = np.random.default_rng(1).normal(0, 3, (20, describe(tflite).input.size)).astype(np.float32)
    inputs[0, :3] = 1e30, -1e30, np.inf
    expected = [tensors[describe(tflite).output.index] for tensors in tflm(tflite, inputs[1:])]
    for kernels in ("plain", "weight_first_skip"):
        program = engine.plan(tflite, kernels)
        for sanitize in (False, True):
            found = NetworkOnHost(program, sanitize).run(inputs)
            np.testing.assert_array_equal(found[1:], expected)
            assert len(np.unique(found, axis=0)) > 5


def test_output_sizes_of_the_builder():
    assert output_size((9, 7), (3, 2), (2, 1), "SAME") == (5, 7)
    assert output_size((9, 7), (3, 2), (2, 1), "VALID") == (4, 6)

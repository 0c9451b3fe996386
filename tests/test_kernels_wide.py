"""Float32 and int16x8 kernels against TensorFlow Lite Micro, on this computer and on the emulated board."""

from dataclasses import replace

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from kwslib import cache, interpreters, kernels_board, kernels_wide, packers_wide
from kwslib.kernels import KernelError
from kwslib.kernels_host import HostKernels
from kwslib.tflite_graph import describe, read_model

MODELS = cache.PROJECT_FOLDER / "results" / "models"
FLOAT, INT16 = "paper6_paper_cnn_ours_s0_float32", "paper6_paper_cnn_ours_s0_int16x8"
# Estimated, without softmax, when written; `sparse` with four fifths of the weights zero.
MOST_CYCLES = {(FLOAT, "packed"): 865_000, (FLOAT, "sparse"): 325_000}
MOST_CYCLES |= {(INT16, "packed"): 359_000, (INT16, "sparse"): 209_000}
LOWERINGS = {  # by name: what a set of kernels takes for an operator
    name: getattr(kernels_wide, f"{name}_wide")
    for name in (
        *("plain", "skip", "weight_first", "weight_first_skip", "weight_first_registers"),
        *("weight_first_registers_skip", "simd_long", "simd", "simd_expand", "packed", "sparse"),
    )
}
BYTES_BEHIND = 32  # the kernels read so far behind their input at most
# Operator, shape of the input [height, width, channels] or [inputs], outputs, kernel, stride, padding, activation
LAYERS = [
    ("CONV_2D", (7, 9, 3), 5, (3, 4), (2, 1), "SAME", "RELU"),
    ("CONV_2D", (1, 20, 6), 7, (1, 3), (1, 2), "VALID", "NONE"),
    ("CONV_2D", (12, 1, 20), 16, (9, 1), (1, 1), "SAME", "RELU"),
    ("CONV_2D", (5, 5, 64), 8, (1, 1), (1, 1), "VALID", "NONE"),
    ("CONV_2D", (2, 2, 1), 3, (1, 1), (1, 1), "VALID", "NONE"),
    ("CONV_2D", (4, 41, 1), 6, (4, 9), (1, 4), "VALID", "RELU"),
    ("DEPTHWISE_CONV_2D", (6, 5, 3), 6, (3, 3), (1, 1), "SAME", "RELU"),
    ("DEPTHWISE_CONV_2D", (8, 8, 5), 5, (2, 3), (2, 2), "VALID", "NONE"),
    ("FULLY_CONNECTED", (70,), 11, (), (), "", "RELU"),
    ("FULLY_CONNECTED", (6,), 3, (), (), "", "NONE"),
    ("FULLY_CONNECTED", (1200,), 9, (), (), "", "RELU"),
]


@pytest.fixture(scope="module")
def host():
    return HostKernels()


@pytest.fixture(scope="module")
def board():
    return kernels_board.BoardKernels(kernels_board.build())


def one_layer(dtype, name, shape, outputs, kernel, stride, padding, activation, zeros=0.5, seed=0):
    """A .tflite of one operator with random weights, a share `zeros` of them zero, the first output's all."""
    rng = np.random.default_rng(seed)
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, model.subgraphs, graph.tensors = 3, [schema.BufferT()], [graph], []

    def tensor(size, kind, scales, axis=0, data=None):
        new = schema.TensorT()
        new.shape, new.type = list(map(int, size)), getattr(schema.TensorType, kind.upper())
        new.name, new.buffer = f"tensor_{len(graph.tensors)}", 0
        if dtype == "int16":
            new.quantization = schema.QuantizationParametersT()
            new.quantization.scale = np.float32(np.atleast_1d(scales))
            new.quantization.zeroPoint = np.zeros(len(new.quantization.scale), np.int64)
            new.quantization.quantizedDimension = axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, kind).tobytes(), np.uint8)
            new.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(new)
        return len(graph.tensors) - 1

    if name == "FULLY_CONNECTED":
        size, target, axis, options = (outputs, *shape), (outputs,), 0, schema.FullyConnectedOptionsT()
    else:
        depthwise = name == "DEPTHWISE_CONV_2D"
        size, axis = ((1, *kernel, outputs), 3) if depthwise else ((outputs, *kernel, shape[2]), 0)
        options = schema.DepthwiseConv2DOptionsT() if depthwise else schema.Conv2DOptionsT()
        options.strideH, options.strideW, options.dilationHFactor, options.dilationWFactor = *stride, 1, 1
        options.padding = {"SAME": 0, "VALID": 1}[padding]
        if depthwise:
            options.depthMultiplier = outputs // shape[2]
        over = np.array(kernel) - 1 if padding == "VALID" else np.zeros(2, int)
        target = (*(-(-(np.array(shape[:2]) - over) // stride)), outputs)
    options.fusedActivationFunction = {"NONE": 0, "RELU": 1, "RELU6": 3}[activation]
    weights = rng.integers(-127, 128, size) * (rng.random(size) >= zeros)
    weights[(0,) if axis == 0 else (..., 0)] = 0
    scales = rng.uniform(0.5e-3, 2e-3, outputs)
    step = 0.12 * np.sqrt(max(1, weights.size / outputs)) * 1e-4  # of the output: its range is filled, more or less
    source = tensor((1, *shape), dtype, 1e-4)
    shaped = scales if axis == 3 else scales.reshape(-1, *[1] * (len(size) - 1))
    stored = weights * shaped if dtype == "float32" else weights
    bias = rng.integers(-(10**6), 10**6, outputs)
    inputs = [source, tensor(size, "float32" if dtype == "float32" else "int8", scales, axis, stored)]
    kind = "float32" if dtype == "float32" else "int64"
    inputs += [tensor((outputs,), kind, scales * 1e-4, 0, bias * 1e-7 if dtype == "float32" else bias)]
    result = tensor((1, *target), dtype, step)
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
    operator.inputs, operator.outputs, operator.builtinOptions = inputs, [result], options
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
    model.operatorCodes, graph.operators, graph.inputs, graph.outputs = [code], [operator], [source], [result]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def random_values(tensor, seed=0):
    rng = np.random.default_rng(seed)
    if tensor.dtype == "float32":
        return rng.normal(0, 1, tensor.size).astype(np.float32)
    values = rng.normal(0, 12000, tensor.size).clip(-(2**15), 2**15 - 1).astype(np.int16)
    values[:2] = -(2**15), 2**15 - 1
    return values


def tflm_tensors(tflite, values):
    """Function from the index of a tensor to what TFLM computes for it."""
    interpreter = interpreters._Tflm(tflite, keep_tensors=True)
    interpreter.invoke(values.reshape(describe(tflite).input.shape))
    return lambda index: np.ravel(interpreter.tensor(index)).copy()


def with_zeros(tflite, share):
    """The model with the smallest weights of each layer set to zero, in place."""
    info = describe(tflite)
    for op in filter(lambda op: op.macs, info.ops):
        weights = info.tensors[op.inputs[1]].data
        pruned = weights.ravel().copy()
        pruned[np.argsort(np.abs(pruned.astype(np.float32)))[: int(share * pruned.size)]] = 0
        assert tflite.count(weights.tobytes()) == 1
        tflite = tflite.replace(weights.tobytes(), pruned.tobytes())
    return tflite


def run(engine, step, values):
    padded = np.pad(values, (0, BYTES_BEHIND), constant_values=77)
    return engine.run(step.kernel, step.layer, padded, step.n_out, step.dtype)


def assert_equal(found, expected, name):
    if expected.dtype == np.float32:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max(), err_msg=name)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=name)


def lowered(info, op):
    """The lowerings that take an operator, by name: a step each."""
    steps = {}
    for name in LOWERINGS:
        try:
            (steps[name],) = LOWERINGS[name](info, op)
        except KernelError:
            continue
    return steps


@pytest.mark.parametrize("share", [0, 0.8])
@pytest.mark.parametrize("model", [FLOAT, INT16])
def test_every_lowering_equals_tflm_layer_by_layer(host, model, share):
    tflite = with_zeros(read_model(MODELS / f"{model}.tflite"), share)
    info, taken = describe(tflite), set()
    tensor = tflm_tensors(tflite, random_values(info.input))
    for op in filter(lambda op: op.macs, info.ops):
        expected = tensor(op.outputs[0])
        for name, step in lowered(info, op).items():
            assert_equal(run(host, step, tensor(op.inputs[0])), expected, f"{step.kernel} {op.index}")
            taken.add(name)
    assert taken == {name for name in LOWERINGS if model == INT16 or "simd" not in name}


@pytest.mark.parametrize("dtype", ["float32", "int16"])
@pytest.mark.parametrize("case", LAYERS, ids=lambda case: f"{case[0]}-{case[1]}")
def test_any_shape_equals_tflm(host, board, dtype, case):
    for zeros in (0, 0.7):
        tflite = one_layer(dtype, *case, zeros=zeros, seed=len(case[1]))
        info = describe(tflite)
        values = random_values(info.input)
        expected = tflm_tensors(tflite, values)(info.output.index)
        assert np.std(expected) > 0
        steps = lowered(info, info.ops[0])
        assert len(steps) > 1
        for step in steps.values():
            assert_equal(run(host, step, values), expected, f"{step.kernel} on the host")
            if zeros:
                assert_equal(run(board, step, values), expected, f"{step.kernel} on the board")


@pytest.mark.parametrize(("model", "lowering"), MOST_CYCLES)
def test_network_on_the_board_equals_tflm_and_costs_no_more_than_before(board, model, lowering):
    tflite = with_zeros(read_model(MODELS / f"{model}.tflite"), 0.8 if lowering == "sparse" else 0)
    info, cycles = describe(tflite), 0
    tensor = tflm_tensors(tflite, random_values(info.input))
    for op in filter(lambda op: op.macs, info.ops):
        (step,) = LOWERINGS[lowering](info, op)
        assert_equal(run(board, step, tensor(op.inputs[0])), tensor(op.outputs[0]), f"{step.kernel} {op.index}")
        cycles += board.costs()["cycles"]
    assert cycles < MOST_CYCLES[model, lowering]


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_far_between_weights(host, board, dtype):
    tflite = one_layer(dtype, "FULLY_CONNECTED", (1200,), 6, (), (), "", "NONE", zeros=0.996)
    info = describe(tflite)
    weights = info.tensors[info.ops[0].inputs[1]].data
    assert max(np.diff(np.flatnonzero(row)).max(initial=0) for row in weights) > 127
    values = random_values(info.input)
    expected = tflm_tensors(tflite, values)(info.output.index)
    (step,) = kernels_wide.sparse_wide(info, info.ops[0])
    for engine in (host, board):
        assert_equal(run(engine, step, values), expected, step.kernel)


def test_large_weights_come_in_parts(host, board):
    """Weights of an int16 layer whose sums leave 32 bits."""
    tflite = one_layer("int16", "FULLY_CONNECTED", (1600,), 4, (), (), "", "NONE", zeros=0)
    info = describe(tflite)
    weights = info.tensors[info.ops[0].inputs[1]].data
    changed = np.full_like(weights, 127)
    changed[1] = -127
    tflite = tflite.replace(weights.tobytes(), changed.tobytes())
    info = describe(tflite)
    values = np.full(1600, -(2**15), np.int16)
    expected = tflm_tensors(tflite, values)(info.output.index)
    steps = lowered(info, info.ops[0])
    assert "simd" not in steps and 0 < steps["packed"].layer.members["part"] < 1600
    for name in ("plain", "simd_long", "packed", "sparse"):
        for engine in (host, board):
            np.testing.assert_array_equal(run(engine, steps[name], values), expected, err_msg=name)


def test_what_does_not_fit_is_refused():
    int8 = describe(read_model(MODELS / "paper6_paper_cnn_ours_s0.tflite"))
    with pytest.raises(KernelError, match=r"operator 0 \(CONV_2D\) has types int8, int8, int8"):
        kernels_wide.plain_wide(int8, int8.ops[0])
    info = describe(read_model(MODELS / f"{FLOAT}.tflite"))
    with pytest.raises(KernelError, match="operator 6 is SOFTMAX"):
        kernels_wide.packed_wide(info, info.ops[6])
    with pytest.raises(KernelError, match="only a CONV_2D"):
        kernels_wide.weight_first_wide(info, info.ops[2])
    with pytest.raises(KernelError, match="SIMD kernels take int16"):
        kernels_wide.simd_wide(info, info.ops[0])
    odd = describe(one_layer("float32", "FULLY_CONNECTED", (7,), 2, (), (), "", "NONE"))
    with pytest.raises(KernelError, match="even number of inputs, this one has 7"):
        kernels_wide.packed_wide(odd, odd.ops[0])
    clamped = describe(one_layer("int16", "CONV_2D", (8, 8, 20), 2, (8, 8), (1, 1), "VALID", "RELU6"))
    with pytest.raises(KernelError, match="another maximum"):
        kernels_wide.packed_wide(clamped, clamped.ops[0])
    square = describe(one_layer("float32", "CONV_2D", (3, 3, 2), 2, (1, 1), (1, 1), "VALID", "NONE"))
    with pytest.raises(KernelError, match="nine in a row"):
        kernels_wide.weight_first_registers_wide(square, square.ops[0])


@pytest.mark.parametrize("kind", ["convolution", "fully_connected"])
def test_scale_out_of_range_is_refused_unless_there_are_no_weights(host, kind):
    case = (LAYERS[5] if kind == "convolution" else LAYERS[8])[:-1]
    info = describe(one_layer("int16", *case, "NONE"))
    plain = kernels_wide.layer(info, info.ops[0])
    (step,), values = kernels_wide.plain_wide(info, info.ops[0]), random_values(info.input)
    plain.members["quantization"]["shift"][0] = 2  # the first output has no weights
    plain.members["bias"] = plain.members["bias"].copy()
    plain.members["bias"][0] = 1234
    expected = run(host, replace(step, layer=plain), values)
    assert (expected.reshape(-1, case[2])[:, 0] > 2 * 1234).all()
    for variant, packers in (("packed", packers_wide.PACK), ("sparse", packers_wide.PACK_SPARSE)):
        call = replace(step, kernel=f"{step.kernel[:-4]}_{variant}_s16", layer=packers[plain.struct](plain))
        found = run(host, call, values)
        np.testing.assert_array_equal(found, expected, err_msg=variant)
    plain.members["quantization"]["shift"][1] = 2
    for packers in (packers_wide.PACK, packers_wide.PACK_SPARSE):
        with pytest.raises(KernelError, match="scales between"):
            packers[plain.struct](plain)


def test_each_rung_costs_less_than_the_one_before(board):
    info = describe(one_layer("int16", *LAYERS[5]))
    values, cycles = random_values(info.input), []
    for rung in ("plain", "simd", "packed"):
        (step,) = LOWERINGS[rung](info, info.ops[0])
        run(board, step, values)
        cycles.append(board.costs()["cycles"])
    assert cycles[0] > cycles[1] > cycles[2]


@pytest.mark.parametrize("dtype", ["float32", "int16"])
def test_damaged_and_grouped_layers_are_refused(dtype):
    info = describe(one_layer(dtype, *LAYERS[0]))
    (op,), tensors = info.ops, list(info.tensors)
    source, weights, bias = (tensors[index] for index in op.inputs)
    tensors[op.inputs[0]] = replace(source, shape=(1, 7, 9, 6))  # two groups of three channels
    with pytest.raises(KernelError, match="no groups"):
        kernels_wide.plain_wide(replace(info, tensors=tuple(tensors)), op)
    tensors[op.inputs[0]] = source
    tensors[op.inputs[1]] = replace(weights, data=None)
    with pytest.raises(KernelError, match="only constants"):
        kernels_wide.plain_wide(replace(info, tensors=tuple(tensors)), op)
    tensors[op.inputs[1]] = weights
    tensors[op.inputs[2]] = replace(bias, data=bias.data[:-1])
    with pytest.raises(KernelError, match="its bias is not one"):
        kernels_wide.plain_wide(replace(info, tensors=tuple(tensors)), op)
    with pytest.raises(KernelError, match="TANH"):
        kernels_wide.plain_wide(info, replace(op, activation="TANH"))
    with pytest.raises(KernelError, match="dilated"):
        kernels_wide.plain_wide(info, replace(op, options=op.options | {"dilationHFactor": 2}))

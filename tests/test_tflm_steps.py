"""Our kernels inside TensorFlow Lite Micro: the generated C, compiled for this computer, against TFLM."""

import ctypes

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from kwslib import cache, interpreters, kernels, kernels_plain, tflm_steps, toolchain
from kwslib.kernels import KernelError, Layer, Scratch, Step
from kwslib.tflite_graph import describe, read_model

MODELS = cache.PROJECT_FOLDER / "results" / "models"
FIRMWARE = toolchain.SOURCE_FOLDER
FLOAT, DENSE = "paper6_paper_cnn_ours_s0_float32", "paper6_paper_cnn_element-80_s0"


SIZES = ("inputs", "input_bytes", "output_bytes", "scratch_bytes", "scratch_alignment")


class Operator(ctypes.Structure):
    """our_operator_t."""

    _fields_ = [
        ("output_tensor", ctypes.c_int32),
        *(
            (name, ctypes.c_uint32)
            for name in ("inputs", "input_bytes", "output_bytes", "scratch_bytes", "scratch_alignment")
        ),
        ("run", ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p, ctypes.c_void_p)),
    ]


def compiled(folder, tflite, steps):
    """The operators of `steps` from C compiled for this computer, by their output tensor."""
    built_in = tflm_steps.without_weights(tflite, steps)
    (folder / "our_steps.c").write_text(tflm_steps.source(built_in, describe(tflite), steps))
    (folder / "model.c").write_text(
        f"_Alignas(16) const unsigned char g_model_data[] = {{{','.join(map(str, built_in))}}};\n"
    )
    code = [path for path in (FIRMWARE / "kernels").glob("*.c") if not path.name.startswith("bench_")]
    flags = [f"-I{FIRMWARE / name}" for name in ("kernels", "tflm")] + ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
    sources = [*sorted(code), folder / "our_steps.c", folder / "model.c"]
    library = ctypes.CDLL(str(toolchain.host_library("our_steps", sources, flags=flags)))
    count = ctypes.c_uint32.in_dll(library, "our_operator_count").value
    found = (Operator * count).in_dll(library, "our_operators")
    return {operator.output_tensor: (library, operator) for operator in found}


def run(operator, values):
    """Output bytes of an operator for an input array."""
    assert values.nbytes == operator.input_bytes
    output, scratch = np.zeros(operator.output_bytes, np.int8), bytearray(operator.scratch_bytes + 4096)
    place = ctypes.addressof(ctypes.c_char.from_buffer(scratch))
    place += -place % operator.scratch_alignment
    padded = np.pad(values.ravel(), (0, 32))
    operator.run((ctypes.c_void_p * 1)(padded.ctypes.data), output.ctypes.data, place)
    return output


def tensors(tflite):
    """Function from a tensor's index to what TFLM computes for it from noise."""
    info, interpreter = describe(tflite), interpreters._Tflm(tflite, keep_tensors=True)
    values = np.random.default_rng(0).normal(0, 50, info.input.shape).clip(-128, 127)
    interpreter.invoke(values.astype(np.int8))
    return lambda index: np.ravel(interpreter.tensor(index)).copy()


@pytest.mark.parametrize("model", ["kws10_ds_cnn_ours_s0", DENSE])
def test_plain_kernels_equal_tflm(tmp_path, model):
    tflite = read_model(MODELS / f"{model}.tflite")
    info, tensor = describe(tflite), tensors(tflite)
    steps = tflm_steps.steps(tflite, "plain")
    operators = compiled(tmp_path, tflite, steps)
    assert set(steps) == {op.index for op in info.ops if op.macs} and len(operators) == len(steps)
    for index in steps:
        op = info.ops[index]
        found = run(operators[op.outputs[0]][1], tensor(op.inputs[0]))
        np.testing.assert_array_equal(found, tensor(op.outputs[0]), err_msg=f"{op.name} {index}")


def identity(size):
    """A depthwise layer of 1 x 1 that hands int8 values on as they are."""
    quantization = {"input_offset": 0, "output_offset": 0, "minimum": -128, "maximum": 127}
    quantization |= {"multiplier": np.array([2**30], np.int32), "shift": np.array([1], np.int32)}
    sizes = {"input_height": 1, "input_width": size, "input_channels": 1, "kernel_height": 1, "kernel_width": 1}
    sizes |= {"output_height": 1, "output_width": size, "output_channels": 1, "stride_height": 1, "stride_width": 1}
    arrays = {"weights": np.ones((1, 1, 1, 1), np.int8), "bias": np.zeros(1, np.int32)}
    return Layer("convolution_t", sizes | {"pad_height": 0, "pad_width": 0} | arrays | {"quantization": quantization})


def test_an_operator_of_several_calls_and_weights_that_are_packed(tmp_path, monkeypatch):
    def changed(info, op):
        """Weights in another form (inputs the other way round), and results that go through two more calls."""
        layer, size = kernels.plain_layer(info, op), info.tensors[op.outputs[0]].size
        turned = {"weights": np.ascontiguousarray(layer.members["weights"][::-1])}
        turned |= {"bias": np.ascontiguousarray(layer.members["bias"][::-1])}
        quantization = layer.members["quantization"]
        arrays = {name: np.ascontiguousarray(quantization[name][::-1]) for name in ("multiplier", "shift")}
        turned |= {"quantization": quantization | arrays}
        first = Step("fully_connected_s8", Layer(layer.struct, layer.members | turned), size, "int8", alignment=2048)
        return [first, *(Step("depthwise_convolve_s8", identity(size), size, "int8") for _ in range(2))]

    monkeypatch.setitem(tflm_steps.KERNELS, "changed", (changed,))
    tflite = read_model(MODELS / f"{DENSE}.tflite")
    info, tensor = describe(tflite), tensors(tflite)
    steps = {index: calls for index, calls in tflm_steps.steps(tflite, "plain").items() if index}
    steps = {index: changed(info, info.ops[index]) for index in steps}
    used = tflm_steps.memory(next(iter(steps.values())))
    assert used.alignment == 2048 and used.outputs == (0, 2048) and used.n_bytes == 4096
    operators = compiled(tmp_path, tflite, steps)
    for index in steps:
        op = info.ops[index]
        found = run(operators[op.outputs[0]][1], tensor(op.inputs[0]))
        np.testing.assert_array_equal(found[::-1], tensor(op.outputs[0]))

    smaller = tflm_steps.without_weights(tflite, steps)
    taken_out = sum(info.tensors[info.ops[index].inputs[1]].size for index in steps)
    assert len(tflite) - len(smaller) > 0.95 * taken_out
    graph = schema.ModelT.InitFromObj(schema.Model.GetRootAs(smaller, 0))
    assert [list(op.outputs) for op in graph.subgraphs[0].operators] == [list(op.outputs) for op in info.ops]
    convolution = info.tensors[info.ops[0].inputs[1]]
    buffer = graph.buffers[graph.subgraphs[0].tensors[convolution.index].buffer]
    assert bytes(buffer.data) == convolution.data.tobytes()


def test_scratch_members_point_behind_the_outputs():
    layer = Layer("some_t", {"inputs": 3, "scale": 0.5, "first": Scratch(40), "second": Scratch(8)})
    calls = [Step("some_kernel", layer, 10, "int16"), Step("other_kernel", layer, 4, "int8")]
    used = tflm_steps.memory(calls)
    assert (used.outputs, used.inside, used.n_bytes) == ((0,), 64, 64 + 64 + 32)
    assert "kernel(&own_0, inputs[0], inputs[1], " in "\n".join(tflm_steps._operator(b"", 7, calls, n_inputs=2))
    text = "\n".join(tflm_steps._operator(b"", 7, calls))
    assert "own_0.first = (void *)(scratch + 64);" in text and "own_1.second = (void *)(scratch + 128);" in text
    assert "some_kernel(&own_0, inputs[0], (void *)(scratch + 0));" in text
    assert "other_kernel(&own_1, (const void *)(scratch + 0), output);" in text
    assert ".scale = 0x1p-1f" in text


def test_a_kind_is_served_whole_or_not_at_all(monkeypatch):
    def refuse(info, op):
        raise KernelError("not this one")

    def first_only(info, op):
        return kernels_plain.weighted(info, op) if op.index <= 2 else refuse(info, op)

    tflite = read_model(MODELS / f"{DENSE}.tflite")
    monkeypatch.setitem(tflm_steps.KERNELS, "refuse", (refuse,))
    monkeypatch.setitem(tflm_steps.KERNELS, "first", (refuse, first_only))
    monkeypatch.setitem(tflm_steps.KERNELS, "both", (refuse, kernels_plain.weighted))
    assert tflm_steps.steps(tflite, "library") == {}
    assert set(tflm_steps.steps(tflite, "both")) == set(tflm_steps.steps(tflite, "plain")) == {0, 2, 3, 4, 5}
    assert set(tflm_steps.steps(tflite, "first")) == {0}  # one dense layer fits, the others do not
    with pytest.raises(KernelError, match=r"no operator of the model fits our kernels \(refuse\)"):
        tflm_steps.steps(tflite, "refuse")
    with pytest.raises(KernelError, match="kernels = 'best': allowed is 'library', 'simd', 'plain', "):
        tflm_steps.steps(tflite, "best")
    with pytest.raises(KernelError, match=r"fits our kernels \(plain\)"):
        tflm_steps.steps(read_model(MODELS / f"{FLOAT}.tflite"), "plain")


def test_a_shared_tensor_stays(tmp_path):
    """Weights that an operator outside `served` reads as well are not taken out."""
    tflite = read_model(MODELS / f"{DENSE}.tflite")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite, 0))
    operators = model.subgraphs[0].operators
    inputs = list(operators[4].inputs)
    operators[4].inputs = [inputs[0], operators[3].inputs[1], *inputs[2:]]  # as a file with shared weights has it
    builder = flatbuffers.Builder(len(tflite))
    builder.Finish(model.Pack(builder), b"TFL3")
    shared = bytes(builder.Output())
    info = describe(shared)
    calls = [Step("fully_connected_s8", identity(8), 8, "int8")]
    assert tflm_steps.without_weights(shared, {3: calls}) == shared
    assert len(tflm_steps.without_weights(shared, {3: calls, 4: calls})) < len(shared)
    assert info.ops[4].inputs[1] == info.ops[3].inputs[1]

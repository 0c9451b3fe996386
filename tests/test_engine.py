"""Whole models planned and written as C: every kernel set against TFLM after every operator, memory, and refusals."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_engine_models import inputs_of, run_calls, tflm_tensors
from tflite_builder import Builder

from kwslib import arena, cache, engine, engine_c, interpreters
from kwslib.__main__ import main
from kwslib.arena import BYTES_AROUND, Buffer
from kwslib.engine import EngineError
from kwslib.engine_host import NetworkOnHost
from kwslib.kernel_sets import KERNEL_SETS
from kwslib.kernels import KernelError, outputs_order, pack_fully_connected, plain_layer
from kwslib.kernels_host import HostKernels
from kwslib.tflite_graph import ModelFileError, describe, read_model

MODELS = cache.PROJECT_FOLDER / "results" / "models"
INT8 = sorted(MODELS.glob("*_s0.tflite"))
WIDE = sorted(MODELS.glob("*_float32.tflite")) + sorted(MODELS.glob("*_int16x8.tflite"))
REFERENCE = Path(os.environ.get("KWS_REFERENCE", "kws_ref_model"))  # of github.com/mlcommons/tiny
PAPER, PRUNED = MODELS / "paper6_paper_cnn_ours_s0.tflite", MODELS / "paper6_paper_cnn_element-80_s0.tflite"
TC_RESNET, DS_CNN = MODELS / "paper6_tc_resnet_w2_ours_s0.tflite", MODELS / "kws10_ds_cnn_ours_s0.tflite"


@pytest.fixture(scope="module")
def host():
    return HostKernels()


def noise(tflite, n=1, seed=0):
    """Inputs [n, values] that look like features."""
    values = np.random.default_rng(seed).normal(-17, 40, (n, describe(tflite).input.size))
    return values.clip(-128, 127).astype(np.int8)


@pytest.mark.parametrize("path", [*INT8, REFERENCE], ids=lambda path: path.stem)
def test_every_model_on_every_kernel_set_equals_tflm_after_every_operator(host, path):
    if path == REFERENCE and not path.is_file():
        pytest.skip("KWS_REFERENCE does not name MLPerf Tiny's kws_ref_model.tflite")
    tflite = read_model(path)
    values = noise(tflite)
    expected, lists = tflm_tensors(tflite, values)[0], set()
    for kernels in KERNEL_SETS:
        program = engine.plan(tflite, kernels)
        lists.add(tuple(call.step.kernel for call in program.calls))
        for call, found in zip(program.calls, run_calls(program, host, values), strict=True):
            if call.tensor is not None:
                np.testing.assert_array_equal(found, expected[call.tensor], err_msg=f"{kernels} {call.step.kernel}")
        assert call.tensor == describe(tflite).output.index and len(np.unique(found)) > 1
    assert len(lists) >= 4  # the sets do differ


@pytest.mark.parametrize("path", WIDE, ids=lambda path: path.stem)
def test_float_and_int16_models_on_every_kernel_set_equal_tflm(host, path):
    tflite = read_model(path)
    values, tensor = noise(tflite).astype(np.float32) / 40, describe(tflite).input
    raw = interpreters.quantize_input(values.reshape(1, *tensor.shape[1:]), tensor)
    expected = interpreters.run_tflm(tflite, values.reshape(1, *tensor.shape[1:]))[0]
    for kernels in KERNEL_SETS:
        found = run_calls(engine.plan(tflite, kernels), host, raw[0])[-1]
        exact = {"rtol": 0, "atol": 1e-5 if tensor.dtype == "float32" else 0}
        np.testing.assert_allclose(found, np.ravel(expected), **exact, err_msg=kernels)


@pytest.mark.parametrize(
    ("path", "kernels"), [(PAPER, "packed"), (PRUNED, "element"), (TC_RESNET, "plain"), (DS_CNN, "plain")]
)
def test_generated_c_equals_tflm_and_stays_in_its_buffers(path, kernels):
    tflite = read_model(path)
    values, output = noise(tflite, 8), describe(tflite).output.index
    expected = [tensors[output] for tensors in tflm_tensors(tflite, values)]
    program = engine.plan(tflite, kernels, name=path.stem)
    for sanitize in (False, True):
        np.testing.assert_array_equal(NetworkOnHost(program, sanitize).run(values), expected)


def test_generated_c_of_sparse_float_kernels():
    path = MODELS / "paper6_paper_cnn_element-80_s0_float32.tflite"
    tflite, values = read_model(path), noise(read_model(PRUNED), 2).astype(np.float32) / 40
    expected = interpreters.run_tflm(tflite, values.reshape(2, 30, 40, 1))
    program = engine.plan(tflite, "element", name=path.stem)
    np.testing.assert_allclose(NetworkOnHost(program, sanitize=True).run(values), expected, atol=1e-5)


def test_sanitizers_see_an_access_outside():
    program = engine.plan(read_model(PRUNED), "plain")
    last = program.calls[-1]
    longer = replace(last.step.layer, members=last.step.layer.members | {"rows": 9})
    calls = (*program.calls[:-1], replace(last, step=replace(last.step, layer=longer)))
    with pytest.raises(EngineError, match=r"broke off.*overflow"):
        NetworkOnHost(replace(program, calls=calls), sanitize=True).run(noise(read_model(PRUNED)))


def test_c_says_where_it_comes_from_and_can_be_written_again(tmp_path):
    program = engine.plan(read_model(PRUNED), "element", name=PRUNED.stem)
    header, source = engine_c.write_c(program, tmp_path / "one")
    again = engine_c.write_c(engine.plan(read_model(PRUNED), "element", name=PRUNED.stem), tmp_path / "two")
    assert [header.read_text(), source.read_text()] == [path.read_text() for path in again]
    for text in (header.read_text(), source.read_text()):
        assert program.sha256 in text and f"{PRUNED.name} FOLDER --kernels element" in text
    assert re.search(r"NETWORK_INPUT_BYTES 1200\n", header.read_text())
    assert f"NETWORK_ARENA_BYTES {program.arena_bytes} " in header.read_text()
    stored = sum(int(n) for n in re.findall(r"const u?int8_t constant_\d+\[(\d+)\]", source.read_text()))
    assert 0.9 * program.constant_bytes < stored + 1024 <= program.constant_bytes  # 1024: the table of SOFTMAX


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 5000), st.sampled_from([32, 2048]), st.integers(-1, 9), st.integers(0, 4)), min_size=1
    )
)
def test_buffers_of_the_same_time_never_overlap(wanted):
    placed = arena.place([Buffer(n_bytes, align, first, first + length) for n_bytes, align, first, length in wanted])
    for number, one in enumerate(placed):
        assert one.offset % one.alignment == 0 and one.offset >= BYTES_AROUND
        assert one.offset + one.n_bytes + BYTES_AROUND <= arena.size(placed)
        for other in placed[:number]:
            apart = one.last < other.first or other.last < one.first
            assert apart or one.offset + one.n_bytes <= other.offset or other.offset + other.n_bytes <= one.offset
    most = sum(buffer.n_bytes + buffer.alignment for buffer in placed)
    assert arena.size(placed) <= most + 2 * BYTES_AROUND + arena.alignment(placed)


def test_arena_is_smaller_than_all_tensors_together():
    tflite = read_model(TC_RESNET)
    info, program = describe(tflite), engine.plan(tflite, "plain")
    live = max(
        sum(info.tensors[index].bytes for index in {*op.inputs, *op.outputs} if info.tensors[index].data is None)
        for op in info.ops
    )
    assert live <= program.arena_bytes < sum(info.tensors[i].bytes for op in info.ops for i in op.outputs) / 2


def test_choice_for_an_operator():
    program = engine.plan(read_model(PAPER), "plain", {0: "weight_first", 2: "skip"})
    kernels = [call.step.kernel for call in program.calls[:3]]
    assert kernels == ["convolve_weight_first_s8", "fully_connected_skip_s8", "fully_connected_s8"]
    assert not program.notes


def test_what_a_set_cannot_do_is_plain_and_noted():
    tflite = read_model(PAPER)
    weights = describe(tflite).tensors[describe(tflite).ops[0].inputs[1]].data
    lowest = weights.copy()
    lowest[0, 0, 0] = -128
    tflite = tflite.replace(weights.tobytes(), lowest.tobytes())
    program = engine.plan(tflite, "packed")
    assert program.calls[0].step.kernel == "convolve_s8"
    assert re.fullmatch(r"operator 0 \(CONV_2D\) is on plain kernels: .*weights above -128.*", program.notes[0])
    program = engine.plan(tflite, "best")
    assert program.calls[0].step.kernel == "convolve_simd_expand_s8"
    (note,) = program.notes
    assert re.fullmatch(r"operator 0 \(CONV_2D\): the chain was refused: a packed .* weights above -128", note)


def check_equal_to_tflm(host, program, tflite):
    """Compare what every call gives with TFLM, over the whole range of inputs."""
    inputs = [*inputs_of(tflite), *noise(tflite, 3)]
    for values, expected in zip(inputs, tflm_tensors(tflite, inputs), strict=True):
        for call, found in zip(program.calls, run_calls(program, host, values), strict=True):
            if call.tensor is not None:
                np.testing.assert_array_equal(found, expected[call.tensor], err_msg=call.step.kernel)


@pytest.mark.parametrize("name", ["ours_s2", "as_paper_s0", "as_paper_s1", "as_paper_s2"])
def test_large_weights_stay_in_the_chain_in_another_order(host, name):
    tflite = read_model(MODELS / f"paper6_paper_cnn_{name}.tflite")
    info, program = describe(tflite), engine.plan(tflite, "best")
    large = plain_layer(info, info.ops[2])
    with pytest.raises(KernelError, match="less than 2"):
        pack_fully_connected(large)
    order = outputs_order(large)
    assert sorted(order) == list(range(32)) and (order != np.arange(32)).any()
    called = [call.step.kernel for call in program.calls[:3]]
    assert called == ["panels_s8", "convolve_packed_s8", "fully_connected_packed_s8"] and not program.notes
    check_equal_to_tflm(host, program, tflite)


def with_full_weights(builder):
    """The network, the last layer's weights 127 and -127 in turn."""
    weights = builder.graph.tensors[builder.graph.operators[-1].inputs[1]]
    size = int(np.prod(weights.shape))
    builder.model.buffers[weights.buffer].data = np.resize(np.array([127, -127, -127], np.int8), size).view(np.uint8)
    return builder


def test_full_weights_are_on_simd_kernels_at_least(host):
    builder = Builder((1, 1680))
    builder.dense(np.random.default_rng(0), 8)
    tflite = with_full_weights(builder).pack()
    program = engine.plan(tflite, "best")
    assert [call.step.kernel for call in program.calls] == ["fully_connected_simd_expand_s8"] and not program.notes
    check_equal_to_tflm(host, program, tflite)
    assert engine.plan(tflite, "block4").calls[-1].step.kernel == "fully_connected_block4_s8"


def test_a_chain_that_was_refused_is_noted(host):
    builder, rng = Builder((1, 3, 32, 1)), np.random.default_rng(0)
    builder.convolve(rng, 210, (3, 4), (1, 4), "VALID")
    builder.dense(rng, 8)
    with_full_weights(builder).dense(rng, 3)
    tflite = builder.pack()
    program = engine.plan(tflite, "best")
    called = [call.step.kernel for call in program.calls]
    assert called == ["convolve_simd_s8", "fully_connected_simd_expand_s8", "convolve_simd_s8"]
    (note,) = program.notes
    assert re.fullmatch(r"operator 0 \(CONV_2D\): the chain was refused: .* less than 2\^16 in magnitude", note)
    check_equal_to_tflm(host, program, tflite)
    for path in (PAPER, TC_RESNET, DS_CNN, *WIDE):  # served in full, or of another kind
        assert not engine.plan(read_model(path), "best").notes


def test_a_chain_leaves_what_is_needed_elsewhere():
    builder = Builder((1, 3, 12, 1))
    rng = np.random.default_rng(0)
    builder.convolve(rng, 4, (3, 4), (1, 4), "VALID")
    image = builder.last
    builder.dense(rng, 8)
    fitting = builder.pack()
    assert engine.plan(fitting, "packed").calls[0].step.kernel == "panels_s8"
    builder.last = image
    builder.rescale("RELU", 0.1, 0)
    assert engine.plan(builder.pack(), "packed").calls[0].step.kernel == "convolve_s8"


def refused(tflite, match, **options):
    with pytest.raises(EngineError, match=match) as caught:
        engine.plan(tflite, **{"kernels": "plain", "name": "net"} | options)
    assert "\n" not in str(caught.value)


def test_what_no_kernel_serves_is_refused():
    builder = Builder((1, 4, 4, 2))
    builder.rescale("LOGISTIC", 1 / 256, -128)
    refused(builder.pack(), r"net: operator 0 \(LOGISTIC, 'tensor_1'\): there is no kernel")
    builder = Builder((1, 4, 4, 2))
    builder.convolve(np.random.default_rng(0), 3, (2, 2))
    builder.graph.operators[0].builtinOptions.dilationHFactor = 2
    refused(builder.pack(), r"operator 0 \(CONV_2D.*dilated")
    builder = Builder((1, 4, 4, 2))
    builder.convolve(np.random.default_rng(0), 3, (2, 2))
    builder.graph.operators[0].builtinOptions.fusedActivationFunction = 4
    refused(builder.pack(), r"activation function TANH")
    builder = Builder((1, 4, 4, 2))
    builder.rescale("SOFTMAX", 1 / 128, -128)
    refused(builder.pack(), r"SOFTMAX.*scale 1/256")
    builder = Builder((1, 4, 4, 2))
    builder.add(builder.tensor((1, 4, 4, 2), 0.1, 0, data=np.ones((1, 4, 4, 2))), 0.2, 0)
    refused(builder.pack(), r"ADD.*a constant")


def test_damaged_graphs_are_refused():
    builder = Builder((1, 4, 4, 2))
    builder.rescale("RELU", 0.1, 0)
    builder.graph.tensors[0].shapeSignature = [-1, -1, 4, 2]
    refused(builder.pack(), r"tensor 'tensor_0' has open axes \[1\]")
    builder = Builder((1, 4, 4, 2))
    builder.rescale("RELU", float("nan"), 0)
    refused(builder.pack(), r"tensor 'tensor_1' has impossible scales")
    builder = Builder((1, 4, 4, 2))
    builder.operator("RELU", [builder.tensor((1, 4, 4, 2), 0.1, 0)], builder.tensor((1, 4, 4, 2), 0.1, 0))
    refused(builder.pack(), r"input 'tensor_1' is computed by no operator")
    builder = Builder((1, 4, 4, 2))
    builder.operator("RELU", [77], builder.tensor((1, 4, 4, 2), 0.1, 0))
    refused(builder.pack(), r"operator 0 \(RELU\) names no tensors of the file")
    builder = Builder((1, 4, 4, 2))
    builder.convolve(np.random.default_rng(0), 3, (2, 2))
    builder.model.buffers[1].data = builder.model.buffers[1].data[:-1]
    with pytest.raises(ModelFileError, match="damaged"):
        engine.plan(builder.pack())


def test_damaged_bytes_never_end_in_another_error():
    tflite, rng = read_model(MODELS / "paper6_tc_resnet_w2_filter-75_s0.tflite"), np.random.default_rng(0)
    ends = {"planned": 0, "refused": 0}
    for _ in range(400):
        content = bytearray(tflite)
        for place in rng.integers(8, len(content), 2):
            content[place] = rng.integers(256)
        try:
            engine.plan(bytes(content), "best")
            ends["planned"] += 1
        except (EngineError, ModelFileError):
            ends["refused"] += 1
    assert min(ends.values()) > 5


def test_limits_of_memory():
    tflite = read_model(PAPER)
    refused(tflite, r"constants need 126,336 bytes of flash, given are 100,000", flash_bytes=100_000)
    refused(tflite, r"activations need [\d,]+ bytes of RAM, given are 2,000", ram_bytes=2_000)
    refused(tflite, r"kernels = 'fast': there are plain, ", kernels="fast")


def test_command_writes_c_and_tells_of_errors(tmp_path, capsys):
    assert main(["engine", str(PRUNED), str(tmp_path), "--kernels", "element"]) == 0
    said = capsys.readouterr().out
    assert "element: 7 calls" in said and (tmp_path / "network.c").is_file() and (tmp_path / "network.h").is_file()
    assert main(["engine", str(PRUNED), str(tmp_path), "--kernels", "element", "plain"]) == 2
    assert main(["engine", str(tmp_path / "network.c"), str(tmp_path)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2 and "one kernel set" in errors[0] and "no TensorFlow Lite model" in errors[1]

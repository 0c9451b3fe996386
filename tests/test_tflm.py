"""Models for TensorFlow Lite Micro's firmware; with TFLM_ROOT set, the firmware itself on the emulated board."""

import os
import re
import subprocess
import sys

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from kwslib import board, cache, interpreters, tflm, tflm_board
from kwslib.tflite_graph import read_model
from kwslib.tflm import TflmError

MODELS = cache.PROJECT_FOLDER / "results" / "models"
PAPER, DS_CNN = MODELS / "paper6_paper_cnn_ours_s0.tflite", MODELS / "kws10_ds_cnn_ours_s0.tflite"
ROOT = os.environ.get("TFLM_ROOT", "").split(os.pathsep)[0]
needs_tflm = pytest.mark.skipif(not ROOT, reason="needs TFLM_ROOT, a built TensorFlow Lite Micro")


def changed(tflite, change):
    """A model after `change(model)`."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite, 0))
    change(model)
    builder = flatbuffers.Builder(len(tflite))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_operators_are_those_of_the_model():
    added = {"CONV_2D": "AddConv2D", "RESHAPE": "AddReshape", "FULLY_CONNECTED": "AddFullyConnected"}
    assert tflm.operators(read_model(PAPER)) == added | {"SOFTMAX": "AddSoftmax"}
    assert list(tflm.operators(read_model(DS_CNN)).values())[:3] == [
        "AddConv2D",
        "AddDepthwiseConv2D",
        "AddAveragePool2D",
    ]


def test_an_operator_that_tflm_lacks_is_named_with_its_layer():
    def change(model):
        for code in model.operatorCodes:
            if code.builtinCode == schema.BuiltinOperator.SOFTMAX:
                code.builtinCode = schema.BuiltinOperator.UNIQUE
                code.deprecatedBuiltinCode = 103

    with pytest.raises(TflmError, match=r"operator UNIQUE of layer '\S*StatefulPartitionedCall\S*' is not in Tensor"):
        tflm.check(changed(read_model(PAPER), change))


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(monkeypatch):
    tflite = read_model(PAPER)
    monkeypatch.setattr(tflm, "MOST_MODEL_BYTES", 100_000)
    with pytest.raises(TflmError, match=r"the model has 136,864 bytes, the board's flash 100,000"):
        tflm.check(tflite)
    monkeypatch.setattr(tflm, "MOST_ARENA_BYTES", 8_000)
    with pytest.raises(TflmError, match=r"the arena needs [\d,]+ bytes, the largest memory of the board has 8,000"):
        tflm.arena_bytes(tflite)


def test_the_arena_holds_what_this_computer_uses():
    for path in (PAPER, DS_CNN):
        tflite = read_model(path)
        used = interpreters.tflm_arena_bytes(tflite)
        assert used < tflm.arena_bytes(tflite) < 1.3 * used and tflm.arena_bytes(tflite) % 16 == 0


def test_sources_hold_the_model_its_operators_and_clips(tmp_path):
    tflm.write_sources(PAPER, tmp_path)
    header = (tmp_path / "model_ops.h").read_text()
    assert "MicroMutableOpResolver<4>" in header and "ops.AddConv2D()" in header and "#define ARENA_PLACE\n" in header
    assert int(re.search(r"kArenaBytes = (\d+);", header)[1]) == tflm.arena_bytes(read_model(PAPER))
    assert "// accuracy: " in (tmp_path / "model.h").read_text()
    assert "our_operator_count = 0u" in (tmp_path / "our_steps.c").read_text()
    features = tflm.noise(read_model(PAPER), 2)
    np.savez(tmp_path / "clips.npz", features=features, names=np.array(["a", "b"]))
    tflm.write_sources(PAPER, tmp_path, "plain", tmp_path / "clips.npz")
    assert "ops.AddConv2D(our_registration())" in (tmp_path / "model_ops.h").read_text()
    clips = (tmp_path / "clips.h").read_text()
    outputs = re.search(r"clip_outputs\S+ = \{(.*?)\};", clips, flags=re.DOTALL)[1]
    found = np.array(re.findall(r"\d+", outputs), int).reshape(2, -1)
    np.testing.assert_array_equal(found, interpreters.run_tflm(read_model(PAPER), features).view(np.uint8))
    assert '{"a", "b"}' in clips and "#define CLIPS 2u" in clips


def test_a_model_without_metadata_and_a_large_arena(tmp_path, monkeypatch):
    (tmp_path / "other.tflite").write_bytes(read_model(DS_CNN))
    monkeypatch.setattr(tflm, "DTCM_ARENA_BYTES", 20_000)
    tflm.write_sources(tmp_path / "other.tflite", tmp_path)
    assert "// model: other.tflite, " in (tmp_path / "model.cc").read_text()
    assert "#define ARENA_PLACE IN_SRAM1\n" in (tmp_path / "model_ops.h").read_text()


def test_the_command_answers_in_one_line(tmp_path):
    command = [sys.executable, "-m", "kwslib.tflm", str(tmp_path / "none.tflite"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode and done.stderr.startswith("error: ") and "none.tflite: not readable" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@needs_tflm
@pytest.mark.parametrize("kernels", ["library", "plain"])
def test_the_network_on_the_board_equals_this_computer(kernels):
    row, split = tflm_board.measure(PAPER, ROOT, kernels, tflm.noise(read_model(PAPER), 2))
    assert list(row) == tflm_board.COLUMNS and row["bit_exact"] and row["clips"] == 2
    assert row["low"] <= row["est_cycles"] <= row["high"] and 300 < row["stack_bytes"] < 4096
    assert row["arena_bytes"] <= split.loc["arena", "ram"] < 3 * row["arena_bytes"]
    assert row["flash_bytes"] == split.flash.sum() and split.loc["weights", "flash"] >= 119_000
    assert split.loc["kernels", "flash"] > 4000 and split.loc["interpreter", "flash"] > 4000


@needs_tflm
def test_the_application_compares_its_outputs_itself():
    result = board.run(tflm.build(PAPER, ROOT, "kws_tflm"), seconds=0.3)
    assert "noise 0: " in result.uart and result.uart.count("output equal") == 3
    assert "3 of 3 outputs equal to the computer's" in result.uart and not result.faults


@needs_tflm
def test_a_model_of_another_schema_version_is_refused_on_the_board(tmp_path):
    tflite, elf = read_model(PAPER), tflm.build(PAPER, ROOT)
    table = schema.Model.GetRootAs(tflite, 0)._tab
    place = elf.read_bytes().index(tflite) + table.Pos + table.Offset(4)
    content = bytearray(elf.read_bytes())
    assert content[place : place + 4] == (3).to_bytes(4, "little")
    content[place] = 2
    (tmp_path / "older.elf").write_bytes(content)
    with pytest.raises(TflmError, match=r"older\.elf on the board: the model has another schema version"):
        tflm_board.TflmBoard(tmp_path / "older.elf")


@needs_tflm
def test_an_input_of_another_size_is_refused():
    network = tflm_board.TflmBoard(tflm.build(PAPER, ROOT))
    with pytest.raises(TflmError, match="an input of 10 bytes: the model takes 1200"):
        network.run(np.zeros(10, np.int8))

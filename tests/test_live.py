"""The live firmware on the emulated board: sound, detections, budget, commands; with TFLM_ROOT also in TFLM."""

import json
import os
import re

import numpy as np
import pandas as pd
import pytest
import soundfile
from ai_edge_litert import schema_py_generated as schema
from live_board import HOP, MODEL, RATE_HZ, calls, decision, elf, new_board, sound, text

from kwslib import __main__ as cli
from kwslib import artifacts, engine, live_build, stream_scores
from kwslib import decision as decisions
from kwslib import listen as listening
from kwslib.audio import AudioError
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.firmware import BoardError, Firmware
from kwslib.machine import Machine
from kwslib.toolchain import ToolchainError

needs_tflm = pytest.mark.skipif(
    not os.environ.get("TFLM_ROOT"), reason="needs TFLM_ROOT, a built TensorFlow Lite Micro"
)


@pytest.fixture(scope="module")
def heard():
    """The firmware after all of the sound."""
    return listening.listen(elf(), sound())


@pytest.fixture
def board():
    return new_board(sound())


def test_detections_are_those_of_the_host(heard):
    class Stream:
        audio, digest = sound(), "test"

    meta = artifacts.load_model(MODEL)[1]
    hops, classes = decisions.detections(decision(), stream_scores.scores(MODEL, Stream))
    task, features = TaskConfig.from_dict(meta["task"]), FeatureConfig.from_dict(meta["features"])
    wanted = [((hop + 1) * features.hop_samples // 16, task.labels[n]) for hop, n in zip(hops, classes, strict=True)]
    assert len(wanted) >= 2
    assert list(zip(heard.detections.time_ms, heard.detections.keyword, strict=True)) == wanted
    assert heard.reason == "audio" and heard.statistics["detections"] == len(wanted)


def test_a_hop_fits_its_budget(heard):
    sums = heard.statistics
    most = sum(sums[f"{stage}_most"] for stage in ("frontend", "inference", "other"))
    assert 100_000 < most < 2.5e-3 * 216e6  # of 32 ms
    assert sums["overruns"] == sums["dropped_characters"] == 0 and 0 < sums["load"] < 100 * 2.5 / 32
    assert not heard.notes


def test_clock_pins_and_samples(board):
    board.run(seconds=0.8)
    assert board.peripheral("SAI2").sample_rate_hz("B") == pytest.approx(RATE_HZ, rel=50e-6)
    assert board.clocks()["sai2"] == pytest.approx(426e6 / 13)
    ring = np.frombuffer(board.read("recording", 2 * 32 * HOP), "<i2")
    count = board.word(board.symbol("next_sample"))
    assert count > 20 * HOP and np.array_equal(ring[:count], sound()[:count])


def test_commands(board):
    board.schedule(0.3, lambda: board.uart_input(b"m"))
    board.schedule(0.4, lambda: board.uart_input(b"?"))
    board.run(seconds=0.6)
    said = text(board)
    assert said.count("model paper6_paper_cnn_element-80_s0, kernels element\nsha256 ") == 2
    assert "d dump" in said
    board.write("to_dump", (640).to_bytes(4, "little"))  # more than the buffer of the serial port holds
    start = board.word(board.symbol("next_sample"))
    board.run(seconds=0.4)
    ring = np.frombuffer(board.read("recording", 2 * 32 * HOP), "<i2")
    lines = "\n".join(re.findall("^audio .*$", text(board), flags=re.MULTILINE))
    samples = listening.recording(f"audio samples=640 rate_hz=16000 hexadecimal\n{lines}\n")
    assert np.array_equal(samples, np.roll(ring, -start)[-640:])
    with pytest.raises(BoardError, match="lines are missing"):
        listening.recording("audio samples=64 rate_hz=16000 hexadecimal\naudio 0000\naudio end\n")
    with pytest.raises(BoardError, match="no whole dump"):
        listening.recording(said)


def test_a_dump_leaves_room_for_detections():
    board = new_board(calls())
    board.run(seconds=0.8)
    board.write("to_dump", (32 * HOP).to_bytes(4, "little"))
    board.run(seconds=2)
    assert board.word(board.symbol("to_dump")) > 0  # it runs still
    found = listening.detections(text(board))
    assert len(found) == board.word(board.symbol("statistics") + 4) > 3


def test_the_led_lights_up_with_a_keyword(board):
    board.run(seconds=2)
    first = re.search(r"detected keyword=\w+ time_ms=(\d+)", text(board))
    lit = [seconds for seconds, pin, level in board.peripheral("GPIOI").changes if (pin, level) == (1, 1)]
    assert 0 < lit[0] - int(first[1]) / 1000 < 0.1  # the board starts some 60 ms before the sound


@needs_tflm
def test_tflm_detects_what_the_static_engine_does_and_checks_its_model():
    audio = calls()[: 2 * RATE_HZ]
    built = live_build.build(MODEL, decision=decision(), engine="tflm")
    static, tflm = (listening.listen(path, audio) for path in (elf(), built))
    same = ["keyword", "time_ms", "score"]
    assert len(static.detections) > 2 and tflm.detections[same].equals(static.detections[same])
    assert " of TensorFlow Lite Micro " in tflm.text and tflm.reason == "audio" and not tflm.notes
    assert tflm.statistics["hops"] == static.statistics["hops"] > 60 and tflm.statistics["stack_bytes"] < 4096
    board = Machine(Firmware.load(built))
    place = board.symbol("g_model_data") + 100_000  # among the weights
    board.write(place, bytes([board.read(place, 1)[0] ^ 1]))
    board.run(seconds=0.3)
    assert "error: the network in flash is damaged" in text(board) and "listening" not in text(board)


@needs_tflm
def test_a_model_that_tflm_refuses_is_told_and_nothing_else_runs():
    board = Machine(Firmware.load(live_build.build(MODEL, decision=decision(), engine="tflm")))
    assert board.run(until="engine_start") == "until"  # after the check of the hash
    table = schema.Model.GetRootAs(MODEL.read_bytes(), 0)._tab
    board.write(board.symbol("g_model_data") + table.Pos + table.Offset(4), (99).to_bytes(4, "little"))
    board.run(seconds=0.3)
    assert text(board).endswith("error: the model has another schema version than this TensorFlow Lite Micro\n")


def test_settings_that_cannot_be():
    with pytest.raises(engine.EngineError, match="gain_db = 40"):
        live_build.build(MODEL, gain_db=40)
    with pytest.raises(engine.EngineError, match="takes int8 models, not float32"):
        live_build.build(MODEL.with_name("paper6_paper_cnn_ours_s0_float32.tflite"))
    with pytest.raises(engine.EngineError, match="engine = 'onnx': choose static or tflm"):
        live_build.build(MODEL, engine="onnx")
    with pytest.raises(engine.EngineError, match="kernels 'best': engine tflm takes those of its library"):
        live_build.build(MODEL, "best", engine="tflm")


@pytest.mark.parametrize(
    "features, fault",
    [
        ({"hop_samples": 511}, "hop_samples = 511: the microphones are read in hops of an even number of samples"),
        ({"fft_size": 2048, "hop_samples": 2000, "clip_samples": 60048}, "hop_samples = 2000: .* at most 1024"),
        ({"sample_rate_hz": 8000, "mel_high_hz": 4000}, "sample_rate_hz = 8000: .* recorded at 16000 Hz"),
    ],
)
def test_features_that_the_microphones_do_not_serve(tmp_path, features, fault):
    """The shape of the features stays that of the model."""
    model, meta = tmp_path / "m.tflite", artifacts.load_model(MODEL)[1]
    model.write_bytes(MODEL.read_bytes())
    model.with_suffix(".json").write_text(json.dumps(meta | {"features": meta["features"] | features}))
    with pytest.raises(engine.EngineError, match=fault):
        live_build.build(model)


def test_without_tflm_its_engine_is_refused_in_one_line(monkeypatch, capsys):
    monkeypatch.delenv("TFLM_ROOT", raising=False)
    with pytest.raises(ToolchainError, match="TFLM_ROOT names no built TensorFlow Lite Micro"):
        live_build.build(MODEL, engine="tflm")
    assert cli.main(["live", str(MODEL), "--engine", "tflm"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: engine tflm: ") and said.count("\n") == 1


def test_the_default_decision_is_the_one_that_was_chosen_for_the_file(tmp_path):
    """Ten hops and 0.25 in the table beside the model; a model that it lacks gets those of tc_resnet_w2."""
    for suffix in (".tflite", ".json"):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / f"m{suffix}").write_bytes(MODEL.with_suffix(suffix).read_bytes())
    model, sha256 = tmp_path / "models" / "m.tflite", artifacts.load_model(MODEL)[1]["sha256"]
    decision, origin = live_build.default_decision(model)
    assert (decision.smoothing, decision.threshold) == (live_build.SMOOTHING_HOPS, round(live_build.THRESHOLD * 65536))
    assert origin.startswith("those of tc_resnet_w2")
    rows = [(sha256, 0.05, 4, 1000), (sha256, 0.1, 10, 16384), ("0", 0.1, 12, 2000)]
    (tmp_path / "tables").mkdir()
    table = pd.DataFrame(rows, columns=["sha256", "frr_target", "smoothing_hops", "threshold"])
    table.to_csv(tmp_path / "tables" / "streaming.csv", index=False)
    decision, origin = live_build.default_decision(model)
    assert (decision.smoothing, decision.threshold, decision.keywords) == (10, 16384, (0, 1, 2, 3))
    assert origin == "chosen in tables/streaming.csv for 10% missed keywords"
    table.assign(threshold=np.nan).to_csv(tmp_path / "tables" / "streaming.csv", index=False)
    assert live_build.default_decision(model)[0].smoothing == live_build.SMOOTHING_HOPS


def test_defaults_are_those_of_the_dense_tc_resnet():
    decision, origin = live_build.default_decision(MODEL.with_name("paper6_tc_resnet_w2_ours_s0.tflite"))
    assert (decision.smoothing, decision.threshold) == (live_build.SMOOTHING_HOPS, round(live_build.THRESHOLD * 65536))
    assert origin.startswith("chosen in")


def test_recordings_of_any_rate_become_what_the_microphones_hear(tmp_path, recwarn):
    path = tmp_path / "tone.wav"
    tone = np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
    soundfile.write(path, np.stack([tone / 2, tone / 2], axis=1), 22050)
    audio = listening.read_recording(path)
    assert audio.dtype == np.int16 and len(audio) == RATE_HZ and not recwarn.list
    assert np.abs(audio).max() == pytest.approx(16384, rel=0.05)
    spectrum = np.abs(np.fft.rfft(audio.astype(float)))
    assert spectrum.argmax() == 440
    with pytest.raises(AudioError, match=r"missing\.wav: no such file"):
        listening.read_recording(tmp_path / "missing.wav")


def test_budget_of_a_hop_from_the_statistics(heard):
    row = listening.budget("m", heard.statistics, 32)
    cycles = [row[f"{stage}_cycles"] for stage in listening.STAGES]
    assert min(cycles) > 0 and row["hop_ms"] == pytest.approx(sum(cycles) / 216e3)
    assert row["hop_ms"] <= row["most_hop_ms"] < 2.5 and row["overruns"] == 0
    assert row["cpu_load_percent"] == pytest.approx(100 * row["hop_ms"] / 32, abs=1)


def test_lines_that_were_garbled_are_left_out():
    line = "detected keyword=yes time_ms=96 score=0.500 frontend_cycles=1 inference_cycles=2 load=3.1% overruns=0"
    table = listening.detections(f"{line}\n{line[:40]}\n{line.replace('96', '9x')}\nlistening\n")
    assert table.to_dict("records") == [
        {
            "keyword": "yes",
            "time_ms": 96,
            "score": 0.5,
            "frontend_cycles": 1,
            "inference_cycles": 2,
            "load": 3.1,
            "overruns": 0,
        }
    ]
    assert listening.statistics("statistics hops=3\n") == {}

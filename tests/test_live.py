"""The live firmware on the emulated board: sound, detections, budget, commands, and the faults that it survives."""

import re

import numpy as np
import pandas as pd
import pytest
import soundfile

from kwslib import artifacts, cache, engine, live_build, stream_scores
from kwslib import decision as decisions
from kwslib import listen as listening
from kwslib.audio import AudioError
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.firmware import BoardError, Firmware
from kwslib.machine import Machine

MODEL = cache.PROJECT_FOLDER / "results" / "models" / "paper6_paper_cnn_element-80_s0.tflite"
HOP, RATE_HZ = 512, 16_000
STACK_LIMIT_BYTES = 4096


@pytest.fixture(scope="module")
def meta():
    return artifacts.load_model(MODEL)[1]


@pytest.fixture(scope="module")
def decision(meta):
    """So eager that noise is heard as keywords."""
    return live_build.decision_of(meta, 2, 0.15)


@pytest.fixture(scope="module")
def elf(decision):
    return live_build.build(MODEL, decision=decision)


@pytest.fixture(scope="module")
def sound():
    """Bursts of coloured noise, 4.5 s."""
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(18):
        burst = np.convolve(rng.normal(0, 1, RATE_HZ // 4), rng.normal(0, 1, 24), "same")
        parts.append(burst * rng.choice([200, 1500]) * np.hanning(len(burst)))
    return np.concatenate(parts).astype(np.int16)


@pytest.fixture(scope="module")
def heard(elf, sound):
    """The firmware after all of the sound."""
    return listening.listen(elf, sound)


@pytest.fixture
def board(elf, sound):
    """A board with the firmware and the sound, not yet started."""
    machine = Machine(Firmware.load(elf))
    machine.audio = sound, RATE_HZ
    return machine


def text(machine):
    return machine.uart.decode().replace("\r\n", "\n")


def test_detections_are_those_of_the_host(heard, decision, meta, sound):
    class Stream:
        audio, digest = sound, "test"

    hops, classes = decisions.detections(decision, stream_scores.scores(MODEL, Stream))
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
    assert sums["stack_bytes"] < STACK_LIMIT_BYTES
    assert not heard.notes


def test_clock_pins_and_samples(board, sound):
    board.run(seconds=0.8)
    assert board.peripheral("SAI2").sample_rate_hz("B") == pytest.approx(RATE_HZ, rel=50e-6)
    assert board.clocks()["sai2"] == pytest.approx(426e6 / 13)
    ring = np.frombuffer(board.read("recording", 2 * 32 * HOP), "<i2")
    count = board.word(board.symbol("next_sample"))
    assert count > 20 * HOP and np.array_equal(ring[:count], sound[:count])


def test_commands(board):
    board.schedule(0.3, lambda: board.uart_input(b"m"))
    board.schedule(0.4, lambda: board.uart_input(b"?"))
    board.run(seconds=0.6)
    said = text(board)
    assert said.count("model paper6_paper_cnn_element-80_s0, kernels element\nsha256 ") == 2
    assert "d dump" in said
    board.write("to_dump", (64).to_bytes(4, "little"))
    start = board.word(board.symbol("next_sample"))
    board.run(seconds=0.1)
    ring = np.frombuffer(board.read("recording", 2 * 32 * HOP), "<i2")
    lines = "\n".join(re.findall("^audio .*$", text(board), flags=re.MULTILINE))
    samples = listening.recording(f"audio samples=64 rate_hz=16000 hexadecimal\n{lines}\n")
    assert np.array_equal(samples, np.roll(ring, -start)[-64:])
    with pytest.raises(BoardError, match="lines are missing"):
        listening.recording("audio samples=64 rate_hz=16000 hexadecimal\naudio 0000\naudio end\n")
    with pytest.raises(BoardError, match="no whole dump"):
        listening.recording(said)


def test_the_led_lights_up_with_a_keyword(board):
    board.run(seconds=2)
    first = re.search(r"detected keyword=\w+ time_ms=(\d+)", text(board))
    lit = [seconds for seconds, pin, level in board.peripheral("GPIOI").changes if (pin, level) == (1, 1)]
    assert 0 < lit[0] - int(first[1]) / 1000 < 0.1  # the board starts some 60 ms before the sound


def test_too_slow_a_firmware_counts_what_it_loses(board):
    """Each inference lasts 50 ms longer."""
    while board.time_s < 1.2 and board.run(until="network_run") == "until":
        board.recorder.add_cycles(int(50e-3 * 216e6))
    board.uart_input(b"s")
    board.run(seconds=0.2)
    sums = listening.statistics(text(board))
    assert 5 < sums["overruns"] < sums["time_ms"] / 32
    assert sums["hops"] + sums["overruns"] == sums["time_ms"] / 32
    assert "warning: sound was lost, overruns=" in text(board)


def test_codec_that_does_not_answer_at_first(board):
    codec = board.peripheral("I2C3").devices[0x1A]
    codec.answers = False
    assert board.run(seconds=1.3) == "seconds"  # the watchdog is fed
    assert text(board).count("error: the codec does not answer on I2C3; trying again") > 3
    codec.answers = True
    board.run(seconds=0.4)
    assert text(board).endswith("listening\n") or "detected" in text(board)


@pytest.mark.parametrize("level, warning", [(0, "are silent"), (32767, "clip")])
def test_microphones_without_use(board, level, warning):
    board.audio = level * np.sign(np.sin(np.arange(2 * RATE_HZ) / 5)).astype(np.int16), RATE_HZ
    board.run(seconds=1.2)
    assert text(board).count("warning: ") == 1 and f"the microphones {warning}" in text(board)
    board.run(seconds=0.1)
    assert text(board).count("warning: ") == 1


def test_sound_that_stops_ends_in_a_reset(board):
    board.run(seconds=0.5)
    board.bus.write(0x400264B8, 4, 0)  # DMA2 stream 7 off
    assert board.run(seconds=3) == "reset" and "watchdog" in board.detail


def test_serial_port_that_sends_nothing(board):
    board.run(seconds=0.3)
    usart = board.peripheral("USART1")
    usart._sent = lambda: None  # the frame never ends
    board.write("to_dump", (16384).to_bytes(4, "little"))
    hops = board.word(board.symbol("hops_read"))
    assert board.run(seconds=0.8) == "seconds"
    assert board.word(board.symbol("hops_read")) - hops > 22 and not board.word(board.symbol("hops_lost"))


def test_a_flipped_bit_in_the_network_is_found(board):
    place = board.symbol("__network_start") + 1000
    board.write(place, bytes([board.read(place, 1)[0] ^ 4]))
    assert board.run(seconds=0.3) in ("seconds", "idle")
    assert "error: the network in flash is damaged, hash 0x" in text(board) and "listening" not in text(board)


def test_settings_that_cannot_be():
    with pytest.raises(engine.EngineError, match="gain_db = 40"):
        live_build.build(MODEL, gain_db=40)
    with pytest.raises(engine.EngineError, match="takes int8 models, not float32"):
        live_build.build(MODEL.with_name("paper6_paper_cnn_ours_s0_float32.tflite"))


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

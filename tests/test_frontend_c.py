"""The front end in C on this computer: librosa's numbers, the FFT, hard signals, streaming, quantization, tables."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kwslib import cache, config, dataset, features, frontend_c, frontend_parity
from kwslib.config import PAPER_FEATURES, FeatureConfig
from kwslib.frontend_c import FrontendError
from kwslib.frontend_host import HostFrontend, pushes
from kwslib.interpreters import quantize_input
from kwslib.tflite_graph import describe
from kwslib.toolchain import ToolchainError

MODELS = cache.PROJECT_FOLDER / "results" / "models"
PAPER_MODEL, MFCC_MODEL = MODELS / "paper6_paper_cnn_ours_s0.json", MODELS / "kws10_ds_cnn_ours_s0.json"
RAW_PAPER = PAPER_FEATURES.replace(normalisation="none")
ODD = FeatureConfig(
    name="odd",
    kind="mfcc",
    sample_rate_hz=8000,
    clip_samples=9000,
    window_samples=200,
    hop_samples=101,
    fft_size=256,
    mel_bands=23,
    mel_low_hz=125.0,
    mel_high_hz=3750.0,
    coefficients=13,
    floor_db=-60.0,
    normalisation="none",
)


def clips_of(settings, count=4, seed=0):
    """Tones that come and go in noise, loud and faint: int16 [count, clip_samples]."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(settings.clip_samples) / settings.sample_rate_hz
    clips = []
    for loudness in np.geomspace(30, 32000, count):
        tone = np.sin(2 * np.pi * rng.uniform(80, 1000) * seconds) * np.exp(-(((seconds - 0.5) / 0.2) ** 2))
        clips.append(tone + rng.normal(size=len(seconds)) * 10 ** rng.uniform(-4, -1))
        clips[-1] *= loudness / np.abs(clips[-1]).max()
    return np.array(clips).astype(np.int16)


@pytest.fixture(scope="module", params=["paper", "mfcc"])
def model(request):
    """A trained model: its settings and its input tensor."""
    path = {"paper": PAPER_MODEL, "mfcc": MFCC_MODEL}[request.param]
    return frontend_c.load_setting(path), describe(path.with_suffix(".tflite").read_bytes()).input


def small(**changes):
    """Few bands that no test of the FFT needs."""
    return RAW_PAPER.replace(**{"mel_bands": 8} | changes)


@pytest.mark.parametrize(
    "settings",
    [
        RAW_PAPER,
        frontend_c.load_setting("mfcc"),
        ODD,
        small(fft_size=64, window_samples=64, hop_samples=64, mel_bands=5),
        small(fft_size=128, window_samples=100, hop_samples=30),
        small(fft_size=8192, window_samples=8192, hop_samples=3000),
    ],
    ids=lambda settings: f"{settings.kind}-{settings.fft_size}",
)
def test_features_are_those_of_python(settings):
    clips = clips_of(settings)
    found = HostFrontend(settings).features(clips)
    golden = features.batch_features(clips, settings)
    assert found.shape == golden.shape and found.dtype == np.float32
    assert np.abs(found - golden).max() < 0.02
    assert np.abs(found - golden).mean() < 1e-4


@pytest.mark.parametrize("fft_size", [64, 128, 256, 512, 1024, 2048, 4096, 8192])
def test_spectrum_is_numpys(fft_size):
    """Every length has another split into radices."""
    settings = RAW_PAPER.replace(fft_size=fft_size, window_samples=fft_size, hop_samples=fft_size, mel_bands=2)
    front = HostFrontend(settings)
    noise = np.random.default_rng(fft_size).integers(-32768, 32768, fft_size).astype(np.int16)
    front.push(noise)
    stages = front.stages()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft_size) / fft_size)
    golden = np.fft.rfft(noise / 32768 * window)
    np.testing.assert_allclose(stages["window"], noise / 32768 * window, atol=1e-7)
    power = np.abs(golden[: len(stages["power"])]) ** 2
    assert len(power) >= fft_size // 2 - 1
    np.testing.assert_allclose(stages["power"], power, rtol=0, atol=2e-6 * power.max())
    assert np.median(np.abs(stages["power"] / power - 1)) < 1e-6


def test_tones_keep_their_distance():
    """A full-scale tone leaves quiet bins quiet: -100 dB is far below what a power-domain shortcut would leave."""
    front = HostFrontend(RAW_PAPER)
    time = np.arange(1024)
    tone = np.round(32767 * np.sin(2 * np.pi * 100 * time / 1024)).astype(np.int16)
    for hop in tone.reshape(2, 512):
        front.push(hop)
    power = front.stages()["power"]
    golden = np.abs(np.fft.rfft(tone / 32768 * features.window_function(RAW_PAPER).astype(float))) ** 2
    assert power.argmax() == 100 and power[100] == pytest.approx(256**2, rel=1e-3)
    far = np.r_[1:90, 110:512]
    assert golden[far].max() < 1e-9 * power[100]
    assert power[far].max() < 1e-9 * power[100]


@pytest.mark.parametrize("name", ["silence", "constant", "square", "alternating", "impulse"])
def test_hard_signals(name):
    time = np.arange(16000)
    signal = {
        "silence": np.zeros(16000),
        "constant": np.full(16000, 32767),
        "square": np.where(time // 20 % 2, -32768, 32767),
        "alternating": np.where(time % 2, -32768, 32767),
        "impulse": np.where(time == 5000, -32768, 0),
    }[name].astype(np.int16)
    for settings, bound_db in ((RAW_PAPER, 0.05), (PAPER_FEATURES, 0.01), (frontend_c.load_setting(MFCC_MODEL), 0.01)):
        front = HostFrontend(settings)
        found = front.features(signal[None])
        assert np.isfinite(found).all()
        assert np.abs(found - features.batch_features(signal[None], settings)).max() < bound_db
        assert np.isfinite(front.quantized(0.05, 0)).all()
    if name == "silence":
        assert np.abs(HostFrontend(RAW_PAPER).features(signal[None]) + 80).max() < 2e-5
        np.testing.assert_array_equal(HostFrontend(PAPER_FEATURES).features(signal[None]), 0)


def test_logarithm():
    front = HostFrontend(RAW_PAPER)
    octave = np.geomspace(0.5, 2, 40 * 200)
    for scale in 2.0 ** np.arange(-26, 17, 3):
        for values in (octave * scale).astype(np.float32).reshape(-1, 40):
            golden = 10 * np.log10(np.maximum(values.astype(float), 1e-8))
            assert np.abs(front.log(values) - golden).max() < 2e-5
    assert np.abs(front.log(np.zeros(40, np.float32)) + 80).max() < 2e-5


@pytest.mark.parametrize("settings", [RAW_PAPER, ODD], ids=lambda settings: settings.name)
def test_a_stream_knows_no_clips(settings):
    """Columns of a stream, pushed through both rings many times, are those of the same samples as a clip."""
    stream = np.concatenate(clips_of(settings, 6))
    front, hop = HostFrontend(settings), settings.hop_samples
    columns = np.stack([front.push(part) for part in stream[: len(stream) // hop * hop].reshape(-1, hop)])
    lag = pushes(settings) - settings.frames
    for first in (0, 7, len(columns) - settings.frames - lag):
        clip = stream[first * hop : first * hop + settings.clip_samples]
        golden = features.batch_features(clip[None], settings)[0]
        assert np.abs(columns[first + lag : first + lag + settings.frames] - golden).max() < 0.02
    np.testing.assert_array_equal(front.normalised(), columns[-settings.frames :])  # oldest first
    front.reset()
    np.testing.assert_array_equal(front.push(stream[:hop]), columns[0])


def test_before_the_first_sample_there_was_silence():
    front = HostFrontend(RAW_PAPER)
    assert np.abs(front.normalised() + 80).max() < 2e-5
    clip = clips_of(RAW_PAPER, 1)[0]
    late = HostFrontend(RAW_PAPER)
    for _ in range(5):
        late.push(np.zeros(512, np.int16))
    for hop in clip[: 512 * 10].reshape(-1, 512):
        np.testing.assert_array_equal(front.push(hop), late.push(hop))


def test_quantization_is_the_interpreters(model):
    settings, tensor = model
    front = HostFrontend(settings)
    for clip in clips_of(settings, 12, seed=1):
        values = front.features(clip[None])
        wanted = quantize_input(values, tensor)[0, ..., 0]
        found = front.quantized(tensor.scales[0], tensor.zero_points[0])
        assert found.dtype == np.int8 and len(np.unique(found)) > 20
        distance = np.abs(found.astype(int) - wanted)
        assert distance.max() <= 1 and (distance == 0).mean() > 0.999


@pytest.mark.parametrize("dtype", ["int8", "int16"])
def test_quantization_saturates_and_rounds_halves_to_even(dtype):
    front = HostFrontend(RAW_PAPER)
    value = front.normalised()[0, 0]  # silence: -80 dB
    limits = np.iinfo(dtype)
    assert (front.quantized(1e-6, 3, dtype) == limits.min).all()
    assert (front.quantized(-1e-6, 3, dtype) == limits.max).all()
    assert (front.quantized(1.0, limits.max, dtype) == limits.max - 80).all()
    halves = 0
    for steps in np.arange(-120, 120) + 0.5:
        scale = np.float32(value / steps)
        exact = value * (np.float32(1) / scale)
        halves += exact == steps
        assert (front.quantized(float(scale), 0, dtype) == np.rint(exact)).all()
    assert halves > 50  # exact halves, for which the rule matters


@pytest.fixture(scope="module")
def recordings(speech_folder):
    """Clips of the synthesiser."""
    index = dataset.load_index(str(speech_folder), config.PAPER6, PAPER_FEATURES)
    clips, _, _ = dataset.load_clips(index[index.start == 0][::20], PAPER_FEATURES)
    assert len(clips) >= 20
    return clips


def test_parity_stage_by_stage(model, recordings):
    settings, tensor = model
    table = frontend_parity.compare(HostFrontend(settings), recordings[:20], tensor).set_index("stage")
    assert tuple(table.index) == frontend_parity.STAGES
    assert (table.max_rel_error[["window", "power", "mel"]] < 1e-3).all()
    assert (table.max_abs_error[["log_mel", "column"]] < 0.02).all()
    assert table.max_rel_error["normalised"] < 1e-3
    assert table.max_abs_error["quantized"] <= 1 and table.int8_equal_percent["quantized"] >= 99.9


def test_comparison_sees_a_wrong_front_end(recordings):
    """Another hop, floor or normalisation is not called parity."""
    settings = frontend_c.load_setting(PAPER_MODEL)
    tensor = describe(PAPER_MODEL.with_suffix(".tflite").read_bytes()).input

    class Wrong(HostFrontend):
        def clip(self, clip, *rest):
            return super().clip(np.roll(clip, 3), *rest)

    table = frontend_parity.compare(Wrong(settings), recordings[:2], tensor).set_index("stage")
    assert table.max_rel_error["window"] > 0.01 and table.int8_equal_percent["quantized"] < 99


def test_command_writes_tables(tmp_path):
    command = [sys.executable, "-m", "kwslib.frontend_c"]
    done = subprocess.run([*command, str(MFCC_MODEL), str(tmp_path)], cwd=cache.PROJECT_FOLDER, check=False)
    assert done.returncode == 0
    header, source = ((tmp_path / f"frontend_tables.{end}").read_text() for end in "hc")
    assert header.startswith("/* Generated by kwslib.frontend_c from kws10_ds_cnn_ours_s0.json")
    assert '"normalisation": "per_band"' in " ".join(source.replace("\n *", "").split())
    assert "#define FRONTEND_FRAMES 49" in header and "#define FRONTEND_NORMALISATION FRONTEND_PER_BAND" in header
    assert "-293.351013f" in source and str(tmp_path) not in header + source
    for arguments, code, message in (
        (["nonsense.json", str(tmp_path)], 1, "error: nonsense.json: not readable"),
        (["paper"], 2, "usage:"),
    ):
        done = subprocess.run([*command, *arguments], cwd=cache.PROJECT_FOLDER, capture_output=True, text=True)
        assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr


def test_settings():
    assert frontend_c.load_setting("paper") == PAPER_FEATURES
    assert frontend_c.load_setting("mfcc").normalisation == "none"
    assert len(frontend_c.load_setting(MFCC_MODEL).mean) == 10


@pytest.mark.parametrize(
    "content, message",
    [
        ("{}", "holds no settings under 'features'"),
        ("[1]", "holds no settings under 'features'"),
        ("no json", "holds no settings under 'features'"),
        (json.dumps({"features": {"hops": 3}}), "has no field 'hops'"),
        (json.dumps({"features": {"hop_samples": 0}}), "hop_samples = 0: allowed is"),
    ],
)
def test_bad_settings_are_refused(tmp_path, content, message):
    path = tmp_path / "model.json"
    path.write_text(content)
    with pytest.raises(FrontendError, match=message):
        frontend_c.load_setting(path)


def test_normalisation_needs_training_clips():
    with pytest.raises(FrontendError, match=r"'mfcc' have no mean and std yet; give the \.json file of a model"):
        frontend_c.tables(config.MFCC_FEATURES)


def test_wrong_hops_are_refused():
    front = HostFrontend(RAW_PAPER)
    for hop in (np.zeros(511, np.int16), np.zeros(512, np.float32), np.zeros((1, 512), np.int16)):
        with pytest.raises(FrontendError, match=r"needed is int16 \(512,\)"):
            front.push(hop)


def test_missing_or_failing_compiler(monkeypatch):
    settings = RAW_PAPER.replace(floor_db=-71.0)  # built by no other test
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(ToolchainError, match="C compiler 'no-such-compiler' not found: apt-get install gcc"):
        HostFrontend(settings)
    monkeypatch.setenv("CC", "false")
    with pytest.raises(ToolchainError, match="does not compile"):
        HostFrontend(settings)
    assert not [path for path in Path(cache.data_folder()).rglob(".*.so")]

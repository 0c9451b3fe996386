"""The front end: librosa's numbers, causality, shapes, hard clips, the cache of a whole data set."""

import os

import numpy as np
import pandas as pd
import pytest
import scipy.fft
import soundfile

from kwslib import cache, config, dataset, features
from kwslib.config import MFCC_FEATURES, PAPER_FEATURES, FeatureConfig
from kwslib.features import FeatureError

RAW_PAPER = PAPER_FEATURES.replace(normalisation="none")
RAW_MFCC = MFCC_FEATURES.replace(normalisation="none")
OTHER = FeatureConfig(
    name="other",
    kind="mfcc",
    sample_rate_hz=8000,
    clip_samples=9000,
    window_samples=200,
    hop_samples=100,
    fft_size=256,
    mel_bands=24,
    mel_low_hz=125.0,
    mel_high_hz=3750.0,
    coefficients=13,
    floor_db=-60.0,
    normalisation="none",
)
ALL_RAW = pytest.mark.parametrize("settings", [RAW_PAPER, RAW_MFCC, OTHER], ids=lambda settings: settings.name)


def speech_like(count, settings, seed=0):
    """Tones that come and go in noise, loud and faint, as 16-bit recordings: float32 [count, clip_samples]."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(settings.clip_samples) / settings.sample_rate_hz
    clips = []
    for _ in range(count):
        pitch_hz = rng.uniform(80, 300)
        voice = sum(np.sin(2 * np.pi * pitch_hz * k * seconds + rng.uniform(0, 6)) / k for k in range(1, 20))
        envelope = np.exp(-(((seconds - rng.uniform(0.2, 0.8)) / 0.15) ** 2))
        clip = voice * envelope + rng.normal(size=len(seconds)) * 10 ** rng.uniform(-5, -1)
        clips.append(clip / np.abs(clip).max() * 10 ** rng.uniform(-2, -0.05))
    return (np.round(np.array(clips) * 32768) / 32768).astype(np.float32)


def librosa_by_hand(clip, settings):
    """librosa called here with every number spelled out, independently of kwslib: float32 [frames, bands]."""
    import librosa

    power = librosa.feature.melspectrogram(
        y=clip,
        sr=settings.sample_rate_hz,
        n_fft=settings.fft_size,
        hop_length=settings.hop_samples,
        win_length=settings.window_samples,
        window="hann",
        center=False,
        power=2.0,
        n_mels=settings.mel_bands,
        fmin=settings.mel_low_hz,
        fmax=settings.mel_high_hz,
        htk=False,
        norm="slaney",
    )
    log_mel = 10 * np.log10(np.maximum(power, 10 ** (settings.floor_db / 10)))
    if settings.kind == "mfcc":
        log_mel = scipy.fft.dct(log_mel, axis=0, norm="ortho")[: settings.coefficients]
    return log_mel.T


@ALL_RAW
def test_batched_features_are_librosas(settings):
    clips = speech_like(40, settings)  # more than a chunk
    batched = features.batch_features(clips, settings)
    assert batched.dtype == np.float32 and batched.shape == (40, settings.frames, settings.bands)
    golden = np.stack([librosa_by_hand(clip, settings) for clip in clips])
    assert golden.std() > 1
    assert np.abs(batched - golden).max() < 5e-3  # dB or MFCC units, the bound that batch_features documents
    reference = np.stack([features.librosa_features(clip, settings) for clip in clips])
    assert reference.dtype == np.float32
    assert np.abs(reference - golden).max() < 1e-3
    assert np.abs(batched - golden).mean() < 5e-5


@pytest.mark.parametrize("settings", [PAPER_FEATURES, MFCC_FEATURES], ids=lambda settings: settings.name)
def test_both_settings_agree_with_librosa_after_normalisation(settings):
    clips = speech_like(20, settings, seed=1)
    if settings.normalisation == "per_band":
        settings = features.fit_normalisation(settings, clips)
    golden = np.stack([features.librosa_features(clip, settings) for clip in clips])
    assert np.abs(features.batch_features(clips, settings) - golden).max() < 1e-3


def test_shapes_of_the_two_settings():
    clips = speech_like(3, PAPER_FEATURES)
    assert features.batch_features(clips, PAPER_FEATURES).shape == (3, 30, 40)
    assert features.batch_features(clips, RAW_MFCC).shape == (3, 49, 10)
    assert features.librosa_features(clips[0], PAPER_FEATURES).shape == (30, 40)
    assert features.librosa_features(clips[0], RAW_MFCC).shape == (49, 10)
    assert features.batch_features(clips[:0], PAPER_FEATURES).shape == (0, 30, 40)


def test_16_bit_clips_give_the_same_numbers():
    clips = speech_like(5, RAW_PAPER)
    whole = (clips * 32768).astype(np.int16)
    np.testing.assert_array_equal(features.batch_features(whole, RAW_PAPER), features.batch_features(clips, RAW_PAPER))


def test_a_clip_does_not_depend_on_its_neighbours():
    clips = speech_like(40, PAPER_FEATURES)
    together = features.batch_features(clips, PAPER_FEATURES)
    for number in (0, 31, 32, 39):
        alone = features.batch_features(clips[number : number + 1], PAPER_FEATURES)[0]
        np.testing.assert_allclose(alone, together[number], atol=1e-4)


def test_a_tone_is_in_its_band_and_a_click_in_its_columns():
    import librosa

    seconds = np.arange(16000) / 16000
    centres_hz = librosa.mel_frequencies(n_mels=42, fmin=0, fmax=8000)[1:-1]
    for band in (8, 20, 35):
        tone = (0.5 * np.sin(2 * np.pi * centres_hz[band] * seconds)).astype(np.float32)
        found = features.batch_features(tone[None], RAW_PAPER)[0]
        assert (found.argmax(axis=1) == band).all()
    click = np.zeros((1, 16000), np.float32)
    click[0, 512 * 10 + 700] = 1
    loud = np.flatnonzero(features.batch_features(click, RAW_PAPER)[0].max(axis=1) > -79)
    assert loud.tolist() == [10, 11]  # frames of 1024 samples every 512


@ALL_RAW
@pytest.mark.parametrize("by", ["librosa", "batched"])
def test_columns_know_nothing_of_later_samples(settings, by):
    clip = speech_like(1, settings)[0]

    def columns(samples):
        if by == "librosa":
            return features.librosa_features(samples, settings)
        return features.batch_features(samples[None], settings)[0]

    before = columns(clip)
    for column in (0, 7, settings.frames - 2):
        end = column * settings.hop_samples + settings.fft_size
        changed = clip.copy()
        changed[end:] = np.random.default_rng(column).uniform(-1, 1, len(clip) - end)
        after = columns(changed)
        np.testing.assert_array_equal(after[: column + 1], before[: column + 1])
        assert np.abs(after[column + 1 :] - before[column + 1 :]).max() > 1


@pytest.mark.parametrize("value", [0.0, 0.5, -1.0], ids=["silent", "constant", "full_scale"])
def test_silent_and_constant_clips(value):
    clip = np.full((1, 16000), value, np.float32)
    raw = features.batch_features(clip, RAW_PAPER)
    assert np.isfinite(raw).all() and raw.min() > -80.001
    np.testing.assert_allclose(raw[0], librosa_by_hand(clip[0], RAW_PAPER), atol=0.05)
    normalised = features.batch_features(clip, PAPER_FEATURES)
    assert np.isfinite(normalised).all() and np.abs(normalised).max() < 1e3
    assert np.isfinite(features.batch_features(clip, RAW_MFCC)).all()
    if value == 0:
        assert np.abs(raw + 80).max() < 1e-4 and np.abs(normalised).max() < 1e-3


def test_window_normalisation_by_hand():
    clips = speech_like(4, PAPER_FEATURES)
    raw, found = features.batch_features(clips, RAW_PAPER), features.batch_features(clips, PAPER_FEATURES)
    for one, other in zip(raw.astype(float), found, strict=True):
        np.testing.assert_allclose(other, (one - one.mean()) / one.std(), atol=1e-4)


def test_per_band_normalisation_is_fitted_on_clips():
    clips = speech_like(20, MFCC_FEATURES)
    with pytest.raises(FeatureError, match="'mfcc': mean and std are not known yet; call fit_normalisation"):
        features.batch_features(clips, MFCC_FEATURES)
    with pytest.raises(FeatureError, match="fit_normalisation"):
        features.librosa_features(clips[0], MFCC_FEATURES)
    fitted = features.fit_normalisation(MFCC_FEATURES, clips)
    assert len(fitted.mean) == len(fitted.std) == 10 and fitted.normalisation == "per_band"
    found = features.batch_features(clips, fitted)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), 0, atol=1e-3)
    np.testing.assert_allclose(found.std(axis=(0, 1)), 1, atol=1e-3)
    assert FeatureConfig.from_dict(fitted.to_dict()) == fitted
    by_paper = features.fit_normalisation(PAPER_FEATURES, clips)
    assert by_paper.normalisation == "per_band" and len(by_paper.mean) == 40
    silent = features.fit_normalisation(MFCC_FEATURES, np.zeros((3, 16000), np.float32))
    assert np.isfinite(features.batch_features(clips, silent)).all()


@pytest.mark.parametrize(
    "clips, message",
    [
        (np.zeros((2, 15999), np.float32), r"shape \(2, 15999\): needed is \[n, 16000\]"),
        (np.zeros(16000, np.float32), r"shape \(16000,\)"),
        (np.zeros((1, 16000, 1), np.float32), r"shape \(1, 16000, 1\)"),
        (np.zeros((1, 16000)), "dtype float64: needed is float32 in -1..1 or int16"),
        (np.zeros((1, 16000), np.int32), "dtype int32"),
    ],
)
def test_wrong_clips_are_refused(clips, message):
    with pytest.raises(FeatureError, match=message):
        features.batch_features(clips, PAPER_FEATURES)


def test_librosa_path_refuses_the_same_clips():
    with pytest.raises(FeatureError, match=r"needed is \[n, 16000\]"):
        features.librosa_features(np.zeros(15999, np.float32), PAPER_FEATURES)
    with pytest.raises(FeatureError, match="dtype float64"):
        features.librosa_features(np.zeros(16000), PAPER_FEATURES)


def test_tables_for_the_board():
    window, filters = features.window_function(MFCC_FEATURES), features.mel_filters(MFCC_FEATURES)
    assert window.shape == (512,) and window.dtype == np.float32
    assert (window[:16] == 0).all() and (window[-16:] == 0).all()  # 480 samples in the middle of 512
    position = np.arange(480)
    np.testing.assert_allclose(window[16:-16], 0.5 - 0.5 * np.cos(2 * np.pi * position / 480), atol=1e-6)
    assert filters.shape == (40, 257) and filters.min() == 0
    assert (filters[:, 4000 * 512 // 16000 + 1 :] == 0).all()  # nothing above mel_high_hz
    # area of a Slaney filter is 1: an average over frequency; the narrow ones fall between the bins
    np.testing.assert_allclose(filters[20:].sum(axis=1) * 16000 / 512, 1, atol=0.1)


def test_dct_matrix_is_orthonormal():
    whole = features.dct_matrix(MFCC_FEATURES.replace(coefficients=40))
    np.testing.assert_allclose(whole @ whole.T, np.eye(40), atol=1e-12)
    np.testing.assert_array_equal(features.dct_matrix(MFCC_FEATURES), whole[:10])


def test_comparison_with_librosa():
    clips = (speech_like(4, RAW_PAPER) * 32768).astype(np.int16)
    table = features.compare_with_librosa(clips, RAW_PAPER)
    row = table.iloc[0]
    assert len(table) == 1 and (row.features, row.clips) == ("paper", 4)
    assert 0 <= row.max_difference < 5e-3
    assert row.librosa_ms > 0 and row.ratio == pytest.approx(row.librosa_ms / row.batched_ms)


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Index of six recordings; one is short, one is no audio."""
    monkeypatch.setenv("KWS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "words"
    for number, clip in enumerate(speech_like(6, PAPER_FEATURES)):
        path = folder / ("yes" if number % 2 else "no") / f"speaker{number}_nohash_0.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, clip[: 12000 if number == 2 else 16000], 16000, subtype="PCM_16")
    (folder / "yes" / "speaker9_nohash_0.wav").write_bytes(b"no audio")
    return dataset.scan_folder(folder)


def entries():
    return {path: path.stat().st_mtime_ns for path in (cache.data_folder() / "cache" / "features").glob("*")}


def test_whole_data_set_and_its_cache(recordings):
    values, good, report = features.dataset_features(recordings, PAPER_FEATURES)
    assert values.shape == (6, 30, 40) and values.dtype == np.float32
    assert len(recordings) == 7 and "speaker9_nohash_0.wav" not in "".join(good.path)
    assert sorted(report.problem.str.slice(0, 6)) == ["not re", "padded"]
    clips, same, _ = dataset.load_clips(recordings, PAPER_FEATURES)
    assert same.equals(good)
    np.testing.assert_allclose(values, features.batch_features(clips, PAPER_FEATURES), atol=1e-5)
    for row, found in zip(good.itertuples(), values, strict=True):
        samples = soundfile.read(row.path, dtype="float32")[0]
        padded = np.pad(samples, (0, 16000 - len(samples)))
        assert np.abs(found - features.librosa_features(padded, PAPER_FEATURES)).max() < 1e-3

    stored = entries()
    assert sorted(path.suffix for path in stored) == [".json", ".npy"]
    again, good_again, report_again = features.dataset_features(recordings, PAPER_FEATURES)
    np.testing.assert_array_equal(again, values)
    pd.testing.assert_frame_equal(good_again, good)
    pd.testing.assert_frame_equal(report_again, report)
    assert entries() == stored  # nothing was written: it came from the cache

    features.dataset_features(recordings, PAPER_FEATURES, refresh=True)
    assert set(entries()) == set(stored) and all(entries()[path] != stored[path] for path in stored)


def test_cache_is_read_without_pickle(recordings):
    features.dataset_features(recordings, PAPER_FEATURES)
    (array_path,) = (path for path in entries() if path.suffix == ".npy")
    assert np.load(array_path, allow_pickle=False).shape == (6, 30, 40)
    assert not {path.suffix for path in entries()} & {".pkl", ".pickle", ".joblib"}
    # an entry that is a pickle is not opened but made again
    with open(array_path, "wb") as file:
        np.save(file, np.array([{"not": "an array"}], object), allow_pickle=True)
    values, _, _ = features.dataset_features(recordings, PAPER_FEATURES)
    assert values.shape == (6, 30, 40) and values.dtype == np.float32


def test_cache_follows_settings_and_content(recordings):
    before, _, _ = features.dataset_features(recordings, PAPER_FEATURES)
    assert len(entries()) == 2
    features.dataset_features(recordings, PAPER_FEATURES.replace(mel_low_hz=100.0))
    assert len(entries()) == 4
    path = recordings.path[0]
    times = os.stat(path)
    changed = soundfile.read(path)[0][::-1]
    soundfile.write(path, changed, 16000, subtype="PCM_16")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # name, size and time are as before
    after, _, _ = features.dataset_features(recordings, PAPER_FEATURES)
    assert len(entries()) == 6
    np.testing.assert_array_equal(after[1:], before[1:])
    expected = features.librosa_features(changed.astype(np.float32), PAPER_FEATURES)
    assert np.abs(after[0] - expected).max() < 1e-3
    features.dataset_features(recordings.iloc[::-1], PAPER_FEATURES)
    assert len(entries()) == 8  # another order is another array


def test_data_set_of_silence_from_long_noise(tmp_path, monkeypatch):
    """Rows that start within a recording give the features of that part."""
    monkeypatch.setenv("KWS_CACHE", str(tmp_path / "cache"))
    noise = (np.random.default_rng(0).normal(size=40000) * 0.1).astype(np.float32)
    path = tmp_path / "words" / dataset.NOISE_WORD / "tap.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, noise, 16000, subtype="FLOAT")
    index = pd.DataFrame({"path": [str(path)] * 2, "start": [0, 20000], "word": [dataset.NOISE_WORD] * 2})
    values, _, _ = features.dataset_features(index, RAW_PAPER)
    for start, found in zip((0, 20000), values, strict=True):
        expected = features.librosa_features(noise[start : start + 16000], RAW_PAPER)
        assert np.abs(found - expected).max() < 0.1  # 16-bit rounding
    assert np.abs(values[0] - values[1]).max() > 3


def test_real_recordings_agree_with_librosa(tmp_path, monkeypatch):
    folder = os.environ.get("KWS_TEST_SPEECH_COMMANDS")
    if not folder:
        pytest.skip("KWS_TEST_SPEECH_COMMANDS is not set: no real recordings")
    monkeypatch.setenv("KWS_CACHE", str(tmp_path))
    index = dataset.load_index(folder, config.PAPER6, PAPER_FEATURES)
    clips, _, _ = dataset.load_clips(index.iloc[:: len(index) // 40], PAPER_FEATURES)
    for settings in (RAW_PAPER, RAW_MFCC):
        waves = clips.astype(np.float32) / np.float32(32768)
        golden = np.stack([features.librosa_features(wave, settings) for wave in waves])
        assert np.abs(features.batch_features(clips, settings) - golden).max() < 2e-3

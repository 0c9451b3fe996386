"""Reading one recording: every kind of fault ends in an AudioError that names the file, or in a note."""

import struct

import numpy as np
import pytest
import soundfile

from kwslib.audio import AudioError, read_audio, read_clip

RATE_HZ = 16000


@pytest.fixture
def tone():
    """0.5 s of a 440 Hz tone with a little noise, int16."""
    rng = np.random.default_rng(0)
    wave = 8000 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ // 2) / RATE_HZ) + rng.normal(0, 100, RATE_HZ // 2)
    return np.round(wave).astype(np.int16)


def write(path, samples, rate_hz=RATE_HZ, **settings):
    soundfile.write(path, samples, rate_hz, **settings)
    return path


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff"])
def test_sixteen_bits_are_read_exactly_and_padded(tmp_path, tone, suffix):
    clip = read_clip(write(tmp_path / f"a{suffix}", tone, subtype="PCM_16"), RATE_HZ, RATE_HZ)
    assert clip.notes == ("padded",)
    assert clip.samples.dtype == np.float32
    assert clip.samples.shape == (RATE_HZ,)
    assert np.array_equal(clip.samples[: len(tone)] * 32768, tone)
    assert not clip.samples[len(tone) :].any()


def test_longer_clip_is_cut_and_exact_length_has_no_note(tmp_path, tone):
    path = write(tmp_path / "a.wav", tone)
    clip = read_clip(path, RATE_HZ, 5000)
    assert clip.notes == ("cut",)
    assert np.array_equal(clip.samples * 32768, tone[:5000])
    assert read_clip(path, RATE_HZ, len(tone)).notes == ()


def test_channels_are_averaged(tmp_path, tone):
    samples, notes = read_audio(write(tmp_path / "a.wav", np.stack([tone, tone // 2, 0 * tone], axis=1)), RATE_HZ)
    assert notes == ("stereo",)
    assert samples * 32768 == pytest.approx((tone + (tone // 2).astype(float)) / 3, abs=0.01)


def test_another_rate_is_refused_or_resampled_with_a_warning(tmp_path):
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    path = write(tmp_path / "a.wav", wave, 44100)
    with pytest.raises(AudioError, match=r"a\.wav: 44100 Hz instead of 16000 Hz; convert it to 16000 Hz, .* -ar 16000"):
        read_audio(path, RATE_HZ)
    with pytest.warns(UserWarning, match=r"a\.wav: resampled from 44100 to 16000 Hz"):
        samples, notes = read_audio(path, RATE_HZ, resample=True)
    assert notes == ("resampled",)
    assert len(samples) == RATE_HZ
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)
    assert samples[500:-500] == pytest.approx(expected[500:-500], abs=0.01)


def test_rate_of_a_damaged_header_is_refused(tmp_path, tone):
    path = write(tmp_path / "a.wav", tone)
    whole = bytearray(path.read_bytes())
    for rate_hz in (1, 999, 2**31 - 1):
        whole[24:28] = rate_hz.to_bytes(4, "little")
        path.write_bytes(whole)
        with pytest.raises(AudioError, match=rf"a\.wav: a sample rate of {rate_hz} Hz cannot be right"):
            read_audio(path, RATE_HZ, resample=True)


def test_too_loud_float_samples_are_clamped(tmp_path):
    samples, notes = read_audio(write(tmp_path / "a.wav", np.array([0.5, 3.0, -2.0]), subtype="FLOAT"), RATE_HZ)
    assert notes == ("clamped",)
    assert samples.tolist() == [0.5, 1.0, -1.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_samples_are_refused(tmp_path, value):
    path = write(tmp_path / "a.wav", np.array([0.1, value, 0.2]), subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: holds NaN or infinite samples"):
        read_audio(path, RATE_HZ)


def test_missing_file_folder_and_empty_files(tmp_path):
    with pytest.raises(AudioError, match=r"b\.wav: no such file; check the data folder"):
        read_audio(tmp_path / "b.wav", RATE_HZ)
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(AudioError, match=r"folder\.wav: "):
        read_audio(tmp_path / "folder.wav", RATE_HZ)
    (tmp_path / "zero.wav").write_bytes(b"")
    with pytest.raises(AudioError, match=r"zero\.wav: not readable as audio"):
        read_audio(tmp_path / "zero.wav", RATE_HZ)
    with pytest.raises(AudioError, match=r"silent\.wav: empty, no samples"):
        read_audio(write(tmp_path / "silent.wav", np.zeros(0, np.int16)), RATE_HZ)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_truncated_file_is_refused(tmp_path, tone, suffix, share):
    path = write(tmp_path / f"a{suffix}", tone)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(AudioError, match=r"a\.(wav|flac): (truncated|not readable)"):
        read_audio(path, RATE_HZ)


def test_wav_truncated_within_its_header(tmp_path, tone):
    path = write(tmp_path / "a.wav", tone)
    whole = path.read_bytes()
    for size in range(1, 44):
        path.write_bytes(whole[:size])
        with pytest.raises(AudioError, match=r"a\.wav: "):
            read_audio(path, RATE_HZ)


def test_wav_with_other_chunks_and_a_streamed_length(tmp_path, tone):
    data = tone.tobytes()
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    note = b"LIST" + struct.pack("<I", 5) + b"hello" + b"\0"  # odd length, one byte of padding
    path = tmp_path / "a.wav"
    for length in (len(data), 0xFFFFFFFF):
        body = b"WAVE" + fmt + note + b"data" + struct.pack("<I", length) + data
        path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
        assert np.array_equal(read_audio(path, RATE_HZ)[0] * 32768, tone)


def test_wrong_header_and_random_bytes(tmp_path, tone):
    path = write(tmp_path / "a.wav", tone)
    whole = bytearray(path.read_bytes())
    for position, value in ((0, b"RIFX"), (8, b"WAVY"), (20, b"\xff\xff"), (22, b"\0\0"), (24, bytes(4))):
        changed = whole.copy()
        changed[position : position + len(value)] = value
        path.write_bytes(changed)
        with pytest.raises(AudioError, match=r"a\.wav: "):
            read_audio(path, RATE_HZ)
    path.write_bytes(np.random.default_rng(1).bytes(20000))
    with pytest.raises(AudioError, match=r"not readable as audio .* replace or delete it"):
        read_audio(path, RATE_HZ)


def test_messages_are_one_line(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF....WAVE")
    with pytest.raises(AudioError) as error:
        read_audio(path, RATE_HZ)
    assert "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore:.*resampled from:UserWarning")
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".ogg"])
def test_mutated_files_give_a_good_clip_or_an_audio_error(tmp_path, tone, suffix):
    path = write(tmp_path / f"a{suffix}", tone)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(list(suffix.encode()))
    outcomes = {"clip": 0, "error": 0}
    for number in range(90):
        changed = whole.copy()
        region = len(changed) if number % 3 else min(120, len(changed))  # every third only in the header
        places = rng.integers(0, region, int(rng.integers(1, 12)))
        changed[places] = rng.integers(0, 256, len(places))
        if number % 5 == 0:
            first = int(rng.integers(len(changed)))
            changed = np.delete(changed, slice(first, first + int(rng.integers(1, 400))))
        path.write_bytes(changed.tobytes())
        try:
            clip = read_clip(path, RATE_HZ, RATE_HZ, resample=number % 2 == 0)
        except AudioError as error:
            outcomes["error"] += 1
            assert path.name in str(error)
        else:
            outcomes["clip"] += 1
            assert clip.samples.shape == (RATE_HZ,)
            assert clip.samples.dtype == np.float32
            assert np.abs(clip.samples).max() <= 1
    assert outcomes["error"] > 0
    assert outcomes["clip"] > 0 or suffix == ".ogg"  # every page of an Ogg file has a checksum

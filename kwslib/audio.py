"""Read one recording into a clip of fixed length, or say in one line what is wrong with it."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile


class AudioError(ValueError):
    """A recording cannot be used; the message names the file, the fault and the remedy."""


@dataclass(frozen=True)
class Clip:
    """A clip and what was noticed while it was read.

    `samples` is float32 of shape [clip_samples] in -1..1; `notes` holds any of
    "padded", "cut", "resampled", "stereo", "clamped".
    """

    samples: np.ndarray
    notes: tuple[str, ...]


def read_audio(path: str | Path, sample_rate_hz: int, *, resample: bool = False) -> tuple[np.ndarray, tuple[str, ...]]:
    """Read a whole recording as float32 [samples] in -1..1, mono, at `sample_rate_hz`.

    Any format that libsndfile reads. Several channels are averaged. With `resample` another rate is
    converted with a warning (librosa, soxr_hq), otherwise it is refused.

    Returns the samples and notes as in `Clip`. Raises AudioError for a missing, unreadable, truncated or
    empty file, for NaN or infinite samples and, without `resample`, for another sample rate.
    """
    path = Path(path)
    notes = []
    try:
        with soundfile.SoundFile(path) as file:
            promised, rate_hz = file.frames, file.samplerate
            samples = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError, ValueError, MemoryError) as error:
        if not path.is_file():
            raise AudioError(f"{path}: no such file; check the data folder") from None
        reason = str(error).removeprefix(f"Error opening {str(path)!r}: ")
        raise AudioError(f"{path}: not readable as audio ({reason}); replace or delete it") from None
    if len(samples) == 0:
        raise AudioError(f"{path}: empty, no samples; replace or delete it")
    if len(samples) < promised or (path.suffix.lower() == ".wav" and _wav_cut_short(path)):
        raise AudioError(f"{path}: truncated, the file ends before its header says; replace or delete it")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; replace or delete it")
    if samples.shape[1] > 1:
        notes.append("stereo")
    samples = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    if rate_hz != sample_rate_hz:
        if not resample:
            example = f"ffmpeg -i in.wav -ar {sample_rate_hz} -ac 1 out.wav"
            rates = f"{rate_hz} Hz instead of {sample_rate_hz} Hz; convert it to {sample_rate_hz} Hz"
            raise AudioError(f"{path}: {rates}, for example {example}")
        if not 1000 <= rate_hz <= 1_000_000:  # a damaged header; 1 Hz would swell the file 16,000 times
            raise AudioError(f"{path}: a sample rate of {rate_hz} Hz cannot be right; replace or delete it")
        import librosa

        warnings.warn(f"{path}: resampled from {rate_hz} to {sample_rate_hz} Hz", stacklevel=2)
        samples = librosa.resample(samples, orig_sr=rate_hz, target_sr=sample_rate_hz)
        notes.append("resampled")
    if np.abs(samples).max() > 1.0:
        samples = np.clip(samples, -1.0, 1.0)
        notes.append("clamped")
    return np.ascontiguousarray(samples, dtype=np.float32), tuple(notes)


def _wav_cut_short(path: Path) -> bool:
    """Tell whether a RIFF file is shorter than its data chunk says; libsndfile silently adjusts the count."""
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return False
        size = path.stat().st_size
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:8], "little")
            if chunk[:4] == b"data":
                streamed = length in (0, 0xFFFFFFFF)  # a writer that never went back to fill in the length
                return not streamed and file.tell() + length > size
            file.seek(length + length % 2, 1)
        return True


def read_clip(path: str | Path, sample_rate_hz: int, clip_samples: int, *, resample: bool = False) -> Clip:
    """Read a recording as a clip of exactly `clip_samples`: a shorter one is zero-padded, a longer one cut.

    Raises AudioError as `read_audio` does.
    """
    samples, notes = read_audio(path, sample_rate_hz, resample=resample)
    if len(samples) < clip_samples:
        samples, notes = np.pad(samples, (0, clip_samples - len(samples))), (*notes, "padded")
    elif len(samples) > clip_samples:
        samples, notes = samples[:clip_samples], (*notes, "cut")
    return Clip(samples, notes)

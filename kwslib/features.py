"""The front end in Python: librosa as the reference, and a batched path with the same numbers.

Shapes: a clip is [clip_samples], features are [frames, bands], a batch adds a leading axis.
"""

import functools
import time

import numpy as np
import pandas as pd
import scipy.fft

from kwslib import dataset
from kwslib.config import FeatureConfig

_CHUNK_CLIPS = 4  # small temporaries stay in the processor's cache, also beside a training; 256 is half as fast


class FeatureError(ValueError):
    """Clips have a wrong shape or type; the message says what is needed."""


def librosa_features(clip: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Features of one clip by librosa, the reference: float32 [frames, bands].

    `clip` is float32 [clip_samples] in -1..1. Log-mel is `10 log10(max(mel power, floor))`, MFCC its orthonormal
    DCT-II; then the normalisation of `config`.
    """
    import librosa

    power = librosa.feature.melspectrogram(
        y=_checked(clip[None], config)[0],
        sr=config.sample_rate_hz,
        n_fft=config.fft_size,
        win_length=config.window_samples,
        hop_length=config.hop_samples,
        center=False,
        n_mels=config.mel_bands,
        fmin=config.mel_low_hz,
        fmax=config.mel_high_hz,
    )
    log_mel = librosa.power_to_db(power, amin=10 ** (config.floor_db / 10), top_db=None)
    if config.kind == "mfcc":
        log_mel = librosa.feature.mfcc(S=log_mel, n_mfcc=config.coefficients)
    return normalise(log_mel.T[None].astype(np.float32), config)[0]


def batch_features(clips: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Features of many clips: float32 [n, frames, bands].

    `clips` is float32 in -1..1 or int16, [n, clip_samples]. Same numbers as `librosa_features`: the tests hold
    the difference before normalisation under 5e-3 dB (float32 rounding in another order).
    """
    clips = _checked(clips, config)
    window, mel, dct = _tables(config)
    out = np.empty((len(clips), config.frames, config.bands), np.float32)
    for first in range(0, len(clips), _CHUNK_CLIPS):
        chunk = clips[first : first + _CHUNK_CLIPS]
        if chunk.dtype == np.int16:
            chunk = chunk.astype(np.float32) / np.float32(32768)
        frames = np.lib.stride_tricks.sliding_window_view(chunk, config.fft_size, axis=1)[:, :: config.hop_samples]
        spectrum = scipy.fft.rfft(frames * window, axis=-1)
        power = spectrum.real**2 + spectrum.imag**2
        values = 10 * np.log10(np.maximum(power @ mel, np.float32(10 ** (config.floor_db / 10))))
        out[first : first + _CHUNK_CLIPS] = values if dct is None else values @ dct
    return normalise(out, config)


def compare_with_librosa(clips: np.ndarray, config: FeatureConfig) -> pd.DataFrame:
    """Time and compare both paths on the same int16 clips [n, clip_samples] in one process: a table of one row.

    Columns: features, clips, librosa_ms and batched_ms for one clip (best of three runs), ratio, max_difference.
    """
    waveforms = clips.astype(np.float32) / np.float32(32768)
    seconds, results = {}, {}
    for name, compute in (
        ("librosa", lambda: np.stack([librosa_features(clip, config) for clip in waveforms])),
        ("batched", lambda: batch_features(clips, config)),
    ):
        compute()  # librosa loads lazily, and the tables are made once
        times = []
        for _ in range(3):
            started = time.perf_counter()
            results[name] = compute()
            times.append(time.perf_counter() - started)
        seconds[name] = min(times)
    row = {"features": config.name, "clips": len(clips)}
    row |= {f"{name}_ms": 1000 * value / len(clips) for name, value in seconds.items()}
    row["ratio"] = seconds["librosa"] / seconds["batched"]
    row["max_difference"] = float(np.abs(results["librosa"] - results["batched"]).max())
    return pd.DataFrame([row])


def normalise(features: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """Normalise float32 [n, frames, bands] in place as `config.normalisation` says, and return it.

    "window": each clip to zero mean and unit variance (a constant clip becomes zeros), "per_band": `(x - mean) / std`
    for each band, "none": unchanged. Raises FeatureError for "per_band" without mean and std.
    """
    if config.normalisation == "window":
        features -= features.mean(axis=(1, 2), keepdims=True)
        features /= np.maximum(features.std(axis=(1, 2), keepdims=True), 1e-3)
    elif config.normalisation == "per_band":
        if not config.mean:
            raise FeatureError(
                f"features {config.name!r}: mean and std are not known yet; call fit_normalisation first"
            )
        features -= np.array(config.mean, np.float32)
        features /= np.array(config.std, np.float32)
    return features


def fit_normalisation(config: FeatureConfig, clips: np.ndarray) -> FeatureConfig:
    """Return `config` with normalisation "per_band", mean and std taken from training clips [n, clip_samples]."""
    values = batch_features(clips, config.replace(normalisation="none", mean=(), std=()))
    mean, std = values.mean(axis=(0, 1), dtype=np.float64), values.std(axis=(0, 1), dtype=np.float64)
    mean, std = (tuple(float(f"{value:.6g}") for value in part) for part in (mean, np.maximum(std, 1e-3)))
    return config.replace(normalisation="per_band", mean=mean, std=std)


def dataset_features(index: pd.DataFrame, config: FeatureConfig, *, resample: bool = False, refresh: bool = False):
    """Features of every clip of an index, from the cache if they were computed before.

    The cache is keyed by the settings and the content of the files; `refresh` computes them again. With `resample`
    recordings of another sample rate are converted, not left out. Returns
    `(features, good, report)`: float32 [n_good, frames, bands], and the rows and the report as `dataset.load_clips`
    gives them.
    """
    transform = functools.partial(batch_features, config=config)
    depends_on = {"features": config.to_dict()}
    return dataset.map_clips("features", transform, depends_on, index, config, resample=resample, refresh=refresh)


def window_function(config: FeatureConfig) -> np.ndarray:
    """Periodic Hann window of `window_samples` centred in the FFT frame: float32 [fft_size]."""
    import librosa

    window = librosa.filters.get_window("hann", config.window_samples, fftbins=True)
    return librosa.util.pad_center(window, size=config.fft_size).astype(np.float32)


def mel_filters(config: FeatureConfig) -> np.ndarray:
    """Slaney mel filterbank: float32 [mel_bands, fft_size // 2 + 1]."""
    import librosa

    return librosa.filters.mel(
        sr=config.sample_rate_hz,
        n_fft=config.fft_size,
        n_mels=config.mel_bands,
        fmin=config.mel_low_hz,
        fmax=config.mel_high_hz,
    )


def dct_matrix(config: FeatureConfig) -> np.ndarray:
    """Orthonormal DCT-II: float64 [coefficients, mel_bands]."""
    return scipy.fft.dct(np.eye(config.mel_bands), type=2, norm="ortho", axis=0)[: config.coefficients]


@functools.lru_cache(maxsize=16)
def _tables(config: FeatureConfig):
    """Window, transposed mel filters and DCT matrix (None for log-mel) of the batched path."""
    mel = np.ascontiguousarray(mel_filters(config).T)
    if config.kind != "mfcc":
        return window_function(config), mel, None
    return window_function(config), mel, np.ascontiguousarray(dct_matrix(config).T, dtype=np.float32)


def _checked(clips: np.ndarray, config: FeatureConfig) -> np.ndarray:
    if clips.ndim != 2 or clips.shape[1] != config.clip_samples:
        raise FeatureError(f"clips of shape {clips.shape}: needed is [n, {config.clip_samples}] for {config.name!r}")
    if clips.dtype not in (np.float32, np.int16):
        raise FeatureError(f"clips of dtype {clips.dtype}: needed is float32 in -1..1 or int16")
    return clips

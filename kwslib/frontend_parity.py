"""The C front end beside librosa, stage by stage, on this computer and on the emulated board.

Stages of a frame, float32: window [fft_size], power [bins], mel [mel_bands], log_mel [mel_bands] in dB, column [bands]
(log-mel or MFCC before normalisation); of a clip: normalised and quantized [frames, bands].
"""

import numpy as np
import pandas as pd

from kwslib import features
from kwslib.config import FeatureConfig
from kwslib.frontend_board import BoardFrontend
from kwslib.frontend_c import FrontendError
from kwslib.frontend_host import HostFrontend
from kwslib.interpreters import quantize_input
from kwslib.tflite_graph import Tensor

COLUMNS = ("stage", "max_abs_error", "mean_abs_error", "max_rel_error", "int8_equal_percent")
STAGES = ("window", "power", "mel", "log_mel", "column", "normalised", "quantized")


def reference(clip: np.ndarray, config: FeatureConfig) -> dict[str, np.ndarray]:
    """Every stage up to "normalised" by librosa: float32 [frames, ...]; `clip` is int16 [clip_samples]."""
    import librosa

    samples = clip.astype(np.float32) / np.float32(32768)
    unnormalised = config.replace(normalisation="none", mean=(), std=())
    cut = librosa.util.frame(samples, frame_length=config.fft_size, hop_length=config.hop_samples, axis=0)
    spectrum = librosa.stft(
        samples,
        n_fft=config.fft_size,
        hop_length=config.hop_samples,
        win_length=config.window_samples,
        center=False,
    )
    power = np.abs(spectrum) ** 2
    mel = features.mel_filters(config) @ power
    log_mel = librosa.power_to_db(mel, amin=10 ** (config.floor_db / 10), top_db=None)
    return {
        "window": cut * features.window_function(config),
        "power": power.T,
        "mel": mel.T,
        "log_mel": log_mel.T,
        "column": features.librosa_features(samples, unnormalised),
        "normalised": features.librosa_features(samples, config),
    }


def compare(frontend: HostFrontend | BoardFrontend, clips: np.ndarray, tensor: Tensor) -> pd.DataFrame:
    """Compare a C front end with librosa on int16 clips [n, clip_samples]: a row a stage.

    `tensor` is the model's input, int8 or int16. Columns: stage, max_abs_error, mean_abs_error, max_rel_error (relative
    to the largest magnitude of the frame), int8_equal_percent (of the quantized values; NaN for the other stages).
    """
    if tensor.dtype not in ("int8", "int16"):
        raise FrontendError(f"the model's input is {tensor.dtype}: needed is int8 or int16")
    if not len(clips):
        raise FrontendError("no clips to compare: needed is one or more")
    config, errors = frontend.config, {stage: [] for stage in STAGES}
    for clip in clips:
        wanted = reference(clip, config)
        wanted["quantized"] = quantize_input(wanted["normalised"][None], tensor)[0].reshape(config.frames, config.bands)
        frames, normalised, quantized = frontend.clip(clip, tensor.scales[0], tensor.zero_points[0], tensor.dtype)
        found = {name: np.stack([frame[name] for frame in frames]) for name in frames[0]}
        found |= {"normalised": normalised, "quantized": quantized}
        for stage, values in found.items():
            golden = wanted[stage].astype(np.float64)[:, : values.shape[1]]
            error = np.abs(values - golden)
            largest = np.abs(golden).max(axis=1, keepdims=True)
            relative = np.divide(error, largest, out=np.zeros_like(error), where=largest > 0)
            errors[stage].append((error.max(), error.mean(), relative.max(), 100 * np.mean(error == 0)))
    rows = []
    for stage, found in errors.items():
        highest, mean, relative, equal = np.array(found).T
        equal_percent = equal.mean() if stage == "quantized" else np.nan
        rows.append((stage, highest.max(), mean.mean(), relative.max(), equal_percent))
    return pd.DataFrame(rows, columns=COLUMNS)

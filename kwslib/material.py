"""What a network trains on and is judged on: recordings and synthetic words, loaded, labelled, and split."""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kwslib import augment, cache, dataset, features, quantize, synthetic
from kwslib.config import FeatureConfig, TaskConfig

CALIBRATION_PER_CLASS = 30  # training clips of every class that set the int8 ranges


@dataclass(frozen=True)
class Recordings:
    """What an experiment trains on and is judged on.

    `front_end` is the FeatureConfig with its normalisation settled on training clips; `evaluation` maps
    "validation" and "testing" to `(x, y)`: float32 [n, frames, bands, 1] and int [n]; `calibration` is float32
    [n, frames, bands, 1] of training clips of every class; `digest` names the content that training depends on.
    """

    dataset: str
    pool: augment.TrainingPool
    front_end: FeatureConfig
    evaluation: dict
    calibration: np.ndarray
    digest: str


@functools.lru_cache(maxsize=2)
def recordings(data: str, task: TaskConfig, front_end: FeatureConfig) -> Recordings:
    """Load everything that training and evaluation need; kept in memory for the next experiment, cached on disk.

    Real recordings are joined by synthetic words (`synthetic.make_words`) as further training material; validation
    and test hold recordings of `data` only. Raises what `dataset.load_index` raises.
    """
    index = dataset.load_index(data, task, front_end)
    noise = dataset.load_noise(index, "training", front_end.sample_rate_hz)
    index["synthetic"] = False
    training = index[index.split == "training"]
    recorded = training[training.label != "silence"]
    if data != "synthetic":
        recorded = pd.concat([recorded, _spoken_words(task)], ignore_index=True)
    clips, good, _ = dataset.load_clips(recorded, front_end)
    labels = np.array([task.labels.index(label) for label in good.label])
    pool = augment.TrainingPool(clips, labels, good.word.to_numpy(), good.synthetic.to_numpy(bool), noise)

    if front_end.normalisation == "per_band" and not front_end.mean:
        front_end = features.fit_normalisation(front_end, clips[np.flatnonzero(~pool.synthetic)[::4]])
    evaluation = {}
    for split in ("validation", "testing"):
        wave, rows, _ = dataset.load_clips(dataset.select(index, task, split), front_end)
        truth = np.array([task.labels.index(label) for label in rows.label])
        evaluation[split] = (features.batch_features(wave, front_end)[..., None], truth)
    digest = hashlib.sha256()
    for part in (clips, labels, noise, *evaluation["validation"]):
        digest.update(np.ascontiguousarray(part))
    calibration = _calibration(training, front_end, CALIBRATION_PER_CLASS, task.seed)
    return Recordings(index.attrs["dataset"], pool, front_end, evaluation, calibration, digest.hexdigest())


def calibration_features(
    data: str, task: TaskConfig, front_end: FeatureConfig, per_class: int, seed: int, classes: tuple[str, ...] = ()
) -> np.ndarray:
    """Features float32 [n, frames, bands, 1] of `per_class` training clips of each of `classes`, all by default.

    `front_end` has its normalisation settled. Raises QuantizeError for a class without training clips.
    """
    index = dataset.load_index(data, task, front_end)
    training = index[index.split == "training"]
    if classes:
        training = training[training.label.isin(classes)]
    return _calibration(training, front_end, per_class, seed, classes)


def sample_clips(data: str, task: TaskConfig, front_end: FeatureConfig, n_clips: int) -> tuple[np.ndarray, list[str]]:
    """Features float32 [n, frames, bands] of a few test clips, of each class in turn, and what is said in them.

    `front_end` has its normalisation settled. Raises what `dataset.load_index` raises.
    """
    rows = dataset.select(dataset.load_index(data, task, front_end), task, "testing")
    turn = rows.groupby("label").cumcount()
    place = rows.label.map(task.labels.index)
    rows = rows.iloc[np.lexsort((place, turn))[:n_clips]]
    clips, good, _ = dataset.load_clips(rows, front_end)
    return features.batch_features(clips, front_end), good.label.tolist()


def _calibration(training, front_end, per_class, seed, classes=()):
    chosen = quantize.calibration_clips(training.label.to_numpy(), per_class, seed, classes)
    clips, _, _ = dataset.load_clips(training.iloc[chosen], front_end)
    return features.batch_features(clips, front_end)[..., None]


def _spoken_words(task: TaskConfig) -> pd.DataFrame:
    """Rows of the synthetic words, labelled for the task."""
    rows = dataset.scan_folder(synthetic.make_words(cache.data_folder() / "synthetic_words"))
    label = rows.word.where(rows.word.isin(task.keywords), "unknown")
    return rows.assign(label=label, split="training", synthetic=True)

"""What a network trains on and is judged on: recordings and synthetic words, loaded, labelled, and split."""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kwslib import augment, cache, dataset, features, quantize, synthetic
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.dataset import DatasetError

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
    and test hold recordings of `data` only. Raises what `dataset.load_index` raises, and DatasetError for a class
    without a readable clip in a split.
    """
    index = dataset.load_index(data, task, front_end)
    noise = dataset.load_noise(index, "training", front_end)
    _check_classes(index)
    index["synthetic"] = False
    training = index[index.split == "training"]
    recorded = training[training.label != "silence"]
    if data != "synthetic":
        recorded = pd.concat([recorded, _spoken_words(task)], ignore_index=True)
    clips, good = _loaded(recorded, front_end)
    labels = np.array([task.labels.index(label) for label in good.label])
    pool = augment.TrainingPool(clips, labels, good.word.to_numpy(), good.synthetic.to_numpy(bool), noise)

    if front_end.normalisation == "per_band" and not front_end.mean:
        front_end = features.fit_normalisation(front_end, clips[np.flatnonzero(~pool.synthetic)[::4]])
    evaluation = {split: _evaluation(index, task, front_end, split) for split in ("validation", "testing")}
    digest = hashlib.sha256()
    for part in (clips, labels, noise, *evaluation["validation"]):
        digest.update(np.ascontiguousarray(part))
    calibration = _calibration(training, front_end, CALIBRATION_PER_CLASS, task.seed)
    return Recordings(index.attrs["dataset"], pool, front_end, evaluation, calibration, digest.hexdigest())


@functools.lru_cache(maxsize=2)
def validation(data: str, task: TaskConfig, front_end: FeatureConfig) -> tuple[np.ndarray, np.ndarray]:
    """Validation features float32 [n, frames, bands, 1] and classes int [n], without loading what is trained on.

    `front_end` has its normalisation settled. Raises what `dataset.load_index` raises.
    """
    return _evaluation(dataset.load_index(data, task, front_end), task, front_end, "validation")


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
    clips, good = _loaded(rows, front_end)
    return features.batch_features(clips, front_end), good.label.tolist()


def _evaluation(index, task, front_end, split):
    """Features [n, frames, bands, 1] and classes [n] of the clips of a split."""
    clips, rows = _loaded(dataset.select(index, task, split), front_end)
    truth = np.array([task.labels.index(label) for label in rows.label])
    return features.batch_features(clips, front_end)[..., None], truth


def _calibration(training, front_end, per_class, seed, classes=()):
    chosen = quantize.calibration_clips(training.label.to_numpy(), per_class, seed, classes)
    clips, _ = _loaded(training.iloc[chosen], front_end)
    return features.batch_features(clips, front_end)[..., None]


def _check_classes(index: pd.DataFrame) -> None:
    """Refuse recordings without a word that is no keyword, or without silence, in a split."""
    remedies = {
        "unknown": "add a sub-folder of other words, said by several speakers",
        "silence": dataset.NOISE_REMEDY,
    }
    for split in dataset.SPLITS:
        for label, remedy in remedies.items():
            if not ((index.split == split) & (index.label == label)).any():
                raise DatasetError(f"{index.attrs['dataset']}: no {split} clips of {label!r}: {remedy}")


def _loaded(rows: pd.DataFrame, front_end: FeatureConfig) -> tuple[np.ndarray, pd.DataFrame]:
    """Clips int16 [n, clip_samples] and their rows; a line says how many could not be read, and what ails the first.

    Raises DatasetError if none is left of a label in a split.
    """
    clips, good, report = dataset.load_clips(rows, front_end)
    lost = rows.drop(good.index)
    if lost.empty:
        return clips, good
    kinds = [name for name in ("split", "label", "synthetic") if name in rows]
    left = set(good[kinds].itertuples(index=False, name=None))
    gone = lost[[kind not in left for kind in lost[kinds].itertuples(index=False, name=None)]]
    first = (lost if gone.empty else gone).iloc[0]
    said = f"the first: {first.path}: {report[report.path == first.path].problem.iloc[-1]}"
    if len(gone):
        raise DatasetError(f"no {first.split} clip of {first.label!r} can be read, {said}")
    dataset.tell(f"{len(lost)} of {len(rows)} clips cannot be read and are left out, {said}")
    return clips, good


def _spoken_words(task: TaskConfig) -> pd.DataFrame:
    """Rows of the synthetic words, labelled for the task."""
    rows = dataset.scan_folder(synthetic.make_words(cache.data_folder() / "synthetic_words"))
    label = rows.word.where(rows.word.isin(task.keywords), "unknown")
    return rows.assign(label=label, split="training", synthetic=True)

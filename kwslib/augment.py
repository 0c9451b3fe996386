"""Training examples drawn afresh in every epoch: which clips, how they are altered, and their features.

Every random choice comes from a generator seeded by (seed, epoch, batch): an epoch is never repeated,
and a run is the same whatever thread makes a batch.
"""

import math
from dataclasses import dataclass

import numpy as np

from kwslib import features
from kwslib.config import FeatureConfig, TaskConfig, TrainConfig

_SPLICE, _SILENCE = -1, -2  # rows of an epoch's plan that are no stored clip


@dataclass(frozen=True)
class TrainingPool:
    """What epochs are drawn from.

    clips int16 [n, clip_samples]; labels int [n] as positions in `task.labels`; words [n]; synthetic bool [n];
    noise int16 [samples], the training share of the background recordings.
    """

    clips: np.ndarray
    labels: np.ndarray
    words: np.ndarray
    synthetic: np.ndarray
    noise: np.ndarray


def plan_epoch(pool: TrainingPool, task: TaskConfig, config: TrainConfig, rng: np.random.Generator):
    """Choose the examples of one epoch, shuffled.

    Every real keyword clip once; unknown clips by `unknown_share`, drawn evenly over the square root of the
    words' counts; half as many synthetic keywords as synthetic unknowns, over all keywords, so that a synthetic voice
    is no sure sign of unknown; splices and silence by their shares.

    Returns `(rows, labels)`: rows int [m] into `pool.clips`, or -1 for a splice and -2 for silence.
    """
    unknown, silence = task.labels.index("unknown"), task.labels.index("silence")
    keyword = np.flatnonzero((pool.labels < unknown) & ~pool.synthetic)
    per_keyword = len(keyword) / len(task.keywords)
    n_unknown = round(config.unknown_share * per_keyword)
    synthetic = np.flatnonzero((pool.labels == unknown) & pool.synthetic)
    n_synthetic = round(n_unknown * config.synthetic_share) if len(synthetic) else 0
    n_splice = round(n_unknown * config.splice_share)
    real = np.flatnonzero((pool.labels == unknown) & ~pool.synthetic)
    spoken_keywords = np.flatnonzero((pool.labels < unknown) & pool.synthetic)
    n_spoken_keywords = round(n_synthetic / 2) if len(spoken_keywords) else 0
    parts = [
        (keyword, pool.labels[keyword]),
        (_draw_words(real, pool.words, n_unknown - n_synthetic - n_splice, rng), unknown),
        (_draw_words(synthetic, pool.words, n_synthetic, rng), unknown),
        (np.full(n_splice, _SPLICE), unknown),
        (np.full(round(config.silence_share * per_keyword), _SILENCE), silence),
    ]
    chosen = _draw_words(spoken_keywords, pool.words, n_spoken_keywords, rng)
    parts.append((chosen, pool.labels[chosen]))
    rows = np.concatenate([part for part, _ in parts]).astype(np.int64)
    labels = np.concatenate([np.broadcast_to(label, len(part)) for part, label in parts])
    order = rng.permutation(len(rows))
    return rows[order], labels[order]


def _draw_words(rows, words, count, rng):
    """Draw `count` of `rows`, a word with n clips in proportion to sqrt(n), without repeats where possible."""
    if not len(rows) or count <= 0:
        return np.zeros(0, np.int64)
    _, inverse, counts = np.unique(words[rows], return_inverse=True, return_counts=True)
    weight = counts[inverse] ** -0.5
    return rng.choice(rows, count, replace=count > len(rows), p=weight / weight.sum())


def splice(first: np.ndarray, second: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut the start of one clip to the end of another, near the middle of the loud part: a word nobody said.

    Both are int16 [clip_samples]; the joint is cross-faded over 10 ms. With a chance of 1 in 4 the first clip is
    played backwards instead.
    """
    if rng.random() < 0.25:
        return first[::-1]
    cuts = []
    for clip in (first, second):
        energy = np.cumsum(clip.astype(np.float32) ** 2)
        cuts.append(int(np.searchsorted(energy, energy[-1] * rng.uniform(0.3, 0.7))))
    fade, size = 160, len(first)
    head, tail = first[: cuts[0]].astype(np.float32), second[cuts[1] :].astype(np.float32)
    overlap = min(fade, len(head), len(tail))
    ramp = np.linspace(0, 1, overlap, dtype=np.float32)
    joint = head[len(head) - overlap :] * (1 - ramp) + tail[:overlap] * ramp
    word = np.concatenate([head[: len(head) - overlap], joint, tail[overlap:]])[:size]
    return np.pad(word, (0, size - len(word))).astype(np.int16)


def alter_clips(clips: np.ndarray, noise: np.ndarray, sample_rate_hz: int, config: TrainConfig, rng) -> np.ndarray:
    """Shift, change of speed, gain and background noise for a batch.

    `clips` is int16 [n, samples], `noise` int16 [any length above samples]; returns float32 [n, samples] in
    -1..1. SNR is the ratio of the clip's to the noise's mean power over the whole clip.
    """
    count, size = clips.shape
    out = np.empty((count, size), np.float32)
    shift = (rng.uniform(-1, 1, count) * config.shift_ms * sample_rate_hz / 1000).round().astype(int)
    change = rng.uniform(-1, 1, count) * (rng.random(count) < config.speed_probability)
    speed = 1 + change * config.speed_percent / 100
    gain = 10 ** (rng.uniform(-1, 1, count) * config.gain_db / 20) / 32768
    noisy = rng.random(count) < config.noise_probability
    starts = rng.integers(0, len(noise) - size, count)
    snr_db = rng.uniform(config.snr_low_db, config.snr_high_db, count)
    # one clip at a time: whole-batch temporaries cost more in page faults than the arithmetic
    for row in range(count):
        clip = _moved(clips[row].astype(np.float32), shift[row], speed[row])
        np.multiply(clip, np.float32(gain[row]), out=out[row])
        if noisy[row]:
            background = noise[starts[row] : starts[row] + size].astype(np.float32)
            ratio = _rms(out[row]) / (_rms(background) + 1e-6) * 10 ** (-snr_db[row] / 20)
            background *= np.float32(ratio)
            out[row] += background
        np.clip(out[row], -1, 1, out=out[row])
    return out


def _rms(signal) -> float:
    return math.sqrt(np.dot(signal, signal) / len(signal))


def _moved(clip, shift, speed):
    """Read float32 [samples] at `speed` about its middle, `shift` samples later: linearly, with zeros outside."""
    size = len(clip)
    if speed != 1:
        place = np.arange(size, dtype=np.float32) - np.float32(size / 2)
        place *= np.float32(speed)
        place += np.float32(size / 2 - shift)
        np.clip(place, -1, size, out=place)
        low = np.floor(place).astype(np.intp)
        place -= low
        padded = np.zeros(size + 3, np.float32)  # padded[n + 1] is clip[n], with zeros on both sides
        padded[1 : size + 1] = clip
        below, above = padded.take(low + 1), padded.take(low + 2)
        above -= below
        above *= place
        above += below
        return above
    moved = np.zeros_like(clip)
    if shift >= 0:
        moved[shift:] = clip[: size - shift]
    else:
        moved[:shift] = clip[-shift:]
    return moved


def mask_features(batch: np.ndarray, config: TrainConfig, rng) -> np.ndarray:
    """SpecAugment in place: random runs of frames and bands of [n, frames, bands] become the batch's mean."""
    count, frames, bands = batch.shape
    fill = batch.mean()
    for number, width, size, axis in (
        (config.time_masks, config.time_mask_frames, frames, 1),
        (config.band_masks, config.band_mask_bands, bands, 2),
    ):
        for _ in range(number):
            length = rng.integers(0, min(width, size) + 1, (count, 1))
            start = (rng.random((count, 1)) * (size - length + 1)).astype(int)
            place = np.arange(size)
            masked = (place >= start) & (place < start + length)
            np.copyto(batch, fill, where=masked[:, :, None] if axis == 1 else masked[:, None, :])
    return batch


def altered_features(clips, noise, front_end: FeatureConfig, config: TrainConfig, rng) -> np.ndarray:
    """Features of altered clips with SpecAugment: int16 [n, clip_samples] to float32 [n, frames, bands]."""
    altered = alter_clips(clips, noise, front_end.sample_rate_hz, config, rng)
    return mask_features(features.batch_features(altered, front_end), config, rng)


class Epochs:
    """Batches of every epoch: `batch(epoch, number)` gives float32 features and one-hot labels."""

    def __init__(self, pool: TrainingPool, task: TaskConfig, front_end: FeatureConfig, config: TrainConfig, seed: int):
        self.pool, self.task, self.front_end, self.config, self.seed = pool, task, front_end, config, seed
        self._plans = {}
        # what splices are cut from: real keyword and unknown clips, their words as numbers (text compares slowly)
        self._spoken = np.flatnonzero(~pool.synthetic & (pool.labels < len(task.labels) - 1))
        self._words = np.unique(pool.words[self._spoken], return_inverse=True)[1]
        self.batches = math.ceil(len(self._plan(0)[0]) / config.batch_size)

    def _plan(self, epoch):
        if epoch not in self._plans:
            rng = np.random.default_rng([self.seed, epoch])
            self._plans = {epoch: plan_epoch(self.pool, self.task, self.config, rng)}
        return self._plans[epoch]

    def batch(self, epoch: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch `number` of `epoch`: features [n, frames, bands, 1] and labels [n, classes], both float32."""
        rows, labels = self._plan(epoch)
        part = slice(number * self.config.batch_size, (number + 1) * self.config.batch_size)
        rng = np.random.default_rng([self.seed, epoch, number + 1])
        clips = self._clips(rows[part], rng)
        batch = altered_features(clips, self.pool.noise, self.front_end, self.config, rng)
        return batch[..., None], np.eye(len(self.task.labels), dtype=np.float32)[labels[part]]

    def _clips(self, rows, rng):
        size, noise = self.front_end.clip_samples, self.pool.noise
        clips = np.zeros((len(rows), size), np.int16)
        stored = rows >= 0
        clips[stored] = self.pool.clips[rows[stored]]
        for place in np.flatnonzero(rows == _SILENCE):
            start = rng.integers(0, len(noise) - size)
            clips[place] = noise[start : start + size] * rng.uniform(0, 1)
        for place in np.flatnonzero(rows == _SPLICE):
            first = rng.integers(len(self._spoken))
            second = rng.choice(np.flatnonzero(self._words != self._words[first]))
            pair = self.pool.clips[self._spoken[first]], self.pool.clips[self._spoken[second]]
            clips[place] = splice(*pair, rng)
        return clips

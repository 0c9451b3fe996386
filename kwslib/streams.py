"""Long streams of speech and noise with a table of what is said when, made from the clips of one split.

A stream is a row of scenes of SCENE_S seconds, in turn: keywords among other words, other words only, keywords among
other words, noise only. Each scene has one background at one signal-to-noise ratio.
"""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from kwslib import dataset
from kwslib.config import FeatureConfig, TaskConfig

SNRS_DB = (10, 20, 30)
LEVEL = 2000  # root mean square of the spoken part of every clip, in steps of int16
SCENE_S = 30
SCENES = ("keywords", "words", "keywords", "noise")
KEYWORD_SHARE = 0.5  # of the words of a scene with keywords
GAP_MS = (500, 1500)  # between two clips
_FADE_SAMPLES = 160
_FRAME_SAMPLES = 160
_SPOKEN_DB = 25  # a frame of 10 ms is part of the word if it is at most this far under the loudest one


class StreamError(ValueError):
    """A stream cannot be made; the message names the setting."""


@dataclass(frozen=True)
class Stream:
    """Audio int16 [samples] and its words, in order: columns word, label, start, end (samples), snr_db.

    `start` and `end` are those of the spoken part of the clip; clips never overlap. `scenes` has columns kind, start
    (samples) and snr_db.
    """

    dataset: str
    split: str
    sample_rate_hz: int
    audio: np.ndarray = field(repr=False)
    words: pd.DataFrame = field(repr=False)
    scenes: pd.DataFrame = field(repr=False)

    @property
    def hours(self) -> float:
        """Length."""
        return len(self.audio) / self.sample_rate_hz / 3600

    @functools.cached_property
    def digest(self) -> str:
        """Digest of the samples."""
        return hashlib.sha256(np.ascontiguousarray(self.audio)).hexdigest()

    def keywords(self, task: TaskConfig) -> pd.DataFrame:
        """The words that are keywords of the task."""
        return self.words[self.words.label.isin(task.keywords)].reset_index(drop=True)


def make_stream(
    data: str,
    task: TaskConfig,
    front_end: FeatureConfig,
    split: str,
    minutes: float,
    seed: int = 0,
    snrs_db: Sequence[float] = SNRS_DB,
) -> Stream:
    """Make a stream from the clips and the background noise of a split; the same arguments give the same samples.

    Every clip is used once before any is used again, words in turn. The spoken part of a clip is brought to the mean
    power LEVEL ** 2, and the noise of a scene to one that is `snr_db` below. `minutes` is rounded up to whole scenes.
    Raises StreamError, also for a split without keywords or other words, and DatasetError for recordings that cannot be
    used.
    """
    if split not in dataset.SPLITS:
        raise StreamError(f"split {split!r}: there are {', '.join(dataset.SPLITS)}")
    if not minutes > 0:
        raise StreamError(f"minutes = {minutes!r}: needed is more than 0")
    index = dataset.load_index(data, task, front_end)
    noise = dataset.load_noise(index, split, front_end).astype(np.float32)
    spoken = index[(index.split == split) & (index.label != "silence")]
    clips, rows, _ = dataset.load_clips(spoken, front_end)
    rows = rows.reset_index(drop=True)
    rng = np.random.default_rng([seed, dataset.SPLITS.index(split)])
    is_keyword = rows.label.isin(task.keywords)
    for kind, words in ((True, "keywords"), (False, "words that are no keywords")):
        if not (is_keyword == kind).any():
            name = index.attrs["dataset"]
            raise StreamError(f"{name}: no {split} clips of {words} can be read; add recordings of several speakers")
    decks = {kind: _deck(rows.word[is_keyword == kind], rng) for kind in (True, False)}

    size = SCENE_S * front_end.sample_rate_hz
    count = int(np.ceil(minutes * 60 / SCENE_S))
    audio, words, scenes = np.empty(count * size, np.int16), [], []
    for number in range(count):
        kind, snr_db = SCENES[number % len(SCENES)], rng.choice(snrs_db)
        scene = _background(noise, size, LEVEL * 10 ** (-snr_db / 20), rng)
        for row, place in _places(kind, size, front_end, decks, rng):
            first, last = spoken_part(clips[row])
            clip = clips[row].astype(np.float32)
            clip *= LEVEL / max(_rms(clip[first:last]), 1)
            scene[place : place + len(clip)] += _faded(clip)
            begins = number * size + place
            words.append((rows.word[row], rows.label[row], begins + first, begins + last, snr_db))
        audio[number * size : (number + 1) * size] = np.clip(np.round(scene), -32768, 32767)
        scenes.append((kind, number * size, snr_db))
    words = pd.DataFrame(words, columns=["word", "label", "start", "end", "snr_db"])
    scenes = pd.DataFrame(scenes, columns=["kind", "start", "snr_db"])
    return Stream(index.attrs["dataset"], split, front_end.sample_rate_hz, audio, words, scenes)


def spoken_part(clip: np.ndarray) -> tuple[int, int]:
    """First and last sample (exclusive) of the loud part of an int16 clip, in steps of 10 ms."""
    frames = clip[: len(clip) // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES).astype(np.float32)
    energy = (frames**2).sum(axis=1)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-_SPOKEN_DB / 10))
    return int(loud[0]) * _FRAME_SAMPLES, (int(loud[-1]) + 1) * _FRAME_SAMPLES


def cut(stream: Stream, start_s: float, seconds: float) -> Stream:
    """A piece of a stream as a stream of its own, with the words that end in it; `scenes` stay out.

    Raises StreamError for a piece outside of the stream.
    """
    first, last = (round(place * stream.sample_rate_hz) for place in (start_s, start_s + seconds))
    if not 0 <= first < last <= len(stream.audio):
        length = len(stream.audio) / stream.sample_rate_hz
        raise StreamError(f"{start_s:g} s to {start_s + seconds:g} s: the stream has {length:g} s")
    words = stream.words[(stream.words.end > first) & (stream.words.end <= last)].reset_index(drop=True)
    words = words.assign(start=(words.start - first).clip(lower=0), end=words.end - first)
    return replace(stream, audio=stream.audio[first:last], words=words, scenes=stream.scenes[:0])


def _deck(words: pd.Series, rng):
    """Rows of clips without end: one clip of each word in turn, shuffled, and again from the start."""
    order = rng.permutation(len(words))
    shuffled = words.iloc[order]
    turn = shuffled.groupby(shuffled).cumcount().to_numpy()
    rows = shuffled.index.to_numpy()[np.argsort(turn, kind="stable")]
    while True:
        yield from rows.tolist()


def _places(kind, size, front_end, decks, rng):
    """(row of a clip, first sample) of each word of a scene."""
    if kind == "noise":
        return
    low, high = (gap * front_end.sample_rate_hz // 1000 for gap in GAP_MS)
    place = int(rng.integers(low, high))
    while place + front_end.clip_samples + low <= size:
        keyword = kind == "keywords" and rng.random() < KEYWORD_SHARE
        yield next(decks[bool(keyword)]), place
        place += front_end.clip_samples + int(rng.integers(low, high))


def _background(noise, size, level, rng):
    """Noise from a random place on, from its start again where it ends, with a mean power of `level` squared."""
    start = rng.integers(len(noise))
    piece = np.take(noise, np.arange(start, start + size), mode="wrap")
    return _faded(piece * (level / max(_rms(piece), 1e-3)))


def _rms(samples):
    return float(np.sqrt(np.mean(samples**2)))


def _faded(samples):
    """Samples that rise from zero and fall to it, over 10 ms."""
    ramp = np.linspace(0, 1, _FADE_SAMPLES, dtype=np.float32)
    samples[:_FADE_SAMPLES] *= ramp
    samples[-_FADE_SAMPLES:] *= ramp[::-1]
    return samples

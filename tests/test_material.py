"""Recordings with faults: what is lost is said, and a class that would be missing is refused."""

import joblib
import numpy as np
import pytest
import soundfile

from kwslib import dataset, material
from kwslib.config import PAPER_FEATURES, TaskConfig
from kwslib.dataset import DatasetError

TASK = TaskConfig(name="two", keywords=("yes", "no"))
COUNTS = {"training": 4, "validation": 2, "testing": 2}


def names(split):
    found = (f"{number:08x}_nohash_0.wav" for number in range(10_000))
    found = (name for name in found if dataset.which_set(name) == split)
    return [next(found) for _ in range(COUNTS[split])]


@pytest.fixture
def folder(tmp_path, few_words):
    """Two keywords and two other words, 4/2/2 clips each, and 20 s of noise."""
    rng = np.random.default_rng(0)
    for word in ("yes", "no", "bed", "cat", dataset.NOISE_WORD):
        (tmp_path / word).mkdir()
        for name in [name for split in COUNTS for name in names(split)] if word != dataset.NOISE_WORD else []:
            soundfile.write(tmp_path / word / name, rng.normal(0, 0.1, 16000), 16000)
    soundfile.write(tmp_path / dataset.NOISE_WORD / "fan.wav", rng.normal(0, 0.1, 320_000), 16000)
    with joblib.parallel_config(backend="sequential"):
        yield tmp_path


def spoil(folder, word, split, count):
    """Cut off recordings of a word; returns their paths."""
    paths = [folder / word / name for name in names(split)][:count]
    for path in paths:
        path.write_bytes(path.read_bytes()[:5000])
    return paths


def recordings(folder):
    return material.recordings(str(folder), TASK, PAPER_FEATURES)


def refusal(folder):
    with pytest.raises(DatasetError) as error:
        recordings(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_clips_that_cannot_be_read_are_counted_in_one_line(folder, capsys):
    first = spoil(folder, "bed", "training", 2)[0]
    recorded = recordings(folder)
    said = capsys.readouterr().out.splitlines()
    clips = 16 + 10 * 3 + 2 * 6  # with those of `few_words`
    assert said[0].startswith(f"2 of {clips} clips cannot be read and are left out, the first: {first}: truncated")
    assert len(recorded.pool.clips) == len(recorded.pool.labels) == clips - 2
    for alone, among in zip(
        material.validation(str(folder), TASK, PAPER_FEATURES), recorded.evaluation["validation"], strict=True
    ):
        np.testing.assert_array_equal(alone, among)
    assert len(said) == 2 and str(first) in said[1]  # of the calibration


@pytest.mark.parametrize("split", COUNTS)
@pytest.mark.parametrize("word", ["yes", "bed and cat"])
def test_a_class_that_loses_all_clips_of_a_split_is_named(folder, split, word):
    """Synthetic words do not make up for it."""
    path, *_ = [spoil(folder, name, split, COUNTS[split])[0] for name in word.split(" and ")]
    label = "yes" if word == "yes" else "unknown"
    assert refusal(folder).startswith(f"no {split} clip of {label!r} can be read, the first: {path}: truncated")


def test_a_folder_without_other_words_or_silence_is_refused(folder):
    for name in names("validation"):
        for word in ("bed", "cat"):
            (folder / word / name).unlink()
    said = f"{folder.name} (29 files): no validation clips of 'unknown': add a sub-folder of other words, said by"
    assert refusal(folder).startswith(said)


def test_noise_too_short_for_silence_is_refused(folder):
    soundfile.write(folder / dataset.NOISE_WORD / "fan.wav", np.zeros(16000 * 5), 16000)
    assert refusal(folder) == (
        f"{folder.name} (33 files): no validation clips of 'silence': "
        "put recordings of 10 s or more into _background_noise_/"
    )


def test_recordings_of_another_rate_are_refused_with_a_remedy(folder):
    for path in folder.glob("*/*.wav"):
        samples, _ = soundfile.read(path)
        soundfile.write(path, samples[::2], 8000)
    assert "8000 Hz instead of 16000 Hz; convert it to 16000 Hz, for example ffmpeg -i in.wav -ar" in refusal(folder)

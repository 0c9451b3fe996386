"""The study of few clips: what a thinned folder holds, and one point of it."""

import dataclasses
import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from kwslib import config, dataset, recipes
from kwslib.cache import PROJECT_FOLDER

spec = importlib.util.spec_from_file_location("clips", PROJECT_FOLDER / "benchmarks" / "clips.py")
clips = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clips)
KEYWORDS = config.PAPER6.keywords


def test_a_thinned_folder_has_fewer_training_and_validation_clips_and_all_others(speech_folder, tmp_path):
    left = clips.thin(speech_folder, KEYWORDS, 16, 0, tmp_path / "thin")
    scanned = dataset.scan_folder(tmp_path / "thin")
    every = dataset.scan_folder(speech_folder)
    counts = scanned.groupby(["word", "split"]).size().unstack()
    before = every.groupby(["word", "split"]).size().unstack()
    assert (before.loc[list(KEYWORDS), "training"] > 16).all()
    for keyword in KEYWORDS:
        share = 16 / before.training[keyword]
        assert counts.training[keyword] == 16
        assert counts.validation[keyword] == max(1, round(share * before.validation[keyword]))
        assert counts.testing[keyword] == before.testing[keyword]
    rest = [word for word in before.index if word not in KEYWORDS]
    pd.testing.assert_frame_equal(counts.loc[rest], before.loc[rest])
    assert sorted(map(Path, left.path)) == sorted(
        speech_folder / word / Path(path).name
        for word, path in zip(scanned.word, scanned.path, strict=True)
        if word in KEYWORDS
    )

    again = clips.thin(speech_folder, KEYWORDS, 16, 0, tmp_path / "thin")
    assert again.path.tolist() == left.path.tolist()
    other = clips.thin(speech_folder, KEYWORDS, 16, 1, tmp_path / "other")
    assert other.path.tolist() != left.path.tolist()


def test_more_clips_than_there_are_is_an_error(speech_folder, tmp_path):
    with pytest.raises(dataset.DatasetError, match=r"'yes' has \d+ training clips, not 1000"):
        clips.thin(speech_folder, KEYWORDS, 1000, 0, tmp_path / "thin")


def test_a_point_says_what_it_was_trained_on(speech_folder, few_words, own_cache):
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
    effort = dataclasses.replace(recipes.QUICK, epochs=3)
    rows = pd.DataFrame(clips.point(10, 0, effort, str(speech_folder)))
    assert list(rows.columns) == clips.COLUMNS and rows.model.tolist() == list(clips.NETWORKS)
    assert (rows.clips == 10).all() and (rows.validation_clips >= 1).all() and (rows.speakers <= 10).all()
    assert (rows.epochs == 3 * clips.MOST_EPOCHS).all() and rows.accuracy.between(0.05, 1).all()
    assert rows.dataset.str.startswith("small_speech (").all()

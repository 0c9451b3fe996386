"""The first call of a notebook."""

import os

import matplotlib
import numpy as np
import pytest

from kwslib import cache, session
from kwslib.config import ConfigError


@pytest.fixture(autouse=True)
def plain_matplotlib(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"))
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


@pytest.mark.parametrize("mode", ["fast", "", "QUICK", None])
def test_other_modes_are_refused(mode):
    with pytest.raises(ConfigError) as error:
        session.start(mode, "synthetic", "results/quick", 0)
    assert str(error.value) == f"MODE = {mode!r}: allowed is 'quick' or 'full'"


def test_start_says_what_runs(capsys):
    quick = session.start("quick", "synthetic", "results/quick", 3)
    said = capsys.readouterr().out
    for part in ("Python 3.", "tensorflow 2.", "tf-keras 2.", "librosa 0.", "mode quick", "synthetic", "seed 3"):
        assert part in said
    assert (quick.mode, quick.data, quick.full) == ("quick", "synthetic", False)
    assert quick.results == cache.PROJECT_FOLDER / "results" / "quick"
    assert matplotlib.rcParams["pdf.fonttype"] == 42


def test_full_mode_elsewhere_without_machine_paths_on_the_screen(capsys, tmp_path):
    recordings = tmp_path / "my_recordings"
    full = session.start("full", str(recordings), str(tmp_path / "out"), 0)
    assert full.full and full.data == str(recordings) and full.results == tmp_path / "out"
    assert "data set my_recordings," in capsys.readouterr().out


def test_a_relative_folder_of_recordings_is_the_projects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # as JupyterLab does, to notebooks/
    assert session.start("quick", "data/mine", "results/quick", 0).data == str(cache.PROJECT_FOLDER / "data" / "mine")
    assert session.start("quick", "speech_commands_v0.02", "results/quick", 0).data == "speech_commands_v0.02"


def test_seeds_are_fixed():
    import tensorflow as tf

    def numbers(seed):
        session.start("quick", "synthetic", "results/quick", seed)
        return np.random.rand(3).tolist() + tf.random.uniform([3]).numpy().tolist()  # noqa: NPY002

    assert numbers(1) == numbers(1) != numbers(2)

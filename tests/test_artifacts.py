"""Models on disk: what is written is read back, what does not fit is refused, and the C array compiles."""

import hashlib
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from small_models import random_features, small_tflite

from kwslib import artifacts, config, interpreters
from kwslib.artifacts import load_model, save_model
from kwslib.tflite_graph import ModelFileError, describe

META = {
    "labels": list(config.PAPER6.labels),
    "task": config.PAPER6.to_dict(),
    "features": config.PAPER_FEATURES.to_dict(),
    "dataset": "synthetic",
    "train": config.TrainConfig().to_dict(),
    "seed": 1,
    "format": "int8",
    "accuracy": 0.9,
    "ci_low": 0.88,
    "ci_high": 0.92,
    "n_test": 900,
}


@pytest.fixture
def saved(tmp_path):
    return save_model(tmp_path / "models", "small", small_tflite(), META | {"note": "kept"})


def test_written_is_read_back(saved):
    tflite, meta = load_model(saved)
    assert tflite == small_tflite()
    assert meta["note"] == "kept" and meta["name"] == "small"
    assert config.TaskConfig.from_dict(meta["task"]) == config.PAPER6
    assert config.FeatureConfig.from_dict(meta["features"]) == config.PAPER_FEATURES
    info = describe(tflite)
    assert (meta["params"], meta["macs"], meta["model_bytes"]) == (info.parameters, info.macs, len(tflite))
    assert meta["sha256"] == hashlib.sha256(tflite).hexdigest()
    assert meta["git_revision"] == artifacts.git_revision()
    assert sorted(path.name for path in saved.parent.iterdir()) == ["small.json", "small.tflite"]


def test_arena_is_that_of_tflm(saved):
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
    assert load_model(saved)[1]["arena_bytes"] == interpreters.tflm_arena_bytes(small_tflite())


def test_without_tflm_the_arena_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    assert load_model(save_model(tmp_path, "small", small_tflite(), META))[1]["arena_bytes"] is None


@pytest.mark.parametrize("key", artifacts.REQUIRED)
def test_every_required_key_is_checked(tmp_path, key):
    meta = {name: value for name, value in META.items() if name != key}
    with pytest.raises(ModelFileError, match=rf"small\.json: '{key}' missing"):
        save_model(tmp_path, "small", small_tflite(), meta)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": ["no", "yes", "left", "right", "unknown", "silence"]}, "not those of the task"),
        (
            {"task": config.KWS10.to_dict(), "labels": list(config.KWS10.labels)},
            "10 labels, but the model has 6 outputs",
        ),
        ({"features": config.MFCC_FEATURES.to_dict()}, r"\(49, 10, 1\), but the model's input is \(30, 40, 1\)"),
        ({"features": META["features"] | {"hop_samples": 0}}, "hop_samples = 0"),
        ({"task": 5}, "small.json"),
        ({"accuracy": np.float32(0.9)}, "not writable as JSON"),
        ({"accuracy": float("nan")}, "not writable as JSON"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(ModelFileError, match=message):
        save_model(tmp_path, "small", small_tflite(), META | changes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "../up", "a b", ".hidden", "a/b"])
def test_model_name_is_a_file_name(tmp_path, name):
    with pytest.raises(ModelFileError, match="model name"):
        save_model(tmp_path, name, small_tflite(), META)


def test_another_model_under_the_same_name_is_noticed(saved):
    saved.write_bytes(small_tflite("float32"))
    with pytest.raises(ModelFileError, match=r"small\.json: sha256 differs"):
        load_model(saved)


def test_missing_and_damaged_json(saved):
    path = saved.with_suffix(".json")
    right = path.read_text()
    path.write_text(right[:-20])
    with pytest.raises(ModelFileError, match=r"small\.json: not valid JSON"):
        load_model(saved)
    path.write_text("[]")
    with pytest.raises(ModelFileError, match=r"small\.json: a JSON object is needed, got list"):
        load_model(saved)
    path.write_text(json.dumps({"labels": []}))
    with pytest.raises(ModelFileError, match=r"small\.json: 'task', .* missing"):
        load_model(saved)
    path.unlink()
    with pytest.raises(ModelFileError, match=r"small\.json: not readable .* belongs beside it"):
        load_model(saved)


def test_missing_model(tmp_path):
    with pytest.raises(ModelFileError, match=r"none\.tflite: not readable"):
        load_model(tmp_path / "none.tflite")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    monkeypatch.setenv("GIT_DIR", "nowhere")  # as in a git hook; must not lead git_revision astray
    (tmp_path / "results").mkdir()
    (tmp_path / "code.py").write_text("1\n")

    def git(*words):
        author = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "core.hooksPath=/dev/null"]
        command = ["git", "-C", str(tmp_path), *author, *words]
        return subprocess.run(command, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True).stdout

    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    return tmp_path, git


def test_git_revision(repository):
    folder, git = repository
    revision = git("rev-parse", "--short", "HEAD").strip()
    assert artifacts.git_revision(folder) == revision
    (folder / "results" / "table.csv").write_text("1\n")
    assert artifacts.git_revision(folder) == revision
    (folder / "code.py").write_text("2\n")
    assert artifacts.git_revision(folder) == revision + "+changes"


def test_git_revision_outside_git(tmp_path):
    assert artifacts.git_revision(tmp_path) == "unknown"
    assert artifacts.git_revision(tmp_path / "missing") == "unknown"


PROGRAM = """
#include <cstdint>
#include <cstdio>
#include "small-2.h"
int main() {
  if (reinterpret_cast<uintptr_t>(g_small_2_data) % 16) return 1;
  return fwrite(g_small_2_data, 1, g_small_2_data_bytes, stdout) == sizeof(g_small_2_data) ? 0 : 2;
}
"""


def test_c_array_compiles_and_holds_the_model(saved, tmp_path):
    tflite, meta = load_model(saved)
    header, source = artifacts.write_c_array(tmp_path / "small-2", tflite, meta, command="make model\\")
    for path in (header, source):
        text = path.read_text()
        assert "// model: small.tflite" in text and meta["sha256"] in text and "// data set: synthetic" in text
        assert "// task: paper6" in text and '"hop_samples": 512' in text and meta["git_revision"] in text
        assert "// accuracy: 0.9000, 95 % interval 0.8800 to 0.9200, 900 test clips" in text
        assert "// command: make model/" in text and str(tmp_path) not in text
        assert max(map(len, text.splitlines())) <= 120
    # Compilers align an array of this size by themselves; on the device it must be asked for.
    assert "alignas(16) const unsigned char g_small_2_data[" in source.read_text()
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    (tmp_path / "main.cc").write_text(PROGRAM)
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "main.cc", source.name, "-o", "dump"]
    subprocess.run(command, cwd=tmp_path, check=True)
    run = subprocess.run([str(tmp_path / "dump")], capture_output=True, check=True)
    assert run.stdout == tflite


def test_c_array_of_another_model_is_refused(saved, tmp_path):
    _, meta = load_model(saved)
    with pytest.raises(ModelFileError, match="sha256 differs"):
        artifacts.write_c_array(tmp_path / "x", small_tflite("float32"), meta)
    assert not (tmp_path / "x.h").exists()


def test_the_model_read_back_predicts_the_same(saved):
    features = random_features(5)
    expected = interpreters.run_reference(small_tflite(), features)
    assert np.array_equal(interpreters.run_reference(load_model(saved)[0], features), expected)

"""The command line, on a trained model and recordings whose right answers are known."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import soundfile
from small_models import small_cnn, small_tflite

from kwslib import artifacts, config, dataset, features, quantize
from kwslib.__main__ import main

RATE_HZ = 16000
TASK = config.TaskConfig(name="tones", keywords=("low", "mid"))
# A tone is a word. The unknown word has two tones, silence is faint noise.
TONES_HZ = {"low": (300,), "mid": (900,), "other": (2000, 3000), "_silence_": ()}
CLIPS = {"training": 12, "validation": 2, "testing": 6}


def tone(word, rng):
    seconds = np.arange(RATE_HZ) / RATE_HZ
    samples = rng.normal(size=RATE_HZ) * 0.003
    for frequency_hz in TONES_HZ[word]:
        samples += 0.2 * np.sin(2 * np.pi * frequency_hz * rng.uniform(0.97, 1.03) * seconds)
    return samples.astype(np.float32)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """Folder `tones` with recordings (one test clip mislabelled, one truncated) and models/tones.tflite."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(1)
    lists = {split: [] for split in CLIPS}
    train, labels = [], []
    for word in TONES_HZ:
        for split, count in CLIPS.items():
            numbers = range(count)
            if split == "training":  # not in a list: the hash of the name must say so
                numbers = [n for n in range(10 * count) if dataset.which_set(f"training{n}") == "training"][:count]
            for number in numbers:
                path = folder / "tones" / word / f"{split}{number}_nohash_0.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                wrong = (word, split, number) == ("mid", "testing", 0)
                samples = tone("low" if wrong else word, rng)
                soundfile.write(path, samples, RATE_HZ, subtype="PCM_16")
                lists[split].append(f"{word}/{path.name}")
                if split == "training":
                    train.append(samples)
                    labels.append({"other": "unknown", "_silence_": "silence"}.get(word, word))
    for split in ("validation", "testing"):
        (folder / "tones" / f"{split}_list.txt").write_text("\n".join(lists[split]))
    broken = folder / "tones" / "low" / "testing5_nohash_0.wav"
    broken.write_bytes(broken.read_bytes()[:5000])

    inputs = features.batch_features(np.array(train), config.PAPER_FEATURES)[..., None]
    model = small_cnn(classes=4)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(inputs, np.array([TASK.labels.index(label) for label in labels]), epochs=40, batch_size=8, verbose=0)
    meta = {"labels": list(TASK.labels), "task": TASK.to_dict(), "features": config.PAPER_FEATURES.to_dict()}
    meta |= {"dataset": "tones", "train": config.TrainConfig().to_dict(), "seed": 1, "format": "int8"}
    meta |= {"accuracy": 1.0, "ci_low": 0.9, "ci_high": 1.0, "n_test": 8}
    artifacts.save_model(folder / "models", "tones", quantize.to_tflite(model, "int8", inputs), meta)
    return folder


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KWS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def engine():
    """TFLM where its wheel exists, so that the other tests run everywhere."""
    try:
        import tflite_micro  # noqa: F401
    except ImportError:
        return "reference"
    return "tflm"


def words(workplace, *more):
    return ["evaluate", str(workplace / "models" / "tones.tflite"), "--data", str(workplace / "tones"), *more]


def test_evaluate_json(workplace, engine, capsys):
    assert main(words(workplace, "--json", "--engine", engine)) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    # 2 keywords x 6 test clips, 6 unknown, 6 silence; one "low" is truncated and one "mid" is in truth a "low".
    assert (found["n"], found["correct"], found["bad_files"]) == (23, 22, 1)
    assert found["accuracy"] == 22 / 23 and found["ci_low"] < 22 / 23 < found["ci_high"]
    assert found["labels"] == ["low", "mid", "unknown", "silence"]
    assert found["confusion"] == [[5, 0, 0, 0], [1, 5, 0, 0], [0, 0, 6, 0], [0, 0, 0, 6]]
    assert [row["recall"] for row in found["recall"]] == [1, 5 / 6, 1, 1]
    assert found["dataset"].startswith("tones")
    assert (found["split"], found["engine"]) == ("testing", engine)
    assert err.count("\n") == 1 and "low/testing5_nohash_0.wav: truncated" in err


def test_evaluate_table_and_split(workplace, engine, capsys):
    assert main(words(workplace, "--engine", engine, "--split", "validation")) == 0
    out, err = capsys.readouterr()
    assert out.startswith("tones on tones") and "split validation" in out
    assert "accuracy 100.00 %, 95 % interval 67.56 % to 100.00 %, 8 of 8 clips; 0 bad files left out" in out
    table = pd.DataFrame([line.split() for line in out.splitlines()[-4:]]).set_index(0).astype(int)
    assert table.to_numpy().tolist() == (2 * np.eye(4, dtype=int)).tolist()
    assert err == ""


def test_both_engines_agree(workplace, engine, capsys):
    found = []
    for name in {engine, "reference"}:
        main(words(workplace, "--json", "--engine", name))
        found.append(json.loads(capsys.readouterr().out) | {"engine": None})
    assert found[0] == found[-1]


def test_resample(workplace, engine, tmp_path, capsys):
    folder = tmp_path / "tones"
    for path in sorted((workplace / "tones").rglob("*.*")):
        copy = folder / path.relative_to(workplace / "tones")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    clip = folder / "mid" / "validation0_nohash_0.wav"
    samples, _ = soundfile.read(clip)
    soundfile.write(clip, np.interp(np.arange(0, RATE_HZ, 0.5), np.arange(RATE_HZ), samples), 2 * RATE_HZ)
    command = ["evaluate", str(workplace / "models" / "tones.tflite"), "--data", str(folder), "--split", "validation"]
    command += ["--json", "--engine", engine]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["bad_files"] == 1 and "32000 Hz instead of 16000 Hz" in err
    assert main([*command, "--resample"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["bad_files"], found["n"], found["correct"]) == (0, 8, 8)


def test_evaluate_does_not_import_tensorflow(workplace, engine):
    code = "import sys; from kwslib.__main__ import main; print(main(sys.argv[1:]), 'tensorflow' in sys.modules)"
    command = [sys.executable, "-W", "error", "-c", code, *words(workplace, "--engine", engine)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0 False"
    assert run.stderr.count("\n") == 1  # the truncated file


def test_info(tmp_path, capsys):
    path = tmp_path / "small.tflite"
    path.write_bytes(small_tflite())
    assert main(["info", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    info = artifacts.describe(small_tflite())
    assert (found["parameters"], found["macs"]) == (info.parameters, info.macs)
    assert [op["macs"] for op in found["ops"]] == [op.macs for op in info.ops]
    assert found["input"][0]["shape"] == [1, 30, 40, 1] and found["input"][0]["scale"] == info.input.scales[0]
    assert main(["info", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"{info.parameters:,} parameters, {info.macs:,} multiply-accumulates" in out
    assert "input: 1x30x40x1 int8, scale " in out and "output: 1x6 int8" in out
    assert [line.split()[0] for line in out.splitlines()[-9:]] == [op.name for op in info.ops]


def test_info_without_tflm(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    path = tmp_path / "small.tflite"
    path.write_bytes(small_tflite())
    assert main(["info", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["arena_bytes"] is None and "Linux on x86-64" in err


def test_expected_errors_are_one_line(workplace, tmp_path, capsys):
    model = str(workplace / "models" / "tones.tflite")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare.tflite").write_bytes(small_tflite())
    (tmp_path / "text.tflite").write_text("no model")
    cases = [
        (["info", str(tmp_path / "none.tflite")], "none.tflite: not readable"),
        (["info", str(tmp_path / "text.tflite")], "text.tflite: no TensorFlow Lite model"),
        (["evaluate", str(tmp_path / "bare.tflite"), "--data", str(workplace / "tones")], "bare.json: not readable"),
        (["evaluate", model, "--data", str(tmp_path / "none")], "none: no such folder"),
        (["evaluate", model, "--data", str(tmp_path / "empty")], "empty: no recordings found"),
    ]
    for command, message in cases:
        assert main(command) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and message in err


def test_exit_code_of_the_program(tmp_path):
    command = [sys.executable, "-m", "kwslib", "info", str(tmp_path / "none.tflite")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2 and run.stdout == ""
    assert run.stderr.startswith("error: ") and "Traceback" not in run.stderr


@pytest.mark.parametrize("command", ["evaluate", "info"])
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example:\n  python -m kwslib {command} MODEL.tflite" in capsys.readouterr().out


def test_unknown_command_is_refused(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["guess"])
    assert stop.value.code == 2 and "invalid choice: 'guess'" in capsys.readouterr().err

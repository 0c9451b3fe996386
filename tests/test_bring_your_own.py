"""Words and a network of one's own, from a folder and a file to C code and to a notebook, by parameters alone."""

import dataclasses
import json
import os

import nbformat
import numpy as np
import pandas as pd
import pytest

from kwslib import (
    artifacts,
    compress,
    config,
    engine,
    engine_host,
    interpreters,
    models,
    notebooks,
    points,
    recipes,
    training,
)
from kwslib.__main__ import main
from kwslib.compress import Variant
from kwslib.config import ConfigError
from kwslib.pruning import PruneConfig

WORDS = "one,two,three,four"
NETWORK = """
import tf_keras
from tf_keras import layers


def small(shape, classes):
    inputs = layers.Input(shape)
    x = layers.Reshape((shape[0], 1, shape[1]))(inputs)
    x = layers.Conv2D(16, (5, 1), strides=(2, 1), padding="same", use_bias=False)(x)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.Flatten()(layers.AveragePooling2D(x.shape[1:3])(x))
    return tf_keras.Model(inputs, layers.Softmax()(layers.Dense(classes, name="logits")(x)))
"""
TASK = "own6_7bb6"
SHORT = recipes.Effort(3, 3, 3, 3, 1, 1, 1, 1, (0,))
EFFORT = f"\nEFFORT, JOBS = recipes.{SHORT}, 1\n"  # the other worker of the tests has the other core
# What each notebook's cell of parameters gets at its end.
FEW = {
    "02": EFFORT,
    "03": EFFORT + "LEVELS = (0.0, 0.5)",
    "04": EFFORT + 'LEVELS = {"element": (0.0, 0.5), "group": (0.5,), "filter": (0.5,)}',
    "05": EFFORT + 'FORMATS = ("float32", "int8", "int16x8")',
    "07": EFFORT + 'RUNGS, THIN_LEVELS = {"int8": ("plain", "best")}, (0.0, 0.9)\n'
    'OWN = {"element": ("skip", "element", "mixed"), "filter": ("best",)}',
    "08": "\nSTREAM_MINUTES, MOST_MODELS = 2, 1",
}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The parameter that names the network: FILE.py:FUNCTION."""
    file = tmp_path_factory.mktemp("own") / "my_models.py"
    file.write_text(NETWORK)
    return f"{file}:small"


@pytest.fixture
def write(tmp_path):
    """Write a file with a network; returns the parameter that names it."""

    def write(text, name="small"):
        (tmp_path / "other.py").write_text(text)
        return f"{tmp_path / 'other.py'}:{name}"

    return write


def test_the_papers_words_are_the_papers_tasks():
    assert recipes.task("yes,no,left,right") is config.PAPER6
    assert recipes.task(",".join(config.KWS10.keywords)) is config.KWS10
    own = recipes.task(" one, two,three,four,")
    assert own.name == "own6_7bb6" and own.labels == ("one", "two", "three", "four", "unknown", "silence")
    assert recipes.TASKS["own6_7bb6"] == own
    for words in ("", "one,one", "one,silence"):
        with pytest.raises(ConfigError, match=r"TaskConfig\.keywords"):
            recipes.task(words)


def test_a_changed_file_is_another_network_and_the_papers_keep_their_keys(network, write):
    label = recipes.network(network)
    mine = recipes.experiment(label, config.PAPER6, recipes.QUICK, 0)
    assert mine.label == "small" and mine.to_dict()["options"]["source"] == NETWORK and mine.teacher
    recipes.network(write(NETWORK.replace("16", "24")))
    assert recipes.experiment(label, config.PAPER6, recipes.QUICK, 0).to_dict() != mine.to_dict()
    assert recipes.experiment("paper_cnn", config.PAPER6, recipes.QUICK, 0).options == {}
    assert recipes.network("paper_cnn") == "paper_cnn"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (NETWORK, "large", r"other.py defines small, not large"),
        (NETWORK, "paper_cnn", "one of ours"),
        ("def small(:", "small", "cannot be read"),
        (None, "small", "cannot be read .*No such file"),
    ],
)
def test_files_without_the_network_are_refused(write, text, name, message):
    with pytest.raises(ConfigError, match=message):
        recipes.network(write(text, name) if text else "nowhere.py:small")
    for other in ("tc_resnet", "my_models.py", "small:my_models.py"):
        with pytest.raises(ConfigError, match=r"allowed is 'paper_cnn' or FILE\.py:FUNCTION"):
            recipes.network(other)


@pytest.mark.parametrize("option", [("--network", "nowhere.py:small"), ("--keywords", "one,one")])
def test_the_command_refuses_them_before_anything_runs(option, tmp_path, capsys):
    assert main(["notebooks", "--results", str(tmp_path / "results"), *option]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and option[1].split(",")[0] in err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(classes, name", "(classes + 1, name", r"needed is \(None, \*shape\) to \(None, classes\)"),
        ('"logits"', '"last"', r"must end in Dense\(classes, name='logits'\) and Softmax"),
        ("AveragePooling2D", "MaxPooling2D", "MaxPooling2D"),
        ("return", "return 5 #", "a tf_keras.Model is needed, not int"),
        ("layers.Reshape", "layers.Reshap", "its function failed with AttributeError"),
    ],
)
def test_networks_that_the_way_to_the_board_does_not_take_are_refused(old, new, message):
    with pytest.raises(ConfigError, match=message) as error:
        models.build("small", (30, 40, 1), 6, source=NETWORK.replace(old, new))
    assert "\n" not in str(error.value)


def test_layers_without_a_name_are_called_the_same_each_time(network):
    names = [[layer.name for layer in models.build("small", (30, 40, 1), 6, source=NETWORK).layers] for _ in range(2)]
    assert names[0] == names[1] and "conv2d" in names[0]


def test_from_words_and_a_function_to_c(network, tmp_path, capsys):
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
    task, label = recipes.task(WORDS), recipes.network(network)
    effort = dataclasses.replace(SHORT, epochs=40, tune_epochs=4)
    experiment = dataclasses.replace(recipes.experiment(label, task, effort, 0), teacher=None)
    run = training.train_all([experiment], "synthetic", n_jobs=1)[0]  # in a process that never saw the file
    assert run.history.val_accuracy.max() > 2 / 6
    cut = Variant(experiment, PruneConfig("element", 0.5), recipes.tune(label, effort))
    table = pd.DataFrame([points.pruned(variant, "synthetic") for variant in (Variant(experiment), cut)])
    assert table.task.tolist() == ["own6_7bb6"] * 2 and table.model.tolist() == ["small"] * 2
    assert 0.45 < table.actual_sparsity[1] < 0.55 and table.nonzero_macs[1] < table.macs[1]

    path = tmp_path / compress.save(cut, "synthetic", table.loc[1].to_dict(), tmp_path)
    tflite, meta = artifacts.load_model(path)
    assert meta["labels"] == list(task.labels) and path.name == "own6_7bb6_small_element-50_s0.tflite"
    x = run.test("synthetic")[0]
    program = engine.plan(tflite, "best")
    codes = interpreters.quantize_input(x, program.info.input)
    found = engine_host.NetworkOnHost(program).run(codes)
    assert np.array_equal(np.reshape(found, (len(x), -1)), interpreters.run_tflm(tflite, x).reshape(len(x), -1))

    capsys.readouterr()
    assert main(["evaluate", str(path), "--data", "synthetic", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == meta["accuracy"]


def test_all_notebooks_by_parameters(network, tmp_path, monkeypatch):
    """Every notebook with four new words and a network of one's own; epochs and levels are few, parameters as well."""
    for name in ("KWS_MODE", "KWS_DATA", "KWS_RESULTS", "KWS_KEYWORDS", "KWS_NETWORK", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
    for original in notebooks.find_notebooks():
        notebook = nbformat.read(original, as_version=4)
        notebook.cells[2].source += FEW.get(original.name[:2], "")
        nbformat.write(notebook, tmp_path / original.name)
    results = tmp_path / "results"
    options = {"keywords": WORDS, "network": network, "folder": tmp_path}
    written = notebooks.run_notebooks("quick", "synthetic", str(results), **options)
    assert [path.name for path in written] == [path.name for path in notebooks.find_notebooks()]

    def said(number, cell):
        return "".join(out.get("text", "") for out in nbformat.read(written[number - 1], 4).cells[cell].outputs)

    assert f"{TASK}, 12 test clips:\n  small trained as the paper did: " in said(2, 31)
    assert f"none of {TASK}_small_ours_s0" in said(6, 13)
    trained = ("ds_cnn_ours", "small_as_paper", "small_ours", "tc_resnet_w1_ours", "tc_resnet_w2_ours")
    models = {path.stem for path in (results / "models").glob("*.tflite")}
    assert models >= {f"{TASK}_{name}_s0" for name in (*trained, "small_element-50", "small_filter-50")}

    tables = {path.stem: pd.read_csv(path) for path in (results / "tables").glob("*.csv")}
    for name in ("accuracy", "pruning", "quantization", "kernels", "streaming"):
        assert set(tables[name].task) == {TASK} and "small" in set(tables[name].model), name
    board = tables["kernels"]
    assert board.bit_exact.all() and set(board.kernel) >= {"plain", "best", "element"}
    assert set(board.granularity) == {"dense", "element", "filter"}
    assert set(tables["streaming"].model_file) <= {f"{name}.tflite" for name in models}
    live = said(8, 25)
    assert "keywords: one, two, three, four" in live

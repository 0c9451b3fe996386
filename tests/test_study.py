"""From a trained network to the accuracy table and the saved model."""

import math

import numpy as np
import pandas as pd
import pytest

from kwslib import artifacts, config, evaluation, interpreters, models, study, tflite_graph, training

REQUIRED = ["dataset", "task", "model", "training", "features", "format", "seed", "n_test", "accuracy", "ci_low"]
REQUIRED += ["ci_high", "params", "macs", "model_bytes", "arena_bytes"]


@pytest.fixture(scope="module")
def assessed(small_run, speech_folder, tmp_path_factory):
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
    folder = tmp_path_factory.mktemp("results")
    table, predicted = study.assess(small_run, str(speech_folder), folder)
    return folder, table, predicted


def test_table_has_every_column_and_both_formats(assessed, small_run):
    _, table, _ = assessed
    assert list(table.columns) == REQUIRED
    assert table.format.tolist() == ["float32", "int8"]
    names = {"task": "paper6", "model": "tc_resnet_w0.5", "training": "small", "features": "paper", "seed": 0}
    for column, value in (names | {"dataset": small_run.dataset, "n_test": 30}).items():
        assert table[column].tolist() == [value, value]
    assert not table.isna().any(axis=None)


def test_accuracy_is_that_of_tflm_on_the_test_clips(assessed, small_run, speech_folder):
    folder, table, predicted = assessed
    x, truth = small_run.test(str(speech_folder))
    assert len(x) == 30
    for row in table.itertuples():
        classes = predicted[row.format]
        assert classes.shape == (30,)
        correct = int((classes == truth).sum())
        assert row.accuracy == pytest.approx(correct / 30)
        assert (row.ci_low, row.ci_high) == pytest.approx(evaluation.wilson_interval(correct, 30))
    probabilities = small_run.model().predict(x, verbose=0)
    assert (predicted["float32"] == probabilities.argmax(axis=1)).mean() > 0.95
    assert (predicted["int8"] == predicted["float32"]).mean() > 0.8
    assert table.accuracy.min() > 2 / 6
    tflite, _ = artifacts.load_model(next((folder / "models").glob("*.tflite")))
    assert (interpreters.run_tflm(tflite, x).argmax(axis=1) == predicted["int8"]).all()


def test_cost_is_that_of_the_file(assessed, small_run):
    folder, table, _ = assessed
    path = folder / "models" / f"{study.model_name(small_run.experiment)}.tflite"
    int8 = table[table.format == "int8"].iloc[0]
    assert int8.model_bytes == path.stat().st_size < table.model_bytes[0]
    assert int8.arena_bytes == interpreters.tflm_arena_bytes(path.read_bytes()) < table.arena_bytes[0]
    counted = models.count(small_run.model())
    assert table.params.tolist() == [counted["params"]] * 2
    assert table.macs.tolist() == [counted["macs"]] * 2
    assert tflite_graph.describe(path.read_bytes()).input.dtype == "int8"


def test_the_saved_model_tells_where_it_comes_from(assessed, small_run):
    folder, table, _ = assessed
    files = sorted(path.name for path in (folder / "models").iterdir())
    name = study.model_name(small_run.experiment)
    assert files == [f"{name}.json", f"{name}.tflite"] and name.endswith("_s0")
    tflite, meta = artifacts.load_model(folder / "models" / files[1])
    assert meta["name"] == name and meta["format"] == "int8" and len(tflite) == meta["model_bytes"]
    row = table[table.format == "int8"].iloc[0]
    for key in ("dataset", "seed", "accuracy", "ci_low", "ci_high", "n_test", "params", "macs", "arena_bytes"):
        assert meta[key] == row[key]
    assert meta["labels"] == list(config.PAPER6.labels)
    assert config.FeatureConfig.from_dict(meta["features"]) == small_run.front_end
    assert config.TaskConfig.from_dict(meta["task"]) == config.PAPER6
    assert config.TrainConfig.from_dict(meta["train"]) == small_run.experiment.train
    assert meta["network"] == {"builder": "tc_resnet", "options": {"width": 0.5}}
    network = models.build(meta["network"]["builder"], (30, 40, 1), 6, **meta["network"]["options"])
    assert models.count(network)["params"] == meta["params"]


def test_model_names_differ_where_experiments_do():
    def name(**changes):
        settings = {"model": "tc_resnet", "task": config.KWS10, "features": config.PAPER_FEATURES}
        settings |= {"train": config.OURS, "seed": 0, "options": {"width": 1.0}}
        return study.model_name(training.Experiment(**(settings | changes)))

    names = [name(), name(seed=1), name(task=config.PAPER6), name(train=config.AS_PAPER), name(options={"width": 2.0})]
    assert len(set(names)) == 5
    assert name(seed=3).startswith("kws10_tc_resnet_w1_") and name(seed=3).endswith("_s3")


def test_many_runs_make_one_table(assessed, parallel_runs, tmp_path):
    _, runs, _ = parallel_runs
    table, predicted = study.assess_all(runs, "synthetic", tmp_path, n_jobs=2)
    assert table.seed.tolist() == [5, 5, 4, 4] and table.index.tolist() == [0, 1, 2, 3]
    assert list(table.columns) == REQUIRED and table.dataset.str.startswith("synthetic (").all()
    assert sorted(path.stem for path in (tmp_path / "models").glob("*.tflite")) == sorted(
        study.model_name(run.experiment) for run in runs
    )
    int8 = table[table.format == "int8"]
    for run, classes, accuracy in zip(runs, predicted, int8.accuracy, strict=True):
        assert (classes["int8"] == run.test("synthetic")[1]).mean() == pytest.approx(accuracy)

    recalls = study.recalls(runs, predicted, "synthetic")
    assert recalls.seed.tolist() == [5] * 6 + [4] * 6 and recalls.label[:6].tolist() == list(config.PAPER6.labels)
    for seed, accuracy in zip(int8.seed, int8.accuracy, strict=True):
        one = recalls[recalls.seed == seed]
        assert (one.recall * one.n).sum() / one.n.sum() == pytest.approx(accuracy)


def test_summary_by_hand():
    def rows(model, fmt, accuracies, arena_bytes):
        names = {"dataset": "d", "task": "kws10", "model": model, "training": "ours", "features": "paper"}
        costs = {"n_test": 100, "ci_low": 0.0, "ci_high": 1.0, "params": 10, "macs": 20, "model_bytes": 30}
        return [
            names | costs | {"format": fmt, "seed": seed, "accuracy": value, "arena_bytes": arena_bytes + seed}
            for seed, value in enumerate(accuracies)
        ]

    listed = rows("b", "int8", [0.90, 0.94, 0.92], 1000) + rows("b", "float32", [0.5, 0.7], 2000)
    summary = study.summarise(pd.DataFrame(listed + rows("a", "int8", [0.8], 3000))[REQUIRED])
    assert summary.model.tolist() == ["b", "b", "a"] and summary.format.tolist() == ["int8", "float32", "int8"]
    three, two, one = (row for _, row in summary.iterrows())
    assert (three.seeds, three.low, three.high, three.n_test) == (3, 0.90, 0.94, 100)
    assert three["mean"] == pytest.approx(0.92) and three["std"] == pytest.approx(0.02)
    assert three.ci == pytest.approx(4.302653 * 0.02 / math.sqrt(3), rel=1e-5)  # Student's t, 2 degrees of freedom
    assert two["mean"] == pytest.approx(0.6) and two["std"] == pytest.approx(math.sqrt(0.02))
    assert two.ci == pytest.approx(12.706205 * math.sqrt(0.02) / math.sqrt(2), rel=1e-5)
    assert one["mean"] == 0.8 and one.seeds == 1 and np.isnan(one["std"]) and np.isnan(one.ci)
    assert summary.arena_bytes.tolist() == [1002, 2001, 3000]
    assert summary[["params", "macs", "model_bytes"]].drop_duplicates().to_numpy().tolist() == [[10, 20, 30]]


def test_spread_by_hand():
    table = pd.DataFrame({"model": ["a", "a", "b"], "accuracy": [0.8, 0.9, 0.7], "bytes": [10, 20, 5]})
    spread = study.spread(table, ["model"], ["accuracy", "bytes"]).set_index("model")
    assert spread.seeds.tolist() == [2, 1]
    assert spread.accuracy_mean.tolist() == pytest.approx([0.85, 0.7]) and spread.bytes_mean.tolist() == [15, 5]
    assert spread.accuracy_std["a"] == pytest.approx(0.1 / math.sqrt(2)) and np.isnan(spread.accuracy_std["b"])


def test_the_front_holds_what_nothing_beats():
    table = pd.DataFrame({"cost": [3, 1, 2, 2, 4], "value": [0.7, 0.5, 0.6, 0.8, 0.8]})
    assert study.front(table, "cost", "value").index.tolist() == [1, 3]

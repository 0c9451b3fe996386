"""From trained networks to the accuracy table: convert, run in TFLM on the test clips, save the models."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from kwslib import artifacts, evaluation, interpreters, material, quantize, tflite_graph, training
from kwslib.parallel import run_parallel

COLUMNS = ["dataset", "task", "model", "training", "features", "format", "seed", "n_test"]
COLUMNS += ["accuracy", "ci_low", "ci_high", "params", "macs", "model_bytes", "arena_bytes"]


def assess(run: training.Run, data: str, folder: str | Path) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Convert one trained network to float32 and int8, run both in TFLM on all test clips, save the int8 model.

    Writes `folder/models/NAME.tflite` and `.json`, with the seed in NAME. Returns rows with `COLUMNS` and, for each
    format, the predicted class int [n_test].
    """
    experiment = run.experiment
    calibration = material.recordings(data, experiment.task, experiment.features).calibration
    x, truth = run.test(data)
    network, rows, predicted = run.model(), [], {}
    for fmt in ("float32", "int8"):
        tflite = quantize.to_tflite(network, fmt, calibration if fmt == "int8" else None)
        predicted[fmt] = interpreters.predict(tflite, x).argmax(axis=1)
        graph = tflite_graph.describe(tflite)
        score = evaluation.accuracy(truth, predicted[fmt])
        facts = {
            "dataset": run.dataset,
            "seed": experiment.seed,
            "format": fmt,
            "n_test": len(truth),
            "accuracy": score["accuracy"],
            "ci_low": score["ci_low"],
            "ci_high": score["ci_high"],
            "params": graph.parameters,
            "macs": graph.macs,
            "model_bytes": len(tflite),
            "arena_bytes": interpreters.tflm_arena_bytes(tflite),
        }
        names = {
            "task": experiment.task.name,
            "model": experiment.label,
            "training": experiment.train.name,
            "features": experiment.features.name,
        }
        rows.append(facts | names)
        if fmt == "int8":
            settings = {
                "labels": list(experiment.task.labels),
                "task": experiment.task.to_dict(),
                "features": run.front_end.to_dict(),
                "train": experiment.train.to_dict(),
                "network": {"builder": experiment.model, "options": experiment.options},
            }
            artifacts.save_model(Path(folder) / "models", model_name(experiment), tflite, facts | settings)
    return pd.DataFrame(rows)[COLUMNS], predicted


def model_name(experiment: training.Experiment) -> str:
    """File name of the int8 model: task, network, training, seed."""
    return f"{experiment.task.name}_{experiment.label}_{experiment.train.name}_s{experiment.seed}"


def assess_all(runs: Sequence[training.Run], data: str, folder: str | Path, n_jobs: int = 2):
    """`assess` for many runs, `n_jobs` at a time: the table of all rows and a list of the predictions."""
    parts = dict(run_parallel(assess, [(run, data, folder) for run in runs], n_jobs))
    tables, predicted = zip(*(parts[number] for number in range(len(runs))), strict=True)
    return pd.concat(tables, ignore_index=True), list(predicted)


def recalls(runs: Sequence[training.Run], predicted: Sequence[dict], data: str) -> pd.DataFrame:
    """Recall of every class for every run in int8, `predicted` as `assess_all` gives it.

    Columns: dataset, task, model, training, seed, label, n, recall, ci_low, ci_high (95 %, Wilson).
    """
    parts = []
    for run, classes in zip(runs, predicted, strict=True):
        names = np.array(run.experiment.task.labels)
        table = evaluation.recall_table(names, names[run.test(data)[1]], names[classes["int8"]])
        facts = {"dataset": run.dataset, "task": run.experiment.task.name, "model": run.experiment.label}
        facts |= {"training": run.experiment.train.name, "seed": run.experiment.seed}
        parts.append(table.assign(**facts)[[*facts, *table.columns]])
    return pd.concat(parts, ignore_index=True)


def spread(table: pd.DataFrame, names: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Mean and sample standard deviation over seeds: columns `names`, seeds, and VALUE_mean, VALUE_std for each."""
    grouped = table.groupby(list(names), sort=False)
    columns = {"seeds": (values[0], "count")}
    for value in values:
        columns |= {f"{value}_mean": (value, "mean"), f"{value}_std": (value, "std")}
    return grouped.agg(**columns).reset_index()


def front(table: pd.DataFrame, cost: str, value: str) -> pd.DataFrame:
    """The front: no other row has at least its value for at most its cost (the first of equal rows). Sorted by cost."""
    ordered = table.sort_values([cost, value], ascending=[True, False])
    best = ordered[value].cummax().shift(fill_value=-np.inf)
    return ordered[ordered[value] > best]


def summarise(table: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and range of the accuracy over seeds for every network and format.

    Columns: the names, seeds, mean, std (sample), low and high (of the seeds), ci (half of the 95 % interval of the
    mean over seeds, Student's t; NaN for one seed), n_test, params, macs, model_bytes and arena_bytes (largest).
    """
    names = ["task", "model", "training", "features", "format"]
    grouped = table.groupby(names, sort=False)
    spread = grouped.accuracy.agg(seeds="count", mean="mean", std="std", low="min", high="max")
    spread["ci"] = stdtrit(spread.seeds - 1, 0.975) * spread["std"] / np.sqrt(spread.seeds)
    return spread.join(grouped[["n_test", "params", "macs", "model_bytes", "arena_bytes"]].max()).reset_index()

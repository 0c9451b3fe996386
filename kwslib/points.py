"""The points of the compression sweeps: each function takes settings and returns the rows of a table."""

import functools
import hashlib
from collections.abc import Sequence

import numpy as np

from kwslib import (
    cache,
    compress,
    decode,
    evaluation,
    interpreters,
    material,
    pruning,
    quantize,
    sweep,
    tflite_graph,
    training,
)
from kwslib.compress import Variant
from kwslib.pruning import PruneConfig
from kwslib.training import Experiment

VERSION = 1  # raise it when the same settings give other rows
PRUNING_COLUMNS = ["dataset", "task", "model", "granularity", "target_sparsity", "actual_sparsity", "removed", "seed"]
PRUNING_COLUMNS += ["n_test", "accuracy", "ci_low", "ci_high", "params", "macs", "nonzero_macs", "model_bytes"]
PRUNING_COLUMNS += ["gzip_bytes", "model_file", "float_accuracy", "validation_accuracy", "scope"]
QUANTIZATION_COLUMNS = ["dataset", "task", "model", "pruning", "format", "seed", "n_test", "accuracy", "ci_low"]
QUANTIZATION_COLUMNS += ["ci_high", "model_bytes", "gzip_bytes", "arena_bytes", "tflm", "reference_equal"]
QUANTIZATION_COLUMNS += ["model_file", "engine", "weight_sparsity", "weights", "activations"]
_COMPARED_CLIPS = 300  # for the agreement of two interpreters or two files


def run(function, grid: Sequence[dict], data: str, *, title: str, n_jobs: int = 2, scheduler: str | None = None):
    """Sweep one of the functions below over a grid: the table of all rows, finished points from the cache.

    Every point of `grid` holds the function's arguments but `data`, the same for all. The cache is keyed by the content
    of the recordings that a point sees. Points that failed are rows with the message in column error (see `sweep.run`).
    """

    @functools.cache
    def digest_of(task, front_end):
        recorded, total = material.recordings(data, task, front_end), hashlib.sha256()
        total.update(recorded.digest.encode())
        for x, truth in recorded.evaluation.values():
            total.update(np.ascontiguousarray(x))
            total.update(np.ascontiguousarray(truth))
        return total.hexdigest()

    def digest(point):
        experiment = point["variant"].experiment if "variant" in point else point["experiment"]
        return digest_of(experiment.task, experiment.features)

    options = {"version": VERSION, "data": digest, "fixed": {"data": data}}
    folder = cache.data_folder() / "cache" / "sweeps"
    return sweep.run(function, grid, folder, n_jobs=n_jobs, scheduler=scheduler, title=title, **options)


def pruned(variant: Variant, data: str) -> dict:
    """One row of `pruning.csv`: prune, fine-tune, convert to int8, run in TFLM on all test clips.

    `accuracy` is that of the int8 file, `float_accuracy` that of the float32 network on the same clips.
    `actual_sparsity` counts the kernel weights of the dense network that are zero or gone.
    """
    network = compress.network(variant, data)
    recorded = _recorded(variant, data)
    x, truth = recorded.evaluation["testing"]
    tflite = compress.tflite(variant, data)
    graph, prune = tflite_graph.describe(tflite), variant.prune
    removed = prune is not None and prune.granularity == "filter"
    row = _names(variant.experiment, recorded) | _score(truth, interpreters.predict(tflite, x))
    return row | {
        "granularity": prune.granularity if prune else "dense",
        "scope": prune.scope if prune else "",
        "target_sparsity": prune.sparsity if prune else 0.0,
        "actual_sparsity": _sparsity(network, variant.experiment),
        "removed": removed,
        "params": graph.parameters,
        "macs": graph.macs,
        "nonzero_macs": pruning.nonzero_macs(network),
        "model_bytes": graph.model_bytes,
        "gzip_bytes": graph.gzip_bytes,
        "float_accuracy": _float_accuracy(network, x, truth),
        "validation_accuracy": _float_accuracy(network, *recorded.evaluation["validation"]),
    }


def quantized(variant: Variant, data: str) -> dict:
    """One row of `quantization.csv`: a variant in its format, on all test clips.

    A format that TFLM refuses is run by LiteRT's reference kernels (column engine), and tflm holds TFLM's message.
    `reference_equal` is the share of up to 300 test clips for which both interpreters choose the same class.
    """
    tflite = compress.tflite(variant, data)
    recorded = _recorded(variant, data)
    x, truth = recorded.evaluation["testing"]
    refusal = interpreters.tflm_refusal(tflite)
    engine = "reference" if refusal else "tflm"
    graph, stored, zeros = (
        tflite_graph.describe(tflite),
        tflite_graph.storage(tflite),
        tflite_graph.weight_sparsity(tflite),
    )
    row = _names(variant.experiment, recorded) | _score(truth, interpreters.predict(tflite, x, engine))
    return row | {
        "pruning": variant.pruning,
        "format": variant.fmt,
        "model_bytes": graph.model_bytes,
        "gzip_bytes": graph.gzip_bytes,
        "arena_bytes": None if refusal else interpreters.tflm_arena_bytes(tflite),
        "tflm": refusal or "runs",
        "reference_equal": None if refusal else interpreters.class_agreement(tflite, _some(x)),
        "engine": engine,
        "weight_sparsity": zeros.zeros.sum() / zeros.weights.sum(),
        "weights": stored["weights"],
        "activations": stored["activations"],
    }


def packed(variant: Variant, data: str) -> dict:
    """Flash saved and arena grown when TFLM's DECODE operator unpacks the weights of an int8 variant.

    Raises DecodeMissingError where the tflite-micro package lacks it.
    """
    plain = compress.tflite(variant, data)
    small = decode.pack_pruned(plain)
    recorded = _recorded(variant, data)
    x, prune = _some(recorded.evaluation["testing"][0]), variant.prune
    equal = (interpreters.run_tflm(plain, x) == interpreters.run_tflm(small, x)).all()
    return _names(variant.experiment, recorded) | {
        "granularity": prune.granularity if prune else "dense",
        "sparsity": prune.sparsity if prune else 0.0,
        "model_bytes": len(plain),
        "packed_bytes": len(small),
        "arena_bytes": interpreters.tflm_arena_bytes(plain),
        "packed_arena_bytes": interpreters.tflm_arena_bytes(small),
        "bit_equal": bool(equal),
        "clips": len(x),
    }


def sensitivity(experiment: Experiment, prune: PruneConfig, levels: Sequence[float], data: str) -> list[dict]:
    """Validation accuracy with one layer at a time pruned at each level and no training after it.

    A row a layer and level: layer, sparsity, n_validation, validation_accuracy.
    """
    network = training.train(experiment, data).model()
    recorded = material.recordings(data, experiment.task, experiment.features)
    validation, rows = recorded.evaluation["validation"], []
    for layer in pruning.layer_sparsity(network).layer:
        for level in levels:
            one = prune.replace(sparsity=level, skip=())
            cut = pruning.prune_once(network, one, only=layer) if level else network
            facts = {"granularity": prune.granularity, "layer": layer, "sparsity": level}
            facts |= {"n_validation": len(validation[1]), "validation_accuracy": _float_accuracy(cut, *validation)}
            rows.append(_names(experiment, recorded) | facts)
    return rows


def calibrated(
    experiment: Experiment, fmt: str, per_class: int, classes: tuple[str, ...], draw: int, data: str
) -> dict:
    """Validation accuracy in TFLM when `per_class` training clips of each of `classes` (none: all) calibrate `fmt`.

    `draw` seeds the choice of the clips.
    """
    run = training.train(experiment, data)
    recorded = material.recordings(data, experiment.task, experiment.features)
    clips = material.calibration_features(data, experiment.task, run.front_end, per_class, draw, tuple(classes))
    x, truth = recorded.evaluation["validation"]
    accuracy = _score(truth, interpreters.predict(quantize.to_tflite(run.model(), fmt, clips), x))["accuracy"]
    facts = {"calibrated_on": "+".join(classes) or "all classes", "clips": len(clips)}
    return _names(experiment, recorded) | facts | {"n_validation": len(truth), "validation_accuracy": accuracy}


def _recorded(variant, data):
    return material.recordings(data, variant.experiment.task, variant.experiment.features)


def _names(experiment, recorded):
    names = {"dataset": recorded.dataset, "task": experiment.task.name, "model": experiment.label}
    return names | {"seed": experiment.seed}


def _score(truth, probabilities):
    score = evaluation.accuracy(truth, probabilities.argmax(axis=1))
    return {"n_test": score["n"]} | {name: score[name] for name in ("accuracy", "ci_low", "ci_high")}


def _float_accuracy(network, x, truth):
    """Share of right clips; called directly, because `predict` traces a graph for each of many networks."""
    parts = [network(x[first : first + 500], training=False).numpy() for first in range(0, len(x), 500)]
    return float((np.concatenate(parts).argmax(axis=1) == truth).mean())


def _some(x):
    return x[:: max(1, len(x) // _COMPARED_CLIPS)][:_COMPARED_CLIPS]


def _sparsity(network, experiment):
    """Share of the dense network's kernel weights that are zero or gone."""
    table = pruning.layer_sparsity(network)
    dense = pruning.layer_sparsity(experiment.build())
    return float(1 - (np.sum(table.weights) - np.sum(table.zeros)) / np.sum(dense.weights))

"""The whole study in one table: accuracy, false alarms, time, flash, RAM and energy, beside what others published."""

from pathlib import Path

import pandas as pd

from kwslib import catalogue, decision, kernel_study, study
from kwslib.config import milliseconds
from kwslib.kernel_sets import KERNEL_SETS

OURS = "this study, emulated board"
ESTIMATED, MEASURED = "estimated", "measured, published"
COLUMNS = ["source", "kind", "board", "dataset", "task", "model", "granularity", "sparsity", "data_type", "engine"]
COLUMNS += ["kernel", "accuracy", "n_test", "accuracy_mean", "accuracy_std", "seeds"]
COLUMNS += ["fa_per_hour", "frr", "frr_target"]
COLUMNS += ["ms", "ms_low", "ms_high", "flash_bytes", "ram_bytes", "energy_mj", "energy", "front", "model_file"]
ALARM_COLUMNS = ["model_file", "fa_per_hour", "frr", "frr_target", "threshold", "smoothing_hops"]
_SETTING = ["task", "model", "granularity", "sparsity", "data_type"]
_PAPER = {"source": "Wang & Li 2022", "board": "STM32F767, 216 MHz", "dataset": "Speech Commands v0.01, part"}
_PAPER |= {"task": "6 classes", "model": "paper_cnn", "engine": "own C"}
_TINY = {"task": "12 classes", "model": "ds_cnn", "dataset": "Speech Commands v0.02", "data_type": "int8"}
_F746, _H7A3 = "STM32F746G-DISCO, 216 MHz", "NUCLEO-H7A3ZI, 280 MHz"
# Measured by the submitters: MLPerf Tiny's results tables (mlcommons.org/benchmarks/inference-tiny), closed division,
# keyword spotting; every entry reaches 90 % of 12 classes, no more is said of its accuracy.
_SUBMITTED = [
    {"source": "MLPerf Tiny v1.1, Plumerai", "engine": "Plumerai", "board": _F746, "ms": 17.75},
    {"source": "MLPerf Tiny v1.1, Bosch", "engine": "Bosch", "board": _F746, "ms": 18.42},
    {"source": "MLPerf Tiny v1.2, ST", "engine": "X-CUBE-AI 9.0", "board": _H7A3, "ms": 11.32, "energy_mj": 1.376},
]


def build(results: str | Path) -> pd.DataFrame:
    """The table with COLUMNS, from the tables under `results`: what was emulated here, then what others published.

    Ours are each saved model on the fastest kernels that a command can deploy, dense networks also on plain loops and,
    where it was built and run, in TFLM. `accuracy` is that
    of the file on all test clips, `accuracy_mean` and `accuracy_std` are over the seeds of its setting; `fa_per_hour`
    and `frr` are of the test stream with the threshold chosen on the validation stream for `frr_target` (empty: not
    reached, or not run). Bytes are weights, code, kernels and libraries, and activations and stack, without drivers.
    `energy` says what `energy_mj` is; `front`: no other of ours with the same task is more accurate in less time.
    Raises ResultsError for a table that is missing, but for those of TFLM.
    """
    names = ("kernels", "accuracy", "pruning", "quantization", "streaming")
    kernels, accuracy, pruning, quantization, streaming = (catalogue.read(results, name) for name in names)
    parts = [static_rows(kernels)]
    try:
        tflm, memory = catalogue.read(results, "tflm"), catalogue.read(results, "tflm_memory")
        parts.append(_tflm_rows(tflm, memory, accuracy, kernels))
    except catalogue.ResultsError:
        pass  # TensorFlow Lite Micro has to be built by the user; notebook 06 writes nothing without it
    table = pd.concat(parts, ignore_index=True)
    table = table.merge(_over_seeds(accuracy, pruning, quantization), "left", _SETTING)
    table = table.merge(alarms(streaming), "left", "model_file")
    table["energy_mj"], table["energy"] = table.ms * kernel_study.BOARD_POWER_W, "time x 0.447 W"
    table = table.assign(source=OURS, kind=ESTIMATED, board="STM32F746G-DISCO, 216 MHz, emulated")
    best = [study.front(rows, "ms", "accuracy_mean").index for _, rows in table.groupby("task")]
    table["front"] = table.index.isin([number for found in best for number in found])
    return pd.concat([table, published()], ignore_index=True).reindex(columns=COLUMNS)


def published() -> pd.DataFrame:
    """Points of others: Wang & Li's network, and what MLPerf Tiny's submitters measured."""
    rows = [
        _PAPER | {"data_type": kind, "kernel": name, "ms": ms, "granularity": "dense", "sparsity": 0.0}
        for kind, name, ms in kernel_study.PAPER_POINTS
    ]
    rows += [_TINY | row | {"granularity": "dense", "sparsity": 0.0} for row in _SUBMITTED]
    table = pd.DataFrame(rows).assign(kind=MEASURED, front=False)
    return table.assign(energy=table.energy_mj.map(lambda value: "measured" if value > 0 else None))


def static_rows(kernels: pd.DataFrame) -> pd.DataFrame:
    """Rows of kernels.csv on our machine: each model on its fastest set of kernels, dense ones on plain loops too.

    `mixed`, the fastest kernels layer by layer, which only notebook 07 builds, is left out.
    """
    ours = kernels[(kernels.machine_setting == "ours") & kernels.kernel.isin(KERNEL_SETS)]
    fastest = ours.loc[ours.groupby("model_file", sort=False).est_cycles.idxmin()]
    plain = ours[(ours.granularity == "dense") & (ours.kernel == "plain")]
    table = pd.concat([fastest, plain]).rename(columns={"est_ms_216mhz": "ms"})
    table["ms_low"], table["ms_high"] = (milliseconds(table[name]) for name in ("low", "high"))
    names = ["dataset", *_SETTING, "kernel", "accuracy", "n_test", "ms", "ms_low", "ms_high"]
    return table[[*names, "flash_bytes", "ram_bytes", "model_file"]].assign(engine="generated C")


def _tflm_rows(tflm, memory, accuracy, kernels) -> pd.DataFrame:
    """Rows of tflm.csv with the accuracy of their model; flash without start-up, drivers and application."""
    counted = memory[memory.group.isin(["weights", "kernels", "interpreter", "libc"])]
    flash = counted.groupby(["model", "kernels"]).flash.sum().rename("flash_bytes").reset_index()
    table = tflm.drop(columns="flash_bytes").merge(flash, "left", ["model", "kernels"])
    dense = accuracy[accuracy.format == "int8"]
    names = dense.task + "_" + dense.model + "_" + dense.training + "_s" + dense.seed.astype(str)
    facts = dense.assign(model_file=names + ".tflite")[["dataset", "task", "model", "accuracy", "n_test", "model_file"]]
    table = table.drop(columns="model").assign(model_file=tflm.model + ".tflite").merge(facts, "left", "model_file")
    own = kernels.drop_duplicates("model_file").set_index("model_file").accuracy  # of the very file, where it was run
    table["accuracy"] = table.model_file.map(own).fillna(table.accuracy)
    for name, column in (("ms", "est_cycles"), ("ms_low", "low"), ("ms_high", "high")):
        table[name] = milliseconds(table[column])
    table = table.assign(ram_bytes=table.arena_bytes + table.stack_bytes, engine="TFLM", kernel=table.kernels)
    columns = ["dataset", "task", "model", "engine", "kernel", "accuracy", "n_test", "ms", "ms_low", "ms_high"]
    table = table[[*columns, "flash_bytes", "ram_bytes", "model_file"]]
    return table.assign(granularity="dense", sparsity=0.0, data_type="int8")


def _over_seeds(accuracy, pruning, quantization) -> pd.DataFrame:
    """Mean and spread of the accuracy of every setting over seeds."""
    pruned = pruning.rename(columns={"target_sparsity": "sparsity"}).assign(data_type="int8")
    parts = quantization.pruning.str.extract(r"(?P<granularity>.*?)(?:-(?P<percent>\d+))?$")
    wide = quantization.assign(granularity=parts.granularity, data_type=quantization.format)
    wide["sparsity"] = parts.percent.astype(float).fillna(0) / 100
    ours = accuracy[accuracy.training == "ours"]
    ours = ours.assign(granularity="dense", sparsity=0.0, data_type=ours.format)
    tables = [study.spread(rows, _SETTING, ["accuracy"]) for rows in (pruned, wide, ours)]
    return pd.concat(tables).drop_duplicates(_SETTING)  # the first: pruning and its dense networks


def alarms(streaming: pd.DataFrame) -> pd.DataFrame:
    """False alarms an hour by model file: ALARM_COLUMNS, `threshold` from 0 to 1.

    The rows for the largest `frr_target`. Models that no threshold brings there are left out.
    """
    table = streaming[streaming.frr_target == streaming.frr_target.max()]
    table = table[ALARM_COLUMNS].dropna().drop_duplicates("model_file")
    return table.assign(threshold=table.threshold / decision.ONE)

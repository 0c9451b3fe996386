"""The tables of a paper, each from tables of results alone: numbers for the CSV, and the same as LaTeX (booktabs)."""

import re
from pathlib import Path

import pandas as pd

from kwslib import study
from kwslib.cache import replacing
from kwslib.catalogue import Entry, entries
from kwslib.config import milliseconds
from kwslib.headline import MEASURED
from kwslib.paper_style import main_rows

TABLES: dict[str, Entry] = {}
_MOST_COLUMNS = 6  # of a table that fits one column of a page
# How the columns of the tables are written: by the end of their name.
_FORMATS = {
    "removed (%)": "{:.0f}",
    "(%)": "{:.1f}",
    "std": "{:.1f}",
    "error, %": "{:+.1f}",
    ", ms": "{:.2f}",
    "low": "{:.2f}",
    "high": "{:.2f}",
}
_FORMATS |= {"kB": "{:.1f}", "mJ": "{:.2f}", "MAC": "{:.2f}", "faster": "{:.2f}", "minutes": "{:.1f}"}


def _table(*tables):
    return entries(TABLES, *tables)


def write_table(table: pd.DataFrame, caption: str, path_without_suffix: Path) -> None:
    """Write PATH.csv, the numbers, and PATH.tex, a booktabs table with caption and label (`table*` if it is wide)."""
    with replacing(path_without_suffix.with_suffix(".csv")) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g")
    formats = {name: _format(name, table[name]) for name in table}
    style = table.style.hide(axis="index").format(formats, na_rep="--", escape="latex")
    style = style.format_index(escape="latex", axis="columns")
    columns = "".join("r" if pd.api.types.is_numeric_dtype(table[name]) else "l" for name in table)
    options = {"hrules": True, "column_format": columns, "position": "t", "position_float": "centering"}
    options |= {"caption": escape(caption), "label": f"tab:{path_without_suffix.name}"}
    wide = "table*" if len(table.columns) > _MOST_COLUMNS else "table"
    with replacing(path_without_suffix.with_suffix(".tex")) as temporary:
        text = "% needs \\usepackage{booktabs}\n" + style.to_latex(environment=wide, **options)
        temporary.write_text(text, encoding="utf-8")


def escape(text: str) -> str:
    """Text for LaTeX."""
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


def _format(name, values):
    if not pd.api.types.is_numeric_dtype(values):
        return None
    return next((form for end, form in _FORMATS.items() if name.endswith(end)), "{:,.0f}")


def _named(table: pd.DataFrame, names: dict) -> pd.DataFrame:
    """Columns of `names` in their order under their new names; shares become percent, bytes kB where the name says."""
    chosen = table[list(names)].rename(columns=names)
    for old, new in names.items():
        if new.endswith(("(%)", "std")):
            chosen[new] = 100 * table[old]
        elif new.endswith("kB"):
            chosen[new] = table[old] / 1e3
    return chosen.reset_index(drop=True)


@_table("accuracy")
def networks(accuracy):
    """Networks and training: test accuracy of int8 in TFLM, mean and standard deviation over seeds, and their
    cost."""
    table = study.summarise(accuracy[accuracy.format == "int8"])
    names = {"task": "task", "model": "network", "training": "training", "mean": "accuracy (%)", "std": "std"}
    names |= {
        "seeds": "seeds",
        "n_test": "test clips",
        "macs": "MACs",
        "params": "parameters",
        "model_bytes": "file, kB",
    }
    return _named(table, names | {"arena_bytes": "arena, kB"})


@_table("pruning")
def pruned(pruning):
    """Pruned and fine-tuned int8 networks, task {task}: test accuracy, mean and standard deviation over seeds,
    multiply-accumulates that meet a non-zero weight, and bytes of the file and its gzip."""
    levels = (0.0, 0.5, 0.8, 0.9)
    rows = main_rows(pruning)
    rows = rows[rows.target_sparsity.isin((*levels, 0.48, 0.75))]
    rows = rows[(rows.target_sparsity > 0) | (rows.granularity == "dense")]
    values = ["accuracy", "nonzero_macs", "model_bytes", "gzip_bytes"]
    table = study.spread(rows, ["model", "granularity", "target_sparsity"], values)
    names = {"model": "network", "granularity": "granularity", "target_sparsity": "removed (%)", "seeds": "seeds"}
    names |= {"accuracy_mean": "accuracy (%)", "accuracy_std": "std", "nonzero_macs_mean": "MACs left"}
    return _named(table, names | {"model_bytes_mean": "file, kB", "gzip_bytes_mean": "gzip, kB"})


@_table("quantization")
def formats(table):
    """Formats of dense and pruned networks, task {task}: test accuracy, mean and standard deviation over seeds,
    bytes of the file, and whether TFLM runs it."""
    names = ["model", "pruning", "format"]
    spread = study.spread(table, names, ["accuracy", "model_bytes"])
    runs = table.assign(runs=(table.tflm == "runs").map({True: "runs", False: "refuses"}))
    spread = spread.merge(runs.groupby(names, sort=False).runs.first().reset_index(), on=names)
    shown = {"model": "network", "pruning": "pruning", "format": "format", "accuracy_mean": "accuracy (%)"}
    return _named(spread, shown | {"accuracy_std": "std", "model_bytes_mean": "file, kB", "runs": "TFLM"})


_BOARD = {
    "est_ms_216mhz": "time, ms",
    "flash_bytes": "flash, kB",
    "ram_bytes": "RAM, kB",
    "est_energy_mj": "energy, mJ",
}


@_table("kernels")
def kernels(table):
    """Dense networks on every set of kernels, one inference on the emulated board at 216 MHz (estimated, low and
    high of the model; energy is time x 0.447 W); float32 sums differ in their last bits."""
    rows = table[(table.granularity == "dense") & (table.machine_setting == "ours")]
    rows = rows.assign(ms_low=milliseconds(rows.low), ms_high=milliseconds(rows.high))
    names = {"model": "network", "data_type": "format", "kernel": "kernels", "instructions": "instructions"}
    times = {"est_ms_216mhz": "time, ms", "ms_low": "low", "ms_high": "high", "cycles_per_mac": "cycles per MAC"}
    return _named(rows, names | times | {name: _BOARD[name] for name in ("flash_bytes", "ram_bytes", "est_energy_mj")})


@_table("kernels")
def sparse(table):
    """Pruned networks on their fastest kernels against the dense network on its best dense kernels, one inference
    on the emulated board at 216 MHz (estimated); accuracy of that very file (first seed)."""
    ours = table[table.machine_setting == "ours"]
    fastest = ours.loc[ours.groupby("model_file", sort=False).est_cycles.idxmin()]
    dense = fastest[fastest.granularity == "dense"].set_index(["model", "data_type"]).est_cycles.rename("dense_cycles")
    fastest = fastest.join(dense, on=["model", "data_type"])
    fastest["faster"] = fastest.dense_cycles / fastest.est_cycles
    fastest = fastest.sort_values(["model", "data_type", "granularity", "sparsity"])
    names = {"model": "network", "data_type": "format", "granularity": "granularity", "sparsity": "removed (%)"}
    return _named(fastest, names | {"kernel": "kernels", "accuracy": "accuracy (%)", "faster": "times faster"} | _BOARD)


@_table("tflm")
def engines(table):
    """Dense int8 networks in TensorFlow Lite Micro with four sets of kernels, one inference on the emulated board
    at 216 MHz (estimated); outputs equal the host's bit by bit."""
    names = {"model": "model", "kernels": "kernels", "instructions": "instructions", "est_ms_216mhz": "time, ms"}
    return _named(table, names | {"flash_bytes": "flash, kB", "arena_bytes": "arena, kB", "stack_bytes": "stack, kB"})


@_table("streaming")
def streaming(table):
    """False alarms an hour on the test stream with the threshold of the validation stream: 95 % interval of the
    count (Poisson), keywords missed, median delay after the end of the word. Empty: no threshold reaches the
    target."""
    table = table[table.frr_target == table.frr_target.max()]
    names = {"model": "network", "granularity": "granularity", "sparsity": "removed (%)", "format": "format"}
    names |= {"accuracy": "accuracy (%)", "fa_per_hour": "false alarms", "fa_low": "from", "fa_high": "to"}
    return _named(table, names | {"frr": "missed (%)", "delay_ms": "delay, ms", "hours": "hours"})


@_table("realtime")
def realtime(table):
    """The always-on firmware on the emulated board at 216 MHz: cycles of a hop of 32 ms (estimated), load, samples
    lost, and detections against those of the host."""
    names = {"model": "model", "engine": "engine", "frontend_cycles": "front end", "inference_cycles": "network"}
    names |= {"other_cycles": "other", "hop_ms": "hop, ms", "most_hop_ms": "longest, ms", "overruns": "overruns"}
    return _named(table, names | {"detections": "detections", "detections_host": "on the host", "minutes": "minutes"})


@_table("cycle_validation")
def cycles(table):
    """Estimated against measured latency of images that Bosch submitted to MLPerf Tiny for this board (measured by
    the submitter), and what each was used for."""
    names = {"round": "round", "test": "test", "measured_ms": "measured, ms", "estimated_ms": "estimated, ms"}
    return _named(table, names | {"error_percent": "error, %", "role": "role"})


@_table("headline")
def headline(table):
    """The whole study: dense networks on every engine, pruned and quantized networks that no other beats in
    accuracy and time, and published points. Accuracy is the mean over seeds; ours are estimates for the emulated
    board at 216 MHz, energy is time x 0.447 W; false alarms an hour in a stream at 10 %
    missed."""
    rows = table[(table.kind == MEASURED) | table.front | (table.granularity == "dense")]
    rows = rows.assign(by=rows.source.where(rows.kind == MEASURED, "estimated").str.replace("MLPerf Tiny", "Tiny"))
    names = {"by": "source", "task": "task", "model": "network", "granularity": "pruning", "sparsity": "removed (%)"}
    names |= {"data_type": "format", "engine": "engine", "kernel": "kernels", "accuracy_mean": "accuracy (%)"}
    names |= {"fa_per_hour": "false alarms", "ms": "time, ms", "flash_bytes": "flash, kB", "ram_bytes": "RAM, kB"}
    return _named(rows, names | {"energy_mj": "energy, mJ"})

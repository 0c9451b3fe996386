"""What every table and figure of `results/` is and what made it; tables are read through here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kwslib.cache import PROJECT_FOLDER

_FRONTEND = "benchmarks/frontend.py --data FOLDER"
# Table -> the number of the notebook or the command that writes it, and what it holds.
TABLES = {
    "dataset": ("01", "clips of each word and split"),
    "feature_cost": ("01", "milliseconds a clip: librosa and the batched front end"),
    "frontend_parity": (_FRONTEND, "front end in C against librosa, stage by stage"),
    "frontend_speed": (_FRONTEND, "instructions and estimated cycles of one hop of the front end, by part"),
    "frontend_accuracy": (_FRONTEND, "accuracy with features of librosa and of the C front end"),
    "clips": ("benchmarks/clips.py --data FOLDER", "accuracy over the number of clips of a keyword"),
    "accuracy": ("02", "test accuracy of every network, float32 and int8, by seed"),
    "recall": ("02", "recall of every class, by seed"),
    "engines": ("02", "TFLM against TensorFlow Lite's reference kernels, operator by operator"),
    "sensitivity": ("03", "validation accuracy with one layer pruned at a time"),
    "magnitude": ("03", "single weights removed: accuracy, bytes, MACs left"),
    "pruning": ("04", "all granularities and sparsities, fine-tuned, int8, by seed"),
    "formats": ("05", "what each conversion really writes: types, scales, bytes"),
    "quantization": ("05", "accuracy of every format, dense and pruned, and whether TFLM runs it"),
    "calibration": ("05", "int8 accuracy over the clips that calibrated it"),
    "packed": ("05", "flash and arena with weights packed for TFLM's DECODE operator"),
    "tflm": ("06", "TFLM on the emulated board with four sets of kernels"),
    "tflm_memory": ("06", "flash and RAM of these programs, by part"),
    "kernels": ("07", "every saved model on every set of kernels: cycles, flash, RAM, energy estimate"),
    "break_even": ("07", "sparsity from which on a kernel overtakes dense ones"),
    "streaming": ("08", "false alarms an hour, misses and delay in a stream"),
    "realtime": (
        "benchmarks/realtime.py --data FOLDER",
        "the always-on firmware on the emulated board: budget of a hop",
    ),
    "cycle_validation": (
        "benchmarks/validate_cycles.py TINY_RESULTS",
        "estimated against published latency of MLPerf Tiny images",
    ),
    "headline": ("09", "the whole study in one table, with published points marked as such"),
    "explored": ("07", "points of one's own, queued in the panel"),
    "board": ("-m kwslib measure MODEL.tflite --port PORT", "times of a real board beside the estimate"),
}
# Figure of a notebook -> what it shows.
FIGURES = {
    "01_words": "clips of each word and split",
    "01_waveform": "samples of a clip",
    "01_window_spectrum": "power spectrum of one window",
    "01_mel_filters": "mel filters",
    "01_log_mel_mfcc": "log-mel and MFCC of a clip",
    "01_settings": "features of four words",
    "02_augmentation": "one clip as four epochs draw it",
    "02_curves": "validation accuracy over epochs",
    "02_confusion": "confusion of two networks",
    "02_accuracy_cost": "accuracy against MACs and parameters",
    "03_weights": "weights before and after pruning",
    "03_sensitivity": "validation accuracy with one layer pruned at a time",
    "03_accuracy_sparsity": "accuracy against sparsity of single weights",
    "03_bytes": "bytes of the file and of its gzip against sparsity",
    "04_masks": "masks of every granularity",
    "04_granularities": "accuracy against MACs left, all granularities",
    "04_staircase": "MACs against filters removed",
    "05_formats": "accuracy of each format against float32",
    "05_calibration": "accuracy against the number of calibration clips",
    "05_pareto": "accuracy against bytes and MACs",
    "06_tflm": "TFLM with four sets of kernels: time and memory",
    "07_ladder": "kernels from plain loops to the best",
    "07_latency_sparsity": "time against sparsity",
    "07_pareto": "accuracy against time, flash and RAM",
    "08_excerpt": "samples, scores and detections of a piece of stream",
    "08_det": "misses against false alarms an hour",
    "08_budget": "what the always-on firmware computes in a hop",
    "08_fa_sparsity": "false alarms an hour against sparsity",
    "09_headline": "the whole study against published points",
}


class ResultsError(ValueError):
    """A table of results is missing or lacks what is needed; the message names it and what writes it."""


@dataclass(frozen=True)
class Entry:
    """A figure or table of the paper kit: `make(*tables, ...)`, whose docstring is its caption, and their names.

    A caption may hold {task} and {network}: the first of the first table.
    """

    make: Callable
    tables: tuple[str, ...]

    def caption(self, results: str | Path) -> str:
        """The caption in one line, for the tables under `results`. Raises ResultsError."""
        table = read(results, self.tables[0])
        names = {"task": "task", "network": "model"}
        names = {name: table[column].iloc[0] for name, column in names.items() if column in table}
        return " ".join(self.make.__doc__.split()).format(**names)

    def __call__(self, results: str | Path, *arguments):
        """Read the tables under `results` and make it. Raises ResultsError where they do not suffice."""
        tables = [read(results, name) for name in self.tables]
        try:
            return self.make(*tables, *arguments)
        except (KeyError, AttributeError, IndexError, ValueError) as error:
            if isinstance(error, (KeyError, AttributeError)):
                name = error.args[0] if isinstance(error, KeyError) else error.name
                if any(name in table for table in tables if isinstance(name, str)):
                    raise  # the column is there: the fault is not the table's
                missing = repr(name)
            else:  # nothing is left to show
                missing = f"row to show ({error})"
            sources = ", ".join(f"{name}.csv ({_remedy(name)})" for name in self.tables)
            raise ResultsError(f"{self.make.__name__}: no {missing} in {sources}") from error


def entries(found: dict[str, Entry], *tables: str) -> Callable:
    """Decorator: put a function of `tables` into `found` under its own name."""

    def add(make):
        found[make.__name__] = Entry(make, tables)
        return make

    return add


def read(results: str | Path, name: str) -> pd.DataFrame:
    """`results/tables/NAME.csv`. Raises ResultsError, which says what writes it, if it is missing or empty."""
    path = Path(results) / "tables" / f"{name}.csv"
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:  # pandas' own errors of a damaged file are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else error
        raise ResultsError(f"{_short(path)} is not readable ({reason}): {_remedy(name)} writes it") from None
    if table.empty:
        raise ResultsError(f"{_short(path)} has no rows: {_remedy(name)} writes it")
    return table


def _remedy(name: str) -> str:
    source = TABLES[name][0]
    return f"notebook {source} ({_command(source)})" if source.isdigit() else _command(source)


def _short(path: Path) -> Path:
    return path.relative_to(PROJECT_FOLDER) if path.is_relative_to(PROJECT_FOLDER) else path


def _command(source: str) -> str:
    return f'make results DATA=FOLDER ONLY="{source}"' if source.isdigit() else f"python {source}"


def describe(table: pd.DataFrame) -> tuple[str, str]:
    """Data set and conditions of a table, from its own columns: rows, tasks, seeds, test clips."""
    data = ", ".join(map(str, table.dataset.dropna().unique())) if "dataset" in table else ""
    facts = [f"{len(table)} rows"]
    if "task" in table:
        facts.append(", ".join(map(str, table.task.dropna().unique())))
    if "seed" in table:
        facts.append(f"seeds {', '.join(f'{seed:g}' for seed in sorted(table.seed.dropna().unique()))}")
    if "n_test" in table:
        facts.append(f"{', '.join(f'{n:g}' for n in sorted(table.n_test.dropna().unique()))} test clips")
    return data, "; ".join(facts)


def page(results: str | Path, kit: dict[str, dict[str, Entry]]) -> str:
    """Text of results/README.md: tables and figures that are there, what made them, from what data.

    `kit` are the entries of the paper kit by kind ("figures", "tables").
    """
    folder = Path(results)
    rows, data = [], {}
    for path in sorted((folder / "tables").glob("*.csv")):
        source, text = TABLES.get(path.stem, ("", ""))
        dataset, facts = describe(read(folder, path.stem))
        if dataset and path.stem != "headline":
            data.setdefault(source, dataset)
        rows.append(
            (f"[{path.stem}](tables/{path.name})", text, f"`{_command(source)}`" if source else "", dataset, facts)
        )
    lines = [_HEAD, _markdown(("table", "what", "command", "data set", "holds"), rows)]
    rows = []
    for path in sorted((folder / "figures").glob("*.csv")):
        number = path.stem[:2]
        source = f"`{_command(number)}`"
        rows.append(
            (f"[{path.stem}](figures/{path.stem}.png)", FIGURES.get(path.stem, ""), source, data.get(number, ""))
        )
    lines += [_FIGURES, _markdown(("figure", "what", "command", "data set"), rows), _KIT]
    for kind, found in kit.items():
        rows = [
            (name, entry.caption(folder), ", ".join(entry.tables))
            for name, entry in found.items()
            if (folder / "tables" / f"{entry.tables[0]}.csv").is_file()
        ]
        lines += [_markdown((kind[:-1], "caption", "from the tables"), rows)]
    return "\n\n".join(lines) + "\n"


def _markdown(head, rows) -> str:
    rows = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


_HEAD = """# Results

Written by `make figures` (`python -m kwslib figures`); do not edit. FOLDER is a folder of Speech Commands; settings are
those of the *parameters* cell of each notebook with `MODE = "full"`, the number of a figure or of `ONLY` is that of the
notebook. TINY_RESULTS is a checkout of mlcommons/tiny_results_v1.1 or v1.2. Cycles, milliseconds and energy are
estimates of an emulated board unless a column says *measured*.

## Tables"""
_FIGURES = """## Figures of the notebooks

Each as PDF, PNG and the CSV of what it shows."""
_KIT = """## Paper kit

`make figures` draws these from the tables above alone, in `results/paper/`: figures as PDF and PNG at the width of one
column (3.5 in) and of two (7.16 in) with the CSV of what they show, tables as LaTeX (booktabs) and CSV."""

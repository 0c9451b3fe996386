"""One more point of the study: trained, compressed, judged in TFLM, run on the emulated board, a row of `explored.csv`.

Trained networks, models and rows come from the caches that the notebooks use. `python -m kwslib.explored` is the
process in which `point_queue` computes a point: it reads it, pickled, from stdin and reports in JSON on stdout.
"""

import dataclasses
import json
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from kwslib import cache, compress, kernel_study, parallel, plotting, points, recipes, sweep, training
from kwslib.compress import Variant
from kwslib.config import ConfigError
from kwslib.kernel_sets import KERNEL_SETS
from kwslib.pruning import PruneConfig
from kwslib.recipes import Effort

KEYS = ["task", "model", "granularity", "sparsity", "data_type"]  # of a network, as in `kernels.csv`
DATA_TYPES = tuple(kernel_study.RUNGS)  # those that the board has kernels for
COLUMNS = [*kernel_study.KERNELS_COLUMNS, "seed", "ci_low", "ci_high", "sha256"]


class PointError(ValueError):
    """A table of points cannot be read, or a point failed; the message names the file or says what went wrong."""


@dataclasses.dataclass(frozen=True)
class Point:
    """One network on one kernel set; fields as the columns of `kernels.csv`. Raises ConfigError for other values.

    `granularity` is "dense" (sparsity 0) or one of `pruning`; `kernel` one of KERNEL_SETS, or "mixed".
    """

    task: str
    model: str
    granularity: str
    sparsity: float
    data_type: str
    kernel: str

    def __post_init__(self):
        allowed = {"task": recipes.TASKS, "data_type": DATA_TYPES, "kernel": [*KERNEL_SETS, "mixed"]}
        for field, choices in allowed.items():
            if getattr(self, field) not in choices:
                message = f"Point.{field} = {getattr(self, field)!r}: the board runs {', '.join(choices)}"
                raise ConfigError(message)
        if self.granularity == "dense" and self.sparsity:
            raise ConfigError(f"Point.sparsity = {self.sparsity!r}: a dense network has 0")
        self.variant(recipes.QUICK)

    def __str__(self):
        cut = "dense" if self.granularity == "dense" else f"{self.granularity} {self.sparsity:.0%}"
        return f"{self.task} {self.model}, {cut}, {self.data_type}, kernels {self.kernel}"

    def variant(self, effort: Effort) -> Variant:
        """The network of the point, with the first seed."""
        experiment = recipes.experiment(self.model, recipes.TASKS[self.task], effort, effort.seeds[0])
        prune = None if self.granularity == "dense" else PruneConfig(self.granularity, self.sparsity)
        return Variant(experiment, prune, prune and recipes.tune(self.model, effort), self.data_type)


def saved(variant: Variant, results: str | Path) -> Path:
    """Where the notebooks save the model of a variant, if they do."""
    return Path(results) / "models" / f"{variant.name}.tflite"


def compute(variant: Variant, kernel: str, results: str | Path, data: str, stage: Callable[[str], None] = print):
    """The row of a variant on a kernel set, a dict with COLUMNS; `stage` is called with what is being done.

    A model that lies in `results/models` is taken as it is; others are made and saved in `results/explored/models`.
    Raises PointError, and what training and compressing raise.
    """
    path = saved(variant, results)
    if not path.is_file():
        path = Path(results) / "explored" / _made(variant, results, data, stage)
    stage("running on the emulated board")
    model = kernel_study.saved_model(path)
    row = _checked(kernel_study.run(pd.DataFrame([model]), {model["granularity"]: (kernel,)}, data))
    meta = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    facts = {name: meta[name] for name in ("seed", "ci_low", "ci_high", "sha256")}
    return row | facts | {"model_file": path.relative_to(results).as_posix()}


def _made(variant: Variant, results: str | Path, data: str, stage: Callable[[str], None]) -> str:
    """Train, prune, convert, judge and save a variant; the path below `results/explored`."""
    stage("training the dense network")
    training.train(variant.experiment, data)
    if variant.prune:
        stage("pruning and fine-tuning")
        compress.network(variant, data)
    stage("converting")
    compress.tflite(variant, data)
    stage("judging in TFLM")
    row = _checked(points.run(points.quantized, [{"variant": variant}], data, title="accuracy", n_jobs=1))
    return compress.save(variant, data, row, Path(results) / "explored")


def _checked(rows: pd.DataFrame) -> dict:
    """The one row of a sweep, or PointError with what it says."""
    row = rows.iloc[0].to_dict()
    if row.pop("error"):
        raise PointError(rows.error.iloc[0])
    return row


def table(results: str | Path) -> pd.DataFrame:
    """The points of one's own, `results/tables/explored.csv`: COLUMNS; empty where there are none yet."""
    path = Path(results) / "tables" / "explored.csv"
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS)
    try:
        return pd.read_csv(path)[COLUMNS]
    except (ValueError, KeyError) as error:
        raise PointError(f"{path}: damaged ({' '.join(str(error).split())}); remove or repair it") from None


def add(row: dict, results: str | Path) -> None:
    """Add a row to `explored.csv`, in place of an older one of the same point, data set and seed."""
    with cache.alone(Path(results) / "tables"):
        rows = pd.concat([table(results).astype(object), pd.DataFrame([row])[COLUMNS].astype(object)])
        rows = rows.drop_duplicates([*KEYS, "kernel", "dataset", "seed"], keep="last").infer_objects()
        plotting.save_table(rows, "explored", results)


class _Reporter:
    """Writes lines of JSON to the parent, every second too; when the parent is gone, this process ends."""

    def __init__(self):
        self._channel, self._lock, self._stage = os.fdopen(os.dup(1), "w"), threading.Lock(), "starting"
        os.dup2(2, 1)  # what else is printed
        threading.Thread(target=self._beat, daemon=True).start()

    def stage(self, name: str) -> None:
        self._stage = name
        self.send(stage=name)

    def send(self, **message) -> None:
        with self._lock:
            try:
                print(json.dumps(message), file=self._channel, flush=True)
            except BrokenPipeError:
                os._exit(1)

    def _beat(self) -> None:
        while True:
            self.send(stage=self._stage)
            time.sleep(1)


def _main() -> None:
    """The process of one point: reads it from stdin, reports on stdout."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that temporary files are removed
    reporter = _Reporter()
    try:
        variant, kernel, results, data = pickle.load(sys.stdin.buffer)
        parallel.prepare_worker()
        add(compute(variant, kernel, results, data, reporter.stage), results)
        message = {"done": True}
    except Exception as error:
        message = {"error": str(error) if isinstance(error, PointError) else sweep.one_line(error)}
    reporter.send(**message)
    os._exit(0)  # the beat must not be the last word


if __name__ == "__main__":
    _main()

"""A grid of settings to one table, point by point: kept at once, so that a sweep can be killed and taken up again.

    def point(model, sparsity, seed):
        ...
        return {"accuracy": accuracy}

    table = sweep.run(point, sweep.grid(model="ds_cnn", sparsity=[0.5, 0.8], seed=[0, 1, 2]), folder, version=1)

Several machines: on one start `dask scheduler`, on each `dask worker tcp://HOST:8786 --nworkers 4 --nthreads 1` (Dask
is installed with the rest; one thread, as TensorFlow has one graph builder a process), and give
`scheduler="tcp://HOST:8786"`. Every worker needs the same versions of Python, of the packages and of this project,
and the recordings and caches under the same path: a shared folder, or one of its own named by KWS_CACHE, where
trained networks are then made again. Results travel back and are written where `run` was called, so `folder` need not
be shared; models that a point saves itself must go to a shared folder.
"""

import dataclasses
import inspect
import io
import itertools
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from kwslib import cache
from kwslib.parallel import outcomes


class SweepError(ValueError):
    """A sweep cannot be run as given; the message names the function or the setting."""


def grid(**choices) -> list[dict]:
    """All combinations of the settings, the last one changing fastest: a list holds choices, all else is one value."""
    lists = [value if isinstance(value, list) else [value] for value in choices.values()]
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*lists)]


def run(
    function: Callable[..., dict | list[dict]],
    points: Sequence[dict],
    folder: str | Path,
    *,
    version: int,
    data: str | Callable[[dict], str] = "",
    fixed: dict | None = None,
    n_jobs: int = 2,
    scheduler: str | None = None,
    refresh: bool = False,
    title: str = "sweep",
) -> pd.DataFrame:
    """Call `function(**point, **fixed)` for every point, `n_jobs` at a time: one table in the order of `points`.

    `function` (with a name of its own, at best of a module) returns one row as a dict of JSON-like values, or a list
    of rows. Columns: the settings (an object by its label or name), the results, and `error`, empty where all went
    well. A result with the name of a setting replaces it. A point that fails is a row with NaN and "Type: message";
    so is one that twice kills its process.

    A point is written by this process to `folder/KEY.json` the moment it ends. KEY is a digest of its settings, the
    name of the function, `data` (a digest of the recordings, such as `material.recordings(...).digest`, or a function
    that gives that of a point) and `version` (raise it when the function's code changes meaning). Points found there
    are not computed again, unless `refresh`; those that failed or cannot be read back are. `fixed` holds arguments that
    say only where things lie, such as the folder of the recordings: they are neither in KEY nor in the table.
    `scheduler` is the address of a Dask cluster, see above. Raises SweepError for a function or setting that has no
    key, ParallelError for a cluster that is not there.
    """
    folder, keys, facts = Path(folder), [], {}
    for point in points:
        digest = data if isinstance(data, str) else data(point)
        of_point = {"function": _name(function), "settings": _settings(point), "data": digest, "version": version}
        keys.append(cache.cache_key(of_point))
        facts[keys[-1]] = of_point
    unique = dict(zip(keys, points, strict=True))
    rows = {} if refresh else {key: found for key in unique if (found := _read(folder / f"{key}.json")) is not None}
    missing, errors = [key for key in unique if key not in rows], {}
    with _Bar(title, len(unique), len(rows)) as bar:
        try:
            jobs = [(function, unique[key] | (fixed or {})) for key in missing]
            with closing(outcomes(_point, jobs, n_jobs, scheduler)) as ended:
                for number, result, error in ended:
                    key = missing[number]
                    found, said = result if error is None else (None, one_line(error))
                    if found is None:
                        errors[key] = said
                    else:
                        with cache.replacing(folder / f"{key}.json") as temporary:
                            temporary.write_text(json.dumps(facts[key] | {"rows": found}), encoding="utf-8")
                        rows[key] = found
                    bar.count(failed=found is None)
        except KeyboardInterrupt:
            left = len(unique) - len(rows)
            raise KeyboardInterrupt(f"{title}: {left} of {len(unique)} points remain; run it again to go on") from None
    if errors:
        first = next(iter(errors.values()))
        print(
            f"{title}: {len(errors)} of {len(unique)} points failed, the next run tries them again; one says: {first}"
        )
    return _table(points, keys, rows, errors)


def _name(function) -> str:
    """Module and name of a function, or SweepError if two different ones could have the same."""
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise SweepError(f"{function!r} has no name to keep results under; define a function with `def`")
    return f"{function.__module__}.{function.__qualname__}"


def _settings(point: dict) -> dict:
    """The settings of a point as JSON types."""
    if "error" in point:
        raise SweepError("a setting may not be called 'error', the table has this column")
    return {name: _plain(value, f"setting {name!r}") for name, value in point.items()}


def _plain(value, where: str):
    """The value as JSON types, the same in every process; an object counts with its class and fields."""
    if isinstance(value, (np.generic, np.ndarray)):
        return _plain(value.tolist(), where)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, (list, tuple)):
        return [_plain(item, where) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item, where) for key, item in value.items()}
    if isinstance(value, type):
        raise SweepError(f"{where} is the class {value.__name__}; make an object of it")
    if hasattr(value, "to_dict") or dataclasses.is_dataclass(value):
        names = [field.name for field in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
        fields = value.to_dict() if hasattr(value, "to_dict") else {name: getattr(value, name) for name in names}
        return {"class": type(value).__name__, "fields": _plain(fields, where)}
    raise SweepError(
        f"{where} has the type {type(value).__name__}; allowed is what JSON holds, NumPy values, paths, "
        "dataclasses and objects with to_dict()"
    )


def _point(function, point: dict) -> tuple[list[dict] | None, str]:
    """Worker: the rows of a point, or None and what went wrong; only JSON types travel back."""
    try:
        rows = function(**point)
        rows = [rows] if isinstance(rows, dict) else rows
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise TypeError(f"{function.__name__} returned {type(rows).__name__}: a dict or a list of dicts is needed")
        if any("error" in row for row in rows):
            raise ValueError("a result may not be called 'error', the table has this column")
        return [{str(key): _plain(value, f"result {key!r}") for key, value in row.items()} for row in rows], ""
    except Exception as error:
        return None, one_line(error)


def one_line(error: BaseException) -> str:
    """What went wrong as "Type: message", as the column error shows it."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _read(path: Path) -> list[dict] | None:
    """The rows kept in a file, or None if it is missing or damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else None


def _label(value):
    """What the table shows of a setting: numbers and text as they are, an object by its label or name."""
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return value.as_posix()
    return str(getattr(value, "label", None) or getattr(value, "name", None) or value)


def _table(points, keys, rows: dict, errors: dict) -> pd.DataFrame:
    lines = []
    for point, key in zip(points, keys, strict=True):
        shown = {name: _label(value) for name, value in point.items()}
        lines += [shown | row | {"error": errors.get(key, "")} for row in rows.get(key, [{}])]
    settings = dict.fromkeys(name for point in points for name in point)
    results = dict.fromkeys(name for line in lines for name in line if name != "error")
    return pd.DataFrame(lines, columns=[*(settings | results), "error"])


class _Bar(tqdm):
    """Progress on stdout: a bar on a terminal, one output that renews itself in a notebook, else a line each tenth."""

    def __init__(self, title: str, total: int, cached: int):
        shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
        self.terminal, self.notebook = sys.stdout.isatty(), hasattr(shell, "kernel")
        self.output, self.tenth, self.cached, self.failed = None, None, cached, 0
        time = "{elapsed}, {remaining} left" if total > cached else "nothing to compute"
        super().__init__(
            desc=title,
            total=total,
            initial=cached,
            file=sys.stdout if self.terminal else io.StringIO(),  # tqdm ends the line of a file itself
            ascii=False,
            bar_format="{desc}: {n_fmt}/{total_fmt} points |{bar:20}| " + time + "{postfix}",
            postfix=self._counts(),
        )

    def _counts(self) -> str:
        counts = {"failed": self.failed, "from before": self.cached}
        return ", ".join(f"{number} {name}" for name, number in counts.items() if number)

    def count(self, failed: bool) -> None:
        """One more point has ended."""
        self.failed += failed
        self.set_postfix_str(self._counts(), refresh=False)
        self.update()

    def display(self, msg=None, pos=None):
        """Called by tqdm when it is time to show the bar."""
        if self.terminal:
            return super().display(msg, pos)
        tenth = 10 * self.n // max(1, self.total)
        if self.notebook:
            self._renew({"text/plain": str(self)})
        elif tenth != self.tenth:
            print(self, flush=True)
        self.tenth = tenth
        return True

    def _renew(self, text: dict) -> None:
        from IPython.display import display

        if self.output is None:
            self.output = display(text, raw=True, display_id=True)
        else:
            self.output.update(text, raw=True)

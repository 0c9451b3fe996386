"""Which saved model fits a budget: the best within limits of time, flash, RAM, accuracy and false alarms."""

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from kwslib import catalogue, headline
from kwslib.config import milliseconds
from kwslib.evaluation import wilson_interval
from kwslib.kernel_sets import KERNEL_SETS

# Limit -> column, unit, and +1 where more is worse, -1 where less is.
LIMITS = {
    "max_ms": ("ms", "ms", 1),
    "max_flash": ("flash_bytes", "bytes of flash", 1),
    "max_ram": ("ram_bytes", "bytes of RAM", 1),
    "min_accuracy": ("accuracy_percent", "points of accuracy", -1),
    "max_fa_per_hour": ("fa_per_hour", "false alarms an hour", 1),
}


class ChooseError(ValueError):
    """A limit makes no sense; the message says what is allowed."""


@dataclass(frozen=True)
class Choice:
    """What `choose` found: `model` is a row of `candidates`; `misses` is empty where it keeps all limits."""

    model: pd.Series
    misses: tuple[str, ...]
    command: str

    @property
    def fits(self) -> bool:
        """True if all limits are kept."""
        return not self.misses

    def __str__(self) -> str:
        row = self.model
        pruned = "dense" if row.granularity == "dense" else f"{row.sparsity:.0%} {row.granularity}"
        low, high = wilson_interval(round(row.accuracy * row.n_test), int(row.n_test))
        alarms = "not reached, or not measured"
        if row.fa_per_hour >= 0:
            alarms = f"{row.fa_per_hour:.0f} in a test stream, {100 * row.frr:.1f} % of keywords missed"
        first = "fits" if self.fits else f"nothing fits; the nearest misses by {', '.join(self.misses)}"
        return "\n".join(
            [
                f"{first}: {row.model_file}",
                f"  {row.model}, {pruned}, {row.data_type}, kernels {row.kernel}",
                f"  accuracy      {row.accuracy_percent:.1f} % of {row.n_test:.0f} test clips "
                f"(95 % interval {100 * low:.1f} to {100 * high:.1f}), {row.dataset}",
                f"  false alarms  an hour: {alarms}",
                f"  inference     {row.ms:.2f} ms (estimated, {row.ms_low:.2f} to {row.ms_high:.2f}), "
                f"about {row.energy_mj:.2f} mJ",
                f"  memory        {row.flash_bytes:,} bytes of flash, {row.ram_bytes:,} of RAM, without drivers",
                f"  deploy        {self.command}",
            ]
        )


def candidates(results: str | Path) -> pd.DataFrame:
    """Every saved model on every kernel set that can be deployed, from kernels.csv and, if there, streaming.csv.

    A row each: columns of kernels.csv, ms, ms_low, ms_high, energy_mj, accuracy_percent, fa_per_hour, frr, threshold
    (of the decision, 0 to 1) and smoothing_hops (NaN where the stream gave none). Raises ResultsError.
    """
    table = catalogue.read(results, "kernels")
    table = table[(table.machine_setting == "ours") & table.kernel.isin(KERNEL_SETS)]
    table = table.assign(accuracy_percent=100 * table.accuracy, ms=table.est_ms_216mhz, energy_mj=table.est_energy_mj)
    table["ms_low"], table["ms_high"] = milliseconds(table.low), milliseconds(table.high)
    try:
        found = headline.alarms(catalogue.read(results, "streaming"))
    except catalogue.ResultsError:
        found = pd.DataFrame(columns=headline.ALARM_COLUMNS)
    return table.merge(found, "left", "model_file").reset_index(drop=True)


def choose(table: pd.DataFrame, results: str | Path = "results", **limits: float | None) -> Choice:
    """The most accurate row of `candidates` within `limits` (see LIMITS), the fastest of equals.

    With a limit of false alarms and none of accuracy it is the row with the fewest false alarms. Where nothing fits,
    the row whose largest excess over a limit, relative to it, is smallest. Accuracy is that of the test clips: the best
    of many is flattered a little, so mind its interval. `results` is the folder that the command names. Raises
    ChooseError for an unknown, negative or infinite limit.
    """
    limits = {name: value for name, value in limits.items() if value is not None}
    for name, value in limits.items():
        if name not in LIMITS:
            raise ChooseError(f"{name}: limits are {', '.join(LIMITS)}")
        if not (math.isfinite(value) and value >= 0):
            raise ChooseError(f"{name} = {value}: a number from 0 on is needed")
    if limits.get("min_accuracy", 0) > 100:
        raise ChooseError(f"min_accuracy = {limits['min_accuracy']:g}: percent are needed, such as 88")
    excess = pd.DataFrame({name: _excess(table, name, value) for name, value in limits.items()}, index=table.index)
    worst = excess.clip(lower=0).max(axis=1).fillna(0) if limits else pd.Series(0.0, table.index)
    by_alarms = "max_fa_per_hour" in limits and "min_accuracy" not in limits
    order = table.assign(worst=worst).sort_values(
        ["worst", "fa_per_hour" if by_alarms else "accuracy", "ms"], ascending=[True, by_alarms, True]
    )
    row = order.iloc[0]
    misses = [_miss(row, name, limits[name]) for name in limits if excess.loc[row.name, name] > 0]
    return Choice(row, tuple(misses), command(row, results))


def _excess(table, name, limit):
    """By how much each row exceeds a limit, relative to it; a missing value exceeds every limit."""
    column, _, sign = LIMITS[name]
    return (sign * (table[column] - limit) / max(limit, 1e-9)).fillna(math.inf)


def _miss(row, name, limit) -> str:
    column, unit, sign = LIMITS[name]
    if pd.isna(row[column]):
        return f"{unit}: none is known"
    over = sign * (row[column] - limit)
    return f"{over:,.0f} {unit}" if over >= 100 else f"{over:.3g} {unit}"


def command(row: pd.Series, results: str | Path = "results") -> str:
    """The command that deploys a row: the live firmware for int8 models, else the network as C."""
    path = Path(results) / "models" / row.model_file
    if row.data_type != "int8":
        return f"python -m kwslib engine {path.as_posix()} my_network --kernels {row.kernel}"
    words = f"python -m kwslib live {path.as_posix()} --kernels {row.kernel}"
    if row.threshold >= 0:
        words += f" --smoothing {row.smoothing_hops:.0f} --threshold {row.threshold:.4g}"
    return words


def size_of(text: str) -> float:
    """Bytes of "100k", "100 kB", "1M" or "65536": k is 1000, as in the tables. Raises ChooseError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kKmM]?)[bB]?\s*", text)
    if not found:
        raise ChooseError(f"{text!r}: a size such as 65536, 100k or 1M is needed")
    return float(found[1]) * {"": 1, "k": 1e3, "m": 1e6}[found[2].lower()]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m kwslib choose`."""
    parser.add_argument("--max-ms", type=float, help="milliseconds of one inference, at most (estimated)")
    parser.add_argument("--max-flash", help="bytes of flash at most, such as 100k")
    parser.add_argument("--max-ram", help="bytes of RAM at most, such as 8k")
    parser.add_argument("--min-accuracy", type=float, help="percent of test clips at least")
    parser.add_argument("--max-fa-per-hour", type=float, help="false alarms an hour at most, in the test stream")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder with tables/ (results)")


def main(arguments: argparse.Namespace) -> None:
    """Print the best model, or the nearest; raises ChooseError and ResultsError."""
    limits = {name: getattr(arguments, name) for name in LIMITS}
    for name in ("max_flash", "max_ram"):
        limits[name] = size_of(limits[name]) if limits[name] else None
    print(choose(candidates(arguments.results), arguments.results, **limits))

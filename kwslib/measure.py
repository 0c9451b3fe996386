"""Time networks on a real board over its serial port: the rows of `board.csv`, and what the emulated board estimated.

The programs are those of `bench_serial`. The emulated board runs the same ELF and is read by the same code.
"""

import argparse
import contextlib
import hashlib
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import bench_serial, cache, plotting
from kwslib.bench_serial import Bench
from kwslib.config import CLOCK_HZ
from kwslib.flash import flash
from kwslib.kernel_sets import KERNEL_SETS
from kwslib.serial_port import PortError, SerialPort

EMULATED = "emulated"  # a name of a port, and of a source
BOARD_COLUMNS = ["model_file", "kernel", "source", "runs", "cycles", "min_cycles", "max_cycles", "core_hz", "ms"]
BOARD_COLUMNS += ["equal", "garbled", "restarts", "sha256", "program"]
_MOST_FOREIGN, _MOST_RESTARTS, _MOST_ASKED = 100, 3, 3
_KEY = ["model_file", "kernel"]


class MeasureError(ValueError):
    """A board is not measured; the message names port, program or file, and the remedy."""


@dataclass(frozen=True)
class Timing:
    """What a board said: cycles of each run, whether all outputs were right, its clock, and how the line behaved.

    `garbled` lines are left out of `cycles`; `restarts` counts the times that the board was reset and began again.
    """

    cycles: tuple[int, ...]
    equal: bool
    core_hz: int
    garbled: int
    restarts: int


def read(port: SerialPort, bench: Bench, show: Callable[[str], None] = print) -> Timing:
    """Have a board run its bench and read what it says; `show` gets a line for what goes wrong on the way.

    Raises MeasureError where another program runs, or no whole set of lines arrives, and PortError.
    """
    reader = _Reader(port, bench, show)
    port.write(b"r")  # after reset the board runs by itself, then once for each character
    try:
        while not reader.take(port.line()):
            pass
    except PortError as error:
        raise PortError(f"{error}{reader.last_words()}") from None
    return reader.timing()


class _Reader:
    """The lines of a pass, from "start" to its last run."""

    def __init__(self, port, bench, show):
        self._port, self._bench, self._show = port, bench, show
        self._start, self._runs = None, {}
        self._garbled = self._restarts = self._asked = 0
        self._foreign = []

    def take(self, line: str) -> bool:
        """Take a line; True when the pass is complete."""
        kind, values = parse(line)
        if kind is None:
            self._take_foreign(line)
        elif values["program"] != self._bench.number:
            raise MeasureError(
                f"{self._port.path}: the board runs {values.get('model', 'another program')} (program "
                f"{values['program']}), not {self._bench.program.name} on {self._bench.program.kernels} (program "
                f"{self._bench.number}); leave out --no-flash"
            )
        elif kind == "start":
            self._begin(values)
        elif self._start and kind == "run":
            self._runs[int(values["run"])] = int(values["cycles"]), values["equal"] == "1"
        return self._ended(kind)

    def _take_foreign(self, line):
        if line.strip():
            self._foreign.append(line.strip())
            self._garbled += self._start is not None
        if len(self._foreign) > _MOST_FOREIGN:
            raise MeasureError(f"{self._port.path}: these are no lines of the bench{self.last_words()}")

    def _begin(self, values):
        if self._start:
            self._restarts += 1
            self._show(f"the board was reset after run {max(self._runs, default=0)}; starting this model over")
        if self._restarts > _MOST_RESTARTS:
            raise MeasureError(
                f"{self._port.path}: the board was reset {self._restarts} times; check its supply and USB cable"
                f"{self.last_words()}"
            )
        if int(values["core_hz"]) != CLOCK_HZ:
            raise MeasureError(
                f"{self._port.path}: the board runs at {int(values['core_hz']) / 1e6:g} MHz instead of "
                f"{CLOCK_HZ / 1e6:g}: its crystal did not start{self.last_words()}"
            )
        self._start, self._runs = values, {}

    def _ended(self, kind):
        wanted = int(self._start["runs"]) if self._start else 0
        if kind != "done" and (not wanted or max(self._runs, default=0) < wanted):
            return False
        if 2 * len(self._runs) >= wanted > 0:
            return True
        # The start was missed, or most lines were garbled: once more.
        self._asked += 1
        if self._asked > _MOST_ASKED:
            raise MeasureError(
                f"{self._port.path}: most lines are garbled; use another USB cable or port{self.last_words()}"
            )
        self._start = None
        self._port.write(b"r")
        return False

    def last_words(self) -> str:
        """The end of a message: what the board said that is no line of the bench."""
        telling = [line for line in self._foreign if line.startswith(("***", "error:"))]  # a fault, a dead clock
        said = (telling or self._foreign)[-1:]
        return f"; it said {said[0][:80]!r}" if said else ""

    def timing(self) -> Timing:
        """What the pass gave."""
        cycles, equal = zip(*self._runs.values(), strict=True)
        if self._garbled:
            self._show(f"garbled lines left out: {self._garbled}")
        return Timing(cycles, all(equal), int(self._start["core_hz"]), self._garbled, self._restarts)


def parse(line: str) -> tuple[str | None, dict[str, str]]:
    """Kind (start, run, done) and values of a line of the bench; None where its checksum or form is wrong."""
    found = re.fullmatch(r"(bench (start|run|done)\b(.*)) crc=0x([0-9a-f]{8})", line)
    if not found or zlib.crc32(found[1].encode("ascii", errors="replace")) != int(found[4], 16):
        return None, {}
    values = dict(re.findall(r"(\w+)=(\S+)", found[1]))
    needed = {"start": {"core_hz", "runs"}, "run": {"run", "cycles", "equal"}, "done": set()}[found[2]]
    return (found[2], values) if needed | {"program"} <= set(values) else (None, {})


def measure(bench: Bench, port: str, results: str | Path, *, flashes: bool = True, timeout_s=30.0, show=print) -> dict:
    """Flash a bench, read it, and put its row into `results/tables/board.csv`; returns the row, BOARD_COLUMNS.

    `port` is a path, or "emulated" for the emulated board. `flashes` False reads what is on the board already. Raises
    MeasureError, PortError and FlashError; the table then stays as it was.
    """
    with _connected(bench, port, flashes, timeout_s) as line:
        timing = read(line, bench, show)
    row = _row(bench, timing, EMULATED if port == EMULATED else "board")
    _add(row, results)
    return row


@contextlib.contextmanager
def _connected(bench, port, flashes, timeout_s):
    """The open port of a board that runs a bench."""
    with contextlib.ExitStack() as stack:
        if port == EMULATED:
            from kwslib.emulated_port import emulated_port

            port = stack.enter_context(emulated_port(bench.elf))
        elif flashes:
            with SerialPort(port, timeout_s):  # a wrong port is told before anything is written
                pass
            flash(bench.elf)
        yield stack.enter_context(SerialPort(port, timeout_s))


def _row(bench, timing, source):
    cycles = float(np.median(timing.cycles))
    row = {"model_file": f"{bench.program.name}.tflite", "kernel": bench.program.kernels, "source": source}
    row |= {"runs": len(timing.cycles), "cycles": cycles, "min_cycles": min(timing.cycles)}
    row |= {"max_cycles": max(timing.cycles), "core_hz": timing.core_hz, "ms": 1e3 * cycles / timing.core_hz}
    row |= {"equal": timing.equal, "garbled": timing.garbled, "restarts": timing.restarts}
    return row | {"sha256": bench.program.sha256, "program": bench.number}


def board_table(results: str | Path) -> pd.DataFrame:
    """`results/tables/board.csv`, empty where there is none. Raises MeasureError for a damaged one."""
    path = Path(results) / "tables" / "board.csv"
    if not path.is_file():
        return pd.DataFrame(columns=BOARD_COLUMNS)
    try:
        table = pd.read_csv(path, dtype={"program": str, "sha256": str})
        return table[BOARD_COLUMNS]
    except (ValueError, KeyError) as error:
        raise MeasureError(f"{path}: not a table of kwslib.measure ({error}); remove it and measure again") from None


def _add(row, results):
    """Write a row in the place of an older one for the same model, kernels and source."""
    table, new = board_table(results), pd.DataFrame([row], columns=BOARD_COLUMNS)
    table = pd.concat([table, new]) if len(table) else new
    plotting.save_table(table.drop_duplicates([*_KEY, "source"], keep="last"), "board", results)


def compare(results: str | Path) -> pd.DataFrame:
    """Boards beside their estimates: model_file, kernel, est_ms, board_ms, ratio (board / estimated), equal.

    A row for each one of `board.csv` with source "board". Estimates are those of the same ELF on the emulated board,
    where they are in `board.csv`, or else those of `kernels.csv`, which are of the files in `results/models`. An
    estimate of another file than the board ran, of the same name, does not count.
    """
    table, key = board_table(results), [*_KEY, "sha256"]
    estimates = [table[table.source == EMULATED].rename(columns={"ms": "est_ms"})]
    path = Path(results) / "tables" / "kernels.csv"
    if path.is_file():
        study = pd.read_csv(path)
        digests = {name: _sha256(Path(results) / "models" / name) for name in study.model_file.unique()}
        study = study[study.machine_setting == "ours"].assign(sha256=study.model_file.map(digests))
        estimates.append(study.rename(columns={"est_ms_216mhz": "est_ms"}))
    estimates = pd.concat([rows[[*key, "est_ms"]] for rows in estimates]).drop_duplicates(key)
    found = table[table.source == "board"].rename(columns={"ms": "board_ms"}).merge(estimates, "left", key)
    found["ratio"] = found.board_ms / found.est_ms
    return found[[*_KEY, "est_ms", "board_ms", "ratio", "equal"]]


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m kwslib measure`."""
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL.tflite", help="models, each with its .json")
    parser.add_argument("--port", required=True, help="serial port of the board (/dev/ttyACM0), or emulated")
    sets = {"nargs": "+", "default": (), "choices": KERNEL_SETS, "metavar": "SET"}
    parser.add_argument("--kernels", **sets, help=f"kernel sets (what suits the model): {', '.join(KERNEL_SETS)}")
    parser.add_argument("--no-flash", action="store_true", help="the bench is on the board already")
    parser.add_argument("--results", default="results", help="folder whose tables/board.csv gets the rows (results)")
    parser.add_argument("--timeout", type=float, default=30, help="longest silence of the board in seconds (30)")


def main(arguments: argparse.Namespace) -> None:
    """Build all, then measure one after the other and show each row."""
    if arguments.no_flash and len(arguments.models) * max(1, len(arguments.kernels)) > 1:
        raise MeasureError("--no-flash: the board holds one program; name one model and at most one kernel set")
    benches = bench_serial.build(arguments.models, arguments.kernels)
    results = cache.PROJECT_FOLDER / arguments.results
    table = results / "tables" / "board.csv"
    for number, bench in enumerate(benches, 1):
        print(f"[{number}/{len(benches)}] {bench.program.name}, {bench.program.kernels}", flush=True)
        try:
            row = measure(bench, arguments.port, results, flashes=not arguments.no_flash, timeout_s=arguments.timeout)
        except (MeasureError, PortError) as error:
            kept = f"; {number - 1} of {len(benches)} rows are in {table}" if number > 1 else ""
            raise MeasureError(f"{error}{kept}") from None
        _show(row)
    print(table)


def _show(row):
    cycles = f"{row['cycles']:,.0f} cycles ({row['min_cycles']:,} to {row['max_cycles']:,})"
    outputs = "equal" if row["equal"] else "DIFFER from"
    print(f"  {row['source']}: {cycles}, {row['ms']:.3f} ms, {row['runs']} runs, outputs {outputs} TFLM's")

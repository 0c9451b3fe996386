"""Cycle estimates beside latencies measured on real boards: results/tables/cycle_validation.csv.

    python benchmarks/validate_cycles.py FOLDER [FOLDER ...]

FOLDER is a checkout of https://github.com/mlcommons/tiny_results_v1.1 or ..._v1.2. Their submissions for the
STM32F746G-Discovery at 216 MHz come with the firmware images; each is run on the emulated board through its own
serial protocol, as MLPerf Tiny's runner does, and its own timer gives estimated_ms of one inference. measured_ms is
the submitter's figure from their board: the median throughput in their official results. low_ms to high_ms sweeps the
parameters of the model and is no confidence interval. Nothing of theirs is stored here but these figures.

role: "fitted" images gave the cost of D-cache misses (see kwslib.timing); "looked at" ones were seen while the model
was made, without fitting a constant; "held out" ones were run once it was done. All come from one code generator.
"""

import math
import re
import sys
from pathlib import Path

import pandas as pd

from kwslib import cache, profile
from kwslib.machine import BoardError, Firmware, Machine

OUTPUT = cache.PROJECT_FOLDER / "results" / "tables" / "cycle_validation.csv"
TESTS = ("kws", "ic", "ad", "vww")
SECTION_MS = 40  # so long inferences are timed, at least; the timer counts microseconds
LONGEST_S = 30  # of estimated time, before an image counts as stuck
ROLES = {
    ("v1.2", "kws"): "looked at",
    ("v1.2", "ic"): "fitted",
    ("v1.2", "ad"): "fitted",
    ("v1.2", "vww"): "looked at",
    ("v1.2", "ad max_performance"): "fitted",
    ("v1.1", "ad"): "held out (weights as in the fitted ad)",
}


def find_images(folder: Path) -> list[dict]:
    """Images for the DISCO-F746NG in a checkout, with their official latency; raises BoardError if there is none."""
    found = []
    for code in sorted(folder.glob("*/*/code/DISCO*F746NG*")):
        for test in TESTS:
            results = code.parents[1] / "results" / code.name / test / "performance" / "results.txt"
            images = sorted((code / test).rglob("*.bin"))
            if len(images) == 1 and results.is_file():
                build = re.sub(r"^DISCO.F746NG(_int8)?_?", "", code.name)
                row = {"round": _round(folder), "submitter": code.parents[1].name, "test": f"{test} {build}".strip()}
                found.append(row | {"measured_ms": official_ms(results.read_text()), "image": images[0]})
    if not found:
        raise BoardError(
            f"{folder}: no images for the DISCO-F746NG; give a checkout of mlcommons/tiny_results_v1.1 or _v1.2"
        )
    return sorted(found, key=lambda row: TESTS.index(row["test"].split()[0]))


def _round(folder: Path) -> str:
    found = re.findall(r"v\d\.\d", str(folder.resolve()))
    if not found:
        raise BoardError(f"{folder}: the name says no round; call the folder tiny_results_v1.1 or tiny_results_v1.2")
    return found[-1]


def official_ms(results: str) -> float:
    """Latency of an inference in ms, from the text of an official results.txt."""
    found = re.search(r"Median throughput is\s+([\d.]+) inf", results)
    if not found:
        raise BoardError("results.txt states no median throughput; take the file of a performance run")
    return 1000 / float(found.group(1))


class TimedRun:
    """Runs an image and times one inference by the image's own timer, from the difference of one and several.

    What is between the timestamps besides, such as sending the first one, is lost in 600 inferences on the board.
    """

    def __init__(self, image: Path, inferences: int):
        self._line, self._laps, self._ready = "", [], False
        self._lap_end = self._section = None
        self._machine = Machine(Firmware.load(image), unmodelled="remember")
        self._machine.on_uart = self._byte
        self._wait(image)
        one, several = (self._infer(image, number) for number in (1, 1 + inferences))
        self.estimated_ms = (several - one) / 1000 / inferences
        before, after = self._section
        sums = profile.totals(after, before)
        self.low_ms, self.high_ms = (self.estimated_ms * sums[name] / sums["cycles"] for name in ("low", "high"))
        self.notes = profile.notes(after, before)

    def _infer(self, image, number):
        """Microseconds between the timestamps around a number of inferences."""
        self._laps = []
        self._machine.uart_input(f"infer {number} 1%".encode())
        self._wait(image)
        if len(self._laps) != 2:
            raise BoardError(f"{image}: no timestamps; it said: {self._machine.uart[-200:].decode(errors='replace')}")
        return self._laps[1] - self._laps[0]

    def _wait(self, image):
        self._ready = False
        reason = self._machine.run(seconds=LONGEST_S)
        if not self._ready:
            raise BoardError(f"{image}: ended by {reason} {self._machine.detail} {self._machine.faults[:1]}")

    def _byte(self, byte: int) -> None:
        """Follow the serial protocol: the section runs from the end of one timestamp to the start of the next."""
        self._line += chr(byte)
        if self._line == "m-lap-us":
            self._section = self._lap_end, self._machine.recorder.snapshot()
        if not self._line.endswith("\n"):
            return
        lap = re.match(r"m-lap-us-(\d+)", self._line)
        if lap:
            self._laps.append(int(lap.group(1)))
            self._lap_end = self._machine.recorder.snapshot()
        if self._line.startswith("m-ready"):
            self._ready = True
            self._machine.end("ready")
        self._line = ""


def validate(folders: list[Path]) -> pd.DataFrame:
    """Table of all images in the folders: see the top of this file."""
    rows = []
    for row in (row for folder in folders for row in find_images(folder)):
        image = row.pop("image")
        run = TimedRun(image, math.ceil(SECTION_MS / row["measured_ms"]))
        row |= {"estimated_ms": run.estimated_ms, "low_ms": run.low_ms, "high_ms": run.high_ms}
        row["error_percent"] = 100 * (row["estimated_ms"] / row["measured_ms"] - 1)
        rows.append(row | {"role": ROLES.get((row["round"], row["test"]), "held out")})
        print(f"{row['round']} {row['test']}: {row['estimated_ms']:.3f} ms, {row['error_percent']:+.1f} %", *run.notes)
    return pd.DataFrame(rows)


def main() -> None:
    """Run all images, write the table and print the errors."""
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        table = validate([Path(folder) for folder in sys.argv[1:]])
    except BoardError as error:
        sys.exit(f"error: {error}")
    digits = {name: 4 for name in table if name.endswith("_ms")} | {"error_percent": 2}
    with cache.replacing(OUTPUT) as temporary:
        table.round(digits).to_csv(temporary, index=False)
    errors = table.error_percent.abs()
    print(f"{len(table)} images: largest error {errors.max():.1f} %, mean absolute error {errors.mean():.1f} %")


if __name__ == "__main__":
    main()

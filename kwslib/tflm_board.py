"""A network in TensorFlow Lite Micro on the emulated board: outputs, costs, and what it takes of flash and RAM.

TFLM_ROOT=folder python -m kwslib.tflm_board MODEL.tflite ...     the rows of models, on noise
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import interpreters, link_map, tflm, tflm_library, tflm_steps, toolchain
from kwslib.config import milliseconds
from kwslib.kernels import KernelError
from kwslib.tflite_graph import describe, read_model

COLUMNS = ["model", "kernels", "tflm_version", "instructions", "est_cycles", "low", "high", "est_ms_216mhz"]
COLUMNS += ["flash_bytes", "arena_bytes", "stack_bytes", "bit_exact", "clips"]


class TflmBoard:
    """A bench_tflm.elf whose network is ready; `arena_bytes` are in use, of those that it was built with.

    Raises TflmError if the network cannot be prepared: an arena that is too small, an operator that refuses it.
    """

    def __init__(self, elf: str | Path):
        from kwslib.machine import Firmware, Machine

        self.elf = Path(elf)
        self.machine = Machine(Firmware.load(elf))
        self.machine.run(until="bench_ready")
        self._round()
        names = ("input", "output", "input_bytes", "output_bytes", "arena_bytes")
        values = {name: self._number(f"bench_{name}") for name in names}
        self.arena_bytes = values.pop("arena_bytes")
        self._places = values

    def run(self, values: np.ndarray) -> bytes:
        """Output of one inference, as it lies in memory, for the input `values` (of the model's own type)."""
        if values.nbytes != self._places["input_bytes"]:
            raise tflm.TflmError(f"an input of {values.nbytes} bytes: the model takes {self._places['input_bytes']}")
        self.machine.write(self._places["input"], np.ascontiguousarray(values).tobytes())
        self._round()
        return self.machine.read(self._places["output"], self._places["output_bytes"])

    def costs(self) -> dict[str, int]:
        """Instructions (exact), cycles, low and high (estimates) of the last run, with its few steps around it."""
        from kwslib import profile

        sums = profile.totals(self._after, self._before)
        return {name: sums[name] for name in ("instructions", "cycles", "low", "high")}

    @property
    def stack_bytes(self) -> int:
        """The most of the stack that was ever in use."""
        return self._number("bench_stack_bytes")

    def _round(self) -> None:
        """One round of the bench."""
        self._before = self.machine.recorder.snapshot()
        reason = self.machine.run(until="bench_done")
        if reason != "until":
            raise tflm.TflmError(f"the network did not come to its end on the board: {reason} {self.machine.detail}")
        self._after = self.machine.recorder.snapshot()
        address = self._number("bench_error")
        if address:
            text = self.machine.read(address, 100).split(b"\0")[0].decode(errors="replace")
            raise tflm.TflmError(f"{self.elf.name} on the board: {text}")
        self.machine.run(until="bench_ready")

    def _number(self, symbol):
        return int.from_bytes(self.machine.read(symbol, 4), "little")


def flash_bytes(elf: str | Path) -> int:
    """Flash that a program takes: code, constants, model, initial values of variables."""
    return int(toolchain.size_report(elf).load_bytes.sum())


def measure(model: str | Path, root: str | Path, kernels: str, features: np.ndarray) -> tuple[dict, pd.DataFrame]:
    """Build a model, run it on `features` (float32 [n, frames, bands]): `(row, split of its memory)`.

    `kernels` as in `tflm.write_sources`. The row has COLUMNS: costs are means over the clips; flash_bytes those of the
    bench, without a front end; stack_bytes the most at any time since reset; bit_exact says whether every output is
    that of TensorFlow Lite Micro on this computer. Raises what `tflm.build` raises, and BoardError.
    """
    tflite, library = read_model(model), tflm_library.find(root)
    info = describe(tflite)
    elf = tflm.build(model, root, "bench_tflm", kernels)
    board, costs, equal = TflmBoard(elf), [], True
    inputs, expected = interpreters.quantize_input(features, info.input), interpreters.run_tflm(tflite, features)
    for values, wanted in zip(inputs, expected, strict=True):
        equal &= board.run(values) == wanted.tobytes()
        costs.append(board.costs())
    mean = pd.DataFrame(costs).mean().round().astype(int)
    name = f"{library.kernels}, ours ({kernels})" if kernels in tflm_steps.KERNELS else library.kernels
    row = {"model": Path(model).stem, "kernels": name, "tflm_version": library.version}
    row |= {"instructions": mean.instructions, "est_cycles": mean.cycles, "low": mean.low, "high": mean.high}
    row |= {"est_ms_216mhz": round(milliseconds(mean.cycles), 3), "flash_bytes": flash_bytes(elf)}
    row |= {"arena_bytes": board.arena_bytes, "stack_bytes": board.stack_bytes, "bit_exact": equal}
    return row | {"clips": len(inputs)}, link_map.split(elf.with_suffix(".map"))


def roots() -> list[Path]:
    """Folders in the environment variable TFLM_ROOT, separated as those of PATH; empty where it is not set."""
    return [Path(folder) for folder in os.environ.get("TFLM_ROOT", "").split(os.pathsep) if folder]


def compare(clips: Mapping[Path, np.ndarray], folders: Sequence[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Run models (path to features) with the library in each folder, and our kernels in the last: `(rows, parts)`.

    `rows` has COLUMNS; `parts` model, kernels, group, flash and ram. What our kernels do not take has no row.
    """
    jobs = [(folder, "library") for folder in folders] + [(folders[-1], name) for name in tflm_steps.KERNELS]
    rows, parts = [], []
    for model, features in clips.items():
        for folder, kernels in jobs:
            try:
                row, split = measure(model, folder, kernels, features)
            except KernelError:
                continue
            rows.append(row)
            parts.append(split.reset_index().assign(model=row["model"], kernels=row["kernels"]))
    columns = ["model", "kernels", "group", "flash", "ram"]
    return pd.DataFrame(rows, columns=COLUMNS), pd.concat(parts, ignore_index=True)[columns]


def tables(clips: Mapping[Path, np.ndarray], folders: Sequence[Path], results: str | Path):
    """`compare`, or the tables that lie in `results` where there is no TFLM or no compiler: `(rows, parts, remark)`.

    The remark says in one line which of the two it is. Raises TflmError if there is no table either.
    """
    try:
        if not folders:
            raise toolchain.ToolchainError("the environment variable TFLM_ROOT names no built TensorFlow Lite Micro")
        rows, parts = compare(clips, folders)
        return rows, parts, f"run on the emulated board with TensorFlow Lite Micro {rows.tflm_version[0]}"
    except toolchain.ToolchainError as error:
        names = [Path(results) / "tables" / f"{name}.csv" for name in ("tflm", "tflm_memory")]
        if not all(path.is_file() for path in names):
            raise tflm.TflmError(f"{error}; and there is no {names[0]} from an earlier run") from None
        rows, parts = map(pd.read_csv, names)
        versions = ", ".join(rows.tflm_version.unique())
        remark = f"not run here ({error}): figures of tables/tflm.csv, TensorFlow Lite Micro {versions}"
        return rows, parts, remark


def main() -> None:
    """Print the rows of models."""
    from kwslib.firmware import BoardError
    from kwslib.tflite_graph import ModelFileError

    if len(sys.argv) < 2 or not roots():
        sys.exit(__doc__)
    try:
        clips = {Path(path): tflm.noise(read_model(path), 2) for path in sys.argv[1:]}
        print(compare(clips, roots())[0].to_string(index=False))
    except (BoardError, ModelFileError, tflm.TflmError, toolchain.ToolchainError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

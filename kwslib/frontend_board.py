"""The front end in C on the emulated board: the program that preset `bench` builds, behind numpy arrays."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import toolchain
from kwslib.config import FeatureConfig
from kwslib.frontend_host import clip_hops, split_stages, stage_sizes

# Functions of the C code by what they do in a hop.
_PARTS = {
    "ring": "frontend_push",
    "window, FFT, power": "frontend_power_spectrum",
    "mel": "frontend_mel",
    "log": "frontend_log",
    "dct": "frontend_dct",
}


def build(models: Iterable[str | Path]) -> list[Path]:
    """Build a bench for the .json file of each model; returns the ELF files in the same order.

    Raises `toolchain.ToolchainError`.
    """
    paths = [Path(model).resolve() for model in models]
    folder = toolchain.build("bench", options={"BENCH_FRONTENDS": ";".join(map(str, paths))})
    return [folder / f"bench_frontend_{path.stem}.elf" for path in paths]


class BoardFrontend:
    """A bench_frontend_*.elf that waits for hops; what it computes is read from its variables.

    `recorder` True counts and estimates as well, which `costs` needs and which takes longer. Raises
    `machine.BoardError`.
    """

    def __init__(self, elf: str | Path, config: FeatureConfig, recorder: bool = False):
        from kwslib.machine import Firmware, Machine

        self.config = config
        self.machine = Machine(Firmware.load(elf), recorder=recorder)
        self.machine.run(until="bench_ready")

    def clip(self, clip: np.ndarray, scale: float, zero_point: int, dtype: str = "int8"):
        """Run an int16 clip [clip_samples]: `(stages of each column, normalised, quantized)`."""
        n_bytes = 4 * sum(stage_sizes(self.config).values())
        stages = [
            split_stages(self.machine.read("bench_stages", n_bytes), self.config)
            for _ in self._hops(clip, scale, zero_point)
        ]
        shape = self.config.frames, self.config.bands
        values = [self._array("bench_normalised", "float32"), self._array(f"bench_{dtype}", dtype)]
        return stages[-self.config.frames :], *(part.reshape(shape) for part in values)

    def costs(self, clip: np.ndarray) -> pd.DataFrame:
        """What a hop of an int16 clip costs on average: a row a part of the work.

        Columns: part, instructions (exact), cycles, low_cycles and high_cycles (estimates, see `profile.table`). The
        row "hop" is their sum. The rows "longest hop" and "quantization of a window" are differences of DWT->CYCCNT,
        which follows the estimate, as the firmware itself reads them; they have no other columns.
        """
        from kwslib import profile

        before = self.machine.recorder.snapshot()
        longest = max(self._number("bench_push_cycles") for _ in self._hops(clip, 0.05, 0))
        table = profile.table(self.machine.recorder, self.machine.firmware, before)
        table = table[["instructions", "cycles", "low", "high"]] / table.calls["frontend_push"]
        rows = pd.DataFrame({part: table.loc[name] for part, name in _PARTS.items() if name in table.index}).T
        rows.loc["hop"] = rows.sum()
        rows = rows.round()
        rows.loc["longest hop", "cycles"] = longest
        rows.loc["quantization of a window", "cycles"] = self._number("bench_quantize_cycles")
        names = {"low": "low_cycles", "high": "high_cycles"}
        return rows.astype("Int64").rename(columns=names).rename_axis("part").reset_index()

    def _hops(self, clip, scale, zero_point):
        """Push the hops of a clip; yields when the results of each can be read."""
        hops = clip_hops(clip, self.config)
        self._write("bench_scale", np.float32(scale))
        self._write("bench_zero_point", np.int32(zero_point))
        for number, hop in enumerate(hops):
            self._write("bench_hop", hop)
            self._write("bench_starts", np.uint32(number == 0))
            self._write("bench_ends", np.uint32(number == len(hops) - 1))
            self.machine.run(until="bench_done")
            yield
            self.machine.run(until="bench_ready")

    def _write(self, symbol, value):
        self.machine.write(symbol, value.tobytes())

    def _number(self, symbol):
        return int.from_bytes(self.machine.read(symbol, 4), "little")

    def _array(self, symbol, dtype):
        size = self.config.frames * self.config.bands * np.dtype(dtype).itemsize
        return np.frombuffer(self.machine.read(symbol, size), dtype)

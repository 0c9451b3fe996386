"""A generated network on the emulated board: outputs, what each call costs, flash, RAM and stack."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import cache, engine, engine_c, link_map, toolchain
from kwslib.engine import EngineError, Program
from kwslib.kernel_sets import NO_STEP

# How the machine is set up. "paper": no caches, no ART, no prefetch, activations in SRAM1. The paper's own lay in slow
# external memory, which is not modelled: see `wait_cycles` of NetworkOnBoard.costs.
SETTINGS = {"ours": {}, "paper": {"CACHES": "OFF", "ARENA": ".sram1"}}
COSTS = ("instructions", "cycles", "low", "high")
_RUN = "network_run"
_PAINT = 0xA5


def build(programs: Iterable[Program], setting: str = "ours") -> list[Path]:
    """Build a bench for each program, kernels once for all; returns the ELF files in the same order.

    Raises EngineError for an unknown setting and `toolchain.ToolchainError`.
    """
    if setting not in SETTINGS:
        raise EngineError(f"setting = {setting!r}: there are {', '.join(SETTINGS)}")
    folders = [engine_c.cached_c(program).resolve() for program in programs]
    options = {"BENCH_NETWORKS": ";".join(map(str, dict.fromkeys(folders)))} | SETTINGS[setting]
    names = [f"bench_network_{folder.name}" for folder in folders]
    # One folder for all networks, so that the kernels are compiled once.
    folder = cache.data_folder() / "build" / f"networks-{setting}"
    folder = toolchain.build("bench", options=options, targets=names, folder=folder)
    return [folder / f"{name}.elf" for name in names]


def fastest(tflite: bytes, kernel_sets: Sequence[str], name: str = "model") -> dict[int, str]:
    """For `engine.plan(choices=...)`: the kernel set whose kernels serve each operator in the fewest estimated cycles.

    Each set runs the whole network once, on zeros; a chain of operators competes with the operators that it joins.
    """
    programs = [engine.plan(tflite, kernels, name=name) for kernels in kernel_sets]
    info, spans = programs[0].info, {}
    for program, elf in zip(programs, build(programs), strict=True):
        network = NetworkOnBoard(program, elf)
        table = network.run_by_calls(np.zeros(info.input.size))[1]
        cycles = Counter()
        for call, cost in zip(program.calls, table.cycles, strict=True):
            cycles[call.operators[0], call.operators[-1] + 1] += cost
        for span, cost in cycles.items():
            spans.setdefault(span, []).append((cost, program.kernels))
    best = {0: (0, {})}  # operators before this one -> cycles, choices
    for number, op in enumerate(info.ops):
        if number not in best:
            continue
        cost, choices = best[number]
        following = {end: min(found) for (first, end), found in spans.items() if first == number}
        if op.name in NO_STEP:
            following[number + 1] = (0, None)
        for end, (more, kernels) in following.items():
            chosen = choices | ({number: kernels} if kernels else {})
            if end not in best or cost + more < best[end][0]:
                best[end] = cost + more, chosen
    return best[len(info.ops)][1]


class NetworkOnBoard:
    """A bench_network_*.elf that waits for inputs; weights and code in flash, activations where `setting` says.

    `elf` is what `build` gave for the program, which else is built here. Raises EngineError, `machine.BoardError` and
    `toolchain.ToolchainError`.
    """

    def __init__(self, program: Program, elf: str | Path | None = None, setting: str = "ours"):
        from kwslib.machine import Firmware, Machine

        self.program = program
        self.elf = Path(elf) if elf is not None else build([program], setting)[0]
        self.machine = Machine(Firmware.load(self.elf))
        self.machine.run(until="bench_ready")
        self._before = self._after = None
        self._stack_bytes = 0

    def run(self, values: np.ndarray) -> np.ndarray:
        """Output [values] of one input, in the network's own types."""
        self._begin(values)
        self.machine.run(until="bench_done")
        return self._end()

    def run_by_calls(self, values: np.ndarray) -> tuple[list[np.ndarray], pd.DataFrame]:
        """Run one input call by call: `(output of each call, costs)`. A layout may have gaps that hold nothing.

        A row a call: operators (several where a chain of kernels serves them), kernel, macs; instructions (exact);
        cycles, low, high (estimates, see `profile.table`); cycles_per_mac (of all weights, zeros too; empty where there
        are none). Copies of input and output are not in them.
        """
        from kwslib import profile

        self._begin(values)
        marks, outputs, calls = [], [], self.program.calls
        for number, call in enumerate(calls):
            self._go_to(call.step.kernel)
            marks.append(self.machine.recorder.snapshot())
            if number:
                outputs.append(self._output(calls[number - 1]))
        self.machine.run(until="bench_done")
        outputs.append(self._output(calls[-1]))
        marks.append(self.machine.recorder.snapshot())
        self._end()
        rows = []
        for call, before, after in zip(calls, marks, marks[1:], strict=False):
            sums = profile.totals(after, before)
            names = "+".join(dict.fromkeys(self.program.info.ops[index].name for index in call.operators))
            costs = {name: sums[name] for name in COSTS}
            rows.append({"operators": names, "kernel": call.step.kernel, "macs": call.macs} | costs)
        table = pd.DataFrame(rows)
        table["cycles_per_mac"] = (table.cycles / table.macs.where(table.macs > 0)).round(3)
        return outputs, table

    def costs(self, wait_cycles: int = 0) -> dict[str, int]:
        """Of the last run: instructions (exact), cycles, low, high (estimates), ram_accesses.

        `ram_accesses` are those to SRAM that no cache serves, or misses; each takes `wait_cycles` more, as if the
        memory were slower by so much.
        """
        from kwslib import profile

        sums = profile.totals(self._ran(), self._before)
        accesses = sums["uncached_ram"] + sums["ram_misses"]
        waits = {name: wait_cycles * accesses for name in ("cycles", "low", "high")}
        return {name: sums[name] + waits.get(name, 0) for name in COSTS} | {"ram_accesses": accesses}

    def sizes(self) -> dict[str, int]:
        """Bytes by what they hold, from the linker's map, and the stack that the last run used.

        Flash: constants (weights and layers), network_code, kernels, library (libc, libm, libgcc), board (start-up,
        drivers, the bench). RAM: arena, stack.
        """
        found = dict.fromkeys(("constants", "network_code", "kernels", "library", "board"), 0)
        parts = link_map.read(self.elf.with_suffix(".map"))
        for row in parts[parts.load].itertuples():
            found[_part(row.input, row.object)] += row.bytes
        self._ran()
        return found | {"arena": self.program.arena_bytes, "stack": self._stack_bytes}

    def _begin(self, values):
        source = self.program.info.input
        data = np.ravel(values).astype(source.dtype)
        if data.size != source.size:
            raise EngineError(f"{self.program.name}: an input has {source.size} values, given are {data.size}")
        self.machine.write("bench_input", data.tobytes())
        self._top = self.machine.core.sp
        bottom = self.machine.symbol("__stack_start")
        self.machine.write(bottom, bytes([_PAINT]) * (self._top - bottom))
        self._before = self.machine.recorder.snapshot()

    def _end(self):
        target = self.program.info.output
        self._after = self.machine.recorder.snapshot()
        bottom = self.machine.symbol("__stack_start")
        used = np.frombuffer(self.machine.read(bottom, self._top - bottom), np.uint8) != _PAINT
        self._stack_bytes = int(used.size - used.argmax()) if used.any() else 0
        output = np.frombuffer(self.machine.read("bench_output", target.bytes), target.dtype)
        self.machine.run(until="bench_ready")
        return output

    def _go_to(self, kernel):
        """Run until the network calls a kernel; other kernels may call it as well."""
        while True:
            if self.machine.run(until=kernel) != "until":
                raise EngineError(f"{self.program.name}: {kernel} was not called ({self.machine.detail})")
            if self.machine.firmware.function(self.machine.core.lr & ~1) == _RUN:
                return

    def _output(self, call):
        buffer, dtype = self.program.buffers[call.output], np.dtype(call.step.dtype)
        place = self.machine.symbol("arena") + buffer.offset
        return np.frombuffer(self.machine.read(place, call.step.n_out * dtype.itemsize), dtype)

    def _ran(self):
        if self._after is None:
            raise EngineError(f"{self.program.name}: run it before asking what it costs")
        return self._after


def _part(section, place) -> str:
    if place.endswith("/network.c.obj"):
        return "network_code" if section.startswith(".text") else "constants"
    if "libkernels.a" in place:
        return "kernels"
    return "library" if re.search(r"/lib(c|c_nano|m|gcc|nosys|g|g_nano)\.a", place) else "board"

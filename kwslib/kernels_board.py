"""The kernels on the emulated board: the program `bench_kernels.elf`, behind numpy arrays."""

import struct
from pathlib import Path

import numpy as np

from kwslib import toolchain
from kwslib.kernels import KernelError, Layer, Scratch


def build() -> Path:
    """Build the bench; returns its ELF file. Raises `toolchain.ToolchainError`."""
    return toolchain.build("bench", targets=["bench_kernels"]) / "bench_kernels.elf"


class BoardKernels:
    """A bench_kernels.elf that waits for layers; weights lie in flash, activations in DTCM."""

    def __init__(self, elf: str | Path):
        from kwslib.machine import Firmware, Machine

        self.machine = Machine(Firmware.load(elf))
        self._room = _sizes(elf, ("bench_flash", "bench_layer", "bench_input", "bench_scratch"))
        self.machine.run(until="bench_ready")

    def run(self, kernel: str, layer: Layer, values: np.ndarray, n_out: int, dtype="int8") -> np.ndarray:
        """Run a kernel on input `values`; returns `n_out` values of `dtype`. Raises KernelError, BoardError."""
        content, flash = self._arguments(layer.members, b"")
        for symbol, data in (("bench_flash", flash), ("bench_layer", content), ("bench_input", values.tobytes())):
            if len(data) > self._room[symbol]:
                room = self._room[symbol]
                raise KernelError(f"{len(data)} bytes do not fit {symbol} of the bench, which has {room}")
            self.machine.write(symbol, data)
        self.machine.write("bench_kernel", (self.machine.symbol(kernel) | 1).to_bytes(4, "little"))
        self._before = self.machine.recorder.snapshot()
        self.machine.run(until="bench_done")
        output = self.machine.read("bench_output", n_out * np.dtype(dtype).itemsize)
        self._after = self.machine.recorder.snapshot()
        self.machine.run(until="bench_ready")
        return np.frombuffer(output, dtype)

    def costs(self) -> dict[str, int]:
        """Instructions (exact), cycles, low and high (estimates) of the last run, with its few steps around it."""
        from kwslib import profile

        sums = profile.totals(self._after, self._before)
        return {name: sums[name] for name in ("instructions", "cycles", "low", "high")}

    def _arguments(self, members, flash):
        """Bytes of a struct, and of the flash that its pointers point to."""
        content = b""
        for value in members.values():
            if isinstance(value, dict):
                inner, flash = self._arguments(value, flash)
                content += inner
            elif isinstance(value, Scratch):
                room = self._room["bench_scratch"]
                if value.n_bytes > room:
                    raise KernelError(f"{value.n_bytes} bytes of scratch do not fit the bench, which has {room}")
                content += self.machine.symbol("bench_scratch").to_bytes(4, "little")
            elif isinstance(value, np.ndarray):
                flash += bytes(-len(flash) % 32)
                content += (self.machine.symbol("bench_flash") + len(flash)).to_bytes(4, "little")
                flash += value.tobytes()
            elif isinstance(value, float):
                content += struct.pack("<f", value)
            else:
                content += int(value).to_bytes(4, "little", signed=True)
        return content, flash


def _sizes(elf, names):
    """Bytes of variables of an ELF file, by name."""
    from elftools.elf.elffile import ELFFile

    with Path(elf).open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {name: table.get_symbol_by_name(name)[0]["st_size"] for name in names}

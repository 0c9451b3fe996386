"""Code for the emulated core in tests: assembled snippets, and the program of workload.c."""

import functools
import subprocess
import tempfile
from pathlib import Path

from unicorn import UC_ARCH_ARM, UC_MODE_MCLASS, UC_MODE_THUMB, Uc, arm_const

FLASH, RAM, DTCM = 0x08000000, 0x20010000, 0x20000000
_HERE = Path(__file__).parent
_FLAGS = ["-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"]


@functools.cache
def assemble(text: str) -> bytes:
    """Machine code of Thumb-2 assembly; statements may be separated by ";"."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "code.s"), Path(folder, "code.o")
        source.write_text(".syntax unified\n.thumb\n" + text.replace(";", "\n") + "\n")
        subprocess.run(["arm-none-eabi-gcc", *_FLAGS, "-c", source, "-o", target], check=True)
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", target], check=True)
        return target.read_bytes()


def build_workload(folder: Path) -> Path:
    """ELF of workload.c."""
    elf = Path(folder, "workload.elf")
    command = ["arm-none-eabi-gcc", *_FLAGS, "-O2", "-g", "-Wall", "-Wextra", "-ffreestanding", "-fno-math-errno"]
    command += ["-fno-tree-loop-distribute-patterns", "-nostdlib", f"-T{_HERE / 'workload.ld'}"]
    subprocess.run([*command, str(_HERE / "workload.c"), "-o", str(elf)], check=True, capture_output=True)
    return elf


class BareCore:
    """A core with flash at both of its addresses, RAM and nothing else; `uc` for the rest."""

    def __init__(self, code: bytes, address: int = FLASH):
        self.uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M7)
        for base, size in ((0, 0x4000), (0x00200000, 0x100000), (FLASH, 0x100000), (DTCM, 0x50000)):
            self.uc.mem_map(base, size)
        self.uc.mem_write(address, code)
        self.start, self.end = address, address + len(code)
        self.uc.reg_write(arm_const.UC_ARM_REG_SP, DTCM + 0x10000)

    def run(self, start: int | None = None) -> None:
        """Run from `start`, or the beginning of the code, to its end."""
        self.uc.emu_start((self.start if start is None else start) | 1, self.end)

    def register(self, name: str) -> int:
        """Value of a register such as "r0"."""
        return self.uc.reg_read(getattr(arm_const, f"UC_ARM_REG_{name.upper()}"))

    def set_register(self, name: str, value: int) -> None:
        """Set a register."""
        self.uc.reg_write(getattr(arm_const, f"UC_ARM_REG_{name.upper()}"), value)

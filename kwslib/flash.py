"""Write a firmware into the flash of a real STM32F746G-Discovery, with the programmer that is installed."""

import argparse
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from kwslib import toolchain
from kwslib.firmware import FLASH_BASE, FLASH_BYTES, Firmware

# What writes IMAGE to the start of the flash, checks it where it can, and resets the board; the first found is taken.
PROGRAMMERS = {
    "openocd": ("-f", "board/stm32f746g-disco.cfg", "-c", f"program {{IMAGE}} verify reset exit {FLASH_BASE:#010x}"),
    "st-flash": ("--reset", "write", "IMAGE", f"{FLASH_BASE:#010x}"),
    "STM32_Programmer_CLI": ("-c", "port=SWD", "-w", "IMAGE", f"{FLASH_BASE:#010x}", "-v", "-rst"),
}
TIMEOUT_S = 120
_MOST_LINES = 3
_RAM = range(0x20000000, 0x20050001)  # where a stack may end: RM0385 section 2.2.2


class FlashError(ValueError):
    """A firmware does not get onto the board; the message names the file or the programmer, and the remedy."""


def flash(path: str | Path) -> str:
    """Write an .elf, or a .bin image of the flash, to the board and reset it; returns the programmer's name.

    Raises FlashError for a file that is missing or no firmware of this chip, without a programmer, and with the
    programmer's own words where it fails; BoardError for a damaged ELF file.
    """
    content = image(path)
    name = next((name for name in PROGRAMMERS if shutil.which(name)), None)
    if name is None:
        raise FlashError(
            "no programmer found (openocd, st-flash or STM32_Programmer_CLI); "
            "remedy: sudo apt-get install openocd, or stlink-tools"
        )
    with tempfile.TemporaryDirectory(prefix="kws-flash-") as folder:
        binary = Path(folder) / "firmware.bin"
        binary.write_bytes(content)
        command = [name, *(word.replace("IMAGE", str(binary)) for word in PROGRAMMERS[name])]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise FlashError(f"{name} did not end within {TIMEOUT_S} s; connect the board anew and try again") from None
        except OSError as error:
            raise FlashError(f"{name} does not start ({error.strerror}); install it again") from None
    if done.returncode:
        raise FlashError(
            f"{name} failed: {_said(done.stdout.decode(errors='replace'))}; is the board connected at its ST-LINK's "
            "USB port, and may you use it? See firmware_tflm/README.md, Flash"
        )
    return name


def image(path: str | Path) -> bytes:
    """Bytes of the flash from its start on; gaps are 0xFF. Raises FlashError, BoardError."""
    path = Path(path)
    if not path.is_file():
        raise FlashError(f"{path}: no such file; build it first: make firmware")
    segments = Firmware.load(path).segments
    ends = [address + len(data) - FLASH_BASE for address, data in segments]
    if min(address for address, _ in segments) < FLASH_BASE or max(ends) > FLASH_BYTES:
        raise FlashError(f"{path}: not all of it lies in the board's flash; was it built for another chip?")
    content = bytearray(b"\xff" * max(ends))
    for (address, data), end in zip(segments, ends, strict=True):
        content[address - FLASH_BASE : end] = data
    stack, start = struct.unpack_from("<II", content)
    if stack not in _RAM or not start & 1 or not 0 <= start - FLASH_BASE < FLASH_BYTES:
        raise FlashError(f"{path}: does not begin with a vector table of the STM32F746; give a firmware's .elf or .bin")
    return bytes(content)


def _said(text):
    """The last lines of a programmer that tell what is wrong, without colours."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    wrong = [line for line in lines if re.search(r"(?i)error|fail|could ?n.t|cannot|unable|not found", line)]
    return "; ".join((wrong or lines)[-_MOST_LINES:]) or "it said nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m kwslib flash`."""
    parser.add_argument(
        "firmware", type=Path, nargs="?", metavar="FIRMWARE.elf", help="firmware, or a .bin (what make firmware builds)"
    )


def main(arguments: argparse.Namespace) -> None:
    """Flash, and say what."""
    path = arguments.firmware or toolchain.build("stm32f746g-disco") / "kws.elf"
    print(f"{path}: {len(image(path)):,} bytes", flush=True)
    print(f"written and reset by {flash(path)}")

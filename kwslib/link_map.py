"""What fills flash and RAM, read from a linker map: which object, which section, and what it is for."""

import re
from pathlib import Path

import pandas as pd

from kwslib.toolchain import REGIONS, ToolchainError

GROUPS = ("weights", "kernels", "interpreter", "front end", "libc", "board and start-up", "application", "arena")
GROUPS += ("stack",)
_SECTION = re.compile(r"(\.\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?: load address 0x[0-9a-f]+)?")
_PART = re.compile(r" (\*fill\*|\S+)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?: (.*))?")
_EMPTY_AT_START = (".bss", ".stack", ".sram1", ".dma")  # no bytes in flash
_NOT_ON_THE_BOARD = (".debug", ".comment", ".ARM.attributes")
# Members of TFLM's library that are no kernels: its interpreter, allocators, planners, and what reads the model.
_INTERPRETER = re.compile(
    r"micro_(?!tensor_utils)|memory_|greedy_|linear_|\w*allocat|\w*planner|flatbuffer_|common$|c_api|op_resolver|"
    r"error_reporter|schema|debug_|system_|tensor_api|tflm_network|compression"
)
_LIBC = re.compile(r"/lib([cgm]|(c|g|stdc\+\+|supc\+\+)_nano|gcc|nosys|stdc\+\+|supc\+\+)\.a\(|/crt\w*\.o$")


def read(path: str | Path) -> pd.DataFrame:
    """Contributions to a program: a row for each input section.

    Columns: section (of the program), region (where it lies at run time, as in `toolchain.REGIONS`), load (True where
    its bytes lie in flash), input (the input section, or *fill*), object (file, with its archive; "" for padding and
    for tables of the linker), bytes. The bytes of a section add up to those of `toolchain.size_report`. Raises
    ToolchainError for a file that is no map of the GNU linker.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ToolchainError(f"{path}: not readable ({error.strerror}); build the firmware first") from None
    _, found, body = text.partition("Linker script and memory map")
    if not found:
        raise ToolchainError(f"{path}: not a map of the GNU linker")
    rows, section = [], None
    for line in _joined(body.splitlines()):
        if match := _SECTION.fullmatch(line):
            section, start, size = match[1], int(match[2], 16), int(match[3], 16)
            region = next((name for name, (low, high) in REGIONS.items() if low <= start < high), "")
            if not region or not size or section.startswith(_NOT_ON_THE_BOARD):
                section = None
                continue
            place = {"section": section, "region": region, "load": section not in _EMPTY_AT_START}
            rows.append(place | {"input": "*linker*", "object": "", "bytes": size})
            rest = rows[-1]
        elif section and (match := _PART.fullmatch(line)):
            address, n_bytes = int(match[2], 16), int(match[3], 16)
            name = "*stack*" if section == ".stack" else match[1]
            if n_bytes and start <= address < start + size:
                rows.append(place | {"input": name, "object": match[4] or "", "bytes": n_bytes})
                rest["bytes"] -= n_bytes
    table = pd.DataFrame(rows, columns=["section", "region", "load", "input", "object", "bytes"])
    return table[table.bytes != 0].reset_index(drop=True)


def split(path: str | Path) -> pd.DataFrame:
    """Bytes in flash and in RAM by what they are for: index GROUPS, columns flash and ram.

    Initial values of variables count in both. Padding and the linker's own tables go to "board and start-up". Raises
    ToolchainError.
    """
    table = read(path)
    group = [_group(row.object, row.input) for row in table.itertuples()]
    flash = table.bytes.where(table.load, 0).groupby(group).sum()
    ram = table.bytes.where(table.region != "flash", 0).groupby(group).sum()
    return pd.DataFrame({"flash": flash, "ram": ram}).reindex(GROUPS, fill_value=0).rename_axis("group")


def _joined(lines):
    """Lines of a map; one with a long name, which goes on in the next line, joined with that."""
    held = ""
    for line in lines:
        alone = re.fullmatch(r" ?[.*\w]\S+", line)
        yield held + line if held and re.match(r"\s+0x", line) else line
        held = line if alone else ""


def _group(file: str, section: str) -> str:
    member = re.sub(r"(\.(cc|cpp|c|S))?\.o(bj)?\)?$", "", re.split(r"[/(]", file)[-1])
    if "tensor_arena" in section:
        return "arena"
    if not file:
        return "stack" if section == "*stack*" else "board and start-up"
    if _LIBC.search(file):
        return "libc"
    if member == "model" or (member == "our_steps" and ".rodata" in section):
        return "weights"
    if "libtensorflow-microlite.a" in file or member == "tflm_network":
        return "interpreter" if _INTERPRETER.match(member) else "kernels"
    if "libkernels.a" in file or member in ("our_kernels", "our_steps"):
        return "kernels"
    if member.startswith("frontend"):
        return "front end"
    return "board and start-up" if "board.dir" in file else "application"

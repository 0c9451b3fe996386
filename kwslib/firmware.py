"""A firmware file for the emulated board: what goes into flash, and names and source lines of its code."""

import bisect
import functools
from dataclasses import dataclass, field
from pathlib import Path

FLASH_BASE, FLASH_BYTES = 0x08000000, 0x100000
FLASH_ITCM_BASE = 0x00200000  # the same flash on the ITCM bus
_EXECUTABLE, _LOADED, _FUNCTION = 4, "PT_LOAD", "STT_FUNC"


class BoardError(ValueError):
    """The emulated board cannot go on; the message names the register, address or file, the code and the remedy."""


@dataclass(frozen=True)
class Firmware:
    """Content of a firmware file.

    `segments` are (load address, bytes), as a programmer writes them; `code` the executable parts as (address while
    it runs, bytes), which differ where start-up code copies functions to RAM; `symbols` name -> address (bit 0 clear).
    A raw image has neither symbols nor source lines.
    """

    path: Path
    segments: tuple[tuple[int, bytes], ...]
    code: tuple[tuple[int, bytes], ...]
    symbols: dict[str, int] = field(default_factory=dict, repr=False)
    functions: tuple[tuple[int, int, str], ...] = field(default=(), repr=False)  # (address, bytes, name), sorted

    @classmethod
    def load(cls, path: str | Path) -> "Firmware":
        """Read an ELF file for ARM, or any other file as an image of the flash; raises BoardError."""
        path = Path(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise BoardError(f"{path}: not readable ({error.strerror}); give a firmware's .elf or .bin file") from None
        if content[:4] == b"\x7fELF":
            return _read_elf(path)
        if len(content) < 8:
            raise BoardError(f"{path}: {len(content)} bytes hold no vector table; give a firmware's .elf or .bin file")
        return cls(path, ((FLASH_BASE, content),), ((FLASH_BASE, content),))

    @property
    def vector_table(self) -> int:
        """Address of the vector table: start of flash, or of the lowest segment of an ELF that a debugger loads."""
        addresses = [address for address, _ in self.segments]
        return FLASH_BASE if FLASH_BASE in addresses else min(addresses)

    def symbol(self, name: str) -> int:
        """Address of a function or variable; raises BoardError, which names the nearest spellings."""
        if name in self.symbols:
            return self.symbols[name]
        import difflib

        near = ", ".join(difflib.get_close_matches(name, self.symbols, 3)) or "none like it"
        raise BoardError(f"{self.path}: no symbol {name} (there is: {near}); was it removed by the linker?")

    def function(self, address: int) -> str:
        """Name of the function at an address, or "?"."""
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            return "?"
        start, size, name = self.functions[index]
        return name if address < start + max(size, 4) else "?"

    def line(self, address: int) -> str:
        """Source line at an address, such as "main.c:41" (from DWARF), or "" where none is known."""
        addresses, lines = self._lines
        index = bisect.bisect_right(addresses, address) - 1
        return lines[index] if index >= 0 else ""

    def where(self, address: int) -> str:
        """Address for messages: "main (main.c:41)", "main (0x08000412)" or "0x08000412"."""
        address &= ~1
        if FLASH_ITCM_BASE <= address < FLASH_ITCM_BASE + FLASH_BYTES:
            address += FLASH_BASE - FLASH_ITCM_BASE
        name, line = self.function(address), self.line(address)
        if name == "?":
            return line or f"{address:#010x}"
        return f"{name} ({line or f'{address:#010x}'})"

    @functools.cached_property
    def _starts(self) -> list[int]:
        return [start for start, _, _ in self.functions]

    @functools.cached_property
    def _lines(self) -> tuple[list[int], list[str]]:
        """Addresses, sorted, and the source line from each address on; "" ends a sequence."""
        try:
            rows = _source_lines(self.path)
        except Exception:  # damaged or unknown debug information must not hide the message that asks for a line
            rows = {}
        addresses = sorted(rows)
        return addresses, [rows[address] for address in addresses]


def _read_elf(path: Path) -> Firmware:
    from elftools.common.exceptions import ELFError
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            if elf["e_machine"] != "EM_ARM":
                raise BoardError(f"{path}: built for {elf['e_machine']}; build it for ARM with arm-none-eabi-gcc")
            loaded = [part for part in elf.iter_segments() if part["p_type"] == _LOADED and part["p_filesz"]]
            segments = tuple((part["p_paddr"], part.data()) for part in loaded)
            code = tuple(
                (section["sh_addr"], section.data())
                for section in elf.iter_sections()
                if section["sh_flags"] & _EXECUTABLE and section["sh_type"] == "SHT_PROGBITS"
            )
            symbols, functions = {}, {}
            for table in elf.iter_sections():
                if not isinstance(table, SymbolTableSection):
                    continue
                for symbol in table.iter_symbols():
                    if not symbol.name or symbol.name.startswith("$") or symbol["st_shndx"] == "SHN_UNDEF":
                        continue
                    is_function = symbol["st_info"]["type"] == _FUNCTION
                    address = symbol["st_value"] & ~1 if is_function else symbol["st_value"]
                    symbols[symbol.name] = address
                    if is_function:  # of several names for one address, the one with the largest extent
                        functions[address] = max(functions.get(address, (0, "")), (symbol["st_size"], symbol.name))
    except ELFError as error:
        raise BoardError(f"{path}: damaged ELF file ({error}); build it again") from None
    if not segments:
        raise BoardError(f"{path}: no loadable segment; link it first (this may be an object file)")
    return Firmware(path, segments, code, symbols, tuple((start, *functions[start]) for start in sorted(functions)))


def _source_lines(path: Path) -> dict[int, str]:
    from elftools.elf.elffile import ELFFile

    rows = {}
    with path.open("rb") as file:
        elf = ELFFile(file)
        if not elf.has_dwarf_info():
            return rows
        dwarf = elf.get_dwarf_info()
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            first = 0 if program["version"] >= 5 else 1  # DWARF 5 counts files from 0
            files = [entry.name.decode(errors="replace") for entry in program["file_entry"]]
            for entry in program.get_entries():
                state = entry.state
                if state is None:
                    continue
                if state.end_sequence:
                    rows.setdefault(state.address, "")
                elif state.address:  # sequences at 0 belong to functions that the linker removed
                    rows[state.address] = f"{Path(files[state.file - first]).name}:{state.line}"
    return rows

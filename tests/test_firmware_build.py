"""The firmware that would be flashed: what its ELF holds, and how it behaves on the emulated board."""

import shutil
import struct

import pytest
from elftools.elf.elffile import ELFFile

from kwslib import cache, toolchain

DTCM, SRAM1, SRAM2 = 0x20000000, 0x20010000, 0x2004C000
N_VECTORS = 16 + 98
FAULT_VECTORS = {2, 3, 4, 5, 6, 11, 12, 14, *range(16, N_VECTORS)}  # all that have no handler of their own


@pytest.fixture(scope="module")
def built():
    """Preset to its folder, built from nothing, so that build.log has it all; other tests find it ready."""
    shutil.rmtree(cache.data_folder() / "build", ignore_errors=True)
    return {name: toolchain.build(name) for name in toolchain.presets()}


@pytest.fixture(scope="module")
def folder(built):
    """Build folder of the application."""
    return built["stm32f746g-disco"]


@pytest.fixture(scope="module")
def symbols(folder):
    """Symbol to address of kws.elf."""
    with (folder / "kws.elf").open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {symbol.name: symbol["st_value"] for symbol in table.iter_symbols()}


def test_all_presets_build_without_warnings(built):
    for preset, folder in built.items():
        text = (folder / "build.log").read_text()
        assert "Building C object" in text and "warning:" not in text.lower(), preset


def test_units_of_the_firmware_on_this_computer(built):
    folder = toolchain.build("host", targets=["test"])
    assert "100% tests passed, 0 tests failed out of 3" in (folder / "build.log").read_text()


def test_there_is_a_bench_for_each_setting(built):
    assert {path.stem for path in built["bench"].glob("*.elf")} == {"bench_frontend_paper", "bench_frontend_mfcc"}


def test_vector_table(folder, symbols):
    image = (folder / "kws.bin").read_bytes()
    stack, *vectors = struct.unpack(f"<{N_VECTORS}I", image[: 4 * N_VECTORS])
    assert symbols["vector_table"] == 0x08000000 and stack == symbols["__stack_end"]
    assert vectors[0] == symbols["reset_handler"] and vectors[14] == symbols["systick_handler"]
    assert {number for number, vector in enumerate(vectors, 1) if vector == symbols["fault_entry"]} == FAULT_VECTORS
    assert all(vector & 1 for vector in vectors if vector)  # Thumb


def test_placement(folder, symbols):
    assert symbols["__stack_start"] == DTCM and symbols["__stack_end"] == DTCM + 8192
    assert DTCM + 8192 <= symbols["frontend"] < SRAM1  # the ring and the spectrum: no wait states
    assert symbols["__dma_memory_start"] == SRAM2
    regions = toolchain.size_report(folder / "kws.elf").groupby("region").bytes.sum()
    assert set(regions.index) == {"flash", "DTCM"} and regions["flash"] < 40_000 and regions["DTCM"] < 60_000
    assert (folder / "kws.map").is_file()


def test_revision_of_the_checkout_is_in_the_image(folder):
    assert (folder / "app" / "revision.h").read_text().count("#define REVISION") == 1
    text = (folder / "kws.bin").read_bytes()
    assert b"keyword spotting on the STM32F746G-Discovery, revision " in text

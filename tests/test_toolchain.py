"""Building the firmware: tools that are missing, sources that do not compile, options, sizes."""

import pytest
from firmware_tree import FirmwareTree

from kwslib import toolchain
from kwslib.toolchain import ToolchainError

APPLICATION = """
#include "board.h"
#include "print.h"
int main(void) { print_text(board_init() ? "slow" : "fast"); return 0; }
"""


@pytest.fixture
def firmware(tmp_path, monkeypatch):
    """Builds a main.c with the board support: see FirmwareTree."""
    return FirmwareTree(tmp_path, monkeypatch).build


def programs(folder, **scripts):
    """A folder of shell scripts that stand for programs, as PATH."""
    for name, script in scripts.items():
        path = folder / name.replace("_", "-")
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return str(folder)


def test_presets_are_those_of_the_file():
    assert toolchain.presets() == ["stm32f746g-disco", "bench", "host"]
    with pytest.raises(ToolchainError, match=r"no preset 'f746'; there are: stm32f746g-disco, bench, host"):
        toolchain.build("f746")


def test_missing_programs_are_named_with_their_packages(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", programs(tmp_path, cmake="echo cmake version 3.25.1", ninja="exit 1"))
    with pytest.raises(ToolchainError, match=r"arm-none-eabi-gcc not found .* gcc-arm-none-eabi libnewlib"):
        toolchain.build("bench")
    with pytest.raises(ToolchainError, match=r"cc not found .* install gcc$"):
        toolchain.build("host")


def test_an_old_cmake_is_refused(tmp_path, monkeypatch):
    scripts = {"cmake": "echo cmake version 3.18.4", "ninja": "exit 1", "arm_none_eabi_gcc": "exit 1"}
    monkeypatch.setenv("PATH", programs(tmp_path, **scripts))
    with pytest.raises(ToolchainError, match=r"cmake is 3\.18, needed is 3\.25; remedy: pip install cmake"):
        toolchain.build("bench")


def test_a_compiler_without_newlib_is_refused(firmware, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    path = programs(tmp_path / "bin", arm_none_eabi_gcc="echo nano.specs")
    monkeypatch.setenv("PATH", path, prepend=":")
    with pytest.raises(ToolchainError, match=r"no newlib \(nano.specs\); remedy: .*libnewlib-arm-none-eabi"):
        firmware(APPLICATION)


def test_an_error_in_a_source_is_shown_with_its_line(firmware, tmp_path):
    with pytest.raises(ToolchainError, match=r"does not build: .*main\.c:3:.*error: .*'missing'.*build\.log"):
        firmware('#include "board.h"\nint main(void) {\n    return missing;\n}\n')
    assert not list((tmp_path / "build").glob("*.elf"))


def test_an_undefined_function_is_named(firmware):
    with pytest.raises(ToolchainError, match="undefined reference to `nowhere'"):
        firmware("void nowhere(void);\nint main(void) { nowhere(); return 0; }\n")


def test_a_heap_is_refused(firmware, tmp_path):
    with pytest.raises(ToolchainError, match="no heap, and something calls malloc"):
        firmware("#include <stdlib.h>\nint main(void) { return *(volatile char *)malloc(8); }\n")
    assert not list((tmp_path / "build").glob("*.elf"))


def test_double_precision_is_refused_with_the_function(firmware, tmp_path):
    program = """
        void exact(void);
        __attribute__((noinline)) void exact(void) { __asm volatile(".fpu fpv5-d16\\n vadd.f64 d0, d0, d1"); }
        int main(void) { exact(); return 0; }
    """
    with pytest.raises(ToolchainError, match=r"double-precision instruction in <exact>:.* vadd\.f64 d0, d0, d1"):
        firmware(program)
    assert not list((tmp_path / "build").glob("kws.*[fn]"))
    # Single precision, and double registers that are only loaded and stored, are what the chip has.
    assert (firmware(program.replace("vadd.f64 d0, d0, d1", "vadd.f32 s0, s0, s1")) / "kws.bin").is_file()


def test_a_stack_that_does_not_fit_is_refused(firmware):
    with pytest.raises(ToolchainError, match="region `DTCM' overflowed"):
        firmware("char large[64000];\nint main(void) { return large[5]; }\n")


def test_only_what_changed_is_compiled_again(firmware):
    folder = firmware(APPLICATION)
    log = folder / "build.log"
    assert log.read_text().count("Building C object") == 9
    elf = (folder / "kws.elf").stat().st_mtime_ns
    firmware(APPLICATION.replace("slow", "late"))
    assert log.read_text().count("Building C object") == 1
    assert (folder / "kws.elf").stat().st_mtime_ns > elf and b"late" in (folder / "kws.bin").read_bytes()


def test_options_do_not_outlive_their_build(firmware):
    def cache(**options):
        return (firmware(APPLICATION, options=options, targets=["board"]) / "CMakeCache.txt").read_text()

    assert "FRONTEND:STRING=mfcc\n" in cache(FRONTEND="mfcc")
    assert "FRONTEND:STRING=paper\n" in cache()


def test_flags_of_other_compilers_are_not_taken_over(firmware, monkeypatch):
    monkeypatch.setenv("CFLAGS", "-march=nocona -mtune=haswell")
    assert (firmware(APPLICATION) / "kws.elf").is_file()


def test_sizes_by_section_and_region(firmware):
    program = """
        #include "board.h"
        IN_SRAM1 char large[1000];
        IN_DMA_MEMORY char dma[64];
        volatile int start = 5;
        IN_ITCM int hot(int x);
        IN_ITCM int hot(int x) { return x * start; }
        int main(void) { return hot(large[9] + dma[9]); }
    """
    folder = firmware(program)
    sizes = toolchain.size_report(folder / "kws.elf").set_index("section")
    regions = sizes.region.to_dict()
    assert {name: regions[name] for name in (".vectors", ".text", ".data", ".stack", ".sram1", ".dma", ".itcm")} == {
        ".vectors": "flash",
        ".text": "flash",
        ".data": "DTCM",
        ".stack": "DTCM",
        ".sram1": "SRAM1",
        ".dma": "SRAM2",
        ".itcm": "ITCM",
    }
    assert sizes.bytes[".sram1"] == 1000 and sizes.bytes[".dma"] == 64 and sizes.bytes[".stack"] == 8192
    # What is loaded is what is flashed, up to the gaps of alignment.
    assert 0 <= (folder / "kws.bin").stat().st_size - sizes.load_bytes.sum() < 32


def test_sizes_of_something_else_are_refused(tmp_path):
    with pytest.raises(ToolchainError, match=r"not readable .* build it first"):
        toolchain.size_report(tmp_path / "kws.elf")
    (tmp_path / "text.elf").write_text("no program")
    with pytest.raises(ToolchainError, match="not an ELF file"):
        toolchain.size_report(tmp_path / "text.elf")


def test_missing_programs_are_told_before_anything_is_built(monkeypatch):
    toolchain.require("bench")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolchainError, match=r"not found on the PATH; remedy: sudo apt-get install"):
        toolchain.require("bench")

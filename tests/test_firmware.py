"""Firmware files: what is read from an ELF, and messages about files that cannot be used."""

import sys
from pathlib import Path

import pytest
from board_firmware import build

from kwslib.firmware import BoardError, Firmware

SOURCE = """
int counter = 7;
__attribute__((noinline))
void twice(void) { counter *= 2; }
int main(void) {
  twice();
  for (;;) {}
}
"""


def test_segments_symbols_and_lines_of_an_elf():
    firmware = Firmware.load(build(SOURCE))
    assert firmware.vector_table == 0x08000000
    assert firmware.symbol("counter") == 0x20000000
    address = firmware.symbol("twice")
    assert address % 2 == 0 and firmware.function(address) == firmware.function(address + 2) == "twice"
    assert firmware.line(address) == "test.c:4" and firmware.where(address + 1) == "twice (test.c:4)"
    loads = {address for address, _ in firmware.segments}
    assert 0x08000000 in loads and 0x20000000 not in loads  # initial values lie in flash
    assert all(0x08000000 <= address < 0x08001000 for address, _ in firmware.code)


def test_flash_on_the_itcm_bus_has_the_same_names():
    firmware = Firmware.load(build(SOURCE))
    assert firmware.where(firmware.symbol("twice") - 0x07E00000) == "twice (test.c:4)"


def test_addresses_without_a_name():
    firmware = Firmware.load(build(SOURCE))
    assert firmware.where(0x20004000) == "0x20004000"
    assert firmware.function(0x08000000) == "?" and firmware.line(0x1000) == ""


def test_an_image_is_flash(tmp_path):
    image = tmp_path / "image.bin"
    image.write_bytes(bytes(range(64)))
    firmware = Firmware.load(image)
    assert firmware.segments == ((0x08000000, bytes(range(64))),)
    assert firmware.where(0x08000010) == "0x08000010"


def test_a_symbol_that_is_missing_is_told_with_its_neighbours():
    with pytest.raises(BoardError, match=r"no symbol twise \(there is: twice"):
        Firmware.load(build(SOURCE)).symbol("twise")


def _cut(path):
    content = build(SOURCE).read_bytes()
    path.write_bytes(content[:600])


@pytest.mark.parametrize(
    "name, write, message",
    [
        ("missing.elf", lambda path: None, "missing.elf: not readable"),
        ("short.bin", lambda path: path.write_bytes(b"1234"), "4 bytes hold no vector table"),
        ("cut.elf", _cut, "cut.elf: damaged ELF file"),
        ("host.elf", lambda path: path.write_bytes(Path(sys.executable).resolve().read_bytes()), "host.elf: built for"),
    ],
)
def test_unusable_files(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(BoardError, match=message):
        Firmware.load(tmp_path / name)

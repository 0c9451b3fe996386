"""Flashing: which programmer is called with what, and what is told when it cannot be. The programmers are stand-ins."""

import os
import shutil
from pathlib import Path

import pytest
from board_firmware import build

from kwslib import flash
from kwslib.__main__ import main
from kwslib.flash import FlashError

# Keeps its arguments and the image that they name; says what it is told to and ends with that status.
STAND_IN = """#!/bin/sh
printf '%s\\n' "$0" "$@" > "{folder}/arguments"
for word in $*; do word=${{word#\\{{}}; word=${{word%\\}}}}; test -f "$word" && cp "$word" "{folder}/image"; done
printf '%b' '{said}'
exit {status}
"""


@pytest.fixture(scope="module")
def elf():
    return build("int main(void) { for (;;) {} }")


@pytest.fixture
def programmers(tmp_path, monkeypatch):
    """Install stand-ins on an otherwise empty PATH: `programmers("openocd", said=..., status=...)`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "cp"):
        (folder / tool).symlink_to(shutil.which(tool))
    monkeypatch.setenv("PATH", str(folder))

    def install(*names, said="", status=0):
        for name in names:
            path = folder / name
            path.write_text(STAND_IN.format(folder=tmp_path, said=said, status=status))
            path.chmod(0o755)

    return install


def called(folder):
    """Name of the programmer that ran, and its arguments."""
    name, *words = (folder / "arguments").read_text().splitlines()
    return Path(name).name, words


@pytest.mark.parametrize("name", flash.PROGRAMMERS)
def test_each_programmer_gets_the_image(programmers, elf, tmp_path, name):
    programmers(name)
    assert flash.flash(elf) == name
    found, words = called(tmp_path)
    assert found == name and "IMAGE" not in " ".join(words) and "0x08000000" in " ".join(words)
    assert (tmp_path / "image").read_bytes() == flash.image(elf)
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("kws-flash-*/firmware.bin"))


def test_openocd_is_preferred(programmers, elf, tmp_path):
    programmers("st-flash", "STM32_Programmer_CLI")
    assert flash.flash(elf) == "st-flash"
    programmers("openocd")
    assert flash.flash(elf) == "openocd"
    words = called(tmp_path)[1]
    assert words[:3] == ["-f", "board/stm32f746g-disco.cfg", "-c"] and words[3].endswith("verify reset exit 0x08000000")


def test_image_is_what_the_elf_loads(elf, tmp_path):
    from kwslib.firmware import FLASH_BASE, Firmware

    content = flash.image(elf)
    for address, data in Firmware.load(elf).segments:
        assert content[address - FLASH_BASE :][: len(data)] == data
    binary = tmp_path / "image.bin"
    binary.write_bytes(content)
    assert flash.image(binary) == content


def test_words_of_a_failing_programmer_come_through(programmers, elf, capsys):
    programmers(
        "openocd", said="Info : clock\\n\\033[31mError: open failed\\033[0m\\nshutdown command invoked\\n", status=1
    )
    assert main(["flash", str(elf)]) == 2
    said = capsys.readouterr().err
    assert (
        said.startswith("error: openocd failed: Error: open failed; is the board connected") and said.count("\n") == 1
    )
    programmers("openocd", said="what a day\\n", status=1)
    with pytest.raises(FlashError, match="openocd failed: what a day; "):
        flash.flash(elf)


def test_command_says_what_was_written(programmers, elf, capsys):
    programmers("st-flash")
    assert main(["flash", str(elf)]) == 0
    said = capsys.readouterr().out
    assert f"{elf}: {len(flash.image(elf)):,} bytes" in said and "reset by st-flash" in said


def test_without_a_programmer(programmers, elf):
    with pytest.raises(FlashError, match="sudo apt-get install openocd, or stlink-tools"):
        flash.flash(elf)


def test_a_programmer_that_hangs(programmers, elf, monkeypatch, tmp_path):
    programmers("openocd")
    (tmp_path / "bin" / "sleep").symlink_to("/bin/sleep")
    (tmp_path / "bin" / "openocd").write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(flash, "TIMEOUT_S", 0.2)
    with pytest.raises(FlashError, match=r"openocd did not end within 0\.2 s"):
        flash.flash(elf)


def test_only_firmware_of_this_chip_is_written(programmers, elf, tmp_path):
    programmers("openocd")
    text, short = tmp_path / "notes.bin", tmp_path / "short.bin"
    text.write_text("no firmware at all")
    short.write_bytes(flash.image(elf)[:4] + bytes(4))
    for path in (text, short):
        with pytest.raises(FlashError, match="does not begin with a vector table"):
            flash.flash(path)
    large = tmp_path / "large.bin"
    large.write_bytes(flash.image(elf) + bytes(1 << 20))
    with pytest.raises(FlashError, match="another chip"):
        flash.flash(large)
    with pytest.raises(FlashError, match=r"none\.elf: no such file; build it first: make firmware"):
        flash.flash(tmp_path / "none.elf")
    assert not (tmp_path / "arguments").exists()

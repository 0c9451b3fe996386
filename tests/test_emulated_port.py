"""The serial port of the emulated board: a firmware that resets itself, and one that cannot start."""

import time

import pytest
from board_firmware import build

from kwslib.emulated_port import emulated_port
from kwslib.firmware import BoardError
from kwslib.serial_port import SerialPort

WAIT_S = 60  # for an emulated board on a busy computer
RESET = """
int main(void) {
  serial_start(139);
  if (REG(0x40023874) >> 28 & 1) { serial_text("software\\n"); for (;;) {} } /* SFTRSTF of RCC_CSR */
  while (!(REG(0x4001101C) & 1u << 5)) {}
  serial_text("power-on\\n");
  while (!(REG(0x4001101C) & 1u << 6)) {}
  REG(0xE000ED0C) = 0x05FA0004;
  for (;;) {}
}
"""


def test_a_board_that_resets_itself_knows_why():
    with emulated_port(build(RESET)) as path, SerialPort(path, WAIT_S) as port:
        port.write(b"r")
        assert [port.line(), port.line()] == ["power-on", "software"]


def test_a_firmware_that_cannot_start_is_told_at_once(tmp_path):
    image, started = tmp_path / "image.bin", time.monotonic()
    image.write_bytes(b"\xff" * 64)
    with (
        pytest.raises(BoardError, match="no vector table at 0x08000000"),
        emulated_port(image) as path,
        SerialPort(path, WAIT_S) as port,
    ):
        port.line()
    assert time.monotonic() - started < WAIT_S / 2

"""A reset of the emulated board by its firmware: RAM stays, the cause is told, and everything else begins anew."""

import pytest
from board_firmware import machine

from kwslib.firmware import BoardError
from kwslib.restart import restart

FIRMWARE = """
int main(void) {
  volatile uint32_t *kept = (uint32_t *)0x20030000;
  const uint32_t flags = REG(0x40023874) >> 25; /* RCC_CSR: brown-out, pin, power-on, software, watchdog */
  if (*kept == 42) leave(flags);
  *kept = 42;
  REG(0x40023874) |= 1u << 24; /* RMVF */
  REG(0xE000ED0C) = 0x05FA0004;
  for (;;) {}
}
"""


@pytest.mark.parametrize("recorder", [True, False])
def test_ram_and_the_cause_survive_a_reset(recorder):
    board = machine(FIRMWARE, recorder)
    assert board.run(seconds=1) == "reset" and "SCB_AIRCR" in board.detail
    again = restart(board)
    assert again.time_s == 0 and type(again.recorder) is type(board.recorder)
    assert again.run(seconds=1) == "exit" and again.exit_code == 0b01010


def test_only_a_reset_starts_again():
    board = machine("int main(void) { leave(0); }")
    assert board.run() == "exit"
    with pytest.raises(BoardError, match="ended in 'exit', not in a reset"):
        restart(board)

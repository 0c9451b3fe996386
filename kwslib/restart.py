"""The emulated board after a reset by its firmware or watchdog: what the chip keeps, and what begins anew."""

from kwslib.core import RAM
from kwslib.firmware import FLASH_BASE, FLASH_BYTES, BoardError
from kwslib.machine import Machine
from kwslib.scheduler import AccessClock

_RESET_FLAGS = 0xFE000000  # of RCC_CSR


def restart(machine: Machine) -> Machine:
    """A board that begins again, after a run that ended in "reset"; time and counts begin at 0.

    Flash and RAM keep their content, and RCC_CSR says what caused the reset (RM0385 sections 5.1.1 and 5.3.21). Its
    microphones hear the same sound from the beginning. Raises BoardError after another end.
    """
    if machine.reason != "reset":
        raise BoardError(f"restart: the run ended in {machine.reason!r}, not in a reset")
    recorder = not isinstance(machine.recorder, AccessClock)
    again = type(machine)(machine.firmware, recorder, machine.bus.unmodelled)
    for base, size in (*RAM, (FLASH_BASE, FLASH_BYTES)):
        again.write(base, machine.read(base, size))
    again.peripheral("RCC").values["CSR"] = machine.peripheral("RCC").values["CSR"] & _RESET_FLAGS
    again.on_uart, again.audio = machine.on_uart, machine.audio
    return again

"""The serial port of the emulated board as a pseudo-terminal: what reads a real board reads this one."""

import contextlib
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

from kwslib.firmware import BoardError, Firmware
from kwslib.machine import Machine
from kwslib.restart import restart

_SLICE_S = 0.02  # of the board's time between two looks at what was sent to it


@contextlib.contextmanager
def emulated_port(elf: str | Path) -> Iterator[str]:
    """Run a firmware on the emulated board and yield the path of its serial port.

    A board that resets itself starts again and knows the cause. Bytes that nobody takes are lost, as on the line.
    Raises BoardError where the board could not go on.
    """
    import tty

    firmware = Firmware.load(elf)
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    ended, failed = threading.Event(), []
    thread = threading.Thread(target=_serve, args=(firmware, master, slave, ended, failed), daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        ended.set()
        thread.join()
        os.close(slave)
        if failed:
            raise failed[0]


def _serve(firmware, master, slave, ended, failed):
    """Run until `ended`, resets included; hang up then."""
    try:
        machine = Machine(firmware)
        machine.on_uart = lambda byte: _send(master, byte)
        while not ended.is_set():
            if select.select([master], [], [], 0)[0]:
                machine.uart_input(os.read(master, 256))
            reason = machine.run(seconds=_SLICE_S)
            if reason == "reset":
                machine = restart(machine)
            elif reason not in ("seconds", "idle"):
                raise BoardError(f"{firmware.path}: {reason}: {machine.detail}")
    except BoardError as error:
        failed.append(error)
    finally:
        os.close(master)


def _send(master, byte):
    with contextlib.suppress(BlockingIOError):
        os.write(master, bytes([byte]))

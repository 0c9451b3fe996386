"""Run a firmware on the emulated board: its output, its profile, and what a user should know about the run."""

import argparse
import codecs
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import profile as profiles
from kwslib.firmware import BoardError, Firmware
from kwslib.machine import Machine
from kwslib.usart import SERIAL_BAUD

_REASONS = {
    "exit": "the firmware exited",
    "idle": "nothing is left to do",
    "fault": "the firmware crashed",
    "reset": "reset",
    "seconds": "the time given was over",
    "instructions": "the number of instructions given was reached",
    "audio": "the audio was over",
    "interrupted": "interrupted by the user",
}


@dataclass(frozen=True)
class Result:
    """What a run gave.

    `reason` is one of exit, idle, fault, reset, seconds, instructions, audio, interrupted; `detail` says more. `uart`
    is what USART1 sent, `console` what went out through semihosting. `instructions` is exact; `cycles` and `seconds`
    are estimates. `clocks` are frequencies in Hz by name, `baud` that of the serial port. `profile` is the table of
    `kwslib.profile`, None if it was not asked for; `notes` are sentences for the user, `faults` those of the firmware,
    with function and line, `unmodelled` uses of registers without a model, by name.
    """

    reason: str
    detail: str
    uart: str
    console: str
    exit_code: int | None
    instructions: int
    cycles: int
    seconds: float
    clocks: dict[str, float]
    baud: float
    profile: pd.DataFrame | None
    notes: tuple[str, ...]
    faults: tuple[str, ...]
    unmodelled: dict[str, int]

    def report(self, rows: int = 20) -> str:
        """Text that ends in the profile's first `rows` functions."""
        end = f"End: {_REASONS.get(self.reason, self.reason)}{f' ({self.detail})' if self.detail else ''}"
        if self.exit_code is not None:
            end += f", exit code {self.exit_code}"
        lines = [end]
        if self.profile is not None:
            clock = self.clocks["hclk"] / 1e6
            time = f"an estimated {self.cycles:,} cycles: {self.seconds * 1e3:,.2f} ms"
            lines.append(f"{self.instructions:,} instructions, {time}; core clock {clock:g} MHz at the end")
        lines += [f"Fault: {fault}" for fault in self.faults if fault not in self.detail]
        lines += [f"Note: {note}" for note in self.notes]
        lines += [f"Not modelled: {name} ({count} times)" for name, count in self.unmodelled.items()]
        if self.profile is not None:
            columns = ["instructions", "cycles", "low", "high", "mispredicts", "icache_misses", "dcache_misses"]
            table = self.profile[columns].head(rows)
            lines += ["", table.to_string(float_format=lambda value: f"{value:.0f}")]
            if len(self.profile) > rows:
                lines.append(f"... and {len(self.profile) - rows} more functions")
        return "\n".join(lines)


def run(
    path: str | Path,
    *,
    seconds: float | None = None,
    max_instructions: int | None = None,
    uart_input: bytes = b"",
    audio: tuple[np.ndarray, int] | None = None,
    on_uart: Callable[[int], None] | None = None,
    profile: bool = True,
    unmodelled: str = "error",
) -> Result:
    """Run a firmware from reset until it ends, a limit is reached or the user interrupts.

    `path`: .elf, or .bin for an image of the flash. `seconds` (estimated) and `max_instructions` limit the run.
    `uart_input` arrives at USART1 once its receiver is on. `audio`: int16 samples [n] or [n, channels] and their
    rate in Hz, which SAI2 hears; the run ends 0.1 s after them. `on_uart` is called for each byte that the firmware
    sends. `profile` False runs faster and counts nothing. `unmodelled` "remember" lets the firmware use registers
    that are not modelled.

    Raises BoardError where the board cannot go on.
    """
    firmware = Firmware.load(path)
    machine = Machine(firmware, recorder=profile, unmodelled=unmodelled)
    machine.on_uart, machine.audio = on_uart, audio
    machine.uart_input(uart_input)
    try:
        machine.run(seconds=seconds, max_instructions=max_instructions)
    except KeyboardInterrupt:
        machine.end("interrupted")
    baud, notes = machine.peripheral("USART1").baud, list(machine.notes)
    if baud and abs(baud / SERIAL_BAUD - 1) > 0.02:  # an asynchronous receiver stands some 2 % each side
        notes.append(f"USART1 ran at {baud:.0f} baud; a terminal is usually set to {SERIAL_BAUD}")
    if profile:
        notes += profiles.notes(machine.recorder)
    else:
        notes.append("without a profile, time passes only at register accesses: times are no estimates")
    return Result(
        machine.reason,
        machine.detail,
        machine.uart.decode(errors="replace"),
        machine.console.decode(errors="replace"),
        machine.exit_code,
        machine.instructions,
        machine.cycles,
        machine.time_s,
        machine.clocks(),
        baud,
        profiles.table(machine.recorder, firmware) if profile else None,
        tuple(notes),
        tuple(machine.faults),
        dict(machine.bus.remembered),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m kwslib board`."""
    parser.add_argument("firmware", type=Path, metavar="FIRMWARE.elf", help="firmware, or a .bin image of the flash")
    parser.add_argument("--seconds", type=float, help="end after so many seconds of the board's time")
    parser.add_argument("--max-instructions", type=int, help="end after so many instructions")
    parser.add_argument("--input", default="", help="text that arrives at the serial port")
    parser.add_argument("--audio", type=Path, help="recording that the microphone hears")
    parser.add_argument("--rows", type=int, default=20, help="functions in the table (20)")
    parser.add_argument("--remember", action="store_true", help="let the firmware use registers without a model")


def main(arguments: argparse.Namespace) -> None:
    """Show what the firmware sends while it runs, then the report."""
    sound = None
    if arguments.audio is not None:
        from kwslib.listen import AUDIO_HZ, read_recording

        sound = read_recording(arguments.audio), AUDIO_HZ

    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def show(byte: int) -> None:
        sys.stdout.write(decoder.decode(bytes([byte])))
        if byte == 0x0A:
            sys.stdout.flush()

    result = run(
        arguments.firmware,
        seconds=arguments.seconds,
        max_instructions=arguments.max_instructions,
        uart_input=arguments.input.encode(),
        audio=sound,
        on_uart=show,
        unmodelled="remember" if arguments.remember else "error",
    )
    if result.console:
        print(result.console)
    print("" if result.uart.endswith("\n") or not result.uart else "\n")
    print(result.report(arguments.rows))


__all__ = ["BoardError", "Result", "add_arguments", "main", "run"]

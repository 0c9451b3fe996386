"""Play sound into the microphones of the emulated board, and read what the live firmware says on its serial port."""

import argparse
import re
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from kwslib.config import milliseconds
from kwslib.firmware import BoardError, Firmware
from kwslib.machine import Machine

AUDIO_HZ = 16_000
STAGES = {"frontend": "front end", "inference": "network", "other": "decision and other"}  # of a hop
_SLICE_S = 0.5  # of the board's time between two looks at the progress
_ANSWER_S = 0.5  # the board has so long to answer a command
_COLUMNS = ("keyword", "time_ms", "score", "frontend_cycles", "inference_cycles", "load", "overruns")


@dataclass(frozen=True)
class Heard:
    """What came of a recording.

    `text` is all that the firmware sent. `detections` has a row for each keyword: keyword, time_ms (of sound, up to
    the end of the hop), score (0 to 1), frontend_cycles, inference_cycles, load (percent, since start), overruns.
    `statistics` are its sums at the end: see `statistics`. `reason` says why the run ended ("audio": the sound was
    over), `seconds` is the board's time, `host_seconds` that of this computer; `notes` are the emulator's.
    """

    text: str
    detections: pd.DataFrame
    statistics: dict[str, float]
    reason: str
    seconds: float
    host_seconds: float
    notes: tuple[str, ...]


def listen(elf: str | Path, audio: np.ndarray, show=None, progress: bool = False) -> Heard:
    """Run a live firmware until a recording is over: int16 [n] or [n, 2] at 16 kHz.

    `show(line)` is called for each line of the serial port. Raises BoardError where the board cannot go on.
    """
    machine = Machine(Firmware.load(elf))
    machine.audio = np.asarray(audio, np.int16), AUDIO_HZ
    if show:
        machine.on_uart = _Lines(show)
    started = time.monotonic()
    with tqdm(total=round(len(audio) / AUDIO_HZ, 1), unit="s", leave=False, disable=not progress) as bar:
        while machine.run(seconds=_SLICE_S) == "seconds":
            bar.update(min(_SLICE_S, bar.total - bar.n))
            bar.set_postfix_str(f"{machine.time_s / (time.monotonic() - started):.2f} of real time")
    reason, detail = machine.reason, machine.detail
    if reason == "audio":
        machine.uart_input(b"s")
        machine.run(seconds=_ANSWER_S)
    host_seconds = time.monotonic() - started
    text = machine.uart.decode(errors="replace").replace("\r\n", "\n")
    found = reason if reason == "audio" else f"{reason}: {detail}"
    facts = (found, machine.time_s, host_seconds, tuple(machine.notes))
    return Heard(text, detections(text), statistics(text), *facts)


def read_recording(path: str | Path) -> np.ndarray:
    """A recording of any rate and number of channels as the microphones get it: int16 [n] at 16 kHz.

    Raises `audio.AudioError`.
    """
    from kwslib.audio import read_audio

    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that it is resampled, as asked
        samples, _ = read_audio(path, AUDIO_HZ, resample=True)
    return np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16)


def detections(text: str) -> pd.DataFrame:
    """The lines "detected ..." of a live firmware as a table; a garbled line is left out."""
    rows = []
    for line in text.splitlines():
        values = dict(re.findall(r"(\w+)=(\S+)", line)) if line.startswith("detected ") else {}
        try:
            numbers = {name: float(values[name].rstrip("%")) for name in _COLUMNS[1:]}
            rows.append({"keyword": values["keyword"]} | numbers)
        except (KeyError, ValueError):
            continue
    whole = {name: int for name in _COLUMNS if name not in ("keyword", "score", "load")}
    return pd.DataFrame(rows, columns=_COLUMNS).astype(whole)


def statistics(text: str) -> dict[str, float]:
    """The last answer of a live firmware to the command s; empty without one.

    Keys: hops, time_ms, detections, overruns; frontend_mean, frontend_most, and so for inference and other (cycles of
    a hop); load (percent), stack_bytes, dropped_characters.
    """
    answers = re.findall(r"^statistics (.*)\ncycles (.*)\nprocessor (.*)$", text, flags=re.MULTILINE)
    if not answers:
        return {}
    sums, cycles, processor = answers[-1]
    found = {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", f"{sums} {processor}")}
    for stage, mean, most in re.findall(r"(\w+) mean=(\d+) most=(\d+)", cycles):
        found |= {f"{stage}_mean": float(mean), f"{stage}_most": float(most)}
    return found


def budget(model: str, sums: dict[str, float], period_ms: float) -> dict:
    """A hop of a firmware from its `statistics`: model, estimated cycles of each stage, hop_ms, most_hop_ms, period_ms,
    cpu_load_percent, overruns, stack_bytes.
    """
    cycles = {f"{stage}_cycles": sums[f"{stage}_mean"] for stage in STAGES}
    most = sum(sums[f"{stage}_most"] for stage in STAGES)
    row = {"model": model, **cycles, "hop_ms": milliseconds(sum(cycles.values()))}
    row |= {"most_hop_ms": milliseconds(most), "period_ms": period_ms, "cpu_load_percent": sums["load"]}
    return row | {"overruns": sums["overruns"], "stack_bytes": sums["stack_bytes"]}


def recording(text: str) -> np.ndarray:
    """The last dump of sound (command d) in what a live firmware sent: int16 [n]. Raises BoardError."""
    dumps = re.findall(r"^audio samples=(\d+) .*\n((?:.*\n)*?)audio end$", text, flags=re.MULTILINE)
    if not dumps:
        raise BoardError("no whole dump of sound: send d, and wait for the line 'audio end'")
    count, lines = dumps[-1]
    digits = "".join(re.findall(r"^audio ([0-9a-f]+)$", lines, flags=re.MULTILINE))
    if len(digits) != 4 * int(count):
        raise BoardError(f"a dump of {len(digits) / 4:g} samples, {count} were announced: lines are missing")
    return np.frombuffer(bytes.fromhex(digits), ">i2").astype(np.int16)


class _Lines:
    """Collects bytes and hands on whole lines."""

    def __init__(self, show):
        self._show, self._bytes = show, bytearray()

    def __call__(self, byte: int) -> None:
        self._bytes.append(byte)
        if byte == 0x0A:
            self._show(self._bytes.decode(errors="replace").rstrip("\r\n"))
            self._bytes.clear()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m kwslib listen`."""
    parser.add_argument("firmware", type=Path, metavar="FIRMWARE.elf", help="kws_live.elf of `python -m kwslib live`")
    parser.add_argument("audio", type=Path, metavar="FILE.wav", help="recording that the microphones hear")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def main(arguments: argparse.Namespace) -> None:
    """Show what the firmware sends while it listens, then how the run went."""
    heard = listen(arguments.firmware, read_recording(arguments.audio), show=tqdm.write, progress=not arguments.quiet)
    for note in heard.notes:
        print(f"Note: {note}")
    if heard.reason != "audio":
        raise BoardError(f"the run ended early: {heard.reason}")
    speed = heard.seconds / heard.host_seconds
    print(f"{heard.seconds:.1f} s of the board in {heard.host_seconds:.1f} s: {speed:.2g} times real time")

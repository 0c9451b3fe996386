"""The live firmware for tests: one build, sounds, and a board that hears it."""

import functools

import numpy as np

from kwslib import artifacts, cache, live_build
from kwslib.machine import Firmware, Machine

MODEL = cache.PROJECT_FOLDER / "results" / "models" / "paper6_paper_cnn_element-80_s0.tflite"
HOP, RATE_HZ = 512, 16_000


@functools.cache
def decision():
    """So eager that noise is heard as keywords."""
    return live_build.decision_of(artifacts.load_model(MODEL)[1], 2, 0.15)


@functools.cache
def elf():
    """The firmware, built once."""
    return live_build.build(MODEL, decision=decision())


@functools.cache
def sound():
    """Bursts of coloured noise, 4.5 s."""
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(18):
        burst = np.convolve(rng.normal(0, 1, RATE_HZ // 4), rng.normal(0, 1, 24), "same")
        parts.append(burst * rng.choice([200, 1500]) * np.hanning(len(burst)))
    return np.concatenate(parts).astype(np.int16)


@functools.cache
def calls():
    """A burst every 20 hops, 5 s, which is heard as "yes" in the 10th hop of each, but perhaps the second."""
    burst = sound()[: 10 * HOP]
    return np.tile(np.concatenate([burst, np.zeros_like(burst)]), 8)


def new_board(audio: np.ndarray) -> Machine:
    """A board with the firmware, not yet started, whose microphones hear `audio`."""
    machine = Machine(Firmware.load(elf()))
    machine.audio = audio, RATE_HZ
    return machine


def text(machine: Machine) -> str:
    """What the firmware sent so far."""
    return machine.uart.decode().replace("\r\n", "\n")

"""The firmware's chain on this computer: in pieces as in one, and from a microphone's blocks."""

import sys
import types

import numpy as np
import pytest

from kwslib import artifacts, cache, live_build, live_host, stream_scores
from kwslib import decision as decisions
from kwslib.audio import AudioError
from kwslib.live_host import Spotter

MODEL = cache.PROJECT_FOLDER / "results" / "models" / "paper6_paper_cnn_element-80_s0.tflite"
HOP = 512


@pytest.fixture(scope="module")
def decision():
    """So eager that noise is heard as keywords."""
    return live_build.decision_of(artifacts.load_model(MODEL)[1], 2, 0.1)


@pytest.fixture(scope="module")
def sound():
    """Bursts of coloured noise, 3 s and a bit."""
    rng = np.random.default_rng(3)
    levels = rng.choice([200, 1500], 13)
    bursts = [np.convolve(rng.normal(0, level, 4000), rng.normal(0, 1, 24), "same") for level in levels]
    return np.concatenate([burst * np.hanning(4000) for burst in bursts]).astype(np.int16)


@pytest.fixture
def spotter(decision):
    return Spotter(MODEL, decision)


@pytest.fixture(scope="module")
def wanted(decision, sound):
    """(keyword, time_ms) by the code that judges streams."""

    class Stream:
        audio, digest = sound, "test_live_host"

    hops, classes = decisions.detections(decision, stream_scores.scores(MODEL, Stream))
    labels = artifacts.load_model(MODEL)[1]["labels"]
    assert len(hops) >= 2
    return [(labels[label], (hop + 1) * 32) for hop, label in zip(hops, classes, strict=True)]


def pairs(table):
    return list(zip(table.keyword, table.time_ms, strict=True))


def test_pieces_of_any_length_give_the_detections_of_the_whole(spotter, sound, wanted):
    found = [row for piece in np.split(sound, [5, 700, 13_333, 40_000]) for row in pairs(spotter.hear(piece))]
    assert found == wanted


def test_scores_are_those_over_the_threshold(spotter, decision, sound):
    found = spotter.hear(sound)
    assert (found.score >= decision.threshold / decisions.ONE).all() and (found.score <= 1).all()
    assert list(spotter.hear(sound[:100]).columns) == live_host.COLUMNS


def microphone(sound, lost=""):
    """A package sounddevice whose microphone hears `sound`."""

    class InputStream:
        def __init__(self, callback, samplerate, blocksize, channels, dtype):
            assert (samplerate, channels, dtype) == (16000, 1, "int16")
            self.blocks = np.split(sound[: len(sound) // blocksize * blocksize, None], len(sound) // blocksize)
            self.callback = callback

        def __enter__(self):
            for block in self.blocks:
                self.callback(block, len(block), None, lost)

        def __exit__(self, *error):
            return False

    return types.SimpleNamespace(InputStream=InputStream, PortAudioError=type("PortAudioError", (Exception,), {}))


def test_blocks_of_a_microphone(spotter, sound, wanted, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", microphone(sound))
    shown = []
    found = live_host.hear_microphone(spotter, 3, shown.append)
    heard_ms = round(3 * 16000 / 4096) * 4096 / 16
    assert pairs(found) == [pair for pair in wanted if pair[1] <= heard_ms] == [(s.keyword, s.time_ms) for s in shown]


def test_a_computer_that_hears_nothing_is_told_in_one_line(spotter, sound, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # as if it were not installed
    with pytest.raises(AudioError, match="pip install sounddevice"):
        live_host.hear_microphone(spotter, 1)
    monkeypatch.setitem(sys.modules, "sounddevice", microphone(sound, "input overflow"))
    with pytest.raises(AudioError, match=r"sound was lost \(input overflow\)"):
        live_host.hear_microphone(spotter, 1)

    def refuse(**_options):
        raise sys.modules["sounddevice"].PortAudioError("no default input device")

    sys.modules["sounddevice"].InputStream = refuse
    with pytest.raises(AudioError, match=r"gives no sound \(no default input device"):
        live_host.hear_microphone(spotter, 1)

"""The live firmware's chain on this computer: front end, network and decision in C, from an array or the microphone."""

import queue
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import artifacts
from kwslib.audio import AudioError
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.decision import ONE, Decision, DecisionConfig
from kwslib.frontend_host import HostFrontend
from kwslib.stream_scores import FastNetwork, as_int8, windows

BLOCK_HOPS = 8  # that the network gets from the microphone at once
COLUMNS = ["keyword", "time_ms", "score"]


class Spotter:
    """Hears sound piece by piece, with a model NAME.tflite (NAME.json beside it) and a decision.

    Raises what `FastNetwork` and `artifacts.load_model` raise.
    """

    def __init__(self, model: str | Path, decision: DecisionConfig):
        tflite, meta = artifacts.load_model(model)
        self.config, self.labels = FeatureConfig.from_dict(meta["features"]), TaskConfig.from_dict(meta["task"]).labels
        self._network, self._front_end = FastNetwork(tflite, meta["name"]), HostFrontend(self.config)
        self._decision, self._rest, self._hops = Decision(decision), np.empty(0, np.int16), 0

    def hear(self, audio: np.ndarray) -> pd.DataFrame:
        """Take int16 [n] of any length: the keywords detected in it.

        Columns as in `listen.detections`: keyword, time_ms (of all sound so far, up to the end of the hop), score (0
        to 1). Samples that fill no hop wait for the next call.
        """
        audio, hop_samples, rows = np.concatenate([self._rest, audio]), self.config.hop_samples, []
        self._rest = audio[len(audio) // hop_samples * hop_samples :]
        info = self._network.program.info
        for inputs in windows(audio, self.config, info.input, self._front_end):
            for scores in as_int8(self._network.run(inputs), info.output):
                self._hops += 1
                label = self._decision.step(scores)
                if label >= 0:
                    time_ms = round(1000 * self._hops * hop_samples / self.config.sample_rate_hz)
                    rows.append((self.labels[label], time_ms, self._decision.score(label) / ONE))
        return pd.DataFrame(rows, columns=COLUMNS)


def hear_microphone(spotter: Spotter, seconds: float, show=print) -> pd.DataFrame:
    """Hear this computer's microphone for `seconds`: the detections, and `show(row)` for each of them at once.

    Raises AudioError without the package sounddevice and without a microphone, and where sound was lost.
    """
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the package is there, PortAudio is not
        raise AudioError(f"no sound from this computer ({error}): pip install sounddevice") from None
    blocks, found, rate_hz = queue.Queue(), [], spotter.config.sample_rate_hz
    block = BLOCK_HOPS * spotter.config.hop_samples

    def keep(audio, _samples, _time, lost):
        blocks.put((audio[:, 0].copy(), lost))

    options = {"samplerate": rate_hz, "blocksize": block, "channels": 1, "dtype": "int16"}
    try:
        with sounddevice.InputStream(callback=keep, **options):
            for _ in range(round(seconds * rate_hz / block)):
                audio, lost = blocks.get(timeout=5)
                if lost:
                    raise AudioError(f"sound was lost ({lost}): this computer is too busy")
                for row in spotter.hear(audio).itertuples(index=False):
                    found.append(row)
                    show(row)
    except (sounddevice.PortAudioError, queue.Empty) as error:
        reason = str(error) or "silent for 5 s"
        raise AudioError(f"the microphone gives no sound ({reason}); is one connected?") from None
    return pd.DataFrame(found, columns=COLUMNS)

"""Scores of a network over a stream, hop by hop, as the board computes them: front end in C, engine in C."""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from kwslib import artifacts, cache, engine, engine_c, toolchain
from kwslib.config import FeatureConfig
from kwslib.engine_host import NetworkOnHost
from kwslib.frontend_host import HostFrontend
from kwslib.kernels_host import SOURCE_FOLDER
from kwslib.streams import Stream

_MAIN = SOURCE_FOLDER.parent / "host" / "run_network.c"
_PLENTY_BYTES = 1 << 26  # here a network may be larger than on the board
_CHUNK_HOPS = 4000
_VERSION = 1  # raise it when the same settings give other scores
# With the sizes of the layers known to the compiler (lto) plain loops are the fastest kernels on this computer.
_FLAGS = ("-O3", "-flto", "-ffp-contract=off")


class FastNetwork(NetworkOnHost):
    """The C of a network built for speed on this computer: plain kernels, whose results are those of all others.

    Raises `toolchain.ToolchainError` and `engine.EngineError`.
    """

    def __init__(self, tflite: bytes, name: str):
        self.program = _plan(tflite, name)
        folder = engine_c.cached_c(self.program)
        headers = [folder / "network.h", *sorted(SOURCE_FOLDER.glob("*.h"))]
        sources = [folder / "network.c", _MAIN, *_needed({call.step.kernel for call in self.program.calls})]
        flags = (*_FLAGS, f"-I{folder}", f"-I{SOURCE_FOLDER}")
        try:
            self.path = toolchain.host_program("fast_network", sources, headers, ("-march=native", *flags))
        except toolchain.ToolchainError:  # a compiler that does not know the flag
            self.path = toolchain.host_program("fast_network", sources, headers, flags)


def _plan(tflite: bytes, name: str) -> engine.Program:
    return engine.plan(tflite, "plain", name=name, flash_bytes=_PLENTY_BYTES, ram_bytes=_PLENTY_BYTES)


def scores(model: str | Path, stream: Stream) -> np.ndarray:
    """Scores of a saved model (NAME.tflite, with NAME.json) with every hop of a stream: int8 [hops, classes].

    Row n belongs to hop n, samples n * hop_samples to (n + 1) * hop_samples - 1, and knows nothing later; before the
    first hop there is silence. A softmax in int16 or float32 is rounded to int8 (scale 1/256, zero point -128).
    Finished scores come from the cache as long as neither model, samples nor code changed.
    """
    tflite, meta = artifacts.load_model(model)
    program = engine_c.texts(_plan(tflite, meta["name"]))
    settings = {"network": program, "stream": stream.digest, "features": meta["features"]}
    settings |= {"version": _VERSION, "code": _code()}

    def build():
        config, network = FeatureConfig.from_dict(meta["features"]), FastNetwork(tflite, meta["name"])
        parts = [network.run(chunk) for chunk in windows(stream.audio, config, network.program.info.input)]
        return as_int8(np.concatenate(parts), network.program.info.output), {"name": meta["name"]}

    return cache.cached_array(cache.data_folder() / "cache" / "stream_scores", settings, build)[0]


def all_scores(models: Sequence[str | Path], stream: Stream) -> list[np.ndarray]:
    """`scores` of several models, two at a time, with a progress bar."""
    with ThreadPoolExecutor(2) as pool:  # threads do: the networks are programs, the front end is C
        found = pool.map(lambda model: scores(model, stream), models)
        return list(tqdm(found, f"scores, {stream.split}", len(models), leave=False, disable=len(models) < 4))


def windows(audio: np.ndarray, config: FeatureConfig, tensor, front_end: HostFrontend | None = None):
    """Inputs of a network with each whole hop of int16 audio, in the type of `tensor`: arrays [hops, frames, bands].

    Before the audio there is silence, or what `front_end` heard.
    """
    front_end = front_end or HostFrontend(config)
    hops = audio[: len(audio) // config.hop_samples * config.hop_samples].reshape(-1, config.hop_samples)
    for first in range(0, len(hops), _CHUNK_HOPS):
        chunk = hops[first : first + _CHUNK_HOPS]
        inputs = np.empty((len(chunk), config.frames, config.bands), tensor.dtype)
        for hop, out in zip(chunk, inputs, strict=True):
            front_end.push(hop)
            if tensor.scales:
                out[:] = front_end.quantized(tensor.scales[0], tensor.zero_points[0], tensor.dtype)
            else:
                out[:] = front_end.normalised()
        yield inputs


def as_int8(raw: np.ndarray, tensor) -> np.ndarray:
    """Outputs of a softmax [n, classes] as the int8 that the decision takes: scale 1/256, zero point -128."""
    if tensor.dtype == "int8":
        return raw
    probability = raw * tensor.scales[0] if tensor.scales else raw
    return np.clip(np.rint(probability * 256) - 128, -128, 127).astype(np.int8)


def _needed(kernels: set[str]) -> list[Path]:
    """Sources that define kernels, and those that define what these call."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(SOURCE_FOLDER.glob("*.c"))}
    texts = {path: text for path, text in texts.items() if not path.name.startswith("bench_")}
    defined = {path: set(re.findall(r"^(?:\w+ \*?)+(\w+)\(", text, flags=re.MULTILINE)) for path, text in texts.items()}
    wanted, found = set(kernels), []
    while new := [path for path, names in defined.items() if path not in found and names & wanted]:
        found += new
        wanted |= {name for path in new for name in re.findall(r"(\w+)\(", texts[path])}
    return sorted(found)


def _code() -> str:
    """Digest of the code that scores depend on beside the network's own: front end and kernels."""
    modules = [Path(__file__).parent / name for name in ("features.py", "frontend_c.py", "frontend_host.py")]
    firmware = SOURCE_FOLDER.parent
    sources = [*SOURCE_FOLDER.glob("*.[ch]"), *(firmware / "frontend").glob("*.[ch]"), _MAIN]
    return cache.content_digest([*modules, *sorted(sources)])

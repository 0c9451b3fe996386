"""The first call of every notebook: settings from the environment, seeds, style, and what is running printed."""

import importlib.metadata
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from kwslib.cache import PROJECT_FOLDER
from kwslib.config import ConfigError
from kwslib.download import VERSIONS
from kwslib.interpreters import captured_stderr

_SHOWN = ("tensorflow", "tf-keras", "tflite-micro", "ai-edge-litert", "librosa", "numpy")


@dataclass(frozen=True)
class Session:
    """What a notebook runs on: `mode` "quick" or "full", the data source, and where results go."""

    mode: str
    data: str
    results: Path

    @property
    def full(self) -> bool:
        """True in full mode."""
        return self.mode == "full"


def start(mode: str, data: str, results: str, seed: int) -> Session:
    """Check the settings, fix all seeds, set the figure style, and print versions, data set and mode.

    `results` and a folder of recordings are taken from the project's folder unless absolute. Raises ConfigError for
    another mode.
    """
    if mode not in ("quick", "full"):
        raise ConfigError(f"MODE = {mode!r}: allowed is 'quick' or 'full'")
    from kwslib import plotting

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with captured_stderr():  # TensorFlow's start-up lines
        import tensorflow as tf
        import tf_keras

    tf.get_logger().setLevel("ERROR")  # hints about graphs that are traced anew
    tf_keras.utils.set_random_seed(seed)
    plotting.use_style()
    versions = ", ".join(f"{name} {_version(name)}" for name in _SHOWN)
    print(f"Python {platform.python_version()}, {versions}")
    if data not in ("synthetic", *VERSIONS):
        data = str(PROJECT_FOLDER / data)
    print(f"mode {mode}, data set {Path(data).name}, seed {seed}, results in {results}")
    return Session(mode, data, PROJECT_FOLDER / results)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"

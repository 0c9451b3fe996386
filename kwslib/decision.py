"""The decision code of the firmware (`firmware_tflm/decision`), compiled for this computer, behind numpy arrays."""

import functools
import re
from dataclasses import dataclass

import numpy as np

from kwslib import cache, toolchain

SOURCE_FOLDER = cache.PROJECT_FOLDER / "firmware_tflm" / "decision"
_SOURCES = ("decision.c", "decision_run.c")
_FLAGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
_TEXT = (SOURCE_FOLDER / "decision.h").read_text(encoding="utf-8")
_LIMITS = {name: int(value) for name, value in re.findall(r"#define DECISION_(\w+) (\d+)", _TEXT)}
MOST_SMOOTHING, MOST_CLASSES, ONE = (_LIMITS[name] for name in ("MOST_SMOOTHING", "MOST_CLASSES", "ONE"))


class DecisionError(ValueError):
    """A setting is outside its range, or scores have a wrong shape; the message says what is needed."""


@dataclass(frozen=True)
class DecisionConfig:
    """Settings of decision_config_t, in its units: scores in 1/65536, times in hops. Raises DecisionError.

    `keywords` are classes that may be detected.
    """

    classes: int
    keywords: tuple[int, ...]
    smoothing: int
    threshold: int
    release: int
    refractory: int

    def __post_init__(self):
        for name, low, high in (
            ("classes", 1, MOST_CLASSES),
            ("smoothing", 1, MOST_SMOOTHING),
            ("threshold", 1, ONE),
            ("release", 1, self.threshold),
            ("refractory", 0, 2**31 - 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise DecisionError(f"{name} = {getattr(self, name)}: needed is {low} to {high}")
        if not self.keywords or not set(self.keywords) <= set(range(self.classes)):
            raise DecisionError(f"keywords = {self.keywords}: needed is one or more of 0 to {self.classes - 1}")

    @property
    def mask(self) -> int:
        """`keywords` as decision_config_t has them."""
        return sum(1 << keyword for keyword in set(self.keywords))


class Decision:
    """The state of a decision between hops: `step` and `score` as in decision.h."""

    def __init__(self, config: DecisionConfig):
        self.config = config
        self._ffi, self._library = _load()
        self._state = self._ffi.new("decision_t *")
        self._library.decision_start(self._state, _struct(self._ffi, config))

    def step(self, scores: np.ndarray) -> int:
        """Take int8 scores [classes] of a hop; returns the class detected with it, or -1."""
        values = _checked(scores, (self.config.classes,), "[classes]")
        return self._library.decision_step(self._state, self._ffi.from_buffer("int8_t[]", values))

    def score(self, keyword: int) -> int:
        """Averaged score of a class after the last hop, 0 to ONE."""
        return self._library.decision_score(self._state, keyword)


def detections(config: DecisionConfig, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hops at which something is detected in int8 scores [hops, classes], and the classes: both int [n]."""
    ffi, library = _load()
    values = _checked(scores, (len(scores), config.classes), "[hops, classes]")
    detected = np.empty(len(values), np.int32)
    out = ffi.from_buffer("int32_t[]", detected, require_writable=True)
    library.decision_run(_struct(ffi, config), ffi.from_buffer("int8_t[]", values), len(values), out)
    hops = np.flatnonzero(detected >= 0)
    return hops, detected[hops]


def averaged(config: DecisionConfig, scores: np.ndarray) -> np.ndarray:
    """Averaged scores after each hop, 0 to ONE: int32 [hops, classes] from int8 scores of that shape."""
    state = Decision(config)
    found = np.empty(scores.shape, np.int32)
    for values, out in zip(scores, found, strict=True):
        state.step(values)
        out[:] = [state.score(number) for number in range(config.classes)]
    return found


@functools.cache
def _load():
    """cffi of decision.h and the library."""
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(re.sub(r"^#(ifndef|endif|include|define DECISION_H).*$", "", _TEXT, flags=re.MULTILINE))
    sources = [SOURCE_FOLDER / name for name in _SOURCES]
    return ffi, ffi.dlopen(str(toolchain.host_library("decision", sources, [SOURCE_FOLDER / "decision.h"], _FLAGS)))


def _struct(ffi, config):
    names = ("classes", "smoothing", "threshold", "release", "refractory")
    return ffi.new(
        "decision_config_t *", {name: int(getattr(config, name)) for name in names} | {"keywords": config.mask}
    )


def _checked(scores, shape, wanted):
    if scores.dtype != np.int8 or scores.shape != shape:
        raise DecisionError(f"scores of {scores.dtype} {scores.shape}: needed is int8 {wanted}, {shape}")
    return np.ascontiguousarray(scores)

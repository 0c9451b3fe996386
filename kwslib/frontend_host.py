"""The front end in C (`firmware_tflm/frontend`) as a library on this computer, behind numpy arrays."""

from pathlib import Path

import numpy as np

from kwslib import cache, frontend_c, toolchain
from kwslib.config import FeatureConfig
from kwslib.frontend_c import FrontendError

SOURCE_FOLDER = cache.PROJECT_FOLDER / "firmware_tflm" / "frontend"
_SOURCES = ("frontend.c", "frontend_fft.c", "frontend_mel.c", "frontend_stages.c")
_FLAGS = ("-fno-math-errno", "-ffp-contract=off", "-Wall", "-Wextra", "-Wdouble-promotion", "-Werror")
_DECLARATIONS = """
typedef struct { %s } stages;
extern uint32_t frontend_bytes;
void frontend_init(void *frontend);
void frontend_push(void *frontend, const int16_t *hop, float *column);
void frontend_normalise(const void *frontend, float *features);
void frontend_quantize_int8(const void *frontend, float scale, int32_t zero_point, int8_t *input);
void frontend_quantize_int16(const void *frontend, float scale, int32_t zero_point, int16_t *input);
void frontend_stages(const void *frontend, stages *stages);
void frontend_log(const float *mel, float *log_mel);
"""


class HostFrontend:
    """The C code, compiled for this computer: `firmware_tflm/frontend` behind numpy arrays.

    Raises FrontendError for settings that the C code cannot serve, and `toolchain.ToolchainError`.
    """

    def __init__(self, config: FeatureConfig):
        import cffi

        self.config = config
        self._ffi = cffi.FFI()
        members = "".join(f"float {name}[{size}]; " for name, size in stage_sizes(config).items())
        self._ffi.cdef(_DECLARATIONS % members)
        self._library = self._ffi.dlopen(str(_build(config)))
        self._memory = self._ffi.new("char[]", self._library.frontend_bytes)
        self.reset()

    def reset(self) -> None:
        """Start again with silence."""
        self._library.frontend_init(self._memory)

    def push(self, hop: np.ndarray) -> np.ndarray:
        """Take int16 [hop_samples]; returns the new column before normalisation, float32 [bands]."""
        if hop.dtype != np.int16 or hop.shape != (self.config.hop_samples,):
            raise FrontendError(f"hop of {hop.dtype} {hop.shape}: needed is int16 ({self.config.hop_samples},)")
        column = np.empty(self.config.bands, np.float32)
        self._library.frontend_push(self._memory, self._in("int16_t[]", hop), self._out("float[]", column))
        return column

    def normalised(self) -> np.ndarray:
        """The newest columns, normalised: float32 [frames, bands]."""
        values = np.empty((self.config.frames, self.config.bands), np.float32)
        self._library.frontend_normalise(self._memory, self._out("float[]", values))
        return values

    def quantized(self, scale: float, zero_point: int, dtype="int8") -> np.ndarray:
        """The newest columns as a model's input of `dtype` ("int8" or "int16"): [frames, bands]."""
        values = np.empty((self.config.frames, self.config.bands), dtype)
        quantize = getattr(self._library, f"frontend_quantize_{values.dtype}")
        quantize(self._memory, scale, zero_point, self._out(f"{values.dtype}_t[]", values))
        return values

    def stages(self) -> dict[str, np.ndarray]:
        """What every stage made of the newest frame, float32: window, power, mel, log_mel and column."""
        found = self._ffi.new("stages *")
        self._library.frontend_stages(self._memory, found)
        return split_stages(bytes(self._ffi.buffer(found)), self.config)

    def log(self, mel: np.ndarray) -> np.ndarray:
        """The C logarithm, in dB, of float32 [mel_bands padded to a multiple of four]."""
        log_mel = np.empty(frontend_c.padded_bands(self.config), np.float32)
        self._library.frontend_log(self._in("float[]", mel), self._out("float[]", log_mel))
        return log_mel

    def clip(self, clip: np.ndarray, scale: float, zero_point: int, dtype: str = "int8"):
        """Run an int16 clip [clip_samples]: `(stages of each column, normalised, quantized)`."""
        self.reset()
        stages = []
        for hop in clip_hops(clip, self.config):
            self.push(hop)
            stages.append(self.stages())
        return stages[-self.config.frames :], self.normalised(), self.quantized(scale, zero_point, dtype)

    def features(self, clips: np.ndarray) -> np.ndarray:
        """Features of int16 clips [n, clip_samples], normalised: float32 [n, frames, bands]."""
        values = np.empty((len(clips), self.config.frames, self.config.bands), np.float32)
        for clip, out in zip(clips, values, strict=True):
            self.reset()
            for hop in clip_hops(clip, self.config):
                self.push(hop)
            out[:] = self.normalised()
        return values

    def _in(self, kind, array):
        return self._ffi.from_buffer(kind, np.ascontiguousarray(array))

    def _out(self, kind, array):
        return self._ffi.from_buffer(kind, array, require_writable=True)


def pushes(config: FeatureConfig) -> int:
    """Hops after which the columns of a clip are complete."""
    return config.frames - 1 + frontend_c.hops_per_frame(config)


def clip_hops(clip: np.ndarray, config: FeatureConfig) -> np.ndarray:
    """The hops of an int16 clip [clip_samples] that its columns need, zeros behind its end: [pushes, hop_samples]."""
    wanted = pushes(config) * config.hop_samples
    return np.pad(clip, (0, max(0, wanted - len(clip))))[:wanted].reshape(-1, config.hop_samples)


def stage_sizes(config: FeatureConfig) -> dict[str, int]:
    """Floats of each member of frontend_stages_t, in order."""
    sizes = {
        "window": config.fft_size,
        "power": frontend_c.bins(config),
        "mel": config.mel_bands,
        "log_mel": config.mel_bands,
    }
    return sizes | {"column": config.bands}


def split_stages(content: bytes, config: FeatureConfig) -> dict[str, np.ndarray]:
    """Content of a frontend_stages_t as arrays."""
    sizes = stage_sizes(config)
    values = np.frombuffer(content, np.float32, sum(sizes.values()))
    return dict(zip(sizes, np.split(values, np.cumsum(list(sizes.values()))[:-1]), strict=True))


def _build(config: FeatureConfig) -> Path:
    """Shared library of the C code for `config`."""
    key = cache.cache_key({"tables": frontend_c.texts(config, "the host library")})
    folder = cache.data_folder() / "cache" / "frontend" / key
    tables = folder / "frontend_tables.c"
    if not tables.is_file():
        frontend_c.write_tables(config, folder, "the host library")
    sources = [SOURCE_FOLDER / name for name in _SOURCES] + [tables]
    flags = [*_FLAGS, f"-I{SOURCE_FOLDER}", f"-I{folder}"]
    return toolchain.host_library("frontend", sources, [*SOURCE_FOLDER.glob("frontend*.h"), *folder.glob("*.h")], flags)

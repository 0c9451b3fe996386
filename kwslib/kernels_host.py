"""The kernels (`firmware_tflm/kernels`) as a library on this computer, behind numpy arrays."""

import re

import numpy as np

from kwslib import cache, toolchain
from kwslib.kernels import Layer

SOURCE_FOLDER = cache.PROJECT_FOLDER / "firmware_tflm" / "kernels"
_FLAGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")


class HostKernels:
    """The C code of the kernels, compiled for this computer; inner loops in assembly are replaced by C.

    Raises `toolchain.ToolchainError`.
    """

    def __init__(self):
        import cffi

        self._ffi = cffi.FFI()
        text = (SOURCE_FOLDER / "kernels.h").read_text(encoding="utf-8")
        self._ffi.cdef(re.sub(r"^#(ifndef|endif|include|define KERNELS_H).*$", "", text, flags=re.MULTILINE))
        sources, headers = (sorted(SOURCE_FOLDER.glob(pattern)) for pattern in ("*_s8.c", "*.h"))
        self._library = self._ffi.dlopen(str(toolchain.host_library("kernels", sources, headers, _FLAGS)))

    def run(self, kernel: str, layer: Layer, values: np.ndarray, n_out: int, dtype="int8") -> np.ndarray:
        """Run a kernel on input `values`; returns `n_out` values of `dtype`."""
        output, kept = np.zeros(n_out, dtype), []
        struct = self._ffi.new(f"{layer.struct} *", self._members(layer.members, kept))
        source = self._ffi.from_buffer(np.ascontiguousarray(values))
        target = self._ffi.from_buffer(output, require_writable=True)
        function = getattr(self._library, kernel)
        kinds = self._ffi.typeof(function).args
        function(struct, self._ffi.cast(kinds[1], source), self._ffi.cast(kinds[2], target))
        return output

    def _members(self, members, kept):
        """Members for cffi; `kept` holds the memory that pointers point to."""
        given = {}
        for name, value in members.items():
            if isinstance(value, dict):
                given[name] = self._members(value, kept)
            elif isinstance(value, np.ndarray):
                memory = self._ffi.new("uint64_t[]", -(-value.nbytes // 8))  # streams are aligned to 8 bytes
                self._ffi.memmove(memory, np.ascontiguousarray(value), value.nbytes)
                kept.append(memory)
                kind = {"int8": "int8_t *", "uint8": "uint8_t *", "int32": "int32_t *"}[value.dtype.name]
                given[name] = self._ffi.cast(kind, memory)
            else:
                given[name] = int(value)
        return given

"""The kernels (`firmware_tflm/kernels`) as a library on this computer, behind numpy arrays."""

import re

import numpy as np

from kwslib import cache, toolchain
from kwslib.kernels import Layer, Scratch

SOURCE_FOLDER = cache.PROJECT_FOLDER / "firmware_tflm" / "kernels"
_INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64")
_POINTERS = {name: f"{name}_t *" for name in _INTEGERS} | {"float32": "float *"}
_FLAGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")


class HostKernels:
    """The C code of the kernels, compiled for this computer; inner loops in assembly are replaced by C.

    Raises `toolchain.ToolchainError`.
    """

    def __init__(self):
        import cffi

        self._ffi = cffi.FFI()
        for path in sorted(SOURCE_FOLDER.glob("kernels*.h")):  # kernels.h comes first
            text = path.read_text(encoding="utf-8")
            self._ffi.cdef(re.sub(r"^#(ifndef|endif|include|define KERNELS\w*_H).*$", "", text, flags=re.MULTILINE))
        headers = sorted(SOURCE_FOLDER.glob("*.h"))
        sources = sorted(set(SOURCE_FOLDER.glob("*.c")) - set(SOURCE_FOLDER.glob("bench_*.c")))
        self._library = self._ffi.dlopen(str(toolchain.host_library("kernels", sources, headers, _FLAGS)))

    def run(self, kernel: str, layer: Layer, values, n_out: int, dtype="int8") -> np.ndarray:
        """Run a kernel on input `values` (a tuple for several inputs); returns `n_out` values of `dtype`."""
        output, kept = np.zeros(n_out, dtype), []
        struct = self._ffi.new(f"{layer.struct} *", self._members(layer.members, kept))
        inputs = values if isinstance(values, tuple) else (values,)
        sources = [self._ffi.from_buffer(np.ascontiguousarray(value)) for value in inputs]
        target = self._ffi.from_buffer(output, require_writable=True)
        function = getattr(self._library, kernel)
        kinds = self._ffi.typeof(function).args[1:]
        function(struct, *(self._ffi.cast(kind, place) for kind, place in zip(kinds, [*sources, target], strict=True)))
        return output

    def _members(self, members, kept):
        """Members for cffi; `kept` holds the memory that pointers point to."""
        given = {}
        for name, value in members.items():
            if isinstance(value, dict):
                given[name] = self._members(value, kept)
            elif isinstance(value, Scratch):
                kept.append(self._ffi.new("uint64_t[]", -(-value.n_bytes // 8)))
                given[name] = self._ffi.cast("void *", kept[-1])
            elif isinstance(value, np.ndarray):
                memory = self._ffi.new("uint64_t[]", -(-value.nbytes // 8))  # streams are aligned to 8 bytes
                self._ffi.memmove(memory, np.ascontiguousarray(value), value.nbytes)
                kept.append(memory)
                given[name] = self._ffi.cast(_POINTERS[value.dtype.name], memory)
            else:
                given[name] = value
        return given

"""The generated C of a network on this computer, with or without the sanitizers, behind numpy arrays."""

import os
import subprocess

import numpy as np

from kwslib import engine_c, toolchain
from kwslib.engine import EngineError, Program
from kwslib.kernels_host import SOURCE_FOLDER

_MAIN = SOURCE_FOLDER.parent / "host" / "run_network.c"
_WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror")
_SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")


class NetworkOnHost:
    """A program that runs the C of a planned network; assembly of the kernels is replaced by C.

    `sanitize` builds it with the address and undefined-behaviour sanitizers, each buffer an array of its own: an access
    outside ends the run. Raises `toolchain.ToolchainError`.
    """

    def __init__(self, program: Program, sanitize: bool = False):
        self.program = program
        folder = engine_c.cached_c(program, separate=sanitize)
        kernels, headers = sorted(SOURCE_FOLDER.glob("*.c")), sorted(SOURCE_FOLDER.glob("*.h"))
        kernels = [path for path in kernels if not path.name.startswith("bench_")]
        flags = (*_WARNINGS, *(_SANITIZERS if sanitize else ()))
        library = toolchain.host_library("kernels", kernels, headers, flags)
        flags = ("-O1", *flags, f"-I{folder}", f"-I{SOURCE_FOLDER}")
        sources = [folder / "network.c", _MAIN, library]
        self.path = toolchain.host_program("network", sources, [folder / "network.h", *headers], flags)

    def run(self, values: np.ndarray) -> np.ndarray:
        """Outputs [n, values] of inputs [n, values], in the network's own types.

        Raises EngineError if the program breaks off.
        """
        source, target = self.program.info.input, self.program.info.output
        inputs = np.ascontiguousarray(np.reshape(values, (-1, source.size)), source.dtype)
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run([self.path], input=inputs.tobytes(), capture_output=True, env=environment, check=False)
        if done.returncode or len(done.stdout) != len(inputs) * target.bytes:
            said = " ".join(done.stderr.decode(errors="replace").split())[:500]
            raise EngineError(f"{self.program.name}: the C program broke off ({done.returncode}): {said}")
        return np.frombuffer(done.stdout, target.dtype).reshape(len(inputs), target.size)

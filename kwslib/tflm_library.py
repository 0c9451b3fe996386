"""Find a TensorFlow Lite Micro library that was built elsewhere, and refuse one that the board cannot run.

python -m kwslib.tflm_library TFLM_ROOT     what is there, as CMake reads it
"""

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from kwslib.toolchain import ToolchainError

NAME = "libtensorflow-microlite.a"
# Third parties of a TFLM checkout, where its own build loads them to, and of a folder that somebody packed.
_THIRD_PARTIES = ("tensorflow/lite/micro/tools/make/downloads", "third_party")
_PREFIX = "arm-none-eabi-"
# Defined in the library only without TF_LITE_STATIC_MEMORY, whose tensors have other sizes; only with error messages;
# and only with CMSIS-NN.
_WITHOUT_STATIC_MEMORY = "TfLiteIntArrayCreate"
_WITH_MESSAGES = "_Z11MicroPrintfPKcz"
_OF_CMSIS_NN = "arm_convolve_wrapper_s8"


@dataclass(frozen=True)
class Library:
    """A library and what a program needs that links it.

    `kernels` is "reference" or "cmsis_nn", `version` the commit and day of a checkout, else a digest of the library;
    `definitions` are the macros that the library was built with and that its headers depend on.
    """

    archive: Path
    includes: tuple[Path, ...]
    definitions: tuple[str, ...]
    kernels: str
    version: str


def find(root: str | Path) -> Library:
    """The only library under `root` that fits the board.

    `root` is a TFLM checkout after its own build (the library in gen/TARGET/lib), or a folder with lib/ (the library),
    include/ (tensorflow/) and third_party/{flatbuffers/include,gemmlowp}. Raises ToolchainError, which names what is
    wrong with a library.
    """
    root = Path(root).expanduser().resolve()
    found = sorted({*root.glob(f"gen/*/lib/{NAME}"), *root.glob(f"lib/{NAME}")})
    if not found:
        raise ToolchainError(
            f"TFLM_ROOT={root}: no {NAME} in lib/ or gen/*/lib/; build it as TensorFlow Lite Micro's documentation "
            "says, for a Cortex-M7 with hard float"
        )
    faults = {path: _wrong_target(path) for path in found}
    fitting = [path for path, fault in faults.items() if not fault]
    if len(fitting) != 1:
        names = "; ".join(f"{path.relative_to(root)}: {fault or 'fits'}" for path, fault in faults.items())
        many = f"{len(fitting)} libraries fit, leave one" if fitting else "no library fits the board"
        raise ToolchainError(f"TFLM_ROOT={root}: {many} ({names})")
    symbols = _defined_symbols(fitting[0])
    _refuse_layout(fitting[0], symbols)
    _refuse_double_precision(fitting[0])
    includes = _includes(root)
    _refuse_schema(includes)
    definitions = ("TF_LITE_STATIC_MEMORY",)
    if _WITH_MESSAGES not in symbols:
        definitions += ("TF_LITE_STRIP_ERROR_STRINGS", "NDEBUG")
    kernels = "cmsis_nn" if _OF_CMSIS_NN in symbols else "reference"
    return Library(fitting[0], includes, definitions, kernels, _version(root, fitting[0]))


def need_compiler() -> None:
    """Refuse a computer without the C++ half of the cross compiler, which nothing but TFLM needs.

    Raises ToolchainError.
    """
    compiler = shutil.which(f"{_PREFIX}g++")
    include = ["-x", "c++", "-std=c++17", "-E", "-o", "/dev/null", "-"]
    if compiler:
        done = subprocess.run([compiler, *include], input=b"#include <type_traits>\n", capture_output=True, check=False)
    if not compiler or done.returncode:
        raise ToolchainError(
            "TFLM is C++, and the cross compiler has no C++ headers; remedy: sudo apt-get install gcc-arm-none-eabi "
            "libstdc++-arm-none-eabi-newlib"
        )


def _tool(name: str, *words) -> str:
    done = subprocess.run([f"{_PREFIX}{name}", *map(str, words)], capture_output=True, text=True, check=False)
    return done.stdout


def _wrong_target(archive: Path) -> str:
    """Why a library is not for a Cortex-M7 with its arguments in FPU registers; "" if it is."""
    text = _tool("readelf", "-A", archive)
    members = re.split(r"^File: ", text, flags=re.MULTILINE)[1:]
    code = [member for member in members if "Tag_CPU_arch:" in member]
    if not code:
        return "not for Arm"
    others = {match[1] for member in code if (match := re.search(r"Tag_CPU_arch: (\S+)", member))} - {"v7E-M"}
    if others:
        return f"for Arm {', '.join(sorted(others))} instead of v7E-M"
    if any("Tag_ABI_VFP_args: VFP registers" not in member for member in code):
        return "without hard float"
    return ""


def _defined_symbols(archive: Path) -> set[str]:
    return {line.split()[-1] for line in _tool("nm", "--defined-only", archive).splitlines() if len(line.split()) == 3}


def _refuse_layout(archive, symbols) -> None:
    if _WITHOUT_STATIC_MEMORY in symbols:
        raise ToolchainError(
            f"{archive}: built without TF_LITE_STATIC_MEMORY: it would link and then crash, because its tensors have "
            "other sizes than the microcontroller's; build it with TFLM's own Makefile, which sets it"
        )


def _refuse_double_precision(archive: Path) -> None:
    """The FPU of the STM32F746 has single precision only; TFLM's build does not choose it by itself."""
    member = function = ""
    command = [f"{_PREFIX}objdump", "-d", "--no-show-raw-insn", str(archive)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout:
            if line[0].isspace():
                if ".f64" in line and re.search(r"\tv\w+(\.\w+)*\.f64\b", line):
                    process.kill()
                    raise ToolchainError(
                        f"{archive}: double-precision instruction {' '.join(line.split()[1:])!r} in {function} "
                        f"({member}), on which this chip faults; build the library for fpv5-sp-d16"
                    )
            elif match := re.match(r"[0-9a-f]+ <(.+)>:", line):
                function = match[1]
            elif match := re.match(r"(\S+):\s+file format", line):
                member = match[1]


def _includes(root: Path) -> tuple[Path, ...]:
    base = next((folder for folder in (root, root / "include") if (folder / "tensorflow/lite/micro").is_dir()), None)
    if base is None:
        raise ToolchainError(f"TFLM_ROOT={root}: no headers tensorflow/lite/micro in it or in include/")
    for folder in _THIRD_PARTIES:
        paths = (root / folder / "flatbuffers" / "include", root / folder / "gemmlowp")
        if all(path.is_dir() for path in paths):
            return base, *paths
    raise ToolchainError(
        f"TFLM_ROOT={root}: no flatbuffers/include and gemmlowp in {' or '.join(_THIRD_PARTIES)}, which TFLM's headers "
        "include"
    )


def _refuse_schema(includes) -> None:
    """TFLM's model schema and the FlatBuffers headers must be of one version: the compiler would say it at length."""
    schema = includes[0] / "tensorflow/lite/schema/schema_generated.h"
    base = includes[1] / "flatbuffers/base.h"
    versions = []
    for path, pattern in ((schema, r"FLATBUFFERS_VERSION_{} == (\d+)"), (base, r"FLATBUFFERS_VERSION_{} (\d+)")):
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ToolchainError(f"{path}: not readable ({error.strerror}); TFLM's headers are not complete") from None
        numbers = [re.search(pattern.format(part), text) for part in ("MAJOR", "MINOR", "REVISION")]
        versions.append(".".join(match[1] if match else "?" for match in numbers))
    if versions[0] != versions[1]:
        raise ToolchainError(
            f"schema mismatch: {schema} was generated by FlatBuffers {versions[0]}, the headers in {includes[1]} are "
            f"{versions[1]}"
        )


def _version(root: Path, archive: Path) -> str:
    command = ["git", "-C", str(root), "log", "-1", "--format=%h (%cs)", "--abbrev=7"]
    if (root / ".git").exists():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not done.returncode:
            return done.stdout.strip()
    return f"library {hashlib.sha256(archive.read_bytes()).hexdigest()[:12]}"


def main() -> None:
    """Print one CMake call for each property of the library; an error is one line on stderr."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        library = find(sys.argv[1])
        need_compiler()
    except ToolchainError as error:
        sys.exit(str(error))
    values = {"ARCHIVE": [library.archive], "INCLUDES": library.includes, "DEFINITIONS": library.definitions}
    values |= {"KERNELS_INSIDE": [library.kernels], "VERSION": [library.version]}
    for name, items in values.items():
        print(f'set(TFLM_{name} "{";".join(map(str, items))}")')


if __name__ == "__main__":
    main()

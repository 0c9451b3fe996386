"""Build the firmware (`firmware_tflm/`, CMake presets), say what memory it takes, and compile C for this computer."""

import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from kwslib import cache

SOURCE_FOLDER = cache.PROJECT_FOLDER / "firmware_tflm"
OLDEST_CMAKE = (3, 25)
# Address ranges of the STM32F746NG, RM0385 section 2.2.2; ends are exclusive.
REGIONS = {
    "ITCM": (0x00000000, 0x00004000),
    "flash": (0x08000000, 0x08100000),
    "DTCM": (0x20000000, 0x20010000),
    "SRAM1": (0x20010000, 0x2004C000),
    "SRAM2": (0x2004C000, 0x20050000),
}
_LOG = "build.log"
_PACKAGES = {
    "cmake": "cmake",
    "ninja": "ninja-build",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "cc": "gcc",
}


class ToolchainError(ValueError):
    """The firmware cannot be built; the message names the tool, the setting or the source line, and the remedy."""


def presets() -> list[str]:
    """Names of the presets in firmware_tflm/CMakePresets.json."""
    listed = json.loads((SOURCE_FOLDER / "CMakePresets.json").read_text(encoding="utf-8"))["configurePresets"]
    return [preset["name"] for preset in listed if not preset.get("hidden")]


def require(preset: str) -> None:
    """Raise ToolchainError, with the package to install, where a program is missing that `preset` needs."""
    _find_tools(preset, _environment()["PATH"])


def build(
    preset: str,
    *,
    options: Mapping[str, str | Path] | None = None,
    targets: Iterable[str] = (),
    folder: str | Path | None = None,
) -> Path:
    """Configure and build a preset; returns the folder that holds its .elf, .bin and .map files.

    `options` are CMake variables (`{"FRONTEND": "mfcc"}`); `targets` are the programs to build, all by default.
    The folder is `data/build/PRESET`, with a key of the options behind it where there are any. Only what changed is
    compiled again; what the tools said the last time lies in build.log. `build("host", targets=["test"])` runs the
    unit tests of a built preset `host`. Raises ToolchainError.
    """
    if preset not in presets():
        raise ToolchainError(f"no preset {preset!r}; there are: {', '.join(presets())}")
    options = {
        name: str(value.resolve() if isinstance(value, Path) else value) for name, value in (options or {}).items()
    }
    environment = _environment()
    tools = _find_tools(preset, environment["PATH"])
    name = f"{preset}-{cache.cache_key(options)[:8]}" if options else preset
    folder = Path(folder or cache.data_folder() / "build" / name).resolve()
    with cache.alone(folder):  # two processes that build in one folder would spoil it
        _configure(tools, preset, options, folder, environment)
        named = ["--target", *targets] if (targets := list(targets)) else []
        _run([tools["cmake"], "--build", str(folder), *named], folder, environment, f"preset {preset} does not build")
    return folder


def _configure(tools, preset, options, folder, environment):
    """Run CMake, unless the folder is configured so already."""
    # An older choice of options or tools must not live on in CMake's cache.
    stamp = folder / "configured.json"
    wanted = json.dumps(
        {"preset": preset, "options": options, "tools": [*tools.values(), sys.executable]}, sort_keys=True
    )
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    stamp.unlink(missing_ok=True)
    definitions = [f"-D{name}={value}" for name, value in {"PYTHON": sys.executable, **options}.items()]
    _run(
        [tools["cmake"], "--fresh", "--preset", preset, "-B", str(folder), *definitions],
        folder,
        environment,
        f"preset {preset} cannot be configured",
    )
    stamp.write_text(wanted, encoding="utf-8")


def size_report(elf: str | Path) -> pd.DataFrame:
    """Bytes of each section of a firmware: section, region, bytes, and load_bytes (its initial values in flash)."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile

    rows = []
    try:
        with Path(elf).open("rb") as file:
            for section in ELFFile(file).iter_sections():
                if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_size"]:
                    address, n_bytes = section["sh_addr"], section["sh_size"]
                    region = next((name for name, (low, high) in REGIONS.items() if low <= address < high), "other")
                    loaded = section["sh_type"] != "SHT_NOBITS"
                    rows.append((section.name, region, n_bytes, n_bytes if loaded else 0))
    except OSError as error:
        raise ToolchainError(f"{elf}: not readable ({error.strerror}); build it first: toolchain.build(...)") from None
    except ELFError as error:
        raise ToolchainError(f"{elf}: not an ELF file ({error}); give the .elf of a build folder") from None
    return pd.DataFrame(rows, columns=["section", "region", "bytes", "load_bytes"])


def host_library(name: str, sources: Sequence[Path], headers: Iterable[Path] = (), flags: Sequence[str] = ()) -> Path:
    """Shared library of C sources for this computer, compiled once for each state of `sources` and `headers`.

    It is named after `name` in the cache folder. The compiler is what CC names, or the first of cc, gcc and clang.
    Raises ToolchainError.
    """
    return _compiled(f"{name}.so", sources, headers, ("-O2", "-fPIC", "-shared", *flags))


def host_program(name: str, sources: Sequence[Path], headers: Iterable[Path] = (), flags: Sequence[str] = ()) -> Path:
    """Program of C sources for this computer, as `host_library`."""
    return _compiled(name, sources, headers, flags)


def _compiled(name, sources, headers, flags):
    found = next((path for path in map(shutil.which, ("cc", "gcc", "clang")) if path), "cc")
    command = [*shlex.split(os.environ.get("CC") or found), "-std=c11", *flags]
    state = {"command": command, "platform": platform.platform()}
    state["content"] = cache.content_digest(sorted([*sources, *headers]))
    stem, dot, suffix = name.rpartition(".")
    target = f"{stem}-{cache.cache_key(state)}.{suffix}" if dot else f"{name}-{cache.cache_key(state)}"
    path = cache.data_folder() / "cache" / "host" / target
    if path.is_file():
        return path
    with cache.replacing(path) as temporary:
        command += [*map(str, sources), "-lm", "-o", str(temporary)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            raise ToolchainError(
                f"C compiler {command[0]!r} not found: apt-get install gcc, or name another one in CC"
            ) from None
        if done.returncode:
            raise ToolchainError(f"{name} does not compile: " + "\n".join(done.stderr.splitlines()[:5]))
        temporary.chmod(0o755)
    return path


def _environment():
    """Environment of CMake: programs beside this Python are found last, flags for other compilers are dropped."""
    environment = {name: value for name, value in os.environ.items() if name not in ("CFLAGS", "CPPFLAGS", "LDFLAGS")}
    environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), str(Path(sys.executable).parent)])
    return {**environment, "CTEST_OUTPUT_ON_FAILURE": "1", "LC_ALL": "C"}  # messages in English, plain quotes


def _find_tools(preset, path):
    """Paths of the programs that a preset needs; raises ToolchainError with the package that is missing."""
    needed = ["cmake", "ninja", "cc" if preset == "host" else "arm-none-eabi-gcc"]
    tools = {name: shutil.which(name, path=path) for name in needed}
    missing = [name for name, found in tools.items() if not found]
    if missing:
        packages = " ".join(_PACKAGES[name] for name in missing)
        raise ToolchainError(f"{', '.join(missing)} not found on the PATH; remedy: sudo apt-get install {packages}")
    said = subprocess.run([tools["cmake"], "--version"], capture_output=True, text=True).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    if not version or tuple(map(int, version.groups())) < OLDEST_CMAKE:
        found = version[0] if version else "without a version"
        needed = ".".join(map(str, OLDEST_CMAKE))
        raise ToolchainError(f"{tools['cmake']} is {found}, needed is {needed}; remedy: pip install cmake")
    return tools


def _run(command, folder, environment, failure):
    """Run a command in the source folder and keep its text in build.log; raises ToolchainError."""
    done = subprocess.run(
        command, cwd=SOURCE_FOLDER, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    text = done.stdout.decode("utf-8", errors="replace")
    (folder / _LOG).write_text(text, encoding="utf-8")
    if done.returncode:
        raise ToolchainError(f"{failure}: {_first_errors(text)} (all of it: {folder / _LOG})")


def _first_errors(text, n_lines=3):
    """The lines that say what is wrong: of the compiler, the linker, or the message below `CMake Error`."""
    found = re.findall(r"^CMake Error[^\n]*:\n((?:  [^\n]*\n|\n(?=  ))+)", text, flags=re.MULTILINE)
    lines = [" ".join(block.split()) for block in found]
    lines += [line for line in text.splitlines() if re.search(r"\berror:|undefined reference|/ld:|: failed:", line)]
    lines = [re.sub(r"^\S*/ld: ", "ld: ", line) for line in lines if not re.search(r"in function|ld returned 1", line)]
    lines = lines or [line for line in text.splitlines() if line.strip()][-n_lines:]
    return "; ".join(line.strip() for line in lines[:n_lines])

"""Finding TensorFlow Lite Micro: folders with small libraries that are right, or wrong in one way each."""

import re
import subprocess

import pytest

from kwslib import tflm_library, toolchain
from kwslib.toolchain import ToolchainError

BOARD = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")
CODE = "float twice(float x); float twice(float x) { return 2 * x; }\n"
SCHEMA = "FLATBUFFERS_VERSION_MAJOR == 25 && FLATBUFFERS_VERSION_MINOR == 9 && FLATBUFFERS_VERSION_REVISION == 23\n"
THIRD_PARTY = "tensorflow/lite/micro/tools/make/downloads"


def library(path, code=CODE, flags=BOARD):
    """Compile C into an archive with the name of TFLM's."""
    path.mkdir(parents=True)
    (path / "code.c").write_text(code)
    subprocess.run(["arm-none-eabi-gcc", "-O1", *flags, "-c", "code.c"], cwd=path, check=True)
    subprocess.run(["arm-none-eabi-ar", "rc", tflm_library.NAME, "code.o"], cwd=path, check=True)
    return path / tflm_library.NAME


def headers(root, third_parties=THIRD_PARTY, revision=23):
    """The few headers that are looked at."""
    base = root if third_parties == THIRD_PARTY else root / "include"
    schema = base / "tensorflow/lite/schema"
    flatbuffers = root / third_parties / "flatbuffers/include/flatbuffers"
    for folder in (schema, flatbuffers, base / "tensorflow/lite/micro", root / third_parties / "gemmlowp"):
        folder.mkdir(parents=True, exist_ok=True)
    (schema / "schema_generated.h").write_text(SCHEMA)
    parts = {"MAJOR": 25, "MINOR": 9, "REVISION": revision}
    text = "".join(f"#define FLATBUFFERS_VERSION_{name} {number}\n" for name, number in parts.items())
    (flatbuffers / "base.h").write_text(text)
    return root


def test_a_checkout_after_its_own_build(tmp_path):
    archive = library(headers(tmp_path) / "gen/cortex_m_generic_release/lib")
    found = tflm_library.find(tmp_path)
    assert found.archive == archive and found.kernels == "reference"
    assert found.definitions == ("TF_LITE_STATIC_MEMORY", "TF_LITE_STRIP_ERROR_STRINGS", "NDEBUG")
    assert found.includes[0] == tmp_path and found.includes[1] == tmp_path / THIRD_PARTY / "flatbuffers/include"
    assert found.version.startswith("library ")
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        who = ["-c", "user.name=x", "-c", "user.email=x"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)
    assert tflm_library.find(tmp_path).version[8:10] == "(2"  # commit and day


def test_a_packed_folder_with_messages_and_cmsis_nn(tmp_path):
    code = CODE + "void _Z11MicroPrintfPKcz(void) {}\nvoid arm_convolve_wrapper_s8(void) {}\n"
    library(headers(tmp_path, "third_party") / "lib", code)
    found = tflm_library.find(str(tmp_path))
    assert found.definitions == ("TF_LITE_STATIC_MEMORY",) and found.kernels == "cmsis_nn"
    assert found.includes[0] == tmp_path / "include"


def test_libraries_for_something_else_are_passed_over(tmp_path):
    headers(tmp_path)
    library(tmp_path / "gen/soft/lib", flags=("-mcpu=cortex-m7", "-mthumb", "-mfloat-abi=soft"))
    library(tmp_path / "gen/m3/lib", flags=("-mcpu=cortex-m3", "-mthumb"))
    with pytest.raises(ToolchainError, match=r"no library fits .*/m3/lib.*: for Arm v7 .*soft.*: without hard float"):
        tflm_library.find(tmp_path)
    archive = library(tmp_path / "gen/right/lib")
    assert tflm_library.find(tmp_path).archive == archive
    library(tmp_path / "gen/right_too/lib")
    with pytest.raises(ToolchainError, match=r"2 libraries fit, leave one .*/right/.*: fits; gen/right_too/.*: fits"):
        tflm_library.find(tmp_path)


def test_double_precision_is_named_with_its_function(tmp_path):
    code = CODE + "double precise(double x); double precise(double x) { return 3 * x; }\n"
    flags = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard")
    library(headers(tmp_path) / "lib", code, flags)
    with pytest.raises(ToolchainError, match=r"double-precision instruction '.*f64.*' in precise \(code\.o\).*fpv5-sp"):
        tflm_library.find(tmp_path)


def test_a_library_without_static_memory_is_refused(tmp_path):
    library(headers(tmp_path) / "lib", CODE + "void TfLiteIntArrayCreate(void) {}\n")
    with pytest.raises(ToolchainError, match="without TF_LITE_STATIC_MEMORY"):
        tflm_library.find(tmp_path)


def test_headers_that_do_not_fit_are_refused(tmp_path):
    library(tmp_path / "lib")
    with pytest.raises(ToolchainError, match="no headers tensorflow/lite/micro"):
        tflm_library.find(tmp_path)
    (tmp_path / "include/tensorflow/lite/micro").mkdir(parents=True)
    with pytest.raises(ToolchainError, match="no flatbuffers/include and gemmlowp"):
        tflm_library.find(tmp_path)
    headers(tmp_path, "third_party", revision=24)
    with pytest.raises(ToolchainError, match=r"schema mismatch: .* FlatBuffers 25\.9\.23, .* are 25\.9\.24"):
        tflm_library.find(tmp_path)


def test_a_compiler_without_cxx_headers_is_named(tmp_path, monkeypatch):
    remedy = re.escape("no C++ headers; remedy: sudo apt-get install gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainError, match=remedy):
        tflm_library.need_compiler()
    compiler = tmp_path / "arm-none-eabi-g++"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    with pytest.raises(ToolchainError, match=remedy):
        tflm_library.need_compiler()


def test_the_build_says_what_is_wrong_in_one_line(tmp_path):
    with pytest.raises(ToolchainError, match=r"no libtensorflow-microlite\.a in lib/ or gen/\*/lib/") as error:
        toolchain.build("bench", options={"TFLM_ROOT": tmp_path}, folder=tmp_path / "build")
    assert len(str(error.value).splitlines()) == 1

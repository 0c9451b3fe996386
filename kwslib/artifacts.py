"""Trained models on disk: NAME.tflite with NAME.json beside it, and the C array that the firmware is built with."""

import hashlib
import json
import os
import re
import subprocess
import textwrap
from pathlib import Path

from kwslib import cache
from kwslib.config import ConfigError, FeatureConfig, TaskConfig
from kwslib.interpreters import TflmMissingError, tflm_arena_bytes
from kwslib.tflite_graph import ModelFileError, describe, read_model

# What the caller of `save_model` has to know; the rest is read from the model file.
REQUIRED = (
    "labels",
    "task",
    "features",
    "dataset",
    "train",
    "seed",
    "format",
    "accuracy",
    "ci_low",
    "ci_high",
    "n_test",
)


def save_model(folder: str | Path, name: str, tflite: bytes, meta: dict) -> Path:
    """Write NAME.tflite and NAME.json, each at once or not at all; returns the path of the .tflite file.

    `meta` (JSON types) must hold: labels, task (`TaskConfig.to_dict()`), features (`FeatureConfig.to_dict()`, with
    the normalisation), dataset, train (`TrainConfig.to_dict()`), seed, format (one of `quantize.FORMATS`, "qat" or
    "qat_plain"), accuracy, ci_low, ci_high and n_test (clips the accuracy was measured on). More keys are kept.
    Added from the file: name, params, macs, model_bytes, arena_bytes (null where TFLM is missing), sha256; and
    git_revision if not given.

    Raises ModelFileError for a missing key or one that does not fit the model.
    """
    path = Path(folder) / f"{name}.tflite"
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise ModelFileError(f"model name {name!r}: allowed are letters, digits, '_', '-' and '.'")
    info = describe(tflite)
    try:
        arena_bytes = tflm_arena_bytes(tflite)
    except TflmMissingError:
        arena_bytes = None
    meta = {"git_revision": git_revision()} | meta
    meta |= {"name": name, "params": info.parameters, "macs": info.macs, "model_bytes": info.model_bytes}
    meta |= {"arena_bytes": arena_bytes, "sha256": hashlib.sha256(tflite).hexdigest()}
    _check(meta, tflite, path.with_suffix(".json"))
    try:
        text = json.dumps(meta, indent=1, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{path.with_suffix('.json')}: not writable as JSON ({error})") from None
    with cache.replacing(path) as temporary:
        temporary.write_bytes(tflite)
    with cache.replacing(path.with_suffix(".json")) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def load_model(path: str | Path) -> tuple[bytes, dict]:
    """Read NAME.tflite and the NAME.json beside it, as `save_model` wrote them: `(content, meta)`.

    Raises ModelFileError, which names the file, for a missing or damaged file, a .tflite file that is not the one
    its JSON describes (sha256), and labels or features that do not fit the model.
    """
    path = Path(path)
    tflite = read_model(path)
    json_path = path.with_suffix(".json")
    try:
        meta = json.loads(json_path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelFileError(
            f"{json_path}: not readable ({error.strerror}); it names the labels, task and features of {path.name} "
            "and belongs beside it, as save_model writes it"
        ) from None
    except ValueError as error:
        raise ModelFileError(f"{json_path}: not valid JSON ({error}); save the model again") from None
    if not isinstance(meta, dict):
        raise ModelFileError(f"{json_path}: a JSON object is needed, got {type(meta).__name__}; save the model again")
    _check(meta, tflite, json_path)
    return tflite, meta


def git_revision(folder: str | Path = cache.PROJECT_FOLDER) -> str:
    """Short hash of the commit of a checkout, with "+changes" if files differ from it; "unknown" outside git.

    Changes in `results/` and `notebooks/`, which runs write themselves, do not count.
    """
    # A git hook sets GIT_DIR and the like for its own repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}

    def git(*words):
        command = ["git", "-C", str(folder), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    try:
        revision = git("rev-parse", "--short", "HEAD")
        changes = git("status", "--porcelain", "--", ".", ":(exclude)results", ":(exclude)notebooks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return revision + ("+changes" if changes else "")


def write_c_array(
    path_without_suffix: str | Path, tflite: bytes, meta: dict | None, command: str = "", origin: str = ""
) -> tuple[Path, Path]:
    """Write a model as C++ source: PATH.h and PATH.cc; returns both paths.

    Declares `g_NAME_data`, 16-byte aligned as TensorFlow Lite Micro needs it, and `g_NAME_data_bytes`; NAME is the
    file's name with other characters than letters and digits as `_`. A comment says where the model comes from;
    `meta` is as `load_model` returns it, `command` what to run to write the files again. For a model without metadata
    `meta` is None and `origin` says in words what it is.

    Raises ModelFileError if `meta` describes another model.
    """
    base = Path(path_without_suffix)
    header, source = base.with_name(base.name + ".h"), base.with_name(base.name + ".cc")
    if meta is not None:
        _check(meta, tflite, header)
    symbol = "g_" + re.sub(r"\W", "_", base.name, flags=re.ASCII) + "_data"
    comment = _provenance(tflite, meta, command, origin)
    guard = f"{symbol.upper()}_H_"
    declarations = [
        comment,
        f"#ifndef {guard}",
        f"#define {guard}\n",
        f"constexpr unsigned int {symbol}_bytes = {len(tflite)};",
        f"extern const unsigned char {symbol}[{symbol}_bytes];\n",
        f"#endif  // {guard}\n",
    ]
    rows = [", ".join(f"0x{byte:02x}" for byte in tflite[first : first + 16]) for first in range(0, len(tflite), 16)]
    definition = [
        comment,
        f'#include "{header.name}"\n',
        f"alignas(16) const unsigned char {symbol}[{symbol}_bytes] = {{",
        *(f"    {row}," for row in rows),
        "};\n",
    ]
    for path, lines in ((header, declarations), (source, definition)):
        with cache.replacing(path) as temporary:
            temporary.write_text("\n".join(lines), encoding="utf-8")
    return header, source


def _provenance(tflite: bytes, meta: dict | None, command: str, origin: str) -> str:
    """Comment lines: which model, from which data and settings, at which accuracy."""
    if meta is None:
        facts = {"model": f"{origin}, {len(tflite)} bytes", "sha256": hashlib.sha256(tflite).hexdigest()}
        return _comment(facts | {"command": command})
    facts = {
        "model": f"{meta['name']}.tflite, {len(tflite)} bytes, {meta['format']}, seed {meta['seed']}",
        "sha256": meta["sha256"],
        "data set": meta["dataset"],
        "task": meta["task"]["name"],
        "labels": ", ".join(meta["labels"]),
        "features": json.dumps(meta["features"], sort_keys=True),
        "accuracy": f"{meta['accuracy']:.4f}, 95 % interval {meta['ci_low']:.4f} to {meta['ci_high']:.4f}, "
        f"{meta['n_test']} test clips",
        "revision": meta["git_revision"],
        "command": command,
    }
    return _comment(facts)


def _comment(facts: dict) -> str:
    lines = ["// Generated by kwslib.artifacts.write_c_array; do not edit.", "//"]
    for key, value in facts.items():
        # A line that ends in a backslash would go on in the next one.
        text = " ".join(str(value).replace("\\", "/").split())
        lines += textwrap.wrap(text, 116, initial_indent=f"// {key}: ", subsequent_indent="//   ") if text else []
    return "\n".join(lines) + "\n"


def _check(meta: dict, tflite: bytes, path: Path) -> None:
    """Refuse metadata that lack a key or do not fit the model; `path` is the file the message names."""
    missing = [key for key in (*REQUIRED, "name", "sha256", "git_revision") if key not in meta]
    if missing:
        raise ModelFileError(f"{path}: {', '.join(map(repr, missing))} missing; save the model again with save_model")
    if meta["sha256"] != hashlib.sha256(tflite).hexdigest():
        raise ModelFileError(f"{path}: sha256 differs, it describes another .tflite file; save the model again")
    try:
        task, features = TaskConfig.from_dict(meta["task"]), FeatureConfig.from_dict(meta["features"])
    except (ConfigError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {error}; save the model again") from None
    info = describe(tflite)
    if list(meta["labels"]) != list(task.labels):
        raise ModelFileError(f"{path}: labels {list(meta['labels'])} are not those of the task, {list(task.labels)}")
    if info.output.size != len(task.labels):
        raise ModelFileError(f"{path}: {len(task.labels)} labels, but the model has {info.output.size} outputs")
    if info.input.shape != (1, *features.shape):
        raise ModelFileError(
            f"{path}: features of shape {features.shape}, but the model's input is {info.input.shape[1:]}; "
            "the features must be those the model was trained with"
        )

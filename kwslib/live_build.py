"""Build the always-on keyword spotter (`firmware_tflm/live`) for a model.

python -m kwslib.live_build FIRMWARE.elf    write the hash of its network into the program; the build calls it
"""

import argparse
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import artifacts, cache, engine_c, streaming, tflm, tflm_board, tflm_library, toolchain
from kwslib import engine as static_engine
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.decision import ONE, DecisionConfig
from kwslib.engine import EngineError, Program
from kwslib.kernel_sets import KERNEL_SETS
from kwslib.tflite_graph import ModelInfo, describe

ENGINES = ("static", "tflm")  # C over our kernels, or TensorFlow Lite Micro
FRR_TARGET = 0.1  # share of keywords that the default decision missed on the validation stream
SMOOTHING_HOPS, THRESHOLD = 20, 0.64  # those of the dense tc_resnet_w2, for models without a row in streaming.csv
_VOLUME_UNITY, _VOLUME_STEP_DB, _VOLUME_MOST_DB = 0xC0, 0.375, 17.625  # of the codec, WM8994 datasheet
_RATE_HZ, _MOST_HOP_SAMPLES = 16_000, 1024  # AUDIO_RATE_HZ and AUDIO_MOST_HOP_SAMPLES of the board's audio.h
_HEADER = "live_model.h"


def plan(model: str | Path, kernels: str | None = None) -> tuple[Program, dict]:
    """The network of NAME.tflite with the kernels that suit it (or `kernels`), and its JSON.

    Raises EngineError for a model that is not int8 from end to end, and what `artifacts.load_model` raises.
    """
    tflite, meta = artifacts.load_model(model)
    program = static_engine.plan(tflite, kernels or suitable_kernels(meta), name=meta["name"])
    _need_int8(program.info, meta["name"])
    return program, meta


def _need_int8(info: ModelInfo, name: str) -> None:
    if {info.input.dtype, info.output.dtype} != {"int8"}:
        raise EngineError(f"{name}: the live firmware takes int8 models, not {info.input.dtype}")


def _need_microphones(meta: dict) -> None:
    features = FeatureConfig.from_dict(meta["features"])
    rate_hz, hop = features.sample_rate_hz, features.hop_samples
    if rate_hz != _RATE_HZ:
        raise EngineError(f"{meta['name']}: sample_rate_hz = {rate_hz}: the microphones are recorded at {_RATE_HZ} Hz")
    if hop % 2 or hop > _MOST_HOP_SAMPLES:
        allowed = f"an even number of samples, at most {_MOST_HOP_SAMPLES}"
        raise EngineError(f"{meta['name']}: hop_samples = {hop}: the microphones are read in hops of {allowed}")


def tflm_root() -> Path:
    """The built TensorFlow Lite Micro of the live firmware: the last folder in TFLM_ROOT. Raises ToolchainError."""
    roots = tflm_board.roots()
    if not roots:
        raise toolchain.ToolchainError(
            "engine tflm: the environment variable TFLM_ROOT names no built TensorFlow Lite Micro; "
            "firmware_tflm/README.md says how to get one"
        )
    return roots[-1]


def suitable_kernels(meta: dict) -> str:
    """The kernel set made for the zeros of a model, from its JSON, or "best"."""
    granularity = (meta.get("prune") or {}).get("granularity")
    return granularity if granularity in KERNEL_SETS else "best"


def default_decision(model: str | Path, frr_target: float = FRR_TARGET) -> tuple[DecisionConfig, str]:
    """The decision that notebook 08 chose for NAME.tflite on its validation stream, and a word on where it comes from.

    It is looked up in tables/streaming.csv beside the model's folder: the row of this very file at `frr_target`. A
    model without one gets SMOOTHING_HOPS and THRESHOLD.
    """
    meta, path = artifacts.load_model(model)[1], Path(model).resolve().parent.parent / "tables" / "streaming.csv"
    table = pd.read_csv(path) if path.is_file() else pd.DataFrame()
    if {"sha256", "frr_target", "smoothing_hops", "threshold"} <= set(table.columns):
        rows = table[(table.sha256 == meta["sha256"]) & np.isclose(table.frr_target, frr_target)]
        rows = rows.dropna(subset="threshold")
        if len(rows):
            row = rows.iloc[0]
            chosen = decision_of(meta, int(row.smoothing_hops), row.threshold / ONE)
            return chosen, f"chosen in tables/{path.name} for {frr_target:.0%} missed keywords"
    return decision_of(meta, SMOOTHING_HOPS, THRESHOLD), f"those of tc_resnet_w2; {meta['name']} has none of its own"


def decision_of(meta: dict, smoothing_hops: int, threshold: float) -> DecisionConfig:
    """The decision of the task in a model's JSON: see `streaming.settings`."""
    features = FeatureConfig.from_dict(meta["features"])
    hop_ms = 1000 * features.hop_samples / features.sample_rate_hz
    return streaming.settings(TaskConfig.from_dict(meta["task"]), hop_ms, smoothing_hops, threshold)


def build(
    model: str | Path,
    kernels: str | None = None,
    decision: DecisionConfig | None = None,
    gain_db: float = 0.0,
    engine: str = "static",
) -> Path:
    """Build the firmware for NAME.tflite (NAME.json beside it); returns kws_live.elf.

    `kernels` are those of engine "static"; "tflm" takes what its library holds (`tflm_root`). `gain_db` is that of the
    microphones in the codec, 0 to 17.625 dB. Raises EngineError, also for features that the microphones do not serve,
    `toolchain.ToolchainError` and, for what TensorFlow Lite Micro refuses, TflmError.
    """
    if not 0 <= gain_db <= _VOLUME_MOST_DB:
        raise EngineError(f"gain_db = {gain_db}: the codec amplifies by 0 to {_VOLUME_MOST_DB} dB")
    if engine not in ENGINES:
        raise EngineError(f"engine = {engine!r}: choose {' or '.join(ENGINES)}")
    sources = _static_sources if engine == "static" else _tflm_sources
    meta, kernels, files, options = sources(Path(model), kernels)
    _need_microphones(meta)
    files[_HEADER] = _header(meta, kernels, decision or default_decision(model)[0], gain_db)
    folder = cache.data_folder() / "live" / f"{meta['name']}-{cache.cache_key(files)[:8]}"
    if not (folder / _HEADER).is_file():
        for name, text in files.items():  # this header last: it says that the folder is whole
            with cache.replacing(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
    options |= {"LIVE": folder, "FRONTEND": Path(model).with_suffix(".json")}
    return toolchain.build("stm32f746g-disco", options=options, targets=["kws_live"]) / "kws_live.elf"


def _static_sources(model: Path, kernels: str | None) -> tuple[dict, str, dict, dict]:
    """JSON of a model, name of its kernels, generated files and options of the build."""
    program, meta = plan(model, kernels)
    return meta, program.kernels, dict(zip(("network.h", "network.c"), engine_c.texts(program), strict=True)), {}


def _tflm_sources(model: Path, kernels: str | None) -> tuple[dict, str, dict, dict]:
    """As `_static_sources`; the model itself is written by the build (cmake/tflm.cmake)."""
    tflite, meta = artifacts.load_model(model)
    if kernels:
        raise EngineError(f"kernels {kernels!r}: engine tflm takes those of its library; leave them out")
    info, root = describe(tflite), tflm_root()
    _need_int8(info, meta["name"])
    tflm.check(tflite)
    library = tflm_library.find(root)
    note = f"/* Generated by kwslib.live_build from {meta['name']}.tflite; do not edit. */"
    lines = [note, "#ifndef NETWORK_H", "#define NETWORK_H", "", *engine_c.tensor_defines(info), "#endif", ""]
    said = f"{library.kernels} of TensorFlow Lite Micro {library.version}"
    return meta, said, {"network.h": "\n".join(lines)}, {"TFLM_ROOT": root, "TFLM_MODEL": model}


def _header(meta: dict, kernels: str, decision: DecisionConfig, gain_db: float) -> str:
    """Text of live_model.h."""
    names = ("classes", "smoothing", "threshold", "release", "refractory")
    config = {name: getattr(decision, name) for name in names} | {"keywords": decision.mask}
    members = ", ".join(f".{name} = {value}" for name, value in config.items())
    defines = {
        "MODEL": json.dumps(meta["name"]),
        "KERNELS": json.dumps(kernels),
        "SHA256": json.dumps(meta["sha256"]),
        "LABELS": f"{{{', '.join(map(json.dumps, meta['labels']))}}}",
        "DECISION": f"{{{members}}}",
        "VOLUME": f"0x{_VOLUME_UNITY + round(gain_db / _VOLUME_STEP_DB):X}u /* {gain_db:g} dB */",
    }
    lines = [f"#define LIVE_{name} {value}" for name, value in defines.items()]
    note = f"/* Generated by kwslib.live_build from {meta['name']}.json; do not edit. */"
    return "\n".join([note, "#ifndef LIVE_MODEL_H", "#define LIVE_MODEL_H", "", *lines, "", "#endif", ""])


def network_hash(data: bytes) -> int:
    """FNV-1a of 32 bits, as the firmware calculates it."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return value


def seal(elf: str | Path) -> int:
    """Write the hash of a firmware's network into its variable `network_hash`; returns the hash."""
    from elftools.elf.elffile import ELFFile

    path = Path(elf)
    content = bytearray(path.read_bytes())
    with path.open("rb") as file:
        image = ELFFile(file)
        symbols = image.get_section_by_name(".symtab")
        names = ("__network_start", "__network_end", "network_hash")
        start, end, target = (symbols.get_symbol_by_name(name)[0]["st_value"] for name in names)
        segments = [segment for segment in image.iter_segments() if segment["p_type"] == "PT_LOAD"]

        def place(address):
            home = next(s for s in segments if s["p_vaddr"] <= address < s["p_vaddr"] + s["p_filesz"])
            return home["p_offset"] + address - home["p_vaddr"]

        value = network_hash(content[place(start) : place(start) + end - start])
        struct.pack_into("<I", content, place(target), value)
    path.write_bytes(content)
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m kwslib live`."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite", help="int8 model, with MODEL.json beside it")
    parser.add_argument("--engine", choices=ENGINES, default="static", help="what runs the network (static)")
    parser.add_argument("--kernels", choices=KERNEL_SETS, help="kernel set of engine static (what suits the model)")
    parser.add_argument("--smoothing", type=int, help="hops averaged (as notebook 08 chose)")
    parser.add_argument("--threshold", type=float, help="averaged score, 0 to 1 (as notebook 08 chose)")
    parser.add_argument("--gain", type=float, default=0.0, help="of the microphones in dB, 0 to 17.625 (0)")


def main(arguments: argparse.Namespace) -> None:
    """Build, and say how much memory the firmware takes."""
    decision, origin = default_decision(arguments.model)
    smoothing, threshold = arguments.smoothing, arguments.threshold
    if smoothing is not None or threshold is not None:
        smoothing = decision.smoothing if smoothing is None else smoothing
        threshold = decision.threshold / ONE if threshold is None else threshold
        decision, origin = decision_of(artifacts.load_model(arguments.model)[1], smoothing, threshold), "as asked"
    print(f"decision: {decision.smoothing} hops averaged, threshold {decision.threshold / ONE:.2f}: {origin}")
    elf = build(arguments.model, arguments.kernels, decision, arguments.gain, arguments.engine)
    print(f"{toolchain.size_report(elf).to_string(index=False)}\n\n{elf}")


if __name__ == "__main__":
    seal(sys.argv[1])

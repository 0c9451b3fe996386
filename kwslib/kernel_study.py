"""What networks cost on the emulated board, by kernel set and machine setting: the rows of `kernels.csv`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import artifacts, cache, engine, engine_board, interpreters, material, sweep
from kwslib.config import FeatureConfig, TaskConfig
from kwslib.tflite_graph import WEIGHTED_OPS, describe

CLOCK_HZ = 216e6
BOARD_POWER_W = 0.447  # of an F746 board while it computes, nearly the same for all networks: Banbury et al., MLSys 2021
CLIPS = 3  # that every program answers
KERNELS_COLUMNS = ["dataset", "model", "task", "accuracy", "n_test", "granularity", "sparsity", "data_type", "kernel"]
KERNELS_COLUMNS += ["engine", "machine_setting", "instructions", "est_cycles", "low", "high", "cycles_per_mac"]
KERNELS_COLUMNS += ["est_ms_216mhz", "flash_bytes", "ram_bytes", "bit_exact", "largest_difference", "fallbacks"]
KERNELS_COLUMNS += ["est_energy_mj", "measured_energy_mj", "model_file"]
# Published by Wang & Li 2022 for `paper_cnn` on an STM32F767 at 216 MHz: data type, what ran, milliseconds.
PAPER_POINTS = [("float32", "float32", 30.8), ("int16x8", "int16", 21.4), ("int16x8", "int16, SMLAD", 15.6)]
_LOOPS = ("plain", "skip", "weight_first", "weight_first_skip")
_LOOPS += ("weight_first_registers", "weight_first_registers_skip")
# The ladder: kernel sets for each data type, from plain loops to the best.
RUNGS = {
    "float32": (*_LOOPS, "best"),
    "int16x8": (*_LOOPS, "simd_long", "simd", "simd_expand", "best"),
    "int8": (*_LOOPS, "simd", "best"),
}
# Kernel sets that profit from the zeros of each granularity.
_SKIPPING = ("skip", "weight_first_skip", "weight_first_registers_skip")
OWN = {
    "element": (*_SKIPPING, "element"),
    "block4": (*_SKIPPING, "element", "block4"),
    "vector": (*_SKIPPING, "element", "vector"),
    "filter": ("plain", "best"),
}


def paper_points() -> pd.DataFrame:
    """What the paper published: data_type, name, ms."""
    return pd.DataFrame(PAPER_POINTS, columns=["data_type", "name", "ms"])


def saved_models(results: str | Path, networks: Sequence[str]) -> pd.DataFrame:
    """Models that notebooks 04 and 05 saved for the board, task `paper6`: a row a file, its facts and its path.

    Raises FileNotFoundError where the notebooks have not run.
    """
    folder = Path(results)
    pruning, formats = (pd.read_csv(folder / "tables" / f"{name}.csv") for name in ("pruning", "quantization"))
    rows = []
    for name in [*pruning.model_file.dropna(), *formats.model_file.dropna()]:
        meta = artifacts.load_model(folder / name)[1]
        rows.append(_facts(meta) | {"model_file": Path(name).name, "path": str(folder / name)})
    table = pd.DataFrame(rows)
    table = table[table.model.isin(networks)].assign(order=table.model.map({n: k for k, n in enumerate(networks)}))
    return table.sort_values(["order", "data_type", "granularity", "sparsity"]).drop(columns="order")


def run(
    models: Sequence[str | Path], kernels: Sequence[str], data: str, *, setting: str = "ours", wait_cycles: int = 0
) -> pd.DataFrame:
    """Run saved models on kernel sets: a row a pair with KERNELS_COLUMNS, and `error` where a model does not fit.

    `data` gives the clips that are played; `wait_cycles` are added to each access to RAM that no cache serves. Finished rows come from the cache as long as neither the model nor the
    code of firmware, engine and emulated board has changed.
    """
    grid = [
        {"model_file": Path(path).name, "sha256": artifacts.load_model(path)[1]["sha256"], "kernel": kernel}
        | {"machine_setting": setting, "wait_cycles": wait_cycles, "folder": str(Path(path).parent)}
        for path in models
        for kernel in kernels
    ]
    folders = {point["model_file"]: point.pop("folder") for point in grid}
    fixed = {"folders": folders, "data": data}
    folder = cache.data_folder() / "cache" / "kernels"
    table = sweep.run(measured, grid, folder, version=1, data=_code(), fixed=fixed, n_jobs=1, title="emulated board")
    return table.reindex(columns=[*KERNELS_COLUMNS, "error"])


def measured(
    model_file: str, sha256: str, kernel: str, machine_setting: str, wait_cycles: int, folders: dict, data: str
) -> dict:
    """One row of `kernels.csv`: the model over a kernel set on the emulated board, compared with TFLM.

    `accuracy` is what the model's .json says. `cycles_per_mac` is per multiply-accumulate of the file, zeros too.
    `flash_bytes` are constants, the network's code, kernels and libraries, without drivers; `ram_bytes` are
    activations and stack. `bit_exact` and `largest_difference` compare the outputs of CLIPS validation clips with
    TFLM's. Energy is time times BOARD_POWER_W. Raises EngineError and what building and running raise.
    """
    tflite, meta = artifacts.load_model(Path(folders[model_file]) / model_file)
    program = engine.plan(tflite, kernel, name=Path(model_file).stem)
    board = engine_board.NetworkOnBoard(program, setting=machine_setting)
    task, front_end = TaskConfig.from_dict(meta["task"]), FeatureConfig.from_dict(meta["features"])
    clips = material.recordings(data, task, front_end).evaluation["validation"][0]
    clips = clips[:: max(1, len(clips) // CLIPS)][:CLIPS]
    expected = interpreters.run_tflm(tflite, clips)
    found = [board.run(values) for values in interpreters.quantize_input(clips, program.info.input)]
    difference = np.abs(np.ravel(found).astype(float) - np.ravel(expected)).max()
    costs, sizes, macs = board.costs(wait_cycles), board.sizes(), program.info.macs
    return _facts(meta) | {
        "engine": "static",
        "instructions": costs["instructions"],
        "est_cycles": costs["cycles"],
        "low": costs["low"],
        "high": costs["high"],
        "cycles_per_mac": costs["cycles"] / macs,
        "est_ms_216mhz": 1e3 * costs["cycles"] / CLOCK_HZ,
        "flash_bytes": sum(sizes[part] for part in ("constants", "network_code", "kernels", "library")),
        "ram_bytes": sizes["arena"] + sizes["stack"],
        "bit_exact": bool(difference == 0),
        "largest_difference": difference,
        "fallbacks": "; ".join(program.notes),
        "est_energy_mj": 1e3 * costs["cycles"] / CLOCK_HZ * BOARD_POWER_W,
        "measured_energy_mj": None,
    }


def thinned(tflite: bytes, sparsity: float) -> bytes:
    """The model with the smallest weights of each layer but the last set to zero: for timing, its answers mean nothing.

    Weights count in real units, each with the scale of its filter.
    """
    info, thin = describe(tflite), tflite
    layers = [op for op in info.ops if op.name in WEIGHTED_OPS]
    for op in layers[:-1]:
        tensor = info.tensors[op.inputs[1]]
        values, scales = tensor.data.copy(), np.ones(1)
        if len(tensor.scales) > 1:
            scales = np.reshape(tensor.scales, [-1 if axis == tensor.axis else 1 for axis in range(values.ndim)])
        order = np.argsort(np.abs(values * scales), axis=None, kind="stable")
        values.reshape(-1)[order[: round(sparsity * values.size)]] = 0
        thin = thin.replace(tensor.data.tobytes(), values.tobytes(), 1)
    return thin


def break_even(levels: Sequence[float], cycles: Sequence[float], dense_cycles: float) -> float:
    """Sparsity from which on a kernel is faster than `dense_cycles`, linear between levels; NaN if it never is."""
    for (x0, y0), (x1, y1) in zip(zip(levels, cycles), zip(levels[1:], cycles[1:]), strict=True):
        if y0 >= dense_cycles > y1:
            return x0 + (x1 - x0) * (y0 - dense_cycles) / (y0 - y1)
    return float("nan")


def break_even_table(path: str | Path, kernels: Sequence[str], levels: Sequence[float]) -> pd.DataFrame:
    """Sparsity at which kernel sets overtake dense ones on a model thinned to `levels`, for the int8 model at `path`.

    A row a kernel set, rival and level: kernel, against ("plain" or "best", the dense model's kernels), sparsity,
    est_cycles, dense_cycles, break_even (NaN if not reached).
    """
    tflite, rows = artifacts.load_model(path)[0], []
    rivals = {rival: _cycles(tflite, rival) for rival in ("plain", "best")}
    for kernel in kernels:
        cycles = [_cycles(thinned(tflite, level), kernel) for level in levels]
        for rival, dense in rivals.items():
            facts = {"kernel": kernel, "against": rival, "dense_cycles": dense}
            facts["break_even"] = break_even(levels, cycles, dense)
            rows += [facts | {"sparsity": s, "est_cycles": c} for s, c in zip(levels, cycles, strict=True)]
    return pd.DataFrame(rows)


def _cycles(tflite, kernels):
    program = engine.plan(tflite, kernels)
    board = engine_board.NetworkOnBoard(program)
    board.run(np.zeros(program.info.input.size, program.info.input.dtype))
    return board.costs()["cycles"]


def _facts(meta):
    """What a row says of its model."""
    prune = meta.get("prune") or {}
    return {
        "dataset": meta["dataset"],
        "model": _label(meta),
        "task": meta["task"]["name"],
        "accuracy": meta["accuracy"],
        "n_test": meta["n_test"],
        "granularity": prune.get("granularity", "dense"),
        "sparsity": prune.get("sparsity", 0.0),
        "data_type": meta["format"],
    }


def _label(meta):
    width = meta["network"]["options"].get("width")
    return meta["network"]["builder"] + (f"_w{width:g}" if width else "")


def _code() -> str:
    """Digest of what a row depends on beside the model."""
    here, firmware = Path(__file__).parent, cache.PROJECT_FOLDER / "firmware_tflm"
    names = ("engine", "kernels", "kernel_study", "timing", "instructions", "recorder", "profile", "machine", "core")
    modules = [path for path in here.glob("*.[pc]*") if path.stem.split("_")[0] in names or path.stem in names]
    sources = [path for path in firmware.rglob("*") if path.is_file() and path.suffix != ".md"]
    return cache.content_digest(sorted([*modules, *sources]))

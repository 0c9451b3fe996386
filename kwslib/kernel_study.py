"""What networks cost on the emulated board, by kernel set and machine setting: the rows of `kernels.csv`."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import artifacts, cache, engine, engine_board, interpreters, material, sweep
from kwslib.config import FeatureConfig, TaskConfig, milliseconds
from kwslib.kernel_sets import KERNEL_SETS
from kwslib.tflite_graph import WEIGHTED_OPS, describe

# Of an F746 board while it computes, nearly the same for all networks: Banbury et al., MLSys 2021.
BOARD_POWER_W = 0.447
CLIPS = {"ours": 3, "paper": 1}  # that every program answers, by machine setting
# Modules whose code the rows depend on, recorder.c too.
_MODULES = """
arena *peripherals config core* dma engine* exceptions firmware i2c instructions interpreters kernel* link_map machine
packers_wide profile recorder* registers scheduler soc tflite_graph timers timing toolchain traps usart wm8994
"""
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
    "int8": (*_LOOPS, "simd_expand", "simd", "best"),
}
RIVALS = ("plain", "weight_first", "weight_first_registers", "best")  # dense kernels, for the break-even
# Kernel sets that profit from the zeros of each granularity.
_SKIPPING = ("skip", "weight_first_skip", "weight_first_registers_skip")
OWN = {
    "element": (*_SKIPPING, "element", "mixed"),
    "block4": (*_SKIPPING, "element", "block4", "mixed"),
    "vector": (*_SKIPPING, "element", "vector", "mixed"),
    "filter": ("plain", "best"),
}


def paper_points(model: str) -> pd.DataFrame:
    """What the paper published of a network: data_type, name, ms; no row but for `paper_cnn`."""
    return pd.DataFrame(PAPER_POINTS if model == "paper_cnn" else [], columns=["data_type", "name", "ms"])


def saved_models(results: str | Path, networks: Sequence[str]) -> pd.DataFrame:
    """Models that notebooks 04 and 05 saved for the board: a row a file, its facts and its path.

    Raises FileNotFoundError where the notebooks have not run.
    """
    folder = Path(results)
    pruning, formats = (pd.read_csv(folder / "tables" / f"{name}.csv") for name in ("pruning", "quantization"))
    rows = []
    for name in [*pruning.model_file.dropna(), *formats.model_file.dropna()]:
        rows.append(saved_model(folder / name))
    table = pd.DataFrame(rows)
    table = table[table.model.isin(networks)].assign(order=table.model.map({n: k for k, n in enumerate(networks)}))
    return table.sort_values(["order", "data_type", "granularity", "sparsity"]).drop(columns="order")


def saved_model(path: str | Path) -> dict:
    """One row of `saved_models`: what the .json beside a model says. Raises ModelFileError."""
    path, meta = Path(path), artifacts.load_model(path)[1]
    return _facts(meta) | {"model_file": path.name, "sha256": meta["sha256"], "path": str(path)}


def run(models: pd.DataFrame, kernels: dict[str, Sequence[str]], data: str, *, setting="ours", wait_cycles=0):
    """Run saved models on kernel sets: the table with KERNELS_COLUMNS, and `error` where something went wrong.

    `models` are rows of `saved_models`; `kernels` maps their granularity to names of kernel sets. "mixed" takes for
    each operator the fastest of our dense and sparse kernels. `data` gives the clips that are played; `wait_cycles` are
    added to each access to RAM that no cache serves. Finished models come from the cache as long as neither they nor
    the code of firmware, engine and emulated board changed.
    """
    grid, folders = [], {}
    for row in models[models.granularity.isin(kernels)].itertuples():
        folders[row.model_file] = str(Path(row.path).parent)
        point = {"model_file": row.model_file, "sha256": row.sha256, "kernels": tuple(kernels[row.granularity])}
        grid.append(point | {"setting": setting, "wait_cycles": wait_cycles})
    fixed = {"folders": folders, "data": data}
    folder = cache.data_folder() / "cache" / "kernels"
    table = sweep.run(measured, grid, folder, version=1, data=_code(), fixed=fixed, n_jobs=1, title="emulated board")
    return table.reindex(columns=[*KERNELS_COLUMNS, "error"])


def measured(model_file: str, sha256: str, kernels: Sequence[str], setting: str, wait_cycles: int, folders, data):
    """Rows of `kernels.csv`: a model over kernel sets on the emulated board, compared with TFLM.

    `accuracy` is what the model's .json says. `cycles_per_mac` is per multiply-accumulate of the file, zeros too.
    `flash_bytes` are constants, the network's code, kernels and libraries, without drivers; `ram_bytes` are
    activations and stack. `bit_exact` and `largest_difference` compare the outputs of CLIPS validation clips with
    TFLM's. Energy is time times BOARD_POWER_W. Raises EngineError and what building and running raise.
    """
    tflite, meta = artifacts.load_model(Path(folders[model_file]) / model_file)
    facts, name = _facts(meta), Path(model_file).stem
    programs = [_program(tflite, kernel, name, facts["granularity"]) for kernel in kernels]
    task, front_end = TaskConfig.from_dict(meta["task"]), FeatureConfig.from_dict(meta["features"])
    clips = material.validation(data, task, front_end)[0]
    clips = clips[:: max(1, len(clips) // CLIPS[setting])][: CLIPS[setting]]
    expected = interpreters.run_tflm(tflite, clips)
    rows = []
    for kernel, program, elf in zip(kernels, programs, engine_board.build(programs, setting), strict=True):
        board = engine_board.NetworkOnBoard(program, elf)
        found = [board.run(values) for values in interpreters.quantize_input(clips, program.info.input)]
        row = facts | {"kernel": kernel, "engine": "static", "machine_setting": setting}
        rows.append(row | _costs(board, wait_cycles) | _agreement(np.array(found), expected))
        rows[-1]["fallbacks"] = "; ".join(program.notes)
    return rows


def _program(tflite, kernel, name, granularity):
    if kernel != "mixed":
        return engine.plan(tflite, kernel, name=name)
    sets = ("packed", "simd", *((granularity,) if granularity in KERNEL_SETS else ()))
    return engine.plan(tflite, "best", engine_board.fastest(tflite, sets, name), name=name)


def _costs(board, wait_cycles):
    costs, sizes = board.costs(wait_cycles), board.sizes()
    return {
        "instructions": costs["instructions"],
        "est_cycles": costs["cycles"],
        "low": costs["low"],
        "high": costs["high"],
        "cycles_per_mac": costs["cycles"] / board.program.info.macs,
        "est_ms_216mhz": milliseconds(costs["cycles"]),
        "flash_bytes": sum(sizes[part] for part in ("constants", "network_code", "kernels", "library")),
        "ram_bytes": sizes["arena"] + sizes["stack"],
        "est_energy_mj": milliseconds(costs["cycles"]) * BOARD_POWER_W,
        "measured_energy_mj": None,
    }


def _agreement(found, expected):
    difference = np.abs(found.astype(float).ravel() - expected.astype(float).ravel()).max()
    return {"bit_exact": bool(difference == 0), "largest_difference": difference}


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
    """Sparsity from which on a kernel is faster than `dense_cycles`, linear between levels; NaN if it never is.

    The lowest level where it is faster from there on.
    """
    if cycles[0] < dense_cycles:
        return levels[0]
    for (x0, y0), (x1, y1) in itertools.pairwise(zip(levels, cycles, strict=True)):
        if y0 >= dense_cycles > y1:
            return x0 + (x1 - x0) * (y0 - dense_cycles) / (y0 - y1)
    return float("nan")


def break_even_table(path: str | Path, kernels: Sequence[str], levels: Sequence[float]) -> pd.DataFrame:
    """Sparsity at which kernel sets overtake dense ones on a model thinned to `levels`, for the int8 model at `path`.

    A row a kernel set, rival and level: kernel, against (one of RIVALS, the dense model's kernels), sparsity,
    est_cycles, dense_cycles, break_even (NaN if not reached).
    """
    tflite, rows = artifacts.load_model(path)[0], []
    rivals = {rival: _cycles(tflite, rival) for rival in RIVALS}
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
    return cache.content_digest(_sources())


def _sources() -> list[Path]:
    """Files of the engine, the emulated board and the firmware, and what compares its outputs with TFLM's."""
    here, firmware = Path(__file__).parent, cache.PROJECT_FOLDER / "firmware_tflm"
    modules = {path for name in _MODULES.split() for path in here.glob(f"{name}.[pc]*")}
    return sorted([*modules, *(path for path in firmware.rglob("*") if path.is_file() and path.suffix != ".md")])

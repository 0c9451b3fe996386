"""The records of the kernels: whole inferences on the emulated board beside published figures.

python benchmarks/kernels.py [--reference kws_ref_model.tflite]

Estimated cycles at 216 MHz, caches on, weights in flash, activations in DTCM, softmax included. The model of MLPerf
Tiny (github.com/mlcommons/tiny, benchmark/training/keyword_spotting/trained_models) is not part of this repository;
without it its row is left out.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from kwslib import cache, engine, engine_board, interpreters, kernel_study
from kwslib.config import milliseconds
from kwslib.firmware import BoardError
from kwslib.tflite_graph import ModelFileError, describe, read_model
from kwslib.toolchain import ToolchainError

MODELS = cache.PROJECT_FOLDER / "results" / "models"
DENSE = "paper6_paper_cnn_ours_s0"
# what, model, milliseconds published by others, by whom
LATENCY = [
    ("paper_cnn int8", DENSE, 15.6, "Wang & Li, int16, SMLAD"),
    ("paper_cnn int16x8", f"{DENSE}_int16x8", 15.6, "Wang & Li, int16, SMLAD"),
    ("paper_cnn float32", f"{DENSE}_float32", 30.8, "Wang & Li"),
]
COLUMNS = {"est_ms": "cycles", "low_ms": "low", "high_ms": "high"}
RATIOS = [("element", 0.8), ("element", 0.9), ("block4", 0.5)]
LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # of `thinned` models, for the break-even


def cost(tflite: bytes, kernels: str, name: str) -> dict:
    """Costs of one inference, and whether outputs of noise equal TFLM's bit by bit."""
    program = engine.plan(tflite, kernels, name=name)
    board, tensor = engine_board.NetworkOnBoard(program), describe(tflite).input
    rng, x = np.random.default_rng(0), None
    if tensor.scales:
        scale, zero = np.float32(tensor.scales[0]), tensor.zero_points[0]
        limits = np.iinfo(tensor.dtype)
        raw = rng.normal(zero, limits.max / 3, (2, *tensor.shape[1:])).clip(limits.min, limits.max).round()
        x = ((raw - zero) * scale).astype(np.float32)
    else:
        x = rng.normal(0, 1, (2, *tensor.shape[1:])).astype(np.float32)
    found = [board.run(values) for values in interpreters.quantize_input(x, tensor)]
    equal = np.array_equal(np.reshape(found, (2, -1)), interpreters.run_tflm(tflite, x))
    return board.costs() | {"bit_exact": equal}


def latencies(reference: Path | None) -> pd.DataFrame:
    """A row a network: estimated milliseconds beside those that others published."""
    rows = LATENCY
    if reference:
        rows = [("MLPerf Tiny kws_ref_model int8", reference, 17.75, "Plumerai, measured"), *rows]
    table = []
    for what, model, anchor, source in rows:
        tflite = read_model(model if model == reference else MODELS / f"{model}.tflite")
        found = cost(tflite, "best", Path(model).stem)
        times = {name: milliseconds(found[key]) for name, key in COLUMNS.items()}
        per_mac = {"cycles_per_mac": found["cycles"] / describe(tflite).macs}
        facts = {"published_ms": anchor, "by": source, "bit_exact": found["bit_exact"]}
        table.append({"what": what} | times | per_mac | facts)
    return pd.DataFrame(table)


def ratios() -> pd.DataFrame:
    """A row a pruned `paper_cnn`: how much faster its sparse kernels are than the best dense ones."""
    dense = cost(read_model(MODELS / f"{DENSE}.tflite"), "best", DENSE)["cycles"]
    table = []
    for granularity, sparsity in RATIOS:
        name = f"paper6_paper_cnn_{granularity}-{100 * sparsity:.0f}_s0"
        found = cost(read_model(MODELS / f"{name}.tflite"), granularity, name)
        row = {"what": f"{granularity} {sparsity:.0%}", "est_ms": milliseconds(found["cycles"])}
        row |= {"times_faster": dense / found["cycles"], "bit_exact": found["bit_exact"]}
        table.append(row)
    return pd.DataFrame(table)


def break_even() -> float:
    """Element-wise sparsity from which on the sparse kernels are faster than the best dense ones, `paper_cnn`."""
    tflite = read_model(MODELS / f"{DENSE}.tflite")
    dense = cost(tflite, "best", DENSE)["cycles"]
    found = [cost(kernel_study.thinned(tflite, level), "element", DENSE)["cycles"] for level in LEVELS]
    return kernel_study.break_even(LEVELS, found, dense)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="kws_ref_model.tflite of MLPerf Tiny")
    arguments = parser.parse_args()
    try:
        print(latencies(arguments.reference).round(2).to_string(index=False))
        print("\nagainst the dense network on the best dense kernels")
        print(ratios().round(2).to_string(index=False))
        print(f"\nbreak-even, element-wise: {break_even():.0%} sparsity")
    except (engine.EngineError, ModelFileError, ToolchainError, BoardError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

"""`python -m kwslib engine`: a model as C, and what its layers cost on the emulated board."""

import argparse
from pathlib import Path

import numpy as np

from kwslib import engine, engine_board, engine_c
from kwslib.config import milliseconds
from kwslib.kernel_sets import KERNEL_SETS
from kwslib.tflite_graph import read_model

_MOST_NOTES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("model", type=Path, metavar="MODEL.tflite", help="model")
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="where network.c and network.h go")
    parser.add_argument("--kernels", nargs="+", default=["best"], choices=KERNEL_SETS, help="kernel sets (best)")
    parser.add_argument("--board", action="store_true", help="run on the emulated board and show the cost of each call")
    settings = {"choices": engine_board.SETTINGS, "default": "ours"}
    parser.add_argument("--setting", **settings, help="caches on, activations in DTCM (ours), or as in the paper")


def main(arguments: argparse.Namespace) -> None:
    """Write the C, and say what it takes. Raises EngineError, ModelFileError and what the emulated board raises."""
    tflite, name = read_model(arguments.model), arguments.model.stem
    if arguments.folder and len(arguments.kernels) > 1:
        raise engine.EngineError(f"--kernels {' '.join(arguments.kernels)}: a folder takes one kernel set")
    programs = [engine.plan(tflite, kernels, name=name) for kernels in arguments.kernels]
    for program in programs:
        print(f"{name}, {program.kernels}: {len(program.calls)} calls", end=", ")
        print(f"{program.constant_bytes:,} bytes of constants, {program.arena_bytes:,} bytes of activations")
        for note in program.notes[:_MOST_NOTES]:
            print(f"  {note}")
        if len(program.notes) > _MOST_NOTES:
            print(f"  and {len(program.notes) - _MOST_NOTES} operators more")
    if arguments.folder:
        for path in engine_c.write_c(programs[0], arguments.folder):
            print(path)
    if arguments.board:
        for program, elf in zip(programs, engine_board.build(programs, arguments.setting), strict=True):
            _show(engine_board.NetworkOnBoard(program, elf))


def _show(network):
    """Run one input of noise: by calls, then undisturbed."""
    tensor = network.program.info.input
    values = np.random.default_rng(0).normal(0, 40, tensor.size)
    values = values.clip(-128, 127).astype(tensor.dtype)
    table = network.run_by_calls(values)[1]
    print(f"\n{network.program.kernels}\n{table.to_string(index=False, na_rep='')}")
    network.run(values)
    costs = network.costs()
    words = ", ".join(f"{key} {costs[key]:,}" for key in engine_board.COSTS)
    print(f"{words}: {milliseconds(costs['cycles']):.2f} ms")
    print("bytes: " + ", ".join(f"{key} {value:,}" for key, value in network.sizes().items()))

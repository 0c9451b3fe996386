"""Command line: `python -m kwslib COMMAND --help`. Each command is a function that takes the parsed arguments."""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from kwslib import (
    artifacts,
    dataset,
    engine_command,
    evaluation,
    features,
    interpreters,
    live_build,
    paper_kit,
    serial_port,
    tflite_graph,
    toolchain,
)
from kwslib import board as emulated_board
from kwslib import choose as choosing
from kwslib import flash as flashing
from kwslib import listen as listening
from kwslib import measure as measuring
from kwslib.audio import AudioError
from kwslib.cache import write_fault
from kwslib.catalogue import ResultsError
from kwslib.config import ConfigError, FeatureConfig, TaskConfig
from kwslib.decision import DecisionError
from kwslib.download import DownloadError
from kwslib.engine import EngineError
from kwslib.espeak import SpeechError
from kwslib.firmware import BoardError
from kwslib.notebooks import NotebookError, run_notebooks
from kwslib.tflm import TflmError

EXPECTED_ERRORS = (
    AudioError,
    BoardError,
    ConfigError,
    choosing.ChooseError,
    DecisionError,
    DownloadError,
    EngineError,
    ResultsError,
    SpeechError,
    TflmError,
    dataset.DatasetError,
    evaluation.EvaluationError,
    features.FeatureError,
    flashing.FlashError,
    interpreters.InterpreterError,
    interpreters.TflmMissingError,
    measuring.MeasureError,
    serial_port.PortError,
    tflite_graph.ModelFileError,
    NotebookError,
    toolchain.ToolchainError,
)

# Commands of one module: its add_arguments and main, what it does, an example.
MODULES = {
    "engine": (
        engine_command,
        "Write a model as C over the kernels of firmware_tflm, or run that C on the emulated board.",
        "engine MODEL.tflite firmware_tflm/network --kernels best",
    ),
    "board": (
        emulated_board,
        "Run a firmware on the emulated STM32F746G-Discovery: its serial output, then instructions and cycles.",
        "board firmware.elf --seconds 2",
    ),
    "flash": (flashing, "Write a firmware into the flash of a real board.", "flash kws.elf"),
    "measure": (
        measuring,
        "Time models on a real board over its serial port: rows of tables/board.csv.",
        "measure MODEL.tflite --port /dev/ttyACM0",
    ),
    "live": (live_build, "Build the always-on keyword spotter for a model.", "live MODEL.tflite --threshold 0.6"),
    "listen": (
        listening,
        "Play a recording into the microphones of the emulated board, with the live firmware.",
        "listen kws_live.elf FILE.wav",
    ),
    "choose": (
        choosing,
        "Find the saved model that fits limits of time, flash, RAM, accuracy and false alarms, and how to deploy it.",
        "choose --max-ms 1 --max-flash 100k --min-accuracy 88",
    ),
    "figures": (
        paper_kit,
        "Draw every figure and table of a paper from the tables of results, without running a model.",
        "figures --results results --out results/paper",
    ),
}


def evaluate(arguments) -> None:
    """Judge a saved model on a split: accuracy, recall and confusion on stdout, unreadable files on stderr."""
    tflite, meta = artifacts.load_model(arguments.model)
    task, config = TaskConfig.from_dict(meta["task"]), FeatureConfig.from_dict(meta["features"])
    index = dataset.load_index(arguments.data, task, config)
    name = index.attrs["dataset"]
    index = dataset.select(index, task, arguments.split)
    inputs, good, report = features.dataset_features(index, config, resample=arguments.resample)
    bad = index.loc[index.index.difference(good.index), "path"]
    for row in report[report.path.isin(set(bad))].itertuples():
        print(f"left out: {row.path}: {row.problem}", file=sys.stderr)
    if not len(good):
        raise dataset.DatasetError(f"{arguments.data}: no clip of split {arguments.split!r} could be read")
    predicted = [task.labels[i] for i in interpreters.predict(tflite, inputs, arguments.engine).argmax(axis=1)]
    true = good.label.tolist()
    scores = evaluation.accuracy(true, predicted)
    recall = evaluation.recall_table(task.labels, true, predicted)
    confusion = evaluation.confusion_table(task.labels, true, predicted)
    facts = {"model": meta["name"], "sha256": meta["sha256"], "dataset": name, "split": arguments.split}
    facts |= {"engine": arguments.engine, **scores, "bad_files": len(bad)}
    if arguments.json:
        facts["recall"] = recall.astype(object).where(recall.notna(), None).to_dict("records")
        facts["labels"], facts["confusion"] = list(task.labels), confusion.to_numpy().tolist()
        print(json.dumps(facts, indent=1))
        return
    percent = {key: f"{100 * scores[key]:.2f} %" for key in ("accuracy", "ci_low", "ci_high")}
    print(f"{facts['model']} on {name}, split {arguments.split}, engine {arguments.engine}")
    print(f"accuracy {percent['accuracy']}, 95 % interval {percent['ci_low']} to {percent['ci_high']}", end=", ")
    print(f"{scores['correct']} of {scores['n']} clips; {len(bad)} bad files left out")
    print(f"\nrecall, with 95 % interval\n{recall.to_string(index=False, float_format='{:.3f}'.format)}")
    print(f"\nconfusion: rows true, columns predicted\n{confusion.to_string(index_names=False)}")


def info(arguments) -> None:
    """Show what a .tflite file holds; no JSON beside it is needed."""
    tflite = tflite_graph.read_model(arguments.model)
    model = tflite_graph.describe(tflite)
    try:
        arena_bytes = interpreters.tflm_arena_bytes(tflite)
    except (interpreters.TflmMissingError, interpreters.InterpreterError) as error:
        print(f"no arena size: {_one_line(error)}", file=sys.stderr)
        arena_bytes = None
    sizes = {"parameters": model.parameters, "macs": model.macs, "model_bytes": model.model_bytes}
    sizes |= {"gzip_bytes": model.gzip_bytes, "arena_bytes": arena_bytes}
    rows = []
    for op in model.ops:
        shapes = ["x".join(map(str, model.tensors[i].shape)) for i in (op.inputs[0], op.outputs[0])]
        activation = op.activation if op.activation != "NONE" else ""
        stride = "x".join(map(str, op.stride))
        rows.append((op.name, *shapes, activation, op.padding, stride, op.macs))
    ops = pd.DataFrame(rows, columns=["op", "input", "output", "activation", "padding", "stride", "macs"])
    ends = {"input": model.inputs, "output": model.outputs}
    if arguments.json:
        facts = {key: [_tensor_facts(tensor) for tensor in tensors] for key, tensors in ends.items()}
        print(json.dumps(sizes | facts | {"ops": json.loads(ops.to_json(orient="records"))}, indent=1))
        return
    print(f"{arguments.model.name}: {model.parameters:,} parameters, {model.macs:,} multiply-accumulates")
    print(f"{model.model_bytes:,} bytes, {model.gzip_bytes:,} after gzip", end="; ")
    print(f"arena in TFLM on this computer: {'unknown' if arena_bytes is None else f'{arena_bytes:,} bytes'}")
    for key, tensors in ends.items():
        for tensor in map(_tensor_facts, tensors):
            scale = f", scale {tensor['scale']:.9g}, zero point {tensor['zero_point']}" if tensor["scale"] else ""
            print(f"{key}: {'x'.join(map(str, tensor['shape']))} {tensor['dtype']}{scale}")
    print(f"\n{ops.to_string(index=False)}")


def export(arguments) -> None:
    """Write a saved model as a C array, with a comment that says where it comes from."""
    tflite, meta = artifacts.load_model(arguments.model)
    command = f"python -m kwslib export {arguments.model.name} {arguments.target.name}"
    for path in artifacts.write_c_array(arguments.target, tflite, meta, command):
        print(path)


def firmware(arguments) -> None:
    """Build the firmware with CMake and show how much of each memory it takes."""
    options = {"FRONTEND": arguments.frontend} if arguments.frontend else {}
    elf = toolchain.build("stm32f746g-disco", options=options) / "kws.elf"
    print(f"{toolchain.size_report(elf).to_string(index=False)}\n\n{elf}")


def notebooks(arguments) -> None:
    """Execute all notebooks in order, with a progress line for each."""
    options = {"in_place": arguments.in_place, "only": arguments.only}
    options |= {"keywords": arguments.keywords, "network": arguments.network}
    run_notebooks(arguments.mode, arguments.data, arguments.results, **options)


def _tensor_facts(tensor) -> dict:
    quantization = {"scale": None, "zero_point": None}
    if tensor.scales:
        quantization = {"scale": tensor.scales[0], "zero_point": tensor.zero_points[0]}
    return {"shape": list(tensor.shape), "dtype": tensor.dtype, **quantization}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kwslib", description="Keyword spotting models on the command line."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = _add(commands, evaluate, "evaluate MODEL.tflite --data data/my_recordings --split testing")
    command.add_argument("model", type=Path, metavar="MODEL.tflite", help="model, with MODEL.json beside it")
    command.add_argument(
        "--data",
        required=True,
        help="folder with a sub-folder for each word, or synthetic, speech_commands_v0.01, speech_commands_v0.02",
    )
    command.add_argument("--split", choices=dataset.SPLITS, default="testing", help="part of the data (testing)")
    command.add_argument("--engine", choices=interpreters.ENGINES, default="tflm", help="interpreter (tflm)")
    command.add_argument("--resample", action="store_true", help="convert recordings of another sample rate")
    command.add_argument("--json", action="store_true", help="print JSON")

    command = _add(commands, info, "info MODEL.tflite --json")
    command.add_argument("model", type=Path, metavar="MODEL.tflite", help="model")
    command.add_argument("--json", action="store_true", help="print JSON")

    command = _add(commands, export, "export MODEL.tflite firmware_tflm/model")
    command.add_argument("model", type=Path, metavar="MODEL.tflite", help="model, with MODEL.json beside it")
    command.add_argument("target", type=Path, help="path without suffix; TARGET.h and TARGET.cc are written")

    for name, (module, text, example) in MODULES.items():
        module.add_arguments(_add(commands, module.main, example, name, text))

    command = _add(commands, firmware, "firmware --frontend mfcc")
    command.add_argument("--frontend", help="paper, mfcc, or the JSON file of a model (paper)")

    command = _add(commands, notebooks, "notebooks --mode quick --data synthetic --results results/quick")
    command.add_argument("--mode", choices=("quick", "full"), default="quick", help="size of the run (quick)")
    command.add_argument("--data", default="synthetic", help="as for evaluate (synthetic)")
    command.add_argument("--results", default="results/quick", help="folder for tables, figures, models and copies")
    command.add_argument("--keywords", metavar="one,two", help="words of your own (yes,no,left,right)")
    command.add_argument("--network", metavar="FILE.py:FUNCTION", help="network of your own (paper_cnn)")
    command.add_argument("--in-place", action="store_true", help="write the executed notebooks over the notebooks")
    command.add_argument(
        "--only", nargs="*", default=(), metavar="NN", help="numbers of notebooks, such as 03 04 (all)"
    )
    return parser


def _add(commands, function, example, name="", text="") -> argparse.ArgumentParser:
    """A sub-command that runs `function`; name and text are by default its own."""
    text = text or function.__doc__.splitlines()[0]
    command = commands.add_parser(
        name or function.__name__,
        help=text,
        description=text,
        epilog=f"example:\n  python -m kwslib {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=function)
    return command


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def main(words: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, or 2 after an expected error, told in one line on stderr."""
    arguments = _parser().parse_args(words)
    try:
        arguments.run(arguments)
    except EXPECTED_ERRORS as error:
        said = error
    except OSError as error:  # a full disk, a folder without the right to write, wherever it happens
        said = write_fault(error)
        if said is None:
            raise
    else:
        return 0
    print(f"error: {_one_line(said)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

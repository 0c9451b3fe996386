"""A model as TensorFlow Lite Micro's firmware takes it: operators, arena, C sources; and the firmware itself.

python -m kwslib.tflm MODEL.tflite FOLDER --kernels plain     the generated sources, as CMake asks for them
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from kwslib import artifacts, cache, interpreters, tflm_steps, toolchain
from kwslib.interpreters import InterpreterError, TflmMissingError
from kwslib.kernels import KernelError
from kwslib.tflite_graph import ModelFileError, ModelInfo, Op, describe, read_model

PROGRAMS = {"kws_tflm": "stm32f746g-disco", "bench_tflm": "bench"}  # program to preset
DTCM_ARENA_BYTES = 48 << 10  # beside stack, variables and a front end
MOST_ARENA_BYTES = toolchain.REGIONS["SRAM1"][1] - toolchain.REGIONS["SRAM1"][0]
MOST_MODEL_BYTES = toolchain.REGIONS["flash"][1] - toolchain.REGIONS["flash"][0]
# What MicroMutableOpResolver can register (micro_mutable_op_resolver.h, without the operators of the signal library).
_ADDED = """
Abs Add AddN ArgMax ArgMin AssignVariable AveragePool2D BatchMatMul BatchToSpaceNd BroadcastArgs BroadcastTo CallOnce
Cast Ceil Concatenation Conv2D Cos CumSum DepthToSpace DepthwiseConv2D Dequantize Div DynamicUpdateSlice Elu
EmbeddingLookup Equal Exp ExpandDims Fill Floor FloorDiv FloorMod FullyConnected Gather GatherNd Greater GreaterEqual
HardSwish If L2Normalization L2Pool2D LeakyRelu Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr Logistic
MaxPool2D Maximum Mean Minimum MirrorPad Mul Neg NotEqual Pack Pad PadV2 Prelu Quantize ReadVariable ReduceAll ReduceMax
ReduceMin Relu Relu6 Reshape ResizeBilinear ResizeNearestNeighbor ReverseV2 Round Rsqrt SelectV2 Shape Sin Slice Softmax
SpaceToBatchNd SpaceToDepth Split SplitV Sqrt Square SquaredDifference Squeeze StridedSlice Sub Sum Svdf Tanh Transpose
TransposeConv UnidirectionalSequenceLSTM Unpack VarHandle While ZerosLike
"""
_METHODS = {name.lower(): name for name in _ADDED.split()} | {"tflmdecode": "Decode"}


class TflmError(ValueError):
    """A model cannot be deployed with TensorFlow Lite Micro; the message says which part of it, and why."""


def layer_name(info: ModelInfo, op: Op) -> str:
    """Keras' name of the layer that an operator came from: the first of those that its output tensor carries."""
    return info.tensors[op.outputs[0]].name.partition(";")[0] or f"number {op.index}"


def operators(tflite: bytes) -> dict[str, str]:
    """Kinds of operators of a model, in order, and the method of MicroMutableOpResolver that registers each.

    Raises TflmError, which names operator and layer, for one that TFLM does not have.
    """
    info, methods = describe(tflite), {}
    for op in info.ops:
        method = _METHODS.get(op.name.replace("_", "").lower())
        if method is None:
            raise TflmError(
                f"operator {op.name} of layer {layer_name(info, op)!r} is not in TensorFlow Lite Micro; "
                "replace the layer in the Keras model"
            )
        methods[op.name] = f"Add{method}"
    return methods


def check(tflite: bytes) -> None:
    """Refuse a model before anything is built: an operator that is missing or does not take it, too much flash.

    Raises TflmError; without the tflite-micro package, only what the file itself says is checked.
    """
    operators(tflite)
    if len(tflite) > MOST_MODEL_BYTES:
        raise TflmError(f"the model has {len(tflite):,} bytes, the board's flash {MOST_MODEL_BYTES:,}")
    try:
        refusal = interpreters.tflm_refusal(tflite)
    except TflmMissingError:
        return
    if refusal:
        raise TflmError(f"TensorFlow Lite Micro refuses the model: {refusal}")


def arena_bytes(tflite: bytes) -> int:
    """Arena for the board: what this computer's TFLM uses, and room for the scratch memory of optimised kernels.

    On the board structures are smaller (32-bit pointers); CMSIS-NN asks for buffers of two patches of a convolution
    as int16 and for sums of weights; `write_sources` adds what our kernels need. What is truly used is read on the
    board. Raises TflmError, with the numbers, if no memory holds it.
    """
    info = describe(tflite)
    patches = [info.tensors[op.inputs[1]] for op in info.ops if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    scratch = max((4 * tensor.size // tensor.shape[0] for tensor in patches), default=0)
    sums = sum(4 * info.tensors[op.inputs[1]].shape[0] for op in info.ops if op.name == "FULLY_CONNECTED")
    return _rounded(interpreters.tflm_arena_bytes(tflite) + scratch + sums)


def _rounded(n_bytes: int) -> int:
    if n_bytes > MOST_ARENA_BYTES:
        raise TflmError(f"the arena needs {n_bytes:,} bytes, the largest memory of the board has {MOST_ARENA_BYTES:,}")
    return -(-n_bytes // 16) * 16


def write_sources(path: str | Path, folder: str | Path, kernels: str = "library", clips: str | Path | None = None):
    """Write model.cc, model_ops.h, our_steps.c and clips.h for the model at `path` (.tflite) into `folder`.

    `kernels` "library" takes all kernels of the TFLM library; another key of `tflm_steps.KERNELS` puts ours in the
    place of those that it has. `clips`: an .npz file with `features` (float32 [n, frames, bands]) and `names` (text)
    that the application runs; without it some noise. Raises TflmError, ModelFileError, TflmMissingError.
    """
    path, folder = Path(path), Path(folder)
    tflite = read_model(path)
    check(tflite)
    steps = tflm_steps.steps(tflite, kernels)
    written, meta, origin = tflite, None, path.name
    if steps:
        written = tflm_steps.without_weights(tflite, steps)
    if written != tflite:
        origin = f"{path.name} without the weights that our kernels hold"
    elif path.with_suffix(".json").is_file():
        tflite, meta = artifacts.load_model(path)
    folder.mkdir(parents=True, exist_ok=True)
    artifacts.write_c_array(folder / "model", written, meta, origin=origin)
    served = {describe(tflite).ops[index].name for index in steps}
    used = [tflm_steps.memory(calls) for calls in steps.values()]
    scratch = max((memory.n_bytes + memory.alignment for memory in used), default=0)
    _write(folder / "model_ops.h", _resolver(tflite, path.name, served, arena_bytes(tflite) + scratch))
    _write(folder / "our_steps.c", tflm_steps.source(written, describe(tflite), steps))
    _write(folder / "clips.h", _clips(tflite, path, clips))


def build(
    model: str | Path, root: str | Path, program: str = "bench_tflm", kernels: str = "library", clips=None
) -> Path:
    """Build a program of PROGRAMS for a model with the TFLM at `root` (see `tflm_library.find`); returns its ELF file.

    Raises TflmError, ModelFileError, `toolchain.ToolchainError`, and KernelError if our kernels take no operator.
    """
    tflite = read_model(model)
    check(tflite)
    tflm_steps.steps(tflite, kernels)
    options = {"TFLM_ROOT": Path(root), "TFLM_MODEL": Path(model), "TFLM_KERNELS": kernels}
    if clips:
        options["TFLM_CLIPS"] = Path(clips)
    return toolchain.build(PROGRAMS[program], options=options, targets=[program]) / f"{program}.elf"


def _resolver(tflite, name, served, arena) -> str:
    """The header with the operators and the arena of a model; `served` are the kinds that our kernels serve."""
    methods = operators(tflite)
    calls = [
        f"    TF_LITE_ENSURE_STATUS(ops.{method}({'our_registration()' if kind in served else ''}));"
        for kind, method in methods.items()
    ]
    lines = [
        f"// Operators and arena of {name}; written by kwslib.tflm.",
        "#ifndef MODEL_OPS_H",
        "#define MODEL_OPS_H",
        "",
        '#include "our_kernels.h"',
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"',
        "",
        f"using ModelOps = tflite::MicroMutableOpResolver<{len(methods)}>;",
        "",
        "// What TensorFlow Lite Micro uses on a 64-bit computer, and room for scratch: kwslib.tflm.arena_bytes.",
        f"constexpr unsigned int kArenaBytes = {_rounded(arena)};",
        f"#define ARENA_PLACE{'' if arena <= DTCM_ARENA_BYTES else ' IN_SRAM1'}",
        "",
        "inline TfLiteStatus add_model_ops(ModelOps &ops)",
        "{",
        *calls,
        "    return kTfLiteOk;",
        "}",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _clips(tflite, path, clips) -> str:
    """The header with inputs of the application and what TFLM computes from them on this computer."""
    tensor = describe(tflite).input
    if clips:
        with np.load(clips, allow_pickle=False) as content:
            features, names = content["features"], [str(name) for name in content["names"]]
    else:
        features = noise(tflite, 3)
        names = [f"noise {number}" for number in range(len(features))]
    inputs = interpreters.quantize_input(features, tensor)
    outputs = interpreters.run_tflm(tflite, features)
    n_in, n_out = inputs[0].nbytes, outputs[0].nbytes
    lines = [
        f"/* Clips for {path.name} and the outputs of TensorFlow Lite Micro on a computer; written by kwslib.tflm. */",
        "#ifndef CLIPS_H",
        "#define CLIPS_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define CLIP_MODEL {json.dumps(path.name)}",
        f"#define CLIPS {len(inputs)}u",
        f"#define CLIP_INPUT_BYTES {n_in}u",
        f"#define CLIP_OUTPUT_BYTES {n_out}u",
        f"static const char *const clip_names[CLIPS] = {{{', '.join(map(json.dumps, names))}}};",
        f"static const uint8_t clip_inputs[CLIPS][CLIP_INPUT_BYTES] = {_rows(inputs)};",
        f"static const uint8_t clip_outputs[CLIPS][CLIP_OUTPUT_BYTES] = {_rows(outputs)};",
        "",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def noise(tflite: bytes, n_clips: int) -> np.ndarray:
    """Noise as features float32 [n, ...] that fills the range of the model's input."""
    tensor = describe(tflite).input
    scale, zero_point = (tensor.scales[0], tensor.zero_points[0]) if tensor.scales else (1 / 64, 0)
    values = np.random.default_rng(0).normal(-zero_point * scale, 50 * scale, (n_clips, *tensor.shape[1:]))
    return values.astype(np.float32)


def _rows(values) -> str:
    return "{" + ",\n".join("{" + ",".join(map(str, row.tobytes())) + "}" for row in values) + "}"


def _write(path: Path, text: str) -> None:
    with cache.replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def main() -> None:
    """Write the sources of one model; an error is one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m kwslib.tflm", description=main.__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, metavar="MODEL.tflite", help="model")
    parser.add_argument("folder", type=Path, help="where the sources go")
    parser.add_argument("--kernels", choices=["library", *tflm_steps.KERNELS], default="library")
    parser.add_argument("--clips", type=Path, metavar="CLIPS.npz", help="features and names of clips to run")
    words = parser.parse_args()
    try:
        write_sources(words.model, words.folder, words.kernels, words.clips)
    except (TflmError, KernelError, ModelFileError, InterpreterError, TflmMissingError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

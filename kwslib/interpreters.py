"""Run a .tflite file: TensorFlow Lite Micro as on the device, and LiteRT's reference kernels to check it against.

Features are float32 [n, frames, bands] or [n, frames, bands, 1], raw outputs [n, classes] in the model's own dtype.
"""

import os
import re
import sys
import tempfile
from contextlib import contextmanager

import numpy as np
import pandas as pd

from kwslib.tflite_graph import Tensor, describe

ENGINES = ("tflm", "reference")
# Beside ten times the model, TFLM's own default. Enough to keep every tensor of a large model; and an arena of this
# size comes straight from the system, so that its alignment, and with it the count of bytes, is always the same.
_ARENA_BYTES = 16 << 20


class TflmMissingError(RuntimeError):
    """The tflite-micro package cannot be imported; the message says where it exists and what to do."""


class InterpreterError(ValueError):
    """A model does not run in an interpreter, or the features do not fit it; the message says what is needed."""


@contextmanager
def captured_stderr():
    """Catch what C++ code writes to file descriptor 2; yields a list that holds the text after the block.

    If the block raises, the text is shown after all. Keep the block short: Python's own messages, from every
    thread, land there too.
    """
    caught = []
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        ended_well = False
        try:
            yield caught
            ended_well = True
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            caught.append(file.read().decode(errors="replace"))
            if not ended_well:
                print(caught[0], end="", file=sys.stderr)


def quantize_input(features: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Features as the model's input `tensor` takes them: [n, *tensor.shape[1:]] in its dtype.

    Integer: `round(x / scale) + zero point`, halves to even, in float32, held inside the range of the dtype.
    Raises InterpreterError for another shape and for NaN or infinite features.
    """
    features = np.asarray(features, np.float32)
    wanted = tensor.shape[1:]
    if features.shape[1:] not in (wanted, wanted[:-1] if wanted[-1:] == (1,) else wanted) or not len(features):
        raise InterpreterError(
            f"features of shape {features.shape}: the model needs [n, {', '.join(map(str, wanted))}]"
        )
    if not np.isfinite(features).all():
        raise InterpreterError("features hold NaN or infinite values; check the recordings they come from")
    features = features.reshape(-1, *wanted)
    if not tensor.scales:
        return features.astype(tensor.dtype)
    limits = np.iinfo(tensor.dtype)
    rounded = np.rint(features / np.float32(tensor.scales[0])) + np.float32(tensor.zero_points[0])
    return np.clip(rounded, limits.min, limits.max).astype(tensor.dtype)


def dequantize_output(raw: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Raw values of `tensor` as float32: `(raw - zero point) * scale`, or unchanged if it is not quantized."""
    if not tensor.scales:
        return np.asarray(raw, np.float32)
    return (raw.astype(np.float32) - np.float32(tensor.zero_points[0])) * np.float32(tensor.scales[0])


def run_tflm(tflite: bytes, features: np.ndarray) -> np.ndarray:
    """Outputs of TensorFlow Lite Micro: raw [n, classes].

    Raises TflmMissingError without the package, InterpreterError (with TFLM's message, which names the operator)
    if the model does not run in it.
    """
    return _run(_Tflm(tflite), tflite, features)


def run_reference(tflite: bytes, features: np.ndarray) -> np.ndarray:
    """Outputs of LiteRT's reference kernels: raw [n, classes]; every format runs, float16 and dynamic range too.

    Raises InterpreterError if the model does not run, as one with TFLM's own DECODE operator.
    """
    return _run(_Reference(tflite), tflite, features)


def predict(tflite: bytes, features: np.ndarray, engine: str = "tflm") -> np.ndarray:
    """Probabilities float32 [n, classes] by `engine`, "tflm" or "reference"."""
    if engine not in ENGINES:
        raise InterpreterError(f"engine = {engine!r}: allowed is {' or '.join(map(repr, ENGINES))}")
    raw = (run_tflm if engine == "tflm" else run_reference)(tflite, features)
    return dequantize_output(raw, describe(tflite).output)


def tflm_arena_bytes(tflite: bytes) -> int:
    """Tensor arena that TensorFlow Lite Micro needs on this computer, in bytes, as its recording allocator counts.

    64-bit pointers and reference kernels: on a 32-bit microcontroller the structures are smaller, and optimised
    kernels (CMSIS-NN) add scratch memory. Measure there too.
    """
    interpreter = _Tflm(tflite)
    with captured_stderr() as caught:
        interpreter.print_allocations()
    found = re.search(r"Arena allocation total (\d+) bytes", caught[0])
    if not found:
        raise InterpreterError(f"TensorFlow Lite Micro reported no arena size but: {caught[0].strip() or 'nothing'}")
    return int(found[1])


def tflm_refusal(tflite: bytes) -> str:
    """Return "" if TensorFlow Lite Micro takes the model, else its own message in one line, without source files.

    Raises TflmMissingError without the package.
    """
    try:
        _Tflm(tflite)
    except InterpreterError as error:
        return re.sub(r"\S+\.(cc|h)(:\d+)?\s*", "", str(error).partition(": ")[2])
    return ""


def class_agreement(tflite: bytes, features: np.ndarray) -> float:
    """Share of clips for which both engines choose the same class."""
    tflm, reference = run_tflm(tflite, features), run_reference(tflite, features)
    return float((tflm.argmax(axis=1) == reference.argmax(axis=1)).mean())


def compare_engines(tflite: bytes, features: np.ndarray) -> pd.DataFrame:
    """Compare TensorFlow Lite Micro with the reference kernels, operator by operator, bit by bit.

    A row an output tensor of an operator, in order of execution: index (of the operator), op, tensor,
    values (in all clips), different, max_difference (LSB; the tensor's unit if it is float), and the same for the
    operator alone: over the clips whose inputs of this operator are bit-equal in both engines, clips_compared,
    own_values, own_different, own_max_difference. A difference is handed down from operator to operator, so only
    the own columns tell which operator makes it.

    Seen with int8 models: 0 everywhere but FULLY_CONNECTED (TFLM rounds twice, the reference once: at most 1 LSB).
    """
    info = describe(tflite)
    tflm, reference = _Tflm(tflite, keep_tensors=True), _Reference(tflite, keep_tensors=True)
    rows, counts = {}, ("values", "different", "max_difference")
    for op in info.ops:
        for index in op.outputs:
            names = {"index": op.index, "op": op.name, "tensor": info.tensors[index].name}
            own = ("clips_compared", *(f"own_{key}" for key in counts))
            rows[index] = names | dict.fromkeys((*counts, *own), 0)
    for clip in quantize_input(features, info.input):
        tflm.invoke(clip[None])
        reference.invoke(clip[None])
        differs = {info.input.index: False}
        for op in info.ops:
            inherited = any(differs.get(index, False) for index in op.inputs)  # constants are not in `differs`
            for index in op.outputs:
                distance = _distance(tflm.tensor(index), reference.tensor(index))
                differs[index] = bool(distance.any())
                _count(rows[index], "", distance)
                if not inherited:
                    rows[index]["clips_compared"] += 1
                    _count(rows[index], "own_", distance)
    return pd.DataFrame(rows.values())


def _distance(one, other) -> np.ndarray:
    wide = np.int64 if np.issubdtype(one.dtype, np.integer) else np.float64
    return np.abs(one.astype(wide) - other.astype(wide))


def _count(row, prefix, distance) -> None:
    row[f"{prefix}values"] += distance.size
    row[f"{prefix}different"] += int(np.count_nonzero(distance))
    row[f"{prefix}max_difference"] = max(row[f"{prefix}max_difference"], distance.max().item())


def _run(interpreter, tflite, features):
    info = describe(tflite)
    quantized = quantize_input(features, info.input)
    out = np.empty((len(quantized), info.output.size), info.output.dtype)
    for position, clip in enumerate(quantized):
        interpreter.invoke(clip[None])
        out[position] = interpreter.output().ravel()
    return out


def _refuse_fatal(tflite) -> None:
    """Refuse what both engines answer by ending the process: a softmax of int8 values that are all but constant."""
    info = describe(tflite)
    for op in info.ops:
        start = info.tensors[op.inputs[0]] if op.name == "SOFTMAX" else None
        # QuantizeMultiplierGreaterThanOne checks scale * 2^26 > 1
        if start and start.dtype == "int8" and start.scales and start.scales[0] <= 2**-26:
            raise InterpreterError(
                f"the model does not run: the input of SOFTMAX is constant (scale {start.scales[0]:.1g}); "
                "the network is dead, train it again or prune less"
            )


class _Tflm:
    """TensorFlow Lite Micro behind the few methods that both engines share."""

    def __init__(self, tflite: bytes, keep_tensors: bool = False):
        try:
            from tflite_micro import runtime
        except ImportError as error:
            raise TflmMissingError(
                f"tflite-micro cannot be imported ({error}); its wheel exists for Linux on x86-64 only: "
                "install requirements.txt there, or choose engine 'reference'"
            ) from None
        config = runtime.InterpreterConfig
        settings = {
            "arena_size": _ARENA_BYTES + 10 * len(tflite),
            "intrepreter_config": config.kPreserveAllTensors if keep_tensors else config.kAllocationRecording,
        }
        _refuse_fatal(tflite)  # TFLM reads damaged files without a check
        with captured_stderr() as caught:
            try:
                self._interpreter, fault = runtime.Interpreter.from_bytes(tflite, **settings), None
            except RuntimeError as error:
                fault = error
        if fault:
            reason = " ".join(caught[0].split()) or str(fault)
            raise InterpreterError(f"the model does not run in TensorFlow Lite Micro: {reason}") from None
        self.print_allocations = self._interpreter.print_allocations

    def invoke(self, clip):
        self._interpreter.set_input(clip, 0)
        self._interpreter.invoke()

    def output(self):
        return self._interpreter.get_output(0)

    def tensor(self, index):
        return self._interpreter.GetTensor(index, 0)["tensor_data"]


class _Reference:
    """LiteRT with the reference kernels: the default would be XNNPACK, which rounds in its own ways."""

    def __init__(self, tflite: bytes, keep_tensors: bool = False):
        from ai_edge_litert import interpreter as litert

        _refuse_fatal(tflite)
        try:
            self._interpreter = litert.Interpreter(
                model_content=tflite,
                experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
                experimental_preserve_all_tensors=keep_tensors,
            )
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise InterpreterError(f"the model does not run in LiteRT: {error}") from None
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def invoke(self, clip):
        self._interpreter.set_tensor(self._input, clip)
        self._interpreter.invoke()

    def output(self):
        return self._interpreter.get_tensor(self._output)

    def tensor(self, index):
        return self._interpreter.get_tensor(index)

"""Flash that pruning saves: weights stored as a bit mask and the values that are left, unpacked by TFLM's DECODE.

The runtime of TensorFlow Lite Micro has the decoder (kernels/decode_state_prune.cc); the encoder of its Python package
is a stub. This module is that encoder, on the graph editor of the package, a part of it that may change.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np

from kwslib.tflite_graph import WEIGHTED_OPS, describe, storage

_FEWEST_WEIGHTS = 256  # a DECODE costs more bytes than a smaller tensor can save


class DecodeMissingError(RuntimeError):
    """The tflite-micro package lacks the tools for DECODE; the message says what to do."""


class DecodeError(ValueError):
    """A model cannot be packed; the message says what is needed."""


def pack_pruned(tflite: bytes) -> bytes:
    """Pack the weights of a pruned model; returns the content of a .tflite file that only TFLM runs.

    A weight tensor (convolution, depthwise, dense) of n weights, of which m are not zero, becomes n / 8 bytes of mask
    and 16 + m bytes of values, and a TFLM_DECODE operator that unpacks it before its user; that costs some
    hundred bytes more in the file. Small tensors, and others for which the file would not get smaller, are left alone;
    if none is left, `tflite` comes back. Outputs stay equal, bit by bit.

    The tensor arena must hold the largest unpacked tensor besides the activations of its user (TFLM can be given other
    memory for it, `alt_decompression_memory_size`; the arena then grows by the operators' own data only).

    Raises DecodeError for a model without int8 weights and integer activations, DecodeMissingError if the package lacks
    the tools.
    """
    kinds = storage(tflite)
    if kinds["weights"] != "int8" or kinds["activations"] not in ("int8", "int16"):
        raise DecodeError(
            f"weights are {kinds['weights']}, activations {kinds['activations']}: needed is a model in format int8, "
            "int8_per_tensor or int16x8"
        )
    info = describe(tflite)
    weights = {op.inputs[1]: info.tensors[op.inputs[1]] for op in info.ops if op.name in WEIGHTED_OPS}
    saved = {
        index: tensor.size - sum(map(len, _encoded(tensor.data)))
        for index, tensor in weights.items()
        if tensor.data is not None and tensor.size >= _FEWEST_WEIGHTS
    }
    # The first DECODE also brings its operator code: begin with the tensor that saves most.
    order = sorted((index for index in saved if saved[index] > 0), key=saved.get, reverse=True)
    packed, best, limit = [], tflite, min(len(tflite), len(_written(tflite, {})))
    for index in order:
        content = _written(tflite, {number: weights[number].data for number in [*packed, index]})
        if len(content) < limit:
            packed, best, limit = [*packed, index], content, len(content)
    return best


def _encoded(data: np.ndarray) -> tuple[bytes, bytes]:
    """Encoded tensor (mask, most significant bit first) and ancillary tensor (header, values) of int8 weights."""
    values = data.ravel()
    header = bytes([2, 1, 0, 0, 1]) + bytes(11)  # DECODE type PRUNING, version of the header, version of the type
    return np.packbits(values != 0).tobytes(), header + values[values != 0].tobytes()


def _written(tflite: bytes, arrays: dict[int, np.ndarray]) -> bytes:
    """The model with the tensors of these indices packed."""
    compressor, decode_insert, model_editor, aligner = _tools()
    model = model_editor.read(tflite)
    results = {(0, index): compressor.CompressionResult(*_encoded(data)) for index, data in arrays.items()}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Not compressing tensor", UserWarning)  # equal tensors share their content
        decode_insert.insert_decode_operators(model, results)
    for index in arrays:
        tensor = model.subgraphs[0].tensors[index]
        if tensor.quantization is None:  # it is packed; else the file keeps the scales a second time
            tensor.quantization = model_editor.Quantization([], [])
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "source.tflite"), Path(folder, "target.tflite")
        source.write_bytes(model.build())
        aligner.align_tflite_model(str(source), str(target))
        return target.read_bytes()


def _tools():
    try:
        from tflite_micro.tensorflow.lite.micro.compression import compressor, decode_insert, model_editor
        from tflite_micro.tensorflow.lite.micro.tools import tflite_flatbuffer_align_wrapper
    except ImportError as error:
        raise DecodeMissingError(
            f"the tflite-micro package has no tools for DECODE ({error}): install the version of requirements.lock "
            "on Linux on x86-64, or leave packed models out"
        ) from None
    return compressor, decode_insert, model_editor, tflite_flatbuffer_align_wrapper

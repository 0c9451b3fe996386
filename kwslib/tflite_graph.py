"""Read a .tflite file without TensorFlow: tensors, operators, parameters, multiply-accumulates, sizes."""

import functools
import gzip
import math
import struct
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

WEIGHTED_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_SUFFIX = ".tflite"
_DECODE = "TFLM_DECODE"


class ModelFileError(ValueError):
    """A model file cannot be used; the message names the file, the fault and the remedy."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    `shape` has 1 for an open batch dimension. `scales` and `zero_points` are empty for a tensor that is not
    quantized, and hold one value for the tensor or one for each slice along `axis`. `data` is the array of a
    constant (read-only) and None for an activation. `open_axes` are those that the file leaves open, other than the
    first.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str  # numpy's name, such as "int8"
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int
    data: np.ndarray | None
    open_axes: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size of the elements in bytes."""
        return self.size * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Op:
    """An operator in the order of execution; `inputs` and `outputs` are tensor indices, without absent ones.

    `activation` is "NONE", "RELU", "RELU6", ...; `padding` is "SAME", "VALID" or "" and `stride` (height, width)
    or () for an operator that has none. `macs` counts multiply-accumulates of one inference. `options` are the numbers
    among the operator's options, named as in the schema: dilationHFactor, filterWidth, beta, ...
    """

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    activation: str
    padding: str
    stride: tuple[int, ...]
    macs: int
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelInfo:
    """What a .tflite file holds.

    `parameters` counts weights and biases, at every operator that takes them (not the int32 shapes and axes that
    some operators take), `macs` the multiply-accumulates of one inference, `model_bytes` the file and `gzip_bytes`
    the file after gzip -9.
    """

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: int
    macs: int
    model_bytes: int
    gzip_bytes: int

    @property
    def input(self) -> Tensor:
        """The only input; raises ModelFileError if there are several."""
        return _only(self.inputs, "input")

    @property
    def output(self) -> Tensor:
        """The only output; raises ModelFileError if there are several."""
        return _only(self.outputs, "output")


def read_model(path: str | Path) -> bytes:
    """Read a .tflite file; raises ModelFileError, which names it, if it is missing or no TensorFlow Lite model."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: not readable ({error.strerror}); give the path of a {_SUFFIX} file") from None
    try:
        describe(content)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    return content


@functools.lru_cache(maxsize=32)
def describe(tflite: bytes) -> ModelInfo:
    """Describe the content of a .tflite file.

    Multiply-accumulates are those of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: output positions times kernel
    size, border positions in full, as TensorFlow's profilers count; pooling, additions and the rest count 0.

    Raises ModelFileError for content that is no TensorFlow Lite model or has several subgraphs.
    """
    from ai_edge_litert import schema_py_generated as schema

    if len(tflite) < 8 or tflite[4:8] != b"TFL3":
        raise ModelFileError(f"no TensorFlow Lite model (no TFL3 mark at byte 4); convert it again to {_SUFFIX}")
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite, 0))
        if len(model.subgraphs) != 1:
            raise ModelFileError(f"{len(model.subgraphs)} subgraphs; only a model with one can be used")
        graph = model.subgraphs[0]
        tensors = tuple(_tensor(schema, model, number, raw) for number, raw in enumerate(graph.tensors))
        ops = tuple(_op(schema, model, tensors, number, raw) for number, raw in enumerate(graph.operators))
        inputs = tuple(tensors[i] for i in graph.inputs)
        outputs = tuple(tensors[i] for i in graph.outputs)
        parameters = _parameters(tensors, ops)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, KeyError, MemoryError) as error:
        if isinstance(error, ModelFileError):
            raise
        reason = f"{type(error).__name__}: {error}"
        raise ModelFileError(f"damaged TensorFlow Lite model ({reason}); convert it again") from None
    macs = sum(op.macs for op in ops)
    sizes = {"model_bytes": len(tflite), "gzip_bytes": len(gzip.compress(tflite, 9, mtime=0))}
    return ModelInfo(tensors, ops, inputs, outputs, parameters, macs, **sizes)


def weight_sparsity(tflite: bytes) -> pd.DataFrame:
    """Zeros among the weights that a file stores: a row for each weight tensor of WEIGHTED_OPS, in their order.

    Columns: op, tensor (name), dtype (as stored, also where float16 or packed weights are unpacked at run time), shape,
    weights, zeros (stored value equals the zero point), sparsity (zeros / weights).
    """
    rows = []
    for op, tensor in _operands(describe(tflite), 1):
        points = np.array(tensor.zero_points or (0,))
        if len(points) > 1:
            points = points.reshape([-1 if axis == tensor.axis else 1 for axis in range(len(tensor.shape))])
        zeros = int((tensor.data == points).sum())
        row = {"op": op.name, "tensor": tensor.name, "dtype": tensor.dtype, "shape": tensor.shape}
        rows.append(row | {"weights": tensor.size, "zeros": zeros, "sparsity": zeros / tensor.size})
    return pd.DataFrame(rows, columns=["op", "tensor", "dtype", "shape", "weights", "zeros", "sparsity"])


def storage(tflite: bytes) -> dict[str, str]:
    """Say what a file truly is, read from its tensors, whatever its name claims.

    Keys: input, output; weights, biases (as stored, of WEIGHTED_OPS); activations (what operators hand to each other);
    scales ("per channel", "per tensor" or "none", of the weights). Values are numpy's type names; several are joined by
    "+", and "none" stands for nothing of the kind.
    """
    info = describe(tflite)
    known = _constants(info.tensors, info.ops)
    computed = {index for op in info.ops for index in op.outputs if index not in known}
    inner = computed - {tensor.index for tensor in info.outputs} or computed
    weights = [tensor for _, tensor in _operands(info, 1)]
    counts = [len(tensor.scales) for tensor in weights if tensor.scales]
    return {
        "input": _joined(tensor.dtype for tensor in info.inputs),
        "output": _joined(tensor.dtype for tensor in info.outputs),
        "weights": _joined(tensor.dtype for tensor in weights),
        "activations": _joined(info.tensors[index].dtype for index in inner),
        "biases": _joined(tensor.dtype for _, tensor in _operands(info, 2)),
        "scales": _joined("per channel" if count > 1 else "per tensor" for count in counts),
    }


def _operands(info, position):
    """Constants that operators with weights take at `position`: 1 weights, 2 bias, with their operator."""
    known = _constants(info.tensors, info.ops)
    users = [op for op in info.ops if op.name in WEIGHTED_OPS and len(op.inputs) > position]
    return [(op, known[op.inputs[position]]) for op in users if op.inputs[position] in known]


def _joined(kinds) -> str:
    return "+".join(sorted(set(kinds))) or "none"


def _only(tensors, what):
    if len(tensors) != 1:
        raise ModelFileError(f"model has {len(tensors)} {what}s: one is needed")
    return tensors[0]


@functools.cache
def _names(enumeration) -> dict[int, str]:
    """Number to name for a class of the schema that holds constants, such as BuiltinOperator."""
    return {value: name for name, value in vars(enumeration).items() if isinstance(value, int)}


def _tensor(schema, model, number, raw) -> Tensor:
    kind = _names(schema.TensorType)[raw.type].lower()
    dtype = {"string": "object", "bool": "bool"}.get(kind, kind)
    shape = tuple(max(1, int(size)) for size in (raw.shape if raw.shape is not None else ()))
    quantization = raw.quantization
    scales, zero_points, axis = (), (), 0
    if quantization is not None and quantization.scale is not None:
        scales = tuple(float(value) for value in quantization.scale)
        zero_points = tuple(int(value) for value in quantization.zeroPoint)
        axis = int(quantization.quantizedDimension)
    content = model.buffers[raw.buffer].data
    data = None
    if content is not None and len(content) and not raw.isVariable:
        data = np.frombuffer(np.asarray(content, np.uint8).tobytes(), np.dtype(dtype)).reshape(shape)
    signature = raw.shapeSignature if raw.shapeSignature is not None else ()
    open_axes = tuple(axis for axis, size in enumerate(signature) if axis and size < 0)
    return Tensor(number, raw.name.decode(errors="replace"), shape, dtype, scales, zero_points, axis, data, open_axes)


def _op(schema, model, tensors, number, raw) -> Op:
    code = model.operatorCodes[raw.opcodeIndex]
    # Codes above 127 stand in the newer field only.
    name = _names(schema.BuiltinOperator)[max(code.builtinCode, code.deprecatedBuiltinCode)]
    if name == "CUSTOM":
        name = code.customCode.decode(errors="replace")
    inputs = tuple(int(i) for i in raw.inputs if i >= 0)
    outputs = tuple(int(i) for i in raw.outputs)
    options = raw.builtinOptions
    activation = _names(schema.ActivationFunctionType)[getattr(options, "fusedActivationFunction", 0)]
    padding, stride = "", ()
    if hasattr(options, "strideH"):
        padding = _names(schema.Padding)[options.padding]
        stride = (int(options.strideH), int(options.strideW))
    numbers = {key: value for key, value in vars(options).items() if isinstance(value, (int, float))} if options else {}
    macs = _macs(name, inputs, outputs, tensors)
    return Op(number, name, inputs, outputs, activation, padding, stride, macs, numbers)


def _macs(name, inputs, outputs, tensors) -> int:
    if name not in WEIGHTED_OPS:
        return 0
    weights = tensors[inputs[1]].shape  # [out, height, width, in], [1, height, width, out] and [out, in]
    for_each_output = math.prod(weights[1:3]) if name == "DEPTHWISE_CONV_2D" else math.prod(weights[1:])
    return tensors[outputs[0]].size * for_each_output


def _parameters(tensors, ops) -> int:
    """Elements of float or quantized constants, at every operator that takes them: equal biases share a buffer."""
    known = _constants(tensors, ops)
    taken = [known[index] for op in ops for index in op.inputs if index in known and op.outputs[0] not in known]
    return sum(tensor.size for tensor in taken if tensor.scales or tensor.dtype.startswith("float"))


def _constants(tensors, ops) -> dict[int, Tensor]:
    """Constants by index, those also that an operator unpacks first, as they are stored: float16, or pruned weights."""
    known = {tensor.index: tensor for tensor in tensors if tensor.data is not None}
    for op in ops:
        if op.name == "DEQUANTIZE" and op.inputs[0] in known:
            known[op.outputs[0]] = known[op.inputs[0]]
        if op.name == _DECODE:
            for output, mask, values in zip(op.outputs, op.inputs[::2], op.inputs[1::2], strict=True):
                known[output] = _decoded(tensors[output], known[mask].data, known[values].data)
    return known


def _decoded(tensor, mask, values) -> Tensor:
    """`tensor` with the content that TFLM's DECODE gives it: see `decode.pack_pruned`."""
    if values[0] != 2:
        raise ModelFileError(f"{_DECODE} of type {values[0]}: only pruned weights (type 2) can be read")
    data = np.zeros(tensor.size, tensor.dtype)
    data[np.unpackbits(mask)[: tensor.size] == 1] = values[16:].view(tensor.dtype)
    return replace(tensor, data=data.reshape(tensor.shape))

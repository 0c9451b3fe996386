"""Quantized networks put together tensor by tensor, without training and converter: any scale, shape and border."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

_PADDING = {"SAME": 0, "VALID": 1}
_ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
_OPTIONS = {
    "ADD": schema.AddOptionsT,
    "AVERAGE_POOL_2D": schema.Pool2DOptionsT,
    "CONV_2D": schema.Conv2DOptionsT,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptionsT,
    "FULLY_CONNECTED": schema.FullyConnectedOptionsT,
    "MAX_POOL_2D": schema.Pool2DOptionsT,
    "MEAN": schema.ReducerOptionsT,
    "RESHAPE": schema.ReshapeOptionsT,
    "SOFTMAX": schema.SoftmaxOptionsT,
}


class Builder:
    """A network with one input; `last` is the tensor that was added last, an index.

    `kind` is the type of the tensors behind operators without weights, which for float32 have no scale.
    """

    def __init__(self, shape, scale=0.1, zero_point=0, dtype="int8", kind="int8"):
        self.kind = kind
        self.model = schema.ModelT()
        self.model.version, self.model.buffers, self.model.operatorCodes = 3, [schema.BufferT()], []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]
        self.last = self.tensor(shape, scale, zero_point, dtype)
        self.graph.inputs = [self.last]

    def tensor(self, shape, scales=(), zero_points=0, dtype="int8", axis=0, data=None) -> int:
        """Add a tensor; `data` makes it a constant. Returns its index."""
        tensor = schema.TensorT()
        tensor.shape, tensor.name = list(map(int, shape)), f"tensor_{len(self.graph.tensors)}"
        tensor.type, tensor.buffer = getattr(schema.TensorType, dtype.upper()), 0
        scales = np.atleast_1d(np.asarray(scales, np.float32))
        if scales.size:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = scales
            tensor.quantization.zeroPoint = np.full(scales.size, zero_points, np.int64)
            tensor.quantization.quantizedDimension = axis
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data, dtype).tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, name, inputs, output, padding=None, activation="NONE", **options) -> int:
        """Add an operator that gives the tensor `output`, which is returned."""
        code, operator = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(127, code.builtinCode)
        operator.opcodeIndex = len(self.model.operatorCodes)
        operator.inputs, operator.outputs = list(inputs), [output]
        if name in _OPTIONS:
            operator.builtinOptions = _OPTIONS[name]()
            kind = type(operator.builtinOptions).__name__[:-1]
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            if padding:
                options["padding"] = _PADDING[padding]
            if hasattr(operator.builtinOptions, "fusedActivationFunction"):
                options["fusedActivationFunction"] = _ACTIVATIONS[activation]
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self.model.operatorCodes.append(code)
        self.graph.operators.append(operator)
        self.last = output
        return output

    def activation(self, shape, scale, zero_point) -> int:
        """Add a tensor of type `kind`."""
        return self.tensor(shape, () if self.kind == "float32" else scale, zero_point, self.kind)

    def shape(self, index) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self.graph.tensors[index].shape)

    def scale(self, index) -> float:
        """Scale of a tensor."""
        quantization = self.graph.tensors[index].quantization
        return float(quantization.scale[0]) if quantization else 1.0

    def zero_point(self, index) -> int:
        """Zero point of a tensor."""
        quantization = self.graph.tensors[index].quantization
        return int(quantization.zeroPoint[0]) if quantization else 0

    def pack(self) -> bytes:
        """The network as a .tflite file; its output is the tensor added last."""
        self.graph.outputs = [self.last]
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    # Operators, each on the tensor that was added last

    def convolve(self, rng, filters, kernel, stride=(1, 1), padding="SAME", activation="NONE", scale=0.2, zero_point=0):
        """CONV_2D with random weights, some of them zero, scales for each filter."""
        shape = (filters, *kernel, self.shape(self.last)[-1])
        self._weighted("CONV_2D", rng, shape, 0, stride, padding, activation, scale, zero_point)

    def depthwise(
        self, rng, multiplier, kernel, stride=(1, 1), padding="SAME", activation="NONE", scale=0.2, zero_point=0
    ):
        """DEPTHWISE_CONV_2D with `multiplier` filters for each channel."""
        shape = (1, *kernel, self.shape(self.last)[-1] * multiplier)
        self._weighted("DEPTHWISE_CONV_2D", rng, shape, 3, stride, padding, activation, scale, zero_point)

    def dense(self, rng, outputs, activation="NONE", scale=0.2, zero_point=0, per_channel=False):
        """FULLY_CONNECTED, behind a RESHAPE of an image."""
        source = flat = self.last
        n_inputs = int(np.prod(self.shape(source)))
        if len(self.shape(source)) > 2:
            flat = self.tensor((1, n_inputs), self.scale(source), self.zero_point(source))
            self.operator("RESHAPE", [source, self.tensor((2,), dtype="int32", data=[1, n_inputs])], flat)
        weights, bias = self._constants(rng, (outputs, n_inputs), 0, outputs if per_channel else 1, scale)
        target = self.tensor((1, outputs), scale, zero_point)
        self.operator("FULLY_CONNECTED", [flat, weights, bias], target, activation=activation)

    def pool(self, name, window, stride, padding="VALID", activation="NONE"):
        """AVERAGE_POOL_2D or MAX_POOL_2D."""
        height, width, channels = self.shape(self.last)[1:]
        size = output_size((height, width), window, stride, padding)
        target = self.activation((1, *size, channels), self.scale(self.last), self.zero_point(self.last))
        sizes = {"filterHeight": window[0], "filterWidth": window[1], "strideH": stride[0], "strideW": stride[1]}
        self.operator(name, [self.last], target, padding, activation, **sizes)

    def add(self, other, scale, zero_point, activation="NONE"):
        """ADD of the last tensor and another one of its shape."""
        target = self.activation(self.shape(self.last), scale, zero_point)
        self.operator("ADD", [self.last, other], target, activation=activation)

    def rescale(self, name, scale, zero_point):
        """QUANTIZE, RELU or RELU6: another scale."""
        self.operator(name, [self.last], self.activation(self.shape(self.last), scale, zero_point))

    def pad(self, borders):
        """PAD by [[before, after], ...] for the four axes."""
        shape = [size + sum(border) for size, border in zip(self.shape(self.last), borders, strict=True)]
        target = self.tensor(shape, self.scale(self.last), self.zero_point(self.last))
        self.operator("PAD", [self.last, self.tensor((4, 2), dtype="int32", data=borders)], target)

    def mean(self, axes, scale, zero_point):
        """MEAN over axes, which vanish."""
        shape = [size for axis, size in enumerate(self.shape(self.last)) if axis not in axes]
        target = self.activation(shape, scale, zero_point)
        self.operator("MEAN", [self.last, self.tensor((len(axes),), dtype="int32", data=axes)], target, keepDims=False)

    def softmax(self, beta=1.0):
        """SOFTMAX over the last axis."""
        scale, zero_point = (2**-15, 0) if self.kind == "int16" else (1 / 256, -128)
        target = self.activation(self.shape(self.last), scale, zero_point)
        self.operator("SOFTMAX", [self.last], target, beta=beta)

    def _weighted(self, name, rng, shape, axis, stride, padding, activation, scale, zero_point):
        source, channels = self.last, shape[axis]
        weights, bias = self._constants(rng, shape, axis, channels, scale)
        size = output_size(self.shape(source)[1:3], shape[1:3], stride, padding)
        target = self.tensor((1, *size, channels), scale, zero_point)
        options = {"strideH": stride[0], "strideW": stride[1], "dilationHFactor": 1, "dilationWFactor": 1}
        if name == "DEPTHWISE_CONV_2D":
            options["depthMultiplier"] = channels // self.shape(source)[-1]
        self.operator(name, [source, weights, bias], target, padding, activation, **options)

    def _constants(self, rng, shape, axis, n_scales, scale):
        """Weights and bias whose sums fill the range of an output with this scale, more or less."""
        n_values, n_outputs = int(np.prod(shape)), shape[axis]
        values = rng.integers(-127, 128, shape) * (rng.random(shape) < rng.choice([0.2, 0.6, 1.0]))
        typical = 60 * scale / (self.scale(self.last) * 60 * 70 * np.sqrt(max(1, n_values // n_outputs)))
        scales = np.float32(typical) * rng.uniform(0.3, 3, n_scales).astype(np.float32)
        weights = self.tensor(shape, scales, 0, axis=axis, data=values)
        bias_scales = np.float32(self.scale(self.last)) * scales
        bias = rng.normal(0, 20 * scale, n_outputs) / np.resize(bias_scales, n_outputs)
        bias = np.clip(bias, -(2**28), 2**28)
        return weights, self.tensor((n_outputs,), bias_scales, 0, "int32", data=bias.astype(np.int32))


def output_size(size, window, stride, padding) -> tuple[int, int]:
    """Height and width of what a window over an input gives."""
    if padding == "SAME":
        return tuple(-(-n // step) for n, step in zip(size, stride, strict=True))
    return tuple((n - has) // step + 1 for n, has, step in zip(size, window, stride, strict=True))

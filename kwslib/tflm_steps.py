"""Our kernels inside TensorFlow Lite Micro: the C file that gives each operator its calls (`our_kernels.h`)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kwslib import kernels_dense, kernels_plain
from kwslib.engine import members_of
from kwslib.engine_c import C_TYPES, array_rows, literal
from kwslib.kernels import KernelError, Scratch, Step
from kwslib.kernels_host import SOURCE_FOLDER
from kwslib.tflite_graph import ModelInfo, Op, describe

ALIGNMENT = 32
BYTES_BEHIND = 32  # kernels read so far behind their input at most
# Sets of kernels, best first: an operator that one does not take goes to the next. A lowering takes the operator's
# input tensor (or its two, in the first step) to its output tensor, as the .tflite has them.
KERNELS: dict[str, tuple[Callable[[ModelInfo, Op], list[Step]], ...]] = {
    "simd": (kernels_dense.steps, kernels_plain.weighted),
    "plain": (kernels_plain.weighted,),
}


def steps(tflite: bytes, kernels: str) -> dict[int, list[Step]]:
    """Calls of the operators, by index, that a set of KERNELS serves; none for "library".

    TFLM registers kernels by kind of operator: a kind is served if each of its operators is. Raises KernelError if
    none is.
    """
    if kernels == "library":
        return {}
    if kernels not in KERNELS:
        raise KernelError(f"kernels = {kernels!r}: allowed is {', '.join(map(repr, ['library', *KERNELS]))}")
    info, found = describe(tflite), {}
    for kind in dict.fromkeys(op.name for op in info.ops):
        calls = {op.index: _lowered(info, op, KERNELS[kernels]) for op in info.ops if op.name == kind}
        if all(calls.values()):
            found |= calls
    if not found:
        raise KernelError(f"no operator of the model fits our kernels ({kernels})")
    return found


def _lowered(info, op, lowerings):
    for lowering in lowerings:
        try:
            return lowering(info, op)
        except KernelError:
            continue
    return None


@dataclass(frozen=True)
class Memory:
    """Scratch memory of one operator: `n_bytes` at a multiple of `alignment`.

    `outputs` are the offsets of what all calls but the last write: they alternate between two places. `inside` is the
    offset of what Scratch members point to, which the calls share.
    """

    n_bytes: int
    alignment: int
    outputs: tuple[int, ...]
    inside: int


def memory(calls: Sequence[Step]) -> Memory:
    """Place what lies between and inside the calls of one operator."""
    alignment = max(ALIGNMENT, *(call.alignment for call in calls))
    sizes = [call.n_out * np.dtype(call.dtype).itemsize + BYTES_BEHIND for call in calls[:-1]]
    sizes = [-(-size // alignment) * alignment for size in sizes]
    first, second = (max(sizes[parity::2], default=0) for parity in (0, 1))
    offsets = tuple(first if number % 2 else 0 for number in range(len(sizes)))
    inside = max(sum(_rounded(value.n_bytes) for value in _scratches(call.layer)) for call in calls)
    return Memory(first + second + inside, alignment, offsets, first + second)


def _scratches(layer):
    return [value for value in layer.members.values() if isinstance(value, Scratch)]


def _rounded(n_bytes: int) -> int:
    return -(-n_bytes // ALIGNMENT) * ALIGNMENT


def without_weights(tflite: bytes, served: Mapping[int, Sequence[Step]]) -> bytes:
    """The model without the weights that packed layers hold: the interpreter never reads them.

    Weights that a layer holds as they are stay: `source` points to them. A tensor whose weights go keeps its shape and
    a buffer of 16 bytes, so that TFLM takes it as constant.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    info = describe(tflite)
    members = [value for calls in served.values() for call in calls for value in members_of(call.layer.members)]
    arrays = {value.tobytes() for value in members if isinstance(value, np.ndarray)}
    cut = [index for number in served for index in info.ops[number].inputs[1:2] if info.ops[number].macs]
    cut = {index for index in cut if info.tensors[index].data.tobytes() not in arrays}
    others = {i for op in info.ops if op.index not in served for i in op.inputs}
    if not cut - others:
        return tflite
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(tflite, 0))
    tensors = model.subgraphs[0].tensors
    kept = {tensor.buffer for number, tensor in enumerate(tensors) if number not in cut - others}
    for number in cut - others:
        if tensors[number].buffer not in kept:
            model.buffers[tensors[number].buffer].data = np.zeros(16, np.uint8)
    builder = flatbuffers.Builder(len(tflite))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def source(tflite: bytes, info: ModelInfo, served: Mapping[int, Sequence[Step]]) -> str:
    """C file with `our_operators`: constants, layers and a function for each operator.

    `tflite` is the model as it is built in: an array that it holds, aligned to 4, is not repeated. `info` describes
    the whole model.
    """
    lines = [
        "/* Operators that our kernels serve, with their layers and weights; written by kwslib.tflm_steps. */",
        '#include "our_kernels.h"',
        "",
        "#include <math.h>",
        "",
        *(f'#include "{path.name}"' for path in sorted(SOURCE_FOLDER.glob("kernels*.h"))),
        "",
        "extern const unsigned char g_model_data[];",
        "",
    ]
    table = []
    for index, calls in served.items():
        op = info.ops[index]
        lines += _operator(tflite, index, calls, len(_activations(info, op)))
        used = memory(calls)
        sizes = [len(_activations(info, op)), info.tensors[op.inputs[0]].bytes, info.tensors[op.outputs[0]].bytes]
        sizes += [used.n_bytes, used.alignment]
        table.append(f"    {{{op.outputs[0]}, {', '.join(map(str, sizes))}, operator_{index}}}, /* {op.name} */")
    table = table or ["    {-1, 0, 0, 0, 0, 1, 0},"]
    lines += ["const our_operator_t our_operators[] = {", *table, "};", ""]
    return "\n".join([*lines, f"const uint32_t our_operator_count = {len(served)}u;", ""])


def _activations(info, op):
    """Inputs of an operator that are computed; they come before the constant ones."""
    return [index for index in op.inputs if info.tensors[index].data is None]


def _operator(tflite, index, calls, n_inputs=1):
    """Constants and function of one operator."""
    constants, body, used = [], [], memory(calls)
    for number, call in enumerate(calls):
        name = f"layer_{index}_{number}"
        members = _members(tflite, call.layer.members, name, constants)
        constants.append(f"static const {call.layer.struct} {name} = {members};")
        layer, place = f"&{name}", used.inside
        if _scratches(call.layer):
            layer = f"&own_{number}"
            body.append(f"    {call.layer.struct} own_{number} = {name};")
            for member, value in call.layer.members.items():
                if isinstance(value, Scratch):
                    body.append(f"    own_{number}.{member} = (void *)(scratch + {place});")
                    place += _rounded(value.n_bytes)
        read = (
            f"(const void *)(scratch + {used.outputs[number - 1]})"
            if number
            else ", ".join(f"inputs[{n}]" for n in range(n_inputs))
        )
        write = "output" if number == len(calls) - 1 else f"(void *)(scratch + {used.outputs[number]})"
        body.append(f"    {call.kernel}({layer}, {read}, {write});")
    head = f"static void operator_{index}(const void *const inputs[], void *output, uint8_t *scratch)"
    return [*constants, "", head, "{", "    (void)scratch;", *body, "}", ""]


def _members(tflite, members, name, constants):
    """Initialiser of a struct; arrays go to `constants` or are pointed to in the model."""
    texts = []
    for member, value in members.items():
        if isinstance(value, dict):
            text = _members(tflite, value, f"{name}_{member}", constants)
        elif isinstance(value, Scratch):
            text = "0"
        elif isinstance(value, np.ndarray):
            text = _array(tflite, value, f"{name}_{member}", constants)
        else:
            text = literal(value)
        texts.append(f".{member} = {text}")
    return "{" + ", ".join(texts) + "}"


def _array(tflite, values, name, constants):
    kind = C_TYPES[values.dtype.name]
    content = np.ascontiguousarray(values).tobytes()
    place = tflite.find(content) if len(content) >= 64 else -1
    if place >= 0 and place % 4 == 0:
        return f"(const {kind} *)(const void *)(g_model_data + {place})"
    constants += [f"static const {kind} {name}[] __attribute__((aligned({ALIGNMENT}))) = {{", *array_rows(values), "};"]
    return name

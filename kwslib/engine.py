"""From a .tflite to a fixed list of kernel calls over one block of memory: what `engine_c` writes as C."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from kwslib import arena
from kwslib.arena import ALIGNMENT, Buffer
from kwslib.kernel_sets import KERNEL_SETS, NO_STEP, PLAIN
from kwslib.kernels import KernelError, OtherKindError, Scratch, Step
from kwslib.tflite_graph import ModelInfo, Tensor, describe

FLASH_BYTES = 1 << 20
RAM_BYTES = (64 << 10) - (8 << 10)  # DTCM without the stack


class EngineError(ValueError):
    """A model cannot be turned into C; the message names the operator and its tensor, and the remedy."""


@dataclass(frozen=True)
class Call:
    """A step of the program: numbers of its buffers, the operators it serves, and the tensor that it completes.

    `scratch` is the buffer of each Scratch in the layer, in order. `tensor` is None where the output has a layout that
    only the next call knows. `macs` are those of the operators, at the call in which most of their weights lie.
    """

    step: Step
    inputs: tuple[int, ...]
    output: int
    scratch: tuple[int, ...]
    operators: tuple[int, ...]
    tensor: int | None
    macs: int = 0


@dataclass(frozen=True)
class Program:
    """A network as a list of calls; `input` and `output` are numbers of buffers.

    `name` is for comments and file names, `kernels` the kernel set, `sha256` that of the .tflite. `notes` say where
    the set had no kernel for an operator with weights, and where its chain for a network of this kind was refused.
    """

    name: str
    kernels: str
    sha256: str
    info: ModelInfo = field(repr=False)
    calls: tuple[Call, ...] = field(repr=False)
    buffers: tuple[Buffer, ...] = field(repr=False)
    input: int
    output: int
    notes: tuple[str, ...] = field(repr=False)

    @property
    def alignment(self) -> int:
        """Of the arena, in bytes."""
        return arena.alignment(self.buffers)

    @property
    def arena_bytes(self) -> int:
        """Size of the arena, with what the kernels may read around it."""
        return arena.size(self.buffers)

    def constants(self) -> list[np.ndarray]:
        """Arrays of all layers, each content once, in the order of the calls."""
        found = {}
        for call in self.calls:
            for value in members_of(call.step.layer.members):
                if isinstance(value, np.ndarray):
                    found.setdefault(constant_key(value), value)
        return list(found.values())

    @property
    def constant_bytes(self) -> int:
        """Flash that the constants take."""
        return sum(-(-constant.nbytes // ALIGNMENT) * ALIGNMENT for constant in self.constants())


def constant_key(value: np.ndarray) -> tuple[str, bytes]:
    """What makes a constant the same as another one."""
    return value.dtype.name, value.tobytes()


def members_of(members: dict):
    """Values of a layer's members, those of inner structs too, in order."""
    for value in members.values():
        yield from members_of(value) if isinstance(value, dict) else (value,)


def plan(
    tflite: bytes,
    kernels: str = "best",
    choices: Mapping[int, str] | None = None,
    *,
    name: str = "model",
    flash_bytes: int = FLASH_BYTES,
    ram_bytes: int = RAM_BYTES,
) -> Program:
    """Plan a model over a kernel set, with plain kernels where the set has none that fits.

    `choices` names other sets for operators, by their index. Constants have to fit `flash_bytes` and activations
    `ram_bytes`. Raises EngineError, and ModelFileError for a file that is no model with one input and one output.
    """
    for chosen in (kernels, *(choices or {}).values()):
        if chosen not in KERNEL_SETS:
            raise EngineError(f"kernels = {chosen!r}: there are {', '.join(KERNEL_SETS)}")
    info = describe(tflite)
    calls, places, sizes, notes = _calls(info, name, kernels, dict(choices or {}))
    if not calls:
        raise EngineError(f"{name}: no operator computes anything")
    if info.output.index not in places:
        raise EngineError(f"{name}: no operator computes the output {info.output.name!r}")
    output = places[info.output.index]
    buffers = arena.place(_alive(calls, sizes, output))
    digest = hashlib.sha256(tflite).hexdigest()
    program = Program(
        name, kernels, digest, info, tuple(calls), buffers, places[info.input.index], output, tuple(notes)
    )
    if program.constant_bytes > flash_bytes:
        need = f"{program.constant_bytes:,} bytes of flash, given are {flash_bytes:,}"
        raise EngineError(f"{name}: its constants need {need}; prune it, or choose other kernels than {kernels!r}")
    if program.arena_bytes > ram_bytes:
        need = f"{program.arena_bytes:,} bytes of RAM, given are {ram_bytes:,}"
        raise EngineError(f"{name}: its activations need {need}; use a smaller network, or memory outside DTCM")
    return program


def _calls(info, name, kernels, choices):
    """Calls in order, the buffer of each tensor that lies in one, bytes and alignment of each buffer, and notes."""
    places, calls, notes = {}, [], []
    sizes = [(_checked(info.input, name).bytes, ALIGNMENT)]
    places[info.input.index], number = 0, 0
    while number < len(info.ops):
        op = info.ops[number]
        inputs = _inputs(info, op, places, name)
        chosen = KERNEL_SETS[choices.get(number, kernels)]
        refused = []
        chain = _chain(info, number, chosen, refused)
        missed = [] if chain else [str(error) for error in refused if not isinstance(error, OtherKindError)]
        if op.name in NO_STEP and not chain:
            if info.tensors[op.inputs[0]].bytes != info.tensors[op.outputs[0]].bytes:
                raise EngineError(f"{_said(info, op, name)}: it changes the size; convert the model again")
            places[op.outputs[0]] = places[op.inputs[0]]
            number += 1
            continue
        taken, steps = chain or (1, _lowered(info, op, chosen, name, refused))
        if op.macs and len(refused) >= len(chosen.chains) + len(chosen.operators) > 0:
            notes.append(f"operator {op.index} ({op.name}) is on plain kernels: {'; '.join(map(str, refused))}")
        elif missed:
            notes.append(f"operator {op.index} ({op.name}): the chain was refused: {'; '.join(missed)}")
        ops = info.ops[number : number + taken]
        target = _checked(info.tensors[ops[-1].outputs[0]], name)
        if not steps or (steps[-1].n_out, steps[-1].dtype) != (target.size, target.dtype):
            raise EngineError(f"{_said(info, op, name)}: its kernels give another tensor than the operator")
        calls += _linked(steps, inputs, ops, target.index, sizes)
        places[target.index] = calls[-1].output
        number += taken
    return calls, places, sizes, notes


def _linked(steps, inputs, ops, tensor, sizes):
    """Calls of the steps of some operators, each on the output of the one before; `sizes` grows by their buffers."""
    shares, calls = _shares(ops, steps), []
    for number, step in enumerate(steps):
        scratch = []
        for value in members_of(step.layer.members):
            if isinstance(value, Scratch):
                scratch.append(len(sizes))
                sizes.append((value.n_bytes, ALIGNMENT))
        output = len(sizes)
        sizes.append((step.n_out * np.dtype(step.dtype).itemsize, max(ALIGNMENT, step.alignment)))
        last = number == len(steps) - 1
        indices = tuple(op.index for op in ops)
        made = tensor if last else None
        calls.append(Call(step, inputs, output, tuple(scratch), indices, made, int(shares[number])))
        inputs = (output,)
    return calls


def _shares(ops, steps):
    """MACs of each step: those with the most constants serve the operators with weights, in order."""
    sizes = [sum(v.nbytes for v in members_of(step.layer.members) if isinstance(v, np.ndarray)) for step in steps]
    macs = [op.macs for op in ops if op.macs]
    heavy = sorted(sorted(range(len(steps)), key=lambda k: -sizes[k])[: len(macs)])
    found = dict(zip(heavy, macs, strict=False))
    return [found.get(k, 0) for k in range(len(steps))]


def _chain(info, number, chosen, refused):
    """`(operators taken, steps)` of the first chain of a set that fits from operator `number` on, or None."""
    for lower in chosen.chains:
        try:
            taken, steps = lower(info, list(info.ops[number:]))
        except (LookupError, ArithmeticError, TypeError, ValueError) as error:  # KernelError, or a damaged file
            refused.append(error)
            continue
        ops = info.ops[number : number + taken]
        inside = {index for op in ops[:-1] for index in op.outputs}
        outside = {index for op in info.ops[number + taken :] for index in op.inputs}
        taken_in = {index for op in ops[1:] for index in op.inputs if info.tensors[index].data is None}
        if taken_in <= inside and not inside & (outside | {info.output.index}):
            return taken, steps
        refused.append(KernelError("a tensor inside the chain is needed outside of it, or one from outside in it"))
    return None


def _lowered(info, op, chosen, name, refused):
    """Steps of an operator by the first function of a set that can, else by the plain kernels."""
    reasons = refused
    for number, lower in enumerate((*chosen.operators, *PLAIN)):
        reasons = [] if number == len(chosen.operators) else reasons
        try:
            return lower(info, op)
        except KernelError as error:
            reasons.append(error)
        except (LookupError, ArithmeticError, TypeError, ValueError) as error:  # of a damaged file
            reasons.append(f"it makes no sense ({type(error).__name__}: {error}); convert the model again")
    raise EngineError(f"{_said(info, op, name)}: {'; '.join(map(str, reasons))}")


def _inputs(info, op, places, name):
    """Buffers of the tensors that an operator takes, but for constants."""
    if not op.inputs or not op.outputs or any(index >= len(info.tensors) for index in (*op.inputs, *op.outputs)):
        raise EngineError(f"{name}: operator {op.index} ({op.name}) names no tensors of the file; convert it again")
    if len(op.outputs) > 1:
        raise EngineError(f"{_said(info, op, name)}: it has {len(op.outputs)} outputs, one is needed")
    inputs = [index for index in op.inputs if info.tensors[index].data is None]
    for index in (*op.inputs, *op.outputs):
        _checked(info.tensors[index], name)
    for index in inputs:
        if index not in places:
            raise EngineError(
                f"{_said(info, op, name)}: its input {info.tensors[index].name!r} is computed by no operator before it"
            )
    if not inputs:
        raise EngineError(f"{_said(info, op, name)}: it works on constants only; convert the model again")
    return tuple(places[index] for index in inputs)


def _said(info, op, name) -> str:
    layer = info.tensors[op.outputs[0]].name.split(";")[0]
    return f"{name}: operator {op.index} ({op.name}, {layer!r})"


def _checked(tensor: Tensor, name: str) -> Tensor:
    """Refuse a tensor whose size or scale cannot be known or cannot be right."""
    if tensor.open_axes:
        raise EngineError(f"{name}: tensor {tensor.name!r} has open axes {list(tensor.open_axes)}; fix them in Keras")
    scales = tensor.scales
    if not all(math.isfinite(scale) and scale > 0 for scale in scales) or len(tensor.zero_points) != len(scales):
        raise EngineError(
            f"{name}: tensor {tensor.name!r} has impossible scales; the file is damaged, convert it again"
        )
    return tensor


def _alive(calls, sizes, output):
    """Buffers with the calls between which they hold something."""
    first, last = [-1] * len(sizes), [-1] * len(sizes)
    for number, call in enumerate(calls):
        for buffer in (call.output, *call.scratch):
            first[buffer] = last[buffer] = number
        for buffer in call.inputs:
            last[buffer] = number
    last[output] = len(calls)
    return [Buffer(size, align, *ends) for (size, align), *ends in zip(sizes, first, last, strict=True)]

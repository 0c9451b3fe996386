"""Sets of kernels by name: what `engine.plan` chooses from for each operator of a network."""

from collections.abc import Callable
from dataclasses import dataclass

from kwslib import kernels_network, kernels_plain
from kwslib.kernels import Step
from kwslib.tflite_graph import ModelInfo, Op


@dataclass(frozen=True)
class KernelSet:
    """Kernels to choose from, first those of a run of operators, then those of one; `plain` serves the others.

    A function of `chains` takes (info, operators from here on) and gives how many of these its steps are for, and the
    steps; one of `operators` takes (info, operator) and gives the steps. Both raise KernelError where they cannot. The
    first step takes what the first operator takes, the last step gives what the last operator gives, and no other
    tensor between them may be needed elsewhere.
    """

    operators: tuple[Callable[[ModelInfo, Op], list[Step]], ...] = ()
    chains: tuple[Callable[[ModelInfo, list[Op]], tuple[int, list[Step]]], ...] = ()


NO_STEP = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")  # the values stay where they are
# What serves an operator for which a set has nothing, the first that can.
PLAIN = (kernels_plain.plain,)
KERNEL_SETS = {
    "plain": KernelSet(),
    "skip": KernelSet((kernels_plain.skip,)),
    "weight_first": KernelSet((kernels_plain.weight_first,)),
    "weight_first_skip": KernelSet((kernels_plain.weight_first_skip,)),
    "packed": KernelSet(chains=(kernels_network.packed,)),
    "sparse": KernelSet(chains=(kernels_network.sparse,)),
    "best": KernelSet(chains=(kernels_network.packed,)),
}

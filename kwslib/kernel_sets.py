"""Sets of kernels by name: what `engine.plan` chooses from for each operator of a network."""

from collections.abc import Callable
from dataclasses import dataclass

from kwslib import kernels_dense, kernels_network, kernels_plain, kernels_sparse, kernels_wide
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
PLAIN = (kernels_plain.plain, kernels_wide.plain_wide)
# Whatever its weights are, an int8 CONV_2D or FULLY_CONNECTED is on a SIMD kernel at least.
_FAST = (kernels_dense.steps, kernels_wide.packed_wide, kernels_plain.simd_expand)
# Each for int8 and, after it, for int16x8 and float32, where there is one.
KERNEL_SETS = {
    "plain": KernelSet(),
    "skip": KernelSet((kernels_plain.skip, kernels_wide.skip_wide)),
    "weight_first": KernelSet((kernels_plain.weight_first, kernels_wide.weight_first_wide)),
    "weight_first_skip": KernelSet((kernels_plain.weight_first_skip, kernels_wide.weight_first_skip_wide)),
    "weight_first_registers": KernelSet(
        (kernels_sparse.weight_first_registers, kernels_wide.weight_first_registers_wide)
    ),
    "weight_first_registers_skip": KernelSet(
        (kernels_sparse.weight_first_registers_skip, kernels_wide.weight_first_registers_skip_wide)
    ),
    "simd_long": KernelSet((kernels_wide.simd_long_wide,)),
    "simd_expand": KernelSet((kernels_plain.simd_expand, kernels_wide.simd_expand_wide)),
    "simd": KernelSet((kernels_dense.steps, kernels_wide.simd_wide)),
    "packed": KernelSet((kernels_wide.packed_wide,), (kernels_network.packed,)),
    "best": KernelSet(_FAST, (kernels_network.packed,)),
    # of pruned networks, with dense kernels where there is nothing to skip
    "element": KernelSet((kernels_sparse.sparse_element, kernels_wide.sparse_wide, *_FAST)),
    "vector": KernelSet((kernels_sparse.sparse_vector, *_FAST)),
    "block2": KernelSet((kernels_sparse.sparse_block2, *_FAST)),
    "block4": KernelSet((kernels_sparse.sparse_block4, *_FAST)),
}

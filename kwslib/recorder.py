"""Counts what an emulated Cortex-M7 executes and keeps the estimated time, in one pass.

Hooks in C (`recorder.c`, compiled once with the host's compiler) follow every block of code from its predecessor. An
edge that is met for the first time is costed by `kwslib.timing`; from then on C adds the stored cost, and penalties of
mispredictions and cache misses, whose state it simulates. Without a compiler `recorder_python.py` does the same.
"""

import ctypes
import functools
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kwslib import timing, toolchain
from kwslib.instructions import Decoder, Instruction

KINDS = ("", "conditional", "direct", "call", "return", "indirect", "indirect call")
EVENTS = tuple(timing.PENALTIES)
# The structs of recorder.c, as 64-bit words; costs are cycles in 1/256.
BLOCK_FIELDS = ("address", "size", "instructions", "kind", "has_it", "last", "mispredict_cost", "version", "stale")
BLOCK_FIELDS += ("count", "taken", "mispredicts", *EVENTS, "calls", "active", "total_instructions", "total_cost")
EDGE_FIELDS = ("previous", "block", "before", "count", "cost")
FRAME_FIELDS = ("block", "ret", "instructions", "cost", "exception")
NONE = 0xFFFFFFFF  # no block
COST = 256
NEVER = 2**64 - 1
BTB_ENTRIES = 64  # of the branch target buffer, a power of two; assumed, as Arm publishes none
_MAX_UNCACHED = 16


@dataclass(frozen=True)
class Snapshot:
    """Counts at one moment, for `kwslib.profile`; the difference of two is a section of a run.

    `blocks`, `edges`: structured arrays of the fields above; entries are only ever appended. Totals of functions that
    have not returned yet are included. `code[n]` holds the instructions of block n, `unknown` the mnemonics that the
    issue model does not know. `waited` counts cycles without instructions, `cycles` all. `art` says whether the ART
    accelerator is on; `bounds` keeps what `kwslib.profile` has computed for all snapshots of a recorder.
    """

    instructions: int
    cycles: int
    waited: int
    blocks: np.ndarray
    edges: np.ndarray
    code: list[tuple[Instruction, ...]]
    unknown: frozenset[str]
    art: bool
    bounds: dict[tuple[int, int, int], tuple[float, float]]


class Recorder:
    """Attach to a Unicorn core: every block that it executes from now on is counted, and costed.

    `compiled` False takes the Python implementation, which counts the same and is several times slower. The recorder
    must live as long as `uc` runs. A block that a fault ends early counts in full. Code that the firmware writes over
    other code in RAM is noticed, code that Python or DMA writes there after it has run is not.
    """

    def __init__(self, uc, *, compiled: bool = True):
        self._uc, self._decoder, self._error = uc, Decoder(), None
        self._bytes: list[bytes] = []
        self._code: list[tuple[Instruction, ...]] = []
        self._bounds: dict[tuple[int, int, int], tuple[float, float]] = {}
        library = compiled_library() if compiled else None
        if library is not None:
            self._counters = _CompiledCounters(uc, library, self)
        else:
            from kwslib.recorder_python import PythonCounters

            self._counters = PythonCounters(uc, self)
        self._counters.set_penalties([nominal * COST for _, nominal, _ in timing.PENALTIES.values()])
        self.set_memory(icache=False, dcache=False, art=False, uncached=[])

    @property
    def instructions(self) -> int:
        """Instructions executed so far, exact; those that an IT block skips count as executed."""
        return self._head().instructions

    @property
    def cycles(self) -> int:
        """Estimated cycles so far, nominal, with those of `add_cycles`."""
        head = self._head()
        return (head.cost + head.waited) // COST

    @property
    def due(self) -> bool:
        """Whether the last stop of the core came from `stop_at`."""
        return bool(self._head().due)

    def add_cycles(self, n: int) -> None:
        """Let time pass without instructions: a sleep, the entry to or the return from an exception."""
        self._counters.wait(int(n) * COST)

    def stop_at(self, cycles: int | None) -> None:
        """Stop the core before the first block that begins at or after that many cycles; None: never.

        The core has not executed that block, and it counts when the core goes on.
        """
        head = self._head()
        head.due = 0
        head.stop = NEVER if cycles is None else max(0, int(cycles)) * COST

    def set_memory(self, *, icache: bool, dcache: bool, art: bool, uncached: list[tuple[int, int]]) -> None:
        """Say which caches work; `uncached` are the ranges [start, end) that the MPU keeps out of them.

        A cache that is switched on begins empty. Raises ValueError for more than 16 ranges.
        """
        if len(uncached) > _MAX_UNCACHED:
            raise ValueError(f"{len(uncached)} uncached ranges: at most {_MAX_UNCACHED}; join neighbours")
        head = self._head()
        now = {"icache": icache, "dcache": dcache, "art": art}
        self._counters.clear_caches(*(on and not getattr(head, name) for name, on in now.items()))
        for name, on in now.items():
            setattr(head, name, int(on))
        self._counters.set_uncached([bound for area in uncached for bound in area])

    def snapshot(self) -> Snapshot:
        """Copy of all counts."""
        head, blocks = self._head(), self._counters.table("block")
        instructions, cost, entered = head.instructions, head.cost, set()
        for frame in self._counters.table("frame"):
            if frame["block"] not in entered:  # the outermost call of a recursion counts
                blocks["total_instructions"][frame["block"]] += instructions - frame["instructions"]
                blocks["total_cost"][frame["block"]] += cost - frame["cost"]
                entered.add(frame["block"])
        waited = head.waited // COST
        edges, unknown = self._counters.table("edge"), frozenset(self._decoder.unknown)
        code, art = list(self._code), bool(head.art)
        return Snapshot(instructions, self.cycles, waited, blocks, edges, code, unknown, art, self._bounds)

    def _head(self):
        if self._error is not None:
            raise self._error
        if self._counters.head.failed:
            raise MemoryError("not enough memory to record the run: end other programs, or run a shorter section")
        return self._counters.head

    # Called by the counters, from within the core: an exception waits for the next look at the recorder.

    def describe(self, index: int, address: int, size: int) -> tuple[int, int, int, int, int]:
        """Describe a new block: instructions, kind of its end, IT inside, last address, cost of a misprediction."""
        try:
            code = bytes(self._uc.mem_read(address, size))
            block = self._decoder.block(code, address)
            self._bytes.append(code)
            self._code.append(block)
            # Unicorn cuts blocks at 1 KB: the rest of an IT block may follow.
            has_it = address % 1024 in (0, 1022) or any(instruction.name == "it" for instruction in block)
            kind = KINDS.index(block[-1].branch)
            return len(block), kind, int(has_it), block[-1].address, timing.mispredict_cycles(block) * COST
        except BaseException as error:
            return self._stopped(error, (1, 0, 0, address, 0))

    def edge_cost(self, before: int, previous: int, block: int) -> int:
        """Cost of a new edge; `before` and `previous` may be NONE."""
        try:
            chain = (None if index == NONE else self._code[index] for index in (before, previous, block))
            return round(timing.edge_cycles(*chain) * COST)
        except BaseException as error:
            return self._stopped(error, 0)

    def changed(self, index: int) -> int:
        """Whether the memory of a block holds other code now."""
        try:
            return int(
                bytes(self._uc.mem_read(self._code[index][0].address, len(self._bytes[index]))) != self._bytes[index]
            )
        except BaseException as error:
            return self._stopped(error, 0)

    def _stopped(self, error, answer):
        self._error = self._error or error
        self._uc.emu_stop()
        return answer


class _Head(ctypes.Structure):
    _fields_ = (
        [(name, ctypes.c_uint64) for name in ("instructions", "cost", "waited", "stop")]
        + [("penalties", ctypes.c_uint64 * len(EVENTS))]
        + [(name, ctypes.c_uint64) for name in ("n_block", "n_edge", "n_frame")]
        + [(name, ctypes.c_uint32) for name in ("due", "failed", "icache", "dcache", "art", "n_uncached")]
        + [("uncached", ctypes.c_uint32 * (2 * _MAX_UNCACHED))]
    )


class _BlockInfo(ctypes.Structure):
    _names = ("address", "size", "instructions", "kind", "has_it", "last", "mispredict_cost")
    _fields_ = [(name, ctypes.c_uint32) for name in _names]


_DESCRIBE = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.POINTER(_BlockInfo))
_EDGE_COST = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)
_CHANGED = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint32)


class _CompiledCounters:
    """The counters of recorder.c."""

    def __init__(self, uc, library, recorder):
        from unicorn import UC_HOOK_BLOCK, UC_HOOK_MEM_READ, UC_HOOK_MEM_WRITE, UcError, arm_const
        from unicorn.unicorn_py3.unicorn import uclib

        def describe(index, pointer):
            info = pointer.contents
            answer = recorder.describe(index, info.address, info.size)
            info.instructions, info.kind, info.has_it, info.last, info.mispredict_cost = answer

        self._callbacks = _DESCRIBE(describe), _EDGE_COST(recorder.edge_cost), _CHANGED(recorder.changed)
        callbacks = [ctypes.cast(callback, ctypes.c_void_p) for callback in self._callbacks]
        functions = [
            ctypes.cast(f, ctypes.c_void_p) for f in (uclib.uc_emu_stop, uclib.uc_reg_read, uclib.uc_reg_write)
        ]
        self._library = library
        self._state = library.recorder_new(BTB_ENTRIES, *callbacks, *functions, arm_const.UC_ARM_REG_CPSR)
        if not self._state:
            raise MemoryError("not enough memory for the recorder")
        weakref.finalize(self, library.recorder_free, self._state)
        self.head = _Head.from_address(self._state)
        for kind, hook in (
            (UC_HOOK_BLOCK, library.recorder_block),
            (UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, library.recorder_memory),
        ):
            handle, function = ctypes.c_size_t(), ctypes.cast(hook, ctypes.c_void_p)
            everywhere = ctypes.c_uint64(1), ctypes.c_uint64(0)  # first address above the last
            user_data = ctypes.c_void_p(self._state)
            status = uclib.uc_hook_add(uc._uch, ctypes.byref(handle), kind, function, user_data, *everywhere)
            if status:
                raise UcError(status)

    def set_penalties(self, costs):
        self.head.penalties[:] = costs

    def set_uncached(self, bounds):
        self.head.uncached[: len(bounds)] = bounds
        self.head.n_uncached = len(bounds) // 2

    def wait(self, cost):
        self._library.recorder_wait(self._state, cost)

    def clear_caches(self, icache, dcache, art):
        self._library.recorder_clear_caches(self._state, icache, dcache, art)

    def table(self, which):
        fields = {"block": BLOCK_FIELDS, "edge": EDGE_FIELDS, "frame": FRAME_FIELDS}[which]
        dtype = np.dtype([(name, "<u8") for name in fields])
        n_bytes = getattr(self.head, f"n_{which}") * dtype.itemsize
        address = getattr(self._library, f"recorder_{which}s")(self._state)
        return np.frombuffer(ctypes.string_at(address, n_bytes), dtype).copy()


@functools.cache
def compiled_library() -> ctypes.CDLL | None:
    """The compiled hooks, built in the cache folder on first use; None, and a note, without a C compiler."""
    try:
        path = toolchain.host_library("recorder", [Path(__file__).with_name("recorder.c")])
    except toolchain.ToolchainError as error:
        print(f"note: no C compiler, emulation with cycle estimates is slow ({error})", file=sys.stderr)
        return None
    library = ctypes.CDLL(str(path))
    pointer = ctypes.c_void_p
    library.recorder_new.restype = pointer
    library.recorder_new.argtypes = [ctypes.c_uint32, *[pointer] * 6, ctypes.c_int]
    library.recorder_free.argtypes = [pointer]
    library.recorder_wait.argtypes = [pointer, ctypes.c_uint64]
    library.recorder_clear_caches.argtypes = [pointer, *[ctypes.c_int] * 3]
    for name in ("blocks", "edges", "frames"):
        function = getattr(library, f"recorder_{name}")
        function.restype, function.argtypes = pointer, [pointer]
    return library

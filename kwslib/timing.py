"""Cycle estimates for the Cortex-M7: a dual-issue, in-order pipeline, and what cache misses and mispredictions cost.

Sources: [LLVM] and [jnk0le] as in `kwslib.instructions`; what neither gives is marked as fitted or assumed.
`benchmarks/validate_cycles.py` compares the sum of it all with latencies published for the STM32F746G-Discovery.
"""

from kwslib.instructions import FLAGS, FP_ACCUMULATOR, FP_STORE, MULTIPLICAND, Instruction

# Cycles of an event: (low, nominal, high). Low and high span published or plausible values: no confidence interval.
PENALTIES = {
    "icache_misses": (10, 14, 20),  # line fill from flash, 7 wait states; 14 chosen without evidence of its own
    "flash_misses": (8, 11, 16),  # D-cache; fitted on MLPerf Tiny v1.2 ic, ad and ad of the max-performance build
    "ram_misses": (5, 7, 12),  # D-cache, SRAM1 and SRAM2 on AXI; fitted on the same three images
    "art_misses": (5, 8, 12),  # flash on the ITCM bus, 7 wait states; assumed
    "uncached_fetches": (7, 10, 15),  # 8 bytes of code from flash with the I-cache off; assumed
    "uncached_flash": (10, 14, 18),  # a data access with the D-cache off; assumed
    "uncached_ram": (6, 8, 12),  # assumed
    "unaligned": (2, 3, 4),  # [jnk0le]: +3 in the older slot, +4 in the younger, -1 with an aligned neighbour
}
MISPREDICT_CYCLES = 8  # [jnk0le]
MISPREDICT_EARLY_FLAGS_CYCLES = 6  # [jnk0le]: flags set three or more cycles before the branch
MISPREDICT_RANGE = (0.75, 1.0, 1.0), (0, 0, 2)  # low, nominal, high: factor and cycles added
TAKEN_BRANCH_CYCLES = 1  # a correctly predicted taken branch ends its issue cycle
FETCH_BYTES = 8  # 64-bit instruction bus (Cortex-M7 Technical Reference Manual); a queue of four fetches assumed

CAPACITY = {"load": 2, "store": 1, "alu": 2, "shift": 1, "mac": 1, "store or mac": 1, "branch": 1, "simd": 1}
CAPACITY |= {"vfp": 1, "fp port": 2}
# [jnk0le]: two loads pair if they hit different banks (bit 2 of the address). Where the addresses are unrelated that
# happens half of the time (assumed): the nominal cost is the mean of the first two variants.
OPTIMISTIC = {"pair_unrelated_loads": True, "extra_multiple_cycles": 0}
PESSIMISTIC = {"pair_unrelated_loads": False, "extra_multiple_cycles": 0}
VARIANTS = {
    "low": (OPTIMISTIC,),
    "nominal": (OPTIMISTIC, PESSIMISTIC),
    "high": ({"pair_unrelated_loads": False, "extra_multiple_cycles": 1},),
}
_SELF_LOOP_ROUNDS = 5  # the cost of a loop of one block is that of its last three rounds
_FP_MAC, _NEVER = ("fused", "chained"), -9


def edge_cycles(before, previous, block, variant: str = "nominal") -> float:
    """Cycles from the last issue of block `previous` to the last issue of `block`, without misses and mispredictions.

    Each is a tuple of `Instruction`s and runs into the next; `before` gives the context and may be None. A block that
    follows itself is simulated over several rounds.
    """
    loop = previous is block
    chain = [previous] * (_SELF_LOOP_ROUNDS + 1) if loop else [b for b in (before, previous, block) if b]
    total = 0.0
    for parameters in VARIANTS[variant]:
        pipeline = Pipeline(**parameters)
        ends = [pipeline.run(one, follower) for one, follower in zip(chain, [*chain[1:], None], strict=True)]
        if len(ends) == 1:
            total += ends[0] + 1
        else:
            total += (ends[-1] - ends[-4]) / 3 if loop else ends[-1] - ends[-2]
    return total / len(VARIANTS[variant])


def mispredict_cycles(block) -> int:
    """What a mispredicted branch at the end of this block costs."""
    pipeline = Pipeline(**OPTIMISTIC)
    pipeline.run(block, None)
    early = pipeline.cycle - pipeline.flags_set >= 3
    return MISPREDICT_EARLY_FLAGS_CYCLES if early else MISPREDICT_CYCLES


class Pipeline:
    """Issues instructions in order, at most two a cycle; `cycle` is that of the last issue.

    The ready time of a register is the cycle in which an instruction that needs it in EX2 may issue; an operand that is
    needed in EX1 (address, shifted) has to be there one cycle earlier, in EX3 (store data, accumulator) one later.
    """

    def __init__(self, pair_unrelated_loads: bool, extra_multiple_cycles: int):
        self._pair_unrelated_loads, self._extra_multiple_cycles = pair_unrelated_loads, extra_multiple_cycles
        self.cycle, self.flags_set = 0, _NEVER
        self._issued, self._used = 0, {}
        self._blocked_until = self._fp_blocked_until = 0
        self._ready, self._special = {}, {MULTIPLICAND: {}, FP_ACCUMULATOR: {}, FP_STORE: {}}
        self._fetch_address = None
        self._fetched_at = 0
        self._last_load, self._last_mac, self._second_mac = None, _NEVER, False

    def run(self, block: tuple[Instruction, ...], follower) -> int:
        """Issue a block; `follower` is the next block or None. Returns the cycle of its last issue."""
        for instruction in block:
            self._issue(instruction)
        last = block[-1]
        if follower and follower[0].address != last.address + last.size:
            self._blocked_until = max(self._blocked_until, self.cycle + TAKEN_BRANCH_CYCLES)
            self._fetch_address = None
        return max(self.cycle, self._blocked_until - 1)

    def _issue(self, instruction) -> None:
        earliest = max(self.cycle, self._blocked_until, self._fetch(instruction))
        for register, stage in instruction.reads:
            earliest = max(earliest, self._operand(register, stage, instruction.pipe))
        # [jnk0le]: after a multiply-accumulate no addition, multiple or double transfer for three cycles
        if instruction.pipe in ("add", "multiple") and self._last_mac < earliest <= self._last_mac + 3:
            earliest = self._last_mac + 4
        while not self._fits(instruction, earliest):
            earliest += 1
        if earliest > self.cycle:
            self.cycle, self._issued, self._used = earliest, 0, {}
        older = self._issued == 0
        self._issued = 2 if instruction.alone else self._issued + 1
        for unit, number in instruction.units:
            self._used[unit] = self._used.get(unit, 0) + number
        if instruction.load:
            self._last_load = instruction.load
        self._write(instruction, older)
        if instruction.pipe in _FP_MAC:
            self._second_mac = self.cycle - self._last_mac <= 3 and older
            self._last_mac = self.cycle
        self._block(instruction)

    def _fetch(self, instruction) -> int:
        """Cycle in which the last byte of the instruction has been fetched; the queue runs four cycles ahead."""
        if self._fetch_address is None:
            self._fetch_address, self._fetched_at = instruction.address & -FETCH_BYTES, self._blocked_until
        while self._fetch_address + FETCH_BYTES < instruction.address + instruction.size:
            self._fetch_address += FETCH_BYTES
            self._fetched_at = max(self._fetched_at + 1, self.cycle - 4)
        return self._fetched_at

    def _operand(self, register, stage, pipe) -> int:
        ready = self._ready.get(register, 0)
        if stage not in self._special:
            return ready - stage
        special = self._special[stage].get(register)
        if special is None:
            return ready
        return special - 1 if stage == FP_ACCUMULATOR and pipe == "chained" else special

    def _fits(self, instruction, cycle) -> bool:
        """Whether the instruction can issue in this cycle, beside what has issued in it already."""
        issued, used = (self._issued, self._used) if cycle == self.cycle else (0, {})
        if issued > 1 or (issued and (instruction.older_only or instruction.alone)):
            return False
        if any(used.get(unit, 0) + number > CAPACITY[unit] for unit, number in instruction.units):
            return False
        if instruction.pipe and cycle < self._fp_blocked_until:
            return False
        if not issued:
            return True
        if instruction.load and used.get("load") and self._last_load and not self._banks_differ(instruction.load):
            return False
        # [jnk0le]: beside multiply-accumulates loads and moves issue from the older slot only, save with the first one
        recent = self._last_mac >= cycle - 3
        if instruction.pipe in ("load", "move"):
            return not (recent and (self._last_mac < cycle or self._second_mac))
        return not (instruction.pipe in _FP_MAC and used.get("fp port") and recent)

    def _banks_differ(self, load) -> bool:
        base, offset, index, writes_back = self._last_load
        if load[0] == base and not (index or load[2] or writes_back):
            return bool((offset ^ load[1]) & 4)
        return self._pair_unrelated_loads

    def _write(self, instruction, older) -> None:
        """Set when results are ready. In the early ALU a result is there for the other instruction of the pair."""
        possible = older or (instruction.early == "any" and not self._used.get("shift"))
        sources = (register for register, _ in instruction.reads if register != FLAGS)
        early = instruction.early and possible and all(self._ready.get(r, 0) < self.cycle for r in sources)
        pipe, now = instruction.pipe, self.cycle
        for register, latency in instruction.writes:
            if register == FLAGS:
                self._ready[FLAGS], self.flags_set = now + 1, now
                continue
            self._ready[register] = now + (0 if early and latency == 1 else latency)
            for times in self._special.values():
                times.pop(register, None)
            if instruction.loads_words and latency == 1 and not pipe:
                self._special[MULTIPLICAND][register] = now + 2
            if pipe in _FP_MAC:  # [jnk0le], table of result latencies
                self._special[FP_ACCUMULATOR][register] = self._special[FP_STORE][register] = now + (
                    3 if pipe == "fused" else 4
                )
            elif pipe in ("load", "add", "multiply"):
                self._special[FP_ACCUMULATOR][register] = now + 3
                if pipe != "load":
                    self._special[FP_STORE][register] = now + 1

    def _block(self, instruction) -> None:
        cycles = instruction.cycles
        if instruction.loads_words > 2 and instruction.alone:
            cycles += self._extra_multiple_cycles
        if cycles > 1 and instruction.pipe == "add":  # VDIV and VSQRT: one integer instruction may go along
            self._fp_blocked_until = self.cycle + cycles
            self._blocked_until = max(self._blocked_until, self.cycle + cycles - 1)
        elif cycles > 1:
            self._blocked_until, self._issued = self.cycle + cycles, 2

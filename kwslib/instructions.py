"""Thumb-2 instructions as a Cortex-M7 issues them: units, slots, operand stages and latencies, decoded by capstone.

Sources: [LLVM] the scheduling model that Arm wrote for LLVM, llvm/lib/Target/ARM/ARMScheduleM7.td of
https://github.com/llvm/llvm-project; [jnk0le] measurements on an STM32H743 (same core),
https://github.com/jnk0le/random, file "pipeline cycle test/doc/cortex_m7.md".
"""

from typing import NamedTuple

import capstone
from capstone import arm as cs

EX1, EX2, EX3 = -1, 0, 1  # cycle in which an operand is needed, from issue: AGU and shifter, ALU, store and accumulate
MULTIPLICAND, FP_ACCUMULATOR, FP_STORE = "multiplicand", "fp accumulator", "fp store"
FLAGS, FPSCR = "flags", "fpscr"


class Instruction(NamedTuple):
    """A decoded instruction as the issue model needs it."""

    address: int
    size: int  # bytes
    name: str  # mnemonic without condition, width and S
    reads: tuple  # (register, stage)
    writes: tuple  # (register, latency in cycles)
    units: tuple  # (unit, how many)
    older_only: bool  # only in the older slot of a pair
    alone: bool  # never in a pair
    cycles: int  # for which it blocks issue
    early: str  # "older": may execute in the early ALU from the older slot; "any": from both
    pipe: str  # class of a floating-point instruction
    load: tuple | None  # (base, offset, index, writes back) of a load that may pair with another
    loads_words: int
    branch: str  # "", "conditional", "direct", "call", "return", "indirect", "indirect call"


class Timing(NamedTuple):
    """How a class of instructions issues: a row of the table below."""

    units: str = "alu"
    latency: int = 1
    results: int = 1  # leading operands that are written
    reads: tuple = (EX2,)  # stages of the source operands, the last repeats
    keeps: int | str | None = None  # stage in which the results' old values are read
    older_only: bool = False
    alone: bool = False
    cycles: int = 1
    early: str = ""
    pipe: str = ""
    shifted: bool = False  # a shifted last operand is needed in EX1 and takes the shifter


MAC, SIMD, SIMD_SHIFT = "mac+store or mac", "simd+alu", "simd+alu+shift"
VFP = "vfp+fp port"
_PARALLEL = ("add8", "add16", "sub8", "sub16", "asx", "sax")
# [LLVM] unless said otherwise. Names without condition, width suffix and S.
_ROWS = [
    ("add addw sub subw", Timing(early="older", shifted=True)),  # early ALU: [jnk0le]
    ("rsb adc sbc and orr orn eor bic mvn neg", Timing(shifted=True)),
    ("mov movw adr", Timing(early="older", shifted=True)),
    ("movt", Timing(early="older", keeps=EX2)),
    ("cmp cmn tst teq", Timing(results=0, shifted=True)),
    ("lsl lsr asr ror", Timing(early="any")),
    ("rrx", Timing()),
    ("clz", Timing(older_only=True)),
    ("sdiv udiv", Timing(latency=7, alone=True, cycles=7)),
    ("sxtb sxth uxtb uxth sxtb16 uxtb16", Timing(SIMD, older_only=True)),
    ("sxtab sxtah uxtab uxtah sxtab16 uxtab16 pkhbt pkhtb", Timing(SIMD_SHIFT, reads=(EX2, EX1), older_only=True)),
    ("rbit rev rev16 revsh", Timing(SIMD_SHIFT, latency=0, reads=(EX1,), older_only=True)),
    ("sbfx ubfx", Timing(SIMD_SHIFT, reads=(EX1,), older_only=True)),
    ("bfi bfc", Timing("alu+shift", keeps=EX2, older_only=True)),
    ("ssat usat ssat16 usat16 qdadd qdsub", Timing(SIMD_SHIFT, latency=2, reads=(EX1,), older_only=True)),
    ("sel " + " ".join(p + o for p in ("s", "u", "sh", "uh") for o in _PARALLEL), Timing(SIMD, older_only=True)),
    ("usad8 qadd qsub " + " ".join(p + o for p in ("q", "uq") for o in _PARALLEL), Timing(SIMD, 2, older_only=True)),
    # Word loads reach a multiplier one cycle later than an ALU: [jnk0le]
    ("mul smmul smmulr smulbb smulbt smultb smultt", Timing(MAC, 2, reads=(MULTIPLICAND,))),
    ("smulwb smulwt smuad smuadx smusd smusdx", Timing(MAC, 2, reads=(MULTIPLICAND,))),
    ("smull umull", Timing(MAC, 2, results=2, reads=(MULTIPLICAND,))),
    ("mla mls smmla smmlar smmls smmlsr usada8", Timing(MAC, 2, reads=(MULTIPLICAND, MULTIPLICAND, EX3))),
    ("smlad smladx smlsd smlsdx smlawb smlawt", Timing(MAC, 2, reads=(MULTIPLICAND, MULTIPLICAND, EX3))),
    ("smlabb smlabt smlatb smlatt", Timing(MAC, 2, reads=(MULTIPLICAND, MULTIPLICAND, EX3))),
    ("smlal umlal umaal smlald smlaldx smlsld smlsldx", Timing(MAC, 2, 2, (MULTIPLICAND,), EX3)),
    ("smlalbb smlalbt smlaltb smlaltt", Timing(MAC, 2, 2, (MULTIPLICAND,), EX3)),
    # Single precision; latencies and the pipe classes: [jnk0le], section "fpu (single precision)"
    ("vfma vfms vfnma vfnms", Timing(VFP, 5, keeps=FP_ACCUMULATOR, pipe="fused")),
    ("vmla vmls vnmla vnmls", Timing(VFP, 6, keeps=FP_ACCUMULATOR, pipe="chained")),
    ("vmul vnmul", Timing(VFP, 3, pipe="multiply")),
    ("vadd vsub vabs vneg vcvt vcvtr vcvta vcvtn vcvtp vcvtm vcvtb vcvtt", Timing(VFP, 3, pipe="add")),
    ("vmaxnm vminnm vrinta vrintn vrintp vrintm vrintz vrintr vrintx", Timing(VFP, 3, pipe="add")),
    ("vseleq vselvs vselge vselgt", Timing(VFP, 3, older_only=True)),
    ("vdiv", Timing(VFP, 16, cycles=16, pipe="add")),
    ("vsqrt", Timing(VFP, 14, cycles=14, pipe="add")),
    ("vcmp vcmpe", Timing(VFP, results=0)),
    ("vmrs vmsr", Timing(VFP, alone=True)),
    ("it nop", Timing("", results=0)),
    ("b bl bx blx cbz cbnz", Timing("branch", results=0)),
    ("dsb dmb", Timing("", results=0, alone=True, cycles=8)),  # assumed
    ("isb", Timing("", results=0, alone=True, cycles=12)),  # assumed
    ("wfi wfe sev cps cpsie cpsid msr svc bkpt clrex udf hint yield", Timing("", results=0, alone=True, cycles=3)),
    ("mrs", Timing("", alone=True, cycles=3)),
]
TABLE = {name: row for names, row in _ROWS for name in names.split()}
# Their result is never a source as well.
_UNARY = """mov movw movt adr mvn neg clz rrx sxtb sxth uxtb uxth sxtb16 uxtb16 rbit rev rev16 revsh sbfx ubfx
    ssat usat ssat16 usat16 vabs vneg vsqrt mrs vmrs vmsr smull umull"""
_UNARY = {*_UNARY.split(), *(name for name in TABLE if name.startswith(("vcvt", "vrint")))}
_CONDITIONS = ("eq", "ne", "hs", "lo", "mi", "pl", "vs", "vc", "hi", "ls", "ge", "lt", "gt", "le", "cs", "cc")
_MULTIPLE = ("ldm", "stm", "pop", "push", "vldm", "vstm", "vpop", "vpush")


class Decoder:
    """Decodes blocks of Thumb-2 code. `unknown` counts the mnemonics that the table lacks, as found in the code."""

    def __init__(self):
        self._disassembler = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS)
        self._disassembler.detail = True
        self.unknown: dict[str, int] = {}

    def block(self, code: bytes, address: int) -> tuple[Instruction, ...]:
        """Decode all of `code`; what cannot be decoded is counted as unknown and takes one cycle of an ALU."""
        found, offset = [], 0
        while offset < len(code):
            for raw in self._disassembler.disasm(code[offset:], address + offset):
                found.append(self._instruction(raw))
                offset += raw.size
            if offset < len(code):
                half = int.from_bytes(code[offset : offset + 2], "little")
                size = 4 if half >> 11 >= 0x1D else 2
                found.append(self._unknown(code[offset : offset + size][::-1].hex(), address + offset, size))
                offset += size
        return tuple(found)

    def _unknown(self, name, address, size, reads=(), writes=()):
        self.unknown[name] = self.unknown.get(name, 0) + 1
        return Instruction(
            address, size, name, tuple(reads), tuple(writes), (("alu", 1),), False, False, 1, "", "", None, 0, ""
        )

    def _instruction(self, raw) -> Instruction:
        name = raw.mnemonic.split(".")[0]
        conditional = raw.cc not in (cs.ARM_CC_AL, cs.ARM_CC_INVALID)
        if name.startswith("it"):
            name = "it"
        elif conditional and name[-2:] in _CONDITIONS:
            name = name[:-2]
        if name not in TABLE and name.endswith("s") and name[:-1] in TABLE:
            name = name[:-1]
        registers = [operand.reg for operand in raw.operands if operand.type == cs.ARM_OP_REG]
        memory = next((operand.mem for operand in raw.operands if operand.type == cs.ARM_OP_MEM), None)
        if memory is not None or name.startswith(_MULTIPLE):
            fields = _memory(raw, name, registers, memory)
        elif name == "vmov":
            fields = _fp_move(raw, registers)
        elif name in TABLE:
            fields = _computation(raw, name, registers, TABLE[name])
        else:
            reads = [(register, EX2) for register in registers[1:]]
            return self._unknown(name, raw.address, raw.size, reads, [(register, 1) for register in registers[:1]])
        reads, writes = list(fields.pop("reads")), list(fields.pop("writes"))
        branch = _branch(name, conditional, registers, memory, fields.get("popped", ()))
        fields.pop("popped", None)
        if conditional and not branch:  # a skipped instruction leaves the old value: it needs the flags and that value
            reads += [(FLAGS, EX2)] + [(register, EX2) for register, _ in writes]
        if raw.update_flags or name in ("cmp", "cmn", "tst", "teq") or "nzcv" in raw.op_str.lower():
            writes.append((FLAGS, 1))
        defaults = {"older_only": False, "alone": False, "cycles": 1, "early": "", "pipe": "", "load": None}
        defaults |= {"loads_words": 0, "branch": branch}
        return Instruction(raw.address, raw.size, name, tuple(reads), tuple(writes), **(defaults | fields))


def _units(text) -> tuple:
    return tuple((unit, 1) for unit in text.split("+") if unit)


def _computation(raw, name, registers, row) -> dict:
    """Instructions that neither load nor store, from their row of the table."""
    results, sources = registers[: row.results], registers[row.results :]
    if row.results and name not in _UNARY and (len(raw.operands) == 2 or not sources):
        sources = registers  # add r0, r1: the result is a source as well
    if name in ("bl", "blx"):
        results = [cs.ARM_REG_LR]
    units, stages = _units(row.units), [row.reads[min(n, len(row.reads) - 1)] for n in range(len(sources))]
    if row.shifted and any(operand.type == cs.ARM_OP_REG and operand.shift.type for operand in raw.operands):
        units += (("shift", 1),)
        row = row._replace(early="")
        stages[-1] = EX1
    reads = list(zip(sources, stages, strict=True))
    if row.keeps is not None:
        reads += [(register, row.keeps) for register in results]
    if name in ("adc", "sbc"):
        reads.append((FLAGS, EX2))
    if name.startswith("vsel"):
        reads.append((FLAGS, EX1))
    writes = [(register, row.latency) for register in results]
    if name in ("vmrs", "vmsr"):
        reads, status = [(FPSCR, EX2)], (cs.ARM_REG_APSR_NZCV, cs.ARM_REG_FPSCR)
        writes = [(register, 1) for register in registers if name == "vmrs" and register not in status]
    if name.startswith("vcmp"):
        writes.append((FPSCR, 0))
    taken = ("older_only", "alone", "cycles", "early", "pipe")
    return {"reads": reads, "writes": writes, "units": units} | {key: getattr(row, key) for key in taken}


def _fp_move(raw, registers) -> dict:
    """VMOV between core and FP registers, of an immediate, of one or two registers."""
    if len(registers) >= 3:
        results = 2 if len(registers) == 4 or raw.reg_name(registers[0])[0] == "r" else 1
        fields = {"units": (("fp port", 2),), "alone": True, "latency": 3}
    else:
        to_core = bool(registers) and raw.reg_name(registers[0])[0] != "s"
        results = 1
        fields = {"units": (("fp port", 1),), "pipe": "move" if len(registers) > 1 else "add"}
        fields["latency"] = 1 if to_core else 3
    latency = fields.pop("latency")
    fields["reads"] = [(register, EX2) for register in registers[results:]]
    return fields | {"writes": [(register, latency) for register in registers[:results]]}


def _memory(raw, name, registers, memory) -> dict:
    """Loads and stores: addresses are needed in EX1, data to store in EX3; byte and half-word loads take longer."""
    if name.startswith(_MULTIPLE):
        return _multiple(raw, name, registers)
    reads = [(register, EX1) for register in (memory.base, memory.index) if register]
    update = [(memory.base, 0)] if raw.writeback and memory.base else []
    pair = (memory.base, memory.disp, memory.index, bool(raw.writeback))
    if name in ("tbb", "tbh"):
        units = (("load", 1), ("branch", 1))
        return {"reads": reads, "writes": [], "units": units, "alone": True, "cycles": 2, "load": pair}
    if name in ("vldr", "vstr"):
        double = raw.reg_name(registers[0])[0] == "d"
        fields = {"alone": double, "pipe": "multiple" if double else "load" if name == "vldr" else "move"}
        if name == "vldr":
            units = (("load", 1 + double), ("fp port", 1 + double))
            writes = [(register, 1 + double) for register in registers]
            return fields | {"reads": reads, "writes": writes, "units": units, "load": None if double else pair}
        units = (("store", 1), ("fp port", 1 + double), ("store or mac", 1))
        return fields | {"reads": [*reads, (registers[0], FP_STORE)], "writes": update, "units": units}
    if name.startswith("st"):
        exclusive, data = name.startswith("strex"), 2 if name == "strd" else 1
        stored = registers[1:] if exclusive else registers[:data]
        reads += [(register, EX3) for register in stored]
        writes = ([(registers[0], 2)] if exclusive else []) + update
        units = (("store", 1), ("store or mac", 1))
        return {"reads": reads, "writes": writes, "units": units, "alone": exclusive or data == 2}
    if name == "ldrd":
        writes = [(register, 1) for register in registers[:2]] + update
        return {"reads": reads, "writes": writes, "units": (("load", 2),), "alone": True, "loads_words": 2}
    fast = name in ("ldr", "ldrt", "ldrex")
    loaded = [] if name.startswith("pl") else registers[:1]
    writes = [(register, 1 if fast else 2) for register in loaded if register != cs.ARM_REG_PC] + update
    fields = {"older_only": name.startswith("ldrex"), "load": pair, "loads_words": 1}
    return fields | {"reads": reads, "writes": writes, "units": (("load", 1),)}


def _multiple(raw, name, registers) -> dict:
    """LDM, STM, PUSH, POP: alone, two words a cycle ([jnk0le])."""
    loads, stack = name.startswith(("ldm", "pop", "vldm", "vpop")), name.endswith(("pop", "push"))
    base, listed = (cs.ARM_REG_SP, registers) if stack else (registers[0], registers[1:])
    words = len(listed) * (2 if listed and raw.reg_name(listed[0])[0] == "d" else 1)
    reads, writes = [(base, EX1)], [(base, 0)] if raw.writeback or stack else []
    fields = {"alone": True, "cycles": max(1, (words + 1) // 2), "pipe": "multiple" if name[0] == "v" else ""}
    if loads:
        writes = [(register, 1) for register in listed if register != cs.ARM_REG_PC] + writes
        fields |= {"units": (("load", 2),), "loads_words": words, "popped": listed}
        return fields | {"reads": reads, "writes": writes}
    reads += [(register, EX3) for register in listed]
    return fields | {"reads": reads, "writes": writes, "units": (("store", 1), ("store or mac", 1))}


def _branch(name, conditional, registers, memory, popped) -> str:
    if name == "b":
        return "conditional" if conditional else "direct"
    if name in ("cbz", "cbnz"):
        return "conditional"
    if name == "bl" or name == "blx":
        return "call" if name == "bl" else "indirect call"
    if cs.ARM_REG_PC in popped or (name == "bx" and registers == [cs.ARM_REG_LR]):
        return "return"
    if name in ("bx", "tbb", "tbh"):
        return "indirect"
    if registers[:1] == [cs.ARM_REG_PC] and name in ("ldr", "mov", "add"):
        return "return" if memory is not None and memory.base == cs.ARM_REG_SP else "indirect"
    return ""

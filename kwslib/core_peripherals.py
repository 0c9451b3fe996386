"""Registers of the Cortex-M7 core (PM0253 chapter 4): SCB, NVIC and MPU."""

import itertools
from typing import ClassVar

from kwslib.clock_peripherals import PINRSTF, SFTRSTF
from kwslib.exceptions import IRQ0, NMI, PENDSV, SYSTICK
from kwslib.registers import Peripheral, Register

IRQS = 98  # RM0385 section 10.1.2
_WORDS = (IRQS + 31) // 32
# Cache maintenance by address or set has no effect on data here: the emulated memory is always coherent.
_MAINTENANCE = "F50 ICIALLU F58 ICIMVAU F5C DCIMVAC F60 DCISW F64 DCCMVAU F68 DCCMVAC F6C DCCSW F70 DCCIMVAC F74 DCCISW"
_MAINTENANCE = [*_MAINTENANCE.split(), "F78", "BPIALL"]


class Scb(Peripheral):
    """System control block, with the FPU's and the caches' registers."""

    REGISTERS: ClassVar = {
        0x004: Register("ICTR", _WORDS - 1, 0),
        0x008: Register("ACTLR", 0, 0x1FFFFC04),
        0xD00: Register("CPUID", 0x410FC271, 0),
        0xD04: Register("ICSR", 0, 0x9E000000, command=True),
        0xD08: Register("VTOR", 0x00200000, 0xFFFFFF80),
        0xD0C: Register("AIRCR", 0xFA050000, 0xFFFF0707, command=True),
        0xD10: Register("SCR", 0, 0x16),
        0xD14: Register("CCR", 0x00040200, 0x0003031B, unmodelled=0x0000011A),
        0xD18: Register("SHPR1", 0, 0x00FFFFFF),
        0xD1C: Register("SHPR2", 0, 0xFF000000),
        0xD20: Register("SHPR3", 0, 0xFFFF0000),
        0xD24: Register("SHCSR", 0, 0x00070000),
        0xD28: Register("CFSR", 0, command=True),
        0xD2C: Register("HFSR", 0, 0xC0000002, command=True),
        0xD30: Register("DFSR", 0, 0x1F, command=True),
        0xD34: Register("MMFAR", 0, 0),  # the MPU refuses no access here
        0xD38: Register("BFAR"),
        0xD3C: Register("AFSR", 0, 0),
        0xD78: Register("CLIDR", 0x09000003, 0),
        0xD7C: Register("CTR", 0x8303C003, 0),
        0xD80: Register("CCSIDR", 0, 0),
        0xD84: Register("CSSELR", 0, 0xF),
        0xD88: Register("CPACR", 0, 0x00F00000),
        0xDF0: Register("DHCSR", 0, 0),
        0xDFC: Register("DEMCR", 0, 0x010007F1),
        0xF34: Register("FPCCR", 0xC0000000, 0xC0000000),
        0xF38: Register("FPCAR"),
        0xF3C: Register("FPDSCR", 0, 0x07C00000, unmodelled=0x07C00000),
        0xF40: Register("MVFR0", 0x10110021, 0),
        0xF44: Register("MVFR1", 0x11000011, 0),
        0xF48: Register("MVFR2", 0x00000040, 0),
        0xF90: Register("ITCMCR", 0x00000013, 0x7),
        0xF94: Register("DTCMCR", 0x00000013, 0x7),
        0xF98: Register("AHBPCR", 0x00000007, 0x1),
        0xF9C: Register("CACR", 0, 0x7),
        **{
            int(offset, 16): Register(name, command=True)
            for offset, name in zip(_MAINTENANCE[::2], _MAINTENANCE[1::2], strict=True)
        },
    }
    _FPU = 0x00F00000

    def __init__(self, machine, name, base):
        super().__init__(machine, name, base)
        self.invalidated: set[int] = set()  # lines of 32 bytes that cache maintenance by address has dropped

    def read_icsr(self) -> int:
        exceptions = self.machine.exceptions
        pending = {number: number in exceptions.pending for number in (NMI, PENDSV, SYSTICK)}
        value = pending[NMI] << 31 | pending[PENDSV] << 28 | pending[SYSTICK] << 26
        value |= any(number >= IRQ0 for number in exceptions.pending) << 22
        ready = [number for number in exceptions.pending if exceptions.is_enabled(number)]
        first = min(ready, key=lambda n: (exceptions.group_priority(n), n), default=0)
        return value | first << 12 | (len(exceptions.active) <= 1) << 11 | self.machine.core.xpsr & 0x1FF

    def write_icsr(self, value: int) -> None:
        exceptions = self.machine.exceptions
        for number, set_bit, clear_bit in ((NMI, 31, None), (PENDSV, 28, 27), (SYSTICK, 26, 25)):
            if value >> set_bit & 1:
                exceptions.pend(number)
            elif clear_bit and value >> clear_bit & 1:
                exceptions.pending.discard(number)

    def write_aircr(self, value: int) -> None:
        if value >> 16 != 0x05FA:
            return  # without the key a write is ignored
        self.values["AIRCR"] = 0xFA050000 | value & 0x700
        self.machine.exceptions.group_bits = value >> 8 & 7
        if value & 4:
            self.machine.peripheral("RCC").put("CSR", SFTRSTF | PINRSTF)
            self.machine.end("reset", "system reset by SCB_AIRCR")

    def write_ccr(self, value: int) -> None:
        self.values["CCR"] = value
        self.machine.memory_changed()

    def _priorities(self, register: str, first: int, value: int) -> None:
        self.values[register] = value & 0xF0F0F0F0
        for i in range(4):
            self.machine.exceptions.priority[first + i] = value >> 8 * i & 0xF0

    def write_shpr1(self, value: int) -> None:
        self._priorities("SHPR1", 4, value)

    def write_shpr2(self, value: int) -> None:
        self._priorities("SHPR2", 8, value)

    def write_shpr3(self, value: int) -> None:
        self._priorities("SHPR3", 12, value)

    def write_shcsr(self, value: int) -> None:
        self.values["SHCSR"] = self.machine.exceptions.enabled_faults = value

    def read_cfsr(self) -> int:
        return self.machine.exceptions.cfsr

    def write_cfsr(self, value: int) -> None:
        self.machine.exceptions.cfsr &= ~value

    def read_hfsr(self) -> int:
        return self.machine.exceptions.hfsr

    def write_hfsr(self, value: int) -> None:
        self.machine.exceptions.hfsr &= ~value

    def write_dfsr(self, value: int) -> None:
        """Debug events are not modelled; the flags are never set."""

    def read_bfar(self) -> int:
        return self.machine.exceptions.bfar

    def read_ccsidr(self) -> int:
        return 0xF007E009 if self.values["CSSELR"] & 1 else 0xF003E019  # 4 KB, two ways; 4 KB, four ways

    def write_dcimvac(self, value: int) -> None:
        self.invalidated.add(value >> 5)

    def write_dccimvac(self, value: int) -> None:
        self.invalidated.add(value >> 5)

    def write_cpacr(self, value: int) -> None:
        self.values["CPACR"] = value
        self.machine.fpu_changed(value & self._FPU == self._FPU)


class Nvic(Peripheral):
    """Enable, pending and active bits and priorities of the interrupts."""

    _BANKS = (("ISER", 0x100), ("ICER", 0x180), ("ISPR", 0x200), ("ICPR", 0x280), ("IABR", 0x300))
    REGISTERS: ClassVar = {
        **{base + 4 * n: Register(f"{name}{n}", command=True) for name, base in _BANKS for n in range(_WORDS)},
        **{0x400 + 4 * n: Register(f"IPR{n}", 0, 0xF0F0F0F0) for n in range((IRQS + 3) // 4)},
        0xF00: Register("STIR", 0, 0x1FF, command=True),
    }

    def __init__(self, machine, name, base):
        for word in range(_WORDS):
            numbers = range(IRQ0 + 32 * word, IRQ0 + min(32 * word + 32, IRQS))
            for register, _ in self._BANKS:
                kind = {"E": "enabled", "P": "pending", "B": "active"}[register[2] if register != "IABR" else "B"]
                setattr(self, f"read_{register.lower()}{word}", self._reader(kind, numbers))
                setattr(self, f"write_{register.lower()}{word}", self._writer(kind, register[1] == "S", numbers))
        for n in range((IRQS + 3) // 4):
            setattr(self, f"write_ipr{n}", self._priority_writer(n))
        super().__init__(machine, name, base)

    def _reader(self, kind, numbers):
        return lambda: sum(1 << i for i, n in enumerate(numbers) if n in getattr(self.machine.exceptions, kind))

    def _writer(self, kind, is_set, numbers):
        def write(value: int) -> None:
            if kind == "active":
                return  # read-only
            chosen = {number for i, number in enumerate(numbers) if value >> i & 1}
            members = getattr(self.machine.exceptions, kind)
            members.update(chosen) if is_set else members.difference_update(chosen)
            self.machine.exceptions.attend()

        return write

    def _priority_writer(self, n):
        def write(value: int) -> None:
            self.values[f"IPR{n}"] = value
            for i in range(4):
                self.machine.exceptions.priority[IRQ0 + 4 * n + i] = value >> 8 * i & 0xF0

        return write

    def write_stir(self, value: int) -> None:
        self.machine.exceptions.pend(IRQ0 + value)


class Mpu(Peripheral):
    """Memory protection unit: which memory is cached; access permissions are not enforced."""

    _REGIONS = 8
    REGISTERS: ClassVar = {
        0xD90: Register("TYPE", _REGIONS << 8, 0),
        0xD94: Register("CTRL", 0, 0x7),
        0xD98: Register("RNR", 0, 0xFF),
        **{0xD9C + 8 * n: Register(f"RBAR{suffix}", 0) for n, suffix in enumerate(("", "_A1", "_A2", "_A3"))},
        **{0xDA0 + 8 * n: Register(f"RASR{suffix}", 0) for n, suffix in enumerate(("", "_A1", "_A2", "_A3"))},
    }

    def __init__(self, machine, name, base):
        self.regions = [[0, 0] for _ in range(self._REGIONS)]  # base address, attributes and size
        for suffix in ("", "_a1", "_a2", "_a3"):
            setattr(self, f"read_rbar{suffix}", lambda: self._region()[0] | self.values["RNR"])
            setattr(self, f"write_rbar{suffix}", self._write_rbar)
            setattr(self, f"read_rasr{suffix}", lambda: self._region()[1])
            setattr(self, f"write_rasr{suffix}", self._write_rasr)
        super().__init__(machine, name, base)

    def _region(self) -> list[int]:
        if self.values["RNR"] >= self._REGIONS:
            raise self.error("RNR", f"region {self.values['RNR']}: the core has {self._REGIONS}")
        return self.regions[self.values["RNR"]]

    def _write_rbar(self, value: int) -> None:
        if value & 0x10:  # VALID: the region number comes along
            self.values["RNR"] = value & 0xF
        self._region()[0] = value & ~0x1F
        self.machine.memory_changed()

    def _write_rasr(self, value: int) -> None:
        self._region()[1] = value
        self.machine.memory_changed()

    def write_ctrl(self, value: int) -> None:
        self.values["CTRL"] = value
        self.machine.memory_changed()

    def uncached(self, areas: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """Parts [start, end) of cacheable `areas` that the regions keep out of the data cache.

        Of overlapping regions the one with the highest number counts. Shareable memory is not cached (Arm Cortex-M7
        TRM, section 5.2: CACR.SIWT is 0).
        """
        if not self.field("CTRL", 0):
            return []
        active = []
        for base, attributes in self.regions:
            if attributes & 1:
                size = 2 << (attributes >> 1 & 0x1F)
                part = size // 8  # sub-regions can be left out
                for n in range(8):
                    if size < 256 or not attributes >> 8 + n & 1:
                        active.append((base + n * part, base + (n + 1) * part, _is_cached(attributes)))
        found: list[tuple[int, int]] = []
        for start, end in areas:
            bounds = {start, end, *(bound for a, b, _ in active for bound in (a, b) if start < bound < end)}
            bounds = sorted(bounds)
            for low, high in itertools.pairwise(bounds):
                covering = [cached for a, b, cached in active if a <= low and high <= b]
                if covering and not covering[-1]:
                    if found and found[-1][1] == low:
                        low = found.pop()[0]
                    found.append((low, high))
        return found


def _is_cached(attributes: int) -> bool:
    """Whether RASR's TEX, S, C and B mean memory that the data cache holds: PM0253 tables 89 and 90."""
    tex, shareable, c, b = attributes >> 19 & 7, attributes >> 18 & 1, attributes >> 17 & 1, attributes >> 16 & 1
    return not shareable and bool(c or b if tex & 4 else c and tex < 2)

"""Exceptions of the Cortex-M7: priorities, pending and active state, entry, return and faults (PM0253 section 2.4)."""

import struct

from kwslib.firmware import BoardError

NMI, HARD_FAULT, MEM_MANAGE, BUS_FAULT, USAGE_FAULT, SVCALL, PENDSV, SYSTICK, IRQ0 = 2, 3, 4, 5, 6, 11, 14, 15, 16
NAMES = {
    **{NMI: "NMI", HARD_FAULT: "HardFault", MEM_MANAGE: "MemManage", BUS_FAULT: "BusFault"},
    **{USAGE_FAULT: "UsageFault", SVCALL: "SVCall", PENDSV: "PendSV", SYSTICK: "SysTick"},
}
ENTRY_CYCLES, RETURN_CYCLES = 12, 10  # Arm Cortex-M7 TRM (DDI 0489) names 12; return is an assumption
THREAD_PRIORITY = 256
# Bits of CFSR: PM0253 section 4.4.
IACCVIOL, IBUSERR, PRECISERR, IMPRECISERR = 1 << 0, 1 << 8, 1 << 9, 1 << 10
BFARVALID, UNDEFINSTR, INVSTATE, INVPC, NOCP = 1 << 15, 1 << 16, 1 << 17, 1 << 18, 1 << 19
_FORCED, _ENABLE_BITS = 1 << 30, {MEM_MANAGE: 1 << 16, BUS_FAULT: 1 << 17, USAGE_FAULT: 1 << 18}
_ALIGNED, _IT_BITS, _THUMB = 1 << 9, 0x0600FC00, 1 << 24
_BASIC_WORDS, _EXTENDED_WORDS = 8, 26


class Lockup(Exception):
    """A fault that cannot be taken: the core stops (PM0253 section 2.5.4)."""


def name_of(number: int) -> str:
    """Name of an exception, such as "SysTick" or "IRQ 37"."""
    return NAMES.get(number, f"IRQ {number - IRQ0}")


class Exceptions:
    """Which exceptions are pending and active, and what entering and leaving one does to the core.

    `enabled` holds the numbers of interrupts enabled in the NVIC, `priority` 8-bit priorities (4 bits implemented) by
    number; `enabled_faults` the bits of SHCSR; `group_bits` AIRCR.PRIGROUP.
    """

    def __init__(self, machine):
        self.machine = machine
        self.pending: set[int] = set()
        self.enabled: set[int] = set()
        self.active: list[int] = []
        self.priority: dict[int, int] = {}
        self.group_bits = 0
        self.enabled_faults = 0
        self.lines: set[int] = set()  # interrupts that their peripherals hold high
        self.cfsr = self.hfsr = self.bfar = 0
        self._core = machine.core

    def pend(self, number: int) -> None:
        """Make an exception pending; the core takes it as soon as priorities allow."""
        if number not in self.pending:
            self.pending.add(number)
            self.machine.attention()

    def set_line(self, number: int, high: bool) -> None:
        """Level of an interrupt line; while it is high, the interrupt comes again after its handler has returned."""
        if not high:
            self.lines.discard(number)
            self.pending.discard(number)
        elif number not in self.lines:
            self.lines.add(number)
            self.pend(number)

    def attend(self) -> None:
        """Look again at what is pending, after enable or pending bits have changed."""
        self.pending.update(self.lines.difference(self.active))
        self.machine.attention()

    def group_priority(self, number: int) -> int:
        """Priority that decides about preemption: lower is more urgent."""
        fixed = {NMI: -2, HARD_FAULT: -1}
        return fixed[number] if number in fixed else self._group(self.priority.get(number, 0))

    def _group(self, priority: int) -> int:
        return priority >> self.group_bits + 1 << self.group_bits + 1

    def current_priority(self, masked: bool = True) -> int:
        """Priority of what runs now; with `masked` False PRIMASK does not count, as for the wake-up of WFI."""
        priority = min((self.group_priority(number) for number in self.active), default=THREAD_PRIORITY)
        core = self._core
        if base := core.basepri:
            priority = min(priority, self._group(base))
        if masked and core.primask:
            priority = min(priority, 0)
        if core.faultmask:
            priority = min(priority, -1)
        return priority

    def is_enabled(self, number: int) -> bool:
        """Whether an exception may be taken at all."""
        return number in self.enabled if number >= IRQ0 else True

    def can_take(self, number: int, masked: bool = True) -> bool:
        """Whether an exception would be taken now if it were pending."""
        return self.is_enabled(number) and self.group_priority(number) < self.current_priority(masked)

    def candidate(self, masked: bool = True) -> int | None:
        """The pending exception that is taken next, if any."""
        if not self.pending:
            return None
        ready = [number for number in self.pending if self.is_enabled(number)]
        if not ready:
            return None
        number = min(ready, key=lambda n: (self.group_priority(n), self.priority.get(n, 0), n))
        return number if self.group_priority(number) < self.current_priority(masked) else None

    def enter(self, number: int, return_address: int) -> None:
        """Stack the context and go to the handler; the frame has FP registers if the context used them."""
        core, machine = self._core, self.machine
        self.pending.discard(number)
        handler = machine.word(machine.peripheral("SCB").values["VTOR"] + 4 * number)
        if not handler & 1:
            what = f"{name_of(number)} has no handler: its entry of the vector table is {handler:#010x}"
            raise BoardError(f"{what}; interrupted was {machine.firmware.where(return_address)}")
        xpsr, control, pointer = core.xpsr, core.control, core.sp
        extended = bool(control & 4)
        misaligned = pointer >> 2 & 1
        frame = pointer - 4 * (_EXTENDED_WORDS if extended else _BASIC_WORDS) & ~4
        words = [*core.general(), core.lr, return_address, xpsr & ~_ALIGNED | misaligned << 9]
        if extended:
            words += [*core.floats(), core.fpscr, 0]
        try:
            machine.write(frame, struct.pack(f"<{len(words)}I", *words))
        except BoardError:
            where = f"{machine.firmware.where(return_address)}, SP = {frame:#010x}"
            raise BoardError(f"stack overflow: no memory for the frame of {name_of(number)} in {where}") from None
        core.sp = frame
        in_handler = bool(xpsr & 0x1FF)
        kind = 0x1 if in_handler else 0xD if control & 2 else 0x9
        core.control = control & 1  # FPCA and SPSEL are 0 in a handler
        core.xpsr = xpsr & 0xF80F0000 & ~_IT_BITS | _THUMB | number
        core.lr = (0xFFFFFFE0 if extended else 0xFFFFFFF0) | kind
        core.pc = handler
        self.active.append(number)
        machine.recorder.add_cycles(ENTRY_CYCLES)

    def leave(self, exc_return: int) -> None:
        """Return from a handler: the value of LR that the branch went to says which stack and frame."""
        core, machine = self._core, self.machine
        number = core.xpsr & 0x1FF
        exc_return |= 1
        if number not in self.active or exc_return & 0xF not in (0x1, 0x9, 0xD):
            return self.fault(USAGE_FAULT, INVPC, core.pc)
        self.active.remove(number)
        if number in self.lines:
            self.pending.add(number)
        if number != NMI:
            core.faultmask = 0
        use_psp = bool(exc_return & 4)
        frame = core.psp if use_psp else core.msp
        extended = not exc_return & 0x10
        count = _EXTENDED_WORDS if extended else _BASIC_WORDS
        words = struct.unpack(f"<{count}I", machine.read(frame, 4 * count))
        xpsr = words[7]
        core.xpsr = xpsr & ~_ALIGNED | _THUMB
        core.control = core.control & 1 | use_psp << 1 | extended << 2
        core.sp = frame + 4 * count + (4 if xpsr & _ALIGNED else 0)
        core.set_general(words[:5])
        core.lr = words[5]
        if extended:
            core.set_floats(words[8:24])
            core.fpscr = words[24]
        core.pc = words[6] | 1
        machine.recorder.add_cycles(RETURN_CYCLES)
        return None

    def fault(self, number: int, status: int, pc: int, address: int | None = None) -> None:
        """Take a fault of the instruction at `pc`; escalates to HardFault, or raises Lockup, as the chip does."""
        self.cfsr |= status
        if address is not None:
            self.bfar = address
            self.cfsr |= BFARVALID
        current = self.current_priority()
        enabled = self.enabled_faults & _ENABLE_BITS.get(number, 0)
        if not enabled or self.group_priority(number) >= current:
            if current <= -1:
                raise Lockup(f"lock-up: {name_of(number)} within a HardFault or NMI handler")
            self.hfsr |= _FORCED
            number = HARD_FAULT
        self.enter(number, pc)

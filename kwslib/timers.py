"""General-purpose timers of the STM32F746 as up-counters with compare events (RM0385 chapter 23)."""

from typing import ClassVar

from kwslib.exceptions import IRQ0
from kwslib.registers import Peripheral, Register


class Timer(Peripheral):
    """TIM2 to TIM5, counting up: update and compare flags and interrupts; no inputs, no outputs.

    The counter follows the timer clock of APB1 divided by PSC + 1; PSC and ARR are taken over at once by the next
    write of CNT or update event.
    """

    REGISTERS: ClassVar = {
        0x00: Register("CR1", 0, 0x0BFF, unmodelled=0x0878),
        0x04: Register("CR2", 0, 0x00F8, unmodelled=0x0088),
        0x08: Register("SMCR", 0, 0x0001FFF7, unmodelled=0x0001FF77),
        0x0C: Register("DIER", 0, 0x5F5F, unmodelled=0x5F40),
        0x10: Register("SR", 0, 0x1E5F),
        0x14: Register("EGR", 0, 0x5F, command=True),
        0x18: Register("CCMR1", 0, 0x0101FFFF, unmodelled=0x01010303),
        0x1C: Register("CCMR2", 0, 0x0101FFFF, unmodelled=0x01010303),
        0x20: Register("CCER", 0, 0xBBBB),
        0x24: Register("CNT"),
        0x28: Register("PSC", 0, 0xFFFF),
        0x2C: Register("ARR", 0xFFFFFFFF),
        **{0x34 + 4 * n: Register(f"CCR{n + 1}") for n in range(4)},
    }
    _FLAGS = 0x1F  # update and four compare events, in SR and DIER

    def __init__(self, machine, name, base, gate, irq, bits):
        for n in range(4):
            setattr(self, f"write_ccr{n + 1}", lambda value, n=n: self._set(f"CCR{n + 1}", value))
        super().__init__(machine, name, base, gate)
        self._irq, self._mask = IRQ0 + irq, (1 << bits) - 1
        self._prescaler, self._start_s, self._event = 1, 0.0, None
        self._clock_hz = 0.0
        self.values["ARR"] = self._mask

    def _tick_s(self) -> float:
        return self._prescaler / self._clock_hz

    def _count(self) -> int:
        """Counter now, not yet wrapped: events at ARR and CCR are told on their own."""
        if not self.field("CR1", 0):
            return self.values["CNT"]
        return int((self.machine.time_s - self._start_s) / self._tick_s() + 1e-3)

    def _run_from(self, count: int) -> None:
        self._clock_hz = self.machine.clocks()["timers1"]
        self.values["CNT"] = count
        self._start_s = self.machine.time_s - count * self._tick_s()
        self._arm(count)

    def _arm(self, count: int) -> None:
        """Queue the next compare or update after `count`."""
        if self._event:
            self._event.cancel()
            self._event = None
        if not self.field("CR1", 0):
            return
        top = self.values["ARR"] & self._mask
        targets = [top + 1, *(value for n in range(4) if count < (value := self.values[f"CCR{n + 1}"]) <= top)]
        due = min(targets)
        exception = self._irq if self.values["DIER"] & self._FLAGS else None
        delay = max(0.0, self._start_s + due * self._tick_s() - self.machine.time_s)
        self._event = self.machine.schedule(delay, lambda: self._reach(due), exception)

    def _reach(self, count: int) -> None:
        self._event = None
        for n in range(4):
            if self.values[f"CCR{n + 1}"] == count:
                self.put("SR", 2 << n)
        if count > self.values["ARR"] & self._mask:
            self._update()
            if self.field("CR1", 3):  # OPM: one pulse
                self.put("CR1", 1, False)
            self._start_s += count * self._tick_s()
            self._prescaler = self.values["PSC"] + 1
            count = self.values["CNT"] = 0
        self._arm(count)
        self._interrupt()

    def _update(self) -> None:
        if not self.field("CR1", 1):  # UDIS
            self.put("SR", 1)

    def _interrupt(self) -> None:
        high = self.values["SR"] & self.values["DIER"] & self._FLAGS
        self.machine.exceptions.set_line(self._irq, bool(high))

    def _set(self, register: str, value: int) -> None:
        count = self._count()
        self.values[register] = value
        self._run_from(count)

    def clocks_changed(self) -> None:
        """Go on from the present count at another rate."""
        if self.field("CR1", 0) and self._clock_hz:
            self._run_from(self._count())

    def write_cr1(self, value: int) -> None:
        self._set("CR1", value)

    def write_arr(self, value: int) -> None:
        self._set("ARR", value & self._mask)

    def write_dier(self, value: int) -> None:
        self._set("DIER", value)
        self._interrupt()

    def write_sr(self, value: int) -> None:
        self.values["SR"] &= value  # zeros clear
        self._interrupt()

    def read_cnt(self) -> int:
        return self._count() & self._mask

    def write_cnt(self, value: int) -> None:
        self._run_from(value & self._mask)

    def write_egr(self, value: int) -> None:
        if value & 1:
            self._prescaler = self.values["PSC"] + 1
            self._run_from(0)
            if not self.field("CR1", 2):  # URS
                self._update()
        for n in range(4):
            if value >> 1 + n & 1:
                self.put("SR", 2 << n)
        self._interrupt()

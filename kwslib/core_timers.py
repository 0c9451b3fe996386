"""Counters of the Cortex-M7 core: SysTick (PM0253 section 4.4) and the cycle counter of the DWT."""

from typing import ClassVar

from kwslib.exceptions import SYSTICK
from kwslib.registers import Peripheral, Register


class SysTick(Peripheral):
    """SysTick: counts down with the core clock, or an eighth of it, and raises an exception at 0."""

    REGISTERS: ClassVar = {
        0x010: Register("CTRL", 0, 0x7),
        0x014: Register("LOAD", 0, 0x00FFFFFF),
        0x018: Register("VAL", 0, 0x00FFFFFF),
        0x01C: Register("CALIB", 0x40000000, 0),
    }
    _COUNTFLAG = 1 << 16

    def __init__(self, machine, name, base):
        super().__init__(machine, name, base)
        self._zero_at, self._event = 0, None  # cycle in which the counter reaches 0

    @property
    def _divider(self) -> int:
        return 1 if self.field("CTRL", 2) else 8

    def _run_from(self, value: int) -> None:
        """Count down from `value`; from 0, the counter loads again first."""
        value = value or self.values["LOAD"] + 1
        self._zero_at = self.machine.cycles + value * self._divider
        self.clocks_changed()

    def clocks_changed(self) -> None:
        """Arm the event again: the same number of cycles is another time now."""
        if self._event:
            self._event.cancel()
            self._event = None
        if self.field("CTRL", 0) and self.values["LOAD"]:
            exception = SYSTICK if self.field("CTRL", 1) else None
            self._event = self.machine.schedule_cycles(self._zero_at, self._wrap, exception)

    def _wrap(self) -> None:
        self._event = None
        self.put("CTRL", self._COUNTFLAG)
        if self.field("CTRL", 1):
            self.machine.exceptions.pend(SYSTICK)
        self._zero_at += (self.values["LOAD"] + 1) * self._divider
        self.clocks_changed()

    def _value(self) -> int:
        """Counter now; wraps that are due but not yet told count."""
        if not self.field("CTRL", 0) or not self.values["LOAD"]:
            return self.values["VAL"]
        while self._zero_at <= self.machine.cycles:
            self._event.cancel()
            self._wrap()
        return (self._zero_at - self.machine.cycles) // self._divider % (self.values["LOAD"] + 1)

    def read_val(self) -> int:
        return self._value()

    def write_val(self, value: int) -> None:
        self.values["VAL"] = 0  # any write clears the counter and the flag
        self.put("CTRL", self._COUNTFLAG, False)
        if self.field("CTRL", 0):
            self._run_from(0)

    def read_ctrl(self) -> int:
        self._value()
        value = self.values["CTRL"]
        self.put("CTRL", self._COUNTFLAG, False)
        return value

    def write_ctrl(self, value: int) -> None:
        count = self._value()
        self.values["CTRL"] = value
        if value & 1:
            self._run_from(count)
        else:
            self.values["VAL"] = count
            self.clocks_changed()

    def write_load(self, value: int) -> None:
        stopped = not self.values["LOAD"]
        self.values["LOAD"] = value
        if stopped and self.field("CTRL", 0):
            self._run_from(0)


class Dwt(Peripheral):
    """Cycle counter: CYCCNT follows the estimated cycles; writes need the lock to be opened (LAR), as on the chip."""

    REGISTERS: ClassVar = {
        0x000: Register("CTRL", 0x40000000, 0x1),
        0x004: Register("CYCCNT"),
        0xFB0: Register("LAR", command=True),
        0xFB4: Register("LSR", 0x3, 0),
    }
    _KEY = 0xC5ACCE55

    def __init__(self, machine, name, base):
        super().__init__(machine, name, base)
        self._started = 0  # cycle at which CYCCNT would have been 0

    def _unlocked(self, register: str) -> bool:
        if self.values["LSR"] & 2:
            self.machine.note(f"DWT_{register} was written while locked, without effect: write {self._KEY:#x} to LAR")
            return False
        return True

    def write_lar(self, value: int) -> None:
        self.values["LSR"] = 1 if value == self._KEY else 3

    def read_cyccnt(self) -> int:
        if self.values["CTRL"] & 1:
            return self.machine.cycles - self._started & 0xFFFFFFFF
        return self.values["CYCCNT"]

    def write_cyccnt(self, value: int) -> None:
        if self._unlocked("CYCCNT"):
            self.values["CYCCNT"] = value
            self._started = self.machine.cycles - value

    def write_ctrl(self, value: int) -> None:
        if not self._unlocked("CTRL"):
            return
        if value & 1 and not self.machine.peripheral("SCB").field("DEMCR", 24):
            self.machine.note("DWT_CTRL: the cycle counter was started without TRCENA of DEMCR, and stands still")
            return
        count = self.read_cyccnt()
        self.values["CTRL"] = value
        self.values["CYCCNT"], self._started = count, self.machine.cycles - count

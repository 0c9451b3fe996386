"""Small peripherals of the STM32F746: GPIO, watchdog, system configuration and identification (RM0385)."""

from typing import ClassVar

from kwslib.clock_peripherals import IWDGRSTF, LSI_HZ, PINRSTF
from kwslib.exceptions import IRQ0
from kwslib.registers import WORD, Peripheral, Register

LED, BUTTON = ("I", 1), ("I", 11)  # LD1 and B1 of the STM32F746G-Discovery (UM1907)


class Gpio(Peripheral):
    """A GPIO port: `drive(pin, level)` sets a pin from outside, `changes` lists (seconds, pin, level) of outputs."""

    REGISTERS: ClassVar = {
        0x00: Register("MODER"),
        0x04: Register("OTYPER", 0, 0xFFFF),
        0x08: Register("OSPEEDR"),
        0x0C: Register("PUPDR"),
        0x10: Register("IDR", 0, 0),
        0x14: Register("ODR", 0, 0xFFFF),
        0x18: Register("BSRR", 0, command=True),
        0x1C: Register("LCKR", 0, 0x1FFFF, unmodelled=0x10000),
        0x20: Register("AFRL"),
        0x24: Register("AFRH"),
    }
    # Debug pins of ports A and B: RM0385 section 6.4.
    _RESETS: ClassVar = {
        "A": {"MODER": 0xA8000000, "OSPEEDR": 0x0C000000, "PUPDR": 0x64000000},
        "B": {"MODER": 0x00000280, "OSPEEDR": 0x000000C0, "PUPDR": 0x00000100},
    }
    _OUTPUT, _ALTERNATE = 1, 2

    def __init__(self, machine, name, base, gate):
        super().__init__(machine, name, base, gate)
        self.values.update(self._RESETS.get(name[-1], {}))
        self.changes: list[tuple[float, int, int]] = []
        self._driven: dict[int, int] = {}

    def drive(self, pin: int, level: int) -> None:
        """Set the level of a pin from outside the chip."""
        before = self._driven.get(pin, self.field("PUPDR", 2 * pin, 2) == 1)
        self._driven[pin] = level
        if level != before:
            self.machine.peripheral("EXTI").edge(self.name[-1], pin, level)

    def mode(self, pin: int) -> int:
        """0 input, 1 output, 2 alternate function, 3 analog."""
        return self.field("MODER", 2 * pin, 2)

    def alternate(self, pin: int) -> int | None:
        """Number of the alternate function of a pin, None if the pin is not in that mode."""
        if self.mode(pin) != self._ALTERNATE:
            return None
        return self.field("AFRL" if pin < 8 else "AFRH", 4 * (pin % 8), 4)

    def read_idr(self) -> int:
        levels = 0
        for pin in range(16):
            pulled_up = self.field("PUPDR", 2 * pin, 2) == 1
            level = self.field("ODR", pin) if self.mode(pin) == self._OUTPUT else self._driven.get(pin, pulled_up)
            levels |= (self.mode(pin) != 3 and level) << pin
        return levels

    def _outputs(self) -> dict[int, int]:
        return {pin: self.field("ODR", pin) for pin in range(16) if self.mode(pin) == self._OUTPUT}

    def _change(self, register: str, value: int) -> None:
        before = self._outputs()
        self.values[register] = value
        for pin, level in self._outputs().items():
            if level != before.get(pin, 0):
                self.changes.append((self.machine.time_s, pin, level))

    def write_moder(self, value: int) -> None:
        self._change("MODER", value)

    def write_odr(self, value: int) -> None:
        self._change("ODR", value)

    def write_bsrr(self, value: int) -> None:
        self._change("ODR", self.values["ODR"] & ~(value >> 16) | value & 0xFFFF)


class Watchdog(Peripheral):
    """Independent watchdog: resets the chip if it is not fed in time; runs on LSI (RM0385 section 28).

    Its counter is loaded from RLR by the start, by 0xAAAA in KR and by a write of WINR, and by nothing else: a new
    RLR waits for the next of these, a new prescaler counts on from where the counter is.
    """

    REGISTERS: ClassVar = {
        0x00: Register("KR", 0, 0xFFFF, command=True),
        0x04: Register("PR", 0, 0x7),
        0x08: Register("RLR", 0xFFF, 0xFFF),
        0x0C: Register("SR", 0, 0),
        0x10: Register("WINR", 0xFFF, 0xFFF),
    }
    _UPDATE_S = 5 / LSI_HZ  # a new value is taken over after up to five periods

    def __init__(self, machine, name, base):
        super().__init__(machine, name, base)
        self._unlocked, self._event = False, None
        self._count, self._since_s = 0.0, 0.0  # value of the counter, and when it had it

    def _tick_s(self) -> float:
        return (4 << min(6, self.values["PR"])) / LSI_HZ

    def _counter(self) -> float:
        return self._count - (self.machine.time_s - self._since_s) / self._tick_s()

    def _count_from(self, count: float) -> None:
        """Count down from now on; a tick after 0 the chip is reset."""
        if self._event:
            self._event.cancel()
        self._count, self._since_s = count, self.machine.time_s
        self._event = self.machine.schedule((count + 1) * self._tick_s(), self._bite, resets=True)

    def _bite(self) -> None:
        self.machine.peripheral("RCC").put("CSR", IWDGRSTF | PINRSTF)
        self.machine.end("reset", "the independent watchdog was not fed in time")

    def write_kr(self, value: int) -> None:
        self._unlocked = value == 0x5555
        if value == 0xAAAA and self._event and self._counter() > self.values["WINR"]:
            self._bite()  # fed before the window opened
        elif value == (0xAAAA if self._event else 0xCCCC):
            self._count_from(self.values["RLR"])

    def _update(self, register: str, busy: int, value: int) -> bool:
        """Take a value over; False while the registers are locked."""
        if not self._unlocked:
            self.machine.note(f"IWDG_{register} was written while locked, without effect: write 0x5555 to KR first")
            return False
        self.values[register] = value
        self.put("SR", busy)
        self.machine.schedule(self._UPDATE_S, lambda: self.put("SR", busy, False))
        return True

    def write_pr(self, value: int) -> None:
        count = self._counter()
        if self._update("PR", 1, value) and self._event:
            self._count_from(count)

    def write_rlr(self, value: int) -> None:
        self._update("RLR", 2, value)

    def write_winr(self, value: int) -> None:
        if self._update("WINR", 4, value) and self._event:
            self._count_from(self.values["RLR"])


class Syscfg(Peripheral):
    """SYSCFG: memory remap (read-only here), external interrupt sources, compensation cell."""

    REGISTERS: ClassVar = {
        0x00: Register("MEMRMP", 0, 0, unmodelled=0x0C00),
        0x04: Register("PMC", 0, 0x00800000),
        **{0x08 + 4 * n: Register(f"EXTICR{n + 1}", 0, 0xFFFF) for n in range(4)},
        0x20: Register("CMPCR", 0, 0x1),
    }

    def read_cmpcr(self) -> int:
        return self.values["CMPCR"] | (self.values["CMPCR"] & 1) << 8


class Exti(Peripheral):
    """External interrupts of the pins (RM0385 chapter 11); the other lines are not modelled."""

    REGISTERS: ClassVar = {
        0x00: Register("IMR", 0, 0x01FFFFFF, unmodelled=0x01FF0000),
        0x04: Register("EMR", 0, 0x01FFFFFF, unmodelled=0x01FFFFFF),
        0x08: Register("RTSR", 0, 0x01FFFFFF, unmodelled=0x01FF0000),
        0x0C: Register("FTSR", 0, 0x01FFFFFF, unmodelled=0x01FF0000),
        0x10: Register("SWIER", 0, 0x01FFFFFF, unmodelled=0x01FF0000),
        0x14: Register("PR", 0, 0x01FFFFFF, command=True),
    }
    # Interrupt and its pins: RM0385 table 45.
    _IRQS = (*((6 + pin, 1 << pin) for pin in range(5)), (23, 0x03E0), (40, 0xFC00))

    def edge(self, port: str, pin: int, level: int) -> None:
        """A pin has changed: a line of that number is set if SYSCFG connects it to the port."""
        chosen = self.machine.peripheral("SYSCFG").field(f"EXTICR{pin // 4 + 1}", 4 * (pin % 4), 4)
        if chosen == "ABCDEFGHIJK".index(port) and self.field("RTSR" if level else "FTSR", pin):
            self._set(1 << pin)

    def _set(self, lines: int) -> None:
        self.put("PR", lines)
        self._interrupt()

    def _interrupt(self) -> None:
        for irq, pins in self._IRQS:
            self.machine.exceptions.set_line(IRQ0 + irq, bool(self.values["PR"] & self.values["IMR"] & pins))

    def write_imr(self, value: int) -> None:
        self.values["IMR"] = value
        self._interrupt()

    def write_swier(self, value: int) -> None:
        raised = value & ~self.values["SWIER"]
        self.values["SWIER"] = value
        self._set(raised & self.values["IMR"])

    def write_pr(self, value: int) -> None:
        self.put("PR", value, False)
        self.put("SWIER", value, False)
        self._interrupt()


class Dbgmcu(Peripheral):
    """Identification of the chip (RM0385 section 40.6): STM32F74xxx, revision Z."""

    REGISTERS: ClassVar = {
        0x00: Register("IDCODE", 0x10016449, 0),
        0x04: Register("CR", 0, 0x000000E7),
        0x08: Register("APB1FZ", 0, WORD),
        0x0C: Register("APB2FZ", 0, WORD),
    }

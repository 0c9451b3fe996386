"""I2C master of the STM32F746 with 7-bit addresses (RM0385 chapter 30), and what is connected to its bus."""

from typing import ClassVar

from kwslib.registers import Peripheral, Register


class I2c(Peripheral):
    """An I2C as master: each byte takes its nine clocks by TIMINGR; interrupts and DMA are not modelled.

    `devices` maps 7-bit addresses to devices with `start()`, `write(byte) -> bool` (acknowledged), `read() -> int` and
    two attributes: a device does not acknowledge its address if `answers` is False, nor on a bus whose clock is above
    its `FASTEST_HZ`. One that is not there does not either.
    """

    REGISTERS: ClassVar = {
        0x00: Register("CR1", 0, 0x00FFDFFF, unmodelled=0x00FFC0FE),
        0x04: Register("CR2", 0, 0x07FFFFFF, unmodelled=0x05009800),
        0x08: Register("OAR1", 0, 0x87FF, unmodelled=0x8000),
        0x0C: Register("OAR2", 0, 0x87FE, unmodelled=0x8000),
        0x10: Register("TIMINGR", 0, 0xF0FFFFFF),
        0x14: Register("TIMEOUTR", 0, 0x8FFF9FFF, unmodelled=0x80008000),
        0x18: Register("ISR", 0x1, 0x1),
        0x1C: Register("ICR", 0, 0x3F38, command=True),
        0x20: Register("PECR", 0, 0),
        0x24: Register("RXDR", 0, 0),
        0x28: Register("TXDR", 0, 0xFF),
    }
    _TXE, _TXIS, _RXNE, _NACKF, _STOPF, _TC, _BUSY = (1 << bit for bit in (0, 1, 2, 4, 5, 6, 15))
    _RD_WRN, _START, _STOP, _AUTOEND = 1 << 10, 1 << 13, 1 << 14, 1 << 25

    def __init__(self, machine, name, base, gate, pins):
        """`pins`: clock and data as (port, pin, alternate function)."""
        super().__init__(machine, name, base, gate)
        self.devices: dict[int, object] = {}
        self._pins, self._device, self._left = pins, None, 0

    @property
    def clock_hz(self) -> float:
        """Frequency of SCL while nobody stretches it."""
        clocks = self.machine.clocks()
        kernel = (clocks["pclk1"], clocks["sysclk"], 16e6, 0)[self.machine.peripheral("RCC").field("DCKCFGR2", 20, 2)]
        periods = self.field("TIMINGR", 0, 8) + 1 + self.field("TIMINGR", 8, 8) + 1
        return kernel / ((self.field("TIMINGR", 28, 4) + 1) * periods)

    def _after_byte(self, action) -> None:
        self.machine.schedule(9 / self.clock_hz, action)

    def _connected(self) -> bool:
        for port, pin, function in self._pins:
            gpio = self.machine.peripheral(f"GPIO{port}")
            if gpio.alternate(pin) != function or not gpio.field("OTYPER", pin):
                self.machine.note(f"{self.name}: set P{port}{pin} to alternate function {function}, open drain")
                return False
        return True

    def _follows(self, device) -> bool:
        if self.clock_hz > device.FASTEST_HZ:
            fastest = f"its device follows {device.FASTEST_HZ / 1e3:g} kHz at most"
            self.machine.note(f"{self.name} runs at {self.clock_hz / 1e3:.0f} kHz, {fastest}: change TIMINGR")
            return False
        return True

    def write_cr1(self, value: int) -> None:
        self.values["CR1"] = value
        if not value & 1:  # PE clear: software reset
            self.values["ISR"], self._device = self._TXE, None

    def write_cr2(self, value: int) -> None:
        if value & self._START and not self.field("CR1", 0):
            raise self.error("CR2", "START is set while PE of CR1 is clear")
        if value & self._START and not self.values["TIMINGR"]:
            raise self.error("TIMINGR", "is 0: write the timing before the first START")
        self.values["CR2"] = value & ~self._STOP
        if value & self._STOP and self.values["ISR"] & self._BUSY:
            self._end()
        if value & self._START:
            self.put("ISR", self._TC, False)
            self.put("ISR", self._BUSY)
            self._left = value >> 16 & 0xFF
            self._after_byte(self._addressed)

    def _addressed(self) -> None:
        """The address byte has gone out."""
        self.put("CR2", self._START, False)
        device = self.devices.get(self.field("CR2", 1, 7))
        if device is None or not self._follows(device) or not self._connected() or not device.answers:
            self._device = None
            return self._refused()
        self._device = device
        device.start()
        return self._next()

    def _refused(self) -> None:
        self.put("ISR", self._NACKF)
        self._end()

    def _end(self) -> None:
        """A stop condition."""
        self._device = None
        self.put("ISR", self._BUSY | self._TXIS | self._TC, False)
        self.put("ISR", self._STOPF)

    def _next(self) -> None:
        """Ask for the next byte, or end the transfer."""
        if not self._left:
            if self.values["CR2"] & self._AUTOEND:
                self._end()
            else:
                self.put("ISR", self._TC)
        elif self.values["CR2"] & self._RD_WRN:
            self._after_byte(self._received)
        else:
            self.put("ISR", self._TXIS)

    def write_txdr(self, value: int) -> None:
        self.values["TXDR"] = value
        if self.values["ISR"] & self._TXIS:
            self.put("ISR", self._TXIS, False)
            self._after_byte(lambda: self._sent(value))

    def _sent(self, value: int) -> None:
        if self._device is None:
            return
        self._left -= 1
        if self._device.write(value):
            self._next()
        else:
            self._refused()

    def _received(self) -> None:
        if self._device is not None:
            self._left -= 1
            self.values["RXDR"] = self._device.read()
            self.put("ISR", self._RXNE)

    def read_rxdr(self) -> int:
        if self.values["ISR"] & self._RXNE:
            self.put("ISR", self._RXNE, False)
            self._next()
        return self.values["RXDR"]

    def write_icr(self, value: int) -> None:
        self.put("ISR", value & 0x3F38, False)

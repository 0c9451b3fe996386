"""Serial port of the STM32F746 (RM0385 chapter 31)."""

from collections import deque
from typing import ClassVar

from kwslib.exceptions import IRQ0
from kwslib.registers import Peripheral, Register

SERIAL_BAUD = 115_200  # what users set in their terminal


class Usart(Peripheral):
    """A USART in asynchronous mode; a frame takes its time, by BRR and the kernel clock (RM0385 section 31).

    What reaches the pin goes to `machine.uart_byte`; `receive(data)` sends bytes to the chip, one frame after another,
    as soon as its receiver is on. While `blocked`, what is being sent never ends, as of a transmitter that is stuck.
    """

    REGISTERS: ClassVar = {
        0x00: Register("CR1", 0, 0x1FFFFFFF, unmodelled=0x0FFF6812),
        0x04: Register("CR2", 0, 0xFFFFFFFF, unmodelled=0xFFFFCFFF),
        0x08: Register("CR3", 0, 0x01FFFFFF, unmodelled=0x01FFE7FE),
        0x0C: Register("BRR", 0, 0xFFFF),
        0x10: Register("GTPR", 0, 0xFFFF),
        0x14: Register("RTOR"),
        0x18: Register("RQR", 0, 0x1F, command=True),
        0x1C: Register("ISR", 0x000000C0, 0),
        0x20: Register("ICR", 0, 0x00121BDF, command=True),
        0x24: Register("RDR", 0, 0),
        0x28: Register("TDR", 0, 0x1FF),
    }
    _ORE, _RXNE, _TC, _TXE, _TEACK, _REACK = 1 << 3, 1 << 5, 1 << 6, 1 << 7, 1 << 21, 1 << 22
    _UE, _RE, _TE = 1 << 0, 1 << 2, 1 << 3

    def __init__(self, machine, name, base, gate, irq, pins):
        """`pins`: transmit and receive pins as (port, pin, alternate function)."""
        super().__init__(machine, name, base, gate)
        self._irq, (self._tx_pins, self._rx_pins) = IRQ0 + irq, pins
        self._sending, self._waiting, self._incoming, self._receiving = False, None, deque(), False
        self.baud = 0.0  # of the last frame
        self.blocked = False

    def _on(self, enable: int) -> bool:
        return self.values["CR1"] & (enable | self._UE) == enable | self._UE

    def _frame_s(self) -> float:
        """Duration of a frame: start bit, data with parity, stop bits."""
        divider = self.values["BRR"]
        if self.field("CR1", 15):  # OVER8: RM0385 section 31.5.4
            divider = (divider & 0xFFF0 | (divider & 7) << 1) / 2
        clock = self.machine.clocks()["usart1"]
        if divider < 8 or not clock:
            raise self.error("BRR", f"divider {divider:g} of a clock of {clock:g} Hz gives no baud rate")
        self.baud = clock / divider
        data = {0: 8, 1: 9, 2: 7}.get(self.field("CR1", 28) << 1 | self.field("CR1", 12), 8)
        stop = {0: 1, 1: 0.5, 2: 2, 3: 1.5}[self.field("CR2", 12, 2)]
        return (1 + data + stop) / self.baud

    def _connected(self, pins) -> bool:
        return any(self.machine.peripheral(f"GPIO{port}").alternate(pin) == function for port, pin, function in pins)

    def _interrupt(self) -> None:
        """Interrupt line: a flag and its enable bit have the same place in ISR and CR1; ORE comes with RXNEIE."""
        flags = self.values["ISR"] | (self._RXNE if self.values["ISR"] & self._ORE else 0)
        high = flags & self.values["CR1"] & (self._RXNE | self._TC | self._TXE)
        self.machine.exceptions.set_line(self._irq, bool(high))

    def write_cr1(self, value: int) -> None:
        self.values["CR1"] = value
        self.put("ISR", self._TEACK, self._on(self._TE))
        self.put("ISR", self._REACK, self._on(self._RE))
        if not self._on(self._TE):
            self.put("ISR", self._TC | self._TXE)
            self._waiting = None
        self._listen()
        self._interrupt()

    def write_brr(self, value: int) -> None:
        if self.values["CR1"] & self._UE:
            raise self.error("BRR", "written while UE is set: clear UE of CR1 first")
        self.values["BRR"] = value

    def write_tdr(self, value: int) -> None:
        if not self._on(self._TE):
            self.machine.note(f"{self.name}_TDR was written while the transmitter is off: the byte is lost")
            return
        if self._waiting is not None:
            self.machine.note(f"{self.name}_TDR was written while TXE is 0: a byte is lost")
        self._waiting = value
        self.put("ISR", self._TXE | self._TC, False)
        if not self._sending:
            self._send()
        self._interrupt()

    def _send(self) -> None:
        """Move the waiting byte to the shift register."""
        byte, self._waiting, self._sending = self._waiting, None, True
        self.put("ISR", self._TXE)
        self.machine.schedule(self._frame_s(), self._sent, self._irq)
        if self._connected(self._tx_pins):
            self.machine.uart_byte(byte & 0xFF)
        else:
            port, pin, function = self._tx_pins[0]
            self.machine.note(
                f"{self.name} sends, but no pin is connected: set P{port}{pin} to alternate function {function}"
            )

    def _sent(self) -> None:
        if self.blocked:
            self.machine.schedule(self._frame_s(), self._sent, self._irq)
            return
        self._sending = False
        if self._waiting is not None:
            self._send()
        else:
            self.put("ISR", self._TC)
        self._interrupt()

    def finish(self) -> None:
        """Send the byte that still waits, where a run ends and the chip would go on."""
        if self._waiting is not None and self._sending:
            self._send()

    def receive(self, data: bytes) -> None:
        """Let bytes arrive at the receive pin, without a pause, once the receiver is on."""
        self._incoming.extend(data)
        self._listen()

    def _listen(self) -> None:
        if self._incoming and not self._receiving and self._on(self._RE) and self._connected(self._rx_pins):
            self._receiving = True
            self.machine.schedule(self._frame_s(), self._received, self._irq)

    def _received(self) -> None:
        self._receiving = False
        if not self._on(self._RE):
            return
        byte = self._incoming.popleft()
        if self.values["ISR"] & self._RXNE:
            if not self.field("CR3", 12):
                self.put("ISR", self._ORE)
            self.machine.note(f"{self.name} received a byte before the last one was read: it is lost (overrun)")
        else:
            self.values["RDR"] = byte
            self.put("ISR", self._RXNE)
        self._listen()
        self._interrupt()

    def read_rdr(self) -> int:
        self.put("ISR", self._RXNE, False)
        self._interrupt()
        return self.values["RDR"]

    def write_icr(self, value: int) -> None:
        self.put("ISR", value & (self._ORE | self._TC | 0x17), False)
        self._interrupt()

    def write_rqr(self, value: int) -> None:
        if value >> 3 & 1:  # RXFRQ: drop what was received
            self.put("ISR", self._RXNE, False)
        if value >> 4 & 1:  # TXFRQ
            self._waiting = None
            self.put("ISR", self._TXE)
        self._interrupt()

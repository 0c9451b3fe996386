"""Registers of an emulated microcontroller: a table for each peripheral, and the bus that finds them by address."""

import re
from dataclasses import dataclass

from kwslib.firmware import BoardError

WORD = 0xFFFFFFFF
_POLLS, _POLL_CYCLES, _ENDLESS_POLLS = 16, 400, 200_000
# Peripherals by address (RM0385 section 2.2.2), for messages about those that are not modelled.
_NAMES = """
40000000 TIM2 40000400 TIM3 40000800 TIM4 40000C00 TIM5 40001000 TIM6 40001400 TIM7 40001800 TIM12 40001C00 TIM13
40002000 TIM14 40002400 LPTIM1 40002800 RTC 40002C00 WWDG 40003000 IWDG 40003800 SPI2 40003C00 SPI3 40004000 SPDIFRX
40004400 USART2 40004800 USART3 40004C00 UART4 40005000 UART5 40005400 I2C1 40005800 I2C2 40005C00 I2C3 40006000 I2C4
40006400 CAN1 40006800 CAN2 40006C00 CEC 40007000 PWR 40007400 DAC 40007800 UART7 40007C00 UART8 40010000 TIM1
40010400 TIM8 40011000 USART1 40011400 USART6 40012000 ADC 40012C00 SDMMC1 40013000 SPI1 40013400 SPI4 40013800 SYSCFG
40013C00 EXTI 40014000 TIM9 40014400 TIM10 40014800 TIM11 40015000 SPI5 40015400 SPI6 40015800 SAI1 40015C00 SAI2
40016800 LTDC 40020000 GPIOA 40020400 GPIOB 40020800 GPIOC 40020C00 GPIOD 40021000 GPIOE 40021400 GPIOF 40021800 GPIOG
40021C00 GPIOH 40022000 GPIOI 40022400 GPIOJ 40022800 GPIOK 40023000 CRC 40023800 RCC 40023C00 FLASH 40024000 BKPSRAM
40026000 DMA1 40026400 DMA2 40028000 ETHERNET 4002B000 DMA2D 40040000 USB_HS 50000000 USB_FS 50050000 DCMI
50060000 CRYP 50060400 HASH 50060800 RNG A0000000 FMC A0001000 QUADSPI E0000000 ITM E0001000 DWT E0002000 FPB
E000E000 SCS E0040000 TPIU E0041000 ETM E0042000 DBGMCU E00FF000 ROM_TABLE
"""
_REGIONS = sorted((int(base, 16), name) for base, name in re.findall(r"(\w{8}) (\w+)", _NAMES))


@dataclass(frozen=True)
class Register:
    """A 32-bit register: value after reset, bits that can be written, and of these the bits without a model.

    Writing 1 to a bit of `unmodelled` is an error; a bit that is not writable keeps its value, as on the chip. In a
    `command` register ones set or clear something: bytes that an access does not touch count as 0.
    """

    name: str
    reset: int = 0
    writable: int = WORD
    unmodelled: int = 0
    command: bool = False


class Peripheral:
    """A peripheral: `REGISTERS` maps offsets to registers, `values` holds their content by name.

    A method `read_<name>()` replaces the plain read of a register, `write_<name>(value)` takes what is written: for a
    register that keeps its bits all 32 of them, with those that are not writable unchanged. `gate` is the RCC register
    and bit that supply the clock; None: always on.
    """

    REGISTERS: dict[int, Register]

    def __init__(self, machine, name: str, base: int, gate: tuple[str, int] | None = None):
        self.machine, self.name, self.base, self.gate = machine, name, base, gate
        self.clocked = gate is None
        self.values = {register.name: register.reset for register in self.REGISTERS.values()}
        machine.bus.add(self)

    def field(self, register: str, low: int, bits: int = 1) -> int:
        """Bits of a register, shifted down."""
        return self.values[register] >> low & (1 << bits) - 1

    def put(self, register: str, bits: int, on: bool = True) -> None:
        """Set or clear bits of a register, from the side of the hardware."""
        self.values[register] = self.values[register] | bits if on else self.values[register] & ~bits

    def error(self, register: str, what: str) -> BoardError:
        """An error that names a register."""
        return BoardError(f"{self.name}_{register}: {what}")


class Bus:
    """Finds registers by address; `unmodelled` is "error", or "remember" to keep what is written to unknown ones.

    `remembered` lists the registers without a model that were used. A loop that reads the same value again and again
    is given the time up to the next event, so that polling a slow peripheral does not cost minutes.
    """

    def __init__(self, machine, unmodelled: str = "error"):
        if unmodelled not in ("error", "remember"):
            raise BoardError(f"unmodelled={unmodelled!r}: choose 'error' or 'remember'")
        self.remembered: dict[str, int] = {}
        self.peripherals: dict[str, Peripheral] = {}
        self.unmodelled = unmodelled
        self._machine, self._table, self._other = machine, {}, {}
        self._polled, self._polls, self._polled_at = None, 0, 0

    def add(self, peripheral: Peripheral) -> None:
        """Make the registers of a peripheral known."""
        self.peripherals[peripheral.name] = peripheral
        for offset, register in peripheral.REGISTERS.items():
            handlers = (getattr(peripheral, f"{verb}_{register.name.lower()}", None) for verb in ("read", "write"))
            self._table[peripheral.base + offset] = (peripheral, register, *handlers)

    def read(self, address: int, size: int) -> int:
        """Read 1, 2 or 4 bytes; raises BoardError."""
        word = address & ~3
        entry = self._table.get(word)
        if entry is None:
            value = self._unknown(address)
        else:
            peripheral, register, reader, _ = entry
            if not peripheral.clocked:
                self._gated(peripheral, register)
                return 0
            value = reader() if reader else peripheral.values[register.name]
            if self._polling(word, value):
                value = reader() if reader else peripheral.values[register.name]
        return value >> 8 * (address & 3) & (1 << 8 * size) - 1

    def write(self, address: int, size: int, value: int) -> None:
        """Write 1, 2 or 4 bytes; the other bytes of the register keep their content. Raises BoardError."""
        self._polled = None
        word, shift = address & ~3, 8 * (address & 3)
        lanes = (1 << 8 * size) - 1 << shift
        value = value << shift & lanes
        entry = self._table.get(word)
        if entry is None:
            self._other[word] = self._unknown(address) & ~lanes | value
            return None
        peripheral, register, _, writer = entry
        if not peripheral.clocked:
            return self._gated(peripheral, register)
        if value & register.unmodelled:
            bits = ", ".join(str(bit) for bit in range(32) if value & register.unmodelled & 1 << bit)
            self._unmodelled(f"{peripheral.name}_{register.name}", f"bit {bits} is not modelled")
        before, lanes = 0 if register.command else peripheral.values[register.name], lanes & register.writable
        value = before & ~lanes | value & lanes
        if writer:
            writer(value)
        else:
            peripheral.values[register.name] = value
        return None

    def _unknown(self, address: int) -> int:
        base, name = max((region for region in _REGIONS if region[0] <= address), default=(0, "reserved"))
        self._unmodelled(f"{name} register {address - base:#05x} (address {address:#010x})", "is not modelled")
        return self._other.get(address & ~3, 0)

    def _unmodelled(self, register: str, what: str) -> None:
        if self.unmodelled == "error":
            raise BoardError(f"{register} {what}")
        entry = f"{register} {what}"
        self.remembered[entry] = self.remembered.get(entry, 0) + 1

    def _gated(self, peripheral, register) -> None:
        """An access without clock: an error; where the chip's own way is wanted, it reads 0 and writes nothing."""
        enable, bit = peripheral.gate
        what = f"is used without its clock: set bit {bit} of RCC_{enable} first"
        self._unmodelled(f"{peripheral.name}_{register.name}", what)

    def _polling(self, word: int, value: int) -> bool:
        """Whether time went on because of a tight loop that waits for a change of a register."""
        machine, now = self._machine, self._machine.cycles
        again = (word, value) == self._polled and now - self._polled_at < _POLL_CYCLES
        self._polled, self._polled_at, self._polls = (word, value), now, self._polls + 1 if again else 0
        if self._polls < _POLLS:
            return False
        if not machine.skip_to_next_event() and self._polls > _ENDLESS_POLLS:
            machine.end("idle", "polls a register that nothing changes")
        self._polled_at = machine.cycles
        return True

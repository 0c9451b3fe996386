"""DMA controller of the STM32F746, as far as recording goes: from a peripheral to memory (RM0385 chapter 8)."""

from typing import ClassVar

from kwslib.core import SRAM
from kwslib.exceptions import IRQ0
from kwslib.registers import Peripheral, Register

DMA2_IRQS = (56, 57, 58, 59, 60, 68, 69, 70)  # RM0385 table 45
_STREAMS = 8
_DMA_UNMODELLED = 0x000000E0  # flow control by the peripheral, directions other than to memory


class Dma(Peripheral):
    """DMA controller: streams from a peripheral to memory, once, circular or with two buffers."""

    REGISTERS: ClassVar = {
        0x00: Register("LISR", 0, 0),
        0x04: Register("HISR", 0, 0),
        0x08: Register("LIFCR", 0, 0x0F7D0F7D, command=True),
        0x0C: Register("HIFCR", 0, 0x0F7D0F7D, command=True),
        **{
            0x10 + 0x18 * stream + offset: Register(f"S{stream}{name}", reset, writable, unmodelled)
            for stream in range(_STREAMS)
            for offset, name, reset, writable, unmodelled in (
                (0x00, "CR", 0, 0x0FEFFFFF, _DMA_UNMODELLED),
                (0x04, "NDTR", 0, 0xFFFF, 0),
                (0x08, "PAR", 0, 0xFFFFFFFF, 0),
                (0x0C, "M0AR", 0, 0xFFFFFFFF, 0),
                (0x10, "M1AR", 0, 0xFFFFFFFF, 0),
                (0x14, "FCR", 0x21, 0x87, 0),
            )
        },
    }
    _HALF, _COMPLETE = 1 << 4, 1 << 5
    _SHIFTS = (0, 6, 16, 22)

    def __init__(self, machine, name, base, gate, irqs):
        self._irqs = [IRQ0 + irq for irq in irqs]
        self._lengths, self._halves = [0] * _STREAMS, [0] * _STREAMS
        self.listeners: list = []  # peripherals that look again when a stream is switched
        for stream in range(_STREAMS):
            setattr(self, f"write_s{stream}cr", lambda value, stream=stream: self._write_cr(stream, value))
            setattr(self, f"write_s{stream}ndtr", lambda value, stream=stream: self._write_ndtr(stream, value))
            setattr(self, f"read_s{stream}ndtr", lambda stream=stream: self._read_ndtr(stream))
        super().__init__(machine, name, base, gate)

    def _write_cr(self, stream: int, value: int) -> None:
        before = self.values[f"S{stream}CR"]
        self.values[f"S{stream}CR"] = value
        if value & ~before & 1:
            self._lengths[stream] = self.values[f"S{stream}NDTR"]
            if not self._lengths[stream]:
                raise self.error(f"S{stream}NDTR", "is 0 when the stream is enabled: write the number of items first")
            if self._flags(stream):
                raise self.error(f"S{stream}CR", "is enabled while flags of its last transfer are set: clear them")
        if (value ^ before) & 1:
            for listener in self.listeners:
                listener()

    def _write_ndtr(self, stream: int, value: int) -> None:
        if self.field(f"S{stream}CR", 0):
            raise self.error(f"S{stream}NDTR", "is written while the stream is enabled: clear EN first")
        self.values[f"S{stream}NDTR"] = value

    def _read_ndtr(self, stream: int) -> int:
        for listener in self.listeners:
            listener()
        return self.values[f"S{stream}NDTR"]

    def ready(self, stream: int, channel: int) -> bool:
        """Whether a stream is enabled for a channel."""
        return bool(self.field(f"S{stream}CR", 0)) and self.field(f"S{stream}CR", 25, 3) == channel

    def irq(self, stream: int) -> int:
        """Exception number of a stream."""
        return self._irqs[stream]

    def items_to_flag(self, stream: int) -> int:
        """Items that a stream still moves before it sets its next flag."""
        left, half = self.values[f"S{stream}NDTR"], self._lengths[stream] // 2
        return left - half if left > half else left

    def item_bytes(self, stream: int) -> int:
        """Size of an item at the peripheral."""
        return 1 << self.field(f"S{stream}CR", 11, 2)

    def move(self, stream: int, data: bytes) -> None:
        """Move items to memory; not more than `items_to_flag` at once."""
        cr, ndtr = f"S{stream}CR", f"S{stream}NDTR"
        length, size = self._lengths[stream], self.item_bytes(stream)
        count = len(data) // size
        start = self.values[f"S{stream}M{self.field(cr, 19)}AR"]
        if self.field(cr, 10):  # MINC
            self.machine.write(start + (length - self.values[ndtr]) * size, data)
        else:
            self.machine.write(start, data[-size:])
        self.values[ndtr] -= count
        if self.values[ndtr] == length // 2:
            self._flag(stream, self._HALF, 3, start)
        elif not self.values[ndtr]:
            if self.field(cr, 8) or self.field(cr, 18):  # circular, or double buffer
                self.values[ndtr] = length
                self.values[cr] ^= (self.field(cr, 18)) << 19
            else:
                self.put(cr, 1, False)
            self._flag(stream, self._COMPLETE, 4, start)

    def _flags(self, stream: int) -> int:
        return self.values["LISR" if stream < 4 else "HISR"] >> self._SHIFTS[stream % 4] & 0x3D

    def _flag(self, stream: int, flag: int, enable_bit: int, start: int) -> None:
        self.put("LISR" if stream < 4 else "HISR", flag << self._SHIFTS[stream % 4])
        self._interrupt(stream)
        self._halves[stream] += 1
        if self._halves[stream] == 3:
            self._check_cache(stream, start)

    def _check_cache(self, stream: int, start: int) -> None:
        """Tell of a buffer whose old content the data cache would show to the firmware on the chip."""
        scb, mpu = self.machine.peripheral("SCB"), self.machine.peripheral("MPU")
        if not scb.field("CCR", 16) or not SRAM[0] <= start < SRAM[1] or start >> 5 in scb.invalidated:
            return
        if not mpu.uncached([(start, start + 32)]):
            self.machine.note(
                f"{self.name} stream {stream} fills cached memory at {start:#010x}, which is never invalidated: on the "
                "chip old data would be read; call SCB_InvalidateDCache_by_Addr or make it non-cacheable in the MPU"
            )

    def _interrupt(self, stream: int) -> None:
        enabled = self.field(f"S{stream}CR", 3, 2) << 4  # HTIE and TCIE, at the places of their flags
        self.machine.exceptions.set_line(self._irqs[stream], bool(self._flags(stream) & enabled))

    def _clear(self, register: str, first: int, value: int) -> None:
        self.put(register, value, False)
        for stream in range(first, first + 4):
            self._interrupt(stream)

    def write_lifcr(self, value: int) -> None:
        self._clear("LISR", 0, value)

    def write_hifcr(self, value: int) -> None:
        self._clear("HISR", 4, value)

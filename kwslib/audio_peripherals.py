"""DMA controller and serial audio interface, as far as recording goes (RM0385 chapters 8 and 33)."""

from typing import ClassVar

import numpy as np

from kwslib.core import SRAM
from kwslib.exceptions import IRQ0
from kwslib.registers import Peripheral, Register

DMA2_IRQS = (56, 57, 58, 59, 60, 68, 69, 70)  # RM0385 table 45
# Stream and channel of DMA2 for each block of SAI2: RM0385 table 26.
_SAI2_REQUESTS = {"A": ((4, 3),), "B": ((6, 3), (7, 0))}
_STREAMS = 8
_DMA_UNMODELLED = 0x000000E0  # flow control by the peripheral, directions other than to memory
_AUDIO_TAIL_S = 0.1  # the firmware has so long to deal with the end of the sound


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


class Sai(Peripheral):
    """Serial audio interface: two blocks, of which receivers hear `machine.audio` at the rate of the clock tree.

    The codec at the other end is taken as set up; every active slot of a frame carries the microphone, or channel n
    of the audio in the n-th active slot. Transmitters give a clock, but no sound.
    """

    REGISTERS: ClassVar = {
        0x00: Register("GCR", 0, 0x33, unmodelled=0x33),
        **{
            0x04 + 0x20 * number + offset: Register(f"{block}{name}", reset, writable, unmodelled)
            for number, block in enumerate("AB")
            for offset, name, reset, writable, unmodelled in (
                (0x00, "CR1", 0x40, 0x00FB3FEF, 0x0000110C),
                (0x04, "CR2", 0, 0xFFFF, 0xFFE0),
                (0x08, "FRCR", 0x7, 0x00077FFF, 0),
                (0x0C, "SLOTR", 0, 0xFFFF0FDF, 0),
                (0x10, "IM", 0, 0x7F, 0x7F),
                (0x14, "SR", 0x8, 0, 0),
                (0x1C, "DR", 0, 0xFFFFFFFF, 0),
            )
        },
        0x1C: Register("ACLRFR", 0, 0x77, command=True),
        0x3C: Register("BCLRFR", 0, 0x77, command=True),
    }
    _RECEIVER, _SLAVE, _ENABLE, _FIFO_WORDS = 1, 2, 1 << 16, 8

    def __init__(self, machine, name, base, gate, dma):
        for block in "AB":
            setattr(self, f"write_{block.lower()}cr1", lambda value, block=block: self._write_cr1(block, value))
            setattr(self, f"read_{block.lower()}sr", lambda block=block: self._read_sr(block))
            setattr(self, f"read_{block.lower()}dr", lambda block=block: self._read_dr(block))
            setattr(
                self, f"write_{block.lower()}clrfr", lambda value, block=block: self.put(f"{block}SR", value, False)
            )
        super().__init__(machine, name, base, gate)
        self._dma = dma
        self._start_s, self._frames = {}, {}  # of receivers that run: begin, frames so far
        self._events, self._fifos = {}, {"A": [], "B": []}
        dma.listeners.append(self._update)

    def sample_rate_hz(self, block: str) -> float:
        """Frames a second of a block, from its registers and the clock tree; 0 without a clock."""
        cr1 = f"{block}CR1"
        if self.field(cr1, 10, 2) == 1:  # synchronous with the other block
            other = "AB"[block == "A"]
            return self.sample_rate_hz(other) if self.field(f"{other}CR1", 16) else 0.0
        if self.values[cr1] & self._SLAVE:
            return 0.0  # nothing on this board sends a clock
        clock = self.machine.clocks()["sai2"]
        if self.field(cr1, 19):  # NODIV: the bit clock is the kernel clock
            return clock / (self.field(f"{block}FRCR", 0, 8) + 1)
        return clock / (2 * self.field(cr1, 20, 4) or 1) / 256

    def _slots(self, block: str) -> int:
        """Active slots of a frame."""
        slots = self.field(f"{block}SLOTR", 8, 4) + 1
        return (self.field(f"{block}SLOTR", 16, 16) & (1 << slots) - 1).bit_count()

    def _write_cr1(self, block: str, value: int) -> None:
        register = f"{block}CR1"
        before, self.values[register] = self.values[register], value
        if value & self._ENABLE and not before & self._ENABLE and value & self._RECEIVER and not self._slots(block):
            raise self.error(f"{block}SLOTR", "no slot is active: set SLOTEN and NBSLOT")
        for name in "AB":  # a block may give the other one its clock
            self._switch(name)

    def _switch(self, block: str) -> None:
        receives = self.values[f"{block}CR1"] & (self._ENABLE | self._RECEIVER) == self._ENABLE | self._RECEIVER
        runs = bool(receives and self.sample_rate_hz(block))
        if runs and block not in self._start_s:
            self._start_s[block], self._frames[block] = self.machine.time_s, 0
            if self.machine.audio is not None:
                samples, rate_hz = self.machine.audio
                tail = len(samples) / rate_hz + _AUDIO_TAIL_S
                self.machine.schedule(tail, lambda: self.machine.end("audio", "the audio is over"))
            self._update()
        elif not runs and block in self._start_s:
            del self._start_s[block]
            self._events.pop(block).cancel()

    def _stream(self, block: str) -> int | None:
        """DMA stream that serves a block."""
        if not self.field(f"{block}CR1", 17):
            return None
        return next((stream for stream, channel in _SAI2_REQUESTS[block] if self._dma.ready(stream, channel)), None)

    def _update(self) -> None:
        """Bring the receivers up to now and queue the next moment at which they do something."""
        for block in self._start_s:
            rate_hz, slots = self.sample_rate_hz(block), self._slots(block)
            elapsed_s = self.machine.time_s - self._start_s[block]
            due = int(elapsed_s * rate_hz + 1e-6)
            while self._frames[block] < due:
                stream, count = self._stream(block), 1
                if stream is not None:
                    count = max(1, min(due - self._frames[block], self._dma.items_to_flag(stream) // slots))
                self._deliver(block, stream, self._heard(block, rate_hz, count, slots))
                self._frames[block] += count
            stream = self._stream(block)
            ahead = 1 if stream is None else max(1, -(-self._dma.items_to_flag(stream) // slots))
            if block in self._events:
                self._events[block].cancel()
            delay_s = (self._frames[block] + ahead) / rate_hz - elapsed_s
            exception = None if stream is None else self._dma.irq(stream)
            self._events[block] = self.machine.schedule(max(0.0, delay_s), self._update, exception)

    def _heard(self, block: str, rate_hz: float, count: int, slots: int) -> np.ndarray:
        """The next `count` frames, [count, slots] int32, of `data size` bits with the sound in the highest 16."""
        frames = np.zeros((count, slots), np.int32)
        if self.machine.audio is not None:
            samples, audio_hz = self.machine.audio
            samples = np.asarray(samples, np.int16).reshape(len(samples), -1)
            index = ((self._frames[block] + np.arange(count)) * (audio_hz / rate_hz) + 1e-6).astype(np.int64)
            inside = index < len(samples)
            channels = np.arange(slots) % samples.shape[1]
            frames[inside] = samples[index[inside]][:, channels]
        bits = {2: 8, 3: 10, 4: 16, 5: 20, 6: 24, 7: 32}[max(2, self.field(f"{block}CR1", 5, 3))]
        return frames << bits - 16 if bits > 16 else frames >> 16 - bits

    def _deliver(self, block: str, stream: int | None, frames: np.ndarray) -> None:
        words = frames.ravel()
        if stream is not None:
            size = self._dma.item_bytes(stream)
            data = words.astype(f"<i{size}").tobytes()
            while data and self._dma.field(f"S{stream}CR", 0):
                part = self._dma.items_to_flag(stream) * size
                self._dma.move(stream, data[:part])
                data = data[part:]
            return
        fifo = self._fifos[block]
        for word in words:
            if len(fifo) == self._FIFO_WORDS:
                self.put(f"{block}SR", 1)  # OVRUDR
            else:
                fifo.append(int(word) & 0xFFFFFFFF)

    def _read_sr(self, block: str) -> int:
        self._update()
        level = len(self._fifos[block])
        value = self.values[f"{block}SR"] & ~0x00070008
        return value | (level > 0) << 3 | (min(level, 5) and (1 + (level - 1) // 2 if level < 8 else 5)) << 16

    def _read_dr(self, block: str) -> int:
        self._update()
        fifo = self._fifos[block]
        return fifo.pop(0) if fifo else 0

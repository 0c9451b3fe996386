"""Serial audio interface, as far as recording goes (RM0385 chapter 33)."""

from typing import ClassVar

import numpy as np

from kwslib.registers import Peripheral, Register

# Stream and channel of DMA2 for each block of SAI2: RM0385 table 26.
_SAI2_REQUESTS = {"A": ((4, 3),), "B": ((6, 3), (7, 0))}
_AUDIO_TAIL_S = 0.1  # the firmware has so long to deal with the end of the sound
_SAME_RATE = 5e-4  # rates that differ by less (0.8 semitone hundredths) count as one


class Sai(Peripheral):
    """Serial audio interface: two blocks, of which receivers hear `machine.audio` at the rate of the clock tree.

    At the other end is `codec`, which block B hears if block A clocks it, as on the board; a frame is read bit by bit.
    With None every receiver hears an ideal source: every active slot of a frame carries the microphone, or channel n
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
    _UNSERVED_FRAMES = 4096  # looked at together where nobody reads a full FIFO
    # Clocks of the codec by block A, its data to block B (UM1907, datasheet table 12): port, pin, alternate function.
    _CODEC_PINS = ("I", 4, 10), ("I", 5, 10), ("I", 7, 10), ("G", 10, 10)

    def __init__(self, machine, name, base, gate, dma, codec=None):
        self.codec = codec
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
            if self.machine.audio is not None and (self.codec is None or block == "B"):
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
                if stream is None and len(self._fifos[block]) == self._FIFO_WORDS:
                    self.put(f"{block}SR", 1)  # OVRUDR
                    self._frames[block] = due
                    break
                if stream is not None:
                    count = max(1, min(due - self._frames[block], self._dma.items_to_flag(stream) // slots))
                self._deliver(block, stream, self._heard(block, rate_hz, count, slots))
                self._frames[block] += count
            stream = self._stream(block)
            if stream is not None:
                ahead = max(1, -(-self._dma.items_to_flag(stream) // slots))
            else:
                ahead = self._UNSERVED_FRAMES if len(self._fifos[block]) == self._FIFO_WORDS else 1
            if block in self._events:
                self._events[block].cancel()
            delay_s = (self._frames[block] + ahead) / rate_hz - elapsed_s
            exception = None if stream is None else self._dma.irq(stream)
            self._events[block] = self.machine.schedule(max(0.0, delay_s), self._update, exception)

    def _heard(self, block: str, rate_hz: float, count: int, slots: int) -> np.ndarray:
        """The next `count` frames, [count, slots] int32, of `data size` bits with the sound in the highest 16."""
        if self.codec is not None:
            if block == "A":  # its data pin leads to an input of the codec
                return np.zeros((count, slots), np.int32)
            return self._from_codec(rate_hz, self._sound(block, rate_hz, count, 2), slots)
        frames, bits = self._sound(block, rate_hz, count, slots), self._data_bits(block)
        return frames << bits - 16 if bits > 16 else frames >> 16 - bits

    def _sound(self, block: str, rate_hz: float, count: int, channels: int) -> np.ndarray:
        """The next samples of the microphones, [count, channels] int32; silence behind the end of the audio."""
        frames = np.zeros((count, channels), np.int32)
        if self.machine.audio is not None:
            samples, audio_hz = self.machine.audio
            samples = np.asarray(samples, np.int16).reshape(len(samples), -1)
            # A recording is made at the board's own rate where the two differ by less than an audible amount.
            ratio = 1.0 if abs(audio_hz / rate_hz - 1) < _SAME_RATE else audio_hz / rate_hz
            index = ((self._frames[block] + np.arange(count)) * ratio + 1e-6).astype(np.int64)
            inside = index < len(samples)
            frames[inside] = samples[index[inside]][:, np.arange(channels) % samples.shape[1]]
        return frames

    def _data_bits(self, block: str) -> int:
        return {2: 8, 3: 10, 4: 16, 5: 20, 6: 24, 7: 32}[max(2, self.field(f"{block}CR1", 5, 3))]

    def _from_codec(self, rate_hz: float, sound: np.ndarray, slots: int) -> np.ndarray:
        """What block B makes of the bits of the codec: [count, slots], data right-aligned."""
        length = self.field("BFRCR", 0, 8) + 1
        fault = self._line_fault(length) or self.codec.fault(self._mclk_hz(), rate_hz, length)
        if fault:
            self.machine.note(f"no sound: {fault}")
            return np.zeros((len(sound), slots), np.int32)
        bits, size = self.codec.frames(sound, length), self._data_bits("B")
        slot_bits = {0: size, 1: 16, 2: 32}[self.field("BSLOTR", 6, 2)]
        first = self.field("BSLOTR", 0, 5) + self.field("BFRCR", 18)
        if self.field("BFRCR", 17):  # the frame starts with the rising edge: the right half comes first
            first += length // 2
        active = [slot for slot in range(16) if self.field("BSLOTR", 16 + slot)][:slots]
        places = (first + np.array(active)[:, None] * slot_bits + np.arange(size)) % length
        words = bits[:, places] @ (1 << np.arange(size, dtype=np.int64))[::-1]
        return words.astype(np.uint32).view(np.int32)

    def _line_fault(self, length: int) -> str | None:
        """Why block B cannot read what the codec sends."""
        for port, pin, function in self._CODEC_PINS:
            if self.machine.peripheral(f"GPIO{port}").alternate(pin) != function:
                return f"set P{port}{pin} to alternate function {function}: the codec is connected there"
        if self.field("BCR1", 10, 2) != 1 or not self._mclk_hz():
            return "block A has to clock the codec, and block B to be synchronous with it"
        if not self.field("BCR1", 9):
            return "SAI2_BCR1.CKSTR is 0: the codec changes its data at the edge that is sampled then"
        if not self.field("BFRCR", 16) or 2 * (self.field("BFRCR", 8, 7) + 1) != length:
            return "SAI2_BFRCR: the codec needs FSDEF and a frame signal that is active for half of the frame"
        if self.values["AFRCR"] != self.values["BFRCR"]:
            return "SAI2_AFRCR, which makes the frames, differs from SAI2_BFRCR"
        return None

    def _mclk_hz(self) -> float:
        """Master clock that block A gives; 0 without."""
        if self.field("ACR1", 10, 2) or self.values["ACR1"] & self._SLAVE or self.field("ACR1", 19):
            return 0.0
        return 256 * self.sample_rate_hz("A") if self.field("ACR1", 16) else 0.0

    def _deliver(self, block: str, stream: int | None, frames: np.ndarray) -> None:
        words, fifo = frames.ravel(), self._fifos[block]
        if stream is not None:
            size = self._dma.item_bytes(stream)
            data = np.append(np.array(fifo, np.int64), words).astype(f"<i{size}").tobytes()
            fifo.clear()
            while data and self._dma.field(f"S{stream}CR", 0):
                part = self._dma.items_to_flag(stream) * size
                self._dma.move(stream, data[:part])
                data = data[part:]
            return
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

"""I2C3 with the codec, and SAI2 with its clocks, driven by registers of a board whose firmware does nothing."""

from board_firmware import Registers

RCC, GPIOG, GPIOH, GPIOI = 0x40023800, 0x40021800, 0x40021C00, 0x40022000
I2C3, SAI2, DMA2 = 0x40005C00, 0x40015C00, 0x40026400
BUFFER = 0x20010000
CODEC = 0x1A
TIMING_100_KHZ = 4 << 20 | 2 << 16 | 29 << 8 | 29  # 16 MHz by (0 + 1) by 60: 267 kHz, and slower by PRESC
# What a firmware has to write for the digital microphones at 16 kHz.
SETTINGS = {
    0x001: 0x0013,
    0x004: 0x0C30,
    0x606: 0x0002,
    0x607: 0x0002,
    0x210: 0x0033,
    0x300: 0x4010,
    0x302: 0x0000,
    0x208: 0x000A,
    0x200: 0x0001,
}
# SAI2: four slots of 16 bits in I2S, slots 1 and 3; A is master, B its slave with DMA.
SAI = {"ACR1": 0x00402281, "AFRCR": 0x00051F3F, "ASLOTR": 0x000A0300}
SAI |= {"BCR1": 0x00020683, "BFRCR": 0x00051F3F, "BSLOTR": 0x000A0300}
_OFFSETS = {"ACR1": 0x04, "AFRCR": 0x0C, "ASLOTR": 0x10, "BCR1": 0x24, "BFRCR": 0x2C, "BSLOTR": 0x30}


class CodecBus(Registers):
    """A board with I2C3 ready to send, at `timing`."""

    def __init__(self, timing=TIMING_100_KHZ | 2 << 28, pins=True):
        super().__init__()
        self.codec = self.machine.peripheral("I2C3").devices[CODEC]
        self[RCC + 0x30] |= 1 << 6 | 1 << 7 | 1 << 8 | 1 << 22
        self[RCC + 0x40] |= 1 << 23
        self[RCC + 0x44] |= 1 << 23
        if pins:
            self[GPIOH + 0x04] = 3 << 7
            self[GPIOH + 0x00] = 2 << 14 | 2 << 16
            self[GPIOH + 0x20], self[GPIOH + 0x24] = 4 << 28, 4
        self[I2C3 + 0x10] = timing
        self[I2C3] = 1

    def transfer(self, out, n_in=0, address=CODEC):
        """Bytes read after bytes written, as a firmware does it; None where the device does not acknowledge."""
        self[I2C3 + 0x04] = address << 1 | len(out) << 16 | (not n_in) << 25 | 1 << 13
        received = []
        for byte in out:
            if not self._comes(1 << 1):
                return None
            self[I2C3 + 0x28] = byte
        if n_in:
            assert self._comes(1 << 6)
            self[I2C3 + 0x04] = address << 1 | n_in << 16 | 1 << 25 | 1 << 10 | 1 << 13
            for _ in range(n_in):
                assert self._comes(1 << 2)
                received.append(self[I2C3 + 0x24])
        assert self._comes(1 << 5)
        self[I2C3 + 0x1C] = 1 << 4 | 1 << 5
        return bytes(received)

    def _comes(self, flag):
        for _ in range(100):
            status = self[I2C3 + 0x18]
            if status & 1 << 4:
                self[I2C3 + 0x1C] = 1 << 4 | 1 << 5
                return False
            if status & flag:
                return True
            self.wait(20e-6)
        raise AssertionError(f"flag {flag:#x} never came")

    def set_codec(self, settings):
        """Write registers of the codec by I2C."""
        for address, value in settings.items():
            assert self.transfer([address >> 8, address & 0xFF, value >> 8, value & 0xFF]) is not None

    def start_sai(self, registers, plli2s=426 << 6 | 13 << 24, pins=True):
        """Clocks and pins of SAI2, its blocks with `registers`, DMA2 stream 7 into 512 half-words at BUFFER."""
        if pins:
            self[GPIOI + 0x20] = 10 << 16 | 10 << 20 | 10 << 28
            self[GPIOI + 0x00] = 2 << 8 | 2 << 10 | 2 << 14
            self[GPIOG + 0x24], self[GPIOG + 0x00] = 10 << 8, 2 << 20
        self[RCC + 0x04] = 16 | 192 << 6 | 2 << 24
        self[RCC + 0x84], self[RCC + 0x8C] = plli2s, 1 << 22
        self[RCC] |= 1 << 26
        self.wait(1e-3)
        for name, value in registers.items():
            self[SAI2 + _OFFSETS[name]] = value
        stream = DMA2 + 0x10 + 7 * 0x18
        self[stream + 4], self[stream + 8], self[stream + 12] = 512, SAI2 + 0x40, BUFFER
        self[stream] = 1 << 13 | 1 << 11 | 1 << 10 | 1 << 8 | 1
        self[SAI2 + 0x04] |= 1 << 16
        self[SAI2 + 0x24] |= 1 << 16

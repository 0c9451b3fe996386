"""The audio codec WM8994 of the STM32F746G-Discovery as a recorder of its two digital microphones.

Registers and their meaning: Cirrus Logic, WM8994 datasheet rev 4.6. Followed are the control interface, the clocking of
AIF1 from MCLK1, both digital microphones of DMICDAT2, mixers, volumes and the format of AIF1. The filters are taken as
transparent, outputs and analogue inputs do not exist.
"""

import numpy as np

DEVICE_ID = 0x8994
_RATES_HZ = dict(enumerate((8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000)))
_RATIOS = {1: 128, 2: 192, 3: 256, 4: 384, 5: 512, 6: 768, 7: 1024, 8: 1408, 9: 1536}
_RESETS = {  # of the registers that are looked at
    0x0001: 0x0000,
    0x0004: 0x0000,
    0x0200: 0x0000,
    0x0208: 0x0000,
    0x0210: 0x0083,
    0x0300: 0x4050,
    0x0302: 0x0000,
    0x0404: 0x00C0,
    0x0405: 0x00C0,
    0x0606: 0x0000,
    0x0607: 0x0000,
}
_UNITY, _UPDATE = 0xC0, 1 << 8  # volume of 0 dB; steps of 0.375 dB; a new volume counts from VU on
_I2S = 2


class Wm8994:
    """The codec on its I2C bus, and what it puts on its data line (ADCDAT1) in each frame.

    `answers` False: the chip is not there. `values` holds registers by address as the firmware wrote them.
    """

    FASTEST_HZ = 410_000  # SCLK of the control interface, datasheet: 400 kHz; 2 % for the oscillator of a tester

    def __init__(self, machine):
        self.machine, self.answers = machine, True
        self.reset()

    def reset(self) -> None:
        """As after power-on."""
        self.values = dict(_RESETS)
        self._volumes = {0x404: _UNITY, 0x405: _UNITY}
        self._bytes, self._address, self._high = 0, 0, 0

    # Control interface: register address in two bytes, then values of two bytes each, at rising addresses

    def start(self) -> None:
        """Start condition with the address of the chip."""
        self._bytes = 0

    def write(self, byte: int) -> bool:
        """Take a byte; returns whether it is acknowledged."""
        self._bytes += 1
        if self._bytes == 1:
            self._address = byte << 8
        elif self._bytes == 2:
            self._address |= byte
        elif self._bytes % 2:
            self._high = byte
        else:
            self._write_register(self._address, self._high << 8 | byte)
            self._address += 1
        return True

    def read(self) -> int:
        """Give a byte of the register addressed last."""
        value = DEVICE_ID if not self._address else self.values.get(self._address, 0)
        self._bytes += 1
        if self._bytes % 2:
            return value >> 8
        self._address += 1
        return value & 0xFF

    def _write_register(self, address: int, value: int) -> None:
        if not address:
            return self.reset()
        self.values[address] = value
        if address in self._volumes and value & _UPDATE:
            self._volumes = {number: self.values[number] & 0xFF for number in self._volumes}
        return None

    def field(self, address: int, low: int, bits: int = 1) -> int:
        """Bits of a register, shifted down."""
        return self.values.get(address, 0) >> low & (1 << bits) - 1

    # Sound

    def fault(self, mclk_hz: float, rate_hz: float, bit_clocks: int) -> str | None:
        """Why no sound comes at these clocks and this number of bit clocks in a frame; None if it does."""
        ratio = _RATIOS.get(self.field(0x210, 0, 4), 0)
        nominal_hz = _RATES_HZ.get(self.field(0x210, 4, 4), 0)
        faults = (
            (self.field(0x001, 1, 2) == 0 or not self.field(0x001, 0), "VMID or the bias generator is off (0x001)"),
            (not self.field(0x001, 4), "MICBIAS1 is off: the microphones have no supply (0x001)"),
            (not self.field(0x200, 0) or self.field(0x200, 3, 2), "AIF1CLK is off, or not from MCLK1 (0x200)"),
            (self.field(0x208, 0, 4) & 0xB != 0xA, "SYSCLK is not AIF1CLK, or a DSP clock is off (0x208)"),
            (self.field(0x302, 14), "AIF1 is master (0x302), as SAI2 is"),
            (self.field(0x300, 3, 2) not in (1, _I2S), "this format of AIF1 is not modelled (0x300)"),
            (abs(mclk_hz - ratio * rate_hz) > 0.01 * mclk_hz, f"MCLK is not {ratio} times the sample rate (0x210)"),
            (abs(nominal_hz - rate_hz) > 0.02 * rate_hz, f"set to {nominal_hz} Hz (0x210), frames: {rate_hz:.0f} Hz"),
            (bit_clocks < 4 * self.word_bits, f"a frame of {bit_clocks} bits is too short for four words"),
        )
        return next((text for wrong, text in faults if wrong), None)

    @property
    def word_bits(self) -> int:
        """Length of a word of AIF1."""
        return (16, 20, 24, 32)[self.field(0x300, 5, 2)]

    def frames(self, microphones: np.ndarray, bit_clocks: int) -> np.ndarray:
        """Bits on the data line, uint8 [n, bit_clocks] from the falling edge of LRCLK on, for int16 [n, 2] of sound.

        The left half of a frame holds the left words of time slots 0 and 1, the right half the right ones (I2S, two
        slots). The digital microphones are in slot 1.
        """
        bits = np.zeros((len(microphones), bit_clocks), np.uint8)
        delay = 1 if self.field(0x300, 3, 2) == _I2S else 0
        places = np.arange(self.word_bits)
        for side, (enable, volume, mixer) in enumerate(((11, 0x404, 0x606), (10, 0x405, 0x607))):
            # AIF1ADC2L_ENA and DMIC2L_ENA, then DMIC2L_TO_AIF1ADC2L; the right ones are one bit lower, or next
            if not (self.field(0x004, enable) and self.field(0x004, enable - 6) and self.field(mixer, 1)):
                continue
            steps = self._volumes[volume]
            if not steps:
                continue  # mute
            gain = 10 ** (0.375 * (min(steps, 0xEF) - _UNITY) / 20)
            sound = np.clip(np.round(microphones[:, side] * gain), -32768, 32767).astype(np.int64)
            words = sound << self.word_bits - 16
            start = side * bit_clocks // 2 + self.word_bits + delay
            bits[:, (start + places) % bit_clocks] = words[:, None] >> places[::-1] & 1
        return bits

"""I2C as master, with the codec at its other end."""

import pytest
from codec_bus import CODEC, I2C3, TIMING_100_KHZ, CodecBus

from kwslib.machine import BoardError

ID_REGISTER = [0, 0]


def test_codec_tells_its_number_and_keeps_what_is_written():
    bus = CodecBus()
    assert bus.transfer(ID_REGISTER, 2) == b"\x89\x94"
    assert bus.transfer([0x03, 0x00], 2) == b"\x40\x50"  # as after reset
    bus.set_codec({0x300: 0x4010})
    assert bus.transfer([0x03, 0x00], 2) == b"\x40\x10"
    bus.set_codec({0x000: 0})  # reset
    assert bus.transfer([0x03, 0x00], 2) == b"\x40\x50"


def test_registers_that_follow_each_other_in_one_transfer():
    bus = CodecBus()
    assert bus.transfer([0x04, 0x04, 0x01, 0xC8, 0x01, 0xD0]) == b""
    assert bus.codec.values[0x404] == 0x1C8 and bus.codec.values[0x405] == 0x1D0
    assert bus.transfer([0x04, 0x04], 4) == b"\x01\xc8\x01\xd0"


def test_bytes_take_their_time():
    bus = CodecBus()
    clock_hz = bus.machine.peripheral("I2C3").clock_hz
    assert clock_hz == pytest.approx(16e6 / 3 / 60)
    before = bus.machine.time_s
    bus.set_codec({0x300: 0x4010})
    assert 5 * 9 / clock_hz < bus.machine.time_s - before < 5 * 9 / clock_hz + 300e-6


@pytest.mark.parametrize("wrong", ["address", "absent", "too fast", "pins"])
def test_nobody_answers(wrong):
    timing = 1 << 8 | 1 if wrong == "too fast" else TIMING_100_KHZ | 2 << 28
    bus = CodecBus(timing, pins=wrong != "pins")
    bus.codec.answers = wrong != "absent"
    assert bus.transfer(ID_REGISTER, 2, CODEC + (wrong == "address")) is None
    expected = {"pins": "set PH7 to alternate function 4", "too fast": "runs at 4000 kHz, its device follows 410 kHz"}
    assert len(bus.machine.notes) == (wrong in expected) and expected.get(wrong, "") in "".join(bus.machine.notes)


def test_mistakes():
    bus = CodecBus()
    bus[I2C3] = 0
    with pytest.raises(BoardError, match="I2C3_CR2: START is set while PE of CR1 is clear"):
        bus.transfer(ID_REGISTER)
    with pytest.raises(BoardError, match="I2C3_TIMINGR: is 0"):
        CodecBus(timing=0).transfer(ID_REGISTER)

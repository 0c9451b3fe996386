"""The codec on the serial audio interface: right settings give the sound, each wrong one none or a wrong one."""

import numpy as np
import pytest
from codec_bus import BUFFER, SAI, SETTINGS, CodecBus

LEFT = (np.arange(600) * 53 - 16000).astype(np.int16)
SOUND = np.stack([LEFT, -LEFT // 2], axis=1)


def record(settings=SETTINGS, sai=SAI, **options):
    """First 100 frames, [100, slots], and the notes of the board."""
    bus = CodecBus()
    bus.machine.audio = SOUND, 16_000
    bus.set_codec(settings)
    bus.start_sai(sai, **options)
    bus.wait(260 / 16_000)
    words = np.frombuffer(bus.machine.read(BUFFER, 400), "<i2").reshape(-1, 2)
    return words, bus.machine.notes, bus


def test_both_microphones_are_heard_bit_by_bit():
    words, notes, bus = record()
    assert np.array_equal(words, SOUND[:100]) and not notes
    assert bus.machine.peripheral("SAI2").sample_rate_hz("B") == pytest.approx(16_000.6, abs=0.05)


SILENT = {
    "bias": ({0x001: 0x0010}, "VMID or the bias"),
    "microphone supply": ({0x001: 0x0003}, "MICBIAS1 is off"),
    "clock": ({0x200: 0x0000}, "AIF1CLK is off"),
    "DSP clock": ({0x208: 0x0002}, "a DSP clock is off"),
    "rate": ({0x210: 0x0083}, "48000 Hz"),
    "ratio": ({0x210: 0x0035}, "MCLK is not 512 times"),
    "master": ({0x302: 0x4000}, "AIF1 is master"),
    "format": ({0x300: 0x4018}, "format"),
    "words too long": ({0x300: 0x4070}, "too short"),
    "converter": ({0x004: 0x0C00}, None),
    "time slot": ({0x004: 0x0330}, None),
    "mixer": ({0x606: 0, 0x607: 0}, None),
    "mute": ({0x404: 0x0000, 0x405: 0x0100}, None),
}


@pytest.mark.parametrize("name", SILENT)
def test_a_wrong_codec_register_gives_silence(name):
    change, note = SILENT[name]
    words, notes, _ = record(SETTINGS | change)
    assert not words.any()
    assert any(note in text for text in notes) if note else not notes


SAI_SILENT = {
    "edge": ({"BCR1": SAI["BCR1"] & ~(1 << 9)}, "CKSTR"),
    "not synchronous": ({"BCR1": SAI["BCR1"] & ~(3 << 10)}, None),
    "frame signal": ({"AFRCR": 0x0004013F, "BFRCR": 0x0004013F}, "FSDEF"),
    "frames differ": ({"AFRCR": 0x00051F1F}, "differs"),
    "slots of the other time slot": ({"BSLOTR": 0x00050300}, None),
}


@pytest.mark.parametrize("name", SAI_SILENT)
def test_a_wrong_register_of_the_sai_gives_silence(name):
    change, note = SAI_SILENT[name]
    words, notes, _ = record(sai=SAI | change)
    assert not words.any()
    assert note is None or any(note in text for text in notes)


def test_wrong_formats_give_wrong_samples():
    late, *_ = record(SETTINGS | {0x300: 0x4008})  # left-justified: a bit early for this receiver
    assert np.array_equal(late[:, 0], (LEFT[:100].astype(np.int32) << 1).astype(np.int16))
    swapped, *_ = record(sai=SAI | {name: SAI[name] | 1 << 17 for name in ("AFRCR", "BFRCR")})
    assert np.array_equal(swapped, SOUND[:100, ::-1])
    longer, *_ = record(SETTINGS | {0x300: 0x4030}, sai=SAI | {"AFRCR": 0x0005274F, "BFRCR": 0x0005274F})
    assert not np.array_equal(longer, SOUND[:100])


def test_pins_and_clock_of_another_frequency():
    words, notes, _ = record(pins=False)
    assert not words.any() and "PI4" in notes[0]
    words, notes, _ = record(plli2s=344 << 6 | 7 << 24)  # 24,000 Hz
    assert not words.any() and "16000 Hz (0x210), frames: 23996 Hz" in notes[0]


def test_volume_counts_from_the_update_bit_on():
    quiet, *_ = record(SETTINGS | {0x404: 0x00D0})
    assert np.array_equal(quiet, SOUND[:100])
    louder, *_ = record(SETTINGS | {0x404: 0x00D0, 0x405: 0x01C0})
    gain = 10 ** (16 * 0.375 / 20)
    assert np.array_equal(louder[:, 0], np.clip(np.round(LEFT[:100] * gain), -32768, 32767))
    assert np.array_equal(louder[:, 1], SOUND[:100, 1])

"""DMA streams and the serial audio interface: sound arrives at the rate of the clock tree."""

import numpy as np
import pytest
from board_firmware import Registers, machine

from kwslib.machine import BoardError

BUFFER = 0x20010000
SAI2, DMA2 = 0x40015C00, 0x40026400
SAI_B, STREAM7 = SAI2 + 0x24, DMA2 + 0x10 + 7 * 0x18
AUDIO_HZ = 16_000
# HSI / 16 * 258 / 7 / 9 give 4.0952 MHz, which is 256 times 15,997 Hz.
PLLI2S = 258 << 6 | 7 << 24 | 2 << 28
RATE_HZ = 258e6 / 7 / 9 / 256


@pytest.fixture
def registers():
    return Registers()


def start(registers, n_words=64, circular=True, slots=1, nodiv=False, plli2s=PLLI2S):
    """SAI2 block B as master receiver of 16-bit slots, with DMA2 stream 7 into BUFFER, and no codec."""
    registers.machine.peripheral("SAI2").codec = None
    registers[0x40023830] |= 1 << 22
    registers[0x40023844] |= 1 << 23
    registers[0x40023804] = 16 | 192 << 6
    registers[0x40023884] = plli2s
    registers[0x4002388C] = 8 | 1 << 22
    registers[0x40023800] |= 1 << 26
    registers.wait(1e-3)
    registers[STREAM7 + 4] = n_words
    registers[STREAM7 + 8], registers[STREAM7 + 12] = SAI_B + 0x1C, BUFFER
    registers[STREAM7] = 1 << 13 | 1 << 11 | 1 << 10 | circular << 8 | 3 << 3 | 1
    registers[SAI_B + 8] = 31 | 16 << 8
    registers[SAI_B + 12] = (1 << slots) - 1 << 16 | slots - 1 << 8
    registers[SAI_B] = 1 | 4 << 5 | 1 << 17 | nodiv << 19
    registers[SAI_B] |= 1 << 16
    return registers.machine


def samples(board, count):
    return np.frombuffer(board.read(BUFFER, 2 * count), "<i2")


def test_sound_arrives_at_the_rate_of_the_pll(registers):
    sound = (np.arange(4000) - 2000).astype(np.int16)
    board = registers.machine
    board.audio = (sound, RATE_HZ)
    start(registers)
    assert board.peripheral("SAI2").sample_rate_hz("B") == pytest.approx(15_997, abs=0.5)
    registers.wait(31.5 / RATE_HZ)
    assert registers[DMA2 + 4] == 0 and registers[STREAM7 + 4] == 33
    registers.wait(1 / RATE_HZ)
    assert registers[DMA2 + 4] == 1 << 26  # half of stream 7
    assert np.array_equal(samples(board, 32), sound[:32])
    registers[DMA2 + 12] = 1 << 26
    registers.wait(32 / RATE_HZ)
    assert registers[DMA2 + 4] == 1 << 27 and np.array_equal(samples(board, 64), sound[:64])
    registers[DMA2 + 12] = 1 << 27
    registers.wait(32 / RATE_HZ)  # circular: the first half again
    assert np.array_equal(samples(board, 32), sound[64:96])


def test_a_wrong_pll_gives_a_wrong_rate(registers):
    """Twice the clock hears a sound half as fast."""
    board = registers.machine
    board.audio = (np.arange(1000, dtype=np.int16), RATE_HZ)
    start(registers, plli2s=129 << 6 | 7 << 24 | 2 << 28)
    assert board.peripheral("SAI2").sample_rate_hz("B") == pytest.approx(RATE_HZ / 2)
    registers.wait(33 / (RATE_HZ / 2))
    assert np.array_equal(samples(board, 32), np.arange(0, 64, 2))


def test_without_a_clock_nothing_arrives(registers):
    board = registers.machine
    board.audio = (np.ones(1000, np.int16), AUDIO_HZ)
    start(registers)
    registers[SAI_B] &= ~(1 << 16)
    before = registers[STREAM7 + 4]
    registers.wait(0.01)
    assert registers[STREAM7 + 4] == before


def test_channels_go_to_slots(registers):
    left, right = np.arange(100), -np.arange(100)
    board = registers.machine
    board.audio = (np.stack([left, right], axis=1).astype(np.int16), RATE_HZ)
    start(registers, slots=2)
    registers.wait(33 / RATE_HZ)
    assert np.array_equal(samples(board, 8), [0, 0, 1, -1, 2, -2, 3, -3])


def test_a_transfer_that_is_not_circular_ends(registers):
    board = registers.machine
    board.audio = (np.arange(1000, dtype=np.int16), RATE_HZ)
    start(registers, circular=False)
    registers.wait(70 / RATE_HZ)
    assert not registers[STREAM7] & 1 and registers[STREAM7 + 4] == 0
    assert registers[DMA2 + 4] == 3 << 26
    assert registers[SAI_B + 0x14] & 8  # words wait in the FIFO
    registers.wait(10 / RATE_HZ)
    assert registers[SAI_B + 0x14] & 1  # and then are lost
    first = registers[SAI_B + 0x1C]
    assert first in (64, 65)


def test_a_slave_follows_the_other_block(registers):
    board = start(registers)
    registers[SAI_B] &= ~(1 << 16)
    registers[SAI_B] = 3 | 4 << 5 | 1 << 10 | 1 << 17
    registers[SAI_B] |= 1 << 16
    assert board.peripheral("SAI2").sample_rate_hz("B") == 0
    registers[SAI2 + 4] = 4 << 5  # block A: master transmitter
    registers[SAI2 + 4] |= 1 << 16
    assert board.peripheral("SAI2").sample_rate_hz("B") == pytest.approx(RATE_HZ)


def test_mistakes(registers):
    with pytest.raises(BoardError, match="SAI2_BCR1 is used without its clock: set bit 23 of RCC_APB2ENR"):
        registers[SAI_B] = 1
    registers[0x40023844] |= 1 << 23
    with pytest.raises(BoardError, match="SAI2_BSLOTR: no slot is active"):
        registers[SAI_B] = 1 | 1 << 16
    registers[0x40023830] |= 1 << 22
    with pytest.raises(BoardError, match="DMA2_S7NDTR: is 0 when the stream is enabled"):
        registers[STREAM7] = 1
    with pytest.raises(BoardError, match="DMA2_S7CR bit 6 is not modelled"):
        registers[STREAM7] = 1 << 6


FIRMWARE = """
__attribute__((section(".sram"))) int16_t buffer[256];
volatile uint32_t halves; volatile int32_t sums[64];
static void add(const int16_t *from) {
  int32_t sum = 0;
  for (int i = 0; i < 128; i++) sum += from[i];
  sums[halves++] = sum;
}
void IRQ70_Handler(void) {
  uint32_t flags = REG(0x40026404);
  REG(0x4002640C) = flags;
  add(flags & 1u << 26 ? buffer : buffer + 128);
}
int main(void) {
  REG(0xE000ED14) |= %s;
  REG(0x40023830) |= 1 << 22; REG(0x40023844) |= 1 << 23;
  REG(0x40023804) = 16 | 192 << 6; REG(0x40023884) = 258 << 6 | 7 << 24 | 2 << 28; REG(0x4002388C) = 8 | 1 << 22;
  REG(0x40023800) |= 1 << 26; while (!(REG(0x40023800) & 1 << 27)) {}
  REG(0x400264BC) = 256; REG(0x400264C0) = 0x40015C40; REG(0x400264C4) = (uint32_t)buffer;
  REG(0x400264B8) = 1 << 13 | 1 << 11 | 1 << 10 | 1 << 8 | 3 << 3 | 1;
  REG(0xE000E108) = 1 << 6;
  REG(0x40015C30) = 1 << 16; REG(0x40015C24) = 1 | 4 << 5 | 1 << 17; REG(0x40015C24) |= 1 << 16;
  for (;;) __asm volatile("wfi");
}
"""


@pytest.mark.parametrize("recorder", [True, False])
def test_a_firmware_hears_every_sample_once(recorder):
    board = machine(FIRMWARE % "0", recorder)
    board.peripheral("SAI2").codec = None
    sound = np.random.default_rng(1).integers(-3000, 3000, 20 * 128).astype(np.int16)
    board.audio = (sound, RATE_HZ)
    assert board.run() == "audio"
    halves = board.word(board.symbol("halves"))
    assert halves >= 20
    sums = np.frombuffer(board.read("sums", 4 * 20), "<i4")
    assert np.array_equal(sums, sound.reshape(20, 128).sum(axis=1, dtype=np.int32))
    assert board.time_s == pytest.approx(len(sound) / RATE_HZ + 0.1, abs=0.01)


@pytest.mark.parametrize("caches, noted", [("0", False), ("1 << 16", True)])
def test_a_cached_buffer_that_is_never_invalidated_is_noted(caches, noted):
    board = machine(FIRMWARE % caches)
    board.audio = (np.ones(128 * 8, np.int16), RATE_HZ)
    board.run()
    assert any("fills cached memory" in note for note in board.notes) == noted

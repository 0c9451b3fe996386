"""SysTick, cycle counter, cache and MPU settings, and system reset."""

import itertools
import struct

import pytest
from board_firmware import Registers, machine

from kwslib.machine import BoardError

CTRL, LOAD, VAL = 0xE000E010, 0xE000E014, 0xE000E018
AIRCR, CCR, CPUID, CCSIDR, CSSELR = 0xE000ED0C, 0xE000ED14, 0xE000ED00, 0xE000ED80, 0xE000ED84
MMFAR = 0xE000ED34
MPU_TYPE, MPU_CTRL, RNR, RBAR, RASR = 0xE000ED90, 0xE000ED94, 0xE000ED98, 0xE000ED9C, 0xE000EDA0
DEMCR, DWT_CTRL, CYCCNT, LAR, LSR = 0xE000EDFC, 0xE0001000, 0xE0001004, 0xE0001FB0, 0xE0001FB4
SRAM, SRAM_END, FLASH = 0x20010000, 0x20050000, 0x08000000


@pytest.fixture
def registers():
    return Registers()


@pytest.fixture
def memory(registers, monkeypatch):
    """What the recorder is told about memory, the last time."""
    told = {}
    monkeypatch.setattr(registers.machine.recorder, "set_memory", lambda **settings: told.update(settings))
    return told


def test_systick_counts_down_and_wraps(registers):
    add = registers.machine.recorder.add_cycles
    registers[LOAD], registers[VAL], registers[CTRL] = 999, 5, 5
    add(10)
    assert registers[VAL] == 990
    add(989)
    assert registers[VAL] == 1 and not registers[CTRL] >> 16 & 1
    add(1)
    assert registers[VAL] == 0
    assert registers[CTRL] >> 16 & 1 and not registers[CTRL] >> 16 & 1  # reading clears the flag
    add(1)
    assert registers[VAL] == 999
    add(2500)
    assert registers[VAL] == 499 and registers[CTRL] >> 16 & 1
    registers[VAL] = 1  # any write clears counter and flag
    assert registers[VAL] in (0, 1000) and not registers[CTRL] >> 16 & 1
    add(1)
    assert registers[VAL] == 999


def test_systick_stops_and_goes_on(registers):
    add = registers.machine.recorder.add_cycles
    registers[LOAD], registers[VAL], registers[CTRL] = 999, 0, 5
    add(400)
    registers[CTRL] = 4
    add(400)
    assert registers[VAL] == 600
    registers[CTRL] = 5
    add(100)
    assert registers[VAL] == 500


def test_systick_with_an_eighth_of_the_clock(registers):
    registers[LOAD], registers[VAL], registers[CTRL] = 999, 0, 1
    registers.machine.recorder.add_cycles(80)
    assert registers[VAL] == 990


def test_systick_interrupts_come_at_their_rate():
    board = machine("""
      volatile uint32_t ticks, at[5];
      void SysTick_Handler(void) { at[ticks++] = REG(0xE0001004); }
      int main(void) {
        REG(0xE000EDFC) |= 1 << 24; REG(0xE0001FB0) = 0xC5ACCE55; REG(0xE0001000) |= 1;
        REG(0xE000E014) = 5000 - 1; REG(0xE000E018) = 0; REG(0xE000E010) = 7;
        volatile uint32_t work = 0;
        while (ticks < 5) work++;
        leave(0);
      }""")
    assert board.run() == "exit"
    at = struct.unpack("<5I", board.read("at", 20))
    assert all(abs(later - earlier - 5000) < 60 for earlier, later in itertools.pairwise(at))


def test_the_mpu_refuses_no_access_and_keeps_no_address(registers):
    registers[MMFAR] = 0x20000000
    assert registers[MMFAR] == 0


def test_the_cycle_counter_needs_its_lock_opened(registers):
    board = registers.machine
    registers[DEMCR] = 1 << 24
    registers[DWT_CTRL] = 1
    board.recorder.add_cycles(100)
    assert registers[CYCCNT] == 0 and registers[LSR] == 3
    assert board.notes == ["DWT_CTRL was written while locked, without effect: write 0xc5acce55 to LAR"]
    registers[LAR] = 0xC5ACCE55
    registers[CYCCNT] = 5
    registers[DWT_CTRL] |= 1
    board.recorder.add_cycles(100)
    assert registers[CYCCNT] == 105 and registers[LSR] == 1
    registers[DWT_CTRL] &= ~1
    board.recorder.add_cycles(100)
    assert registers[CYCCNT] == 105
    registers[CYCCNT] = 0xFFFFFFFF
    registers[DWT_CTRL] |= 1
    board.recorder.add_cycles(2)
    assert registers[CYCCNT] == 1


def test_the_cycle_counter_needs_trace_enabled(registers):
    registers[LAR] = 0xC5ACCE55
    registers[DWT_CTRL] = 1
    registers.machine.recorder.add_cycles(100)
    assert registers[CYCCNT] == 0 and "without TRCENA" in registers.machine.notes[0]


def test_a_firmware_reads_its_own_cycles():
    board = machine("""
      volatile uint32_t cycles;
      int main(void) {
        REG(0xE000ED14) |= 1 << 17;
        REG(0xE000EDFC) |= 1 << 24; REG(0xE0001FB0) = 0xC5ACCE55; REG(0xE0001000) |= 1;
        uint32_t start = REG(0xE0001004);
        __asm volatile("movw r0, #10000\\n 1: subs r0, #1\\n bne 1b" ::: "r0", "cc");
        cycles = REG(0xE0001004) - start;
        leave(0);
      }""")
    board.run()
    assert 10_000 <= board.word(board.symbol("cycles")) <= 21_000  # one to two cycles a round


def test_identification(registers):
    assert registers[CPUID] >> 4 & 0xFFF == 0xC27  # Cortex-M7
    sizes = []
    for level in (0, 1):  # data, instruction
        registers[CSSELR] = level
        value = registers[CCSIDR]
        sizes.append(((value >> 13 & 0x7FFF) + 1) * ((value >> 3 & 0x3FF) + 1) * (4 << (value & 7) + 2))
    assert sizes == [4096, 4096]
    assert registers[0xE000E004] == 3  # 98 interrupts


@pytest.mark.parametrize("bits, icache, dcache", [(0, False, False), (1 << 17, True, False), (3 << 16, True, True)])
def test_the_recorder_knows_the_caches(registers, memory, bits, icache, dcache):
    registers[CCR] |= bits
    assert (memory["icache"], memory["dcache"], memory["uncached"]) == (icache, dcache, [])
    registers[0x40023C00] = 1 << 9
    assert memory["art"]


def region(registers, number, base, size, attributes, subregions=0):
    registers[RNR] = number
    registers[RBAR] = base
    registers[RASR] = attributes | subregions << 8 | (size.bit_length() - 2) << 1 | 1


NORMAL_CACHED, NORMAL_UNCACHED, DEVICE, SHARED = 1 << 19 | 3 << 16, 1 << 19, 1 << 16, 1 << 19 | 7 << 16


@pytest.mark.parametrize("attributes, cached", [(NORMAL_CACHED, True), (NORMAL_UNCACHED, False), (DEVICE, False)])
def test_attributes_of_mpu_regions(registers, memory, attributes, cached):
    region(registers, 0, SRAM, 0x4000, attributes)
    assert memory["uncached"] == []
    registers[MPU_CTRL] = 5
    assert memory["uncached"] == ([] if cached else [(SRAM, SRAM + 0x4000)])


def test_shareable_memory_is_not_cached(registers, memory):
    registers[MPU_CTRL] = 5
    region(registers, 3, SRAM, 0x8000, SHARED)
    assert memory["uncached"] == [(SRAM, SRAM + 0x8000)]


def test_the_region_with_the_highest_number_counts(registers, memory):
    registers[MPU_CTRL] = 5
    region(registers, 0, SRAM, 0x10000, NORMAL_UNCACHED)
    region(registers, 1, SRAM + 0x4000, 0x4000, NORMAL_CACHED)
    assert memory["uncached"] == [(SRAM, SRAM + 0x4000), (SRAM + 0x8000, SRAM + 0x10000)]
    assert registers[RBAR] == SRAM + 0x4000 | 1


def test_subregions_can_be_left_out(registers, memory):
    registers[MPU_CTRL] = 5
    region(registers, 0, SRAM, 0x10000, NORMAL_UNCACHED, subregions=0b11110000)
    assert memory["uncached"] == [(SRAM, SRAM + 0x8000)]


def test_the_background_region_that_stops_speculation_leaves_sram_cached(registers, memory):
    """4 GB without the sub-regions of code, SRAM and peripherals: AN4838 section 5.3."""
    registers[MPU_CTRL] = 5
    region(registers, 0, 0, 1 << 32, NORMAL_UNCACHED, subregions=0x87)
    assert memory["uncached"] == []


def test_regions_by_their_aliases(registers, memory):
    registers[MPU_CTRL] = 5
    registers[RBAR + 8] = FLASH | 1 << 4 | 2  # VALID, region 2
    registers[RASR + 8] = NORMAL_UNCACHED | 19 << 1 | 1
    assert registers[RNR] == 2 and memory["uncached"] == [(FLASH, FLASH + 0x100000)]
    assert registers[MPU_TYPE] == 8 << 8
    registers[RNR] = 8
    with pytest.raises(BoardError, match="MPU_RNR: region 8: the core has 8"):
        registers[RBAR] = 0


def test_reset_by_the_firmware_ends_the_run():
    board = machine("int main(void) { REG(0xE000ED0C) = 4; REG(0xE000ED0C) = 0x05FA0004; for (;;) {} }")
    assert board.run() == "reset" and board.detail == "system reset by SCB_AIRCR"


def test_bytes_of_status_registers_clear_only_their_own_flags(registers):
    board = registers.machine
    board.exceptions.cfsr = 0x00010101
    board.bus.write(0xE000ED29, 1, 0xFF)  # BFSR
    assert registers[0xE000ED28] == 0x00010001


def test_pending_bits_of_icsr(registers):
    registers[0xE000ED04] = 1 << 28 | 1 << 26
    assert registers[0xE000ED04] >> 26 & 5 == 5
    registers[0xE000ED04] = 1 << 27 | 1 << 25
    assert not registers[0xE000ED04] >> 26 & 5
    registers[0xE000E200 + 8] = 1 << 1  # IRQ 65 pending, not enabled
    assert registers[0xE000ED04] >> 22 & 1 and registers[0xE000ED04] >> 12 & 0x1FF == 0
    registers[0xE000E100 + 8] = 1 << 1
    assert registers[0xE000ED04] >> 12 & 0x1FF == 16 + 65


def test_cache_maintenance_is_accepted(registers):
    for offset in (0xF50, 0xF58, 0xF5C, 0xF60, 0xF6C, 0xF70, 0xF74, 0xF78):
        registers[0xE000E000 + offset] = 0x20010020
    assert registers.machine.peripheral("SCB").invalidated == {0x20010020 >> 5}

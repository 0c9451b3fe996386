"""The firmware that would be flashed, on the emulated board: clocks, report, LED, watchdog, faults."""

import re
import struct

import pytest
from firmware_tree import FirmwareTree

from kwslib import board, toolchain
from kwslib.machine import BoardError, Firmware, Machine

MHZ = 1_000_000
# Python writes `choice` once main is reached.
TROUBLE = """
#include "board.h"
#include "stm32f746.h"

volatile uint32_t choice;
void unmapped(void);
int deep(int n);

__attribute__((noinline)) void unmapped(void) { *(volatile uint32_t *)0x60000000; }
__attribute__((noinline)) int deep(int n) { volatile int room[64]; room[n % 64] = n; return deep(n + 1) + room[3]; }

int main(void)
{
    if (choice != 1) {
        board_init();
    }
    switch (choice) {
    case 0: __asm volatile("udf #0"); break;
    case 1: __asm volatile("udf #0"); break; /* before the serial port is set up */
    case 2: unmapped(); break;
    case 3: deep(0); break;
    case 4: ((void (*)(void))0x08000100)(); break; /* bit 0 is clear */
    case 5: *(volatile uint32_t *)0xE000E100 = 1u << 28; *(volatile uint32_t *)0xE000E200 = 1u << 28; break; /* TIM2 */
    case 7: *(volatile uint32_t *)0x20060000; break; /* behind the last memory */
    case 6: watchdog_start(); for (;;) { }
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def elf():
    """The application."""
    return toolchain.build("stm32f746g-disco") / "kws.elf"


@pytest.fixture(scope="module")
def trouble(tmp_path_factory):
    """Firmware that does what its variable `choice` says; returns `run(choice) -> Machine, reason`."""
    with pytest.MonkeyPatch.context() as patch:
        firmware = Firmware.load(FirmwareTree(tmp_path_factory.mktemp("trouble"), patch).build(TROUBLE) / "kws.elf")

    def run(choice):
        machine = Machine(firmware)
        machine.run(until="main")
        machine.write("choice", bytes([choice, 0, 0, 0]))
        return machine, machine.run(seconds=3)

    return run


def test_report_of_the_application(elf):
    machine = Machine(Firmware.load(elf))
    assert machine.run(seconds=2.2) == "seconds" and machine.notes == [] and machine.faults == []
    clocks = machine.clocks()
    assert {name: clocks[name] / MHZ for name in ("sysclk", "hclk", "pclk1", "pclk2", "usart1", "clk48")} == {
        **{"sysclk": 216, "hclk": 216, "pclk1": 54},
        **{"pclk2": 108, "usart1": 108, "clk48": 48},
    }
    assert machine.peripheral("MPU").uncached([(0x20010000, 0x20050000)]) == [(0x2004C000, 0x20050000)]  # SRAM2
    text = machine.uart.decode("ascii")
    assert text.startswith("\r\nkeyword spotting on the STM32F746G-Discovery, revision ")
    assert "core 216000000 Hz, APB1 54000000 Hz, APB2 108000000 Hz; I-cache on, D-cache on, ART on\r\n" in text
    assert "last reset: power-on\r\n" in text
    assert "front end paper: 30 columns of 40 values, a hop of 512 samples lasts 32.000 ms\r\n" in text
    mean, longest, ms = re.search(r"cycles for a hop: mean (\d+), longest (\d+) \(([\d.]+) ms\)", text).groups()
    assert 10_000 < int(mean) <= int(longest) <= 60_000 and float(ms) == int(longest) // 216 / 1000
    assert 100 < int(re.search(r"stack: (\d+) bytes", text)[1]) < 4096
    # The LED changes every half second, beginning with "on".
    changes = [(seconds, level) for seconds, pin, level in machine.peripheral("GPIOI").changes if pin == 1]
    assert [level for _, level in changes] == [1, 0, 1, 0, 1][: len(changes)] and len(changes) >= 4
    assert changes[2][0] - changes[0][0] == pytest.approx(1.0, abs=0.002)


def test_button_and_serial_port_repeat_the_report(elf):
    machine = Machine(Firmware.load(elf))
    machine.run(seconds=0.3)
    once = machine.uart.decode().count("checksum of the features")
    machine.peripheral("GPIOI").drive(11, 1)
    machine.run(seconds=0.2)
    machine.uart_input(b"r")
    machine.run(seconds=0.2)
    sums = re.findall(r"checksum of the features (0x\w{8})", machine.uart.decode())
    assert once == 1 and len(sums) == 3 and len(set(sums)) == 1  # held down, the button counts once


@pytest.mark.parametrize("choice", [0, 1])
def test_a_fault_prints_its_registers(trouble, choice):
    machine, reason = trouble(choice)
    text = machine.uart.decode()
    assert "*** " + ("HardFault" if choice else "UsageFault") + ", undefined instruction" in text
    assert f"cfsr 0x00010000 hfsr {'0x40000000' if choice else '0x00000000'}" in text
    pc = int(re.search(r" pc (0x\w+) xpsr 0x\w+\r\ncfsr", text)[1], 16)
    assert machine.firmware.function(pc) == "main" and text.endswith("stopped\r\n")
    assert reason == "fault" and "main" in machine.detail


def test_an_access_to_no_memory_is_told_with_its_address(trouble):
    with pytest.raises(BoardError, match=r"0x60000000.*unmapped"):
        trouble(2)


def test_a_stack_overflow_does_not_pass_unnoticed(trouble):
    with pytest.raises(BoardError, match=r"stack overflow.*deep"):
        trouble(3)


def test_a_jump_to_an_even_address_is_a_usage_fault(trouble):
    assert "*** UsageFault, jump to an even address" in trouble(4)[0].uart.decode()


def test_an_access_behind_the_memory_is_a_bus_fault(trouble):
    text = trouble(7)[0].uart.decode()
    assert "*** BusFault, data access to where no memory is" in text and " bfar 0x20060000 " in text


def test_an_interrupt_without_a_handler_is_named(trouble):
    assert "*** no handler for interrupt 28\r\n" in trouble(5)[0].uart.decode()


def test_a_starved_watchdog_resets(trouble):
    machine, reason = trouble(6)
    assert reason == "reset" and "watchdog" in machine.detail
    assert machine.time_s == pytest.approx(1.0, abs=0.02)  # 1001 ticks of 1 ms at a typical LSI


def test_caches_that_are_off_are_noted(elf, tmp_path, monkeypatch):
    program = """
        #include "board.h"
        #include "stm32f746.h"
        int main(void)
        {
            clock_init();
            SCB->CCR &= ~(SCB_CCR_IC | SCB_CCR_DC);
            for (uint32_t n = 0; n < 10000; n++) {
                *(volatile uint32_t *)(0x08000000u + n % 256 * 4); /* constants in flash */
            }
            return 0;
        }
    """
    folder = FirmwareTree(tmp_path, monkeypatch).build(program)
    notes = " ".join(board.run(folder / "kws.elf").notes)
    assert "D-cache is off" in notes and "I-cache is off" in notes
    assert "cache is off" not in " ".join(board.run(elf, seconds=0.1).notes)


def test_reset_fills_and_clears_memory(tmp_path, monkeypatch):
    program = """
        #include "board.h"
        IN_SRAM1 int32_t large[100];
        IN_DMA_MEMORY int16_t buffer[100];
        int32_t cleared[100], filled[3] = {5, 6, 7}, product;
        IN_ITCM int32_t hot(int32_t x);
        IN_ITCM int32_t hot(int32_t x) { return x * filled[2]; }
        int main(void) { product = hot(6 + large[7] + buffer[7] + cleared[7]); return 0; }
    """
    machine = Machine(Firmware.load(FirmwareTree(tmp_path, monkeypatch).build(program) / "kws.elf"))
    for address, n_bytes in ((0x20000000, 0x50000), (0x20, 0x4000 - 0x20)):
        machine.write(address, b"\xa5" * n_bytes)  # as random as memory is after power-on
    assert machine.run(until="main") == "until"
    for name, n_bytes in (("large", 400), ("buffer", 200), ("cleared", 400)):
        assert machine.read(name, n_bytes) == bytes(n_bytes), name
    assert machine.run(seconds=0.01) == "idle" and "reset_handler" in machine.detail
    assert struct.unpack("<3i", machine.read("filled", 12)) == (5, 6, 7) and machine.symbol("hot") & ~1 == 0x20
    assert struct.unpack("<i", machine.read("product", 4)) == (42,)


def test_bench_answers_through_its_symbols():
    machine = Machine(Firmware.load(toolchain.build("bench") / "bench_frontend_paper.elf"))
    columns = []
    for number in range(3):
        assert machine.run(until="bench_ready") == "until"
        machine.write("bench_starts", bytes([number == 0, 0, 0, 0]))
        assert machine.run(until="bench_done") == "until"
        columns.append(machine.read("bench_column", 40 * 4))
    assert columns[0] == columns[1] == columns[2] != bytes(160)  # silence is the same in every hop
    assert 10_000 < int.from_bytes(machine.read("bench_push_cycles", 4), "little") < 60_000

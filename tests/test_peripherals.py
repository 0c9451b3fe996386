"""GPIO, serial port, timers and watchdog, by registers and with firmware."""

import struct

import pytest
from board_firmware import Registers, machine

from kwslib.machine import BoardError
from kwslib.peripherals import BUTTON, LED

AHB1ENR, APB1ENR, APB2ENR = 0x40023830, 0x40023840, 0x40023844
GPIOI, TIM2 = 0x40022000, 0x40000000


@pytest.fixture
def registers():
    return Registers()


def test_led_and_button(registers):
    board = registers.machine
    registers[AHB1ENR] |= 1 << 8
    gpio = board.peripheral("GPIO" + LED[0])
    registers[GPIOI] = 1 << 2 * LED[1]
    registers.wait(0.001)
    registers[GPIOI + 0x18] = 1 << LED[1]
    assert registers[GPIOI + 0x14] == 1 << LED[1] and registers[GPIOI + 0x10] == 1 << LED[1]
    registers.wait(0.001)
    registers[GPIOI + 0x18] = 1 << LED[1] + 16
    assert [(pin, level) for _, pin, level in gpio.changes] == [(1, 1), (1, 0)]
    assert gpio.changes[1][0] - gpio.changes[0][0] == pytest.approx(0.001)
    gpio.drive(BUTTON[1], 1)
    assert registers[GPIOI + 0x10] == 1 << BUTTON[1]
    gpio.drive(BUTTON[1], 0)
    assert registers[GPIOI + 0x10] == 0
    registers[GPIOI + 0x0C] = 1 << 2 * 5  # pull-up of an open input
    assert registers[GPIOI + 0x10] == 1 << 5


def test_the_button_raises_an_interrupt():
    board = machine("""
      volatile uint32_t presses;
      void EXTI15_10_IRQHandler(void) { REG(0x40013C14) = 1 << 11; presses++; }
      int main(void) {
        REG(0x40023830) |= 1 << 8; REG(0x40023844) |= 1 << 14;
        REG(0x40013810) = 8 << 12;                    /* EXTI11: port I */
        REG(0x40013C08) = 1 << 11; REG(0x40013C00) = 1 << 11; REG(0xE000E104) = 1 << 8;
        for (;;) __asm volatile("wfi");
      }""")
    assert board.run() == "idle"
    button = board.peripheral("GPIO" + BUTTON[0])
    for level in (1, 0, 1, 1, 0):
        button.drive(BUTTON[1], level)
        assert board.run() == "idle"
    assert board.word(board.symbol("presses")) == 2  # rising edges
    board.peripheral("GPIOA").drive(BUTTON[1], 1)  # the same pin of another port
    board.run()
    assert board.word(board.symbol("presses")) == 2


def test_interrupts_by_software(registers):
    registers[0x40013C00] = 1
    registers[0x40013C10] = 3
    assert registers[0x40013C14] == 1  # line 1 is masked
    assert registers[0xE000E200] == 1 << 6
    registers[0x40013C14] = 1
    assert (registers[0x40013C14], registers[0x40013C10], registers[0xE000E200]) == (0, 2, 0)


def test_reset_values_of_the_debug_pins(registers):
    registers[AHB1ENR] |= 3
    assert (registers[0x40020000], registers[0x40020400]) == (0xA8000000, 0x280)
    assert registers.machine.peripheral("GPIOA").alternate(13) == 0
    assert registers.machine.peripheral("GPIOA").alternate(0) is None


def test_bits_of_registers_that_cannot_be_written_keep_their_value(registers):
    registers[AHB1ENR] |= 1
    registers[0x40020004] = 0xFFFFFFFF
    assert registers[0x40020004] == 0xFFFF
    registers[0x40020010] = 0xFFFF
    assert registers[0x40020010] & 0x7FFF == 0x2000  # the pull-up of PA13; PA15 in bit 15


def test_bytes_and_half_words(registers):
    registers[AHB1ENR] |= 1
    registers.machine.bus.write(0x40020015, 1, 0xAB)
    assert registers[0x40020014] == 0xAB00 and registers.machine.bus.read(0x40020015, 1) == 0xAB
    registers.machine.bus.write(0x40020014, 2, 0x1234)
    assert registers.machine.bus.read(0x40020014, 2) == 0x1234


# Serial port


@pytest.mark.parametrize("divider, baud", [(139, 16e6 / 139), (1667, 16e6 / 1667)])
def test_a_byte_takes_ten_bits_at_the_true_rate(divider, baud):
    text = "U" * 50
    source = 'int main(void) { serial_start(%d); serial_text("%s"); while (!(REG(0x4001101C) & 64)) {} leave(0); }'
    board = machine(source % (divider, text))
    board.run(until="main")
    start = board.time_s
    assert board.run() == "exit" and board.uart.decode() == text
    assert board.peripheral("USART1").baud == pytest.approx(baud)
    assert board.time_s - start == pytest.approx(50 * 10 / baud, rel=0.03)


@pytest.mark.parametrize("recorder", [True, False])
def test_output_arrives_however_the_run_ends(recorder):
    for end in ("leave(0);", "for (;;) {}", '__asm volatile("wfi");', "REG(0x30000000);"):
        source = f'int main(void) {{ serial_start(139); serial_text("the end"); {end} for (;;) {{}} }}'
        board = machine(source, recorder)
        board.run()
        assert bytes(board.uart) == b"the end", end


def test_oversampling_by_8_and_other_clocks():
    """USARTDIV is twice the ratio: RM0385 section 31.5.4; the kernel clock is HSI here."""
    board = machine("""int main(void) {
        clock_216_mhz(); REG(0x40023890) = 2; serial_start(8); REG(0x40011000) = 0;
        uint32_t div = 2 * 16000000 / 115200; REG(0x4001100C) = (div & 0xFFF0) | (div & 15) >> 1;
        REG(0x40011000) = 1 << 15 | 0xD; serial_text("x"); leave(0); }""")
    board.run()
    assert board.peripheral("USART1").baud == pytest.approx(115200, rel=0.01)


ECHO = """
static char next(void) { while (!(REG(0x4001101C) & 1u << 5)) {} return (char)REG(0x40011024); }
int main(void) { serial_start(139); for (char c = 0; c != '!';) serial_byte(c = next()); leave(0); }
"""


@pytest.mark.parametrize("recorder", [True, False])
def test_received_bytes_are_echoed(recorder):
    board = machine(ECHO, recorder)
    board.uart_input(b"hello, board!")
    assert board.run() == "exit" and bytes(board.uart) == b"hello, board!"


def test_reception_by_interrupt_wakes_the_core():
    board = machine("""
      volatile uint32_t n; char text[16];
      void USART1_IRQHandler(void) { text[n++] = (char)REG(0x40011024); }
      int main(void) {
        serial_start(139); REG(0x40011000) |= 1 << 5; REG(0xE000E104) = 1 << 5;
        while (n < 5) __asm volatile("wfi");
        leave(n);
      }""")
    board.uart_input(b"12345")
    board.run(until="main")
    start = board.time_s
    assert board.run() == "exit"
    assert board.exit_code == 5 and board.read("text", 5) == b"12345"
    assert board.time_s - start == pytest.approx(5 * 10 * 139 / 16e6, rel=0.06)


def test_transmission_by_interrupt():
    board = machine("""
      volatile uint32_t n; static const char text[] = "by interrupt";
      void USART1_IRQHandler(void) { if (text[n]) REG(0x40011028) = text[n++]; else REG(0x40011000) &= ~(1u << 7); }
      int main(void) {
        serial_start(139); REG(0xE000E104) = 1 << 5; REG(0x40011000) |= 1 << 7;
        for (;;) __asm volatile("wfi");
      }
      """)
    assert board.run() == "idle" and bytes(board.uart) == b"by interrupt"


def test_a_byte_that_is_not_read_in_time_is_lost():
    board = machine("""int main(void) { serial_start(139); while (!(REG(0x4001101C) & 8)) {}
      char first = (char)REG(0x40011024); REG(0x40011020) = 8; serial_byte(first); leave(REG(0x4001101C) & 8); }""")
    board.uart_input(b"ab")
    assert board.run() == "exit" and board.exit_code == 0 and bytes(board.uart) == b"a"
    assert board.notes == ["USART1 received a byte before the last one was read: it is lost (overrun)"]


@pytest.mark.parametrize(
    "code, note",
    [
        ("serial_start(139); REG(0x40020000) = 0xA8000000; serial_byte(65);", "set PA9 to alternate function 7"),
        ("serial_start(139); REG(0x40011000) = 1; serial_byte(65);", "while the transmitter is off"),
        ("serial_start(139); serial_byte(65); REG(0x40011028) = 66; REG(0x40011028) = 67;", "TXE is 0: a byte is lost"),
    ],
)
def test_mistakes_that_the_chip_passes_over_in_silence_are_noted(code, note):
    board = machine(f"int main(void) {{ {code} leave(0); }}")
    assert board.run() == "exit"
    assert any(note in text for text in board.notes)


def test_serial_port_errors():
    with pytest.raises(BoardError, match=r"USART1_BRR: divider 0 .* gives no baud rate; in main"):
        machine("int main(void) { serial_start(0); serial_byte(65); }").run()
    with pytest.raises(BoardError, match=r"USART1_BRR: written while UE is set"):
        machine("int main(void) { serial_start(139); REG(0x4001100C) = 5; }").run()


# Timers


def test_a_timer_counts_its_prescaled_clock(registers):
    registers[APB1ENR] |= 1
    registers[TIM2 + 0x28] = 15
    registers[TIM2 + 0x14] = 1  # take the prescaler over
    registers[TIM2] = 1
    registers.wait(0.001)
    assert registers[TIM2 + 0x24] == 1000
    registers[TIM2 + 0x24] = 5
    registers.wait(0.001)
    assert registers[TIM2 + 0x24] == 1005
    registers[TIM2] = 0
    registers.wait(0.001)
    assert registers[TIM2 + 0x24] == 1005


def test_a_timer_wraps_and_sets_its_flags(registers):
    registers[APB1ENR] |= 1
    registers[TIM2 + 0x2C], registers[TIM2 + 0x34], registers[TIM2] = 15_999, 8_000, 1
    registers.wait(0.0004)
    assert registers[TIM2 + 0x10] & 3 == 0
    registers.wait(0.0002)
    assert registers[TIM2 + 0x10] & 3 == 2
    registers[TIM2 + 0x10] = ~2 & 0xFFFFFFFF
    registers.wait(0.0005)
    assert registers[TIM2 + 0x10] & 3 == 1 and registers[TIM2 + 0x24] == pytest.approx(1600, abs=2)


def test_timer_interrupts():
    board = machine("""
      volatile uint32_t n;
      void TIM2_IRQHandler(void) { REG(0x40000010) = 0; n++; }
      int main(void) {
        REG(0x40023840) |= 1; REG(0x4000002C) = 1600 - 1; REG(0x4000000C) = 1; REG(0xE000E100) = 1 << 28;
        REG(0x40000000) = 1;
        while (n < 20) __asm volatile("wfi");
        leave(0);
      }""")
    assert board.run() == "exit" and board.time_s == pytest.approx(20 * 1e-4, rel=0.02)


# Watchdog

WATCHDOG = """
int main(void) {
  REG(0x40003000) = 0xCCCC; REG(0x40003000) = 0x5555; REG(0x40003004) = 1; REG(0x40003008) = 399;
  while (REG(0x4000300C)) {}
  REG(0x40003000) = 0xAAAA;
  REG(0xE000E014) = 320000 - 1; REG(0xE000E018) = 0; REG(0xE000E010) = 5; /* 20 ms */
  for (int i = 0; i < %d; i++) {
    while (!(REG(0xE000E010) & 1 << 16)) {}
    REG(0x40003000) = 0xAAAA;
  }
  for (;;) {}
}
"""


@pytest.mark.parametrize("feeds", [0, 10])
def test_the_watchdog_resets_a_chip_that_stops_feeding_it(feeds):
    """400 periods of 32 kHz / 8 are 100 ms."""
    board = machine(WATCHDOG % feeds)
    assert board.run(seconds=5) == "reset" and "watchdog" in board.detail
    assert board.time_s == pytest.approx(0.1 + 0.02 * feeds, rel=0.02)


FED = 0xAAAA
IWDG_KR, IWDG_PR, IWDG_RLR, IWDG_WINR = (0x40003000 + offset for offset in (0, 4, 8, 16))


def ends_after(board):
    """Seconds until the watchdog bites, with nothing else going on."""
    before = board.time_s
    while board.reason is None and board.skip_to_next_event():
        pass
    assert board.reason == "reset"
    return board.time_s - before


def test_new_settings_of_a_watchdog_feed_it_not(registers):
    """Of 4096 periods of 32 kHz / 4 a quarter is over when reload and prescaler change."""
    for key in (0xCCCC, 0x5555):
        registers[IWDG_KR] = key
    registers.wait(0.128)
    registers[IWDG_RLR] = 99
    registers[IWDG_PR] = 1
    assert ends_after(registers.machine) == pytest.approx(0.75 * 4096 * 8 / 32000, rel=1e-3)


@pytest.mark.parametrize("feed", [(IWDG_KR, FED), (IWDG_WINR, 0xFFF)])
def test_a_watchdog_counts_from_its_reload_value_when_it_is_fed(registers, feed):
    for place, value in ((IWDG_KR, 0xCCCC), (IWDG_KR, 0x5555), (IWDG_RLR, 99)):
        registers[place] = value
    registers.wait(0.1)
    registers[feed[0]] = feed[1]
    assert ends_after(registers.machine) == pytest.approx(100 * 4 / 32000, rel=1e-3)


def test_a_fault_ends_with_the_watchdog_where_one_runs():
    board = machine("int main(void) { REG(0x40003000) = 0xCCCC; REG(0x30000000); for (;;) {} }")
    assert board.run(seconds=5) == "reset" and "BusFault" in board.faults[0]
    assert board.time_s == pytest.approx(4096 * 4 / 32000, rel=0.01)


def test_watchdog_registers_are_locked(registers):
    registers[0x40003008] = 5
    assert registers[0x40003008] == 0xFFF
    assert "IWDG_RLR was written while locked" in registers.machine.notes[0]


def test_feeding_outside_the_window_resets(registers):
    iwdg = 0x40003000
    registers[iwdg] = 0xCCCC
    registers[iwdg] = 0x5555
    registers[iwdg + 0x10] = 0x100
    registers[iwdg] = 0xAAAA
    assert registers.machine.reason == "reset"


def test_identification(registers):
    assert registers[0xE0042000] & 0xFFF == 0x449
    assert struct.unpack("<3I", registers.machine.read(0x1FF0F420, 12))[0] != 0xFFFFFFFF

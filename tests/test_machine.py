"""The emulated board: memory, running in parts, limits, sleep, and errors that name the code."""

import struct
import time

import pytest
from board_firmware import build, machine

from kwslib.machine import BoardError, Firmware, Machine

EXCHANGE = """
volatile int32_t numbers[4], sum;
__attribute__((noinline)) void bench_ready(void) { __asm volatile(""); }
__attribute__((noinline)) void bench_done(void) { __asm volatile(""); }
int main(void) {
  for (;;) {
    bench_ready();
    sum = 0;
    for (int i = 0; i < 4; i++) sum += numbers[i];
    bench_done();
  }
}
"""


@pytest.mark.parametrize("recorder", [True, False])
def test_data_go_in_and_out_by_symbols(recorder):
    board = machine(EXCHANGE, recorder)
    for offset in range(5):
        assert board.run(until="bench_ready") == "until"
        numbers = [offset, 2, 3, -100]
        board.write("numbers", struct.pack("<4i", *numbers))
        assert board.run(until="bench_done") == "until"
        assert struct.unpack("<i", board.read("sum", 4))[0] == sum(numbers)


def test_stopping_does_not_change_the_count():
    """A round has as many instructions whether the run is interrupted within it or not."""
    board, counts = machine(EXCHANGE), []
    board.run(until="bench_ready")
    for stops in (("bench_ready",), ("bench_done", "bench_ready")) * 2:
        before = board.instructions
        for stop in stops:
            board.run(until=stop)
        counts.append(board.instructions - before)
    assert len(set(counts)) == 1 and 20 < counts[0] < 60


def test_instructions_are_counted_exactly():
    board = machine("""
      __attribute__((noinline, naked)) void loop(void) {
        __asm volatile("movs r0, #100\\n 1: subs r0, #1\\n bne 1b\\n bx lr");
      }
      int main(void) { loop(); leave(0); }
    """)
    board.run(until="loop")
    before = board.instructions
    board.firmware.symbols["after"] = board.core.lr & ~1
    assert board.run(until="after") == "until"
    assert board.instructions - before == 1 + 100 * 2 + 1


def test_flash_has_two_addresses_and_the_identification_is_there():
    board = machine("int main(void) { for (;;) {} }")
    assert board.read(0x00200000, 64) == board.read(0x08000000, 64)
    assert board.word(0x1FF0F442) & 0xFFFF == 1024  # KB of flash
    assert board.peripheral("SCB").values["VTOR"] == 0x00200000  # RM0385 section 2.5: BOOT_ADD0 as delivered


@pytest.mark.parametrize(
    "size, address", [(0x4000, 0), (0x10000, 0x20000000), (0x3C000, 0x20010000), (0x4000, 0x2004C000)]
)
def test_ram_is_where_the_manual_says(size, address):
    board = machine("int main(void) { for (;;) {} }")
    for place in (address, address + size - 4):
        board.write(place, b"abcd")
        assert board.read(place, 4) == b"abcd"
    with pytest.raises(BoardError, match=r"4 bytes at 0x20050000 are in no memory"):
        board.write(0x20050000, b"abcd")


def test_limits():
    endless = "volatile uint32_t n; int main(void) { for (;;) n++; }"
    board = machine(endless)
    assert board.run(max_instructions=100_000) == "instructions"
    assert 100_000 <= board.instructions < 100_050
    before = board.time_s
    assert board.run(seconds=0.01) == "seconds"
    assert board.time_s - before == pytest.approx(0.01, rel=1e-3)
    with pytest.raises(BoardError, match="without a recorder counts no instructions"):
        machine(endless, recorder=False).run(max_instructions=5)


def test_a_loop_that_waits_for_an_interrupt_ends_without_a_recorder_too():
    board = machine(
        """volatile uint32_t ticks;
        void SysTick_Handler(void) { ticks++; }
        int main(void) {
          REG(0xE000E014) = 16000 - 1; REG(0xE000E018) = 0; REG(0xE000E010) = 7;
          while (ticks < 3) {}
          leave(ticks);
        }""",
        recorder=False,
    )
    assert board.run() == "exit" and board.exit_code == 3


def test_the_seconds_of_a_limit_are_cycles_of_the_clock():
    board = machine("volatile uint32_t n; int main(void) { for (;;) n++; }")
    board.run(seconds=0.01)
    assert board.cycles == pytest.approx(0.01 * 16e6, rel=1e-3)  # HSI after reset


@pytest.mark.parametrize("recorder", [True, False])
@pytest.mark.parametrize("end", ["", '__asm volatile("cpsid i\\n wfi");', '__asm volatile("wfe");'])
def test_nothing_left_to_do_ends_the_run(end, recorder):
    board = machine(f"int main(void) {{ {end} for (;;) {{}} }}", recorder)
    assert board.run() == "idle"
    assert "nothing can wake the core in" in board.detail and "(test.c:1)" in board.detail


def test_wake_up_by_an_event():
    board = machine('int main(void) { __asm volatile("sev\\n wfe"); leave(3); }')
    assert board.run() == "exit" and board.exit_code == 3


def test_a_poll_that_nothing_can_end_ends_the_run():
    """SYSCFG_CMPCR.READY stays 0 while the cell is off."""
    board = machine("int main(void) { REG(0x40023844) |= 1 << 14; while (!(REG(0x40013820) & 256)) {} leave(0); }")
    started = time.process_time()
    assert board.run() == "idle" and "polls a register" in board.detail
    assert time.process_time() - started < 20


def test_semihosting_output_and_exit():
    board = machine("""
      static void call(uint32_t op, const void *block) {
        register uint32_t r0 __asm("r0") = op; register const void *r1 __asm("r1") = block;
        __asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
      }
      int main(void) { call(4, "hello "); call(3, "w"); call(4, "orld"); leave(42); }
    """)
    assert board.run() == "exit"
    assert (bytes(board.console), board.exit_code) == (b"hello world", 42)


@pytest.mark.parametrize(
    "code, message",
    [
        ("REG(0x08000100) = 1;", r"write to flash at 0x08000100.*in main \(test.c:3\)"),
        ("REG(0x00200100) = 1;", r"write to flash at 0x00200100"),
        ("REG(0xC0000000) = 1;", r"external memory at 0xc0000000: FMC and QUADSPI are not modelled; in main"),
        ("REG(0x40012000) = 1;", r"ADC register 0x000 \(address 0x40012000\) is not modelled; in main \(test.c:3\)"),
        ("REG(0x40020010);", r"GPIOA_IDR is used without its clock: set bit 0 of RCC_AHB1ENR.*\(test.c:3\)"),
        ("REG(0x40023844) |= 1 << 4; REG(0x40011004) = 1 << 14;", r"USART1_CR2 bit 14 is not modelled"),
        ('register int r0 __asm("r0") = 1; __asm volatile("bkpt 0xab" :: "r"(r0));', "semihosting operation 0x1"),
    ],
)
def test_what_the_board_cannot_do_names_the_line(code, message):
    board = machine(f"int main(void) {{\n\n{code}\nfor (;;) {{}} }}")
    with pytest.raises(BoardError, match=message):
        board.run()


def test_registers_without_a_model_can_be_remembered():
    source = """
      volatile uint32_t seen[3];
      int main(void) {
        seen[0] = REG(0x40012004); REG(0x40012004) = 0x12345678; *(volatile uint8_t *)0x40012005 = 0xEE;
        seen[1] = REG(0x40012004); seen[2] = REG(0x40020000); leave(0);
      }"""
    board = machine(source, unmodelled="remember")
    assert board.run() == "exit"
    assert struct.unpack("<3I", board.read("seen", 12)) == (0, 0x1234EE78, 0)
    assert any("ADC register 0x004" in name for name in board.bus.remembered)
    assert any("GPIOA_MODER is used without its clock" in name for name in board.bus.remembered)
    with pytest.raises(BoardError, match="unmodelled='ignore'"):
        Machine(board.firmware, unmodelled="ignore")


# Unicorn issue 2309: a memory hook within an IT block left stale IT bits, and the next block skipped instructions.
IT_BLOCK = """
volatile uint32_t result[3];
int main(void) {
  REG(0x40023830) = 1;
  register uint32_t pointer __asm("r0") = %s;
  register uint32_t a __asm("r2") = 0, b __asm("r3") = 0, c __asm("r4") = 0;
  __asm volatile("movs r5, #1\\n cmp r5, #1\\n itt eq\\n ldreq r1, [r0]\\n streq r1, [r0, #4]\\n"
                 "cmp r5, #2\\n b.n 1f\\n"
                 "1: movs r2, #77\\n movs r3, #88\\n movs r4, #99" : "+r"(a), "+r"(b), "+r"(c) : "r"(pointer)
                 : "r1", "r5", "cc", "memory");
  result[0] = a; result[1] = b; result[2] = c;
  leave(0);
}
"""


@pytest.mark.parametrize("recorder", [True, False])
@pytest.mark.parametrize("pointer", ["0x20001000", "0x40020000"])  # memory, and registers
def test_an_access_in_an_it_block_skips_nothing(pointer, recorder):
    board = machine(IT_BLOCK % pointer, recorder)
    assert board.run() == "exit"
    assert struct.unpack("<3I", board.read("result", 12)) == (77, 88, 99)


INTERRUPTED_ACCESS = """
volatile uint32_t ticks, values[2];
void IRQ0_Handler(void) { ticks++; REG(0x40020014) = 0x5555; }
int main(void) {
  REG(0x40023830) = 1;
  REG(0x40020014) = 0xAAAA;
  REG(0xE000E100) = 1;
  register uint32_t pend __asm("r0") = 0xE000E200, odr __asm("r1") = 0x40020014, one __asm("r2") = 1;
  register uint32_t low __asm("r4"), high __asm("r5");
  __asm volatile("cmp r2, #1\\n itt eq\\n streq r2, [r0], #4\\n ldrdeq r4, r5, [r1]\\n isb"
                 : "+r"(pend), "=r"(low), "=r"(high) : "r"(odr), "r"(one) : "cc", "memory");
  values[0] = pend; values[1] = low;
  leave(ticks);
}
"""


@pytest.mark.parametrize("recorder", [True, False])
def test_an_access_that_raises_an_interrupt_is_done_once(recorder):
    """Without a recorder the core stops within the instruction, and its answer is given again."""
    board = machine(INTERRUPTED_ACCESS, recorder)
    assert board.run() == "exit" and board.exit_code == 1
    pend, low = struct.unpack("<2I", board.read("values", 8))
    assert pend == 0xE000E204 and low in (0xAAAA, 0x5555)
    assert board.peripheral("GPIOA").values["ODR"] == 0x5555


def test_sleep_takes_time_but_no_instructions():
    source = """
      volatile uint32_t ticks;
      void SysTick_Handler(void) { ticks++; }
      int main(void) {
        REG(0xE000E014) = %d - 1; REG(0xE000E018) = 0; REG(0xE000E010) = 7;
        while (ticks < 10) __asm volatile("wfi");
        leave(0);
      }"""
    boards = [machine(source % period) for period in (16_000, 160_000)]
    assert [board.run() for board in boards] == ["exit", "exit"]
    assert boards[0].instructions == boards[1].instructions
    for board, seconds in zip(boards, (0.01, 0.1), strict=True):
        assert board.time_s == pytest.approx(seconds, rel=0.01)


@pytest.mark.parametrize(
    "content, message",
    [(b"\xff" * 64, "no vector table at 0x08000000"), (bytes(0x100001), "needs 1048577 bytes of flash")],
)
def test_images_that_cannot_start(tmp_path, content, message):
    image = tmp_path / "image.bin"
    image.write_bytes(content)
    with pytest.raises(BoardError, match=message):
        Machine(Firmware.load(image))


def test_a_callback_can_end_the_run():
    board = machine('int main(void) { serial_start(139); serial_text("abc\\ndef\\n"); for (;;) {} }')
    board.on_uart = lambda byte: board.end("enough") if byte == ord("\n") else None
    assert board.run() == "enough" and bytes(board.uart) == b"abc\n"
    assert board.run() == "enough" and bytes(board.uart) == b"abc\ndef\n"
    assert board.run() == "idle"


def test_an_elf_for_other_memory_is_refused(tmp_path):
    content = bytearray(build("int main(void) { for (;;) {} }").read_bytes())
    header = struct.unpack_from("<I", content, 28)[0]
    struct.pack_into("<I", content, header + 12, 0x60000000)  # physical address of the first segment
    path = tmp_path / "other.elf"
    path.write_bytes(content)
    with pytest.raises(BoardError, match="are in no memory of the STM32F746"):
        Machine(Firmware.load(path))

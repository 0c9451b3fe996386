"""Exceptions on the emulated core: entry and return, priorities, masks, floating-point context, and faults."""

import struct

import pytest
from board_firmware import machine

from kwslib.machine import BoardError

NVIC = """
#define PEND(n) do { REG(0xE000E200) = 1u << (n); __asm volatile("dsb\\n isb"); } while (0)
#define ENABLE(n) (REG(0xE000E100) = 1u << (n))
#define PRIORITY(n, p) (*(volatile uint8_t *)(0xE000E400 + (n)) = (p))
volatile uint32_t log_[16], count;
#define LOG(x) (log_[count++] = (x))
"""


def logged(board):
    count = board.word(board.symbol("count"))
    return list(struct.unpack(f"<{count}I", board.read("log_", 4 * count)))


def run_and_log(body, handlers="", **options):
    board = machine(f"{NVIC}{handlers}\nint main(void) {{ {body} leave(0); }}", **options)
    assert board.run() == "exit", (board.reason, board.detail)
    return logged(board)


TWO = "void IRQ0_Handler(void) { LOG(10); %s LOG(11); } void IRQ1_Handler(void) { LOG(20); LOG(21); }"


def test_a_more_urgent_interrupt_preempts():
    body = "PRIORITY(0, 0x80); PRIORITY(1, 0x40); ENABLE(0); ENABLE(1); PEND(0); LOG(1);"
    assert run_and_log(body, TWO % "PEND(1);") == [10, 20, 21, 11, 1]


def test_an_interrupt_of_the_same_priority_waits():
    body = "PRIORITY(0, 0x40); PRIORITY(1, 0x40); ENABLE(0); ENABLE(1); PEND(0); LOG(1);"
    assert run_and_log(body, TWO % "PEND(1);") == [10, 11, 20, 21, 1]


def test_priority_groups_decide_about_preemption_and_the_rest_about_order():
    """With PRIGROUP 6 only bit 7 preempts: 0x40 waits for 0x60, but goes before it when both are pending."""
    group = "REG(0xE000ED0C) = 0x05FA0600; PRIORITY(0, 0x60); PRIORITY(1, 0x40); ENABLE(0); ENABLE(1);"
    assert run_and_log(f"{group} PEND(0);", TWO % "PEND(1);") == [10, 11, 20, 21]
    both = f'{group} __asm volatile("cpsid i"); PEND(0); PEND(1); __asm volatile("cpsie i");'
    assert run_and_log(both, TWO % "") == [20, 21, 10, 11]


@pytest.mark.parametrize(
    "mask, unmask",
    [
        ("cpsid i", "cpsie i"),
        ("cpsid f", "cpsie f"),
        ("movs r0, #1\\n msr primask, r0", "movs r0, #0\\n msr primask, r0"),
        ("movs r0, #0x40\\n msr basepri, r0", "movs r0, #0\\n msr basepri, r0"),
        ("movs r0, #0x40\\n msr basepri_max, r0", "movs r0, #0x90\\n msr basepri, r0"),
    ],
)
def test_masks_hold_interrupts_back_until_the_very_instruction(mask, unmask):
    body = f"""PRIORITY(0, 0x80); ENABLE(0); __asm volatile("{mask}" ::: "r0"); PEND(0); LOG(1);
      __asm volatile("{unmask}" ::: "r0", "memory"); LOG(2);"""
    assert run_and_log(body, TWO % "") == [1, 10, 11, 2]


def test_basepri_lets_more_urgent_interrupts_through():
    body = """PRIORITY(0, 0x30); PRIORITY(1, 0x40); ENABLE(0); ENABLE(1);
      __asm volatile("movs r0, #0x40\\n msr basepri, r0" ::: "r0"); PEND(1); PEND(0); LOG(1);"""
    assert run_and_log(body, TWO % "") == [10, 11, 1]


def test_wfi_wakes_while_primask_is_set_but_the_handler_waits():
    body = 'ENABLE(0); __asm volatile("cpsid i"); PEND(0); __asm volatile("wfi"); LOG(1); __asm volatile("cpsie i");'
    assert run_and_log(body, TWO % "") == [1, 10, 11]


def test_disabled_interrupts_stay_pending():
    body = 'PEND(0); LOG(REG(0xE000E200)); ENABLE(0); __asm volatile("dsb\\n isb"); LOG(REG(0xE000E200)); PEND(1);'
    assert run_and_log(body + "REG(0xE000E280) = 2; LOG(REG(0xE000E280));", TWO % "") == [1, 10, 11, 0, 0]


def test_registers_and_flags_survive_an_interrupt():
    handler = """void IRQ0_Handler(void) {
      __asm volatile("movs r0, #0\\n movs r1, #0\\n mov r12, r0\\n adds r2, r0, #0"
                     ::: "r0", "r1", "r2", "r12", "cc"); }"""
    body = """ENABLE(0); uint32_t a, b, c, flags;
      __asm volatile("ldr r4, =0xE000E200\\n movs r5, #1\\n movs r0, #11\\n movs r1, #22\\n movs r12, #33\\n"
        "ldr r2, =0x80000000\\n adds r2, r2, r2\\n str r5, [r4]\\n isb\\n mrs %3, apsr\\n"
        "mov %0, r0\\n mov %1, r1\\n mov %2, r12" : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(flags)
        :: "r0", "r1", "r2", "r4", "r5", "r12", "cc", "memory");
      LOG(a); LOG(b); LOG(c); LOG(flags >> 28);"""
    assert run_and_log(body, handler) == [11, 22, 33, 0b0111]  # zero, carry, overflow


FLOATS = """
volatile uint32_t frame_bytes, exc_return;
void IRQ0_Handler(void) {
  __asm volatile("vmov.f32 s0, #9.0\\n vmov.f32 s15, #9.0\\n vmrs r0, fpscr\\n orr r0, #0x1000000\\n vmsr fpscr, r0"
                 ::: "r0", "s0", "s15");
}
"""


def test_floating_point_registers_survive_an_interrupt():
    body = """ENABLE(0); uint32_t a, b, fpscr;
      __asm volatile("vmov.f32 s0, #1.5\\n vmov.f32 s15, #-2.0\\n vcmp.f32 s0, s15\\n ldr r0, =0xE000E200\\n"
        "movs r1, #1\\n str r1, [r0]\\n isb\\n vmov %0, s0\\n vmov %1, s15\\n vmrs %2, fpscr"
        : "=r"(a), "=r"(b), "=r"(fpscr) :: "r0", "r1", "s0", "s15", "memory");
      LOG(a); LOG(b); LOG(fpscr);"""
    assert run_and_log(body, FLOATS) == [0x3FC00000, 0xC0000000, 0x20000000]


@pytest.mark.parametrize("use_float, exc_return, frame_bytes", [(0, 0xFFFFFFF9, 32), (1, 0xFFFFFFE9, 104)])
def test_the_frame_is_as_large_as_the_context_needs(use_float, exc_return, frame_bytes):
    handler = """__attribute__((naked)) void IRQ0_Handler(void) {
      __asm volatile("ldr r0, =log_\\n str lr, [r0]\\n mov r1, sp\\n str r1, [r0, #4]\\n mrs r1, ipsr\\n"
                     "str r1, [r0, #8]\\n"
                     "bx lr"); }"""
    start = '__asm volatile("vmov.f32 s0, #1.0" ::: "s0");' if use_float else ""
    body = f"""{start} ENABLE(0); uint32_t sp; __asm volatile("mov %0, sp" : "=r"(sp)); PEND(0); count = 3;
      log_[1] = sp - log_[1]; LOG(sp & 7);"""
    found = run_and_log(body, handler)
    assert found == [exc_return, frame_bytes + found[3] // 4 * 4, 16, found[3]]


def test_thread_mode_on_its_own_stack():
    handler = """volatile uint32_t in_handler;
    void SVC_Handler(void) { uint32_t psp, sp; __asm volatile("mrs %0, psp\\n mov %1, sp" : "=r"(psp), "=r"(sp));
      in_handler = sp; log_[0] = psp; }
    static uint32_t stack[64] __attribute__((aligned(8)));"""
    body = """__asm volatile("msr psp, %0\\n movs r0, #2\\n msr control, r0\\n isb\\n svc #0\\n"
        "movs r0, #0\\n msr control, r0\\n isb"
        :: "r"(stack + 64) : "r0", "memory");
      count = 1; LOG(in_handler); LOG((uint32_t)(stack + 64));"""
    psp, handler_sp, top = run_and_log(body, handler, defines="-DNO_FPU -mgeneral-regs-only")
    assert psp == top - 32 and 0x20010000 - 256 < handler_sp < 0x20010000


def test_pendsv_and_svc():
    handlers = "void PendSV_Handler(void) { LOG(14); } void SVC_Handler(void) { LOG(11); }"
    body = """__asm volatile("svc #1" ::: "memory"); LOG(1);
      REG(0xE000ED04) = 1u << 28; __asm volatile("dsb\\n isb"); LOG(2);"""
    assert run_and_log(body, handlers) == [11, 1, 14, 2]


def test_entry_and_return_take_their_cycles():
    board = machine(f"{NVIC} void IRQ0_Handler(void) {{}} int main(void) {{ ENABLE(0); PEND(0); leave(0); }}")
    board.run()
    from kwslib import profile

    assert profile.totals(board.recorder)["waiting_cycles"] == 12 + 10


# Faults: a handler that keeps the stacked program counter and the status registers.

HANDLER = """
volatile uint32_t seen[6], after;
void record(uint32_t *frame, uint32_t number) {
  seen[0] = number; seen[1] = frame[6]; seen[2] = REG(0xE000ED28); seen[3] = REG(0xE000ED2C); seen[4] = REG(0xE000ED38);
  leave(0);
}
#define FAULT(name) __attribute__((naked)) void name(void) { \\
  __asm volatile("mov r0, sp\\n mrs r1, ipsr\\n b record"); }
FAULT(HardFault_Handler) FAULT(MemManage_Handler) FAULT(BusFault_Handler) FAULT(UsageFault_Handler)
__attribute__((noinline)) void culprit(void) {
"""
REGISTERS_AFTER_FAULT = [
    ("double_precision", '__asm volatile("vadd.f64 d0, d1, d2");', 6, 1 << 16, "double-precision"),
    ("undefined", '__asm volatile("udf #0");', 6, 1 << 16, "undefined instruction"),
    ("read", "REG(0x30000000);", 5, 1 << 9 | 1 << 15, "read of 0x30000000, where there is no memory"),
    ("write", "REG(0x20050000) = 1;", 5, 1 << 10, "write to 0x20050000, where there is no memory"),
    ("jump", "((void (*)(void))0x30000001)();", 5, 1 << 8, "jump to 0x30000000, where there is no code"),
    ("peripheral_jump", "((void (*)(void))0x40000001)();", 4, 1 << 0, "jump to 0x40000000"),
    ("even_jump", "((void (*)(void))0x08000200)();", 6, 1 << 17, "an address whose bit 0 is clear"),
]


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize(
    "name, code, number, status, text", REGISTERS_AFTER_FAULT, ids=[case[0] for case in REGISTERS_AFTER_FAULT]
)
def test_a_fault_goes_to_its_handler_or_to_hardfault(name, code, number, status, text, enabled):
    enable = "REG(0xE000ED24) = 7u << 16;" if enabled else ""
    source = f"{HANDLER}\n{code} after = 1;\n}}\nint main(void) {{ {enable} culprit(); for (;;) {{}} }}"
    board = machine(source, fpu="fpv5-d16" if name == "double_precision" else "fpv5-sp-d16")
    assert board.run() == "exit"
    found, pc, cfsr, hfsr, bfar, _ = struct.unpack("<6I", board.read("seen", 24))
    assert found == (number if enabled else 3)
    assert cfsr == status and hfsr == (0 if enabled else 1 << 30)
    if name == "read":
        assert bfar == 0x30000000
    if "jump" not in name:
        assert board.firmware.function(pc) == "culprit"
    assert text in board.faults[0] and "culprit (test.c:" in board.faults[0]


@pytest.mark.parametrize("first", ["", "nop; movs r0, #1;"])
def test_floating_point_faults_until_the_fpu_is_on(first):
    source = (
        HANDLER + '__asm volatile("%s vmov.f32 s0, #1.0" ::: "r0", "s0"); } int main(void) { %s culprit(); leave(5); }'
    )
    board = machine(source % (first, ""), defines="-DNO_FPU")
    board.run()
    found, pc, cfsr, hfsr, _, _ = struct.unpack("<6I", board.read("seen", 24))
    assert (found, cfsr, hfsr) == (3, 1 << 19, 1 << 30)
    assert board.read(pc, 4) == bytes.fromhex("b7ee000a")  # vmov.f32 s0, #1.0
    assert "while the FPU is off" in board.faults[0]
    on = "REG(0xE000ED88) |= 0xF << 20;"
    board = machine(source % (first, on), defines="-DNO_FPU")
    assert board.run() == "exit" and board.exit_code == 5 and not board.faults


def test_a_handler_can_correct_the_cause_and_return():
    """The stacked program counter is that of the instruction itself."""
    source = """
      __attribute__((naked)) void HardFault_Handler(void) {
        __asm volatile("ldr r0, [sp, #24]\\n adds r0, #2\\n str r0, [sp, #24]\\n bx lr"); }
      int main(void) { __asm volatile("udf #1"); leave(9); }"""
    board = machine(source)
    assert board.run() == "exit" and board.exit_code == 9 and len(board.faults) == 1


def test_a_fault_without_a_handler_of_its_own_ends_the_run_with_function_and_line():
    board = machine("int main(void) {\n  REG(0x30000004);\n  for (;;) {} }")
    assert board.run() == "fault"
    assert board.detail == "BusFault: read of 0x30000004, where there is no memory in main (test.c:2)"


def test_a_fault_in_the_hardfault_handler_locks_up():
    board = machine(
        'void HardFault_Handler(void) { __asm volatile("udf #2"); } int main(void) { REG(0x30000004); leave(0); }'
    )
    assert board.run() == "fault"
    assert "UsageFault: undefined instruction" in board.detail and "lock-up" in board.detail
    assert "HardFault_Handler (test.c:1)" in board.detail and len(board.faults) == 2


def test_a_breakpoint_without_a_debugger_is_a_hardfault():
    board = machine('int main(void) { __asm volatile("bkpt #1"); for (;;) {} }')
    assert board.run() == "fault" and "breakpoint without a debugger in main" in board.detail


def test_a_stack_that_leaves_its_memory_is_told():
    source = f"""{NVIC} int main(void) {{
      ENABLE(0); __asm volatile("ldr r0, =0x30000000\\n mov sp, r0\\n ldr r1, =0xE000E200\\n"
                                 "movs r2, #1\\n str r2, [r1]\\n isb\\n b ."); }}"""
    with pytest.raises(BoardError, match="stack overflow: no memory for the frame of IRQ 0 in main"):
        machine(source).run()


def test_an_interrupt_without_a_handler_is_told(tmp_path):
    source = (
        f'{NVIC} int main(void) {{ REG(0xE000E100) = 4; REG(0xE000E200) = 4; __asm volatile("isb"); for (;;) {{}} }}'
    )
    with pytest.raises(BoardError, match=r"IRQ 2 has no handler: its entry of the vector table is 0x00000000"):
        machine(source).run()

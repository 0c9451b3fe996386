"""Small programs for the emulated board, compiled with the cross compiler."""

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from kwslib.machine import Firmware, Machine

COMPILER = "arm-none-eabi-gcc"
_FOLDERS = []  # removed when the tests end
_FLAGS = "-mcpu=cortex-m7 -mthumb -mfloat-abi=hard -O2 -g -Wall -Wextra -ffreestanding -fno-math-errno -nostdlib"
_LINKER_SCRIPT = """
ENTRY(Reset_Handler)
MEMORY { FLASH (rx) : ORIGIN = 0x08000000, LENGTH = 1M
         DTCM (rwx) : ORIGIN = 0x20000000, LENGTH = 64K
         SRAM (rwx) : ORIGIN = 0x20010000, LENGTH = 256K }
SECTIONS {
  .isr_vector : { KEEP(*(.isr_vector)) } > FLASH
  .text : { *(.text*) *(.rodata*) } > FLASH
  .ARM.exidx : { *(.ARM.exidx*) } > FLASH
  .data : { data_start = .; *(.data*) . = ALIGN(4); data_end = .; } > DTCM AT > FLASH
  data_load = LOADADDR(.data);
  .bss (NOLOAD) : { *(.bss*) *(COMMON) } > DTCM
  .sram (NOLOAD) : { *(.sram*) } > SRAM
}
"""
_STARTUP = """
#include <stdint.h>
#define REG(address) (*(volatile uint32_t *)(address))
int main(void);
extern uint32_t data_start, data_end, data_load;
void Default_Handler(void);
#define WEAK __attribute__((weak, alias("Default_Handler")))
void NMI_Handler(void) WEAK; void HardFault_Handler(void) WEAK; void MemManage_Handler(void) WEAK;
void BusFault_Handler(void) WEAK; void UsageFault_Handler(void) WEAK; void SVC_Handler(void) WEAK;
void PendSV_Handler(void) WEAK; void SysTick_Handler(void) WEAK; void USART1_IRQHandler(void) WEAK;
void TIM2_IRQHandler(void) WEAK; void IRQ56_Handler(void) WEAK; void IRQ70_Handler(void) WEAK;
void IRQ0_Handler(void) WEAK; void IRQ1_Handler(void) WEAK; void EXTI15_10_IRQHandler(void) WEAK;
void Reset_Handler(void) {
  uint32_t *from = &data_load;
  for (uint32_t *to = &data_start; to < &data_end;) *to++ = *from++;
#ifndef NO_FPU
  REG(0xE000ED88) |= 0xFu << 20;
  __asm volatile("dsb\\n isb");
#endif
  main();
  for (;;) {}
}
void Default_Handler(void) { for (;;) {} }
__attribute__((section(".isr_vector"), used)) static const void *const vectors[16 + 98] = {
  (void *)0x20010000, Reset_Handler, NMI_Handler, HardFault_Handler, MemManage_Handler, BusFault_Handler,
  UsageFault_Handler, [11] = SVC_Handler, [14] = PendSV_Handler, [15] = SysTick_Handler,
  [16] = IRQ0_Handler, [17] = IRQ1_Handler, [16 + 28] = TIM2_IRQHandler, [16 + 37] = USART1_IRQHandler,
  [16 + 40] = EXTI15_10_IRQHandler, [16 + 56] = IRQ56_Handler, [16 + 70] = IRQ70_Handler};
"""
# Clocks, serial port and exit, for tests that need them.
SERIAL = """
static inline void serial_start(uint32_t divider) {
  REG(0x40023830) |= 3;                                         /* GPIOA and GPIOB */
  REG(0x40020000) = (REG(0x40020000) & ~(3u << 18)) | 2u << 18; /* PA9: alternate function 7 */
  REG(0x40020024) |= 7u << 4;
  REG(0x40020400) = (REG(0x40020400) & ~(3u << 14)) | 2u << 14; /* PB7: alternate function 7 */
  REG(0x40020420) |= 7u << 28;
  REG(0x40023844) |= 1u << 4;
  REG(0x4001100C) = divider;
  REG(0x40011000) = 0xD;
}
static inline void serial_byte(char byte) {
  while (!(REG(0x4001101C) & 1u << 7)) {}
  REG(0x40011028) = (uint8_t)byte;
}
static inline void serial_text(const char *text) { while (*text) serial_byte(*text++); }
"""
CLOCK_216_MHZ = """
static inline void clock_216_mhz(void) {
  REG(0x40023840) |= 1u << 28;                                  /* PWR */
  REG(0x40023800) |= 1u << 16; while (!(REG(0x40023800) & 1u << 17)) {}
  REG(0x40023804) = 25u | 432u << 6 | 1u << 22 | 9u << 24;
  REG(0x40023800) |= 1u << 24; while (!(REG(0x40023800) & 1u << 25)) {}
  REG(0x40007000) |= 1u << 16; while (!(REG(0x40007004) & 1u << 16)) {}
  REG(0x40007000) |= 1u << 17; while (!(REG(0x40007004) & 1u << 17)) {}
  REG(0x40023C00) = 7u | 3u << 8;
  REG(0x40023808) |= 5u << 10 | 4u << 13;                       /* APB1 / 4, APB2 / 2 */
  REG(0x40023808) |= 2u; while ((REG(0x40023808) >> 2 & 3) != 2) {}
}
"""
EXIT = """
__attribute__((noreturn)) static inline void leave(uint32_t code) {
  volatile uint32_t block[2] = {0x20026, code};
  register uint32_t r0 __asm("r0") = 0x20;
  register volatile uint32_t *r1 __asm("r1") = block;
  __asm volatile("bkpt 0xab" : : "r"(r0), "r"(r1) : "memory");
  for (;;) {}
}
"""


@functools.cache
def build(source: str, fpu: str = "fpv5-sp-d16", defines: str = "") -> Path:
    """Compile C and return the ELF; skips the test without a cross compiler."""
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} is missing: apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi")
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="board-"))
    folder = Path(_FOLDERS[-1].name)
    (folder / "board.ld").write_text(_LINKER_SCRIPT)
    (folder / "startup.c").write_text(_STARTUP)
    header = "#include <stdint.h>\n#define REG(address) (*(volatile uint32_t *)(address))\n"
    parts = header + SERIAL + CLOCK_216_MHZ + EXIT + '#line 1 "test.c"\n' + source
    (folder / "test.c").write_text(parts)
    command = [COMPILER, *_FLAGS.split(), f"-mfpu={fpu}", *defines.split(), "-T", "board.ld"]
    command += ["startup.c", "test.c", "-lgcc", "-o", "test.elf"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder / "test.elf"


def machine(source: str, recorder: bool = True, unmodelled: str = "error", **options) -> Machine:
    """A board with a compiled program."""
    return Machine(Firmware.load(build(source, **options)), recorder, unmodelled)


class Registers:
    """Registers of a board whose firmware does nothing: `registers[address]` reads and writes a word."""

    def __init__(self):
        self.machine = machine("int main(void) { for (;;) {} }")

    def __getitem__(self, address: int) -> int:
        return self.machine.bus.read(address, 4)

    def __setitem__(self, address: int, value: int) -> None:
        self.machine.bus.write(address, 4, value)

    def wait(self, seconds: float) -> None:
        """Let time pass, with what peripherals do meanwhile."""
        machine = self.machine
        over = []
        machine.schedule(seconds, lambda: over.append(True))
        while not over:
            machine.skip_to_next_event()

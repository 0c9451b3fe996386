"""Registers and memory of the emulated Cortex-M7, on Unicorn."""

import ctypes
import struct

from unicorn import (
    UC_ARCH_ARM,
    UC_MODE_MCLASS,
    UC_MODE_THUMB,
    UC_PROT_ALL,
    UC_PROT_EXEC,
    UC_PROT_READ,
    Uc,
    UcError,
    arm_const,
)

from kwslib.firmware import FLASH_BASE, FLASH_BYTES, FLASH_ITCM_BASE, BoardError, Firmware

# RM0385 section 2.2.2 and 3.3.1: ITCM RAM, DTCM RAM with SRAM1 and SRAM2.
RAM = ((0x00000000, 0x4000), (0x20000000, 0x50000))
SRAM = (0x20010000, 0x20050000)  # behind the AXI bus, so cached
SYSTEM_MEMORY, SYSTEM_BYTES = 0x1FF00000, 0x10000
PERIPHERALS = ((0x40000000, 0x80000), (0x50000000, 0x61000), (0xA0000000, 0x2000), (0xE0000000, 0x100000))
_UNIQUE_ID, _FLASH_SIZE = 0x1FF0F420, 0x1FF0F442  # RM0385 section 41.1 and 41.2
_GENERAL = [getattr(arm_const, f"UC_ARM_REG_R{n}") for n in (0, 1, 2, 3, 12)]
_FLOATS = [getattr(arm_const, f"UC_ARM_REG_S{n}") for n in range(16)]


def _register(name: str, doc: str) -> property:
    number = getattr(arm_const, f"UC_ARM_REG_{name}")
    return property(
        lambda self: self.uc.reg_read(number),
        lambda self, value: self.uc.reg_write(number, value & 0xFFFFFFFF),
        doc=doc,
    )


class Core:
    """The core: its registers as attributes, `uc` for the rest.

    `xpsr` includes the number of the exception and the IT state; writing it also chooses the stack pointer, as on the
    chip. Flash cannot be written by the firmware, and is one memory at both of its addresses.
    """

    sp = _register("SP", "stack pointer in use")
    msp = _register("MSP", "main stack pointer")
    psp = _register("PSP", "process stack pointer")
    lr = _register("LR", "link register")
    pc = _register("PC", "program counter; bit 0 is the Thumb bit when written, and clear when read")
    xpsr = _register("XPSR", "program status")
    primask = _register("PRIMASK", "1: exceptions of configurable priority are masked")
    basepri = _register("BASEPRI", "priority from which on exceptions are masked, 0 for none")
    faultmask = _register("FAULTMASK", "1: all exceptions but NMI are masked")
    fpscr = _register("FPSCR", "status of the FPU")
    r0 = _register("R0", "first argument")
    r1 = _register("R1", "second argument")

    def __init__(self, read_register, write_register):
        """`read_register(address, size)` and `write_register(address, size, value)` serve the peripherals."""
        self.uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self.uc.ctl_set_cpu_model(arm_const.UC_CPU_ARM_CORTEX_M7)
        self._flash = (ctypes.c_ubyte * FLASH_BYTES)()
        ctypes.memset(self._flash, 0xFF, FLASH_BYTES)
        for base in (FLASH_BASE, FLASH_ITCM_BASE):
            self.uc.mem_map_ptr(base, FLASH_BYTES, UC_PROT_READ | UC_PROT_EXEC, ctypes.addressof(self._flash))
        for base, size in RAM:
            self.uc.mem_map(base, size, UC_PROT_ALL)
        self.uc.mem_map(SYSTEM_MEMORY, SYSTEM_BYTES, UC_PROT_READ | UC_PROT_EXEC)
        self.uc.mem_write(_UNIQUE_ID, b"\x01\x00\x02\x00EMULATED")
        self.uc.mem_write(_FLASH_SIZE, (FLASH_BYTES // 1024).to_bytes(2, "little"))
        for base, size in PERIPHERALS:
            self.uc.mmio_map(
                base,
                size,
                lambda uc, offset, size, base: read_register(base + offset, size),
                base,
                lambda uc, offset, size, value, base: write_register(base + offset, size, value),
                base,
            )

    def load(self, firmware: Firmware) -> int:
        """Write a firmware into the memories and start at its reset vector; returns the address of its vector table.

        Raises BoardError if it does not fit.
        """
        for address, data in firmware.segments:
            if FLASH_BASE <= address < FLASH_BASE + FLASH_BYTES < address + len(data):
                size = address + len(data) - FLASH_BASE
                raise BoardError(f"{firmware.path}: needs {size} bytes of flash, the chip has {FLASH_BYTES}")
            try:
                self.uc.mem_write(address, data)
            except UcError:
                raise BoardError(
                    f"{firmware.path}: {len(data)} bytes at {address:#010x} are in no memory of the STM32F746; "
                    "link it for flash at 0x08000000"
                ) from None
        table = firmware.vector_table
        try:
            stack, entry = struct.unpack("<2I", self.uc.mem_read(table, 8))
        except UcError:
            stack, entry = 0, 0
        if not entry & 1 or entry == 0xFFFFFFFF:
            raise BoardError(f"{firmware.path}: no vector table at {table:#010x} (reset vector {entry:#010x})")
        self.xpsr = 1 << 24
        self.sp, self.lr, self.pc = stack & ~3, 0xFFFFFFFF, entry
        return table

    @property
    def control(self) -> int:
        """CONTROL: bit 0 unprivileged thread mode, 1 process stack, 2 floating-point context active."""
        return self.uc.reg_read(arm_const.UC_ARM_REG_CONTROL) & 7

    @control.setter
    def control(self, value: int) -> None:
        # Unicorn also keeps bit 3 of a later architecture beside bit 2, and else begins a new floating-point context.
        self.uc.reg_write(arm_const.UC_ARM_REG_CONTROL, value | (value & 4) << 1)

    def general(self) -> list[int]:
        """Registers r0 to r3 and r12, which an exception saves."""
        return [self.uc.reg_read(number) for number in _GENERAL]

    def set_general(self, values) -> None:
        """Set r0 to r3 and r12."""
        for number, value in zip(_GENERAL, values, strict=True):
            self.uc.reg_write(number, value)

    def floats(self) -> list[int]:
        """Bits of s0 to s15."""
        return [self.uc.reg_read(number) for number in _FLOATS]

    def set_floats(self, values) -> None:
        """Set s0 to s15 from their bits."""
        for number, value in zip(_FLOATS, values, strict=True):
            self.uc.reg_write(number, value)

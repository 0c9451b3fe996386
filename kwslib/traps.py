"""What the emulated core leaves to Python: sleep, unmasking, SVC, exception return, faults, semihosting."""

import functools

from unicorn import UC_HOOK_BLOCK, UC_HOOK_CODE, UC_HOOK_INSN_INVALID, UC_HOOK_INTR, UC_HOOK_MEM_INVALID, unicorn_const

from kwslib import exceptions
from kwslib.exceptions import BUS_FAULT, HARD_FAULT, MEM_MANAGE, SVCALL, USAGE_FAULT
from kwslib.firmware import FLASH_BASE, FLASH_BYTES, FLASH_ITCM_BASE, BoardError

_FAULTS = (HARD_FAULT, MEM_MANAGE, BUS_FAULT, USAGE_FAULT)
_WFI, _WFE, _SEV, _SPIN, _SPIN_WIDE = 0xBF30, 0xBF20, 0xBF40, 0xE7FE, 0xF7FF
_CPSIE = {0xB661: ("faultmask",), 0xB662: ("primask",), 0xB663: ("primask", "faultmask")}
_MASKS = {0x10: "primask", 0x11: "basepri", 0x12: "basepri", 0x13: "faultmask"}  # SYSm of MSR: PM0253 section 3.12.8
_SEMIHOSTING = 0xAB
_EXTERNAL = (0x60000000, 0xA0000000), (0xC0000000, 0xE0000000)
# Exceptions that Unicorn tells: QEMU target/arm/cpu.h.
_SVC, _PREFETCH_ABORT, _BKPT, _EXCEPTION_RETURN, _INVALID_STATE = 2, 3, 7, 8, 18


class Traps:
    """Hooks on the core; each leaves in `signal` what is to be done after the core has stopped.

    Sleep and unmasking are instructions at known addresses, found by their encoding in the code; a constant that looks
    like one does no harm. `fpu_on` False lets floating-point instructions fault.
    """

    def __init__(self, machine):
        self.machine, self.core = machine, machine.core
        self.signal, self.fpu_on = None, False
        self._event_flag = False
        self._fpu_hook, self._fpu_traps = None, set()
        uc = self.core.uc
        uc.hook_add(UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(UC_HOOK_MEM_INVALID, self._bad_access)
        uc.hook_add(UC_HOOK_INSN_INVALID, lambda uc, _: self._stop(self._bad_instruction) or False)
        self.tidy()
        for base, code in machine.firmware.code:
            halves = memoryview(code[: len(code) & ~1]).cast("H")
            for index, half in enumerate(halves):
                after = halves[index + 1] if index + 1 < len(halves) else 0
                if action := self._action(half, after):
                    address = base + 2 * index
                    uc.hook_add(UC_HOOK_CODE, action, None, address, address)

    def _action(self, half: int, after: int):
        """The hook for an instruction, if it needs one."""
        if half == _WFI:
            return lambda *_: self._stop(self._wait_for_interrupt)
        if half == _WFE:
            return lambda *_: self._stop(self._wait_for_event)
        if half == _SEV:
            return lambda *_: setattr(self, "_event_flag", True)
        if half == _SPIN or (half == _SPIN_WIDE and after == 0xBFFE):
            return lambda *_: self._stop(functools.partial(self._sleep, masked=True))
        if half in _CPSIE:
            return lambda *_: self._unmask(dict.fromkeys(_CPSIE[half], 0), 2)
        if half & 0xFFF0 == 0xF380 and after >> 8 == 0x88 and after & 0xFF in _MASKS:
            return lambda *_: self._move_to_mask(half & 15, after & 0xFF)
        return None

    def _stop(self, signal) -> None:
        self.signal = signal
        self.core.uc.emu_stop()

    # Sleep

    def _sleep(self, masked: bool) -> None:
        """Let time pass until an exception can be taken; ends the run if none can come."""
        machine = self.machine
        while machine.reason is None and machine.exceptions.candidate(masked) is None:
            sources = [
                event
                for event in machine.scheduler.events()
                if event.resets
                or (event.exception is not None and machine.exceptions.can_take(event.exception, masked))
            ]
            if not sources:
                fault = any(number in _FAULTS for number in machine.exceptions.active) and machine.faults
                what = f"nothing can wake the core in {machine.firmware.where(self.core.pc)}"
                return machine.end("fault" if fault else "idle", machine.faults[-1] if fault else what)
            machine.skip_to_next_event()
        return None

    def _wait_for_interrupt(self) -> None:
        self._sleep(masked=False)
        self.core.pc = self.core.pc + 2 | 1

    def _wait_for_event(self) -> None:
        if not self._event_flag:
            self._sleep(masked=True)
        self._event_flag = False
        self.core.pc = self.core.pc + 2 | 1

    # Masks of exceptions: the core would go on to the end of the block before a pending one is taken.

    def _unmask(self, masks: dict[str, int], size: int) -> None:
        if self.machine.exceptions.pending:
            self._stop(functools.partial(self._set_masks, masks, size))

    def _set_masks(self, masks, size) -> None:
        for name, value in masks.items():
            setattr(self.core, name, value)
        self.core.pc = self.core.pc + size | 1

    def _move_to_mask(self, register: int, mask: int) -> None:
        from unicorn import arm_const

        number = arm_const.UC_ARM_REG_LR if register == 14 else arm_const.UC_ARM_REG_R0 + register
        value = self.core.uc.reg_read(number)
        name = _MASKS[mask]
        if mask == 0x12 and (value == 0 or (self.core.basepri and value >= self.core.basepri)):
            return  # BASEPRI_MAX only raises the mask
        self._unmask({name: value & (0xF0 if name == "basepri" else 1)}, 4)

    # Exceptions raised by instructions

    def _on_interrupt(self, uc, number, _) -> None:
        if number != _PREFETCH_ABORT:
            self._stop(functools.partial(self._interrupted, number))
        elif self.signal is None:  # else the hook on memory has told it
            self._stop(functools.partial(self._access_fault, unicorn_const.UC_MEM_FETCH_PROT, self.core.pc))

    def _interrupted(self, number: int) -> None:
        machine, core = self.machine, self.core
        if number == _EXCEPTION_RETURN:
            machine.exceptions.leave(core.pc)
        elif number == _SVC:
            if machine.exceptions.can_take(SVCALL):
                machine.exceptions.enter(SVCALL, core.pc)
            else:
                self._fault(HARD_FAULT, 0, core.pc - 2, "SVC where its priority does not allow it")
        elif number == _BKPT:
            self._breakpoint()
        elif number == _INVALID_STATE:
            self._bad_instruction()
        else:
            raise BoardError(f"the core raised exception {number} of the emulator, which is not modelled")

    def _breakpoint(self) -> None:
        core = self.core
        pc = core.pc
        if self.machine.read(pc, 1)[0] == _SEMIHOSTING:
            self._semihosting(core.r0, core.r1)
            core.pc = pc + 2 | 1
        else:
            self._fault(HARD_FAULT, 0, pc, "breakpoint without a debugger")

    def _semihosting(self, operation: int, argument: int) -> None:
        """Output and exit: Arm's semihosting specification, operations 0x03, 0x04, 0x18 and 0x20."""
        machine = self.machine
        if operation == 0x03:
            machine.console += machine.read(argument, 1)
        elif operation == 0x04:
            while byte := machine.read(argument, 1):
                if byte == b"\0":
                    break
                machine.console += byte
                argument += 1
        elif operation in (0x18, 0x20):
            extended = operation == 0x20
            reason = machine.word(argument) if extended else argument
            exited = reason == 0x20026  # ADP_Stopped_ApplicationExit
            machine.exit_code = machine.word(argument + 4) if extended and exited else int(not exited)
            machine.end("exit")
        else:
            raise BoardError(f"semihosting operation {operation:#x} is not available: only output and exit are")

    # Faults

    def _fault(self, number: int, status: int, pc: int, what: str, address: int | None = None) -> None:
        machine = self.machine
        text = f"{exceptions.name_of(number)}: {what} in {machine.firmware.where(pc)}"
        machine.faults.append(text)
        machine.exceptions.fault(number, status, pc, address)

    def _bad_instruction(self) -> None:
        core = self.core
        pc = core.pc
        if not core.xpsr >> 24 & 1:
            caller = self.machine.firmware.where(core.lr)
            what = f"jump to {pc:#010x}, an address whose bit 0 is clear, by way of {caller}"
            return self._fault(USAGE_FAULT, exceptions.INVSTATE, pc, what)
        code = self.machine.read(pc, 4)
        first, second = int.from_bytes(code[:2], "little"), int.from_bytes(code[2:], "little")
        what = f"undefined instruction {first:04x} {second:04x}"
        if _is_fpu(first, second >> 8):
            what = "floating-point instruction that the FPU lacks"
            if second >> 8 & 0xF == 0xB:
                what = "double-precision floating-point instruction, which the single-precision FPU lacks"
        return self._fault(USAGE_FAULT, exceptions.UNDEFINSTR, pc, what)

    def _bad_access(self, uc, access, address, size, value, _) -> bool:
        if self.signal is None:
            self._stop(functools.partial(self._access_fault, access, address))
        return False

    def _access_fault(self, access: int, address: int) -> None:
        core, machine = self.core, self.machine
        pc = core.pc
        if access in (unicorn_const.UC_MEM_FETCH_UNMAPPED, unicorn_const.UC_MEM_FETCH_PROT):
            what = f"jump to {address:#010x}, where there is no code, by way of {machine.firmware.where(core.lr)}"
            if access == unicorn_const.UC_MEM_FETCH_PROT:
                return self._fault(MEM_MANAGE, exceptions.IACCVIOL, pc, what)
            return self._fault(BUS_FAULT, exceptions.IBUSERR, pc, what)
        if any(start <= address < end for start, end in _EXTERNAL):
            raise BoardError(f"access to external memory at {address:#010x}: FMC and QUADSPI are not modelled")
        if access == unicorn_const.UC_MEM_WRITE_PROT:
            kind = "flash" if address & -FLASH_BYTES in (FLASH_BASE, FLASH_ITCM_BASE) else "system memory"
            raise BoardError(f"write to {kind} at {address:#010x}: a firmware cannot write there like to RAM")
        if access == unicorn_const.UC_MEM_WRITE_UNMAPPED:
            what = f"write to {address:#010x}, where there is no memory"
            return self._fault(BUS_FAULT, exceptions.IMPRECISERR, pc, what)
        what = f"read of {address:#010x}, where there is no memory"
        return self._fault(BUS_FAULT, exceptions.PRECISERR, pc, what, address)

    def _look_for_fpu(self, uc, address, size, _) -> None:
        """While the FPU is off, put a trap on the first of its instructions in a block."""
        code = bytes(uc.mem_read(address, size))
        offset = 0
        while offset + 4 <= size and not self.fpu_on:
            first, second = int.from_bytes(code[offset : offset + 2], "little"), code[offset + 3]
            at = address + offset
            if _is_fpu(first, second) and at not in self._fpu_traps:
                self._fpu_traps.add(at)
                trap = functools.partial(self._no_fpu, at)
                uc.hook_add(UC_HOOK_CODE, lambda *_, trap=trap: self.fpu_on or self._stop(trap), None, at, at)
                uc.ctl_remove_cache(address, address + size)  # translate the block again, with the trap
                self._stop(lambda: None)
                return
            offset += 4 if first >> 11 >= 0x1D else 2

    def _no_fpu(self, address: int) -> None:
        what = "floating-point instruction while the FPU is off; set bits 20 to 23 of CPACR first"
        self._fault(USAGE_FAULT, exceptions.NOCP, address, what)

    def tidy(self) -> None:
        """Between two runs of the core: the search for floating-point instructions costs time once they may run."""
        if self.fpu_on and self._fpu_hook is not None:
            self.core.uc.hook_del(self._fpu_hook)
            self._fpu_hook = None
        elif not self.fpu_on and self._fpu_hook is None:
            self._fpu_hook = self.core.uc.hook_add(UC_HOOK_BLOCK, self._look_for_fpu)
            self.core.uc.ctl_flush_tb()


def _is_fpu(first: int, second_high: int) -> bool:
    """Whether an instruction belongs to coprocessor 10 or 11: Arm v7-M manual, section A5.3.18."""
    return first >> 8 & 0xEC == 0xEC and second_high & 0xE == 0xA

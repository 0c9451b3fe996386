"""The emulated STM32F746G-Discovery: core, memory, peripherals, exceptions and estimated time.

What runs is the ELF that would be flashed. Instructions are executed by Unicorn; time is estimated by `Recorder`.
"""

from unicorn import UcError

from kwslib import clock_peripherals
from kwslib.core import SRAM, Core
from kwslib.exceptions import Exceptions, Lockup
from kwslib.firmware import FLASH_BASE, FLASH_BYTES, FLASH_ITCM_BASE, BoardError, Firmware
from kwslib.registers import Bus
from kwslib.scheduler import AccessClock, Event, Scheduler
from kwslib.soc import add_peripherals
from kwslib.traps import Traps

__all__ = ["BoardError", "Firmware", "Machine"]

_NEVER = 0xFFFFFFFE
_SLICE_CYCLES, _SLICE_US = 20_000_000, 50_000  # so long the core runs before Python sees a Ctrl-C
_BX_LR = b"\x70\x47"


class Machine:
    """A board with a firmware in its flash, after reset.

    `recorder` False runs faster, without counts and estimates: see `scheduler.AccessClock`. `unmodelled` "remember"
    lets a firmware use registers that are not modelled, which then only keep what is written. `uart` collects what
    USART1 sends, `notes` what a user should know, `faults` the faults of the firmware, with function and line.
    `on_uart(byte)` is called for each byte; `audio` is a tuple (int16 samples [n] or [n, channels], sample rate in Hz)
    that the microphone hears.

    Raises BoardError where the board cannot go on.
    """

    def __init__(self, firmware: Firmware, recorder: bool = True, unmodelled: str = "error"):
        self.firmware = firmware
        self.uart, self.console, self.notes, self.faults = bytearray(), bytearray(), [], []
        self.on_uart, self.audio = None, None
        self.reason, self.detail, self.exit_code = None, "", None
        self._error = self._replay = self._stopped_at = self._last_until = self._max_instructions = None
        self._running = self._halt = self._stepping = False
        self.core = Core(self._read_register, self._write_register)
        self.bus = Bus(self, unmodelled)
        if recorder:
            from kwslib.recorder import Recorder

            self.recorder = Recorder(self.core.uc)
        else:
            self.recorder = AccessClock()
        self.scheduler = Scheduler(self.recorder, clock_peripherals.HSI_HZ)
        self.exceptions = Exceptions(self)
        add_peripherals(self)
        table = self.core.load(firmware)
        # The chip starts from flash on the ITCM bus (option bytes BOOT_ADD0): the same bytes at another address.
        self.peripheral("SCB").values["VTOR"] = FLASH_ITCM_BASE if table == FLASH_BASE else table
        self._traps = Traps(self)

    # Memory and symbols

    def symbol(self, name: str) -> int:
        """Address of a symbol of the firmware."""
        return self.firmware.symbol(name)

    def read(self, where: str | int, n_bytes: int) -> bytes:
        """Bytes at a symbol or address, as the debugger reads them."""
        address = self.symbol(where) if isinstance(where, str) else where
        try:
            return bytes(self.core.uc.mem_read(address, n_bytes))
        except UcError:
            raise BoardError(f"{n_bytes} bytes at {address:#010x} are in no memory of the board") from None

    def write(self, where: str | int, data: bytes) -> None:
        """Write bytes at a symbol or address, as the debugger does."""
        address = self.symbol(where) if isinstance(where, str) else where
        try:
            self.core.uc.mem_write(address, bytes(data))
        except UcError:
            raise BoardError(f"{len(data)} bytes at {address:#010x} are in no memory of the board") from None

    def word(self, address: int) -> int:
        """Word at an address."""
        return int.from_bytes(self.read(address, 4), "little")

    def peripheral(self, name: str):
        """A peripheral by its name, such as "RCC" or "GPIOI"."""
        return self.bus.peripherals[name]

    # Time

    @property
    def cycles(self) -> int:
        """Estimated cycles since reset."""
        return self.recorder.cycles

    @property
    def instructions(self) -> int:
        """Instructions executed since reset; 0 without a recorder."""
        return self.recorder.instructions

    @property
    def time_s(self) -> float:
        """Estimated seconds since reset."""
        return self.scheduler.time_s

    def clocks(self) -> dict[str, float]:
        """Clock frequencies in Hz that follow from the registers: see `Rcc.clocks`."""
        return self.peripheral("RCC").clocks()

    def schedule(self, delay_s: float, action, exception: int | None = None, resets: bool = False) -> Event:
        """Let a peripheral act after a time; `exception` is what it may raise then, which can wake the core."""
        event = self.scheduler.at(self.time_s + delay_s, action, exception, resets)
        self._arm()
        return event

    def schedule_cycles(self, cycle: int, action, exception: int | None = None) -> Event:
        """Let a peripheral act in a cycle of the core."""
        event = self.scheduler.at_cycle(cycle, action, exception)
        self._arm()
        return event

    def skip_to_next_event(self) -> bool:
        """Let the time pass in which a loop polls a register; False if nothing will happen."""
        if not self.scheduler.skip():
            return False
        self._arm()
        self.attention()
        return True

    def _arm(self) -> None:
        """Have the core stop when the next event is due."""
        if self._running and self.reason is None:
            stops = [self.cycles + _SLICE_CYCLES, self.scheduler.next_cycle()]
            if self._max_instructions is not None:  # the core issues at most two instructions a cycle
                stops.append(self.cycles + max(1, (self._max_instructions - self.instructions) // 2))
            self.recorder.stop_at(min(stop for stop in stops if stop is not None))

    def attention(self) -> None:
        """Stop the core at the next opportunity if an exception can be taken."""
        if self._running and self.exceptions.candidate() is not None:
            self._stop_soon()

    def _stop_soon(self) -> None:
        self._halt = True
        self.recorder.stop_at(0)

    # What peripherals tell

    def note(self, text: str) -> None:
        """Keep a remark for the user, once."""
        if text not in self.notes:
            self.notes.append(text)

    def uart_byte(self, byte: int) -> None:
        """A byte that left the board through its serial port."""
        self.uart.append(byte)
        if self.on_uart:
            self.on_uart(byte)

    def uart_input(self, data: bytes) -> None:
        """Send bytes to USART1; they arrive at its baud rate, once its receiver is on."""
        self.peripheral("USART1").receive(data)

    def end(self, reason: str, detail: str = "") -> None:
        """End the run."""
        self.reason, self.detail = reason, detail
        self._stop_soon()

    def clocks_changed(self) -> None:
        """Follow the clock tree; raises BoardError for a frequency that the chip would not stand."""
        clock_peripherals.check_clocks(self)
        if self.scheduler.set_hclk(self.clocks()["hclk"]):
            for peripheral in self.bus.peripherals.values():
                if hasattr(peripheral, "clocks_changed"):
                    peripheral.clocks_changed()
            self._arm()

    def memory_changed(self) -> None:
        """Tell the recorder which caches work."""
        scb, flash, mpu = (self.peripheral(name) for name in ("SCB", "FLASH", "MPU"))
        caches = {"icache": bool(scb.field("CCR", 17)), "dcache": bool(scb.field("CCR", 16))}
        uncached = mpu.uncached([(FLASH_BASE, FLASH_BASE + FLASH_BYTES), SRAM])
        try:
            self.recorder.set_memory(**caches, art=bool(flash.field("ACR", 9)), uncached=uncached)
        except ValueError as error:
            raise BoardError(f"MPU: {error}") from None

    def fpu_changed(self, on: bool) -> None:
        """Let the FPU's instructions run, or raise a fault."""
        self._traps.fpu_on = on
        self._stop_soon()

    # Execution

    def run(
        self, until: str | None = None, *, seconds: float | None = None, max_instructions: int | None = None
    ) -> str:
        """Go on, and return why the run ended; `detail` says more.

        "until": before the first instruction of the function `until`; "seconds", "instructions": a limit was reached;
        "exit": semihosting; "idle": an endless loop or a sleep that nothing can end; "fault": the firmware crashed;
        "reset": by the firmware or the watchdog; or what a callback gave to `end`.
        """
        if max_instructions is not None and isinstance(self.recorder, AccessClock):
            raise BoardError("max_instructions: a machine without a recorder counts no instructions")
        stop_address = None if until is None else self.symbol(until)
        self.reason, self.detail = None, ""
        self._max_instructions = None if max_instructions is None else self.instructions + max_instructions
        limit = None if seconds is None else self.schedule(seconds, lambda: self.end("seconds"))
        try:
            while self.reason is None:
                self.scheduler.run_due()
                number = self.exceptions.candidate()
                if self.reason is None and number is not None:
                    self.exceptions.enter(number, self.core.pc)
                if self._max_instructions is not None and self.instructions >= self._max_instructions:
                    self.end("instructions")
                if self.reason is None:
                    self._execute(stop_address)
        except Lockup as error:
            self.end("fault", f"{self.faults[-1] if self.faults else ''}; {error}".lstrip("; "))
        except BoardError as error:
            raise BoardError(f"{error}; in {self.firmware.where(self.core.pc)}") from None
        finally:
            self._running = False
            if limit:
                limit.cancel()
        if self.reason in ("exit", "idle", "fault"):
            self.peripheral("USART1").finish()
        return self.reason

    def _execute(self, stop_address: int | None) -> None:
        """Run the core until something needs Python."""
        uc, pc = self.core.uc, self.core.pc
        until = _NEVER
        if stop_address is not None:
            until = stop_address
            if pc == stop_address and self._stopped_at == pc:  # go on: over the first instruction
                first, self._stopped_at = self.read(pc, 2), None
                until = self.core.lr & ~1 if first == _BX_LR else pc + (4 if first[1] >= 0xE8 else 2)
            elif pc == stop_address:
                self._stopped_at = pc
                return self.end("until")
        if until != self._last_until:  # Unicorn looks for its end address when it translates code, not at each pass
            uc.ctl_remove_cache(until, until + 1)
            self._last_until = until
        self._traps.signal, self._halt, self._running = None, False, True
        self._arm()
        counted = not isinstance(self.recorder, AccessClock)
        cycles = self.cycles
        try:
            uc.emu_start(pc | 1, until, 0 if counted else _SLICE_US)
            if self._replay is not None and self._error is None:  # finish the instruction that was interrupted
                self._stepping = True
                uc.emu_start(self.core.pc | 1, _NEVER, count=1)
        except UcError as error:
            if self._traps.signal is None and self._error is None:
                raise BoardError(f"the emulator failed: {error}") from None
        finally:
            self._running = self._stepping = False
            self._replay = None
            self._traps.tidy()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._traps.signal is not None and self.reason is None:
            self._traps.signal()
        elif not counted and self.cycles == cycles and self.core.pc != until:
            self.skip_to_next_event()  # a long computation, or a loop that waits for an interrupt
        return None

    def _read_register(self, address: int, size: int) -> int:
        if self._replay is not None and self._stepping and self._replay:
            return self._replay.pop(0)
        return self._access(lambda: self.bus.read(address, size))

    def _write_register(self, address: int, size: int, value: int) -> None:
        if self._replay is not None and self._stepping and self._replay:
            self._replay.pop(0)
        else:
            self._access(lambda: self.bus.write(address, size, value))

    def _access(self, access) -> int:
        """Serve an access. What goes wrong is raised after Unicorn has returned, as is its own way, without noise."""
        if self._error is not None:
            return 0
        try:
            value = access()
            if isinstance(self.recorder, AccessClock):
                self.recorder.add_cycles(AccessClock.ACCESS_CYCLES)
                due = self.scheduler.next_cycle()
                if (self._halt or (due is not None and due <= self.cycles)) and not self._stepping:
                    # Unicorn stops before the instruction has ended: it is executed again, with the same answer.
                    self._replay = [value]
                    self.core.uc.emu_stop()
        except BaseException as error:
            self._error = error
            self.core.uc.emu_stop()
            return 0
        return value or 0

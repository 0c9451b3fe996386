"""Reset and clock control, power control and flash interface of the STM32F746 (RM0385 chapters 3, 4 and 5)."""

from typing import ClassVar

from kwslib.registers import Peripheral, Register

HSE_HZ = 25_000_000  # crystal X2 of the STM32F746G-Discovery (UM1907)
HSI_HZ = 16_000_000
LSI_HZ = 32_000
LSE_HZ = 32_768
MHZ = 1_000_000
FLASH_HZ_PER_WAIT_STATE = 30 * MHZ  # supply of 2.7 to 3.6 V: RM0385 table 5
# Highest HCLK by voltage scale, without and with over-drive: RM0385 section 4.1.4 and datasheet table 17.
SCALE_LIMITS_HZ = {1: (144 * MHZ, 144 * MHZ), 2: (168 * MHZ, 180 * MHZ), 3: (180 * MHZ, 216 * MHZ)}
# Typical start-up times in seconds, from the datasheet (STM32F746 DocID027590, section 6.3).
STARTUP_S = {"HSI": 2.2e-6, "HSE": 2e-3, "PLL": 100e-6, "LSI": 15e-6, "LSE": 2.0, "OVERDRIVE": 45e-6}
PINRSTF, SFTRSTF, IWDGRSTF = 1 << 26, 1 << 28, 1 << 29  # of RCC_CSR; every reset pulls the pin: RM0385 section 5.1
_AHB_SHIFT = (0,) * 8 + (1, 2, 3, 4, 6, 7, 8, 9)
_APB_SHIFT = (0,) * 4 + (1, 2, 3, 4)
_OSCILLATORS = {"HSI": 0, "HSE": 16, "PLL": 24, "PLLI2S": 26, "PLLSAI": 28}  # bit of RCC_CR; ready is the next bit


class Rcc(Peripheral):
    """RCC: oscillators become ready some time after they are enabled; `clocks()` follows the registers."""

    REGISTERS: ClassVar = {
        0x00: Register("CR", 0x00000083, 0x150D00F9, unmodelled=1 << 19),
        0x04: Register("PLLCFGR", 0x24003010, 0x0F437FFF),
        0x08: Register("CFGR", 0, 0xFFFFFCF3),
        0x0C: Register("CIR", 0, 0x00FF7F00, unmodelled=0x00007F00),
        **{
            offset: Register(name, 0, writable)
            for offset, name, writable in (
                (0x10, "AHB1RSTR", 0x22E017FF),
                (0x14, "AHB2RSTR", 0xF1),
                (0x18, "AHB3RSTR", 0x3),
                (0x20, "APB1RSTR", 0xFFFECBFF),
                (0x24, "APB2RSTR", 0x04F77933),
                (0x34, "AHB2ENR", 0xF1),
                (0x38, "AHB3ENR", 0x3),
                (0x40, "APB1ENR", 0xFFFECBFF),
                (0x44, "APB2ENR", 0x04F77F33),
            )
        },
        0x30: Register("AHB1ENR", 0x00100000, 0x7EF417FF),
        0x50: Register("AHB1LPENR", 0x7EF7B7FF),
        0x54: Register("AHB2LPENR", 0x000000F1),
        0x58: Register("AHB3LPENR", 0x00000003),
        0x60: Register("APB1LPENR", 0xFFFECBFF),
        0x64: Register("APB2LPENR", 0x04F77F33),
        0x70: Register("BDCR", 0, 0x0001831D),
        0x74: Register("CSR", 0x0E000000, 0x01000001),
        0x80: Register("SSCGR", 0, 0xFFFFFFFF, unmodelled=0x80000000),
        0x84: Register("PLLI2SCFGR", 0x24003000, 0x7F037FC0),
        0x88: Register("PLLSAICFGR", 0x24003000, 0x7F037FC0),
        0x8C: Register("DCKCFGR1", 0x20003000, 0x01FF1F1F),
        0x90: Register("DCKCFGR2", 0, 0x3FFFFFFF),
    }

    def write_cr(self, value: int) -> None:
        before, self.values["CR"] = self.values["CR"], value
        for name, bit in _OSCILLATORS.items():
            if (before ^ value) >> bit & 1:
                if value >> bit & 1:
                    if name.startswith("PLL"):
                        self._check_pll(name)
                    self._start("CR", name, 1 << bit, 1 << bit + 1)
                else:
                    self._stop(name, bit)

    def _start(self, register: str, name: str, enable: int, ready: int) -> None:
        seconds = STARTUP_S.get(name, STARTUP_S["PLL"])
        self.machine.schedule(seconds, lambda: self.put(register, ready, bool(self.values[register] & enable)))

    def _stop(self, name: str, bit: int) -> None:
        used = self.field("CFGR", 2, 2)
        if name == ("HSI", "HSE", "PLL")[used]:
            raise self.error("CR", f"{name} is switched off while it is the system clock: switch RCC_CFGR first")
        self.put("CR", 1 << bit + 1, False)

    def write_pllcfgr(self, value: int) -> None:
        if self.field("CR", 24) and value != self.values["PLLCFGR"]:
            raise self.error("PLLCFGR", "written while the PLL is on: clear PLLON of RCC_CR first")
        self.values["PLLCFGR"] = value

    def _check_pll(self, name: str) -> None:
        source = self._pll_source_hz()
        divider = self.field("PLLCFGR", 0, 6)
        if not self.field("CR", 17 if self.field("PLLCFGR", 22) else 1):
            raise self.error("CR", f"{name} is enabled before its source is ready: wait for HSERDY or HSIRDY")
        if divider < 2:
            raise self.error("PLLCFGR", f"PLLM is {divider}: 2 to 63 are allowed")
        if not 0.95 * MHZ <= source / divider <= 2.1 * MHZ:
            raise self.error("PLLCFGR", f"input of the PLL is {source / divider / MHZ:g} MHz: 1 to 2 MHz are allowed")
        register = {"PLL": "PLLCFGR"}.get(name, f"{name}CFGR")
        factor = self.field(register, 6, 9)
        if not (50 <= factor <= 432 and 100 * MHZ <= source / divider * factor <= 432 * MHZ):
            output = source / divider * factor / MHZ
            raise self.error(register, f"{name} runs at {output:g} MHz, N = {factor}: 100 to 432 MHz are allowed")

    def write_cfgr(self, value: int) -> None:
        wanted = value & 3
        if wanted == 3:
            raise self.error("CFGR", "SW = 3 is not allowed")
        name = ("HSI", "HSE", "PLL")[wanted]
        if not self.field("CR", _OSCILLATORS[name] + 1):
            raise self.error("CFGR", f"system clock is switched to {name} before it is ready: wait for {name}RDY")
        self.values["CFGR"] = value & ~0xC | wanted << 2
        self.machine.clocks_changed()

    def write_cir(self, value: int) -> None:
        """Interrupts of oscillators are not modelled; their flags are never set."""

    def write_bdcr(self, value: int) -> None:
        if not self.machine.peripheral("PWR").field("CR1", 8):
            return  # write-protected until PWR_CR1.DBP is set
        started = value & ~self.values["BDCR"] & 1
        self.values["BDCR"] = value if value & 1 else value & ~2
        if started:
            self._start("BDCR", "LSE", 1, 2)

    def write_csr(self, value: int) -> None:
        if value >> 24 & 1:  # RMVF
            value &= 0x00FFFFFF
        started = value & ~self.values["CSR"] & 1
        self.values["CSR"] = value & ~(1 << 24) if value & 1 else value & ~(1 << 24 | 2)
        if started:
            self._start("CSR", "LSI", 1, 2)

    def _gates(self, register: str, value: int) -> None:
        self.values[register] = value
        for peripheral in self.machine.bus.peripherals.values():
            if peripheral.gate and peripheral.gate[0] == register:
                peripheral.clocked = bool(value >> peripheral.gate[1] & 1)

    def write_ahb1enr(self, value: int) -> None:
        self._gates("AHB1ENR", value)

    def write_ahb2enr(self, value: int) -> None:
        self._gates("AHB2ENR", value)

    def write_apb1enr(self, value: int) -> None:
        self._gates("APB1ENR", value)

    def write_apb2enr(self, value: int) -> None:
        self._gates("APB2ENR", value)

    def _pll_source_hz(self) -> int:
        return HSE_HZ if self.field("PLLCFGR", 22) else HSI_HZ

    def _vco_hz(self, name: str) -> float:
        """Output of a PLL before its dividers, 0 while it is not locked."""
        if not self.field("CR", _OSCILLATORS[name] + 1):
            return 0
        register = "PLLCFGR" if name == "PLL" else f"{name}CFGR"
        return self._pll_source_hz() / self.field("PLLCFGR", 0, 6) * self.field(register, 6, 9)

    def clocks(self) -> dict[str, float]:
        """Frequencies in Hz that follow from the registers (RM0385 figure 13); 0 for a clock that does not run.

        Keys: sysclk, hclk (core and buses), pclk1, pclk2, timers1, timers2 (timers of APB1 and APB2), usart1, sai2,
        clk48.
        """
        pll = self._vco_hz("PLL")
        sysclk = (HSI_HZ, HSE_HZ, pll / (2 * self.field("PLLCFGR", 16, 2) + 2))[self.field("CFGR", 2, 2)]
        hclk = sysclk / 2 ** _AHB_SHIFT[self.field("CFGR", 4, 4)]
        shift1, shift2 = (_APB_SHIFT[self.field("CFGR", low, 3)] for low in (10, 13))
        pclk1, pclk2 = hclk / 2**shift1, hclk / 2**shift2
        most = 2 if self.field("DCKCFGR1", 24) else 1  # TIMPRE: timers run at HCLK up to that divider of APB
        timers = [hclk if shift <= most else hclk / 2**shift * 2**most for shift in (shift1, shift2)]
        lse = LSE_HZ if self.field("BDCR", 1) else 0
        hsi = HSI_HZ if self.field("CR", 1) else 0
        usart1 = (pclk2, sysclk, hsi, lse)[self.field("DCKCFGR2", 0, 2)]
        i2s = self._vco_hz("PLLI2S") / max(2, self.field("PLLI2SCFGR", 24, 4)) / (self.field("DCKCFGR1", 0, 5) + 1)
        sai = self._vco_hz("PLLSAI") / max(2, self.field("PLLSAICFGR", 24, 4)) / (self.field("DCKCFGR1", 8, 5) + 1)
        clk48 = pll / max(2, self.field("PLLCFGR", 24, 4))
        if self.field("DCKCFGR2", 27):
            clk48 = self._vco_hz("PLLSAI") / (2 * self.field("PLLSAICFGR", 16, 2) + 2)
        return {
            "sysclk": sysclk,
            "hclk": hclk,
            "pclk1": pclk1,
            "pclk2": pclk2,
            "timers1": timers[0],
            "timers2": timers[1],
            "usart1": usart1,
            "sai2": (sai, i2s, 0, 0)[self.field("DCKCFGR1", 22, 2)],
            "clk48": clk48,
        }


class Pwr(Peripheral):
    """PWR: over-drive and voltage scale; the standby and stop modes are not modelled."""

    REGISTERS: ClassVar = {
        0x00: Register("CR1", 0x0000C000, 0x000FEFFF),
        0x04: Register("CSR1", 0, 0x000C0300),
        0x08: Register("CR2", 0, 0x00003F3F),
        0x0C: Register("CSR2", 0, 0x00003F00),
    }
    _ODRDY, _ODSWRDY, _VOSRDY = 1 << 16, 1 << 17, 1 << 14

    def write_cr1(self, value: int) -> None:
        self.values["CR1"] = value & ~0xC  # CWUPF and CSBF are read as 0
        for ready in (self._ODRDY, self._ODSWRDY):  # enable bits and ready bits have the same places
            if value & ready:
                self.machine.schedule(
                    0.0 if self.values["CSR1"] & ready else STARTUP_S["OVERDRIVE"], lambda bit=ready: self._ready(bit)
                )
            else:
                self.put("CSR1", ready, False)
        self.machine.clocks_changed()

    def _ready(self, bit: int) -> None:
        if self.values["CR1"] & bit:
            self.put("CSR1", bit)

    def read_csr1(self) -> int:
        ready = self.machine.peripheral("RCC").field("CR", 25)
        return self.values["CSR1"] | (self._VOSRDY if ready else 0)

    def write_csr1(self, value: int) -> None:
        self.values["CSR1"] = value & ~0x000C0000 | self.values["CSR1"] & 0x000C0000 & ~value  # UDRDY: ones clear

    def highest_hz(self) -> int:
        """Highest HCLK that voltage scale and over-drive allow."""
        overdrive = self.values["CSR1"] & self._ODRDY and self.values["CSR1"] & self._ODSWRDY
        return SCALE_LIMITS_HZ[max(1, self.field("CR1", 14, 2))][bool(overdrive)]


class Flash(Peripheral):
    """FLASH: wait states, prefetch and ART accelerator; programming is not modelled."""

    REGISTERS: ClassVar = {
        0x00: Register("ACR", 0, 0x00000B0F),
        0x04: Register("KEYR", 0, unmodelled=0xFFFFFFFF),
        0x08: Register("OPTKEYR", 0, unmodelled=0xFFFFFFFF),
        0x0C: Register("SR", 0, 0x000001F3, command=True),
        0x10: Register("CR", 0x80000000, 0, unmodelled=0x7FFFFFFF),
        0x14: Register("OPTCR", 0xC0FFAAFD, 0),
        0x18: Register("OPTCR1", 0x00400080, 0),
    }

    def write_acr(self, value: int) -> None:
        if value & 1 << 9 and value & 1 << 11:
            raise self.error("ACR", "ARTRST is set while ARTEN is set: the accelerator must be off")
        self.values["ACR"] = value
        self.machine.clocks_changed()
        self.machine.memory_changed()

    def write_sr(self, value: int) -> None:
        """Flags of errors, which are never set here."""


def check_clocks(machine) -> None:
    """Raise BoardError if the chip would not run reliably at its clock frequencies."""
    clocks, flash, pwr = machine.clocks(), machine.peripheral("FLASH"), machine.peripheral("PWR")
    hclk, wait_states = clocks["hclk"], flash.field("ACR", 0, 4)
    rcc = machine.peripheral("RCC")
    if hclk > (wait_states + 1) * FLASH_HZ_PER_WAIT_STATE:
        needed = -(-int(hclk) // FLASH_HZ_PER_WAIT_STATE) - 1
        raise flash.error("ACR", f"{wait_states} wait states at {hclk / MHZ:g} MHz: LATENCY must be {needed} or more")
    if hclk > pwr.highest_hz():
        highest = pwr.highest_hz() / MHZ
        raise pwr.error("CR1", f"HCLK is {hclk / MHZ:g} MHz, but voltage scale and over-drive allow {highest:g} MHz")
    for name, limit in (("pclk1", 54 * MHZ), ("pclk2", 108 * MHZ)):
        if clocks[name] > limit:
            raise rcc.error("CFGR", f"{name} is {clocks[name] / MHZ:g} MHz: at most {limit / MHZ:g} MHz are allowed")

"""Clock tree from register values, and the mistakes that the chip would not forgive."""

import pytest
from board_firmware import Registers, machine

from kwslib.machine import BoardError

RCC_CR, PLLCFGR, CFGR, APB1ENR, BDCR, CSR = (0x40023800 + offset for offset in (0, 4, 8, 0x40, 0x70, 0x74))
PLLI2SCFGR, PLLSAICFGR, DCKCFGR1, DCKCFGR2 = (0x40023800 + offset for offset in (0x84, 0x88, 0x8C, 0x90))
PWR_CR1, PWR_CSR1, FLASH_ACR = 0x40007000, 0x40007004, 0x40023C00
HSEON, HSERDY, PLLON, PLLRDY = 1 << 16, 1 << 17, 1 << 24, 1 << 25
PLL_216 = 25 | 432 << 6 | 1 << 22 | 9 << 24


@pytest.fixture
def registers():
    return Registers()


def at_216_mhz(registers):
    registers[APB1ENR] |= 1 << 28
    registers[RCC_CR] |= HSEON
    registers.wait(3e-3)
    registers[PLLCFGR] = PLL_216
    registers[RCC_CR] |= PLLON
    registers[PWR_CR1] |= 1 << 16
    registers.wait(1e-3)
    registers[PWR_CR1] |= 1 << 17
    registers.wait(1e-3)
    registers[FLASH_ACR] = 7 | 3 << 8
    registers[CFGR] = 5 << 10 | 4 << 13
    registers[CFGR] |= 2


def test_after_reset_hsi_clocks_everything(registers):
    clocks = registers.machine.clocks()
    assert {name: clocks[name] for name in ("sysclk", "hclk", "pclk1", "pclk2", "usart1")} == dict.fromkeys(
        ("sysclk", "hclk", "pclk1", "pclk2", "usart1"), 16e6
    )
    assert clocks["sai2"] == 0
    assert registers[RCC_CR] & 3 == 3 and registers[CFGR] == 0


def test_216_mhz_from_register_values(registers):
    at_216_mhz(registers)
    clocks = registers.machine.clocks()
    assert clocks["sysclk"] == clocks["hclk"] == 216e6
    assert (clocks["pclk1"], clocks["pclk2"], clocks["timers1"]) == (54e6, 108e6, 108e6)
    assert clocks["clk48"] == 48e6
    assert registers[CFGR] >> 2 & 3 == 2  # SWS follows
    assert registers[PWR_CSR1] & 0x34000 == 0x34000  # over-drive ready and switched, voltage scale ready


def test_the_firmware_reaches_216_mhz():
    board = machine("int main(void) { clock_216_mhz(); leave(0); }")
    assert board.run() == "exit"
    assert board.clocks()["hclk"] == 216e6
    assert board.time_s > 2e-3  # the crystal has to start


@pytest.mark.parametrize("bit, ready_s", [(16, 2e-3), (24, 1e-4), (26, 1e-4), (28, 1e-4)])
def test_ready_bits_come_after_a_while(registers, bit, ready_s):
    registers[RCC_CR] |= 1 << bit
    assert not registers[RCC_CR] >> bit + 1 & 1
    registers.wait(0.9 * ready_s)
    assert not registers[RCC_CR] >> bit + 1 & 1
    registers.wait(0.2 * ready_s)
    assert registers[RCC_CR] >> bit + 1 & 1
    registers[RCC_CR] &= ~(1 << bit)
    assert not registers[RCC_CR] >> bit + 1 & 1


def test_low_speed_oscillators(registers):
    registers[CSR] |= 1
    registers.wait(1e-3)
    assert registers[CSR] & 3 == 3
    registers[APB1ENR] |= 1 << 28
    registers[BDCR] = 1
    assert registers[BDCR] == 0  # protected by PWR_CR1.DBP
    registers[PWR_CR1] |= 1 << 8
    registers[BDCR] = 1
    registers.wait(2.1)
    assert registers[BDCR] & 3 == 3
    assert registers[CSR] >> 25 & 7 == 7  # reset flags: power-on, pin, brown-out
    registers[CSR] |= 1 << 24
    assert registers[CSR] >> 25 & 7 == 0


def test_kernel_clock_of_the_serial_port(registers):
    at_216_mhz(registers)
    frequencies = []
    for source in range(4):
        registers[DCKCFGR2] = source
        frequencies.append(registers.machine.clocks()["usart1"])
    assert frequencies == [108e6, 216e6, 16e6, 0]  # PCLK2, SYSCLK, HSI, LSE (off)


def test_audio_clocks(registers):
    """48 kHz family of RM0385 table 183: VCO input 1 MHz, N 344, Q 7, DIVQ 1 give 49.142 MHz."""
    registers[RCC_CR] |= HSEON
    registers.wait(3e-3)
    registers[PLLCFGR] = PLL_216
    registers[PLLI2SCFGR] = 344 << 6 | 7 << 24 | 2 << 28
    registers[PLLSAICFGR] = 192 << 6 | 2 << 24 | 2 << 28
    registers[DCKCFGR1] = 1 << 8 | 1 << 22  # PLLSAI divided by 2; SAI2 from PLLI2S
    registers[RCC_CR] |= 1 << 26 | 1 << 28
    assert registers.machine.clocks()["sai2"] == 0
    registers.wait(1e-3)
    assert registers.machine.clocks()["sai2"] == pytest.approx(344e6 / 7)
    registers[DCKCFGR1] = 1 << 8
    assert registers.machine.clocks()["sai2"] == 192e6 / 2 / 2
    registers[DCKCFGR1] = 1 << 8 | 2 << 22
    assert registers.machine.clocks()["sai2"] == 0  # a pin of which nothing is connected


def test_timers_run_at_twice_the_bus_or_at_the_core_clock(registers):
    at_216_mhz(registers)
    assert [registers.machine.clocks()[name] for name in ("timers1", "timers2")] == [108e6, 216e6]
    registers[DCKCFGR1] = 1 << 24
    assert [registers.machine.clocks()[name] for name in ("timers1", "timers2")] == [216e6, 216e6]


def test_time_goes_on_when_the_clock_changes(registers):
    board = registers.machine
    board.recorder.add_cycles(16_000)
    assert board.time_s == pytest.approx(1e-3)
    before = board.time_s
    registers[CFGR] = 8 << 4  # HCLK = HSI / 2
    assert board.clocks()["hclk"] == 8e6 and board.time_s == before
    board.recorder.add_cycles(8_000)
    assert board.time_s == pytest.approx(2e-3)


def test_wrong_orders_are_refused(registers):
    with pytest.raises(BoardError, match=r"RCC_CFGR: system clock is switched to HSE before it is ready"):
        registers[CFGR] = 1
    registers[PLLCFGR] = PLL_216
    with pytest.raises(BoardError, match=r"RCC_CR: PLL is enabled before its source is ready: wait for HSERDY"):
        registers[RCC_CR] |= PLLON
    with pytest.raises(BoardError, match=r"RCC_CR: HSI is switched off while it is the system clock"):
        registers[RCC_CR] &= ~1


@pytest.mark.parametrize(
    "pllcfgr, message",
    [
        (0 | 432 << 6, "PLLM is 0"),
        (4 | 100 << 6, "input of the PLL is 4 MHz"),
        (16 | 433 << 6, "PLL runs at 433 MHz, N = 433"),
        (16 | 60 << 6, "PLL runs at 60 MHz, N = 60: 100 to 432 MHz are allowed"),
    ],
)
def test_limits_of_the_pll(registers, pllcfgr, message):
    registers[PLLCFGR] = pllcfgr
    with pytest.raises(BoardError, match=message):
        registers[RCC_CR] |= PLLON


def test_the_pll_cannot_be_changed_while_it_runs(registers):
    registers[PLLCFGR] = 16 | 192 << 6
    registers[RCC_CR] |= PLLON
    with pytest.raises(BoardError, match=r"RCC_PLLCFGR: written while the PLL is on"):
        registers[PLLCFGR] = 16 | 193 << 6


@pytest.mark.parametrize(
    "n, wait_states, apb1, overdrive, message",
    [
        (360, 5, 5, False, None),  # 180 MHz
        (360, 4, 5, False, r"FLASH_ACR: 4 wait states at 180 MHz: LATENCY must be 5 or more"),
        (432, 7, 5, False, r"PWR_CR1: HCLK is 216 MHz, but voltage scale and over-drive allow 180 MHz"),
        (432, 6, 5, True, r"6 wait states at 216 MHz: LATENCY must be 7"),
        (432, 7, 4, True, r"RCC_CFGR: pclk1 is 108 MHz: at most 54 MHz are allowed"),
        (432, 7, 5, True, None),
    ],
)
def test_frequencies_that_the_chip_would_not_stand(registers, n, wait_states, apb1, overdrive, message):
    registers[APB1ENR] |= 1 << 28
    registers[PLLCFGR] = 16 | n << 6
    registers[RCC_CR] |= PLLON
    if overdrive:
        registers[PWR_CR1] |= 1 << 16
        registers.wait(1e-3)
        registers[PWR_CR1] |= 1 << 17
    registers.wait(1e-3)
    registers[FLASH_ACR] = wait_states
    registers[CFGR] = apb1 << 10 | 4 << 13
    if message is None:
        registers[CFGR] |= 2
        assert registers.machine.clocks()["hclk"] == n / 2 * 1e6
    else:
        with pytest.raises(BoardError, match=message):
            registers[CFGR] |= 2


def test_the_voltage_scale_limits_the_clock(registers):
    registers[APB1ENR] |= 1 << 28
    registers[PWR_CR1] = 1 << 14  # scale 3
    registers[PLLCFGR] = 16 | 336 << 6
    registers[RCC_CR] |= PLLON
    registers.wait(1e-3)
    registers[FLASH_ACR] = 7
    registers[CFGR] = 5 << 10 | 4 << 13
    with pytest.raises(BoardError, match="HCLK is 168 MHz, but voltage scale and over-drive allow 144 MHz"):
        registers[CFGR] |= 2


def test_programming_flash_is_not_modelled(registers):
    with pytest.raises(BoardError, match="FLASH_KEYR bit"):
        registers[0x40023C04] = 0x45670123

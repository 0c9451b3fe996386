"""Which peripherals the emulated STM32F746G-Discovery has, and where (RM0385 section 2.2.2 and table 45)."""

from kwslib.audio_peripherals import Sai
from kwslib.clock_peripherals import Flash, Pwr, Rcc
from kwslib.core_peripherals import Mpu, Nvic, Scb
from kwslib.core_timers import Dwt, SysTick
from kwslib.dma import DMA2_IRQS, Dma
from kwslib.i2c import I2c
from kwslib.peripherals import Dbgmcu, Exti, Gpio, Syscfg, Watchdog
from kwslib.timers import Timer
from kwslib.usart import Usart
from kwslib.wm8994 import Wm8994

_SCS = 0xE000E000  # system control space of the core
# Transmit and receive pins of USART1: port, pin, alternate function (datasheet table 12). The first of each is
# connected to the ST-LINK (UM1907).
_USART1_PINS = (("A", 9, 7), ("B", 6, 7)), (("B", 7, 7), ("A", 10, 7))

# Clock and data of I2C3, and the codec there (UM1907, datasheet table 12; 0x34 counts the direction bit).
_I2C3_PINS, _CODEC_ADDRESS = (("H", 7, 4), ("H", 8, 4)), 0x34 >> 1


def add_peripherals(machine) -> None:
    """Give a machine its peripherals, in their state after reset."""
    Scb(machine, "SCB", _SCS)
    Nvic(machine, "NVIC", _SCS)
    Mpu(machine, "MPU", _SCS)
    SysTick(machine, "SysTick", _SCS)
    Dwt(machine, "DWT", 0xE0001000)
    Dbgmcu(machine, "DBGMCU", 0xE0042000)
    Rcc(machine, "RCC", 0x40023800)
    Pwr(machine, "PWR", 0x40007000, ("APB1ENR", 28))
    Flash(machine, "FLASH", 0x40023C00)
    for number, port in enumerate("ABCDEFGHIJK"):
        Gpio(machine, f"GPIO{port}", 0x40020000 + 0x400 * number, ("AHB1ENR", number))
    Usart(machine, "USART1", 0x40011000, ("APB2ENR", 4), 37, _USART1_PINS)
    Watchdog(machine, "IWDG", 0x40003000)
    Syscfg(machine, "SYSCFG", 0x40013800, ("APB2ENR", 14))
    Exti(machine, "EXTI", 0x40013C00)
    Timer(machine, "TIM2", 0x40000000, ("APB1ENR", 0), 28, 32)
    Timer(machine, "TIM5", 0x40000C00, ("APB1ENR", 3), 50, 32)
    dma = Dma(machine, "DMA2", 0x40026400, ("AHB1ENR", 22), DMA2_IRQS)
    codec = Wm8994(machine)
    Sai(machine, "SAI2", 0x40015C00, ("APB2ENR", 23), dma, codec)
    I2c(machine, "I2C3", 0x40005C00, ("APB1ENR", 23), _I2C3_PINS).devices[_CODEC_ADDRESS] = codec

"""The register header against ST's SVD file and the manuals of the Armv7-M core."""

import importlib.util
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from kwslib import toolchain

HEADER = toolchain.SOURCE_FOLDER / "boards" / "stm32f746g-disco" / "stm32f746.h"
# Names of RM0385 that ST's file spells in another way: (peripheral, register) and (register, field).
SVD_PERIPHERALS = {"SYSTICK": "STK"}
SVD_REGISTERS = {
    ("GPIOA", "OSPEEDR"): "GPIOB_OSPEEDR",
    ("GPIOB", "OSPEEDR"): "GPIOB_OSPEEDR",
    ("GPIOG", "OSPEEDR"): "GPIOB_OSPEEDR",
    ("GPIOH", "OSPEEDR"): "GPIOB_OSPEEDR",
    ("GPIOI", "OSPEEDR"): "GPIOB_OSPEEDR",
    ("SCB", "SHCSR"): "SHCRS",
    ("SCB", "CFSR"): "CFSR_UFSR_BFSR_MMFSR",
    **{("MPU", name): f"MPU_{name}" for name in ("TYPER", "CTRL", "RNR", "RBAR", "RASR")},
}
SVD_FIELDS = {("CSR", "IWDGRSTF"): "WDGRSTF"}
# Absent from ST's file. Addresses: Armv7-M manual (Arm DDI 0403E) tables B3-4, B3-7 (caches: B2.2.7, B4.8) and C1-21;
# the lock of the DWT: Cortex-M7 manual (Arm DDI 0489) section 9.4, CoreSight's common LAR at 0xFB0.
CORE_REGISTERS = {
    "SCB.CCSIDR": 0xE000ED80,
    "SCB.CSSELR": 0xE000ED84,
    "SCB.CPACR": 0xE000ED88,
    "SCB.ICIALLU": 0xE000EF50,
    "SCB.DCISW": 0xE000EF60,
    "CORE_DEBUG.DEMCR": 0xE000EDFC,
    "DWT.CTRL": 0xE0001000,
    "DWT.CYCCNT": 0xE0001004,
    "DWT.LAR": 0xE0001FB0,
}
# Bits of the same registers: DDI 0403E sections B3.2.20, B4.8.3, C1.6.5 and C1.8.7.
CORE_FIELDS = {
    "SCB_CPACR_CP10_CP11": 0x00F00000,
    "SCB_CCSIDR_ASSOCIATIVITY": 0x00001FF8,
    "SCB_CCSIDR_NUMSETS": 0x0FFFE000,
    "CORE_DEBUG_DEMCR_TRCENA": 0x01000000,
    "DWT_CTRL_CYCCNTENA": 0x00000001,
}
# The whole Armv7-M part once more from DDI 0403E and PM0253, for machines without ST's file.
CORE_ADDRESSES = {
    "SYSTICK.CSR": 0xE000E010,
    "SYSTICK.RVR": 0xE000E014,
    "SYSTICK.CVR": 0xE000E018,
    "SCB.CPUID": 0xE000ED00,
    "SCB.ICSR": 0xE000ED04,
    "SCB.VTOR": 0xE000ED08,
    "SCB.CCR": 0xE000ED14,
    "SCB.SHCSR": 0xE000ED24,
    "SCB.CFSR": 0xE000ED28,
    "SCB.HFSR": 0xE000ED2C,
    "SCB.MMFAR": 0xE000ED34,
    "SCB.BFAR": 0xE000ED38,
    "MPU.TYPER": 0xE000ED90,
    "MPU.CTRL": 0xE000ED94,
    "MPU.RNR": 0xE000ED98,
    "MPU.RBAR": 0xE000ED9C,
    "MPU.RASR": 0xE000EDA0,
    **CORE_REGISTERS,
}


@pytest.fixture(scope="module")
def header(tmp_path_factory):
    """What the header says, by a compiler: {"RCC.CR": address, ...} and {"RCC_CR_HSEON": mask, ...}."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler (cc) on this computer")
    text = HEADER.read_text(encoding="utf-8")
    structs = {
        name: re.findall(r"volatile uint32_t (\w+);", body)
        for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", text, flags=re.DOTALL)
    }
    instances = re.findall(r"^#define (\w+) \(\((\w+) \*\)", text, flags=re.MULTILINE)
    addresses = [f"{name}.{member}" for name, struct in instances for member in structs[struct]]
    masks = re.findall(r"^#define (\w+_\w+) \(", text, flags=re.MULTILINE)
    masks = [name for name in masks if name not in dict(instances) and name != "FIELD_OF"]
    lines = [f'printf("{name} %lx\\n", (unsigned long)&{name.replace(".", "->")});' for name in addresses]
    lines += [f'printf("{name} %lx\\n", (unsigned long){name});' for name in masks]
    folder = tmp_path_factory.mktemp("header")
    source = folder / "show.c"
    source.write_text(f'#include <stdio.h>\n#include "{HEADER}"\nint main(void) {{ {" ".join(lines)} return 0; }}\n')
    subprocess.run(["cc", "-w", str(source), "-o", str(folder / "show")], check=True)
    shown = subprocess.run([str(folder / "show")], capture_output=True, text=True, check=True).stdout.split()
    values = dict(zip(shown[::2], (int(word, 16) for word in shown[1::2]), strict=True))
    return {name: values[name] for name in addresses}, {name: values[name] for name in masks}


@pytest.fixture(scope="module")
def svd():
    """ST's description of the chip: peripheral to (base address, {register: (offset, {field: mask})})."""
    root = ElementTree.parse(_svd_path()).getroot()
    nodes = {node.findtext("name"): node for node in root.iter("peripheral")}
    found = {}
    for name, node in nodes.items():
        registers = {}
        for register in nodes[node.get("derivedFrom", name)].iter("register"):
            fields = {
                field.findtext("name"): ((1 << int(field.findtext("bitWidth"))) - 1) << int(field.findtext("bitOffset"))
                for field in register.iter("field")
            }
            registers[register.findtext("name")] = int(register.findtext("addressOffset"), 0), fields
        found[name] = int(node.findtext("baseAddress"), 0), registers
    return found


def _svd_path():
    """ST's file: `$KWS_SVD`, or of an installed cmsis_svd package that has it."""
    if os.environ.get("KWS_SVD"):
        return Path(os.environ["KWS_SVD"])
    package = importlib.util.find_spec("cmsis_svd")
    for folder in package.submodule_search_locations if package else []:
        for path in Path(folder).rglob("STM32F7x6.svd"):
            return path
    pytest.skip("no STM32F7x6.svd: name the file in KWS_SVD (github.com/cmsis-svd/cmsis-svd-data, data/STMicro)")


def test_header_is_read_in_full(header):
    addresses, masks = header
    text = HEADER.read_text(encoding="utf-8")
    assert len(addresses) > 60 and len(masks) == len(re.findall(r"<< \d+\)$", text, flags=re.MULTILINE)) > 70
    assert addresses["RCC.PLLCFGR"] == 0x40023804 and masks["RCC_PLLCFGR_PLLN"] == 0x7FC0


def test_every_peripheral_register_is_where_st_says(header, svd):
    for name, address in header[0].items():
        if name not in CORE_REGISTERS:
            peripheral, register = name.split(".")
            base, registers = svd[SVD_PERIPHERALS.get(peripheral, peripheral)]
            offset, _ = registers[SVD_REGISTERS.get((peripheral, register), register)]
            assert address == base + offset, name


def test_every_field_is_where_st_says(header, svd):
    for name, mask in header[1].items():
        if name in CORE_FIELDS:
            continue
        peripheral, register, field = name.split("_", 2)
        peripheral = {"USART": "USART1"}.get(peripheral, peripheral)
        _, registers = svd[SVD_PERIPHERALS.get(peripheral, peripheral)]
        _, fields = registers[SVD_REGISTERS.get((peripheral, register), register)]
        field = SVD_FIELDS.get((register, field), field)
        # Some fields of several bits are given bit by bit: PLLN0, PLLN1, ...
        parts = [bits for part, bits in fields.items() if re.fullmatch(rf"{field}\d*", part)]
        assert parts and mask == sum(parts), name


def test_core_registers_are_where_arm_says(header):
    addresses, masks = header
    assert {name: addresses[name] for name in CORE_ADDRESSES} == CORE_ADDRESSES
    assert {name: masks[name] for name in CORE_FIELDS} == CORE_FIELDS

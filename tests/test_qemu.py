"""Instructions that the emulated board counts beside QEMU's, address by address, on one ELF that runs on both."""

import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import arm_code
import pytest

from kwslib.machine import Firmware, Machine

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    return arm_code.build_workload(tmp_path_factory.mktemp("workload"))


@pytest.fixture(scope="module")
def counts_of_qemu(elf, tmp_path_factory):
    """Address to executions, by a plugin in QEMU."""
    if not shutil.which("qemu-system-arm"):
        pytest.skip("qemu-system-arm is not installed (Debian: apt-get install qemu-system-arm)")
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        pytest.skip("no C compiler for QEMU's plugin")
    folder = tmp_path_factory.mktemp("qemu")
    plugin, counts = folder / "count.so", folder / "counts.txt"
    subprocess.run([compiler, "-shared", "-fPIC", HERE / "qemu_count.c", "-o", plugin], check=True)
    command = ["qemu-system-arm", "-M", "mps2-an500", "-display", "none", "-monitor", "none", "-serial", "null"]
    command += ["-semihosting-config", "enable=on,target=native", "-plugin", plugin, "-kernel", elf]
    done = subprocess.run(
        command, env=os.environ | {"QEMU_COUNT_OUTPUT": str(counts)}, capture_output=True, text=True, timeout=60
    )
    if not counts.is_file():
        pytest.skip(f"this QEMU does not run the plugin: {done.stderr.strip()[:200]}")
    assert done.returncode == 0
    memory = dict(Firmware.load(elf).code)
    code = {base + offset: data[offset : offset + 2] for base, data in memory.items() for offset in range(len(data))}
    executed = Counter()
    for line in counts.read_text().splitlines():
        address, instructions, count = (int(word) for word in line.split())
        for _ in range(instructions):
            executed[address] += count
            address += 4 if int.from_bytes(code[address], "little") >> 11 >= 0x1D else 2
    return +executed


def test_counts_equal_qemu_address_by_address(elf, counts_of_qemu):
    machine = Machine(Firmware.load(elf))
    assert machine.run() == "exit" and machine.exit_code == 0
    snapshot, executed = machine.recorder.snapshot(), Counter()
    for block, count in zip(snapshot.code, snapshot.blocks["count"], strict=True):
        for instruction in block:
            executed[instruction.address] += int(count)
    assert +executed == counts_of_qemu
    assert machine.instructions == counts_of_qemu.total() > 10_000

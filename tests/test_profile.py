"""Tables by function of a recorded run."""

import arm_code
import pandas as pd
import pytest
from arm_code import FLASH, BareCore, assemble

from kwslib import profile
from kwslib.machine import Firmware, Machine
from kwslib.recorder import Recorder

N_FIBONACCI = 89  # calls: the compiler turns one of the two recursions into a loop


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Machine after the workload, and a snapshot taken before `clip`."""
    machine = Machine(Firmware.load(arm_code.build_workload(tmp_path_factory.mktemp("workload"))))
    assert machine.run(until="fibonacci") == "until"
    before = machine.recorder.snapshot()
    assert machine.run() == "exit"
    return machine, before


@pytest.fixture(scope="module")
def table(ran):
    machine, _ = ran
    return profile.table(machine.recorder, machine.firmware)


def test_columns_and_sums(ran, table):
    machine, _ = ran
    assert tuple(table.columns) == profile.COLUMNS and table.index.name == "function"
    assert table.instructions.sum() == machine.instructions
    sums = profile.totals(machine.recorder)
    assert sums["instructions"] == machine.instructions
    assert sums["cycles"] + sums["waiting_cycles"] == pytest.approx(machine.recorder.cycles, abs=1)
    assert abs(table.cycles.sum() - sums["cycles"]) <= len(table)
    assert table.cycles.is_monotonic_decreasing


def test_functions(table):
    assert table.calls["fibonacci"] == N_FIBONACCI and table.calls["select"] == 200 and table.calls["main"] == 1
    assert table.mispredicts["fibonacci"] > 0
    clip = table.filter(like="clip", axis="index").iloc[0]
    assert clip.instructions > 200 * 6 and clip.total_instructions == clip.instructions


def test_totals_of_call_trees(ran, table):
    machine, _ = ran
    roots = table.loc[["reset_handler", "main"]]
    assert roots.total_instructions["reset_handler"] == machine.instructions
    callees = table.drop(["reset_handler", "main"])
    assert roots.total_instructions["main"] == callees.instructions.sum() + table.instructions["main"]
    assert table.total_instructions["fibonacci"] == table.instructions["fibonacci"]  # a recursion counts once


def test_low_and_high_enclose_the_estimate(table):
    assert (table.low <= table.cycles).all() and (table.cycles <= table.high).all()
    assert table.low.sum() < table.high.sum()


def test_a_section_between_two_snapshots(ran, table):
    machine, before = ran
    section = profile.table(machine.recorder, machine.firmware, before)
    start = profile.table(before, machine.firmware)
    assert "select" not in section.index and "fibonacci" not in start.index
    both = start.instructions.add(section.instructions, fill_value=0)
    pd.testing.assert_series_equal(both.sort_index(), table.instructions.sort_index(), check_dtype=False)
    assert section.calls["fibonacci"] == N_FIBONACCI and section.calls["main"] == 0
    assert profile.totals(machine.recorder, before)["instructions"] == section.instructions.sum()


def small_run(text: str, **memory):
    core = BareCore(assemble(text))
    recorder = Recorder(core.uc)
    recorder.set_memory(**({"icache": True, "dcache": True, "art": True, "uncached": []} | memory))
    core.set_register("r0", FLASH + 0x4000)
    core.run()
    return recorder


READS = "movs r1,#100; loop: ldr r2,[r0]; subs r1,#1; bne loop; nop"


def test_caches_that_are_off_are_reported():
    assert profile.notes(small_run(READS)) == []
    (note,) = profile.notes(small_run(READS, dcache=False))
    assert note.startswith("D-cache is off for ") and "SCB_EnableDCache" in note and "factor of 2" in note
    (note,) = profile.notes(small_run(READS, icache=False))
    assert note.startswith("I-cache is off for ") and "SCB_EnableICache" in note


def test_unknown_instructions_are_reported_as_often_as_they_ran():
    (note,) = profile.notes(small_run("movs r1,#7; loop: csdb; subs r1,#1; bne loop; nop"))
    assert "csdb (7 times)" in note


def test_code_without_symbols_is_named_by_call_targets(tmp_path):
    image = tmp_path / "image.bin"
    code = assemble("movs r1,#5; loop: bl f; subs r1,#1; bne loop; b end; f: adds r2,#1; bx lr; end: nop")
    image.write_bytes(code)
    core = BareCore(code)
    recorder = Recorder(core.uc)
    core.run()
    table = profile.table(recorder, Firmware.load(image))
    assert table.instructions["sub_0800000c"] == 5 * 2 + 1 and table.calls["sub_0800000c"] == 5

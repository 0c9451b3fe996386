"""What the recorder counts, against hand-worked values, and C beside Python on the same program."""

import arm_code
import numpy as np
import pytest
from arm_code import DTCM, FLASH, RAM, BareCore, assemble

from kwslib import recorder as recorder_module
from kwslib import timing
from kwslib.instructions import Instruction
from kwslib.machine import Firmware, Machine
from kwslib.recorder import COST, KINDS, NONE, Recorder

CALLS = """
    movs r4,#3; loop: bl outer; subs r4,#1; bne loop; b end
    outer: push {lr}; bl inner; bl inner; pop {pc}
    inner: adds r5,#1; bx lr
    end: nop
"""


def recorded(text: str, address: int = FLASH, registers: dict | None = None, memory: dict | None = None, **options):
    """Run a snippet with a recorder, caches as in `memory`; returns both."""
    core = BareCore(assemble(text), address)
    recorder = Recorder(core.uc, **options)
    recorder.set_memory(**({"icache": True, "dcache": True, "art": True, "uncached": []} | (memory or {})))
    for name, value in (registers or {}).items():
        core.set_register(name, value)
    core.run()
    return recorder, core


def total(recorder, field: str) -> int:
    return int(recorder.snapshot().blocks[field].sum())


@pytest.fixture(scope="module")
def elf(tmp_path_factory):
    return arm_code.build_workload(tmp_path_factory.mktemp("workload"))


def test_instructions_of_a_loop():
    recorder, core = recorded("movs r0,#0; movs r1,#10; loop: adds r0,#2; subs r1,#1; bne loop; nop")
    assert recorder.instructions == 2 + 10 * 3 + 1 and core.register("r0") == 20


def test_instructions_that_an_it_block_skips_count():
    recorder, core = recorded("movs r0,#1; cmp r0,#2; ite eq; moveq r1,#5; movne r1,#6")
    assert recorder.instructions == 5 and core.register("r1") == 6


def test_edges_have_the_cost_of_the_issue_model():
    recorder, _ = recorded("movs r1,#5; b next; next: mul r0,r1,r1; loop: subs r1,#1; bne loop; nop")
    snapshot = recorder.snapshot()
    for edge in snapshot.edges:
        chain = [
            None if edge[name] == NONE else snapshot.code[int(edge[name])] for name in ("before", "previous", "block")
        ]
        assert edge["cost"] == round(timing.edge_cycles(*chain) * COST)
    loop = next(edge for edge in snapshot.edges if edge["previous"] == edge["block"])
    assert loop["count"] == 3  # of five rounds, the first begins within another block
    assert isinstance(snapshot.code[0][0], Instruction)


def test_cycles_are_issue_plus_mispredictions_plus_misses():
    recorder, _ = recorded(CALLS, registers={"r5": 0})
    snapshot = recorder.snapshot()
    costs = int((snapshot.edges["count"] * snapshot.edges["cost"]).sum())
    costs += int((snapshot.blocks["mispredicts"] * snapshot.blocks["mispredict_cost"]).sum())
    costs += sum(int(snapshot.blocks[name].sum()) * p[1] * COST for name, p in timing.PENALTIES.items())
    assert recorder.cycles == snapshot.cycles == costs // COST
    assert total(recorder, "icache_misses") == 1  # 32 bytes of code, in one line


def test_calls_and_totals():
    recorder, core = recorded(CALLS, registers={"r5": 0})
    assert core.register("r5") == 6
    blocks = recorder.snapshot().blocks
    entries = {int(block["address"]) - FLASH: block for block in blocks if block["calls"]}
    starts = sorted(entries)
    assert [int(entries[start]["calls"]) for start in starts] == [1, 3, 6]
    assert int(entries[starts[2]]["total_instructions"]) == 6 * 2
    assert int(entries[starts[1]]["total_instructions"]) == 3 * (4 + 2 * 2)
    assert int(entries[starts[0]]["total_instructions"]) == recorder.instructions


def test_a_recursion_counts_once():
    recorder, _ = recorded("""
        movs r0,#5; bl f; b end
        f: push {lr}; subs r0,#1; beq out; bl f; out: pop {pc}
        end: nop
    """)
    blocks = recorder.snapshot().blocks
    entry = blocks[np.argmax(blocks["calls"])]
    assert entry["calls"] == 5 and entry["total_instructions"] == recorder.instructions - 4


def test_a_loop_is_mispredicted_when_it_is_learnt_and_when_it_ends():
    recorder, _ = recorded("movs r1,#100; loop: subs r1,#1; bne loop; nop")
    assert total(recorder, "mispredicts") == 2


def test_returns_are_predicted_by_a_stack():
    recorder, _ = recorded(CALLS)
    kinds = {KINDS[int(block["kind"])]: int(block["mispredicts"]) for block in recorder.snapshot().blocks}
    assert kinds["return"] == 0 and kinds["call"] == 0


@pytest.mark.parametrize(
    ("base", "memory", "event", "expected"),
    [
        (FLASH + 0x8000, {}, "flash_misses", 8),
        (RAM, {}, "ram_misses", 8),
        (DTCM, {}, "ram_misses", 0),
        (RAM, {"dcache": False}, "uncached_ram", 64),
        (FLASH + 0x8000, {"dcache": False}, "uncached_flash", 64),
        (RAM, {"uncached": [(RAM, RAM + 0x80)]}, "uncached_ram", 32),
        (0x00208000, {}, "art_misses", 8),
        (0x00208000, {"art": False}, "art_misses", 64),
    ],
)
def test_256_bytes_read_word_by_word(base, memory, event, expected):
    text = "movs r1,#64; loop: ldr r2,[r0],#4; subs r1,#1; bne loop; nop"
    recorder, _ = recorded(text, registers={"r0": base}, memory=memory)
    assert total(recorder, event) == expected


def test_the_dcache_holds_4_kb_with_four_ways():
    text = "movs r3,#2; again: mov r0,r4; mov r1,r5; loop: ldr r2,[r0],#32; subs r1,#1; bne loop; "
    text += "subs r3,#1; bne again; nop"
    fits, _ = recorded(text, registers={"r4": RAM, "r5": 128})
    assert total(fits, "ram_misses") == 128
    too_large, _ = recorded(text, registers={"r4": RAM, "r5": 160})
    assert total(too_large, "ram_misses") > 160


def test_unaligned_words_are_counted():
    recorder, _ = recorded("ldr r1,[r0]; ldrh r1,[r0,#1]; ldrb r1,[r0]; str r1,[r0]", registers={"r0": DTCM + 1})
    assert total(recorder, "unaligned") == 1  # the half-word is aligned, a byte always is, stores wait in a buffer


def test_code_without_icache_is_fetched_again_and_again():
    recorder, _ = recorded("movs r1,#10; loop: subs r1,#1; bne loop; nop", memory={"icache": False})
    assert total(recorder, "uncached_fetches") == 1 + 9 + 1 and total(recorder, "icache_misses") == 0


def test_stop_at_stops_before_a_block_which_counts_once():
    core = BareCore(assemble("movs r1,#200; loop: subs r1,#1; bne loop; nop"))
    recorder = Recorder(core.uc)
    recorder.stop_at(100)
    core.run()
    assert recorder.due and 100 <= recorder.cycles < 130
    left, at = core.register("r1"), recorder.cycles
    assert 0 < left < 200
    recorder.add_cycles(1000)
    assert recorder.cycles == at + 1000
    recorder.stop_at(None)
    core.run(core.register("pc"))
    assert core.register("r1") == 0 and recorder.instructions == 1 + 200 * 2 + 1 and not recorder.due


def test_an_interrupt_is_a_call_tree_of_its_own():
    text = "movs r1,#100; loop: subs r1,#1; bne loop; b end; handler: adds r6,#1; bx lr; pad: nop; end: nop"
    core = BareCore(assemble(text))
    recorder, handler = Recorder(core.uc), FLASH + 8
    recorder.stop_at(40)
    core.run()
    resumed = core.register("pc")
    recorder.add_cycles(12)
    core.set_register("lr", FLASH + 12 | 1)  # where the return of an exception would stop the core
    core.uc.emu_start(handler | 1, FLASH + 12)
    recorder.add_cycles(10)
    core.run(resumed)
    blocks = recorder.snapshot().blocks
    entry = blocks[blocks["address"] == handler][0]
    assert (entry["calls"], entry["total_instructions"], core.register("r6")) == (1, 2, 1)
    assert recorder.instructions == 1 + 200 + 1 + 2 + 1 and not total(recorder, "active") - 1


@pytest.mark.parametrize("compiled", [True, False])
def test_memory_hooks_in_it_blocks_do_not_skip_what_follows(compiled):
    """Unicorn 2.1.4, issue 2309: without the recorder's remedy r2 to r4 stay 0."""
    text = "movs r5,#1; cmp r5,#1; itt eq; ldreq r1,[r0]; streq r1,[r0,#4]; cmp r5,#2; b.n next; next: "
    text += "movs r2,#77; movs r3,#88; movs r4,#99; nop"
    _, core = recorded(text, registers={"r0": DTCM}, compiled=compiled)
    assert [core.register(name) for name in ("r2", "r3", "r4")] == [77, 88, 99]


@pytest.mark.parametrize("compiled", [True, False])
def test_code_that_is_replaced_in_ram(compiled):
    core = BareCore(assemble("movs r0,#1; bx lr; nop; nop"), RAM)
    recorder = Recorder(core.uc, compiled=compiled)
    caller = assemble("movs r3,#2; loop: blx r4; str r5,[r6]; subs r3,#1; bne loop; nop")
    core.uc.mem_write(FLASH, caller)
    new = int.from_bytes(assemble("mul r0,r0,r0; nop; bx lr")[:4], "little")
    for name, value in (("r4", RAM | 1), ("r5", 0x47704601), ("r6", RAM)):  # mov r1,r0; bx lr
        core.set_register(name, value)
    core.uc.emu_start(FLASH | 1, FLASH + len(caller))
    first = [block for block in recorder.snapshot().code if block[0].address == RAM]
    assert [[instruction.name for instruction in block] for block in first] == [["mov", "bx"], ["mov", "bx"]]
    assert new and core.register("r1") == 1 and recorder.instructions == 1 + 2 * (1 + 2 + 3) + 1


def test_tables_grow():
    jumps = ";".join(f"l{n}: adds r0,#1; b l{n + 1}" for n in range(2500)) + "; l2500: nop"
    recorder, _ = recorded(jumps)
    assert recorder.instructions == 2 * 2500 + 1 and len(recorder.snapshot().blocks) >= 2500
    assert set(recorder.snapshot().blocks["count"]) == {1}


def test_errors_in_the_model_reach_the_caller(monkeypatch):
    monkeypatch.setattr(timing, "edge_cycles", lambda *_: 1 / 0)
    recorder, _ = recorded("movs r0,#1; b next; next: nop")
    with pytest.raises(ZeroDivisionError):
        recorder.cycles  # noqa: B018


def test_too_many_uncached_ranges():
    with pytest.raises(ValueError, match="17 uncached ranges"):
        recorded("nop", memory={"uncached": [(0, 1)] * 17})


def test_python_counts_what_c_counts(elf, monkeypatch):
    if recorder_module.compiled_library() is None:
        pytest.skip("no C compiler")
    snapshots = []
    for library in (recorder_module.compiled_library, lambda: None):
        monkeypatch.setattr(recorder_module, "compiled_library", library)
        machine = Machine(Firmware.load(elf))
        machine.recorder.set_memory(icache=True, dcache=True, art=True, uncached=[(DTCM, DTCM + 64)])
        assert machine.run() == "exit"
        snapshots.append(machine.recorder.snapshot())
    compiled, plain = snapshots
    assert np.array_equal(compiled.blocks, plain.blocks) and np.array_equal(compiled.edges, plain.edges)
    assert compiled.instructions == plain.instructions > 5_000 and compiled.cycles == plain.cycles


def test_without_a_compiler_a_note_is_printed(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("KWS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert recorder_module.compiled_library.__wrapped__() is None
    assert "no C compiler" in capsys.readouterr().err

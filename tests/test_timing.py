"""The issue model against the published measurements that it is built on."""

import arm_code
import pytest

from kwslib import timing
from kwslib.instructions import TABLE, Decoder


def block(text: str, address: int = arm_code.FLASH):
    return Decoder().block(arm_code.assemble(text), address)


def cycles(text: str, variant: dict = timing.OPTIMISTIC) -> float:
    """Cycles of one copy of the instructions in a long straight row of copies."""
    ends = [timing.Pipeline(**variant).run(block(f"{text};" * copies), None) for copies in (8, 24)]
    return (ends[1] - ends[0]) / 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("add.w r0,r1,r2; add.w r3,r4,r5", 1),  # two ALUs
        ("add.w r0,r1,r2; eor.w r3,r0,r4", 1),  # the older one executes in the early ALU
        ("orr.w r0,r0,r1; eor.w r0,r0,r2", 2),
        ("movw r0,#1; movt r0,#2", 1),
        ("add.w r0,r1,r2,lsl #3; add.w r3,r4,r5,lsl #3", 2),  # one shifter for inline shifted operands
        ("add.w r0,r1,r2,lsl #3; lsr.w r3,r4,#3", 1),
        ("uxtb.w r0,r1; uxtb.w r2,r3", 2),  # one unit for bit fields and SIMD
        ("uadd8 r0,r1,r2; add.w r3,r4,r5", 1),
        ("smlad r0,r1,r2,r0", 1),  # accumulation runs every cycle
        ("smlad r0,r1,r2,r0; smlad r3,r1,r2,r3", 2),
        ("smulbb r0,r1,r2; str.w r3,[r4]", 2),  # a multiplication cannot issue with a store
        ("mul r0,r1,r2; mul r1,r0,r2", 4),  # one extra cycle of result latency
        ("sdiv r0,r1,r2", 7),
        ("ldr.w r0,[r4]; ldr.w r1,[r4,#4]", 1),  # even and odd word: two banks
        ("ldr.w r0,[r4]; ldr.w r1,[r4,#8]", 2),
        ("ldr.w r0,[r4]; str.w r0,[r5]", 1),  # a store may store the value of the same cycle
        ("str.w r0,[r4]; str.w r1,[r4,#4]", 2),
        ("ldr.w r4,[r4]", 2),  # a load needs its address one cycle early
        ("ldrb.w r4,[r4]", 3),
        ("ldr.w r0,[r5]; eor.w r5,r0,r1", 3),
        ("ldr.w r0,[r5],#4; ldr.w r1,[r6],#4", 1),
        ("ldm r8,{r0-r3}", 2),
        ("ldm r8,{r0-r4}", 3),
        ("vadd.f32 s0,s1,s2; vmul.f32 s3,s4,s5", 2),
        ("vadd.f32 s0,s0,s1", 3),
        ("vmul.f32 s0,s0,s1", 3),
        ("vfma.f32 s0,s1,s2", 3),  # as accumulator
        ("vfma.f32 s0,s0,s2", 5),  # as multiplicand
        ("vmla.f32 s0,s1,s2", 3),
        ("vmla.f32 s0,s0,s2", 6),
        ("vfma.f32 s0,s1,s2; vfma.f32 s3,s1,s2; vfma.f32 s4,s1,s2", 3),
        ("vdiv.f32 s0,s1,s2", 16),
        ("vsqrt.f32 s0,s1", 14),
    ],
)
def test_throughput_as_published(text, expected):
    assert cycles(text) == pytest.approx(expected, abs=0.13)


def test_loads_with_unrelated_addresses_pair_half_of_the_time():
    loads = "ldr.w r0,[r4]; ldr.w r1,[r5]"
    assert (cycles(loads), cycles(loads, timing.PESSIMISTIC)) == (1, 2)
    before, loop = block("nop"), block(f"{loads};" * 10)
    low, nominal, high = (timing.edge_cycles(None, before, loop, name) for name in ("low", "nominal", "high"))
    assert low < nominal < high and nominal == (low + high) / 2


def test_a_multiplier_needs_a_loaded_word_one_cycle_later_than_the_alu():
    alu, multiplier = (block(f"ldr.w r0,[r1]; {use} r2,r0,r3") for use in ("eor.w", "mul"))
    ends = [timing.Pipeline(**timing.OPTIMISTIC).run(code, None) for code in (alu, multiplier)]
    assert ends[1] == ends[0] + 1


def test_a_taken_branch_ends_its_cycle_and_one_not_taken_does_not():
    first, text = block("cmp r0,r1; beq .+40"), "add.w r0,r1,r2; add.w r3,r4,r5"
    end = first[-1].address + first[-1].size
    straight, away = (timing.edge_cycles(None, first, block(text, address)) for address in (end, end + 64))
    assert straight < away == straight + 1


def test_a_loop_of_one_block_settles():
    loop = block("loop: smlad r0,r1,r2,r0; subs r3,#1; bne loop")
    assert timing.edge_cycles(None, loop, loop) == 2


def test_mispredictions_cost_less_if_the_flags_are_old():
    assert timing.mispredict_cycles(block("subs r0,#1; bne .-2")) == 8
    assert timing.mispredict_cycles(block("subs r0,#1;" + "add.w r1,r1,r2;" * 8 + "bne .-34")) == 6


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("beq .+8", "conditional"),
        ("cbz r0,.+8", "conditional"),
        ("it eq; beq.w .+100000", "conditional"),
        ("b .+8", "direct"),
        ("bl .+8", "call"),
        ("blx r3", "indirect call"),
        ("bx lr", "return"),
        ("pop {r4,pc}", "return"),
        ("ldmia.w sp!,{r4,r8,pc}", "return"),
        ("ldr pc,[sp],#4", "return"),
        ("bx r3", "indirect"),
        ("ldr.w pc,[r0,r1,lsl #2]", "indirect"),
        ("mov pc,r1", "indirect"),
        ("tbb [pc,r0]", "indirect"),
        ("adds r0,r1", ""),
    ],
)
def test_kinds_of_branches(text, kind):
    assert block(text)[-1].branch == kind


def test_a_skipped_instruction_needs_flags_and_its_old_result():
    plain, conditional = block("mov r0,r1")[0], block("it ne; movne r0,r1")[1]
    assert conditional.name == plain.name == "mov"
    assert {register for register, _ in conditional.reads} > {register for register, _ in plain.reads}


def test_unknown_instructions_are_counted_not_hidden():
    decoder = Decoder()
    assert len(decoder.block(arm_code.assemble("mrc p14,0,r0,c0,c0,0; adds r0,r1; .short 0xb900|0xff"), 0)) == 3
    assert "mrc" in decoder.unknown and "add" not in decoder.unknown


def test_every_class_of_instructions_can_issue():
    for name, row in TABLE.items():
        assert all(unit in timing.CAPACITY for unit in row.units.split("+") if unit), name

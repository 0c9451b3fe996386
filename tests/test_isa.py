"""DSP and floating-point instructions of the emulated core against values worked out by hand (Arm v7-M manual)."""

import struct

import pytest
from board_firmware import machine

# Instruction; r1, r2, r3, r0 before; r0 after, and r1 where it changes. Words are given as hexadecimal.
INTEGER = [
    # 3 * 5 + -2 * 7 + 100
    ("smlad r0, r1, r2, r3", (0xFFFE0003, 0x00070005, 100, 0), (101,)),
    # 3 * 7 + -2 * 5 + 100: the halves of the second operand change places
    ("smladx r0, r1, r2, r3", (0xFFFE0003, 0x00070005, 100, 0), (111,)),
    ("smuad r0, r1, r2", (0xFFFE0003, 0x00070005, 0, 0), (1,)),
    ("smusd r0, r1, r2", (0xFFFE0003, 0x00070005, 0, 0), (29,)),
    # r1:r0 += 3 * 4 + -2 * 6 - 5, written with rdlo r0 and rdhi r1
    ("smlald r0, r1, r2, r3", (0x00000001, 0xFFFE0003, 0x00060004, 0xFFFFFFFF), (0xFFFFFFFF, 1)),
    ("smlald r0, r1, r2, r3", (0x00000001, 0x00020003, 0x00060004, 0xFFFFFFFF), (23, 2)),
    ("smlsldx r0, r1, r2, r3", (0, 0x00020003, 0x00060004, 10), (20, 0)),  # 10 + 3 * 6 - 2 * 4
    ("smlabb r0, r1, r2, r3", (0x7FFF0003, 0x7FFFFFFF, 10, 0), (7,)),
    ("smlatb r0, r1, r2, r3", (0x00040003, 0x7FFFFFFF, 10, 0), (6,)),
    ("smulbt r0, r1, r2", (0x7FFF0003, 0xFFFE0000, 0, 0), (0xFFFFFFFA,)),
    ("smlawb r0, r1, r2, r3", (0x00050000, 0x00000003, 7, 0), (22,)),  # (5 * 65536 * 3 >> 16) + 7
    ("smulwt r0, r1, r2", (0xFFFB0000, 0x00030000, 0, 0), (0xFFFFFFF1,)),
    ("smmul r0, r1, r2", (0x40000000, 0x00000003, 0, 0), (0,)),
    ("smmulr r0, r1, r2", (0x40000000, 0x00000003, 0, 0), (1,)),  # 0.75, rounded
    ("smmlar r0, r1, r2, r3", (0x40000000, 0x00000003, 10, 0), (11,)),
    ("smmlsr r0, r1, r2, r3", (0x40000000, 0x00000003, 10, 0), (9,)),
    ("umaal r0, r1, r2, r3", (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF)),
    ("umull r0, r1, r2, r3", (0, 0x80000000, 6, 0), (0, 3)),
    ("smlal r0, r1, r2, r3", (0xFFFFFFFF, 0xFFFFFFFE, 3, 6), (0, 0xFFFFFFFF)),  # -2**32 + 6 - 2 * 3
    ("sxtb16 r0, r1", (0x12FE3480, 0, 0, 0), (0xFFFEFF80,)),
    ("sxtb16 r0, r1, ror #8", (0x12FE3480, 0, 0, 0), (0x00120034,)),
    ("uxtb16 r0, r1, ror #8", (0x82FE9480, 0, 0, 0), (0x00820094,)),
    ("sxtab16 r0, r1, r2", (0x00100020, 0x00FF0001, 0, 0), (0x000F0021,)),
    ("sxtab16 r0, r1, r2, ror #16", (0x00100020, 0x00FF0001, 0, 0), (0x0011001F,)),
    ("sxtab r0, r1, r2", (5, 0xFF, 0, 0), (4,)),
    ("pkhbt r0, r1, r2, lsl #16", (0x11112222, 0x33334444, 0, 0), (0x44442222,)),
    ("pkhbt r0, r1, r2", (0x11112222, 0x33334444, 0, 0), (0x33332222,)),
    ("pkhtb r0, r1, r2, asr #16", (0x11112222, 0x83334444, 0, 0), (0x11118333,)),
    ("ssat r0, #8, r1", (0x00001234, 0, 0, 0), (127,)),
    ("ssat r0, #8, r1, asr #9", (0xFFFF0000, 0, 0, 0), (0xFFFFFF80,)),
    ("ssat r0, #8, r1, lsl #4", (5, 0, 0, 0), (80,)),
    ("ssat16 r0, #8, r1", (0x0100FE00, 0, 0, 0), (0x007FFF80,)),
    ("usat r0, #7, r1", (0xFFFFFFFF, 0, 0, 0), (0,)),
    ("usat16 r0, #7, r1", (0xFFFF0100, 0, 0, 0), (0x0000007F,)),
    ("qadd r0, r1, r2", (0x7FFFFFFF, 1, 0, 0), (0x7FFFFFFF,)),
    ("qdadd r0, r1, r2", (1, 0x40000000, 0, 0), (0x7FFFFFFF,)),  # 1 + sat(2 * r2)
    ("qsub r0, r1, r2", (0x80000000, 1, 0, 0), (0x80000000,)),
    ("qadd8 r0, r1, r2", (0x7F80FF01, 0x01FF0102, 0, 0), (0x7F800003,)),
    ("qadd16 r0, r1, r2", (0x7FFF8000, 0x0001FFFF, 0, 0), (0x7FFF8000,)),
    ("qsub16 r0, r1, r2", (0x80000005, 0x00010003, 0, 0), (0x80000002,)),
    ("uqadd8 r0, r1, r2", (0xFF800102, 0x01800203, 0, 0), (0xFFFF0305,)),
    ("uhadd8 r0, r1, r2", (0xFF030504, 0x01010101, 0, 0), (0x80020302,)),
    ("shadd16 r0, r1, r2", (0x7FFFFFFF, 0x00010001, 0, 0), (0x40000000,)),
    ("usada8 r0, r1, r2, r3", (0x01020304, 0x04030201, 10, 0), (18,)),
    ("sadd16 r0, r1, r2", (0x7FFF0001, 0x00010002, 0, 0), (0x80000003,)),
    # GE from usub8: bytes of r1 that are not below those of r2 stay, the others come from r3
    ("usub8 r0, r1, r2\n sel r0, r1, r3", (0x05040302, 0x04050203, 0xAABBCCDD, 0), (0x05BB03DD,)),
    ("sdiv r0, r1, r2", (0xFFFFFFF9, 2, 0, 0), (0xFFFFFFFD,)),
    ("udiv r0, r1, r2", (7, 0, 0, 0), (0,)),
    ("clz r0, r1", (0x00010000, 0, 0, 0), (15,)),
    ("rbit r0, r1", (0x00000001, 0, 0, 0), (0x80000000,)),
    ("rev16 r0, r1", (0x11223344, 0, 0, 0), (0x22114433,)),
    ("bfi r0, r1, #8, #4", (0xF5, 0, 0, 0xFFFFFFFF), (0xFFFFF5FF,)),
    ("sbfx r0, r1, #4, #4", (0x80, 0, 0, 0), (0xFFFFFFF8,)),
]
INF, NAN = float("inf"), float("nan")
# Instruction; s1, s2, s0 before; s0 after (a number, or its bits as an int).
FLOATING = [
    ("vadd.f32 s0, s1, s2", (1.5, 2.25, 0), 3.75),
    ("vmla.f32 s0, s1, s2", (1.5, 2.0, 10.0), 13.0),
    ("vmls.f32 s0, s1, s2", (1.5, 2.0, 10.0), 7.0),
    ("vnmul.f32 s0, s1, s2", (1.5, 2.0, 0), -3.0),
    # (1 + 2**-12)**2 - 1 = 2**-11 + 2**-24: the fused product keeps the last bit, the rounded one does not
    ("vfma.f32 s0, s1, s2", (1 + 2**-12, 1 + 2**-12, -1.0), 2**-11 + 2**-24),
    ("vmla.f32 s0, s1, s2", (1 + 2**-12, 1 + 2**-12, -1.0), 2**-11),
    ("vfms.f32 s0, s1, s2", (1.5, 2.0, 10.0), 7.0),
    ("vfnma.f32 s0, s1, s2", (1.5, 2.0, 10.0), -13.0),
    ("vsqrt.f32 s0, s1", (6.25, 0, 0), 2.5),
    ("vsqrt.f32 s0, s1", (-1.0, 0, 0), NAN),
    ("vdiv.f32 s0, s1, s2", (1.0, 0.0, 0), INF),
    ("vdiv.f32 s0, s1, s2", (7.0, -2.0, 0), -3.5),
    ("vmaxnm.f32 s0, s1, s2", (NAN, 2.0, 0), 2.0),
    ("vminnm.f32 s0, s1, s2", (-1.0, 2.0, 0), -1.0),
    ("vcmp.f32 s1, s2\n vmrs apsr_nzcv, fpscr\n vselge.f32 s0, s1, s2", (3.0, 2.0, 0), 3.0),
    ("vcmp.f32 s1, s2\n vmrs apsr_nzcv, fpscr\n vselgt.f32 s0, s1, s2", (2.0, 2.0, 0), 2.0),
    ("vcmp.f32 s1, s2\n vmrs apsr_nzcv, fpscr\n vselvs.f32 s0, s1, s2", (NAN, 2.0, 0), NAN),
    ("vrinta.f32 s0, s1", (-2.5, 0, 0), -3.0),
    ("vrintn.f32 s0, s1", (-2.5, 0, 0), -2.0),
    ("vrintp.f32 s0, s1", (-2.5, 0, 0), -2.0),
    ("vrintm.f32 s0, s1", (2.5, 0, 0), 2.0),
    ("vrintz.f32 s0, s1", (-2.9, 0, 0), -2.0),
    ("vcvt.s32.f32 s0, s1", (-2.9, 0, 0), -2 & 0xFFFFFFFF),
    ("vcvt.s32.f32 s0, s1", (3e9, 0, 0), 0x7FFFFFFF),
    ("vcvt.u32.f32 s0, s1", (-1.0, 0, 0), 0),
    ("vcvta.s32.f32 s0, s1", (2.5, 0, 0), 3),
    ("vcvtn.s32.f32 s0, s1", (2.5, 0, 0), 2),
    ("vcvtm.s32.f32 s0, s1", (-2.1, 0, 0), -3 & 0xFFFFFFFF),
    ("vcvtp.s32.f32 s0, s1", (2.1, 0, 0), 3),
    ("vcvtr.s32.f32 s0, s1", (3.5, 0, 0), 4),
    ("vcvt.f32.s32 s0, s1", (-7 & 0xFFFFFFFF, 0, 0), -7.0),
    ("vcvt.f32.u32 s0, s1", (0xFFFFFFFF, 0, 0), 4294967296.0),
    ("vmov.f32 s0, s1\n vcvt.s32.f32 s0, s0, #8", (1.5, 0, 0), 384),
    ("vmov.f32 s0, s1\n vcvt.f32.s16 s0, s0, #8", (0x0180, 0, 0), 1.5),
    ("vcvtb.f32.f16 s0, s1", (0xC5003E00, 0, 0), 1.5),
    ("vcvtt.f32.f16 s0, s1", (0xC5003E00, 0, 0), -5.0),
    ("vcvtb.f16.f32 s0, s1", (1.5, 0, 0x11110000), 0x11113E00),
    ("vcvtt.f16.f32 s0, s1", (65536.0, 0, 0x00001111), 0x7C001111),  # too large: infinity
    ("vabs.f32 s0, s1", (-0.0, 0, 0), 0),
    ("vneg.f32 s0, s1", (0.0, 0, 0), 0x80000000),
    ("vmov.f32 s0, #-1.5", (0, 0, 0), -1.5),
    ("vmul.f32 s0, s1, s2", (2.0**-75, 2.0**-74, 0), 2.0**-149),  # subnormal numbers are kept
]


def bits(value) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0] if isinstance(value, float) else value


@pytest.fixture(scope="module")
def results():
    """All instructions in one firmware; three words of results for each."""
    parts = []
    for index, (instruction, (r1, r2, r3, r0), _) in enumerate(INTEGER):
        parts.append((index, instruction, f"ldr r1, ={r1}\n ldr r2, ={r2}\n ldr r3, ={r3}\n ldr r0, ={r0}", ""))
    for index, (instruction, (s1, s2, s0), _) in enumerate(FLOATING, len(INTEGER)):
        load = "".join(
            f"ldr r0, ={bits(value)}\n vmov {name}, r0\n " for name, value in (("s1", s1), ("s2", s2), ("s0", s0))
        )
        parts.append((index, instruction, load, "vmov r0, s0\n "))
    source = f"volatile uint32_t results[{3 * len(parts)}];\n"
    for index, instruction, load, after in parts:
        text = (
            f"{load}\n {instruction}\n {after}ldr r4, =results + {12 * index}\n stm r4, {{r0, r1}}\n b 1f\n .ltorg\n 1:"
        )
        clobbers = '"r0", "r1", "r2", "r3", "r4", "s0", "s1", "s2", "cc", "memory"'
        quoted = text.replace("\n", "\\n")
        source += (
            f'__attribute__((noinline)) void test_{index}(void) {{ __asm volatile("{quoted}" ::: {clobbers}); }}\n'
        )
    source += "int main(void) { " + " ".join(f"test_{part[0]}();" for part in parts) + " leave(0); }"
    board = machine(source)
    assert board.run() == "exit", (board.reason, board.detail)
    words = struct.unpack(f"<{3 * len(parts)}I", board.read("results", 12 * len(parts)))
    return [words[3 * index : 3 * index + 2] for index in range(len(parts))]


@pytest.mark.parametrize("index", range(len(INTEGER)), ids=[case[0].split("\n")[0] for case in INTEGER])
def test_integer(results, index):
    expected = INTEGER[index][2]
    assert [f"{word:08x}" for word in results[index][: len(expected)]] == [f"{word:08x}" for word in expected]


@pytest.mark.parametrize("index", range(len(FLOATING)), ids=[case[0].split("\n")[-1].strip() for case in FLOATING])
def test_floating(results, index):
    found, expected = results[len(INTEGER) + index][0], FLOATING[index][2]
    if expected != expected:  # not a number: any of its bit patterns
        assert found & 0x7F800000 == 0x7F800000 and found & 0x007FFFFF
    else:
        assert f"{found:08x}" == f"{bits(expected):08x}"

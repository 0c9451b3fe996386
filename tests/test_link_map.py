"""Linker maps: every byte of a program is in one group, and a map of another kind is refused."""

import pytest

from kwslib import link_map, toolchain
from kwslib.toolchain import ToolchainError

MAP = """\
Linker script and memory map

.text           0x08000000       0x60
 *(.text .text.*)
 .text._ZN6tflite16MicroInterpreter6InvokeEv
                0x08000000       0x10 lib/libtensorflow-microlite.a(micro_interpreter.o)
 .text.conv     0x08000010       0x20 lib/libtensorflow-microlite.a(conv.cc.o)
 *fill*         0x08000030        0x4
 .text.memcpy   0x08000034        0xc /usr/lib/arm-none-eabi/lib/libc_nano.a(lib_a-memcpy.o)
 .rodata.g_model_data
                0x08000040       0x10 tflm/CMakeFiles/kws_tflm.dir/model.cc.obj
                0x00000020        (size before relaxing)
                0x08000050        0x8 LONG 0x20000000
 .text.main     0x08000058        0x8 tflm/CMakeFiles/kws_tflm.dir/main.c.obj

.stack          0x20000000     0x2000
 *fill*         0x20000000     0x2000

.data           0x20002000        0x8 load address 0x08000060
 .data.x        0x20002000        0x8 tflm/CMakeFiles/kws_tflm.dir/our_kernels.cc.obj

.bss            0x20002008       0x40
 .bss._ZN12_GLOBAL__N_112tensor_arenaE
                0x20002008       0x40 tflm/CMakeFiles/kws_tflm.dir/tflm_network.cc.obj

.debug_info     0x00000000     0x1000
 .debug_info    0x00000000     0x1000 lib/libtensorflow-microlite.a(conv.cc.o)
"""


def test_bytes_go_to_what_they_are_for(tmp_path):
    path = tmp_path / "a.map"
    path.write_text(MAP)
    split = link_map.split(path)
    assert tuple(split.index) == link_map.GROUPS
    assert split[split.flash > 0].flash.to_dict() == {
        "weights": 16,
        "kernels": 32 + 8,
        "interpreter": 16,
        "libc": 12,
        "board and start-up": 4 + 8,
        "application": 8,
    }
    assert split[split.ram > 0].ram.to_dict() == {"kernels": 8, "arena": 64, "stack": 0x2000}


def test_a_real_program_adds_up():
    elf = toolchain.build("bench", targets=["bench_frontend_paper"]) / "bench_frontend_paper.elf"
    sizes, split = toolchain.size_report(elf), link_map.split(elf.with_suffix(".map"))
    found = link_map.read(elf.with_suffix(".map")).groupby("section").bytes.sum()
    assert found.to_dict() == sizes.set_index("section").bytes.to_dict()
    assert split.flash.sum() == sizes.load_bytes.sum()
    assert split.ram.sum() == sizes.bytes[sizes.region != "flash"].sum()
    assert split.loc["front end", "flash"] > 10_000 and split.loc["stack", "ram"] == 8192
    assert not split.loc[["weights", "interpreter", "arena"]].any(axis=None)


def test_another_file_is_refused(tmp_path):
    with pytest.raises(ToolchainError, match="build the firmware first"):
        link_map.read(tmp_path / "none.map")
    (tmp_path / "a.map").write_text("x")
    with pytest.raises(ToolchainError, match="not a map of the GNU linker"):
        link_map.read(tmp_path / "a.map")

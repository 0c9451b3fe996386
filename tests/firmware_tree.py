"""A copy of the firmware's build system and board support around a small main.c."""

import shutil

from kwslib import toolchain


class FirmwareTree:
    """`build(main_c)` compiles it with the board support as `kws.elf` and returns the build folder."""

    def __init__(self, folder, monkeypatch):
        self.source, self.folder = folder / "firmware_tflm", folder / "build"
        (self.source / "app").mkdir(parents=True)
        for name in ("boards", "cmake", "decision", "kernels"):
            shutil.copytree(toolchain.SOURCE_FOLDER / name, self.source / name)
        for name in ("CMakeLists.txt", "CMakePresets.json"):
            shutil.copy(toolchain.SOURCE_FOLDER / name, self.source)
        (self.source / "app" / "CMakeLists.txt").write_text("add_firmware(kws main.c)\n")
        monkeypatch.setattr(toolchain, "SOURCE_FOLDER", self.source)

    def build(self, main_c, **arguments):
        (self.source / "app" / "main.c").write_text(main_c)
        return toolchain.build("stm32f746g-disco", folder=self.folder, **arguments)

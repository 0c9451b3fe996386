"""Keyword spotting on a microcontroller: from recordings to a quantized model that runs in TensorFlow Lite Micro.

One module for each step, in the order of the data: `config`, `audio`, `dataset` (with `download` and `synthetic`),
`features`, `augment`, `material`, `models`, `training` (with `recipes`), `quantize`, `tflite_graph`, `interpreters`,
`evaluation`, `artifacts`, `study`. Smaller networks: `finetune`, `pruning` (with `masks` and `removal`), `qat`,
`decode`, `compress`, and the sweeps, `points` and `sweep`. Around them: `cache`, `parallel`, `plotting`, `panels`,
`session`, `notebooks`, and a panel of the whole study, `explorer` (with `explored` and `point_queue`).

On a microcontroller: `engine` (with `kernels_*` and `tflm*`) makes a network a program, `toolchain` builds it, `board`
runs it on the emulated `machine`, `flash` and `measure` on a real one, `kernel_study` compares kernels. Always on:
`live_build`, `listen`, `decision`, `streams`, `streaming`. For readers: `headline`, `choose`, `paper_kit`, `catalogue`.
"""

import os

# TF-MOT needs Keras 2 (the tf-keras package); TensorFlow reads this once, on its first import.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

__version__ = "0.1.0"

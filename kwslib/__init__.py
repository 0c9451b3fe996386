"""Keyword spotting on a microcontroller: from recordings to a quantized model that runs in TensorFlow Lite Micro.

Modules in the order of the data; the first line of each says what it does.

Recordings: `config`, `audio`, `dataset`, `download`, `espeak`, `synthetic`, `features`, `augment`, `material`.
Networks: `models`, `recipes`, `training`, `quantize`, `tflite_graph`, `interpreters`, `evaluation`, `artifacts`,
`study`.
Smaller networks: `masks`, `pruning`, `removal`, `finetune`, `qat`, `decode`, `compress`.
Experiments: `points`, `sweep`, `parallel`, and a panel of the whole study: `explorer`, `explored`, `point_queue`.
Notebooks: `session`, `notebooks`, `panels`, `plotting`; around everything `cache`.

A network as a program: `engine` (`engine_c`, `engine_command`, `engine_host`, `engine_board`, `arena`), its layers as
kernels take them (`kernels`, `kernels_*`, `packers_wide`, `kernel_sets`), what kernels cost (`kernel_study`).
The front end in C: `frontend_c`, `frontend_host`, `frontend_board`, `frontend_parity`.
TensorFlow Lite Micro on the board: `tflm`, `tflm_library`, `tflm_steps`, `tflm_board`, `link_map`.

The emulated board: `machine` of `core`, `traps`, `exceptions`, `scheduler`, and the peripherals that `soc` lists
(`registers`, `peripherals`, `*_peripherals`, `core_timers`, `timers`, `usart`, `dma`, `i2c`, `wm8994`).
Its instructions and estimated cycles: `recorder`, `recorder_python`, `instructions`, `timing`, `profile`.
Programs for it: `toolchain`, `firmware`, `board`, `restart`.
A real board: `flash`, `measure`, `bench_serial`, `serial_port`, `emulated_port`.

Always on: `live_build`, `listen`, `live_host`, `decision`, `streams`, `stream_scores`, `streaming`, `stream_plots`.
For readers: `headline`, `choose`, `catalogue`, and the paper kit: `paper_kit`, `paper_figures`, `paper_figures_board`,
`paper_tables`, `paper_style`.
"""

import os

# TF-MOT needs Keras 2 (the tf-keras package); TensorFlow reads this once, on its first import.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

__version__ = "0.1.0"

"""Keyword spotting on a microcontroller: from recordings to a quantized model that runs in TensorFlow Lite Micro.

One module for each step: `config`, `audio`, `dataset` (with `download` and `synthetic`), `features`,
`augment`, `models`, `training`, `evaluation`, `quantize`, `interpreters`, `artifacts`.
"""

import os

# TF-MOT needs Keras 2 (the tf-keras package); TensorFlow reads this once, on its first import.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

__version__ = "0.1.0"

"""The firmware's decision code on this computer, against the same rules written down in Python, and on the board."""

import numpy as np
import pytest

from arm_code import compile_objects  # noqa: F401

"""The study of the kernels: rows of the table, thinned models, the break-even, and which models it takes."""

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from kwslib import cache, engine, engine_board, kernel_study
from kwslib.kernel_sets import KERNEL_SETS
from kwslib.tflite_graph import describe, read_model, weight_sparsity

RESULTS = cache.PROJECT_FOLDER / "results"
DENSE = RESULTS / "models" / "paper6_paper_cnn_ours_s0.tflite"
# Prints the modules behind a network on the emulated board, those that are imported late too.
USED = """
import sys, kwslib.engine_board, kwslib.machine, kwslib.recorder, kwslib.recorder_python, kwslib.profile
print(*(name.removeprefix("kwslib.") for name in sys.modules if name.startswith("kwslib.")))
"""


def test_every_kernel_set_named_exists():
    named = {name for sets in (*kernel_study.RUNGS.values(), *kernel_study.OWN.values()) for name in sets}
    assert named - {"mixed"} <= set(KERNEL_SETS) and set(kernel_study.RIVALS) <= set(KERNEL_SETS)


def test_saved_models_are_those_of_the_tables():
    models = kernel_study.saved_models(RESULTS, ["paper_cnn", "tc_resnet_w2"])
    assert list(dict.fromkeys(models.model)) == ["paper_cnn", "tc_resnet_w2"] and set(models.task) == {"paper6"}
    assert {"dense", "element", "block4", "vector", "filter"} == set(models.granularity)
    assert {"int8", "float32", "int16x8"} == set(models.data_type)
    assert len(models[models.data_type == "int8"]) == 2 * 14 and models.accuracy.between(0.8, 1).all()
    assert set(kernel_study.saved_models(RESULTS, ["tc_resnet_w2"]).model) == {"tc_resnet_w2"}


def test_rows_come_with_costs_and_from_the_cache(speech_folder):
    models = kernel_study.saved_models(RESULTS, ["paper_cnn"])
    one = models[models.model_file == "paper6_paper_cnn_element-80_s0.tflite"]
    kernels = {"element": ("best", "element", "mixed"), "dense": ("plain",)}
    table = kernel_study.run(one, kernels, str(speech_folder))
    assert list(table.columns) == [*kernel_study.KERNELS_COLUMNS, "error"] and (table.error == "").all()
    assert list(table.kernel) == ["best", "element", "mixed"] and table.bit_exact.all()
    cycles = table.set_index("kernel").est_cycles
    assert cycles["element"] < cycles["best"] / 2 and cycles["mixed"] <= 1.01 * cycles["element"]
    assert (table.low <= table.est_cycles).all() and (table.est_cycles <= table.high).all()
    assert np.allclose(table.est_ms_216mhz * 216e3, table.est_cycles)
    assert np.allclose(table.est_energy_mj, table.est_ms_216mhz * 0.447)
    size = describe(read_model(one.path.iloc[0])).parameters
    assert table.flash_bytes.iloc[0] > size > table.flash_bytes.iloc[1]  # the zeros are gone
    files = set((cache.data_folder() / "cache" / "kernels").iterdir())
    pd.testing.assert_frame_equal(kernel_study.run(one, kernels, str(speech_folder)), table)
    assert set((cache.data_folder() / "cache" / "kernels").iterdir()) == files


def test_a_change_of_any_code_that_rows_depend_on_makes_them_anew():
    names = {path.relative_to(cache.PROJECT_FOLDER).as_posix() for path in kernel_study._sources()}
    some = "kernel_sets packers_wide arena link_map exceptions scheduler clock_peripherals traps registers tflite_graph"
    assert {f"kwslib/{name}.py" for name in some.split()} <= names
    assert {"kwslib/recorder.c", "firmware_tflm/kernels/kernels.h", "firmware_tflm/bench/bench_network.c"} <= names
    used = subprocess.run([sys.executable, "-c", USED], capture_output=True, text=True, check=True).stdout.split()
    assert len(used) > 30 and {f"kwslib/{name}.py" for name in used} - names == {"kwslib/cache.py"}


def cycles(tflite, kernels, choices=None):
    """Estimated cycles of one inference."""
    program = engine.plan(tflite, kernels, choices)
    network = engine_board.NetworkOnBoard(program)
    network.run(np.zeros(program.info.input.size))
    return network.costs()["cycles"]


def test_the_mix_is_the_fastest_path():
    tflite = read_model(RESULTS / "models" / "paper6_paper_cnn_element-50_s0.tflite")
    choices = engine_board.fastest(tflite, ("packed", "simd", "element"))
    mixed, *others = (
        cycles(tflite, kernels, chosen) for kernels, chosen in (("best", choices), ("best", None), ("element", None))
    )
    assert set(choices.values()) >= {"element", "simd"} and mixed < min(others)


@pytest.mark.parametrize("suffix", ["", "_float32", "_int16x8"])
def test_thinned_models_have_their_zeros(suffix):
    tflite = read_model(DENSE.with_name(f"{DENSE.stem}{suffix}.tflite"))
    before, after = weight_sparsity(tflite), weight_sparsity(kernel_study.thinned(tflite, 0.7))
    shares = (after.zeros / after.weights).tolist()
    assert shares[:-1] == pytest.approx([0.7] * 4, abs=0.05) and after.zeros.iloc[-1] == before.zeros.iloc[-1]
    whole, thin = describe(tflite), describe(kernel_study.thinned(tflite, 0.7))
    for op in [op for op in whole.ops if op.macs][:-1]:
        old, new = (info.tensors[op.inputs[1]].data for info in (whole, thin))
        assert ((new == old) | (new == 0)).all()
        assert np.abs(old[new == 0]).mean() < np.abs(old[new != 0]).mean()


def test_break_even():
    levels = (0.2, 0.4, 0.6)
    assert kernel_study.break_even(levels, (300, 200, 100), 150) == pytest.approx(0.5)
    assert kernel_study.break_even(levels, (300, 200, 100), 400) == 0.2
    assert math.isnan(kernel_study.break_even(levels, (300, 200, 100), 100))

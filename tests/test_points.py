"""The rows of the compression tables, from one small network."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from kwslib import compress, dataset, decode, models, points, sweep, training
from kwslib.compress import Variant
from kwslib.finetune import TuneConfig
from kwslib.pruning import PruneConfig

pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
TUNE = TuneConfig(epochs=1, bank_epochs=1, batch_size=64)


@pytest.fixture(scope="module")
def data(small_run, speech_folder):
    return str(speech_folder)


@pytest.fixture(scope="module")
def rows(small_experiment, data):
    variants = [Variant(small_experiment)]
    variants += [Variant(small_experiment, PruneConfig(kind, 0.5), TUNE) for kind in ("element", "filter")]
    return pd.DataFrame([points.pruned(variant, data) for variant in variants]).set_index("granularity", drop=False)


def test_pruning_rows(rows, small_run, data):
    assert set(points.PRUNING_COLUMNS) <= {*rows.columns, "model_file"}
    assert rows.n_test.tolist() == [30] * 3 and rows.accuracy.between(rows.ci_low, rows.ci_high).all()
    x, truth = small_run.test(data)
    assert rows.float_accuracy["dense"] == pytest.approx(training.judge(small_run.model(), x, truth)[0])
    assert rows.removed.tolist() == [False, False, True]


def test_cost_follows_the_granularity(rows, small_run):
    dense, element, filters = rows.loc["dense"], rows.loc["element"], rows.loc["filter"]
    assert dense.macs == models.count(small_run.model())["macs"] and dense.actual_sparsity == 0
    assert element.macs == dense.macs and element.model_bytes == dense.model_bytes
    assert element.gzip_bytes < dense.gzip_bytes
    assert 0.4 < element.actual_sparsity < 0.52 and 0.4 < element.nonzero_macs / dense.macs < 0.6
    assert filters.macs < 0.6 * dense.macs and filters.nonzero_macs == filters.macs
    assert filters.actual_sparsity > 0.5 and filters.model_bytes < dense.model_bytes


def test_a_format_that_tflm_refuses_still_has_an_accuracy(small_experiment, data):
    fine = points.quantized(Variant(small_experiment, fmt="int8"), data)
    refused = points.quantized(Variant(small_experiment, fmt="float16"), data)
    assert set(points.QUANTIZATION_COLUMNS) <= {*fine, "model_file"}
    assert (fine["engine"], fine["tflm"]) == ("tflm", "runs") and fine["arena_bytes"] > 1000
    assert fine["reference_equal"] > 0.9 and fine["weights"] == "int8"
    assert refused["engine"] == "reference" and refused["tflm"] != "runs" and refused["arena_bytes"] is None
    assert abs(refused["accuracy"] - fine["accuracy"]) <= 0.1 and refused["weights"] == "float16"


def test_packed_rows(small_experiment, data):
    try:
        row = points.packed(Variant(small_experiment, PruneConfig("element", 0.9), TUNE), data)
    except decode.DecodeMissingError as error:
        pytest.skip(str(error))
    assert row["bit_equal"] and row["packed_bytes"] < row["model_bytes"]
    assert row["packed_arena_bytes"] > row["arena_bytes"]


def test_sensitivity_prunes_one_layer_at_a_time(small_experiment, small_run, data):
    table = pd.DataFrame(points.sensitivity(small_experiment, PruneConfig("element"), (0.0, 0.5, 0.95), data))
    layers = small_run.model().layers
    kernels = [layer.name for layer in layers if hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")]
    assert sorted(table.layer.unique()) == sorted(kernels)
    assert table[table.sparsity == 0].validation_accuracy.nunique() == 1
    assert (
        table[table.sparsity == 0.95].validation_accuracy.min() < table[table.sparsity == 0].validation_accuracy.max()
    )


def test_calibration_rows(small_experiment, data):
    everything = points.calibrated(small_experiment, "int8", 5, (), 0, data)
    silence = points.calibrated(small_experiment, "int8", 10, ("silence",), 0, data)
    assert (everything["calibrated_on"], everything["clips"]) == ("all classes", 30)
    assert (silence["calibrated_on"], silence["clips"]) == ("silence", 10)
    assert 0 <= silence["validation_accuracy"] <= 1


def first_test_clip(data):
    index = dataset.scan_folder(data)
    return index[(index.word == "yes") & (index.split == "testing")].path.iloc[0]


def loudness_at_first(variant, data):
    """A point that needs no training, and no words that its own process would have to speak."""
    return {"loudness": np.std(soundfile.read(first_test_clip(data))[0][:6000])}


def test_a_sweep_is_keyed_by_the_content_of_the_recordings(small_experiment, data, tmp_path):
    grid = sweep.grid(variant=[Variant(small_experiment)])
    folder = compress.cache.data_folder() / "cache" / "sweeps"
    before = set(folder.glob("*.json"))
    table = points.run(loudness_at_first, grid, data, title="one", n_jobs=1)
    assert len(table) == 1 and table.error.iloc[0] == "" and np.isfinite(table["loudness"].iloc[0])
    assert len(set(folder.glob("*.json")) - before) == 1

    copy, changed = (shutil.copytree(data, tmp_path / name) for name in ("copy", "changed"))
    again = points.run(loudness_at_first, grid, str(copy), title="a copy", n_jobs=1)
    assert again.equals(table) and len(set(folder.glob("*.json")) - before) == 1
    clip = first_test_clip(changed)
    soundfile.write(clip, soundfile.read(clip)[0][::-1], 16000, subtype="PCM_16")
    other = points.run(loudness_at_first, grid, str(changed), title="another test clip", n_jobs=1)
    assert other["loudness"].iloc[0] != table["loudness"].iloc[0]
    assert len(set(folder.glob("*.json")) - before) == 2

"""A network pruned, fine-tuned, quantized and saved, each step once."""

import dataclasses
import os

import numpy as np
import pytest

from kwslib import artifacts, compress, config, pruning, tflite_graph
from kwslib.compress import Variant
from kwslib.config import ConfigError
from kwslib.finetune import TuneConfig
from kwslib.pruning import PruneConfig

pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
TUNE = TuneConfig(epochs=2, bank_epochs=2, batch_size=64)
QAT = TuneConfig(epochs=1, bank_epochs=2, batch_size=64, learning_rate=1e-2)


@pytest.fixture(scope="module")
def element(small_experiment):
    return Variant(small_experiment, PruneConfig("element", 0.8), TUNE)


def test_zeros_survive_fine_tuning_and_conversion(element, small_run, speech_folder):
    network = compress.network(element, str(speech_folder))
    table = pruning.layer_sparsity(network).set_index("layer")
    assert (table.drop("logits").sparsity - 0.8).abs().max() < 0.02
    assert any((a != b).any() for a, b in zip(network.get_weights(), small_run.model().get_weights(), strict=True))
    stored = tflite_graph.weight_sparsity(compress.tflite(element, str(speech_folder)))
    assert stored.zeros.sum() >= table.zeros.sum()


def test_zeros_survive_quantization_aware_training_only_if_asked(element, speech_folder):
    sparsity = {}
    for fmt in ("qat", "qat_plain"):
        variant = dataclasses.replace(element, fmt=fmt, qat_tune=QAT)
        table = tflite_graph.weight_sparsity(compress.tflite(variant, str(speech_folder)))
        sparsity[fmt] = table.zeros.sum() / table.weights.sum()
    assert sparsity["qat"] > 0.75
    assert sparsity["qat_plain"] < 0.5


def test_filters_are_removed(small_experiment, small_run, speech_folder):
    variant = Variant(small_experiment, PruneConfig("filter", 0.5), TUNE)
    small = compress.network(variant, str(speech_folder))
    assert small.count_params() < 0.6 * small_run.model().count_params()
    assert len(compress.tflite(variant, str(speech_folder))) < len(
        compress.tflite(Variant(small_experiment), str(speech_folder))
    )


def test_nothing_is_done_twice(element, speech_folder):
    data = str(speech_folder)
    first, content = compress.network(element, data), compress.tflite(element, data)
    folder = compress.cache.data_folder() / "cache" / "compressed"
    before = {path: os.stat(path).st_mtime_ns for path in folder.iterdir()}
    again = compress.network(element, data)
    assert compress.tflite(element, data) == content
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    assert {path: os.stat(path).st_mtime_ns for path in folder.iterdir()} == before


def test_formats_share_the_pruned_network(element, speech_folder):
    folder = compress.cache.data_folder() / "cache" / "compressed"
    compress.network(element, str(speech_folder))
    before = set(folder.iterdir())
    compress.network(dataclasses.replace(element, fmt="qat", qat_tune=QAT), str(speech_folder))
    assert set(folder.iterdir()) == before


def test_a_saved_variant_tells_how_it_was_made(element, speech_folder, small_run, tmp_path):
    row = {"dataset": small_run.dataset, "n_test": 30, "accuracy": 0.9, "ci_low": 0.8, "ci_high": 0.95}
    name = compress.save(element, str(speech_folder), row, tmp_path)
    assert name == "models/paper6_tc_resnet_w0.5_element-80_s0.tflite"
    content, meta = artifacts.load_model(tmp_path / name)
    assert content == compress.tflite(element, str(speech_folder))
    assert PruneConfig.from_dict(meta["prune"]) == element.prune and TuneConfig.from_dict(meta["tune"]) == TUNE
    assert config.TaskConfig.from_dict(meta["task"]) == config.PAPER6 and meta["format"] == "int8"


def test_names_differ_where_variants_do(small_experiment):
    variants = [
        Variant(small_experiment),
        Variant(small_experiment, fmt="int16x8"),
        Variant(small_experiment, PruneConfig("2:4", 0.5), TUNE),
        Variant(small_experiment, PruneConfig("filter", 0.5), TUNE),
        Variant(dataclasses.replace(small_experiment, seed=1), PruneConfig("filter", 0.5), TUNE),
    ]
    names = [variant.name for variant in variants]
    assert len(set(names)) == len(names) and not any(":" in name for name in names)


def test_a_missing_fine_tuning_is_refused(small_experiment):
    with pytest.raises(ConfigError, match=r"Variant.tune is missing: give a TuneConfig"):
        Variant(small_experiment, PruneConfig("element", 0.5))
    with pytest.raises(ConfigError, match=r"Variant.qat_tune is missing"):
        Variant(small_experiment, fmt="qat")


@pytest.mark.parametrize("fmt", ["int4", "qat_", None])
def test_other_formats_are_refused(small_experiment, fmt):
    with pytest.raises(ConfigError, match=rf"Variant.fmt = {fmt!r}: allowed is 'float32', .*'int16x8', 'qat'"):
        Variant(small_experiment, fmt=fmt, qat_tune=QAT)

"""The table of the whole study: what it is made of, and that published points stay apart from ours."""

import shutil

import numpy as np
import pandas as pd
import pytest

from kwslib import catalogue, decision, headline, kernel_study
from kwslib.cache import PROJECT_FOLDER
from kwslib.kernel_sets import KERNEL_SETS

RESULTS = PROJECT_FOLDER / "results"


@pytest.fixture(scope="module")
def table():
    return headline.build(RESULTS)


@pytest.fixture(scope="module")
def ours(table):
    return table[table.kind == headline.ESTIMATED]


def test_the_committed_table_is_up_to_date(table):
    committed = catalogue.read(RESULTS, "headline")
    assert list(committed.columns) == headline.COLUMNS
    same = {"check_dtype": False, "rtol": 1e-5, "check_exact": False}
    for name in headline.COLUMNS:  # "run: make figures" if this fails
        pd.testing.assert_series_equal(committed[name], table[name].replace({None: np.nan}), **same)


def test_published_points_are_marked_and_have_no_accuracy_of_ours(table):
    theirs = table[table.kind == headline.MEASURED]
    assert set(theirs.source) & set(table.source[table.kind == headline.ESTIMATED]) == set()
    assert theirs[["accuracy", "accuracy_mean", "fa_per_hour", "flash_bytes"]].isna().all(axis=None)
    assert not theirs.front.any()
    paper = theirs[theirs.source == "Wang & Li 2022"]
    assert dict(zip(paper.kernel, paper.ms, strict=True)) == {n: ms for _, n, ms in kernel_study.PAPER_POINTS}
    bosch = catalogue.read(RESULTS, "cycle_validation").query("round == 'v1.1' and test == 'kws'").measured_ms.item()
    assert theirs[theirs.engine == "Bosch"].ms.item() == pytest.approx(bosch, abs=0.01)


def test_every_estimate_has_accuracy_memory_and_energy(ours):
    names = ["accuracy", "accuracy_mean", "accuracy_std", "ms", "ms_low", "ms_high", "flash_bytes", "ram_bytes"]
    assert not ours[names].isna().any(axis=None)
    assert (ours.ms_low < ours.ms).all() and (ours.ms < ours.ms_high).all() and (ours.seeds == 3).all()
    np.testing.assert_allclose(ours.energy_mj, ours.ms * 0.447)
    assert set(ours.engine) == {"generated C", "TFLM"} and set(ours.data_type) == {"int8", "int16x8", "float32"}
    assert set(ours.granularity) >= {"dense", "element", "block4", "vector", "filter"}


def test_means_are_those_of_the_tables(ours):
    pruning = catalogue.read(RESULTS, "pruning").query("task == 'paper6' and model == 'paper_cnn'")
    seeds = pruning.query("granularity == 'block4' and target_sparsity == 0.8").accuracy
    row = ours[ours.model_file == "paper6_paper_cnn_block4-80_s0.tflite"].iloc[0]
    assert row.accuracy_mean == pytest.approx(seeds.mean()) and row.accuracy_std == pytest.approx(seeds.std())
    wide = catalogue.read(RESULTS, "quantization").query("model == 'paper_cnn' and pruning == 'element-80'")
    seeds = wide[wide.format == "int16x8"].accuracy
    row = ours[ours.model_file == "paper6_paper_cnn_element-80_s0_int16x8.tflite"].iloc[0]
    assert row.accuracy_mean == pytest.approx(seeds.mean())
    dense = catalogue.read(RESULTS, "accuracy").query("model == 'ds_cnn' and format == 'int8'").accuracy
    assert ours[ours.model == "ds_cnn"].accuracy_mean.iloc[0] == pytest.approx(dense.mean())


def test_rows_are_the_fastest_kernels_of_each_file(ours):
    kernels = catalogue.read(RESULTS, "kernels").query("machine_setting == 'ours'")
    static = ours[ours.engine == "generated C"]
    assert set(static.model_file) == set(kernels.model_file)
    best = kernels[kernels.kernel.isin(KERNEL_SETS)].groupby("model_file").est_ms_216mhz.min()
    assert static.groupby("model_file").ms.min().to_dict() == pytest.approx(best.to_dict(), rel=1e-4)


def test_memory_of_tflm_leaves_out_drivers(ours):
    memory = catalogue.read(RESULTS, "tflm_memory").query("model == 'kws10_ds_cnn_ours_s0' and kernels == 'cmsis_nn'")
    parts = memory.set_index("group").flash
    row = ours[(ours.model == "ds_cnn") & (ours.kernel == "cmsis_nn")].iloc[0]
    assert row.flash_bytes == parts.sum() - parts[["board and start-up", "application", "front end"]].sum()


def test_the_front_is_what_no_other_row_beats(ours):
    for _, rows in ours.groupby("task"):
        for row in rows.itertuples():
            beaten = ((rows.ms <= row.ms) & (rows.accuracy_mean > row.accuracy_mean)).any()
            beaten |= ((rows.ms < row.ms) & (rows.accuracy_mean == row.accuracy_mean)).any()
            assert row.front != beaten, row.model_file


def test_false_alarms_are_those_of_the_larger_target():
    row = {"model_file": "a", "fa_per_hour": 10.0, "frr": 0.04, "threshold": 32768, "smoothing_hops": 4}
    rows = [row, row | {"model_file": "b", "fa_per_hour": np.nan}]
    strict = pd.DataFrame(rows).assign(frr_target=0.05)
    found = headline.alarms(strict)
    assert found.model_file.tolist() == ["a"] and found.frr_target.tolist() == [0.05]
    assert found.threshold.tolist() == [32768 / decision.ONE]
    both = pd.concat([strict, pd.DataFrame([row | {"fa_per_hour": 3.0, "frr_target": 0.1}])])
    assert headline.alarms(both).fa_per_hour.tolist() == [3.0]


def test_without_tflm_its_rows_alone_are_missing(table, tmp_path):
    shutil.copytree(RESULTS / "tables", tmp_path / "tables")
    for path in (tmp_path / "tables").glob("tflm*.csv"):
        path.unlink()
    found = headline.build(tmp_path)
    rest = table[table.engine != "TFLM"].drop(columns="front").reset_index(drop=True)
    pd.testing.assert_frame_equal(found.drop(columns="front"), rest)
    (tmp_path / "tables" / "kernels.csv").unlink()
    with pytest.raises(catalogue.ResultsError, match="kernels"):
        headline.build(tmp_path)

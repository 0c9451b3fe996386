"""Figures of networks in TensorFlow Lite Micro without a library of it: tables of an earlier run, clips, drawings."""

import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from kwslib import cache, config, link_map, material, plotting, tflm_board
from kwslib.tflm import TflmError

TABLES = cache.PROJECT_FOLDER / "results" / "tables"


def test_folders_come_from_the_environment(monkeypatch):
    monkeypatch.delenv("TFLM_ROOT", raising=False)
    assert tflm_board.roots() == []
    monkeypatch.setenv("TFLM_ROOT", f"one{os.pathsep}two")
    assert [str(folder) for folder in tflm_board.roots()] == ["one", "two"]


def test_without_tflm_the_tables_are_those_of_an_earlier_run(tmp_path):
    with pytest.raises(TflmError, match=r"TFLM_ROOT names no built .*there is no .*tflm\.csv from an earlier run"):
        tflm_board.tables({}, [], tmp_path)
    (tmp_path / "tables").mkdir()
    row = dict.fromkeys(tflm_board.COLUMNS, 1) | {"model": "a", "kernels": "reference", "tflm_version": "v"}
    pd.DataFrame([row]).to_csv(tmp_path / "tables" / "tflm.csv", index=False)
    pd.DataFrame([{"model": "a"}]).to_csv(tmp_path / "tables" / "tflm_memory.csv", index=False)
    rows, parts, remark = tflm_board.tables({}, [], tmp_path)
    assert rows.to_dict("records") == [row] and list(parts.model) == ["a"]
    assert remark.startswith("not run here") and remark.endswith("TensorFlow Lite Micro v")
    model = cache.PROJECT_FOLDER / "results" / "models" / "paper6_paper_cnn_ours_s0.tflite"
    _, _, remark = tflm_board.tables({model: np.zeros((1, 30, 40))}, [tmp_path / "nothing"], tmp_path)
    assert remark.startswith("not run here (TFLM_ROOT=") and "no libtensorflow-microlite.a" in remark


def test_the_committed_tables_hold_together():
    rows, parts = pd.read_csv(TABLES / "tflm.csv"), pd.read_csv(TABLES / "tflm_memory.csv")
    assert list(rows.columns) == tflm_board.COLUMNS and rows.bit_exact.all() and not rows.isna().any(axis=None)
    assert {"reference", "cmsis_nn"} < set(rows.kernels) and set(parts.group) == set(link_map.GROUPS)
    names = ["model", "kernels"]
    flash = parts.groupby(names).flash.sum()
    assert (flash == rows.set_index(names).flash_bytes.reindex(flash.index)).all()
    assert ((rows.low <= rows.est_cycles) & (rows.est_cycles <= rows.high)).all()
    assert (rows.est_ms_216mhz - rows.est_cycles / 216e3).abs().max() < 0.01
    arena = parts[parts.group == "arena"].set_index(names).ram
    assert (rows.set_index(names).arena_bytes <= arena.reindex(rows.set_index(names).index)).all()


def test_clips_of_each_class_in_turn(speech_folder):
    features, said = material.sample_clips(str(speech_folder), config.PAPER6, config.PAPER_FEATURES, 8)
    assert features.shape == (8, *config.PAPER_FEATURES.shape[:2]) and features.dtype == np.float32
    assert said[:6] == list(config.PAPER6.labels) and len(said) == 8
    again, _ = material.sample_clips(str(speech_folder), config.PAPER6, config.PAPER_FEATURES, 3)
    np.testing.assert_array_equal(again, features[:3])


def test_drawings_show_every_number():
    names = ("reference", "cmsis_nn")
    rows = pd.DataFrame({"model": ["a", "a", "b"], "kernels": [*names, names[0]], "est_ms_216mhz": [10.0, 2.0, 30.0]})
    rows = rows.assign(est_cycles=rows.est_ms_216mhz * 216e3)
    rows = rows.assign(low=0.9 * rows.est_cycles, high=1.2 * rows.est_cycles)
    fig, axes = plt.subplots(1, 2)
    plotting.draw_times(axes[0], rows)
    drawn = [value for bars in axes[0].containers for value in bars.lines[0].get_ydata()]
    assert sorted(drawn) == [2.0, 10.0, 30.0] and [label.get_text() for label in axes[0].get_xticklabels()] == [
        "a",
        "b",
    ]
    parts = pd.DataFrame({"program": ["p", "p", "q", "q"], "group": ["x", "y"] * 2, "flash": [1000, 2000, 3000, 0]})
    plotting.draw_parts(axes[1], parts, "flash", "flash")
    ends = [bar.get_x() + bar.get_width() for bar in axes[1].containers[-1]]
    assert ends == [3.0, 3.0]
    plt.close(fig)

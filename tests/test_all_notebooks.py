"""All notebooks in quick mode on the embedded data set. The longest test: its file's name lets it begin first."""

import os
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from kwslib import artifacts, cache, notebooks, study

NOTEBOOKS = notebooks.find_notebooks()


@pytest.fixture(autouse=True)
def restored_environment(monkeypatch):
    for name in ("KWS_MODE", "KWS_DATA", "KWS_RESULTS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_all_notebooks_quick(tmp_path):
    """All notebooks on the embedded data set, in a results folder of their own."""
    pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
    checkout = [cache.PROJECT_FOLDER / name for name in ("results", "notebooks")]
    before = [snapshot(folder) for folder in checkout]
    results = tmp_path / "results"
    written = notebooks.run_notebooks("quick", "synthetic", str(results))
    assert [path.name for path in written] == [path.name for path in NOTEBOOKS]
    assert [snapshot(folder) for folder in checkout] == before

    for path in written:
        notebook = nbformat.read(path, as_version=4)
        outputs = [out for cell in notebook.cells for out in cell.get("outputs", [])]
        assert not [out for out in outputs if out.output_type == "error"]
        assert not [out.text for out in outputs if out.output_type == "stream" and "Warning" in out.text]
        assert any("image/png" in out.get("data", {}) for out in outputs)
        assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")

    table = pd.read_csv(results / "tables" / "accuracy.csv")
    assert list(table.columns) == study.COLUMNS and not table.isna().any(axis=None)
    assert set(table.format) == {"float32", "int8"} and set(table.task) == {"paper6", "kws10"}
    assert table.dataset.str.startswith("synthetic (").all()
    assert table.accuracy.between(0, 1).all() and (table.ci_low <= table.accuracy).all()

    figures = results / "figures"
    names = {path.stem for path in figures.iterdir()}
    assert {name[:2] for name in names} >= {"01", "02", "03", "04", "05"}
    assert {path.name for path in figures.iterdir()} == {f"{n}.{s}" for n in names for s in ("pdf", "png", "csv")}
    assert all(path.stat().st_size > 0 for path in figures.iterdir())

    models = sorted((results / "models").glob("*.tflite"))
    pruned = pd.read_csv(results / "tables" / "pruning.csv")
    saved = set(pruned.model_file.dropna()) | set(
        pd.read_csv(results / "tables" / "quantization.csv").model_file.dropna()
    )
    assert len(saved) > 3 and saved <= {f"models/{path.name}" for path in models}
    assert len(models) >= (table.format == "int8").sum()
    assert set(pruned.granularity) >= {"dense", "element", "vector", "block4", "2:4", "filter"}
    for path in models:
        tflite, meta = artifacts.load_model(path)
        assert len(tflite) == meta["model_bytes"] and meta["dataset"] == table.dataset[0]
    assert not [path for path in Path(results).rglob(".*") if path.is_file()]  # nothing half written

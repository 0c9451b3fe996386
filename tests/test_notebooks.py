"""Executing notebooks: their parameters, their order, their failures, and all real ones in quick mode."""

import os
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from kwslib import artifacts, cache, notebooks, study
from kwslib.notebooks import NotebookError

NOTEBOOKS = notebooks.find_notebooks()


@pytest.fixture(autouse=True)
def restored_environment(monkeypatch):
    for name in ("KWS_MODE", "KWS_DATA", "KWS_RESULTS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.fixture
def write(tmp_path):
    """Write a notebook of code cells into tmp_path/notebooks."""
    folder = tmp_path / "notebooks"
    folder.mkdir()

    def write(name, *sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / name)
        return folder / name

    return write


def run(tmp_path, data="synthetic", **options):
    results = str(tmp_path / "results")
    return notebooks.run_notebooks("quick", data, results, folder=tmp_path / "notebooks", **options)


def printed(path):
    cells = nbformat.read(path, as_version=4).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))


def snapshot(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_notebooks_run_in_order_with_their_parameters(write, tmp_path, capsys):
    ask = "import os; print(*(os.environ[f'KWS_{name}'] for name in ('MODE', 'DATA', 'RESULTS')), os.getcwd(), sep='|')"
    second = write("02_second.ipynb", f"import os\n{ask}\nprint('x' in globals())")
    first = write("01_first.ipynb", f"x = 1\n{ask}")
    write("draft.ipynb", "raise ValueError('has no number and does not run')")
    before = [path.read_bytes() for path in (first, second)]

    written = run(tmp_path)
    results = tmp_path / "results"
    assert written == [results / "01_first.ipynb", results / "02_second.ipynb"]
    assert sorted(path.name for path in results.iterdir()) == ["01_first.ipynb", "02_second.ipynb"]
    expected = f"quick|synthetic|{results}|{tmp_path / 'notebooks'}\n"
    assert printed(written[0]) == expected
    assert printed(written[1]) == expected + "False\n"  # a kernel of its own
    assert [path.read_bytes() for path in (first, second)] == before
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["[1/2]", "[1/2]", "[2/2]", "[2/2]"]
    assert "01_first.ipynb" in lines[0] and "done in" in lines[1]

    run(tmp_path, in_place=True)
    assert printed(first) == expected
    assert not any("execution" in cell.metadata for cell in nbformat.read(first, as_version=4).cells)


def test_some_notebooks_by_their_numbers(write, tmp_path):
    write("01_first.ipynb", "raise ValueError('not asked for')")
    second = write("02_second.ipynb", "print('ran')")
    assert [path.name for path in run(tmp_path, only=("02",))] == [second.name]
    with pytest.raises(NotebookError, match="notebook '07': there are 01, 02"):
        run(tmp_path, only=("07",))


def test_a_folder_reaches_the_notebook_whatever_it_is_called(write, tmp_path, monkeypatch):
    write("01_ask.ipynb", "import os; print(os.environ['KWS_DATA'])")
    (tmp_path / "synthetic_of_mine").mkdir()
    monkeypatch.chdir(tmp_path)
    for data, expected in (
        ("synthetic_of_mine", str(tmp_path / "synthetic_of_mine")),
        ("speech_commands_v0.02", "speech_commands_v0.02"),
    ):
        assert printed(run(tmp_path, data=data)[0]) == f"{expected}\n"


def test_a_failing_cell_is_named_and_leaves_no_copy(write, tmp_path):
    write("01_good.ipynb", "print(1)")
    write("02_bad.ipynb", "print(1)", "raise KeyError('no such word')", "print(2)")
    write("03_after.ipynb", "print(3)")
    with pytest.raises(NotebookError, match=r"02_bad\.ipynb: cell 1 failed with KeyError: .*no such word") as error:
        run(tmp_path)
    assert len(str(error.value).splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "results").iterdir()) == ["01_good.ipynb"]


def test_a_failing_notebook_is_not_overwritten(write, tmp_path):
    path = write("01_bad.ipynb", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(NotebookError, match="ZeroDivisionError"):
        run(tmp_path, in_place=True)
    assert path.read_bytes() == before
    assert [path.name for path in path.parent.iterdir()] == ["01_bad.ipynb"]


def test_an_endless_cell_and_a_dead_kernel_are_named(write, tmp_path, monkeypatch):
    path = write("01_bad.ipynb", "import time; time.sleep(60)")
    with monkeypatch.context() as patch, pytest.raises(NotebookError, match=r"01_bad\.ipynb: .* longer than 2 s"):
        patch.setattr(notebooks, "TIMEOUT_SECONDS", 2)
        run(tmp_path)
    path.unlink()
    write("01_bad.ipynb", "import os; os._exit(1)")
    with pytest.raises(NotebookError, match=r"01_bad\.ipynb: the kernel died"):
        run(tmp_path)
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").iterdir())


def test_the_real_notebooks_are_found_in_order():
    names = [path.name for path in NOTEBOOKS]
    assert names[:2] == ["01_features.ipynb", "02_training.ipynb"]
    assert [int(name[:2]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_form(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = notebook.cells
    tagged = [number for number, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", [])]
    assert tagged == [2]  # after the question and the imports
    assert [cell.cell_type for cell in cells[:4]] == ["markdown", "code", "code", "code"]
    assert "session.start(" in cells[3].source and "MODE" in cells[2].source and cells[-1].cell_type == "markdown"
    long = [number for number, cell in enumerate(cells) if len(cell.source.splitlines()) > 20]
    assert not long, f"cells over 20 lines: {long}"
    for number, cell in enumerate(cells):
        errors = [out for out in cell.get("outputs", []) if out.output_type == "error"]
        assert not errors, f"cell {number} holds an error"


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

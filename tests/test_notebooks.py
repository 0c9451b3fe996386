"""Executing notebooks: their parameters, their order, their failures."""

import os

import nbformat
import pytest

from kwslib import notebooks
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


def test_progress_is_for_those_who_wait_and_warnings_stay(write, tmp_path):
    bar = "import tqdm, sys\nfor _ in tqdm.tqdm(range(3), 'speech'):\n    sys.stderr.flush()"
    write("01_long.ipynb", bar, "import warnings; warnings.warn('too few')")
    cells = nbformat.read(run(tmp_path)[0], as_version=4).cells
    assert not cells[0].outputs and "too few" in cells[1].outputs[0].text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_are_quiet(path):
    outputs = [out for cell in nbformat.read(path, as_version=4).cells for out in cell.get("outputs", [])]
    assert not [out for out in outputs if out.get("name") == "stderr" or out.output_type == "error"]


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

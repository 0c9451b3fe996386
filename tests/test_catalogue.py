"""What the lists of results say, and what a table that is not there says."""

import shlex
import shutil

import pandas as pd
import pytest

from kwslib import catalogue, paper_kit
from kwslib.__main__ import _parser
from kwslib.cache import PROJECT_FOLDER
from kwslib.catalogue import Entry, ResultsError
from kwslib.notebooks import find_notebooks

RESULTS = PROJECT_FOLDER / "results"


def names(folder):
    return {path.stem for path in (RESULTS / folder).glob("*.csv")}


def test_every_table_and_figure_is_described():
    assert len(names("tables")) > 20 and len(names("figures")) > 20
    assert names("tables") <= set(catalogue.TABLES) and names("figures") <= set(catalogue.FIGURES)


def test_what_writes_a_table_exists():
    found = {path.stem[:2]: path.read_text(encoding="utf-8") for path in find_notebooks()}
    for name, (source, text) in catalogue.TABLES.items():
        assert text
        if source.isdigit():
            assert f'\\"{name}\\", run.results)' in found[source] or name == "explored", name  # of the panel
        elif source.startswith("-m kwslib"):
            _parser().parse_args(shlex.split(source)[2:])
        else:
            assert (PROJECT_FOLDER / source.split()[0]).is_file(), name


def test_the_page_of_the_results_is_up_to_date():
    text = catalogue.page(RESULTS, {"figures": paper_kit.FIGURES, "tables": paper_kit.TABLES})
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == text, "run: make figures"
    row = next(line for line in text.splitlines() if line.startswith("| [pruning]"))
    assert "speech_commands (11718 files)" in row and "seeds 0, 1, 2" in row and "1615" in row and 'ONLY="04"' in row


def test_a_missing_table_names_what_writes_it(tmp_path):
    with pytest.raises(ResultsError, match=r"streaming\.csv .*No such file.*notebook 08 .*ONLY=\"08\""):
        catalogue.read(tmp_path, "streaming")
    with pytest.raises(ResultsError, match=r"realtime\.csv .*benchmarks/realtime\.py --data FOLDER writes it"):
        catalogue.read(tmp_path, "realtime")


@pytest.mark.parametrize(("content", "reason"), [("", "No columns"), ("a,b\n", "no rows"), ('a\n"1', "EOF")])
def test_a_damaged_table_is_one_line(tmp_path, content, reason):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "pruning.csv").write_text(content)
    with pytest.raises(ResultsError, match=rf"pruning\.csv .*{reason}.*notebook 04") as error:
        catalogue.read(tmp_path, "pruning")
    assert len(str(error.value).splitlines()) == 1


def test_a_table_without_a_column_names_the_column(tmp_path):
    (tmp_path / "tables").mkdir()
    shutil.copy(RESULTS / "tables" / "kernels.csv", tmp_path / "tables" / "pruning.csv")

    def share(pruning):
        """Filters."""
        return pruning["removed"].mean()

    with pytest.raises(ResultsError, match=r"share: no 'removed' in pruning\.csv \(notebook 04"):
        Entry(share, ("pruning",))(tmp_path)
    with pytest.raises(ResultsError, match=r"macs_left: no 'nonzero_macs' in pruning\.csv"):
        paper_kit.draw("macs_left", tmp_path)


def test_a_table_without_rows_to_show_is_one_line(tmp_path):
    (tmp_path / "tables").mkdir()
    table = pd.read_csv(RESULTS / "tables" / "kernels.csv")
    table[table.machine_setting == "paper"].to_csv(tmp_path / "tables" / "kernels.csv")
    with pytest.raises(ResultsError, match=r"latency: no row to show .* in kernels\.csv \(notebook 07"):
        paper_kit.draw("latency", tmp_path)


def test_conditions_come_from_the_columns():
    table = pd.DataFrame({"dataset": ["a", "a"], "task": ["x", "y"], "seed": [1, 0], "n_test": [10, 20]})
    assert catalogue.describe(table) == ("a", "2 rows; x, y; seeds 0, 1; 10, 20 test clips")
    assert catalogue.describe(table[["seed"]]) == ("", "2 rows; seeds 0, 1")

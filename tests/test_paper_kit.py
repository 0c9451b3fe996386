"""Figures and tables for a paper: from the committed tables alone, at the right width, complete."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

from kwslib import paper_kit, paper_style
from kwslib.__main__ import main
from kwslib.cache import PROJECT_FOLDER
from kwslib.catalogue import ResultsError

RESULTS = PROJECT_FOLDER / "results"


@pytest.fixture(scope="module", autouse=True)
def no_window():
    import matplotlib
    import matplotlib.pyplot as plt

    before = plt.get_backend()
    plt.switch_backend("agg")
    with matplotlib.rc_context():
        yield
    plt.close("all")
    plt.switch_backend(before)


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    """The whole kit, and what had to be left out."""
    folder = tmp_path_factory.mktemp("kit")
    return folder, paper_kit.write(RESULTS, folder)


def test_the_committed_tables_suffice_for_everything(kit):
    folder, problems = kit
    assert problems == []
    assert len(paper_kit.FIGURES) >= 12 and len(paper_kit.TABLES) >= 8
    expected = {f"{n}_{w}.{s}" for n in paper_kit.FIGURES for w in ("1col", "2col") for s in ("pdf", "png")}
    expected |= {f"{name}.csv" for name in paper_kit.FIGURES}
    assert {path.name for path in (folder / "figures").iterdir()} == expected
    expected = {f"{name}.{suffix}" for name in paper_kit.TABLES for suffix in ("csv", "tex")}
    assert {path.name for path in (folder / "tables").iterdir()} == expected


def test_figures_have_the_width_of_the_page_and_their_fonts_inside(kit):
    widths = {"1col": paper_style.COLUMN_INCHES, "2col": paper_style.PAGE_INCHES}
    for path in (kit[0] / "figures").glob("*.pdf"):
        content = path.read_bytes()
        width = float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", content)[1]) / 72
        assert width == pytest.approx(widths[path.stem[-4:]], abs=0.01), path.name
        assert b"/FontFile2" in content and b"/Type3" not in content, path.name  # TrueType, embedded


def test_figures_show_what_their_csv_holds(kit):
    shown = pd.read_csv(kit[0] / "figures" / "latency.csv").set_index("model_file").est_ms_216mhz
    kernels = pd.read_csv(RESULTS / "tables" / "kernels.csv").query("machine_setting == 'ours' and data_type == 'int8'")
    assert shown.to_dict() == kernels.groupby("model_file").est_ms_216mhz.min().to_dict()
    fig, data = paper_kit.draw("latency", RESULTS)
    drawn = {
        tuple(y)
        for axis in fig.axes
        for line in axis.containers
        for y in [np.round(np.asarray(line[0].get_ydata(), float), 3)]
    }
    element = data.query("model == 'paper_cnn' and granularity == 'element'").sort_values("sparsity")
    assert tuple(element.est_ms_216mhz.round(3)) in drawn


def test_methods_differ_without_colours():
    fig, _ = paper_kit.draw("sparsity", RESULTS)
    handles, names = fig.axes[0].get_legend_handles_labels()
    looks = {(handle[0].get_marker(), str(handle[0].get_linestyle())) for handle in handles}
    assert len(looks) == len(names) >= 6


def test_tables_are_latex_with_as_many_cells_as_columns(kit):
    for path in (kit[0] / "tables").glob("*.tex"):
        text = path.read_text(encoding="utf-8")
        table = pd.read_csv(path.with_suffix(".csv"))
        columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text)[1]
        body = text.split("\\toprule")[1].split("\\bottomrule")[0].replace("\\midrule", "")
        rows = [line for line in body.strip().splitlines() if line.strip()]
        assert len(columns) == len(table.columns) and len(rows) == len(table) + 1, path.name
        for row in rows:
            cells = re.split(r"(?<!\\)&", row)
            assert len(cells) == len(columns) and row.endswith(r"\\"), row
            assert not re.search(r"(?<!\\)[_%#]", row) and "nan" not in row, row
        assert f"\\label{{tab:{path.stem}}}" in text and "\\caption{" in text


def test_numbers_of_a_table_are_those_of_the_results(kit):
    row = (kit[0] / "tables" / "networks.tex").read_text().split("as\\_paper")[1].split("\\\\")[0]
    rows = pd.read_csv(RESULTS / "tables" / "accuracy.csv").query("training == 'as_paper' and format == 'int8'")
    assert f" & {100 * rows.accuracy.mean():.1f} & {100 * rows.accuracy.std():.1f} & 3 & 1,615 & 476,576 " in row


def test_a_missing_table_costs_only_its_own_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(paper_kit, "FIGURES", {name: paper_kit.FIGURES[name] for name in ("streaming", "cycles")})
    monkeypatch.setattr(paper_kit, "TABLES", {name: paper_kit.TABLES[name] for name in ("streaming", "engines")})
    results = tmp_path / "results"
    shutil.copytree(RESULTS / "tables", results / "tables")
    (results / "tables" / "streaming.csv").unlink()
    before = (results / "tables" / "headline.csv").read_bytes()
    assert main(["figures", "--results", str(results)]) == 0
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == 1 and "streaming.csv" in err and 'ONLY="08"' in err
    assert "2 PDF, 1 LaTeX" in out
    assert (results / "tables" / "headline.csv").read_bytes() == before
    assert "cycle_validation" in (results / "README.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in (results / "paper" / "figures").iterdir()) == [
        *(f"cycles{end}" for end in (".csv", "_1col.pdf", "_1col.png", "_2col.pdf", "_2col.png")),
    ]


def test_words_and_a_network_of_ones_own_are_drawn(tmp_path):
    """Another task and network in the place of the paper's, and no other network."""
    (tmp_path / "tables").mkdir()
    for path in (RESULTS / "tables").glob("*.csv"):
        table = pd.read_csv(path)
        if "model" in table and not table.model.str.startswith("paper6").any():
            table = table[table.model.str.startswith("paper_cnn")]
        table = table.replace({"paper6": "mine", "paper_cnn": "my_network"})
        table.to_csv(tmp_path / "tables" / path.name, index=False)
    for name in paper_kit.FIGURES:
        fig, data = paper_kit.draw(name, tmp_path, wide=False)
        fig.draw_without_rendering()
        assert len(data), name
    for name, entry in paper_kit.TABLES.items():
        assert len(entry(tmp_path)), name


def test_no_tables_at_all_is_an_error(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(paper_kit, "FIGURES", {"cycles": paper_kit.FIGURES["cycles"]})
    monkeypatch.setattr(paper_kit, "TABLES", {})
    assert main(["figures", "--results", str(tmp_path)]) == 2
    assert "cycle_validation.csv" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ResultsError):
        paper_kit.draw("cycles", tmp_path)


def test_the_bibliography_names_the_sources_and_this_project():
    text = (PROJECT_FOLDER / "references.bib").read_text(encoding="utf-8")
    found = {m[2]: m[0] for m in re.finditer(r"@(\w+)\{(\w+),.*?\n\}", text, flags=re.DOTALL)}
    assert len(found) == text.count("\n@") >= 11
    for key, entry in found.items():
        assert all(re.search(rf"^  {name} +=", entry, flags=re.MULTILINE) for name in ("author", "title", "year")), key
        assert entry.count("{") == entry.count("}"), key
    own = yaml.safe_load((PROJECT_FOLDER / "CITATION.cff").read_text(encoding="utf-8"))
    assert f"title   = {{{own['title']}}}" in found["kwslib2026"] and own["version"] in found["kwslib2026"]
    for reference in own["references"]:
        number = reference["identifiers"][0]["value"].removeprefix("arXiv:")
        assert any(number in entry for entry in found.values()), number

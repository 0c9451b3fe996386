"""Every figure and table of a paper from the committed tables alone: `python -m kwslib figures`."""

import argparse
import sys
from pathlib import Path

from kwslib import catalogue, headline, paper_figures, paper_figures_board, paper_tables, plotting
from kwslib.cache import replacing
from kwslib.catalogue import ResultsError
from kwslib.paper_style import STYLE

FIGURES = paper_figures.FIGURES | paper_figures_board.FIGURES
TABLES = paper_tables.TABLES


def draw(name: str, results: str | Path, wide: bool = True):
    """Figure `name` of FIGURES from the tables under `results`: the matplotlib figure and its data.

    As wide as a page, or as one column. Raises ResultsError, which says what writes the table that is missing.
    """
    import matplotlib.pyplot as plt

    plotting.use_style()
    with plt.rc_context(STYLE):
        return FIGURES[name](results, wide)


def write_figure(name: str, results: str | Path, folder: str | Path) -> None:
    """Write `folder/figures/NAME_1col` and `NAME_2col` as PDF and PNG, and NAME.csv. Raises ResultsError."""
    import matplotlib.pyplot as plt

    figures = Path(folder) / "figures"
    for suffix, wide in (("1col", False), ("2col", True)):
        fig, data = draw(name, results, wide)
        with plt.rc_context(STYLE):
            plotting.draw_files(fig, figures / f"{name}_{suffix}")
        plt.close(fig)
    with replacing(figures / f"{name}.csv") as temporary:
        data.to_csv(temporary, index=False, float_format="%.6g")


def write(results: str | Path, folder: str | Path) -> list[str]:
    """Write all figures and tables to `folder`; returns a line for each that has to be left out.

    Raises ResultsError if nothing can be written.
    """
    problems = []
    for name in FIGURES:
        problems += _tried(write_figure, name, results, folder)
    for name, entry in TABLES.items():
        problems += _tried(_write_table, entry, results, Path(folder) / "tables" / name)
    if len(problems) == len(FIGURES) + len(TABLES):
        raise ResultsError(problems[0])
    return problems


def _write_table(entry, results, path):
    paper_tables.write_table(entry(results), entry.caption(results), path)


def _tried(action, *arguments) -> list[str]:
    try:
        action(*arguments)
    except ResultsError as error:
        return [str(error)]
    return []


def write_page(results: str | Path) -> Path:
    """Write `results/README.md`, the list of all tables and figures; returns its path."""
    path = Path(results) / "README.md"
    text = catalogue.page(results, {"figures": FIGURES, "tables": TABLES})
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m kwslib figures`."""
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder with tables/ (results)")
    parser.add_argument("--out", type=Path, help="folder for the paper kit (RESULTS/paper)")


def main(arguments: argparse.Namespace) -> None:
    """Write headline.csv, results/README.md and the kit; what is missing is named on stderr."""
    results, out = arguments.results, arguments.out or arguments.results / "paper"
    problems = _tried(lambda: plotting.save_table(headline.build(results), "headline", results))
    problems += write(results, out)
    for line in dict.fromkeys(problems):
        print(f"left out: {line}", file=sys.stderr)
    print(write_page(results))
    print(f"{len(list((out / 'figures').glob('*.pdf')))} PDF, {len(list((out / 'tables').glob('*.tex')))} LaTeX: {out}")

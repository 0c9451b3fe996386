"""The model that fits a budget: never beaten within the limits, and its command is one that works."""

import itertools
import shutil

import numpy as np
import pandas as pd
import pytest

from kwslib import __main__ as command_line
from kwslib import choose as choosing
from kwslib import live_build
from kwslib.__main__ import main
from kwslib.cache import PROJECT_FOLDER
from kwslib.choose import ChooseError, choose, size_of

RESULTS = PROJECT_FOLDER / "results"
COLUMNS = ["model_file", "task", "data_type", "kernel", "accuracy", "ms", "flash_bytes", "ram_bytes", "fa_per_hour"]
ROWS = [
    ("a.tflite", "paper6", "int8", "best", 0.95, 4.0, 200_000, 9000, 100.0),
    ("b.tflite", "paper6", "int8", "element", 0.95, 3.0, 100_000, 9000, 120.0),
    ("c.tflite", "paper6", "int8", "best", 0.90, 1.0, 50_000, 7000, 300.0),
    ("d.tflite", "paper6", "float32", "best", 0.91, 5.0, 480_000, 20_000, np.nan),
]


@pytest.fixture
def table():
    rows = pd.DataFrame(ROWS, columns=COLUMNS).assign(threshold=[0.5, np.nan, 0.4, np.nan], smoothing_hops=8.0)
    return rows.assign(accuracy_percent=100 * rows.accuracy)


@pytest.fixture(scope="module")
def offered():
    return choosing.candidates(RESULTS)


def file(table, **limits):
    return choose(table, **limits).model.model_file


def test_the_most_accurate_within_the_limits_and_the_fastest_of_equals(table):
    assert file(table) == "b.tflite"
    assert file(table, max_ms=2) == "c.tflite"
    assert file(table, max_flash=50_000) == "c.tflite"
    assert file(table, max_ram=8000, min_accuracy=90) == "c.tflite"


def test_with_a_limit_of_false_alarms_the_fewest_count(table):
    assert file(table, max_fa_per_hour=200) == "a.tflite"
    assert file(table, max_fa_per_hour=200, max_ms=3) == "b.tflite"
    assert file(table, max_fa_per_hour=400, min_accuracy=85) == "b.tflite"
    assert not choose(table[3:], max_fa_per_hour=400).fits  # not measured is not within


def test_where_nothing_fits_the_nearest_says_by_how_much(table):
    choice = choose(table, max_ms=0.8, min_accuracy=89)
    assert choice.model.model_file == "c.tflite" and choice.misses == ("0.2 ms",) and not choice.fits
    choice = choose(table, max_flash=40_000, min_accuracy=92)
    assert choice.misses == ("10,000 bytes of flash", "2 points of accuracy")
    assert choose(table[3:], max_fa_per_hour=10).misses == ("false alarms an hour: none is known",)


def test_no_candidate_beats_the_choice(offered):
    budgets = itertools.product((0.3, 1.0, 5.0), (40e3, 120e3, 300e3), (6e3, 12e3), (0, 88, 95))
    fitting = 0
    for ms, flash, ram, accuracy in budgets:
        choice = choose(offered, max_ms=ms, max_flash=flash, max_ram=ram, min_accuracy=accuracy)
        inside = offered[(offered.ms <= ms) & (offered.flash_bytes <= flash) & (offered.ram_bytes <= ram)]
        inside = inside[inside.accuracy_percent >= accuracy]
        assert choice.fits == bool(len(inside))
        if choice.fits:
            fitting += 1
            assert choice.model.accuracy == inside.accuracy.max()
            assert choice.model.ms == inside[inside.accuracy == inside.accuracy.max()].ms.min()
    assert 5 < fitting < 54


def test_commands_fit_the_model(table):
    assert choose(table, max_fa_per_hour=100).command == (
        "python -m kwslib live results/models/a.tflite --kernels best --smoothing 8 --threshold 0.5"
    )
    assert choosing.command(table.iloc[1]) == "python -m kwslib live results/models/b.tflite --kernels element"
    assert choosing.command(table.iloc[3]) == (
        "python -m kwslib engine results/models/d.tflite my_network --kernels best"
    )


def test_commands_of_the_saved_models_are_understood_and_their_files_are_there(offered):
    for number in range(len(offered)):
        words = choosing.command(offered.iloc[number]).split()
        arguments = command_line._parser().parse_args(words[3:])
        assert (PROJECT_FOLDER / arguments.model).is_file()
    choice = choose(offered, max_ms=1, min_accuracy=88)
    program = live_build.plan(RESULTS / "models" / choice.model.model_file, choice.model.kernel)[0]
    assert program.kernels == choice.model.kernel and "kwslib live" in choice.command


def test_without_a_stream_the_rest_still_works(tmp_path):
    (tmp_path / "tables").mkdir()
    shutil.copy(RESULTS / "tables" / "kernels.csv", tmp_path / "tables")
    found = choosing.candidates(tmp_path)
    assert found.fa_per_hour.isna().all() and "not measured" in str(choose(found, max_ms=1))
    assert "mixed" not in set(found.kernel) and set(found.machine_setting) == {"ours"}


def test_sizes():
    assert [size_of(text) for text in ("65536", "100k", "100 kB", "1M", "1.5k")] == [65536, 1e5, 1e5, 1e6, 1500]
    for text in ("", "k", "-5k", "10 G", "lots"):
        with pytest.raises(ChooseError, match="a size such as"):
            size_of(text)


def test_impossible_limits_are_refused(table):
    for limits in ({"max_ms": -1}, {"max_ms": float("nan")}, {"min_accuracy": 900}, {"max_bytes": 1}):
        with pytest.raises(ChooseError):
            choose(table, **limits)


def test_command_line(capsys):
    words = ["choose", "--max-ms", "1", "--max-flash", "100k", "--min-accuracy", "88", "--results", str(RESULTS)]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert out.startswith("fits: paper6_") and "python -m kwslib live" in out and "estimated" in out
    assert main([*words, "--max-ram", "1k"]) == 0
    assert "nothing fits; the nearest misses by" in capsys.readouterr().out
    assert main(["choose", "--max-flash", "lots"]) == 2
    assert "'lots'" in capsys.readouterr().err

"""Sweeps: order, what is kept and found again, what fails, what survives a kill, and a real Dask cluster."""

import dataclasses
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kwslib import config, sweep
from kwslib.cache import PROJECT_FOLDER
from kwslib.parallel import ParallelError
from kwslib.training import Experiment

SCRIPT = """
import os, pathlib, sys, time, uuid
from kwslib import sweep

def point(number):
    time.sleep(0.3)
    pathlib.Path(sys.argv[1], "calls", f"{number}-{uuid.uuid4()}").touch()
    return {"square": number**2}

print(sweep.run(point, sweep.grid(number=list(range(9))), pathlib.Path(sys.argv[1], "kept"), version=1).to_csv())
"""


def calls(folder):
    """How often each point was computed."""
    names = [path.name.split("-")[0] for path in Path(folder).iterdir()]
    return {name: names.count(name) for name in sorted(set(names))}


def point(number, folder, sleep=0.0, broken=""):
    """Leaves a file for each call; fails while the file `broken` exists."""
    time.sleep(sleep)
    Path(folder, f"{number}-{time.monotonic_ns()}").touch()
    if number == "die":
        os._exit(5)
    if broken and Path(broken).exists():
        raise ValueError("not\ntoday")
    return {"square": np.float32(number) ** 2, "path": Path("a") / "b", "pair": (1, None)}


def several(number, option=None):
    return [{"n": n, "value": number * n} for n in range(number)]


@pytest.fixture
def marks(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept"


def test_a_grid_is_every_combination_in_order():
    points = sweep.grid(a=[1, 2], b="x", c=(3, 4), d=["y", "z"])
    assert [list(found.values()) for found in points] == [[a, "x", (3, 4), d] for a in (1, 2) for d in "yz"]
    assert list(points[0]) == ["a", "b", "c", "d"]
    assert sweep.grid() == [{}] and sweep.grid(a=[]) == []


def test_a_table_in_the_order_of_the_points(marks, kept):
    points = [{"number": n, "folder": marks, "sleep": s} for n, s in ((3, 1.0), (1, 0.0), (2, 0.0), (1, 0.0))]
    table = sweep.run(point, points, kept, version=1)
    assert list(table.columns) == ["number", "folder", "sleep", "square", "path", "pair", "error"]
    assert table.number.tolist() == [3, 1, 2, 1] and table.square.tolist() == [9, 1, 4, 1]
    assert (table.error == "").all() and table.path[0] == "a/b" and table.pair[0] == [1, None]
    assert table.folder[0] == marks.as_posix()
    assert calls(marks) == {"1": 1, "2": 1, "3": 1}  # the one that came twice was computed once
    again = sweep.run(point, points, kept, version=1)
    assert again.equals(table) and calls(marks) == {"1": 1, "2": 1, "3": 1}
    assert sweep.run(point, points[1:2], kept, version=1, refresh=True).square.tolist() == [1]
    assert calls(marks)["1"] == 2


def test_several_rows_a_point_and_none(kept):
    table = sweep.run(several, sweep.grid(number=[2, 0, 1]), kept, version=1)
    assert list(table.columns) == ["number", "n", "value", "error"]
    assert table[["number", "n", "value"]].to_numpy().tolist() == [[2, 0, 0], [2, 1, 2], [1, 0, 0]]
    nothing = sweep.run(several, [], kept, version=1)
    assert len(nothing) == 0 and list(nothing.columns) == ["error"]


def test_another_version_or_other_recordings_are_computed_anew(marks, kept):
    points = sweep.grid(number=1, folder=marks)
    for count, facts in enumerate(({"version": 1}, {"version": 2}, {"version": 1, "data": "abc"}), 1):
        for _ in range(2):
            sweep.run(point, points, kept, **facts)
        assert calls(marks) == {"1": count}
    assert {json.loads(path.read_text())["data"] for path in kept.iterdir()} == {"", "abc"}


def test_where_things_lie_is_neither_in_the_key_nor_in_the_table(marks, kept, tmp_path):
    points = sweep.grid(number=[1, 2])
    table = sweep.run(point, points, kept, version=1, n_jobs=1, fixed={"folder": marks})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = sweep.run(point, points, kept, version=1, n_jobs=1, fixed={"folder": elsewhere})
    assert list(table.columns) == ["number", "square", "path", "pair", "error"]
    pd.testing.assert_frame_equal(again, table)
    assert calls(marks) == {"1": 1, "2": 1} and calls(elsewhere) == {}


def test_a_damaged_entry_is_computed_again(marks, kept):
    points = sweep.grid(number=2, folder=marks)
    for count, text in enumerate(("", '{"rows": [{"square"', "[]", '{"rows": 3}', "\x00"), 2):
        sweep.run(point, points, kept, version=1)
        (path,) = kept.iterdir()
        path.write_text(text)
        assert sweep.run(point, points, kept, version=1).square.tolist() == [4]
        assert calls(marks) == {"2": count}


def test_a_failure_is_a_row_and_tried_again(marks, kept, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.touch()
    points = [{"number": 1, "folder": marks}, {"number": 2, "folder": marks, "broken": broken}]
    table = sweep.run(point, points, kept, version=1)
    assert table.error.tolist() == ["", "ValueError: not today"] and table.square.isna().tolist() == [False, True]
    said = capsys.readouterr().out
    assert "1 of 2 points failed, the next run tries them again; one says: ValueError: not today" in said
    broken.unlink()
    assert sweep.run(point, points, kept, version=1).square.tolist() == [1, 4]
    assert calls(marks) == {"1": 1, "2": 2}


def test_results_that_do_not_fit_are_failures(kept):
    functions = {"number": lambda: 3, "list": lambda: [1], "taken": lambda: {"error": 1}, "object": lambda: {"x": str}}
    said = []
    for name, function in functions.items():
        function.__name__ = function.__qualname__ = name
        said += sweep.run(function, [{}], kept, version=1).error.tolist()
    assert "number returned int: a dict" in said[0] and "list returned list: a dict" in said[1]
    assert "may not be called 'error'" in said[2] and "result 'x' is the class str" in said[3]


def test_a_process_that_dies_is_a_row(marks, kept):
    points = sweep.grid(number=[1, 2, "die", 3, 4], folder=marks, sleep=0.05)
    table = sweep.run(point, points, kept, version=1)
    assert table.error[2].startswith("ParallelError: its process died (exit code EXIT(5)")
    assert table.square.drop(2).tolist() == [1, 4, 9, 16] and np.isnan(table.square[2])
    assert len(list(kept.iterdir())) == 4 and calls(marks)["die"] == 2


def test_settings_make_the_key(kept):
    experiment = Experiment("ds_cnn", config.PAPER6, config.PAPER_FEATURES, config.OURS)
    other = dataclasses.replace(experiment, train=config.OURS.replace(gain_db=9.0))
    options = [None, 1, 1.0, True, "1", (1,), np.int64(2), 2, config.OURS, config.OURS.replace(epochs=81)]
    options += [experiment, other, Path("a/b"), {"b": 1, "a": 2}, {"a": 2, "b": 1}]
    table = sweep.run(several, sweep.grid(number=1, option=options), kept, version=1)
    assert len(list(kept.iterdir())) == len(options) - 2  # NumPy's 2 is 2, and a dict has no order
    shown = [None, 1, 1.0, True, "1", "(1,)", 2, 2, "ours", "ours", "ds_cnn", "ds_cnn", "a/b"]
    assert table.option.tolist()[: len(shown)] == shown


def test_keys_are_the_same_in_every_process(kept):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import test_sweep as t; from kwslib import config, sweep\n"
    code += "sweep.run(t.several, [{'option': config.OURS, 'number': 2}], sys.argv[2], version=1, title=sys.argv[3])"
    names = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(PROJECT_FOLDER)}
        command = [sys.executable, "-c", code, str(Path(__file__).parent), str(kept), seed]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        names |= {path.name for path in kept.iterdir()}
    assert len(names) == 1 and re.fullmatch(r"[0-9a-f]{20}\.json", names.pop())


@pytest.mark.parametrize("function", [lambda: {}, print, Experiment])
def test_functions_without_a_name_of_their_own_are_refused(function, kept):
    with pytest.raises(sweep.SweepError, match="define a function with `def`"):
        sweep.run(function, [{}], kept, version=1)


def test_settings_without_a_key_are_refused(kept):
    for value, said in ((object(), "type object"), (several, "type function"), ({1, 2}, "set"), (str, "class str")):
        with pytest.raises(sweep.SweepError, match=f"setting 'option' .*{said}"):
            sweep.run(several, sweep.grid(number=1, option=value), kept, version=1)
    with pytest.raises(sweep.SweepError, match="'error'"):
        sweep.run(several, [{"error": 1}], kept, version=1)
    assert not kept.exists()


@pytest.mark.skipif(os.name == "nt", reason="process groups of Unix")
def test_a_killed_sweep_goes_on_where_it_was(tmp_path):
    script = tmp_path / "script.py"  # its function is one of __main__
    script.write_text(SCRIPT)
    (tmp_path / "calls").mkdir()
    kept = tmp_path / "kept"
    command = [sys.executable, str(script), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_FOLDER)}
    at_the_kill = []
    for wanted in (2, 5):
        run = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
        while not kept.exists() or len([path for path in kept.iterdir() if path.name[0] != "."]) < wanted:
            assert run.poll() is None
            time.sleep(0.01)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        at_the_kill.append({path.name for path in kept.iterdir() if path.name[0] != "."})
        assert all(json.loads((kept / name).read_text())["rows"] for name in at_the_kill[-1])
    assert at_the_kill[0] < at_the_kill[1] and len(at_the_kill[1]) < 9
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    table = pd.read_csv(io.StringIO(done.stdout[done.stdout.index(",number,square,error") :]))
    assert table.number.tolist() == list(range(9)) and table.square.tolist() == [n**2 for n in range(9)]
    assert f"{len(at_the_kill[1])} from before" in done.stdout
    assert calls(tmp_path / "calls").keys() == {str(n) for n in range(9)}
    assert sum(calls(tmp_path / "calls").values()) <= 9 + 2 * 2  # at most the two in flight at each kill


def test_progress_goes_to_stdout_in_few_lines(marks, kept, capfd):
    sweep.run(point, sweep.grid(number=list(range(40)), folder=marks), kept, version=1, title="grid")
    said = capfd.readouterr()
    lines = said.out.splitlines()
    assert said.err == "" and "\r" not in said.out and 2 <= len(lines) <= 12
    assert all(re.fullmatch(r"grid: \d+/40 points \|.{20}\| \d\d:\d\d, \S+ left", line) for line in lines)
    assert lines[0].startswith("grid: 0/40") and lines[-1].startswith("grid: 40/40")
    sweep.run(point, sweep.grid(number=list(range(40)), folder=marks), kept, version=1, title="again")
    assert capfd.readouterr().out.endswith("nothing to compute, 40 from before\n")


def test_a_notebook_keeps_the_last_state_only(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    code = f"""from kwslib import sweep
def square(number):
    return {{"square": 1 / number}}
table = sweep.run(square, sweep.grid(number=[0, 1, 2, 4]), {str(tmp_path / "kept")!r}, version=1)
table.square.tolist()"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    client = nbclient.NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(PROJECT_FOLDER)}})
    client.execute()
    bar, note, values = notebook.cells[0].outputs
    shown = bar["data"]["text/plain"]
    assert shown.startswith("sweep: 4/4 points |") and shown.endswith("left, 1 failed")
    assert note["name"] == "stdout" and "1 of 4 points failed" in note["text"] and "ZeroDivisionError" in note["text"]
    assert values["data"]["text/plain"] == "[nan, 1.0, 0.5, 0.25]"


def test_a_stopped_sweep_says_what_remains(marks, kept, monkeypatch):
    count = sweep._Bar.count

    def stop(bar, failed):
        count(bar, failed)
        if bar.n == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep._Bar, "count", stop)
    with pytest.raises(KeyboardInterrupt, match="sweep: 3 of 5 points remain; run it again to go on"):
        sweep.run(point, sweep.grid(number=list(range(5)), folder=marks, sleep=0.1), kept, version=1)
    assert len(list(kept.iterdir())) == 2
    assert sweep.run(point, sweep.grid(number=0, folder=marks, sleep=0.1), kept, version=1).error.tolist() == [""]


def test_a_dask_cluster_of_two_workers(marks, kept, capfd):
    pytest.importorskip("distributed", reason="pip install distributed")
    import dask
    from distributed import LocalCluster

    def local(number, folder):
        if number == 3:
            raise ValueError("three")
        return point(number, folder, sleep=0.3) | {"pid": os.getpid()}

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        address = cluster.scheduler_address
        points = sweep.grid(number=list(range(8)), folder=marks)
        table = sweep.run(local, points, kept, version=1, scheduler=address)
        assert capfd.readouterr().err == ""
        assert len(set(table.pid.dropna())) == 2 and os.getpid() not in set(table.pid)
        assert table.number.tolist() == list(range(8)) and table.error[3] == "ValueError: three"
        assert table.square.drop(3).tolist() == [n**2 for n in range(8) if n != 3]
        again = sweep.run(local, points[:3], kept, version=1)  # kept by this process: found without the cluster
        assert again.pid.tolist() == table.pid[:3].tolist()
        dead = sweep.run(point, sweep.grid(number=["die", 10, 11], folder=marks), kept, version=1, scheduler=address)
    assert dead.square.tolist()[1:] == [100, 121] and dead.error[0].startswith("ParallelError: its process died")


def test_a_cluster_that_is_not_there_stops_the_sweep(kept, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParallelError, match="needs the package distributed"):
        sweep.run(several, sweep.grid(number=1), kept, version=1, scheduler="tcp://127.0.0.1:8786")

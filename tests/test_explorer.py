"""The panel, its queue and its table, driven as a person does: a real point, one that is cancelled, one that fails."""

import io
import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from kwslib import artifacts, cache, dataset, explored, explorer, kernel_study, plotting, points
from kwslib.config import PAPER6, PAPER_FEATURES, ConfigError
from kwslib.explored import Point, PointError
from kwslib.point_queue import PointQueue
from kwslib.recipes import Effort

pytest.importorskip("tflite_micro", reason="the tflite-micro wheel exists for Linux on x86-64 only")
COMMITTED = cache.PROJECT_FOLDER / "results"
SMALL = Effort(short_epochs=3, tune_epochs=1, bank_epochs=1, seeds=(0,))
POINT = Point("paper6", "ds_cnn", "element", 0.5, "int8", "best")  # no teacher: the fastest to train
DENSE = Point("paper6", "paper_cnn", "dense", 0.0, "int8", "simd")
PATIENCE_S = 400


def until(condition):
    """Wait for a condition of another thread."""
    ends = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.05)


def choose(panel, point):
    """Set the widgets to a point."""
    for name, box in panel.choices.items():
        box.value = getattr(point, name)
    panel.sparsity.value = point.sparsity


def gone(group):
    """Whether no process of a group is left."""
    try:
        os.killpg(group, signal.SIGCONT)
    except ProcessLookupError:
        return True
    return False


def hidden(*folders):
    """Files that were begun and not finished."""
    return [path for folder in folders for path in folder.rglob(".*") if path.is_file()]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The committed tables that the panel reads, and one saved model."""
    folder = tmp_path_factory.mktemp("results")
    (folder / "tables").mkdir()
    (folder / "models").mkdir()
    for name in ("pruning", "quantization", "kernels"):
        shutil.copy(COMMITTED / "tables" / f"{name}.csv", folder / "tables")
    for suffix in (".tflite", ".json"):
        shutil.copy(COMMITTED / "models" / f"paper6_paper_cnn_ours_s0{suffix}", folder / "models")
    return folder


@pytest.fixture(scope="module")
def driven(results):
    """A panel in which one point was queued and computed, and the next one cancelled while it was fine-tuned."""
    dataset.load_index("synthetic", PAPER6, PAPER_FEATURES)  # made before the clock of any point runs
    panel = explorer.Panel(results, "synthetic", SMALL)
    seen = {"before": (panel.facts.value, panel.figure.value)}
    choose(panel, POINT)
    seen["offer"] = panel.facts.value
    panel.add.click()
    panel.sparsity.value = 0.9
    panel.add.click()
    panel.add.click()  # it waits already
    first, second = panel.queue.jobs
    seen["states"] = first.state, second.state
    until(lambda: first.state not in ("waiting", "running"))
    assert first.state == "done", first.error
    until(lambda: second.stage == "pruning and fine-tuning" or second.state == "failed")
    group = second.process.pid
    panel.stop.click()
    seen["cancelled"] = second.state
    panel.queue.wait(PATIENCE_S)
    until(lambda: gone(group))
    return panel, seen


def test_choosing_moves_words_and_figure(driven, results):
    panel, seen = driven
    assert "accuracy" in seen["before"][0] and "is trained on synthetic, 3 epochs" in seen["offer"]
    choose(panel, DENSE)
    table = explorer.known(results)
    row = table[(table.model == "paper_cnn") & (table.granularity == "dense") & (table.data_type == "int8")]
    row = row[row.kernel == "simd"].iloc[0]
    for text in (f"{100 * row.accuracy:.1f} %", f"{row.est_ms_216mhz:.2f} ms", f"{row.flash_bytes / 1e3:.1f} kB"):
        assert text in panel.facts.value
    picture = matplotlib.image.imread(io.BytesIO(panel.figure.value))
    assert picture.shape[1] > 700 and np.ptp(picture) > 0.5 and panel.figure.value != seen["before"][1]
    assert panel.sparsity.disabled and panel.sparsity.value == 0 and panel.add.disabled
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= set(panel._repr_mimebundle_())


def test_what_is_not_there_is_said_and_offered(driven):
    panel, _ = driven
    choose(panel, DENSE)
    panel.choices["kernel"].value = "vector"
    assert "was not run on the board with kernels vector" in panel.facts.value
    assert "its saved model runs" in panel.facts.value and not panel.add.disabled
    panel.choices["data_type"].value = "float16"
    assert "cannot be queued" in panel.facts.value and "the board runs float32" in panel.facts.value
    assert panel.add.disabled
    panel.choices["granularity"].value = "2:4"
    assert panel.sparsity.value == 0.5 and "is not in the tables" in panel.facts.value


def test_a_queued_point_is_the_same_as_its_steps(driven, results):
    panel, seen = driven
    assert seen["states"][1] == "waiting" and len(panel.queue.jobs) == 2
    table = explored.table(results)
    assert len(table) == 1 and list(table.columns) == explored.COLUMNS
    row = table.iloc[0]
    assert {name: row[name] for name in vars(POINT)} == vars(POINT)
    path = results / row.model_file
    assert artifacts.load_model(path)[1]["sha256"] == row.sha256
    judged = points.quantized(POINT.variant(SMALL), "synthetic")
    assert row.dataset == judged["dataset"]
    for name in ("n_test", "accuracy", "ci_low", "ci_high", "seed"):
        assert row[name] == pytest.approx(judged[name], rel=1e-5), name  # the table has six digits
    ran = kernel_study.measured(path.name, row.sha256, ("best",), "ours", 0, {path.name: path.parent}, "synthetic")[0]
    for name in ("instructions", "est_cycles", "low", "high", "flash_bytes", "ram_bytes", "bit_exact"):
        assert row[name] == ran[name], name
    choose(panel, POINT)  # and the panel knows it
    assert f"{row.est_ms_216mhz:.2f} ms" in panel.facts.value and panel.table.own.sum() == 1


def test_a_cancelled_point_leaves_nothing_behind(driven, results):
    panel, seen = driven
    assert seen["cancelled"] == "cancelled"
    status = panel.queue.status()
    assert status.state.tolist() == ["done", "cancelled"] and (status.error == "").all()
    assert "cancelled" in panel.jobs.value and "done" in panel.jobs.value
    assert not hidden(results, cache.data_folder() / "cache") and len(explored.table(results)) == 1
    assert [path.stem for path in (results / "explored" / "models").glob("*.tflite")] == ["paper6_ds_cnn_element-50_s0"]


def test_a_point_that_fails_says_why_in_one_line(results, tmp_path):
    heard = []
    queue = PointQueue(tmp_path, str(tmp_path / "no_recordings"), SMALL, lambda job: heard.append(job.state))
    job = queue.submit(POINT)
    assert queue.submit(POINT) is job
    queue.wait(PATIENCE_S)
    assert (job.state, heard[-1]) == ("failed", "failed") and job.process.returncode == 0
    assert "no_recordings" in job.error and len(job.error.splitlines()) == 1 and job.seconds > 0
    assert not (tmp_path / "tables").exists()


def test_a_saved_model_only_runs_on_the_board(results):
    stages = []
    row = explored.compute(DENSE.variant(SMALL), "simd", results, "synthetic", stages.append)
    assert stages == ["running on the emulated board"]
    table = explorer.known(COMMITTED)
    same = table[(table.model_file == "paper6_paper_cnn_ours_s0.tflite") & (table.kernel == "simd")].iloc[0]
    assert row["model_file"] == f"models/{same.model_file}" and row["bit_exact"]
    assert row["flash_bytes"] == same.flash_bytes and row["accuracy"] == pytest.approx(same.accuracy)
    assert row["est_cycles"] == pytest.approx(same.est_cycles, rel=0.02)  # other clips


def test_the_tables_are_joined_row_by_row():
    table, board = explorer.known(COMMITTED), pd.read_csv(COMMITTED / "tables" / "kernels.csv")
    assert (table.kernel != "").sum() == (board.machine_setting == "ours").sum()
    assert not table.duplicated([*explored.KEYS, "kernel"]).any() and not table.own.any()
    assert table.accuracy.between(table.ci_low, table.ci_high).all() and set(table.seed) == {0}
    facts = board[board.machine_setting == "ours"].merge(table, on=[*explored.KEYS, "kernel"])
    assert np.allclose(facts.accuracy_x, facts.accuracy_y)
    assert set(explorer.accuracies(COMMITTED).seed) == {0, 1, 2}


def test_rows_added_at_the_same_time_are_all_kept(tmp_path):
    row = dict.fromkeys(explored.COLUMNS, 0) | {"dataset": "a", "kernel": "best"}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: explored.add(row | {"sparsity": n / 10, "accuracy": n}, tmp_path), range(8)))
    explored.add(row | {"sparsity": 0.3, "accuracy": 99}, tmp_path)  # the newer one counts
    table = explored.table(tmp_path).sort_values("sparsity")
    assert table.accuracy.tolist() == [0, 1, 2, 99, 4, 5, 6, 7] and not hidden(tmp_path)


def test_damaged_and_missing_tables_are_named(results, tmp_path):
    with pytest.raises(PointError, match=r"pruning\.csv: missing; run notebooks"):
        explorer.Panel(tmp_path, "synthetic", SMALL)
    for name in ("explored", "pruning"):
        plotting.save_table(pd.DataFrame({"a": [1]}), name, tmp_path)
    with pytest.raises(PointError, match=r"pruning\.csv: has no column 'dataset'"):
        explorer.known(tmp_path)
    with pytest.raises(PointError, match=r"explored\.csv: damaged .*; remove or repair it"):
        explored.table(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "paper7"}, "Point.task = 'paper7': the board runs paper6, kws10"),
        ({"model": "resnet"}, "network 'resnet'"),
        ({"granularity": "blocks"}, "PruneConfig.granularity = 'blocks'"),
        ({"sparsity": 1.0}, "PruneConfig.sparsity = 1.0"),
        ({"granularity": "dense"}, "Point.sparsity = 0.5: a dense network has 0"),
        ({"data_type": "dynamic"}, "Point.data_type = 'dynamic': the board runs float32"),
        ({"kernel": "fast"}, "Point.kernel = 'fast': the board runs plain"),
    ],
)
def test_points_that_do_not_exist(change, message):
    with pytest.raises(ConfigError, match=message):
        Point(**vars(POINT) | change)

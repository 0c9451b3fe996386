"""Jobs side by side: order, errors, processes that die, what a worker is like, and what is left behind."""

import os
import signal
import subprocess
import sys
import time

import joblib
import psutil
import pytest

from kwslib import parallel
from kwslib.cache import PROJECT_FOLDER
from kwslib.parallel import ParallelError, outcomes, run_parallel


def double(number):
    return 2 * number


def misbehave(what, folder=None):
    if folder:
        (folder / f"{what}-{os.getpid()}").touch()
    if what == "die":
        os._exit(7)
    if what == "fail":
        raise KeyError("no such word")
    if isinstance(what, float):
        time.sleep(what)
    return what


def look_around():
    """What a worker is like, before and after it imports TensorFlow."""
    early = "tensorflow" in sys.modules
    import tensorflow as tf
    import tf_keras  # noqa: F401

    threads = tf.config.threading.get_intra_op_parallelism_threads(), os.environ["OMP_NUM_THREADS"]
    inside = joblib.Parallel(n_jobs=2)(joblib.delayed(os.getpid)() for _ in range(4))
    return early, threads, set(inside) == {os.getpid()}, tf.reduce_sum(tf.ones([3])).numpy().item()


def workers_of(process):
    def works(child):
        try:
            return "LokyProcess" in " ".join(child.cmdline())
        except psutil.Error:  # it ends just now
            return False

    return {child for child in process.children() if works(child)}


@pytest.fixture(autouse=True)
def left():
    """Function: worker processes that were started during this test and have not ended; none waits at its begin."""
    parallel.end_waiting()
    before = workers_of(psutil.Process())
    yield lambda: workers_of(psutil.Process()) - before
    parallel.end_waiting()


def process():
    return os.getpid()


@pytest.mark.parametrize("n_jobs", [0, 1, 3])
def test_every_result_comes_with_its_number(n_jobs, left):
    assert sorted(run_parallel(double, [(n,) for n in range(7)], n_jobs)) == [(n, 2 * n) for n in range(7)]
    assert len(left()) == max(1, n_jobs)
    parallel.end_waiting()
    assert not left()
    assert list(run_parallel(double, [], n_jobs)) == []


def test_results_come_as_they_end_from_other_processes_and_of_any_function():
    here = os.getpid()
    ended = run_parallel(lambda seconds: (time.sleep(seconds), os.getpid() != here), [(2.0,), (0.0,)], 2)
    assert [(number, away) for number, (_, away) in ended] == [(1, True), (0, True)]


def test_processes_are_replaced_after_some_jobs(monkeypatch):
    monkeypatch.setattr(parallel, "JOBS_A_PROCESS", 2)
    ended = dict(run_parallel(lambda: (time.sleep(0.3), os.getpid())[1], [()] * 5, 1))
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert ended[0] == ended[1] and ended[2] == ended[3] and len(set(ended.values())) == 3


def test_processes_wait_for_the_next_call_that_wants_the_same(monkeypatch, left):
    one = dict(run_parallel(process, [()] * 2, 2))
    assert set(dict(run_parallel(process, [()] * 3, 1)).values()) <= set(one.values()) and len(left()) == 2
    monkeypatch.setenv("KWS_CACHE", "another")
    assert not set(dict(run_parallel(process, [()], 1)).values()) & set(one.values()) and len(left()) == 1
    monkeypatch.setattr(parallel, "IDLE_SECONDS", 0.1)
    list(run_parallel(process, [()], 1))
    ends = time.monotonic() + 20
    while left():
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_a_process_that_is_killed_while_it_waits_is_no_loss(left):
    (first,) = dict(run_parallel(process, [()], 1)).values()
    psutil.Process(first).kill()
    assert dict(run_parallel(process, [()], 1))[0] != first


def test_waiting_processes_do_not_keep_a_script():
    script = "from kwslib.parallel import run_parallel\nprint(list(run_parallel(pow, [(2, 3)], 1)))"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=PROJECT_FOLDER, capture_output=True, text=True, timeout=30, check=True)
    assert (done.stdout, done.stderr) == ("[(0, 8)]\n", "")


def test_an_error_comes_through_and_drops_the_rest(tmp_path, left):
    arguments = [(0.1, tmp_path), ("fail", tmp_path), (60.0, tmp_path), (0.2, tmp_path), (0.3, tmp_path)]
    started = time.monotonic()
    with pytest.raises(KeyError, match="no such word"):
        list(run_parallel(misbehave, arguments, 2))
    assert time.monotonic() - started < 30  # nobody waited for the long one
    assert not left()
    begun = {path.name.split("-")[0] for path in tmp_path.iterdir()}
    assert "fail" in begun and "0.3" not in begun


def test_outcomes_go_on_after_errors_and_dead_processes(tmp_path):
    arguments = [(word, tmp_path) for word in (0.3, "die", "a", "fail", "b", "c")]
    found = {number: (result, error) for number, result, error in outcomes(misbehave, arguments, 2)}
    assert {number: result for number, (result, _) in found.items()} == {
        0: 0.3,
        1: None,
        2: "a",
        3: None,
        4: "b",
        5: "c",
    }
    assert isinstance(found[1][1], ParallelError) and isinstance(found[3][1], KeyError)
    assert "its process died (exit code EXIT(7)" in str(found[1][1])
    assert sum(error is None for _, error in found.values()) == 4
    assert len(list(tmp_path.glob("die-*"))) == 2  # it had a second chance, alone
    with pytest.raises(ParallelError, match=r"EXIT\(7\)"):
        list(run_parallel(misbehave, [("die",)], 1))


def test_a_worker_is_quiet_and_has_one_thread(capfd):
    (early, threads, alone, total), again = (result for _, result in run_parallel(look_around, [(), ()], 1))
    assert not early and again[0]  # TensorFlow comes with the first job that wants it, once
    assert threads == (1, "1") and alone and total == 3
    assert capfd.readouterr() == ("", "")


def test_jobs_may_grow_without_a_new_worker(capfd):
    kept = "import builtins; builtins.kept = bytearray(400_000_000 * (n == 1))"

    def load(n):
        exec(kept, {"n": n})
        time.sleep(1.1)
        return os.getpid()

    assert len({pid for _, pid in run_parallel(load, [(n,) for n in range(3)], 1)}) == 1
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
@pytest.mark.parametrize("kill", ["interrupt the group", "kill the main process"])
def test_workers_end_with_the_main_process(kill, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import time, pathlib\nfrom kwslib.parallel import run_parallel\n"
        f"def wait(n):\n    pathlib.Path({str(tmp_path)!r}, f'begun{{n}}').touch()\n    time.sleep(60)\n"
        "list(run_parallel(wait, [(1,), (2,)], 3))\n"
    )
    command = [sys.executable, str(script)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_FOLDER)}
    options = {"env": environment, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    # a test run in the background of a shell ignores Ctrl-C, and so would what it starts
    main = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **options)
    while len(list(tmp_path.glob("begun*"))) < 2:
        assert main.poll() is None
        time.sleep(0.05)
    workers = workers_of(psutil.Process(main.pid))
    assert len(workers) == 2
    if kill.startswith("interrupt"):
        os.killpg(main.pid, signal.SIGINT)
    else:
        main.kill()
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    said = main.communicate(timeout=20)[1]
    if kill.startswith("interrupt"):
        assert said.count("Traceback") == 1 and said.rstrip().endswith("KeyboardInterrupt")


def test_a_cluster_that_is_not_there_is_named(monkeypatch):
    pytest.importorskip("distributed", reason="pip install distributed")
    monkeypatch.setattr(parallel, "CONNECT_SECONDS", 2)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(ParallelError, match=f"{address}' does not answer; is `dask scheduler` running"):
            list(outcomes(double, [(1,)], 2, scheduler=address))


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ParallelError) as error:
        list(outcomes(double, [(1,)], 2, scheduler="tcp://127.0.0.1:8786"))
    wanted = "scheduler = 'tcp://127.0.0.1:8786' needs the package distributed: pip install distributed"
    assert str(error.value) == wanted

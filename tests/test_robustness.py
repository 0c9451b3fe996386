"""Faults of the machine, real ones: full disks, read-only folders, no network, missing programs, two runs at once.

Small file systems are mounted in a name space of the test's own; where the system forbids that, those tests skip.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import numpy as np
import pytest
import soundfile

from kwslib import dataset
from kwslib.cache import PROJECT_FOLDER

MODEL = PROJECT_FOLDER / "results" / "models" / "paper6_paper_cnn_ours_s0.tflite"
KWSLIB = [sys.executable, "-m", "kwslib"]
SAVE = """
import sys
import numpy as np, pandas as pd
from kwslib import plotting
plotting.save_table(pd.DataFrame({"value": np.arange(float(sys.argv[2]))}), "accuracy", sys.argv[1])
"""
WEIGHTS = """
import sys
import h5py, numpy as np
from kwslib import cache
with cache.replacing(sys.argv[1] + "/network.h5") as temporary, h5py.File(temporary, "w") as file:
    file["weights"] = np.zeros(100_000)
"""
NOTEBOOKS = """
import sys
from kwslib import notebooks
try:
    notebooks.run_notebooks("quick", "synthetic", sys.argv[2], folder=sys.argv[1])
except notebooks.NotebookError as error:
    sys.exit(f"error: {error}")
"""


def run(*command, script="", **environment):
    """Run a command, in a name space of its own after `script` (which may mount) if there is one."""
    if script:
        command = ["unshare", "--map-root-user", "--mount", "sh", "-ec", f'{script}\nexec "$@"', "sh", *command]
    settings = {"capture_output": True, "text": True, "check": False, "cwd": PROJECT_FOLDER}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of `make test`
    environment = inherited | {"PYTHONPATH": str(PROJECT_FOLDER), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    return subprocess.run([str(word) for word in command], env=environment, **settings)


def refusal(done):
    """The one line on stderr of a command that was refused."""
    assert done.returncode == 2, done
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("error: ")


@pytest.fixture(scope="module")
def mounts(tmp_path_factory):
    """Skip where a test may not mount anything."""
    folder = tmp_path_factory.mktemp("mount")
    if not shutil.which("unshare") or run("true", script=f"mount -t tmpfs none {folder}").returncode:
        pytest.skip("this system lets nobody mount in a name space of his own")


def test_a_full_disk_leaves_the_old_table(mounts, tmp_path):
    after = f'"$@" || code=$?; cat {tmp_path}/tables/accuracy.csv; ls -A {tmp_path}/tables; exit $code'
    script = f"""mount -t tmpfs -o size=256k none {tmp_path}
        "$1" "$2" "$3" "$4" 3
        set +e; {after} """
    done = run(sys.executable, "-c", SAVE, tmp_path, "1e6", script=script)
    assert done.returncode == 1 and done.stdout == "value\n0\n1\n2\naccuracy.csv\n"
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kwslib.cache.WriteError: ") and "No space left on device" in last
    assert f"{tmp_path}/tables/accuracy.csv: cannot be written" in last and "choose another folder" in last


def test_a_full_cache_is_named_even_where_hdf5_gives_no_reason(mounts, tmp_path):
    script = f'mount -t tmpfs -o size=256k none {tmp_path}\n"$@" || ls -A {tmp_path}; exit 1'
    done = run(sys.executable, "-c", WEIGHTS, tmp_path, script=script, KWS_CACHE=str(tmp_path))
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kwslib.cache.WriteError: ") and "No space left on device" in last
    assert "free some space, or set KWS_CACHE to another folder" in last and done.stdout == ""


def test_commands_tell_a_full_disk_in_one_line(mounts, tmp_path):
    said = refusal(run(*KWSLIB, "export", MODEL, tmp_path / "m", script=f"mount -t tmpfs -o size=16k none {tmp_path}"))
    assert f"{tmp_path}/m.cc: cannot be written (No space left on device); free some space" in said


def test_recordings_are_only_read_and_a_read_only_cache_is_named(mounts, tmp_path):
    words, noise, caches = tmp_path / "words", np.random.default_rng(0).normal(0, 0.1, 160_000), tmp_path / "caches"
    caches.mkdir()
    for word in ("yes", "no", "left", "right", "house"):
        for split in dataset.SPLITS:
            (words / word).mkdir(parents=True, exist_ok=True)
            soundfile.write(words / word / f"{split}_nohash_0.wav", noise[:16000], 16000)
    for split in dataset.SPLITS[1:]:
        (words / f"{split}_list.txt").write_text(
            "\n".join(f"{word.name}/{split}_nohash_0.wav" for word in words.iterdir())
        )
    (words / "_background_noise_").mkdir()
    soundfile.write(words / "_background_noise_" / "noise.wav", noise, 16000)

    def evaluate(read_only):
        bind = f"mount --bind {read_only} {read_only}; mount -o remount,ro,bind {read_only}"
        return run(*KWSLIB, "evaluate", MODEL, "--data", words, script=bind, KWS_CACHE=str(caches / read_only.name))

    done = evaluate(words)
    assert done.returncode == 0 and "of 6 clips; 0 bad files" in done.stdout and done.stderr == ""
    said = refusal(evaluate(caches))
    assert f"{caches}/caches" in said and "Read-only file system" in said
    assert "set KWS_CACHE to a folder that may be written to" in said


def test_no_network_says_how_to_bring_the_archive(tmp_path):
    if run("unshare", "--map-root-user", "--net", "true").returncode:
        pytest.skip("this system lets nobody have a network of his own")
    command = [*KWSLIB, "evaluate", MODEL, "--data", "speech_commands_v0.02"]
    done = run("unshare", "--map-root-user", "--net", *command, KWS_CACHE=str(tmp_path))
    said = refusal(done)
    assert "check the network" in said and "speech_commands_v0.02.tar.gz by hand and put it into" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense >&2; exit 127"])
def test_another_python_is_refused_in_one_line(tmp_path, script):
    python = tmp_path / "python3.9"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    done = run("make", "lab", f"PYTHON={python}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode == 2 and "error: Python 3.11 or 3.12 is needed" in done.stdout
    assert "PYTHON=/path/to/it" in done.stdout and done.stdout.count("\n") == 1 and not (tmp_path / "venv").exists()


def test_a_missing_compiler_is_named_with_its_package(tmp_path):
    said = refusal(run(*KWSLIB, "firmware", PATH=str(tmp_path)))
    assert "not found on the PATH; remedy: sudo apt-get install" in said
    for name, text in {"id": "echo 1000", "sudo": "exit 1"}.items():  # somebody without rights
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = run(shutil.which("make"), "tools", PATH=str(tmp_path))
    assert done.returncode == 2
    assert "error: packages are missing; type: sudo apt-get install gcc " in done.stdout.splitlines()[-1]


def test_a_second_run_on_the_same_results_is_refused_and_a_killed_one_is_no_hindrance(tmp_path):
    folder, results = tmp_path / "notebooks", tmp_path / "results"
    folder.mkdir()
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.05)"
    for name, source in {"01_first": "print(1)", "02_waits": wait}.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, folder / f"{name}.ipynb")
    command = [sys.executable, "-c", NOTEBOOKS, str(folder), str(results)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT_FOLDER)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        while not (results / "01_first.ipynb").exists():
            assert first.poll() is None
            time.sleep(0.05)
        second = run(*command)
        assert second.returncode == 1 and second.stdout == "" and second.stderr.count("\n") == 1
        assert f"process {first.pid} writes its results there; wait" in second.stderr
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert {path.name for path in results.iterdir()} == {"01_first.ipynb", ".running"}  # nothing half written
    (tmp_path / "go").touch()
    assert run(*command).returncode == 0
    assert {path.name for path in results.iterdir()} == {"01_first.ipynb", "02_waits.ipynb"}

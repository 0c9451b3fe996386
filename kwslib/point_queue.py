"""A queue of points of one's own, computed in the background one after the other, each in a process of its own.

    queue = PointQueue("results/quick", "synthetic", recipes.QUICK)
    job = queue.submit(Point("paper6", "paper_cnn", "element", 0.6, "int8", "mixed"))
    queue.status()     # a row a point: state, stage, seconds
    queue.cancel(job)  # ends its process

What a cancelled point has finished lies in the caches: queued again, it goes on from there.
"""

import contextlib
import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from kwslib import cache
from kwslib.explored import Point
from kwslib.recipes import Effort

_GRACE_SECONDS = 3  # for a process to tidy up before it is killed


@dataclasses.dataclass
class Job:
    """A point in the queue. `state`: waiting, running, done, failed or cancelled."""

    point: Point
    state: str = "waiting"
    stage: str = ""
    error: str = ""
    started: float | None = None
    ended: float | None = None
    process: subprocess.Popen | None = None

    @property
    def seconds(self) -> float:
        """For how long it runs, or ran."""
        return 0.0 if self.started is None else (self.ended or time.monotonic()) - self.started


class PointQueue:
    """Computes points in the background and adds their rows to `results/tables/explored.csv`.

    `on_change` is called with a job whenever its state or stage changed and about every second while it runs, in a
    thread of the queue. When this process ends, so does the point that runs.
    """

    def __init__(
        self, results: str | Path, data: str, effort: Effort, on_change: Callable[[Job], None] = lambda job: None
    ):
        self.results, self.data, self.effort = Path(results), data, effort
        self.on_change, self.jobs = on_change, []
        self._lock, self._thread = threading.Lock(), None

    def submit(self, point: Point) -> Job:
        """Put a point at the end of the queue; one that waits or runs already is not queued again."""
        with self._lock:
            for job in self.jobs:
                if job.point == point and job.state in ("waiting", "running"):
                    return job
            self.jobs.append(job := Job(point))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
        self.on_change(job)
        return job

    def cancel(self, job: Job | None = None) -> None:
        """Cancel a job, or all that wait or run: its process ends now, killed after 3 seconds if need be."""
        with self._lock:
            ended = [one for one in self.jobs if one.state in ("waiting", "running") and job in (None, one)]
            for one in ended:
                one.state, one.ended = "cancelled", time.monotonic()
                if one.process:
                    _signal(one.process, signal.SIGTERM)
                    threading.Timer(_GRACE_SECONDS, _signal, (one.process, signal.SIGKILL)).start()
        for one in ended:
            self.on_change(one)

    def status(self) -> pd.DataFrame:
        """A row a job: point, state, stage, seconds, error."""
        rows = [(str(job.point), job.state, job.stage, round(job.seconds), job.error) for job in self.jobs]
        return pd.DataFrame(rows, columns=["point", "state", "stage", "seconds", "error"])

    def wait(self, timeout_s: float | None = None) -> None:
        """Return when nothing waits or runs any more, or after `timeout_s` seconds."""
        if thread := self._thread:
            thread.join(timeout_s)

    def _work(self) -> None:
        while job := self._next():
            with tempfile.TemporaryFile() as said:  # what libraries say, the reason if the process dies
                self._start(job, said)
                if job.process:
                    with job.process:
                        self._follow(job, said)

    def _start(self, job: Job, said) -> None:
        """Start the process of a job that still waits; a job for which the computer has none fails."""
        with self._lock:
            if job.state != "waiting":
                return
            job.started = time.monotonic()
            try:
                job.state, job.process = "running", _process(said)
            except OSError as error:
                job.state, job.error, job.ended = "failed", f"no process could be started: {error}", job.started
        if job.state == "failed":
            self.on_change(job)

    def _next(self) -> Job | None:
        """The job that waits longest; None, and the end of the thread, where none waits."""
        with self._lock:
            job = next((job for job in self.jobs if job.state == "waiting"), None)
            if job is None:
                self._thread = None
            return job

    def _follow(self, job: Job, said) -> None:
        """Hand the point to its process and listen until it ends."""
        order, done = (job.point.variant(self.effort), job.point.kernel, self.results, self.data), False
        with contextlib.suppress(BrokenPipeError):  # it died; the end of its output says so
            pickle.dump(order, job.process.stdin)
            job.process.stdin.close()
        for line in job.process.stdout:
            message = json.loads(line)
            done, job.error = "done" in message, message.get("error", "")
            job.stage = message.get("stage", job.stage)
            if job.state == "running" and not (done or job.error):
                self.on_change(job)
        code = job.process.wait()
        with self._lock:
            if job.state == "cancelled":
                job.error = ""
                return
            if not (done or job.error):
                said.seek(0)
                last = said.read().decode(errors="replace").strip().splitlines()[-1:] or ["out of memory?"]
                job.error = f"its process died with exit code {code}: {last[0]}"
            job.state, job.stage = ("done", "") if done else ("failed", job.stage)
            job.ended = time.monotonic()
        self.on_change(job)


def _process(said) -> subprocess.Popen:
    """A process, with a group of its own, that waits for a point on stdin."""
    path = os.pathsep.join([str(cache.PROJECT_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": said}
    command = [sys.executable, "-m", "kwslib.explored"]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path}, start_new_session=True, **pipes)


def _signal(process: subprocess.Popen, number: int) -> None:
    """Send a signal to a process and those that it started, if it is still there."""
    if process.poll() is None:
        os.killpg(process.pid, number)

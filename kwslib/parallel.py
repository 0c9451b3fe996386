"""Run jobs side by side: in processes of this machine (joblib's loky), or on a Dask cluster.

Each job has one thread, for TensorFlow too, and TensorFlow's start-up lines stay off the screen. The processes wait
up to a minute for the next call, as a new one needs seconds to import TensorFlow.
`joblib.Parallel` itself is not used: with one of its loky workers dead it does not say which jobs are lost, with a
dead Dask worker it waits for ever (joblib 1.6.0), and its idle processes keep a script from ending for minutes.
"""

import functools
import importlib.machinery
import math
import os
import pickle
import re
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from kwslib.interpreters import captured_stderr

JOBS_A_PROCESS = 30  # then it is replaced: each conversion of a model leaves some 80 MB behind in TensorFlow
IDLE_SECONDS = 60  # that processes wait for the next call
CONNECT_SECONDS = 20  # for a scheduler to answer, and for its first worker to come
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_ENVIRONMENT = dict.fromkeys(_THREADS, "1") | {"TF_CPP_MIN_LOG_LEVEL": "3"}


class ParallelError(RuntimeError):
    """Jobs could not run: no cluster, a missing package, or a process that died; the message says what to do."""


def _surroundings() -> tuple:
    """What a process inherits at its start."""
    return os.getpid(), os.getcwd(), tuple(sys.path), tuple(sorted(os.environ.items()))


@dataclass(eq=False)
class _Pool:
    """An executor, the jobs that it may still get, and whether all its processes live."""

    executor: object
    n_processes: float
    jobs: float
    whole: bool = True
    surroundings: tuple = field(default_factory=_surroundings)


_waiting = deque()  # a pool that waits for the next call, if any


def run_parallel(function: Callable, arguments: Sequence[tuple], n_jobs: int) -> Iterator[tuple[int, object]]:
    """Call `function(*arguments[n])` for every n, `n_jobs` at a time; yield `(n, result)` as they end.

    An exception is raised here; jobs that have not begun are then dropped, and the processes ended. Raises
    ParallelError if a process dies twice over the same job.
    """
    for number, result, error in outcomes(function, arguments, n_jobs):
        if error is not None:
            raise error
        yield number, result


def outcomes(
    function: Callable, arguments: Sequence[tuple], n_jobs: int, scheduler: str | None = None
) -> Iterator[tuple[int, object, BaseException | None]]:
    """As `run_parallel`, but yield `(n, result, error)` and go on after an error (`result` is then None).

    With `scheduler` ("tcp://host:8786") the jobs run on all workers of that Dask cluster, whatever `n_jobs` says; see
    `sweep` for what a cluster needs.
    When a process dies, the jobs that it may have been at run again, one by one: only that which kills another process
    has failed.
    """
    jobs = [_pickled(function, words) for words in arguments]
    together, alone = deque(range(len(jobs))), deque()
    while together or alone:
        numbers, at_once = (together, len(jobs) if scheduler else max(1, n_jobs)) if together else (alone, 1)
        with _pool(min(at_once, len(numbers)), scheduler) as pool:
            for number, job in _run(pool, jobs, numbers, at_once):
                error = _error(job)
                if not _died(error):
                    yield number, None if error else job.result(), error
                elif numbers is together:
                    alone.append(number)
                else:
                    yield number, None, ParallelError(f"its process died ({_reason(error)})")


def _run(pool: _Pool, jobs: list[bytes], numbers: deque, at_once: int) -> Iterator[tuple[int, object]]:
    """Yield `(number, future)` as jobs end, `at_once` in the pool; stop when one of its processes died.

    No more than those are handed over: what is lost with a process is then what was running.
    """
    running = {}
    while running or (numbers and pool.whole and pool.jobs):
        while pool.whole and numbers and pool.jobs and len(running) < at_once:
            number = numbers.popleft()
            pool.jobs -= 1
            try:
                running[pool.executor.submit(_call, jobs[number])] = number
            except RuntimeError as error:  # it died while nothing ran
                if not running and not _died(error):
                    raise
                numbers.appendleft(number)
                pool.whole = False
        ended = wait(running, return_when=FIRST_COMPLETED).done
        pool.whole = pool.whole and not any(_broken(_error(job)) for job in ended)
        for job in ended:
            yield running.pop(job), job


def _pickled(function: Callable, words: tuple) -> bytes:
    """One job as bytes: cloudpickle takes functions of a notebook, and the worker is quiet before it unpacks them."""
    import cloudpickle

    return cloudpickle.dumps((function, words))


def _call(job: bytes):
    import joblib

    prepare_worker()
    function, words = pickle.loads(job)
    with joblib.parallel_config(backend="sequential"):  # a worker starts no processes of its own
        return function(*words)


def _error(job) -> BaseException | None:
    if job.cancelled():
        return ParallelError("the Dask cluster dropped it; is its scheduler still there?")
    return job.exception()


def _broken(error: BaseException | None) -> bool:
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return isinstance(error, BrokenProcessPool)


def _died(error: BaseException | None) -> bool:
    return _broken(error) or type(error).__name__ == "KilledWorker"  # of distributed, which need not be installed


def _reason(error: BaseException) -> str:
    codes = re.search(r"exit codes of the workers are \{(.*?)\}", str(error))
    return f"exit code {codes[1]}, out of memory?" if codes else " ".join(str(error).split(". ")[0].split())


@contextmanager
def _pool(n_processes: int, scheduler: str | None):
    """A pool; if the block raises, its processes end in the middle of their jobs, else they wait for the next call."""
    if scheduler:
        with _client(scheduler) as client:
            yield _Pool(client.get_executor(pure=False), math.inf, math.inf)
        return
    pool = _waiting_pool(n_processes) or _new_pool(n_processes)
    try:
        yield pool
    except BaseException:
        pool.executor.shutdown(kill_workers=True)
        raise
    if not (pool.whole and pool.jobs):
        pool.executor.shutdown()
        return
    end_waiting()
    _waiting.append(pool)
    timer = threading.Timer(IDLE_SECONDS, end_waiting, (pool,))
    timer.daemon = True
    timer.start()


def _waiting_pool(n_processes: int) -> _Pool | None:
    """The pool that waits, if it is large enough and a new one would inherit the same; any other one ends."""
    try:
        pool = _waiting.pop()
    except IndexError:
        return None
    if pool.n_processes >= n_processes and pool.surroundings == _surroundings():
        return pool
    pool.executor.shutdown()
    return None


def _new_pool(n_processes: int) -> _Pool:
    from joblib.externals.loky import ProcessPoolExecutor

    options = {"initializer": _prepare_process, "initargs": (os.getpid(),), "env": _ENVIRONMENT}
    return _Pool(ProcessPoolExecutor(n_processes, **options), n_processes, n_processes * JOBS_A_PROCESS)


def end_waiting(pool: _Pool | None = None) -> None:
    """End the processes that wait for the next call, or those of `pool` if it is the one that waits."""
    try:
        if pool:
            _waiting.remove(pool)
        else:
            pool = _waiting.pop()
    except (IndexError, ValueError):  # none waits, or another call took it
        return
    pool.executor.shutdown()


def _client(scheduler: str):
    """A connection to a Dask cluster that has a worker, or ParallelError."""
    try:
        from distributed import Client
    except ImportError:
        message = f"scheduler = {scheduler!r} needs the package distributed: pip install distributed"
        raise ParallelError(message) from None
    try:
        place = urlsplit(scheduler)
        socket.create_connection((place.hostname, place.port), CONNECT_SECONDS).close()  # Client fails with much noise
        client = Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        message = f"scheduler = {scheduler!r} does not answer; is `dask scheduler` running there? ({error})"
        raise ParallelError(message) from None
    try:
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except TimeoutError:
        client.close()
        message = f"scheduler = {scheduler!r} has no workers; start some with `dask worker {scheduler}`"
        raise ParallelError(message) from None
    return client


def _prepare_process(parent: int) -> None:
    """At the start of a process of this machine: leave Ctrl-C to the parent, and end with it."""
    from joblib.externals.loky import process_executor

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_executor._USE_PSUTIL = False  # else a worker that has loaded 300 MB of recordings counts as leaking
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


@functools.cache
def prepare_worker() -> None:
    """Before the first job of a process that only works: one thread, and a quiet TensorFlow."""
    os.environ.update(_ENVIRONMENT)
    if "tensorflow" not in sys.modules:
        sys.meta_path.insert(0, _QuietTensorFlow())


class _QuietTensorFlow(importlib.machinery.PathFinder):
    """Import hook: whenever a job first imports TensorFlow, its start-up lines are swallowed."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "tensorflow":
            return None
        spec = super().find_spec(name, path, target)
        if spec:
            load = spec.loader.exec_module

            def quietly(module):
                with captured_stderr():
                    load(module)
                    module.config.threading.set_intra_op_parallelism_threads(1)
                    module.config.threading.set_inter_op_parallelism_threads(1)
                    module.constant(0)  # the devices are looked for at the first tensor
                module.get_logger().setLevel("ERROR")  # hints about graphs that are traced anew

            spec.loader.exec_module = quietly
        return spec

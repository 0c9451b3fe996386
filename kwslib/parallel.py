"""Run TensorFlow jobs side by side, each worker with one thread and without start-up lines on the screen."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed

from kwslib.interpreters import captured_stderr


def run_parallel(function: Callable, arguments: Sequence[tuple], n_jobs: int) -> Iterator[tuple[int, object]]:
    """Call `function(*arguments[n])` for every n in `n_jobs` processes; yield `(n, result)` as they end.

    The processes are fresh ones (TensorFlow must not be forked). An exception is raised here, and jobs that have
    not begun are dropped.
    """
    if not arguments:
        return
    workers = min(max(1, n_jobs), len(arguments))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_quiet_worker) as pool:
        jobs = {pool.submit(function, *words): number for number, words in enumerate(arguments)}
        try:
            for job in as_completed(jobs):
                yield jobs[job], job.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _quiet_worker() -> None:
    import joblib

    joblib.parallel_config(backend="sequential")  # idle joblib processes would keep this one from ending for minutes
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with captured_stderr():
        import tensorflow as tf
        import tf_keras  # noqa: F401

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        tf.constant(0)

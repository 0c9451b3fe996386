"""Execute the numbered notebooks in order, each in a fresh kernel, with a progress line for each."""

import os
import re
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

from kwslib import recipes
from kwslib.cache import PROJECT_FOLDER, replacing, write_fault

TIMEOUT_SECONDS = 4 * 3600  # for one cell; nbclient waits for ever without it


class NotebookError(RuntimeError):
    """A notebook failed; the message names the notebook, the cell and the error."""


def find_notebooks(folder: str | Path = PROJECT_FOLDER / "notebooks") -> list[Path]:
    """The numbered notebooks of a folder in the order in which they run."""
    return sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))


def run_notebooks(
    mode: str,
    data: str,
    results: str,
    *,
    keywords: str | None = None,
    network: str | None = None,
    in_place: bool = False,
    only: Sequence[str] = (),
    folder=None,
) -> list[Path]:
    """Execute every notebook; write executed copies to `results`, or over the notebooks with `in_place`.

    `only` names some of them by their number ("03"). `keywords` and `network` are of one's own, as in `recipes.task`
    and `recipes.network`. The settings reach the notebooks' parameters cells as KWS_MODE, KWS_DATA, KWS_RESULTS,
    KWS_KEYWORDS and KWS_NETWORK.
    A copy is written only when its notebook ran to the end. Raises NotebookError at the first that fails, for a
    number that no notebook has, and where another run writes to `results`.
    """
    from kwslib.download import VERSIONS

    data = data if data in ("synthetic", *VERSIONS) else str(Path(data).resolve())
    settings = {"KWS_MODE": mode, "KWS_DATA": data, "KWS_RESULTS": results, "TF_CPP_MIN_LOG_LEVEL": "3"}
    os.environ |= settings | _own_settings(keywords, network)
    paths = find_notebooks(folder or PROJECT_FOLDER / "notebooks")
    for name in only:
        if not any(path.name.startswith(f"{name}_") for path in paths):
            raise NotebookError(f"notebook {name!r}: there are {', '.join(path.name[:2] for path in paths)}")
    paths = [path for path in paths if not only or path.name[:2] in only]
    with _alone(PROJECT_FOLDER / results):
        return [_step(path, number, len(paths), mode, results, in_place) for number, path in enumerate(paths, 1)]


def _own_settings(keywords: str | None, network: str | None) -> dict[str, str]:
    """The environment variables of keywords and a network of one's own, checked before anything runs."""
    found = {}
    if keywords is not None:
        recipes.task(keywords)
        found["KWS_KEYWORDS"] = keywords
    if network is not None:
        file, colon, function = network.rpartition(":")
        found["KWS_NETWORK"] = f"{Path(file).resolve()}{colon}{function}" if colon else network
        recipes.network(found["KWS_NETWORK"])
    return found


@contextmanager
def _alone(folder: Path):
    """Hold the lock file of a results folder, so that no second run writes there; it falls with the process."""
    import fcntl

    path = folder / ".running"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise write_fault(error, path) or error from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            other = lock.read().strip() or "another"
            remedy = "wait until it ends, or name another folder with --results"
            raise NotebookError(f"{_short(folder)}: process {other} writes its results there; {remedy}") from None
        lock.truncate(0)
        print(os.getpid(), file=lock, flush=True)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _step(path: Path, number: int, total: int, mode: str, results: str, in_place: bool) -> Path:
    """Execute one notebook between its two progress lines; returns where the executed one lies."""
    print(f"[{number}/{total}] {path.name} ({mode} mode) ...", flush=True)
    started = time.monotonic()
    target = path if in_place else PROJECT_FOLDER / results / path.name
    _execute(path, target)
    seconds = time.monotonic() - started
    print(f"[{number}/{total}] {path.name} done in {seconds:.0f} s -> {_short(target)}", flush=True)
    return target


def _execute(path: Path, target: Path) -> None:
    """Execute one notebook and write the result to `target`."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        kernel_manager_class=_patient_manager(),
        timeout=TIMEOUT_SECONDS,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        outputs = [cell.get("outputs", []) for cell in notebook.cells]
        number = next(n for n, found in enumerate(outputs) if any(out.output_type == "error" for out in found))
        raise NotebookError(f"{path.name}: cell {number} failed with {error.ename}: {error.evalue}") from None
    except CellTimeoutError:
        raise NotebookError(f"{path.name}: a cell ran longer than {TIMEOUT_SECONDS} s") from None
    except DeadKernelError:
        raise NotebookError(f"{path.name}: the kernel died; is there enough memory?") from None
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day would make every run differ
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if not _is_progress(out)]
    with replacing(target) as temporary:
        nbformat.write(notebook, temporary)


def _is_progress(output) -> bool:
    """Whether an output is a progress bar: lines on stderr that each write over the one before."""
    lines = output.text.splitlines() if output.get("name") == "stderr" else []
    return bool(lines) and all(re.fullmatch(r".*\d+%\|.*\|.*", line) for line in lines if line.strip())


def _patient_manager():
    """A kernel manager whose client looks for messages every second.

    The stock client waits for the wake-up of its socket alone, which a message sent at that moment can swallow: it then
    waits for ever beside an idle kernel (as ipython/ipykernel#1554, on the other side).
    """
    import queue

    from jupyter_client import AsyncKernelClient, AsyncKernelManager
    from jupyter_client.channels import AsyncZMQSocketChannel

    class PatientChannel(AsyncZMQSocketChannel):
        async def get_msg(self, timeout=None):
            ends = None if timeout is None else time.monotonic() + timeout
            while True:
                left = 1.0 if ends is None else min(1.0, ends - time.monotonic())
                try:
                    return await super().get_msg(timeout=max(0.0, left))
                except queue.Empty:
                    if ends is not None and time.monotonic() >= ends:
                        raise

    class PatientClient(AsyncKernelClient):
        shell_channel_class = iopub_channel_class = PatientChannel

    class PatientManager(AsyncKernelManager):
        client_factory = PatientClient

    return PatientManager


def _short(path: Path) -> str:
    return str(path.relative_to(PROJECT_FOLDER)) if path.is_relative_to(PROJECT_FOLDER) else str(path)

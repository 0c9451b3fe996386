"""A folder of arrays keyed by what they were made from; a half-written entry is never visible."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path

import numpy as np

PROJECT_FOLDER = Path(__file__).resolve().parent.parent


_REMEDIES = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space, or choose another folder")
_REMEDIES |= dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "choose a folder that may be written to")


class WriteError(OSError):
    """A file cannot be written: a full disk, a folder without the right to write; the message names file and remedy."""


def write_fault(error: OSError, path: str | Path | None = None) -> WriteError | None:
    """What to tell of an error from writing `path` (default: the file that it names); None for errors of other kinds.

    Libraries that write by themselves (NumPy, HDF5) may leave out the number of the error: a full disk is then looked
    for.
    """
    path = Path(path or error.filename or ".")
    if isinstance(error, WriteError) or error.errno not in (None, *_REMEDIES):
        return error if isinstance(error, WriteError) else None
    full = error.errno is None and _is_full(path.parent)
    number = errno.ENOSPC if full else error.errno
    reason = os.strerror(number) if number else " ".join(str(error).split())
    remedy = _REMEDIES.get(number, "choose another folder")
    if path.absolute().is_relative_to(data_folder().absolute()):
        remedy = remedy.replace("choose", "set KWS_CACHE to")
    return WriteError(f"{path}: cannot be written ({reason}); {remedy}")


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < 65536
    except OSError:
        return False


def data_folder() -> Path:
    """Folder for downloads, synthetic speech and caches: `$KWS_CACHE`, or `data/` of the project."""
    return Path(os.environ.get("KWS_CACHE") or PROJECT_FOLDER / "data")


@contextmanager
def replacing(path: str | Path):
    """Yield a temporary path beside `path`; it replaces `path` if the block ends well and is removed if not.

    Raises WriteError for a full disk and for a folder that may not be written to.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
        os.chmod(temporary, 0o644)
        yield Path(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise write_fault(error, path) or error from None
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def content_digest(paths: Iterable[str | Path]) -> str:
    """Digest of the contents of files in their order; a missing file counts as its absence."""
    total = hashlib.sha256()
    for path in paths:
        try:
            total.update(hashlib.sha256(Path(path).read_bytes()).digest())
        except OSError:
            total.update(b"unreadable")
    return total.hexdigest()


def cache_key(settings: dict) -> str:
    """Short key of a dict of JSON types."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:20]


def cached_array(folder: str | Path, settings: dict, build: Callable[[], tuple[np.ndarray, dict]], refresh=False):
    """Return `(array, notes)` from the cache, or build and store them.

    `settings` (JSON types) names everything the array depends on. The array is a read-only memory map of an
    `.npy` file; `notes` (JSON types) lie beside it. An entry that cannot be read back is built again, and every
    entry with `refresh`.
    """
    array_path = Path(folder) / f"{cache_key(settings)}.npy"
    notes_path = array_path.with_suffix(".json")
    if not refresh and array_path.is_file() and notes_path.is_file():
        try:
            return np.load(array_path, mmap_mode="r", allow_pickle=False), json.loads(notes_path.read_text())["notes"]
        except (ValueError, OSError, EOFError, KeyError, TypeError):
            array_path.unlink(missing_ok=True)
    array, notes = build()
    with replacing(notes_path) as temporary:
        temporary.write_text(json.dumps({"settings": settings, "notes": notes}))
    with replacing(array_path) as temporary:
        np.save(temporary, array, allow_pickle=False)
    return np.load(array_path, mmap_mode="r", allow_pickle=False), notes


@contextmanager
def alone(folder: str | Path):
    """Hold `folder` (made if missing) against other processes and threads that ask for it here; they wait."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)

"""Fetch and unpack the official Speech Commands archives; nothing half-done is ever visible."""

import errno
import os
import shutil
import stat
import tarfile
import tempfile
import time
import zlib
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

# Addresses and SHA-256 as in torchaudio (src/torchaudio/datasets/speechcommands.py); for v0.02 TensorFlow Datasets
# (speech_commands/checksums.tsv) has the same, and its MD5 is 6b74f3901214cb2c2934e98196829835.
VERSIONS = {
    "speech_commands_v0.01": (
        "http://download.tensorflow.org/data/speech_commands_v0.01.tar.gz",
        "sha256:743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    ),
    "speech_commands_v0.02": (
        "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    ),
}
_STALE_SECONDS = 86400  # a part folder this old belongs to a run that was killed


class DownloadError(RuntimeError):
    """A data set cannot be fetched; the message names the fault and the remedy."""


def fetch(version: str, folder: str | Path) -> Path:
    """Return `folder / version` with the data set in it; download (1.5 or 2.4 GB) and unpack it if it is not there.

    An archive of the same name that was put into `folder` by hand is used if its hash is right. The archive is
    deleted once it is unpacked. After an interruption a second call starts again, with a whole archive if there is
    one.

    Raises DownloadError for an unknown version, no network, a wrong hash, a full disk and an archive that is
    broken or holds anything but files and folders inside its own tree.
    """
    if version not in VERSIONS:
        raise DownloadError(f"{version!r} is not a known data set: allowed is {', '.join(VERSIONS)}")
    folder = Path(folder)
    target = folder / version
    if target.is_dir() and any(target.iterdir()):
        return target
    try:
        archive = _download(*VERSIONS[version], folder)
        with building(target) as part:
            unpack(archive, part)
        archive.unlink()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = "free about 6 GB or set KWS_CACHE to a folder on another disk"
            raise DownloadError(f"{folder}: the disk is full; {remedy}") from None
        raise DownloadError(f"{folder}: cannot be written ({error}); check its permissions or set KWS_CACHE") from None
    return target


def _download(url: str, known_hash: str, folder: Path) -> Path:
    """Return the path of the archive in `folder`, downloaded if it is not there with the right hash."""
    import pooch
    import requests

    name = url.rsplit("/", 1)[-1]
    by_hand = f"try again, or download {url} by hand and put it into {folder.resolve()}"
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=60)
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(url, known_hash, fname=name, path=folder, downloader=downloader))
    except requests.RequestException as error:  # an OSError, so it stands before the caller's
        raise DownloadError(f"{url}: the download failed ({_short(error)}); check the network and {by_hand}") from None
    except ValueError as error:
        if "hash" not in str(error):
            raise DownloadError(f"{url}: cannot be downloaded ({_short(error)}); {by_hand}") from None
        raise DownloadError(f"{url}: what arrived has another hash than {known_hash}; {by_hand}") from None


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


def unpack(archive: str | Path, folder: str | Path):
    """Unpack a .tar.gz of plain files and folders into `folder`.

    Raises DownloadError for a broken archive and, before it is written, for a member with an absolute path or
    "..", a link or a device.
    """
    from tqdm.auto import tqdm

    try:
        with tarfile.open(archive, "r:gz") as tar, tqdm(desc=f"unpacking {Path(archive).name}", unit="file") as bar:
            for member in tar:
                _refuse_hostile(member, archive)
                tar.extract(member, folder, filter="data")
                bar.update()
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DownloadError(f"{archive}: broken archive ({_short(error)}); delete it and try again") from None


def _refuse_hostile(member: tarfile.TarInfo, archive: str | Path):
    posix, windows = PurePosixPath(member.name), PureWindowsPath(member.name)
    if posix.is_absolute() or windows.drive or windows.root:
        fault = "an absolute path"
    elif ".." in windows.parts:  # splits at both slashes
        fault = "'..' in its path"
    elif not (member.isreg() or member.isdir()):
        fault = "a link or a device"
    else:
        return
    raise DownloadError(f"{archive}: refused, member {member.name!r} is or has {fault}; delete the archive")


@contextmanager
def building(folder: Path):
    """Yield an empty folder that becomes `folder` if the block ends well, and is removed if not.

    It lies beside `folder`, so that the last step is a rename; an older `folder` is replaced. Part folders of
    runs that were killed are removed after a day.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    for stale in folder.parent.glob(f".{folder.name}-part-*"):
        if time.time() - stale.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(stale, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-part-", dir=folder.parent))
    try:
        yield part
        part.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        if folder.exists():
            os.rename(folder, old := Path(f"{part}-old"))
            os.rename(part, folder)
            shutil.rmtree(old)
        else:
            os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)

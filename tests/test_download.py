"""Downloads against a small server on this machine: good, broken off, wrong bytes, hostile, interrupted."""

import errno
import hashlib
import io
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kwslib import download

NAME = "speech_commands_v0.01"
FILES = {"./yes/aa_nohash_0.wav": b"yes" * 5000, "./no/bb_nohash_0.wav": b"no" * 5000, "./LICENSE": b"CC BY 4.0"}


def targz(members):
    """A .tar.gz of (TarInfo or name, content) pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for member, content in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


class Server(ThreadingHTTPServer):
    """Serves `body`; with `cut` it breaks off after so many bytes."""

    daemon_threads = True
    body, cut, status, requests = b"", None, 200, 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body[: self.server.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        serve(server, targz(FILES.items()), monkeypatch)
        yield server
        server.shutdown()
        thread.join()


def serve(server, body, monkeypatch):
    server.body = body
    url = f"http://127.0.0.1:{server.server_port}/{NAME}.tar.gz"
    monkeypatch.setitem(download.VERSIONS, NAME, (url, "sha256:" + hashlib.sha256(body).hexdigest()))


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_good_archive_is_fetched_once(server, tmp_path):
    target = download.fetch(NAME, tmp_path / "data")
    assert target == tmp_path / "data" / NAME
    assert names(tmp_path / "data") == [f"{NAME}/{name[2:]}" for name in sorted(FILES)]
    assert (target / "yes/aa_nohash_0.wav").read_bytes() == FILES["./yes/aa_nohash_0.wav"]
    assert target.stat().st_mode & 0o777 == 0o755
    assert download.fetch(NAME, tmp_path / "data") == target
    assert server.requests == 1


def test_archive_put_there_by_hand_needs_no_network(server, tmp_path):
    (tmp_path / f"{NAME}.tar.gz").write_bytes(server.body)
    assert (download.fetch(NAME, tmp_path) / "LICENSE").read_bytes() == b"CC BY 4.0"
    assert server.requests == 0


def test_break_off_in_the_middle_leaves_nothing_and_a_second_call_works(server, tmp_path):
    server.cut = len(server.body) // 2
    with pytest.raises(download.DownloadError, match=r"the download failed .* by hand and put it into") as error:
        download.fetch(NAME, tmp_path)
    assert f"127.0.0.1:{server.server_port}/{NAME}.tar.gz" in str(error.value)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    server.cut = None
    assert len(names(download.fetch(NAME, tmp_path))) == 3


def test_wrong_bytes_are_refused(server, tmp_path):
    server.body = server.body[:-100] + bytes(100)
    with pytest.raises(download.DownloadError, match="another hash than sha256:"):
        download.fetch(NAME, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_archive_by_hand_with_wrong_bytes_is_replaced(server, tmp_path):
    (tmp_path / f"{NAME}.tar.gz").write_bytes(b"half a download")
    assert len(names(download.fetch(NAME, tmp_path))) == 3
    assert server.requests == 1


def test_missing_page_and_no_server(server, tmp_path, monkeypatch):
    server.status = 404
    with pytest.raises(download.DownloadError, match="404"):
        download.fetch(NAME, tmp_path)
    monkeypatch.setitem(download.VERSIONS, NAME, (f"http://127.0.0.1:1/{NAME}.tar.gz", "md5:0"))
    with pytest.raises(download.DownloadError, match="check the network"):
        download.fetch(NAME, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        ("/tmp/evil", "an absolute path"),
        ("C:\\evil", "an absolute path"),
        ("\\\\host\\share\\evil", "an absolute path"),
        ("yes/../../evil", "'..' in its path"),
        ("yes\\..\\..\\evil", "'..' in its path"),
        (special("yes/link", tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
        (special("yes", tarfile.SYMTYPE, "../.."), "a link or a device"),
        (special("hard", tarfile.LNKTYPE, "../../secret"), "a link or a device"),
        (special("null", tarfile.CHRTYPE), "a link or a device"),
        (special("pipe", tarfile.FIFOTYPE), "a link or a device"),
    ],
)
def test_hostile_member_is_refused_by_name(server, tmp_path, monkeypatch, member, fault):
    data = b"" if isinstance(member, tarfile.TarInfo) else b"evil"
    serve(server, targz([*FILES.items(), (member, data)]), monkeypatch)
    folder = tmp_path / "a" / "b" / "data"
    with pytest.raises(download.DownloadError) as error:
        download.fetch(NAME, folder)
    assert fault in str(error.value)
    assert repr(getattr(member, "name", member)) in str(error.value)
    assert names(tmp_path) == [f"a/b/data/{NAME}.tar.gz"]
    assert [path.name for path in folder.iterdir()] == [f"{NAME}.tar.gz"]


def test_executable_and_world_writable_bits_are_dropped(server, tmp_path, monkeypatch):
    info = tarfile.TarInfo("yes/a.wav")
    info.mode = 0o6777
    serve(server, targz([(info, b"x")]), monkeypatch)
    mode = (download.fetch(NAME, tmp_path) / "yes/a.wav").stat().st_mode
    assert mode & 0o6022 == 0


def test_broken_archive_with_the_right_hash(server, tmp_path, monkeypatch):
    whole = server.body
    for body in (whole[: len(whole) // 2], b"not an archive", b"", whole[:40] + bytes(40) + whole[80:]):
        serve(server, body, monkeypatch)
        with pytest.raises(download.DownloadError, match=r"broken archive .* delete it"):
            download.fetch(NAME, tmp_path)
        assert not (tmp_path / NAME).exists()
        assert not list(tmp_path.glob(".*"))


def test_interrupted_unpacking_leaves_nothing_and_a_second_call_works(server, tmp_path, monkeypatch):
    real, seen = tarfile.TarFile.extract, []

    def interrupted(self, member, *args, **settings):
        seen.append(member.name)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return real(self, member, *args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download.fetch(NAME, tmp_path)
    assert len(seen) == 2
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.tar.gz"]  # whole and checked: it is used again
    assert len(names(download.fetch(NAME, tmp_path))) == 3
    assert server.requests == 1


@pytest.mark.parametrize(
    ("number", "message"), [(errno.ENOSPC, "the disk is full; free about"), (errno.EACCES, "check its permissions")]
)
def test_disk_faults_have_a_remedy(server, tmp_path, monkeypatch, number, message):
    def fails(*_, **__):
        raise OSError(number, "fault")

    monkeypatch.setattr(tarfile.TarFile, "extract", fails)
    with pytest.raises(download.DownloadError, match=message):
        download.fetch(NAME, tmp_path)
    assert not (tmp_path / NAME).exists()


def test_unknown_version_names_the_known_ones(tmp_path):
    with pytest.raises(download.DownloadError, match=r"'v3' is not .* speech_commands_v0\.01, speech_commands_v0\.02"):
        download.fetch("v3", tmp_path)


def test_building_sweeps_old_part_folders_only(tmp_path, monkeypatch):
    (tmp_path / ".set-part-old").mkdir()
    (tmp_path / ".set-part-old" / "x").write_text("")
    with download.building(tmp_path / "set") as part:
        (part / "a").write_text("a")
    assert (tmp_path / ".set-part-old").is_dir()  # may be at work
    monkeypatch.setattr(download, "_STALE_SECONDS", -1)
    with download.building(tmp_path / "set") as part:
        (part / "b").write_text("b")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["set", "set/b"]

"""Downloads from a server on this machine that can misbehave."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from data_helpers import Said, Stage, encoded, noise

from tfedge.data.sources import data_root, scan, source_digest
from tfedge.devices.schema import Tool
from tfedge.devices.tools import tool_file
from tfedge.errors import ArtifactError, DataError
from tfedge.files import download as module
from tfedge.files.budget import DATA
from tfedge.files.files import try_lock
from tfedge.files.progress import NoProgress
from tfedge.inputs.images.schema import ImageData as Data

download = partial(module.download, limits=DATA)
BODY = bytes(range(256)) * 4000  # 1 MB
SHA = hashlib.sha256(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """``cuts``: after how many bytes to hang up, request by request; then whole answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.cuts: list[int] = []
        self.statuses: list[int] = []
        self.ranges = True
        self.wrong_range = False
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/flowers.tgz"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        start = int(wanted[6:-1]) if wanted and server.ranges else 0
        if start and start >= len(server.body):
            self.send_error(416)
            return
        content = server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Encoding", "x-gzip")  # as some servers say of a .tgz
        if start:
            said = start + 5 if server.wrong_range else start
            self.send_header("Content-Range", f"bytes {said}-{len(server.body)}/{len(server.body)}")
        self.end_headers()
        self.wfile.write(content[: server.cuts.pop(0)] if server.cuts else content)
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "BACKOFF", 0.001)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


def test_a_whole_file(tmp_path: Path, server: Server) -> None:
    said = Said()
    assert download(server.url, SHA, tmp_path / "d" / "f", said).read_bytes() == BODY
    assert said.updates[-1] == ("download", len(BODY), len(BODY), "bytes")
    assert left(tmp_path / "d") == {"f"}
    download(server.url, SHA, tmp_path / "d" / "f", said)
    assert server.asked == [None]


def test_cut_connections_are_resumed(tmp_path: Path, server: Server) -> None:
    server.cuts = [300_000, 200_000, 0]
    said = Said()
    assert download(server.url, SHA, tmp_path / "f", said).read_bytes() == BODY
    assert server.asked == [None, "bytes=300000-", "bytes=500000-", "bytes=500000-"]
    assert len(said.notes) == 3 and "trying again" in said.notes[0]


def test_a_server_without_ranges_starts_over(tmp_path: Path, server: Server) -> None:
    server.cuts, server.ranges = [300_000], False
    assert download(server.url, SHA, tmp_path / "f", NoProgress()).read_bytes() == BODY
    assert server.asked == [None, "bytes=300000-"]


def test_a_server_that_gives_another_range_starts_over(tmp_path: Path, server: Server) -> None:
    server.cuts, server.wrong_range = [300_000], True
    assert download(server.url, SHA, tmp_path / "f", NoProgress()).read_bytes() == BODY
    assert server.asked == [None, "bytes=300000-", None]


def test_too_many_cuts_keep_the_part_for_the_next_run(tmp_path: Path, server: Server) -> None:
    server.cuts = [100_000] * module.TRIES
    with pytest.raises(ArtifactError) as caught:
        download(server.url, SHA, tmp_path / "f", NoProgress())
    assert caught.value.exit_code == 7 and "cut off, 4 times" in caught.value.message
    assert "goes on where it stopped" in caught.value.hint
    assert left(tmp_path) == {"f.part"}
    server.asked.clear()
    assert download(server.url, SHA, tmp_path / "f", NoProgress()).read_bytes() == BODY
    assert server.asked == ["bytes=400000-"]


def test_a_wrong_digest_names_both_and_leaves_nothing(tmp_path: Path, server: Server) -> None:
    with pytest.raises(ArtifactError) as caught:
        download(server.url, "0" * 64, tmp_path / "f", NoProgress())
    assert f"expected sha256 {'0' * 64}, got sha256 {SHA}" in caught.value.message
    assert server.asked == [None] and left(tmp_path) == set()


def test_a_part_of_another_version_is_thrown_away(tmp_path: Path, server: Server) -> None:
    (tmp_path / "f.part").write_bytes(b"old" * 1000)
    assert download(server.url, SHA, tmp_path / "f", NoProgress()).read_bytes() == BODY
    assert server.asked == ["bytes=3000-", None]


def test_a_part_longer_than_the_file(tmp_path: Path, server: Server) -> None:
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    assert download(server.url, SHA, tmp_path / "f", NoProgress()).read_bytes() == BODY


def test_a_complete_part_needs_no_server(tmp_path: Path, server: Server) -> None:
    (tmp_path / "f.part").write_bytes(BODY)
    assert download(server.url, SHA, tmp_path / "f", NoProgress()).read_bytes() == BODY
    assert server.asked == []


def test_a_damaged_target_is_fetched_again(tmp_path: Path, server: Server) -> None:
    (tmp_path / "f").write_bytes(b"damaged")
    assert download(server.url, SHA, tmp_path / "f", NoProgress()).read_bytes() == BODY


def test_not_found_is_not_tried_again(tmp_path: Path, server: Server) -> None:
    server.statuses = [404]
    with pytest.raises(ArtifactError, match=r"HTTP 404 Not Found") as caught:
        download(server.url, SHA, tmp_path / "f", NoProgress())
    assert caught.value.hint and server.asked == [None] and left(tmp_path) == set()


def test_a_busy_server_is_tried_again(tmp_path: Path, server: Server) -> None:
    server.statuses = [503, 500]
    assert download(server.url, SHA, tmp_path / "f", NoProgress()).read_bytes() == BODY


def test_a_refused_connection(tmp_path: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(ArtifactError, match="4 times: Connection refused") as caught:
        download(f"http://127.0.0.1:{port}/x", SHA, tmp_path / "f", NoProgress())
    assert "set data.path" in caught.value.hint and left(tmp_path) == set()


def test_a_full_disk(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.open

    def full(self: Path, mode: str = "r", *args: object) -> object:
        if mode == "wb":
            return real(Path("/dev/full"), "wb")
        return real(self, mode, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ArtifactError, match="no space left") as caught:
        download(server.url, SHA, tmp_path / "f", NoProgress())
    assert "TFEDGE_CACHE" in caught.value.hint


def test_two_at_once_fetch_it_once(tmp_path: Path, server: Server) -> None:
    with ThreadPoolExecutor(3) as pool:
        paths = pool.map(
            lambda _: download(server.url, SHA, tmp_path / "f", NoProgress()), range(3)
        )
        assert {path.read_bytes() for path in paths} == {BODY}
    assert server.asked == [None]


# data.download


def flower_archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for number in range(24):
            content = encoded(noise(number), "PNG")
            info = tarfile.TarInfo(
                f"flower_photos/{'rose' if number % 2 else 'tulip'}/{number}.png"
            )
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def source(server: Server, folder: str = "flower_photos") -> dict[str, str]:
    return {
        "url": server.url,
        "sha256": hashlib.sha256(server.body).hexdigest(),
        "folder": folder,
    }


def test_a_downloaded_set(tmp_path: Path, server: Server) -> None:
    server.body = flower_archive()
    server.cuts = [1000]
    wanted, cache = source(server), tmp_path / "cache"
    data = Data(download=wanted)  # type: ignore[arg-type]
    assert source_digest(data, cache, hash_new=False) is None and server.asked == []
    stage = Stage(tmp_path, download=wanted)
    assert stage.index.classes == ("rose", "tulip") and len(stage.index.rows) == 24
    assert data_root(data, cache) == cache / "downloads" / wanted["sha256"] / "flower_photos"
    names = {path.name for path in (cache / "downloads").iterdir() if path.suffix != ".lock"}
    # The archive is not kept.
    assert names == {wanted["sha256"], f"{wanted['sha256']}.files.json"}
    asked = len(server.asked)
    assert source_digest(data, cache, hash_new=False) == source_digest(data, cache)
    assert len(server.asked) == asked


def test_who_waits_for_another_run_s_download_says_so(tmp_path: Path, server: Server) -> None:
    server.body = b"data"
    tool = Tool(url=f"{server.url}?key=t0ken", sha256=hashlib.sha256(b"data").hexdigest())
    folder, said = tmp_path / "tools" / str(tool.sha256), Said()
    folder.mkdir(parents=True)
    held = try_lock(folder / "flowers.tgz.lock")
    assert held is not None
    threading.Timer(1.0, os.close, [held]).start()
    assert tool_file(tool, tmp_path, said).read_bytes() == b"data"
    (note,) = said.notes
    assert note.startswith(f"waiting for {server.url}?key=***, which another run fetches: process ")
    assert f"process {os.getpid()} on " in note


def test_a_download_that_lost_images_is_fetched_again_or_refused(
    tmp_path: Path, server: Server
) -> None:
    server.body = flower_archive()
    data = Data(download=source(server))  # type: ignore[arg-type]
    before = source_digest(data, tmp_path)
    image = next(data_root(data, tmp_path).rglob("*.*g"))
    image.unlink()
    assert source_digest(data, tmp_path) == before and image.is_file()
    image.write_bytes(bytes(image.stat().st_size))
    body, server.body = server.body, b"gone"
    with pytest.raises(ArtifactError):
        source_digest(data, tmp_path)
    assert image.is_file()  # what is there stays where it can't be mended
    server.body = body
    assert source_digest(data, tmp_path) == before and any(image.read_bytes())


def test_a_downloaded_archive_that_climbs_out_leaves_nothing(
    tmp_path: Path, server: Server
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        info = tarfile.TarInfo("../../../evil.png")
        archive.addfile(info, io.BytesIO())
    server.body = buffer.getvalue()
    with pytest.raises(ArtifactError, match="leads out of its folder"):
        scan(Data(download=source(server)), tmp_path / "c", NoProgress())  # type: ignore[arg-type]
    assert not list(tmp_path.rglob("evil.png"))
    assert not [path for path in (tmp_path / "c" / "downloads").iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        ("flowers", "no folder 'flowers' in the archive"),
        ("../x", "leads out of the archive"),
        ("/etc", "leads out of the archive"),
    ],
)
def test_a_wrong_folder(tmp_path: Path, server: Server, folder: str, says: str) -> None:
    server.body = flower_archive()
    with pytest.raises(DataError, match=says) as caught:
        scan(Data(download=source(server, folder)), tmp_path, NoProgress())  # type: ignore[arg-type]
    assert folder != "flowers" or "flower_photos" in caught.value.hint


def test_a_forgotten_folder_is_hinted_at(tmp_path: Path, server: Server) -> None:
    server.body = flower_archive()
    with pytest.raises(DataError) as caught:
        Stage(tmp_path, download=source(server, ""))
    assert "flower_photos has 2 folders in it" in caught.value.hint

"""Passwords and tokens in addresses: not in messages, run directories, keys and reports."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from core_fakes import TABLE, go

from tfedge import cli
from tfedge.core import keys
from tfedge.core.stages import STAGES
from tfedge.errors import ArtifactError, ConfigError, DeviceError, TfedgeError
from tfedge.pipeline.load import load
from tfedge.redact import without_secrets

SECRETS = ("hunter2", "s3cr3t", "t0ken")
SHA = "a" * 64


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://h.org/x.zip", "https://h.org/x.zip"),
        ("https://h.org/x.zip?download=1", "https://h.org/x.zip?download=1"),
        ("https://me:hunter2@h.org/x.zip", "https://***@h.org/x.zip"),
        ("HTTPS://t0ken@h.org:8080/x", "HTTPS://***@h.org:8080/x"),
        ("http://a:hunter2@[::1]:80/x", "http://***@[::1]:80/x"),
        ("https://h/x?sig=s3cr3t&dl=1;k=t0ken", "https://h/x?sig=***&dl=1;k=***"),
        ("https://h/x?t0ken", "https://h/x?***"),
        ("https://h/x#key=t0ken", "https://h/x#***"),
        ("'https://h/x?k=t0ken': no", "'https://h/x?k=***': no"),
        ("(see https://a:hunter2@h/x), or https://h/y.", "(see https://***@h/x), or https://h/y."),
        ("ssh://pi@host:22", "ssh://pi@host:22"),
        ("ssh://pi:hunter2@host", "ssh://pi:***@host"),
        ("ftp://a:hunter2@h/x", "ftp://a:***@h/x"),
        ("exceeded with url: /x?key=t0ken (Caused by", "exceeded with url: /x?key=*** (Caused by"),
        ("adb:serial local:/usr/bin/python a://", "adb:serial local:/usr/bin/python a://"),
    ],
)
def test_what_is_hidden(given: str, shown: str) -> None:
    assert without_secrets(given) == shown
    assert without_secrets(shown) == shown


URL = "https://me:hunter2@h.org/x.zip?sig=s3cr3t&download=1"
PLAIN = URL.partition("?")[0]
ESCAPED = URL.replace("2", r"\x32")


def in_yaml(way: str) -> str:
    return f"name: a\n# from {URL}\ndata:\n  download: {way}\n"


@pytest.mark.parametrize(
    "way",
    [
        f"{{url: '{URL}', sha256: {SHA}}}",
        f"{{url: {PLAIN}, sha256: {SHA}}}",
        f"{{url: {PLAIN},sha256: {SHA}}}",
        f"{{sha256: {SHA}, url: {PLAIN}}}",
        f"\n    url: {URL}  # mine\n    sha256: {SHA}",
        f'{{url: "{ESCAPED}", sha256: {SHA}}}',
        f'\n    url: "https://me:hunt\\\n      er2@h.org/x.zip?sig=s3cr3t"\n    sha256: {SHA}',
    ],
)
def test_what_a_run_keeps_of_the_file_has_no_secrets(tmp_path: Path, way: str) -> None:
    (tmp_path / "p.yaml").write_text(in_yaml(way))
    loaded = load(tmp_path / "p.yaml")
    assert "hunter2" in (loaded.pipeline.data.download.url)  # which is what is fetched
    kept = loaded.kept_text()
    for text in (kept, str(yaml.safe_load(kept)), str(loaded.resolved())):
        assert not any(secret in text for secret in SECRETS)
        assert "***@h.org/x.zip" in text
    assert yaml.safe_load(kept)["data"]["download"]["sha256"] == SHA


def test_what_has_no_secrets_is_kept_as_it_is(tmp_path: Path) -> None:
    text = in_yaml(f"{{url: https://h.org/x.zip, sha256: {SHA}}}").replace(URL, "nowhere")
    (tmp_path / "p.yaml").write_text(text)
    assert load(tmp_path / "p.yaml").kept_text() == text


def test_another_token_is_no_reason_to_run_again(tmp_path: Path) -> None:
    def all_keys(url: str) -> list[str]:
        text = f"name: a\ndata: {{download: {{url: '{url}', sha256: {SHA}}}}}\n"
        (tmp_path / "p.yaml").write_text(text)
        settings = keys.settings(load(tmp_path / "p.yaml").pipeline)
        materials = [keys.material(row, settings, {}) for row in STAGES]
        assert not any(secret in str(materials) for secret in SECRETS)
        return [keys.key_of(material) for material in materials]

    assert all_keys(URL) == all_keys(URL.replace("s3cr3t", "t0ken").replace("hunter2", "t0ken"))
    assert all_keys(URL) != all_keys(URL.replace("h.org", "i.org"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", f"data.download.url={URL}"],
        ["--set", f"data.download={{url: 'ftp{URL[5:]}', sha256: {SHA}}}"],
        ["--set", f"data.path={URL}"],
        ["--set", f"dta.path={URL}"],
        ["--set", f"data.download.url={URL}: ["],
        ["--set", "benchmark.devices=['ssh://pi:hunter2@host']"],
    ],
)
def test_no_message_tells_them(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.yaml").write_text("name: a\ndata: {path: 'sample:digits'}\n")
    assert cli.main(["check", str(tmp_path / "p.yaml"), *arguments]) == 2
    said = "".join(capsys.readouterr())
    assert (not any(secret in said for secret in SECRETS) and "p.yaml" in said) or "--set" in said


@pytest.mark.parametrize("kind", [TfedgeError, DeviceError, ConfigError])
def test_no_error_holds_them(kind: type[TfedgeError]) -> None:
    error = (
        kind([f"no {URL}"], f"try {URL}") if kind is ConfigError else kind(f"no {URL}", f"{URL}")
    )
    assert not any(secret in text for text in (str(error), *error.lines()) for secret in SECRETS)
    assert not any(secret in str(ArtifactError(URL, "x", URL, URL, URL)) for secret in SECRETS)


# ------------------------------------------------------------------ a run with a real download


class _Door(BaseHTTPRequestHandler):
    """Gives the archive to whoever knows the password and the token."""

    def do_GET(self) -> None:
        asked = "sig=s3cr3t" in self.path and self.headers.get("Authorization", "")
        body = self.server.body if asked else b""
        self.send_response(200 if asked else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def door() -> Iterator[ThreadingHTTPServer]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
            archive.writestr(name, name)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Door)
    server.body = packed.getvalue()
    thread = Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def all_bytes(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "fake.yaml":
            yield path, path.read_bytes()


def test_a_run_leaves_them_nowhere(tmp_path: Path, door: ThreadingHTTPServer) -> None:
    place = f"me:hunter2@127.0.0.1:{door.server_port}/x.zip?sig="
    digest = hashlib.sha256(door.body).hexdigest()
    table = tuple(
        replace(
            row,
            config=("data",),
            probe="tfedge.data.sources:source_digest",
            root="tfedge.data.sources:data_root",
        )
        if row.name == "data"
        else row
        for row in TABLE
    )

    def run(url: str) -> str:
        text = f"name: fake\ndata:\n  download: {{url: '{url}', sha256: {digest}}}\n"
        (tmp_path / "fake.yaml").write_text(text + "quantize: {epochs: 2}\nevaluate:\n")
        stream = io.StringIO()
        go(tmp_path, table=table, stream=stream)
        return stream.getvalue()

    with pytest.raises(ArtifactError) as refused:
        run(f"http://{place}t0ken")
    assert "HTTP 403" in str(refused.value) and "127.0.0.1" in str(refused.value)
    said = run(f"http://{place}s3cr3t") + "\n".join(refused.value.lines())
    assert not any(secret in said for secret in SECRETS)
    for path, content in all_bytes(tmp_path):
        assert not any(secret.encode() in content for secret in SECRETS), path
    kept = (tmp_path / "runs" / "latest" / "pipeline.yaml").read_text()
    assert f"http://***@127.0.0.1:{door.server_port}/x.zip?sig=***" in kept


def test_what_a_run_kept_says_what_is_missing(
    tmp_path: Path, door: ThreadingHTTPServer, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "kept.yaml"
    url = f"http://***@127.0.0.1:{door.server_port}/x.zip"
    file.write_text(f"name: a\ndata: {{download: {{url: '{url}', sha256: {SHA}}}}}\n")
    where = ["--cache", str(tmp_path / "c"), "--runs", str(tmp_path / "r"), "--to", "data"]
    assert cli.main(["run", str(file), *where]) == 7
    said = capsys.readouterr().err
    assert "*** stands where a password or token was" in said and "--set" in said

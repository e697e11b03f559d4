"""Mail and webhook: to real listeners of our own, and off unless asked for."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from errpath.nightly.notify import find_mailer, notify
from errpath.nightly.publish import gather
from errpath.results.history.store import History
from errpath.results.history.verdicts import judge_run
from errpath.results.triage import JudgedRun
from suites.selftest.results.data import add_run


@pytest.fixture
def run(tmp_path: Path) -> JudgedRun:
    with History(tmp_path / "history.sqlite") as history:
        row = add_run(history, "n1", ["FP", "F", "F"], started=100.0)
        return gather(history, row, judge_run(history, row))


class _Server(HTTPServer):
    got: tuple[str, dict[str, object]] | None = None
    answer = 200


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got = (str(self.headers["Content-Type"]), json.loads(body))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def test_webhook(run: JudgedRun, server: _Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    url = f"http://127.0.0.1:{server.server_port}/hook"
    assert notify(run, mail_to=(), webhook=url) == ()
    assert server.got is not None
    kind, body = server.got
    assert kind == "application/json"
    assert body["run"] == "n1"
    assert "1 to look at" in str(body["text"])
    assert isinstance(body["attention"], list)
    assert body["attention"][0]["case"] == "hfs-setup_bdev_super-EIO-0000"
    server.answer = 500
    (problem,) = notify(run, mail_to=(), webhook=url)
    assert "500" in problem


def _mailer(tmp_path: Path, name: str, script: str) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return directory


def _only_in(directory: Path) -> Callable[..., str | None]:
    """A search for programs that sees those of one directory."""
    return lambda name, *_: shutil.which(name, path=str(directory))


@pytest.mark.parametrize("name", ["sendmail", "msmtp"])
def test_mail(run: JudgedRun, tmp_path: Path, name: str) -> None:
    got = tmp_path / "mail"
    directory = _mailer(tmp_path, name, f'echo "$@" > {got}.argv; cat > {got}')
    find = _only_in(directory)
    assert find_mailer(find)[0] == str(directory / name)
    who = ("fs@example.org", "me@example.org")
    assert notify(run, mail_to=who, webhook="", find=find) == ()
    text = got.read_text()
    assert "To: fs@example.org, me@example.org" in text
    assert "Subject: [errpath] hfs: 1 to look at" in text
    assert "NEW CASE (2)" in text
    assert "-t" in (tmp_path / "mail.argv").read_text().split()


def test_a_mailer_that_refuses_is_reported(run: JudgedRun, tmp_path: Path) -> None:
    directory = _mailer(tmp_path, "sendmail", "cat > /dev/null; echo no relay >&2; exit 75")
    (problem,) = notify(run, mail_to=("x@example.org",), webhook="", find=_only_in(directory))
    assert "no relay" in problem
    (problem,) = notify(run, mail_to=("x@example.org",), webhook="", find=_only_in(tmp_path))
    assert "msmtp" in problem


def test_off_by_default(run: JudgedRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "called"
    monkeypatch.setenv("PATH", str(_mailer(tmp_path, "sendmail", f"touch {marker}")))
    assert notify(run, mail_to=(), webhook="") == ()
    assert not marker.exists()

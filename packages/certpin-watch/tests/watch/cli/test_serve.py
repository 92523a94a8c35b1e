"""Check ``certpin serve``: errors at the start, reports before the end, and an alert of a user.

The user gets the alert, finds its cause, and silences it.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from certpin_watch.store import open_store
from tests.cli import _documented
from tests.cli.conftest import program
from tests.servers._run import free_port
from tests.servers.nginx import nginx
from tests.watch.collector.load_clients import Clients, counted, missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.lab import Authority
    from tests.cli.conftest import Run

HOST = "api.bank.example"
_PATIENCE = 60.0

_SETTINGS = """\
listen = "127.0.0.1:{port}"

[monitor]
interval = "10s"
confirm = "1s"

[[monitor.host]]
name = "{host}"
connect = "127.0.0.1:{server}"

[alerts]
every = "1s"
hold = "1s"

[[alerts.tell]]
name = "chat"
url = "env:WATCH_CHAT"
"""


class Watcher:
    """A running service, and the messages that it sent."""

    def __init__(self, process: subprocess.Popen[str], address: str, sent: list[str]) -> None:
        self.process = process
        self.address = address
        self.sent = sent
        self._cookie = ""

    def page(self, path: str, form: dict[str, str] | None = None) -> str:
        """Request a page as a browser without scripts does, and return its HTML.

        ``form`` has the fields of a form to post; without it, the request is a GET.
        """
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.address + path, data, {"Accept": "text/html"})
        if form is not None:
            request.add_header("Origin", self.address)
            request.add_header("Cookie", self._cookie)
        with urllib.request.urlopen(request, timeout=10) as answer:
            given = (answer.headers["Set-Cookie"] or "").partition(";")[0]
            self._cookie = given or self._cookie
            return str(answer.read().decode())

    def json(self, path: str) -> Any:
        """Request a path of the HTTP API, and return the decoded JSON."""
        with urllib.request.urlopen(self.address + path, timeout=10) as answer:
            return json.load(answer)

    def until(self, holds: Callable[[], Any]) -> Any:
        """Wait until ``holds`` returns a true value, and return it."""
        deadline = time.monotonic() + _PATIENCE
        while not (found := holds()):
            assert time.monotonic() < deadline, self.sent
            assert self.process.poll() is None
            time.sleep(0.1)
        return found

    def until_sent(self, *words: str) -> str:
        """Wait until the service has sent a message that contains all of these words, and return
        it.
        """
        return str(
            self.until(lambda: next((m for m in self.sent if all(w in m for w in words)), None))
        )


@contextmanager
def chat() -> Iterator[tuple[str, list[str]]]:
    """Run a chat service. Yields its address for apprise, and the messages that it received."""
    sent: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_address[1]}/", sent
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(*words: str, sent: list[str], **env: str) -> Iterator[Watcher]:
    process = program("serve", "--json", *words, env=env)
    try:
        assert process.stdout
        said = _documented.data_of(json.loads(_first_line(process)))
        _documented.check("serve", said)
        yield Watcher(process, said["url"].rstrip("/"), sent)
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    finally:
        process.kill()
        process.communicate()


def _first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line of output, which ``certpin serve`` prints when it listens.

    The test fails if the process ends without output.
    """
    assert process.stdout
    assert process.stderr
    return process.stdout.readline() or pytest.fail(process.stderr.read())


def test_a_port_in_use_is_an_error(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--listen", f"127.0.0.1:{port}")
    assert done.code == 2
    assert f"127.0.0.1 port {port} cannot be listened on" in done.err
    assert "--listen" in done.err


def test_other_machines_need_a_password(run: Run) -> None:
    done = run("serve", "--listen", f"0.0.0.0:{free_port()}")
    assert done.code == 2
    assert "certpin watch user add" in done.err
    assert not list(Path().glob("watch.db*"))


def test_the_fix_of_a_refused_start_names_the_same_settings(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "the service"
    other.mkdir()
    file = other / "watch.toml"
    file.write_text(f'listen = "0.0.0.0:{free_port()}"\n', encoding="utf-8")
    done = run("serve", "--config", file)
    assert f"certpin watch user add NAME --role admin --config '{file}', or" in done.err
    done = run("serve", "--config", file, "--store", "sqlite:///new.db")
    assert "certpin watch user add NAME --role admin --store URL, or" in done.err


def test_a_missing_secret_stops_the_start(run: Run) -> None:
    text = (
        'public_url = "https://watch.bank.example"\n[access.oidc]\nissuer = "https://id.example"\n'
        'client_id = "certpin"\nclient_secret = "env:OIDC_SECRET"\nroles = {staff = "viewer"}\n'
        '[telemetry]\nheaders = "env:OTEL_HEADERS"\n'
    )
    Path("watch.toml").write_text(text, encoding="utf-8")
    where = ("--listen", f"127.0.0.1:{free_port()}")
    done = run("serve", *where, OTEL_HEADERS="hush, hush")
    assert done.code == 2
    assert "access.oidc.client_secret: the environment has no OIDC_SECRET" in done.err
    assert not list(Path().glob("watch.db*"))
    done = run("serve", *where, OTEL_HEADERS="hush, hush", OIDC_SECRET="a secret")
    assert done.code == 2
    assert "telemetry.headers: these are no headers" in done.err
    assert "hush" not in done.err
    assert not list(Path().glob("watch.db*"))


@pytest.mark.slow
def test_a_location_without_a_worker_is_a_warning(run: Run) -> None:
    Path("watch.toml").write_text('[monitor]\nvantages = ["local", "fra1"]\n', encoding="utf-8")
    process = program("serve", "--json", "--listen", f"127.0.0.1:{free_port()}")
    try:
        _first_line(process)
    finally:
        process.terminate()
    _, errors = process.communicate(timeout=40)
    assert process.returncode == 0
    assert "no worker has a token for the location fra1" in errors
    assert "fix: certpin watch token add NAME --worker fra1" in errors
    assert run("watch", "token", "add", "fra1-a", "--worker", "fra1").code == 0


def test_unencrypted_nats_stops_the_start(run: Run) -> None:
    Path("watch.toml").write_text('nats = "nats://anna:hunter2@nats.example"\n', encoding="utf-8")
    done = run("serve", "--listen", f"127.0.0.1:{free_port()}")
    assert done.code == 2
    assert (
        "nats: the address does not say whether the connection to the NATS server is protected"
        in done.err
    )
    assert "hunter2" not in done.err
    assert not list(Path().glob("watch.db*"))


@pytest.mark.medium
def test_unusable_tls_files_are_an_error(run: Run) -> None:
    text = 'tls_certificate = "chain.pem"\ntls_key = "key.pem"\n'
    Path("watch.toml").write_text(text, encoding="utf-8")
    done = run("serve", "--listen", f"127.0.0.1:{free_port()}")
    assert done.code == 2
    missing = f"{Path('chain.pem').absolute()} cannot be read: No such file or directory"
    assert f"tls_certificate: {missing}" in done.err
    for file in ("chain.pem", "key.pem"):
        Path(file).write_text("no certificate", encoding="utf-8")
    done = run("serve", "--listen", f"127.0.0.1:{free_port()}")
    assert done.code == 2
    assert "tls_certificate: certificate and key cannot be used" in done.err


def test_an_unreachable_store_is_reported_without_its_password(run: Run) -> None:
    port = free_port()
    away = f"postgresql://anna:hunter2@127.0.0.1:{port}/watch"
    done = run("serve", "--listen", f"127.0.0.1:{free_port()}", "--store", away)
    assert done.code == 3
    server = f"PostgreSQL at 127.0.0.1 port {port}, database watch, user anna"
    assert f"{server}: the database cannot be reached: nothing listens" in done.err
    assert "hunter2" not in done.err


@pytest.mark.slow
def test_each_report_accepted_before_the_end_is_counted_once(run: Run) -> None:
    del run  # it changes to an empty folder
    port = free_port()
    with serving("--listen", f"127.0.0.1:{port}", sent=[]) as watch, Clients(port) as clients:
        clients.wait_for(200)
        watch.process.send_signal(signal.SIGTERM)
        assert watch.process.wait(40) == 0
    with closing(open_store("sqlite:///watch.db")) as store:
        assert not missing(store, clients.accepted)
        total, known = counted(store)
    assert total == known >= len(clients.accepted) >= 200


@pytest.mark.peer("nginx")
@pytest.mark.slow
def test_a_new_user_gets_an_alert_finds_the_cause_and_silences_it(
    run: Run, intermediate: Authority, ca: Path
) -> None:
    good, stranger = intermediate.issue(HOST), intermediate.issue(HOST)
    env = {"SSL_CERT_FILE": str(ca), "SSL_CERT_DIR": "/nowhere"}
    with nginx({HOST: good}) as server, chat() as (address, sent):
        text = _SETTINGS.format(port=free_port(), host=HOST, server=server.port)
        Path("watch.toml").write_text(text, encoding="utf-8")
        with serving(sent=sent, WATCH_CHAT=address, **env) as watch:
            assert "certpin add" in watch.page("/")  # without a pin file the page says what to do

            words = ("--connect", f"127.0.0.1:{server.port}", "--ca-file", str(ca))
            assert run("add", HOST, "--backup-key", "backup.key", *words).code == 0
            hosts = watch.until(lambda: watch.json("/api/v1/hosts")["items"])
            assert [item["name"] for item in hosts] == [HOST]
            watch.until(lambda: watch.json("/api/v1/hosts")["items"][0]["status"] == "holds")

            server.use(HOST, stranger)
            message = watch.until_sent(HOST, "certpin ")
            assert str(stranger.pin) in watch.page(f"/hosts/{HOST}")
            alerts = watch.json("/api/v1/alerts")["items"]
            assert {item["host"] for item in alerts} == {HOST}
            assert any(item["summary"] in message or item["rule"] in message for item in alerts)

            page = watch.page("/silences")
            (csrf,) = set(re.findall(r'name="csrf" value="([^"]+)"', page))
            form = {"csrf": csrf, "host": HOST, "rule": "", "why": "renewal", "length": "1h"}
            assert "renewal" in watch.page("/silences", form)
            quiet = len(sent)

            server.use(HOST, good)
            watch.until(lambda: not watch.json("/api/v1/alerts")["items"])
            assert len(sent) == quiet


@pytest.mark.medium
def test_a_deleted_working_directory_is_named(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"rmdir {gone}; exec {sys.executable} -m certpin.cli.main serve"
    words = ["sh", "-c", script]
    done = subprocess.run(words, cwd=gone, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "the current folder was deleted" in done.stderr
    assert "fix: change to a folder that exists" in done.stderr

"""``certpin rotate webhook`` as a process: HTTPS, AdmissionReviews, and changed files."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import ssl
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.cli.rotate import webhook_server
from certpin.cli.rotate.webhook_server import ServerCertificate, WebhookServer
from certpin.lab import Authority
from certpin.lab.authority import new_key
from certpin.pins import utc_now
from tests.cli._admission import HOST, UID, certificate_request, csr, review
from tests.cli._published import publish
from tests.cli._rotating import JOURNAL
from tests.cli.conftest import program
from tests.servers._run import in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen

    from certpin.lab import Identity
    from tests.cli.conftest import Run

pytestmark = pytest.mark.medium

OWN = "certpin-webhook.certpin-webhook.svc"
ROOT = Authority("Cluster")
JSON = {"Content-Type": "application/json"}
PATH = "/validate?timeout=10s"  # as the API server calls it


@dataclass
class Client:
    """A client of the webhook, which verifies it as the API server does (``caBundle``)."""

    port: int

    def connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cadata=ROOT.pem.decode())
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        return context.wrap_socket(plain, server_hostname=OWN)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Any = JSON
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(OWN)
        connection.sock = self.connect()
        with connection.sock:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def review(self, document: dict[str, Any]) -> dict[str, Any]:
        status, body = self.ask("POST", PATH, json.dumps(document).encode())
        assert status == 200, body
        answer = json.loads(body)
        assert (answer["apiVersion"], answer["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        assert answer["response"]["uid"] == UID
        response: dict[str, Any] = answer["response"]
        return response


def request_for(key: Any, *names: str, **fields: Any) -> dict[str, Any]:
    """Return an AdmissionReview for a new ``CertificateRequest``, which has a CSR of ``key``.

    Args:
        key: the private key.
        names: the DNS names of the CSR. Without any, those of the pinned host.
        fields: replace fields of the request's ``spec``.
    """
    new = certificate_request(csr(key, *names or (HOST,)), **fields)
    new["metadata"]["creationTimestamp"] = f"{utc_now():%Y-%m-%dT%H:%M:%SZ}"
    return review(new)


@pytest.fixture
def pinned(run: Run) -> Any:
    """Publish a pin file with an active key, which is returned, and a backup, ``backup.key``."""
    key = new_key()
    Path("api.csr").write_bytes(csr(key, HOST))
    assert run("add", HOST, "--pin", str(_pin(run)), "--backup-key", "backup.key").code == 0
    publish()
    ROOT.issue(OWN).write(Path(), "tls")
    return key


def _pin(run: Run) -> str:
    found: str = run("pin", "api.csr", "--json").json["targets"][0]["items"][0]["pin"]
    return found


@contextmanager
def webhook(*words: str) -> Iterator[tuple[Client, Popen[str]]]:
    files = ("--tls-certificate", "tls.pem", "--tls-key", "tls.key")
    process = program("rotate", "webhook", *files, "--listen", "127.0.0.1:0", *words)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"listening on https://127\.0\.0\.1:(\d+)", line)
    assert found, line + process.stderr.read()
    try:
        yield Client(int(found[1])), process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_it_allows_the_active_key_and_refuses_a_new_one(pinned: Any) -> None:
    before = JOURNAL.read_bytes(), Path("pins.toml").read_bytes()
    with webhook() as (client, process):
        assert client.review(request_for(pinned)) == {"uid": UID, "allowed": True}
        refused = client.review(request_for(new_key()))
        assert not refused["allowed"]
        assert "at risk: 12 clients" in refused["status"]["message"]
        process.send_signal(signal.SIGTERM)
        _, printed = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "allowed bank/api-1: every client" in printed
    assert "refused bank/api-1: " in printed
    assert (JOURNAL.read_bytes(), Path("pins.toml").read_bytes()) == before


def test_json_has_a_line_for_each_decision(pinned: Any) -> None:
    files = ("--tls-certificate", "tls.pem", "--tls-key", "tls.key")
    process = program("rotate", "webhook", *files, "--listen", "127.0.0.1:0", "--json")
    assert process.stdout is not None
    begun = json.loads(process.stdout.readline())
    client = Client(begun["port"])
    client.review(request_for(pinned))
    client.ask("POST", PATH, b"{")
    process.send_signal(signal.SIGTERM)
    printed, errors = process.communicate(timeout=20)
    allowed, refused, last = map(json.loads, printed.splitlines())
    assert (begun["event"], begun["address"]) == ("listening", "127.0.0.1")
    assert (allowed["event"], allowed["namespace"], allowed["name"]) == ("allowed", "bank", "api-1")
    assert (refused["event"], refused["reason"]) == ("refused", "the body is not JSON")
    assert (last["exit_code"], process.returncode, errors) == (0, 0, "")


def test_it_allows_a_backup_as_soon_as_the_gate_has_recorded_it(run: Run, pinned: Any) -> None:
    backup = load_pem_private_key(Path("backup.key").read_bytes(), None)
    with webhook() as (client, _):
        refused = client.review(request_for(backup))
        assert "not ACTIVE; fix: certpin rotate" in refused["status"]["message"]
        command = re.search(r"fix: certpin (rotate \w+ sha256/\S+),", refused["status"]["message"])
        assert command
        assert run(*command[1].split(), "--offline").code == 0
        assert client.review(request_for(backup))["allowed"]


def test_broken_files_refuse_everything_until_they_are_mended(pinned: Any) -> None:
    good = JOURNAL.read_bytes()
    with webhook() as (client, _):
        for content in (b"{", b"", None):
            JOURNAL.unlink()
            if content is not None:
                JOURNAL.write_bytes(content)
            answer = client.review(request_for(new_key(), "free.example"))
            assert (answer["allowed"], answer["status"]["code"]) == (False, 500)
            assert client.ask("GET", "/readyz")[0] == 503
            assert client.ask("GET", "/healthz")[0] == 200
        JOURNAL.write_bytes(good)
        assert client.ask("GET", "/readyz") == (200, b"ok\n")
        assert client.review(request_for(new_key(), "free.example"))["allowed"]


def test_a_mounted_config_map_may_be_replaced(pinned: Any) -> None:
    """Each file is a link through the link ``..data``; the kubelet gives that link a new target."""
    files = (Path("pins.toml"), JOURNAL)
    folders = [Path(name) for name in ("good", "empty", "mended")]
    for folder in folders:
        folder.mkdir()
        for file in files:
            (folder / file).write_bytes(file.read_bytes())
    (folders[1] / JOURNAL).write_bytes(b"")
    data = Path("..data")
    data.symlink_to(folders[0])
    for file in files:
        file.unlink()
        file.symlink_to(data / file)
    with webhook() as (client, _):
        for folder, code in zip(folders, (200, 503, 200), strict=True):
            Path("next").symlink_to(folder)
            Path("next").replace(data)
            if code == 503:
                shutil.rmtree(folders[0])
            assert client.ask("GET", "/readyz")[0] == code
            assert client.review(request_for(pinned))["allowed"] == (code == 200)


def test_with_a_second_journal_beside_a_link_nothing_is_allowed(pinned: Any) -> None:
    """A release that is recorded only beside the link would be missed."""
    Path("real").mkdir()
    for file in (Path("pins.toml"), JOURNAL):
        file.rename("real" / file)
    Path("pins.toml").symlink_to("real/pins.toml")
    with webhook() as (client, _):
        assert client.review(request_for(pinned))["allowed"]
        JOURNAL.write_bytes(Path("real", JOURNAL).read_bytes())
        assert client.ask("GET", "/readyz")[0] == 503
        answer = client.review(request_for(pinned))
        assert (answer["allowed"], "is a link" in answer["status"]["message"]) == (False, True)
        JOURNAL.unlink()
        assert client.review(request_for(pinned))["allowed"]


def test_its_certificate_is_read_again(pinned: Any) -> None:
    def serial(client: Client) -> object:
        with client.connect() as connection:
            found = connection.getpeercert()
        return found and found["serialNumber"]

    with webhook() as (client, _):
        before = serial(client)
        renewed = ROOT.issue(OWN)
        Path("tls.pem").write_bytes(renewed.chain_pem)  # the key is not replaced yet
        assert serial(client) == before
        assert client.ask("GET", "/readyz")[0] == 503
        Path("tls.key").write_bytes(renewed.key_pem)
        assert serial(client) != before
        assert client.ask("GET", "/readyz")[0] == 200


def test_with_the_issuers_chain_a_new_key_under_a_pinned_root_is_allowed(run: Run) -> None:
    ca = Authority("Bank")
    issuer = ca.intermediate("Bank Issuer")
    Path("ca.pem").write_bytes(ca.pem)
    Path("issuer.pem").write_bytes(issuer.pem + ca.pem)
    words = ("--match", "ca", "--ca-file", "ca.pem", "--backup-pin", str(Authority("b").pin))
    assert run("add", HOST, "--pin", str(ca.pin), *words).code == 0
    text = Path("pins.toml").read_text(encoding="utf-8")
    Path("pins.toml").write_text(text.replace('role = "leaf"', 'role = "root"'), encoding="utf-8")
    publish()
    ROOT.issue(OWN).write(Path(), "tls")
    with webhook("--issuer-chain", "ClusterIssuer/internal=issuer.pem") as (client, _):
        assert client.review(request_for(new_key()))["allowed"]
        other = request_for(new_key(), issuerRef={"kind": "ClusterIssuer", "name": "other"})
        assert not client.review(other)["allowed"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--issuer-chain", "internal=tls.pem"), "write ClusterIssuer/NAME=FILE"),
        (("--issuer-chain", "ClusterIssuer/a/b=tls.pem"), "write ClusterIssuer/NAME=FILE"),
        (("--issuer-chain", "Issuer/a=tls.pem"), "write ClusterIssuer/NAME=FILE"),
        (("--issuer-chain", "ClusterIssuer/a"), "write ClusterIssuer/NAME=FILE"),
        (("--issuer-chain", "ClusterIssuer/a=tls.key"), "tls.key has no chain"),
        (("--listen", "webhook:8443"), "write ADDRESS:PORT"),
        (("--listen", "127.0.0.1:65536"), "write ADDRESS:PORT"),
        (("--listen", "192.0.2.1:0"), "cannot be listened on"),
        (("--tls-key", "backup.key"), "certificate and key cannot be used"),
        (("--tls-certificate", "backup.key"), "certificate and key cannot be used"),
        (("--file", "none.toml"), "none.toml"),
    ],
)
def test_a_wrong_start_is_reported(
    run: Run, pinned: Any, words: tuple[str, ...], problem: str
) -> None:
    files = ("--tls-certificate", "tls.pem", "--tls-key", "tls.key")
    done = run("rotate", "webhook", *files, *words)
    assert (done.code, problem in done.err) == (2, True), done.err


# Only the server, in this process.


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Client, list[bytes]]]:
    bodies: list[bytes] = []

    def judge(body: bytes) -> tuple[int, bytes]:
        bodies.append(body)
        return 200, b"{}"

    certificate, key = ROOT.issue(OWN).write(folder, "tls")
    server = WebhookServer(("127.0.0.1", 0), ServerCertificate(certificate, key), judge, list)
    with in_thread(server):
        yield Client(int(server.server_address[1])), bodies


LIMIT = webhook_server.MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/", JSON, 404),
        ("POST", "/validate/x", JSON, 404),
        ("GET", "/validate", JSON, 404),
        ("POST", PATH, {"Content-Type": "text/plain"}, 415),
        ("POST", PATH, {**JSON, "Content-Length": "x"}, 411),
        ("POST", PATH, {**JSON, "Content-Length": "-1"}, 411),
        ("POST", PATH, {**JSON, "Content-Length": "²"}, 411),
        ("POST", PATH, {**JSON, "Content-Length": str(LIMIT + 1)}, 413),
        ("POST", PATH, {**JSON, "Content-Length": "9" * 5000}, 413),
        ("POST", PATH, {**JSON, "Content-Length": "2", "Transfer-Encoding": "chunked"}, 411),
        ("PUT", PATH, JSON, 501),
    ],
)
def test_other_requests_are_not_judged(
    tmp_path: Path, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in headers.items())]
    with serving(tmp_path) as (client, bodies), client.connect() as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + b"{}")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert bodies == []
    assert b"Python" not in answer


def test_a_body_that_ends_early_is_not_judged(tmp_path: Path) -> None:
    head = (
        f"POST {PATH} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{}}"
    )
    with serving(tmp_path) as (client, bodies), client.connect() as connection:
        connection.sendall(head.encode())
        with suppress(OSError):
            connection.unwrap()
        with suppress(OSError):
            connection.recv(4096)
    assert bodies == []


def test_the_largest_body_is_judged(tmp_path: Path) -> None:
    body = b" " * LIMIT
    with serving(tmp_path) as (client, bodies):
        assert client.ask("POST", PATH, body)[0] == 200
    assert bodies == [body]


@pytest.mark.parametrize("silent_in", ["handshake", "request", "trickle"])
def test_a_slow_client_is_disconnected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent_in: str
) -> None:
    monkeypatch.setattr(webhook_server, "PATIENCE", 0.5)
    monkeypatch.setattr(webhook_server, "MAX_CONNECTIONS", 1)  # so that it also blocks others
    with serving(tmp_path) as (client, _):
        begin = time.monotonic()
        if silent_in == "handshake":
            slow: socket.socket = socket.create_connection(("127.0.0.1", client.port))
        else:
            slow = client.connect()
        with slow:
            if silent_in == "trickle":
                with suppress(OSError):
                    for _ in range(100):
                        slow.sendall(b"G")
                        time.sleep(0.1)
            slow.settimeout(10)
            with suppress(OSError):
                assert slow.recv(1) == b""
        assert time.monotonic() - begin < 8
        assert client.ask("GET", "/healthz")[0] == 200


def test_an_expired_certificate_is_not_ready(run: Run, pinned: Any, tmp_path: Path) -> None:
    from datetime import timedelta

    from certpin.cli.rotate.webhook import _Service

    old: Identity = ROOT.at(utc_now() - timedelta(days=5000)).issue(OWN)
    certificate, key = old.write(tmp_path, "old")
    service = _Service(Path("pins.toml"), (), ServerCertificate(certificate, key))
    assert service.problems() == ["the certificate of the webhook has expired"]


def test_an_error_in_the_gate_refuses(
    run: Run, pinned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from certpin.cli.rotate import admission
    from certpin.cli.rotate.webhook import _Service

    def fail(*_: object) -> None:
        raise KeyError("secret detail")

    monkeypatch.setattr(admission, "decide", fail)
    own = ServerCertificate(Path("tls.pem"), Path("tls.key"))
    service = _Service(Path("pins.toml"), (), own)
    status, body = service.judge(json.dumps(request_for(pinned)).encode())
    response = json.loads(body)["response"]
    assert (status, response["allowed"], response["status"]["code"]) == (200, False, 500)
    assert "internal error (KeyError): the request was not judged" in response["status"]["message"]
    assert "secret detail" not in body.decode()
    assert service.judge(b"{") == (400, b'{"error": "the body is not JSON"}')

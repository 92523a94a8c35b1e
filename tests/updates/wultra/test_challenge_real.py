"""The programs of docs/wultra.md behind a real server, granian: keys in files and on a token."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from certpin.hsm import generate_key
from certpin.updates.wultra import sign_certificates
from certpin.updates.wultra.keys import for_sdk, require_p256
from tests.servers._run import free_port, running
from tests.servers.softhsm import softhsm
from tests.updates.wultra._bank import HOST, Bank, entry, listing
from tests.updates.wultra._sdk import SDK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Authority

pytestmark = pytest.mark.slow

END = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
HOSTILE = (
    b"GET /app/init?appName=%ff%00" + END + b"\r\n",
    b"GET /app/init?appName=bank-app" + END + b"X-Cert-Pinning-Challenge: \xff\xfe\r\n\r\n",
    b"HEAD /app/init?appName=bank-app"
    + END
    + b"X-Cert-Pinning-Challenge: aaaabbbbccccdddd\r\n\r\n",
    b"\x16\x03\x01\x00\x00",
)

PAGE = (Path(__file__).parents[3] / "docs/wultra.md").read_text(encoding="utf-8")
IN_A_FILE, ON_A_TOKEN = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@contextmanager
def granian(folder: Path, program: str, *more: str | Path) -> Iterator[int]:
    """The program as an ASGI app, in its folder; the port."""
    (folder / "bank_app.py").write_text(program)
    port = free_port()
    words = ["--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    argv = [sys.executable, "-m", "granian", *words, *map(str, more), "bank_app:app"]
    with running(argv, port, cwd=folder):
        yield port


def fetch(port: int, challenge: str, context: ssl.SSLContext | None = None) -> tuple[bytes, str]:
    """As an app does, over TLS where there is a context."""
    connection: http.client.HTTPConnection
    if context is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    else:
        connection = http.client.HTTPSConnection("localhost", port, timeout=30, context=context)
    try:
        words = {"X-Cert-Pinning-Challenge": challenge, "Accept": "application/json"}
        connection.request("GET", "/app/init?appName=bank-app", headers=words)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return body, response.headers["X-Cert-Pinning-Signature"]
    finally:
        connection.close()


def test_an_app_follows_a_server_over_tls(
    bank: Bank, root: Authority, intermediate: Authority, tmp_path: Path
) -> None:
    old, new = intermediate.issue(HOST), intermediate.issue(HOST)
    now, author, file = datetime.now(UTC), Bank(), tmp_path / "fingerprints.json"
    (tmp_path / "answers.key").write_bytes(bank.pem)
    file.write_text(sign_certificates([old.certificate], author.signer, now).text)
    chain, key = intermediate.issue("localhost").write(tmp_path)
    context = ssl.create_default_context(cadata=root.pem.decode())
    sdk = SDK(bank.public_key)
    with granian(tmp_path, IN_A_FILE, "--ssl-certificate", chain, "--ssl-keyfile", key) as port:
        sdk.ask(lambda challenge: fetch(port, challenge, context))
        assert sdk.validate(old.certificate.der) == "TRUSTED"
        assert sdk.validate(new.certificate.der) == "UNTRUSTED"
        both = [old.certificate, new.certificate]
        file.write_text(sign_certificates(both, author.signer, now).text)
        sdk.ask(lambda challenge: fetch(port, challenge, context))
        assert sdk.validate(new.certificate.der) == "TRUSTED"


def test_what_is_no_request_ends_no_server(bank: Bank, tmp_path: Path) -> None:
    (tmp_path / "answers.key").write_bytes(bank.pem)
    (tmp_path / "fingerprints.json").write_bytes(listing(entry()))
    with granian(tmp_path, IN_A_FILE) as port:
        for data in HOSTILE:
            with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
                raw.sendall(data)
                raw.shutdown(socket.SHUT_WR)
                answer = raw.makefile("rb").read()
                assert b"X-Cert-Pinning-Signature".lower() not in answer.lower()
                assert b" 200 " not in answer
                assert b" 500 " not in answer
        SDK(bank.public_key).ask(lambda challenge: fetch(port, challenge))


@pytest.mark.peer("softhsm2")
def test_a_token_signs_for_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fingerprints.json").write_bytes(listing(entry()))
    with softhsm(monkeypatch) as hsm:
        monkeypatch.setenv("CERTPIN_PKCS11_PIN", hsm.pin)
        with generate_key("pkcs11:token=bank;object=answers", hsm.ask, "p256") as key:
            public = for_sdk(require_p256(key))

        def follow(port: int) -> None:
            for _ in range(5):
                SDK(public).ask(lambda challenge: fetch(port, challenge))

        with granian(tmp_path, ON_A_TOKEN) as port, ThreadPoolExecutor(8) as pool:
            list(pool.map(follow, [port] * 8))

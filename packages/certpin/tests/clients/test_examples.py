"""Every example client of the documentation, against a real server of its protocol.

If the pins match, the example runs as a program. If they don't match and the root is trusted, the
example refuses before it sends anything: a proxy on the connection records the client's bytes.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import certpin
from certpin import clients
from tests import kit
from tests.clients._examples import EXAMPLES, example, set_pins
from tests.servers.ftp import ftp
from tests.servers.imap import dovecot
from tests.servers.listeners import json_api, silent, socket_io, xml_rpc
from tests.servers.mail import smtp
from tests.servers.mosquitto import mosquitto
from tests.servers.mysql import mysql
from tests.servers.nats import nats
from tests.servers.nginx import nginx
from tests.servers.postgres import postgres
from tests.servers.redis import redis
from tests.servers.tap import tap
from tests.servers.websocket import websocket
from tests.tls._servers import RecordingServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.lab import Authority, Identity

PAGE = EXAMPLES.parents[1] / "docs/guides/python-clients.md"


class Shown(NamedTuple):
    """The certificate and key that an example's server presents, and their PEM files."""

    identity: Identity
    certificate: Path
    key: Path


@contextlib.contextmanager
def web(shown: Shown) -> Iterator[int]:
    with nginx({"localhost": shown.identity}) as server:
        yield server.port


@contextlib.contextmanager
def imap(shown: Shown) -> Iterator[int]:
    with dovecot(shown.certificate, shown.key) as ports:
        yield ports.imap


@contextlib.contextmanager
def nats_with_tls(shown: Shown) -> Iterator[int]:
    with nats(tls=(shown.certificate, shown.key)) as server:
        yield server.port


def of_files(start: Callable[[Path, Path], Any]) -> Callable[[Shown], Any]:
    return lambda shown: start(shown.certificate, shown.key)


# The servers other than web servers, by example, and the Debian package that each needs.
MAIL = of_files(smtp)
DATABASE = of_files(mysql)
JSON = of_files(json_api)
SILENT = of_files(silent)
SOCKET = of_files(websocket)
SOCKET_IO = of_files(socket_io)
XML_RPC = of_files(xml_rpc)
SERVERS: dict[str, tuple[Callable[[Shown], Any], list[str]]] = {
    "aiokafka": (SILENT, []),
    "aiomysql": (DATABASE, ["mariadbd"]),
    "aiosmtplib": (MAIL, []),
    "asyncpg": (of_files(postgres), []),
    "elasticsearch": (JSON, []),
    "ftplib": (of_files(ftp), []),
    "imapclient": (imap, ["dovecot", "dovecot-imapd"]),
    "imaplib": (imap, ["dovecot", "dovecot-imapd"]),
    "kafka_python": (SILENT, []),
    "nats": (nats_with_tls, []),
    "openai": (JSON, []),
    "paho_mqtt": (of_files(mosquitto), ["mosquitto"]),
    "pika": (SILENT, []),
    "pymysql": (DATABASE, ["mariadbd"]),
    "redis": (of_files(redis), ["redis-server"]),
    "smtplib": (MAIL, []),
    "socketio": (SOCKET_IO, []),
    "websocket_client": (SOCKET, []),
    "websockets": (SOCKET, []),
    "xmlrpc": (XML_RPC, []),
}
WEB: tuple[Callable[[Shown], Any], list[str]] = (web, ["nginx"])
HTTP = {web, JSON, SOCKET, SOCKET_IO, XML_RPC}
FILES = sorted(EXAMPLES.glob("*.py"))
NAMES = [path.stem.removeprefix("pinned_") for path in FILES]


def over_http() -> list[str]:
    """Return the examples with HTTP servers, which can redirect."""
    return [name for name in runnable() if SERVERS.get(name, WEB)[0] in HTTP]


def runnable() -> list[str]:
    """Return the examples of installed libraries, except niquests (replaced/check_niquests.py)."""
    left_out = {"niquests"}
    if sys.version_info >= (3, 15):
        left_out.add("aiokafka")  # no wheel yet
    return sorted({*NAMES} - left_out)


of_each_example = pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.peer(*SERVERS.get(name, WEB)[1])) for name in runnable()],
)


@pytest.fixture(scope="module")
def shown(intermediate: Authority, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    identity = intermediate.issue("localhost")
    return Shown(identity, *identity.write(tmp_path_factory.mktemp("identity")))


@pytest.fixture(scope="module")
def port_of(shown: Shown) -> Iterator[Callable[[str], int]]:
    """Return a function that maps an example's name to its server's port.

    The function starts a server when its port is first requested.
    """
    with contextlib.ExitStack() as stack:
        start = functools.cache(lambda server: stack.enter_context(server(shown)))
        yield lambda name: start(SERVERS.get(name, WEB)[0])


# kafka-python's, on Python 3.11 and 3.12; python-socketio imports it too, if it is there.
_OF_KAFKA = [f"-Wignore:{name}_text is deprecated:DeprecationWarning" for name in ("read", "open")]


def run(name: str, port: int) -> subprocess.CompletedProcess[str]:
    """Run an example with the command in its first line."""
    script = EXAMPLES / f"pinned_{name}.py"
    return subprocess.run(
        [sys.executable, "-W", "error", *_OF_KAFKA, script, "localhost", str(port)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def main_of(name: str) -> Callable[[str, int], None]:
    main: Callable[[str, int], None] = example(name).main
    return main


@of_each_example
def test_an_example_runs_if_the_pins_match(
    name: str,
    port_of: Callable[[str], int],
    shown: Shown,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_pins(tmp_path, shown.identity.pin, monkeypatch)
    with tap(port_of(name)) as wire:
        done = run(name, wire.port)
    if SERVERS.get(name, WEB)[0] is SILENT:
        assert done.returncode == 1
        assert "localhost refused" not in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert done.stdout
    # The tap sees the bytes that an application sends, after the Finished of each connection.
    assert wire.encrypted_records() > len(wire.sent)


@of_each_example
@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings(
    # paho-mqtt leaves the socket of any failed handshake to the garbage collector.
    r"ignore:Exception ignored in. <certpin\.tls\.gate\.PinnedSSLSocket"
    ":pytest.PytestUnraisableExceptionWarning"
)
def test_an_example_refuses_other_keys_before_it_sends_anything(
    name: str, port_of: Callable[[str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pins(tmp_path, kit.NOBODY_ELSE, monkeypatch)
    with (
        tap(port_of(name)) as wire,
        pytest.raises(Exception) as caught,  # noqa: PT011  # each library has its own
    ):
        main_of(name)("localhost", wire.port)
    error = certpin.pin_error(caught.value)
    assert isinstance(error, certpin.PinMismatchError)
    assert str(error).startswith("localhost refused: no certificate")
    del caught, error  # their tracebacks refer to the socket
    gc.collect()
    assert len(wire.sent) == 1
    assert wire.encrypted_records() <= FLIGHT.get(name, 1)  # the Finished of TLS 1.3
    assert re.fullmatch(CLEAR_TEXT.get(name, rb""), wire.in_clear_text(), re.DOTALL)


# MariaDB requests a client certificate: an empty message means that there is none.
FLIGHT = {"pymysql": 2}
# The bytes that the protocols of the examples send before TLS begins.
_MYSQL = rb"\x20\x00\x00\x01.{32}"  # SSLRequest: capabilities and no user
CLEAR_TEXT = {
    "aiomysql": _MYSQL,
    "aiosmtplib": rb"EHLO [^\r]+\r\nSTARTTLS\r\n",
    "asyncpg": rb"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    "ftplib": rb"AUTH TLS\r\n",
    "imapclient": rb"\w+ CAPABILITY\r\n(\w+ CAPABILITY\r\n)?\w+ STARTTLS\r\n",
    "imaplib": rb"\w+ CAPABILITY\r\n\w+ STARTTLS\r\n",
    "pymysql": _MYSQL,
    "smtplib": rb"ehlo [^\r]+\r\nSTARTTLS\r\n",
}


@pytest.mark.peer("mariadbd")
@pytest.mark.parametrize("name", ["aiomysql", "pymysql"])
def test_a_database_without_tls_does_not_get_the_password(
    name: str, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attacker can claim that the server has no TLS."""
    set_pins(tmp_path, shown.identity.pin, monkeypatch)
    with (
        mysql() as port,
        tap(port) as wire,
        pytest.raises(Exception) as caught,  # noqa: PT011  # each library has its own
    ):
        main_of(name)("localhost", wire.port)
    assert re.search("TLS|SSL", str(certpin.pin_error(caught.value) or caught.value))
    del caught
    gc.collect()
    assert wire.sent == [b""]


@pytest.mark.peer("nginx")
def test_a_websocket_does_not_follow_a_redirect_to_clear_text(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from websocket import WebSocketException

    set_pins(tmp_path, shown.identity.pin, monkeypatch)
    with RecordingServer(None) as clear_text:
        away = f"return 302 ws://localhost:{clear_text.port}/;"
        identities, folders = {"localhost": shown.identity}, {"localhost": tmp_path}
        with nginx(identities, folders=folders, lines=away) as server:
            with pytest.raises(WebSocketException, match="Redirect limit"):
                main_of("websocket_client")("localhost", server.port)
            assert server.arrived("localhost") == ["https HTTP/1.1 GET /"]
    assert clear_text.recordings(0) == []


@pytest.mark.parametrize("name", over_http())
@pytest.mark.peer("nginx")
@pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings(
    # aiohttp 3.11 closes TLS connections only after the event loop has ended.
    r"ignore:Exception ignored in. <(socket\.socket|function _SelectorTransport)"
    ":pytest.PytestUnraisableExceptionWarning"
)
def test_no_example_follows_a_redirect_to_clear_text(
    name: str, shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_pins(tmp_path, shown.identity.pin, monkeypatch)
    scheme = "ws" if SERVERS.get(name, WEB)[0] is SOCKET else "http"
    with RecordingServer(None) as clear_text:
        away = f"return 307 {scheme}://localhost:{clear_text.port}/;"
        identities, folders = {"localhost": shown.identity}, {"localhost": tmp_path}
        with nginx(identities, folders=folders, lines=away) as server:
            with contextlib.suppress(Exception):  # some print the response
                main_of(name)("localhost", server.port)
            assert server.arrived("localhost") != []
    gc.collect()
    assert clear_text.recordings(0) == []


def table_of_the_documentation() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_the_documentation_names_every_example_and_no_other() -> None:
    named = re.findall(r"\(\.\./\.\./examples/python/([\w.]+)\)", table_of_the_documentation())
    assert sorted(named) == [path.name for path in FILES]


@pytest.mark.parametrize("name", clients.CLIENTS)
def test_the_documentation_names_every_client(name: str) -> None:
    assert f"certpin.clients.{name}" in table_of_the_documentation()


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_example_has_the_same_shape(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    usage = f'CERTPIN_PINS=pins.toml python {path.name} HOST PORT"""'
    assert text.splitlines()[0].endswith(usage)
    assert "def main(host: str, port: int) -> None:" in text
    assert text.endswith('if __name__ == "__main__":\n    main(sys.argv[1], int(sys.argv[2]))\n')

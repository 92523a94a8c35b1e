"""Pins apply although truststore or gevent has replaced Python's TLS.

certpin refuses to work with eventlet, with an error that names eventlet.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from certpin import ConfigError, PinMismatchError, UncheckedConnectionError, assert_pinned
from certpin.lab.lab_server import server_context
from certpin.x509.openssl import StdlibSocket
from tests.tls import _wire
from tests.tls._servers import GREETING, RecordingServer
from tests.tls._usages import BLOCKING, HOST, USAGES

if TYPE_CHECKING:
    from tests.tls.conftest import World

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_ROOT = Path(__file__).parents[4]
_LOST = "there is no TLS on this socket, not yet or no more"


class _Run(NamedTuple):
    replacement: str  # the module of ssl.SSLContext
    usages: dict[str, tuple[object, str]]  # the results at the honest server, and at the rogue one
    lost: list[str]
    stolen: list[bytes]  # application bytes that the rogue server received


def _run(library: str, order: str, world: World, **variables: str) -> _Run:
    identity = world.root.issue(HOST)
    with (
        RecordingServer(server_context(identity), greeting=_ANSWER) as good,
        RecordingServer(server_context(world.rogue.issue(HOST)), greeting=_ANSWER) as evil,
    ):
        words = [library, order, str(good.port), str(evil.port), identity.pin.digest.hex()]
        run = subprocess.run(
            [sys.executable, "-m", "tests.tls._patched", *words],
            cwd=_ROOT,
            env={**os.environ, "EVENTLET_NO_GREENDNS": "yes", "NO_PROXY": "*", **variables},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        told: dict[str, Any] = json.loads(run.stdout)
        stolen = [each.application for each in evil.recordings(0)]
    return _Run(told["class"], told["usages"], told["lost"], stolen)


def _assert_pinned(run: _Run, usages: list[str]) -> None:
    assert list(run.usages) == usages
    for usage, (good, evil) in run.usages.items():
        assert good == 200, usage
        assert str(evil).startswith("PinMismatchError:"), usage
    assert len(run.stolen) == len(usages)
    assert not any(run.stolen)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["before", "after"])
def test_gevent_is_pinned_without_blocking_and_never_in_clear_text(
    order: str, world: World
) -> None:
    run = _run("gevent", order, world)
    _assert_pinned(run, list(BLOCKING))
    assert run.lost == [_LOST, _LOST]


@pytest.mark.slow
@pytest.mark.parametrize("order", ["before", "after"])
def test_eventlet_is_refused_by_name(order: str, world: World) -> None:
    run = _run("eventlet", order, world)
    for usage, met in run.usages.items():
        for each in met:
            assert str(each).startswith("ConfigError: wrap_socket: eventlet replaced"), usage
    assert not any(run.stolen)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["before", "after"])
def test_pins_work_beside_truststore(order: str, world: World) -> None:
    run = _run("truststore", order, world)
    assert run.replacement == "truststore._api"
    _assert_pinned(run, list(USAGES))
    assert len(USAGES) == 11


@pytest.mark.slow
def test_pins_work_if_truststore_is_injected_when_python_starts(
    world: World, tmp_path: Path
) -> None:
    # As pip-system-certs does with its .pth file; a sitecustomize needs no separate site-packages.
    (tmp_path / "sitecustomize.py").write_text("import truststore\ntruststore.inject_into_ssl()\n")
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])  # and that of `tests`
    run = _run("truststore", "at-start", world, PYTHONPATH=path)
    assert run.replacement == "truststore._api"
    _assert_pinned(run, list(USAGES))


def _socket_of_gevent(server: RecordingServer) -> Any:
    """Return a socket of gevent, connected to ``server``. Python's modules aren't patched."""
    sockets: Any = import_module("gevent.socket")
    return sockets.create_connection(server.address)


@pytest.mark.medium
def test_a_socket_of_gevent_is_checked_and_its_gate_stays(world: World) -> None:
    context = world.context()
    with (
        RecordingServer(server_context(world.good)) as server,
        context.wrap_socket(_socket_of_gevent(server), server_hostname=_wire.HOST) as tls,
    ):
        checked: Any = tls
        assert isinstance(tls, import_module("gevent.ssl").SSLSocket)
        assert assert_pinned(tls, _wire.HOST) is checked.pin_verdict
        assert checked.pin_checked
        assert tls.version()
        assert tls.recv(len(GREETING)) == GREETING
        assert tls.send(b"hello") == 5
        with pytest.raises(AttributeError):
            tls.context = ssl.create_default_context()
        session = tls.session
        assert session is not None
        again = context.wrap_socket(
            _socket_of_gevent(server), server_hostname=_wire.HOST, session=session
        )
        assert again.session_reused
        again.close()
        assert tls.unwrap() is tls
        with pytest.raises(UncheckedConnectionError):
            assert_pinned(tls)


def test_a_refused_socket_of_gevent_moves_no_byte(world: World) -> None:
    with RecordingServer(server_context(world.evil)) as server:
        tls = world.context().wrap_socket(
            _socket_of_gevent(server), server_hostname=_wire.HOST, do_handshake_on_connect=False
        )
        for _ in range(2):
            with pytest.raises(PinMismatchError):
                tls.sendall(b"a secret")
        with pytest.raises(PinMismatchError):
            assert_pinned(tls)
        with suppress(OSError):  # the refusal has already shut it
            tls.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError, match="no TLS"):
            tls.sendall(b"a secret")
        tls.close()
        (recording,) = server.recordings()
    assert recording.application == b""
    assert b"a secret" not in recording.raw


def test_a_replaced_context_class_is_not_used_and_not_needed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Replacement:
        """A class that replaces ``ssl.SSLContext`` and is no subclass of it, as in truststore."""

    monkeypatch.setattr(ssl, "SSLContext", Replacement)
    context = world.context(trust=None)  # sets options and flags
    assert isinstance(context, ssl.SSLContext)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_replaced_socket_class_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    replacement = type("SSLSocket", (StdlibSocket,), {"__module__": "greenish.ssl"})
    monkeypatch.setattr(ssl, "SSLSocket", replacement)
    with socket.socket() as sock, pytest.raises(ConfigError, match="greenish replaced"):
        world.context().wrap_socket(sock, server_hostname=_wire.HOST)

"""Rule 3: the check comes before the first application byte, and a refusal is final."""

from __future__ import annotations

import gc
import socket
import ssl
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinMismatchError, PinnedSSLContext
from certpin.lab.lab_server import server_context
from certpin.tls import check
from certpin.tls.gate import Gate, NoTLS
from tests.tls._handshakes import TimeLimitError
from tests.tls._operations import ALL, READING, SENDING
from tests.tls._raw import CANARY, TLSServer
from tests.tls._wire import HOST, Wire, as_old_as_tls12

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.tls.conftest import World

OPERATIONS = pytest.mark.parametrize("operation", ALL.values(), ids=ALL)
VERSIONS = pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def _deferred(context: ssl.SSLContext, server: TLSServer) -> Any:
    return context.wrap_socket(server.dial(), server_hostname=HOST, do_handshake_on_connect=False)


def _evil(world: World, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    server = server_context(world.evil)
    server.maximum_version = newest
    return server


def _refuses_everything(tls: Any) -> None:
    for operation in ALL.values():
        with pytest.raises(PinMismatchError):
            operation(tls)


@OPERATIONS
@VERSIONS
def test_no_byte_reaches_a_refused_server(
    world: World, operation: Callable[[Any], object], newest: ssl.TLSVersion
) -> None:
    with TLSServer(_evil(world, newest)) as server:
        with _deferred(world.context(), server) as tls:
            with pytest.raises(PinMismatchError):
                operation(tls)
            _refuses_everything(tls)
            with pytest.raises(PinMismatchError):
                tls.unwrap()
        server.wait()
    assert [visit.heard for visit in server.visits] == [b""]


@pytest.mark.medium
@OPERATIONS
def test_every_operation_works_on_an_accepted_server(
    world: World, operation: Callable[[Any], object]
) -> None:
    with TLSServer(server_context(world.good)) as server:
        with _deferred(world.context(), server) as tls:
            if operation in READING.values():
                tls.send(CANARY)
            operation(tls)
            assert tls.pin_verdict.reason == "match"
            if operation in SENDING.values():
                assert tls.recv(5) == b"hello"
        server.wait()
    sent = operation in SENDING.values() or operation in READING.values()
    assert server.visits[0].heard == (CANARY if sent else b"")


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("connect", ["connect", "connect_ex"])
def test_a_socket_that_connects_later_is_checked(world: World, connect: str, eager: bool) -> None:
    with TLSServer(_evil(world)) as server:
        tls: Any = world.context().wrap_socket(
            socket.socket(), server_hostname=HOST, do_handshake_on_connect=eager
        )
        with tls:
            if eager:
                with pytest.raises(PinMismatchError):
                    getattr(tls, connect)(server.address)
            else:
                assert not getattr(tls, connect)(server.address)
            _refuses_everything(tls)
        server.wait()
    assert [visit.heard for visit in server.visits] == [b""]


def test_a_refused_connection_is_shut_immediately(world: World) -> None:
    with TLSServer(_evil(world)) as server, _deferred(world.context(), server) as tls:
        with pytest.raises(PinMismatchError):
            tls.do_handshake()
        server.wait()  # the server saw the end, although the test has not closed the connection
        assert tls.fileno() >= 0


@VERSIONS
@pytest.mark.parametrize("first", ["write", "read", "do_handshake"])
def test_an_object_moves_nothing_before_the_check(
    world: World, newest: ssl.TLSVersion, first: str
) -> None:
    wire = Wire(world.context(), _evil(world, newest))
    steps: dict[str, Callable[[], object]] = {
        "write": lambda: wire.client.write(CANARY),
        "read": lambda: wire.client.read(1),
        "do_handshake": wire.client.do_handshake,
    }
    step = steps[first]
    with pytest.raises(PinMismatchError):
        _in_turns(step, wire.server.do_handshake)
    for again in (step, wire.client.unwrap, lambda: wire.client.write(CANARY)):
        with pytest.raises(PinMismatchError):
            again()
    assert wire.to_server.read() == b""
    assert wire.pull() == b""


def _in_turns(*steps: Callable[[], object]) -> None:
    for step in steps * 4:
        with suppress(ssl.SSLWantReadError):
            step()


def test_nothing_is_left_to_send_including_the_client_certificate(
    world: World, tmp_path: Path
) -> None:
    context = world.context()
    context.load_cert_chain(*world.intermediate.issue("client.test").write(tmp_path))
    server = _evil(world)
    server.verify_mode = ssl.CERT_OPTIONAL
    server.load_verify_locations(cadata=world.root.certificate.der)
    wire = Wire(context, server)
    wire.until_checked()
    with pytest.raises(PinMismatchError):
        wire.client.do_handshake()
    assert wire.to_server.pending == 0
    with pytest.raises(ssl.SSLWantReadError):
        wire.server.do_handshake()


def test_a_refusal_is_final_although_other_pins_would_accept(world: World) -> None:
    context = world.context()
    wire = Wire(context, _evil(world))
    with pytest.raises(PinMismatchError):
        wire.shake()
    context.swap(world.pins(world.evil.pin, version=2))
    with pytest.raises(PinMismatchError):
        wire.client.write(CANARY)
    assert wire.pull() == b""


def test_the_context_of_a_connection_cannot_be_replaced(world: World) -> None:
    other = ssl.create_default_context()
    wire = Wire(world.context(), server_context(world.good))
    for _ in range(2):  # before and after the check
        with pytest.raises(AttributeError):
            wire.client.context = other
        wire.shake()
    assert isinstance(wire.client.context, PinnedSSLContext)
    with TLSServer(_evil(world)) as server, _deferred(world.context(), server) as tls:
        with pytest.raises(AttributeError):
            tls.context = other
        with pytest.raises(AttributeError):
            tls._sslobj.context = other
        with pytest.raises(PinMismatchError):
            tls.do_handshake()


def test_the_gate_rejects_unknown_methods(world: World) -> None:
    client = Wire(world.context(), server_context(world.good)).client
    with pytest.raises(AttributeError, match="before the pins were checked"):
        client.verify_client_post_handshake()
    with pytest.raises(AttributeError, match="before the pins were checked"):
        client._sslobj.some_name_of_a_later_python()


class _PythonOf2026:
    """Substitute for OpenSSL's connection object, with the methods that Python 3.15 calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def do_handshake(self) -> None:
        self.calls.append("do_handshake")

    def sendfile(self, *args: object) -> int:
        self.calls.append("sendfile")
        return 7

    def uses_ktls_for_send(self) -> bool:
        self.calls.append("uses_ktls_for_send")
        return True

    def uses_ktls_for_recv(self) -> bool:
        return False

    def group(self) -> str:
        return "X25519MLKEM768"

    client_sigalg = server_sigalg = group


class _PassingGate(Gate):
    """A ``Gate`` (the pin check of a connection) that accepts everything and counts its checks."""

    def __init__(self, raw: object) -> None:
        nothing: Any = None
        super().__init__(nothing, nothing, nothing)
        self._raw = raw
        self.counted = 0

    def judge(self, raw: object) -> None:
        self.counted += 1


@pytest.mark.parametrize("name", ["sendfile", "uses_ktls_for_send"])
def test_sendfile_of_python_3_15_is_checked_first(name: str) -> None:
    raw = _PythonOf2026()
    gate = _PassingGate(raw)
    assert getattr(gate, name)()
    assert (raw.calls, gate.counted) == (["do_handshake", name], 1)


def test_python_3_15_may_call_these_methods_before_the_check() -> None:
    names = ("client_sigalg", "group", "server_sigalg", "uses_ktls_for_recv")
    raw = _PythonOf2026()
    gate, closed = _PassingGate(raw), NoTLS()
    for name in names:
        assert getattr(gate, name)() == getattr(raw, name)()
        assert not getattr(closed, name)()
    assert raw.calls == []
    for name in ("sendfile", "uses_ktls_for_send"):
        with pytest.raises(OSError, match="no TLS"):
            getattr(closed, name)()


def test_an_interrupted_check_refuses(world: World) -> None:
    def interrupt() -> Any:
        raise SystemExit

    context = world.context()
    context._enforcer.clock = interrupt
    wire = Wire(context, server_context(world.good))
    with pytest.raises(SystemExit):
        wire.shake()
    with pytest.raises(ssl.SSLError, match="interrupted"):
        wire.client.write(CANARY)
    assert wire.pull() == b""


def test_an_exception_of_the_app_that_interrupts_the_check_is_raised(world: World) -> None:
    """The exception of a signal handler, for example. Later calls raise an error of ssl."""

    def interrupt() -> Any:
        raise TimeLimitError(1, "the request")

    context = world.context()
    context._enforcer.clock = interrupt
    wire = Wire(context, server_context(world.good))
    with pytest.raises(TimeLimitError, match="took more than 1 s"):
        wire.shake()
    with pytest.raises(ssl.SSLError, match="interrupted"):
        wire.client.write(CANARY)
    assert wire.pull() == b""


def test_an_exception_of_the_app_while_the_record_is_made_is_raised(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler raises while a refusal reads the served certificates for its record."""

    def interrupt(_: object) -> Any:
        raise TimeLimitError(1, "the request")

    monkeypatch.setattr(check, "served_chain", interrupt)
    wire = Wire(world.context(), server_context(world.evil))
    with pytest.raises(TimeLimitError, match="took more than 1 s"):
        wire.shake()
    with pytest.raises(ssl.SSLError, match="interrupted"):
        wire.client.write(CANARY)
    assert wire.pull() == b""


def test_no_renegotiation_can_bring_another_certificate(world: World) -> None:
    context = as_old_as_tls12(world.context())
    for options in (context.options & ~ssl.OP_NO_RENEGOTIATION, ssl.Options(0)):
        context.options = options
        assert context.options & ssl.OP_NO_RENEGOTIATION


def test_a_checked_connection_uses_openssls_object_directly(
    world: World,
) -> None:
    client = Wire(world.context(), server_context(world.good)).shake().client
    plain = Wire(ssl.create_default_context(), server_context(world.good)).client
    assert type(client._sslobj) is type(plain._sslobj)


def test_a_refused_connection_leaves_no_reference_cycle(world: World) -> None:
    gc.disable()
    try:
        wire = Wire(world.context(), _evil(world))
        with suppress(PinMismatchError):
            wire.shake()
        with suppress(PinMismatchError):
            wire.client.write(CANARY)
        gone = weakref.ref(wire.client)
        del wire
        assert gone() is None
    finally:
        gc.enable()

"""Rule 4: a session is resumed only if this context verified it for the same host and pins."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinMismatchError, PinnedSSLContext, UnverifiedSessionError
from certpin.lab.lab_server import server_context
from certpin.tls.check import SessionMemory, TargetHost
from tests import kit
from tests.tls._raw import TLSServer
from tests.tls._wire import HOST, OTHER, Wire

if TYPE_CHECKING:
    from certpin.lab import Identity
    from tests.tls.conftest import World

pytestmark = pytest.mark.parametrize(
    "newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["TLS 1.2", "TLS 1.3"]
)


def _at_wrap(client: ssl.SSLContext, server: ssl.SSLContext, host: str, session: Any) -> Wire:
    return Wire(client, server, host, session)


def _by_attribute(client: ssl.SSLContext, server: ssl.SSLContext, host: str, session: Any) -> Wire:
    wire = Wire(client, server, host)
    wire.client.session = session
    return wire


OFFERS = pytest.mark.parametrize("offer", [_at_wrap, _by_attribute])


def _server(identity: Identity, newest: ssl.TLSVersion) -> ssl.SSLContext:
    server = server_context(identity)
    server.maximum_version = newest
    return server


def _both_hosts(world: World, **fields: Any) -> PinnedSSLContext:
    policies = [world.policy(host=host) for host in (HOST, OTHER)]
    return PinnedSSLContext(kit.pin_set(*policies), **fields)


@OFFERS
@pytest.mark.parametrize("private", [False, True], ids=["platform", "trust file"])
def test_a_session_is_resumed_for_the_same_host_and_pins(
    world: World, newest: ssl.TLSVersion, offer: Any, private: bool
) -> None:
    context = world.context(trust=kit.anchors(world.root) if private else None)
    server = _server(world.good, newest)
    session = Wire(context, server).shake().session()
    for _ in range(2):  # the session of a resumed connection may be resumed as well
        wire = offer(context, server, HOST, session).shake()
        assert wire.server.session_reused
        assert wire.client.pin_verdict.reason == "match"
        session = wire.session()


def test_a_session_that_is_stored_again_is_not_the_oldest(
    world: World, newest: ssl.TLSVersion
) -> None:
    session: Any = Wire(world.context(), _server(world.good, newest)).shake().session()
    others: list[Any] = [object() for _ in range(256)]
    target, memory = TargetHost(HOST, None, None), SessionMemory()
    chain, now = (world.good.certificate.der,), datetime.now(UTC)
    for each in (session, *others[:255], session, others[255]):
        memory.remember(each, target, chain)
    assert memory.recall(session, target, now) == chain
    assert memory.recall(others[0], target, now) is None
    assert memory.recall(others[1], target, now) == chain


@OFFERS
def test_a_session_of_another_host_is_not_offered(
    world: World, newest: ssl.TLSVersion, offer: Any
) -> None:
    """CVE-2021-22890: the server would resume the session, as both hosts share its session keys."""
    context, server = _both_hosts(world), _server(world.good, newest)
    session = Wire(context, server, OTHER).shake().session()
    wire = offer(context, server, HOST, session).shake()
    assert not wire.server.session_reused
    assert wire.client.pin_verdict.reason == "match"


@OFFERS
def test_a_session_is_not_offered_after_the_pins_changed(
    world: World, newest: ssl.TLSVersion, offer: Any
) -> None:
    context, server = world.context(), _server(world.good, newest)
    session = Wire(context, server).shake().session()
    context.swap(world.pins(world.evil.pin, version=2))
    with pytest.raises(PinMismatchError):
        offer(context, server, HOST, session).shake()
    context.swap(world.pins(version=3))
    assert not offer(context, server, HOST, session).shake().server.session_reused


def test_a_session_that_is_resumed_while_the_pins_change_is_refused(
    world: World, newest: ssl.TLSVersion
) -> None:
    context, server = world.context(), _server(world.good, newest)
    session = Wire(context, server).shake().session()
    wire = Wire(context, server, session=session)
    context.swap(world.pins(world.good.pin, world.root.pin, version=2))
    with pytest.raises(UnverifiedSessionError):
        wire.shake()


@OFFERS
def test_a_session_of_another_context_is_not_offered(
    world: World, newest: ssl.TLSVersion, offer: Any
) -> None:
    server = _server(world.good, newest)
    for other in (ssl.create_default_context(), world.context()):
        session = Wire(other, server).shake().session()
        wire = offer(world.context(), server, HOST, session).shake()
        assert not wire.server.session_reused


def test_a_session_set_past_the_gate_is_refused(world: World, newest: ssl.TLSVersion) -> None:
    context, server = _both_hosts(world), _server(world.good, newest)
    session = Wire(context, server, OTHER).shake().session()
    wire = Wire(context, server)
    wire.client._sslobj._raw.session = session  # past the gate
    with pytest.raises(UnverifiedSessionError, match=HOST) as refusal:
        wire.shake()
    assert "connect without a session" in refusal.value.fix


@OFFERS
def test_a_session_that_is_not_offered_leaves_the_one_before(
    world: World, newest: ssl.TLSVersion, offer: Any
) -> None:
    """OpenSSL still offers that one, and the server resumes it."""
    context, server = _both_hosts(world), _server(world.good, newest)
    good, foreign = (Wire(context, server, host).shake().session() for host in (HOST, OTHER))
    wire = offer(context, server, HOST, good)
    wire.client.session = foreign
    assert wire.shake().client.session_reused
    assert wire.client.pin_verdict.reason == "match"


@OFFERS
def test_only_the_last_session_set_is_offered(
    world: World, newest: ssl.TLSVersion, offer: Any
) -> None:
    """The server can resume only the second: the first one is of another server."""
    context, server = _both_hosts(world), _server(world.good, newest)
    first = Wire(context, _server(world.good, newest)).shake().session()
    second = Wire(context, server).shake().session()
    wire = offer(context, server, HOST, first)
    wire.client.session = second
    assert wire.shake().client.session_reused


def test_a_session_is_not_offered_after_a_certificate_of_its_chain_expired(
    world: World, newest: ssl.TLSVersion
) -> None:
    now = [datetime.now(UTC)]
    context = _both_hosts(world, clock=lambda: now[0])
    server = _server(world.good, newest)
    session = Wire(context, server).shake().session()
    now[0] = world.good.certificate.not_after
    assert Wire(context, server, session=session).shake().server.session_reused
    now[0] += timedelta(seconds=1)
    assert not Wire(context, server, session=session).shake().server.session_reused


@pytest.mark.parametrize("seen_as", ["a resumption", "a full handshake"])
def test_the_expiry_of_the_pins_applies_to_sessions_too(
    world: World, newest: ssl.TLSVersion, seen_as: str
) -> None:
    now = [datetime.now(UTC)]
    pins = world.pins(expires=now[0] + timedelta(days=1))
    context = PinnedSSLContext(pins, clock=lambda: now[0])
    server = _server(world.good, newest)
    session = Wire(context, server).shake().session()
    now[0] += timedelta(days=1)
    with pytest.raises(ssl.SSLCertVerificationError, match="pins held until"):
        Wire(context, server, session=session if seen_as == "a resumption" else None).shake()


def test_there_is_no_session_before_the_check(world: World, newest: ssl.TLSVersion) -> None:
    wire = Wire(world.context(), _server(world.evil, newest))
    wire.until_checked()
    assert wire.client.session is None
    with pytest.raises(PinMismatchError):
        wire.shake()
    assert wire.client.session is None


def test_a_shut_socket_does_not_store_a_foreign_session(
    world: World, newest: ssl.TLSVersion
) -> None:
    context, tls_server = _both_hosts(world), _server(world.good, newest)
    foreign = Wire(context, tls_server, OTHER).shake().session()
    with TLSServer(tls_server) as server, server.dial() as sock:
        tls: Any = context.wrap_socket(sock, server_hostname=HOST)
        with tls:
            tls.shutdown(socket.SHUT_RDWR)
            tls.session = foreign
            assert tls.session is None
    assert not Wire(context, tls_server, session=foreign).shake().server.session_reused


@pytest.mark.medium
def test_a_socket_resumes_as_an_object_does(world: World, newest: ssl.TLSVersion) -> None:
    context = world.context()
    with TLSServer(_server(world.good, newest)) as server:
        session = None
        for _ in range(2):
            with context.wrap_socket(server.dial(), server_hostname=HOST, session=session) as tls:
                tls.send(b"?")
                assert tls.recv(5) == b"hello"
                session = tls.session
        server.wait(2)
    assert [visit.resumed for visit in server.visits] == [False, True]


def test_sessions_of_hosts_without_pins_are_used_for_their_host_only(
    world: World, newest: ssl.TLSVersion
) -> None:
    context = PinnedSSLContext(world.pins(), strict=False)
    server = _server(world.intermediate.issue("one.test", "two.test"), newest)
    session = Wire(context, server, "one.test").shake().session()
    assert Wire(context, server, "one.test", session).shake().server.session_reused
    assert not Wire(context, server, "two.test", session).shake().server.session_reused


def test_only_the_last_256_sessions_are_kept(world: World, newest: ssl.TLSVersion) -> None:
    context, server = world.context(), _server(world.good, newest)
    client = Wire(context, server).shake()
    first, *_ = [client.session() for _ in range(257)]
    last = client.session()
    assert not Wire(context, server, session=first).shake().server.session_reused
    assert Wire(context, server, session=last).shake().server.session_reused

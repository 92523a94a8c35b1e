"""Rule 3: TLS cannot be taken off a connection that was not checked."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinMismatchError
from certpin.lab.lab_server import server_context
from certpin.pins import utc_now
from tests.tls._servers import SECRET, RecordingServer, asking_for_certificate
from tests.tls._wire import HOST, Wire

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.tls.conftest import World

VERSIONS = pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def _evil(world: World, newest: ssl.TLSVersion) -> ssl.SSLContext:
    server = server_context(world.evil)
    server.maximum_version = newest
    return server


@VERSIONS
def test_a_connection_is_not_unwrapped_before_or_in_its_handshake(
    world: World, newest: ssl.TLSVersion
) -> None:
    wire = Wire(world.context(), _evil(world, newest))
    with pytest.raises(ssl.SSLError, match="before the pins were checked"):
        wire.client.unwrap()
    wire.until_checked()
    with pytest.raises(ssl.SSLError, match="before the pins were checked"):
        wire.client.unwrap()
    with pytest.raises(PinMismatchError):
        wire.shake()
    with pytest.raises(PinMismatchError):
        wire.client.unwrap()


@VERSIONS
def test_a_connection_is_not_unwrapped_by_another_thread_while_it_is_checked(
    world: World, newest: ssl.TLSVersion
) -> None:
    """``unwrap`` fails after the handshake, until the pin check has a verdict.

    OpenSSL alone would close TLS without an error at that moment. The check reads the clock, and
    the test's fake clock calls ``unwrap`` in place of another thread.
    """
    connections: list[Any] = []
    refusals: list[str] = []

    def meanwhile() -> datetime:
        if not refusals:
            try:
                connections[0].unwrap().send(SECRET)
            except ssl.SSLError as exc:
                refusals.append(str(exc))
        return utc_now()

    context = world.context()
    context._enforcer.clock = meanwhile
    polite = _evil(world, newest)
    polite.num_tickets = 0  # no bytes arrive that would disturb the closing
    with RecordingServer(polite, greeting=b"") as server:
        tls = context.wrap_socket(
            server.connect(), server_hostname=HOST, do_handshake_on_connect=False
        )
        connections.append(tls)
        with tls, pytest.raises(PinMismatchError):
            tls.do_handshake()
        recording = server.recordings()[0]
    assert len(refusals) == 1
    assert SECRET not in recording.raw
    assert recording.application == b""


def test_a_refused_client_leaves_the_server_without_its_certificate(
    world: World, tmp_path: Path
) -> None:
    # The good server receives the certificate, so it was available.
    context = world.context()
    context.load_cert_chain(
        *world.intermediate.issue("client.test", change=_client).write(tmp_path)
    )
    good = Wire(context, asking_for_certificate(world.good, world.root)).shake()
    assert good.server.getpeercert(binary_form=True)
    evil = Wire(context, asking_for_certificate(world.evil, world.root))
    with pytest.raises(PinMismatchError):
        evil.shake()
    assert evil.to_server.read() == b""
    assert evil.pull() == b""


def _client(builder: Any) -> Any:
    """Remove the extended key usages from a certificate builder, and return it.

    The certificate is then valid for clients.
    """
    kept = [each for each in builder._extensions if each.oid.dotted_string != "2.5.29.37"]
    builder._extensions = kept
    return builder

"""Rule 9: a host without a policy is refused, unless the user allowed such hosts."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certpin import InsecureRequestError, PinMismatchError, PinnedSSLContext, UnpinnedHostError
from certpin.lab import Authority, LabServer
from tests import kit
from tests.tls._handshakes import HOST, connect, verdict_of

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "shop.example"


@pytest.fixture
def strict(trusted_root: Path, intermediate: Authority) -> PinnedSSLContext:
    return PinnedSSLContext(kit.pin_set(kit.policy(HOST, intermediate.pin)))


@pytest.fixture
def lenient(trusted_root: Path, intermediate: Authority) -> PinnedSSLContext:
    return PinnedSSLContext(kit.pin_set(kit.policy(HOST, intermediate.pin)), strict=False)


def test_strict_is_the_default(strict: PinnedSSLContext) -> None:
    assert strict.strict


def test_a_host_without_a_policy_is_refused_before_a_byte_is_sent(
    strict: PinnedSSLContext,
) -> None:
    outgoing = ssl.MemoryBIO()
    with pytest.raises(UnpinnedHostError, match=f"{OTHER} refused: .* no policy") as caught:
        strict.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=OTHER)
    assert outgoing.read() == b""
    assert f"certpin add {OTHER}" in caught.value.fix
    assert caught.value.host == OTHER


def test_a_socket_to_a_host_without_a_policy_sends_nothing(
    strict: PinnedSSLContext, intermediate: Authority
) -> None:
    with LabServer(intermediate.issue(OTHER)) as server:
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock,
            pytest.raises(UnpinnedHostError),
        ):
            strict.wrap_socket(sock, server_hostname=OTHER)
        server.wait_for(1)
    assert server.received == [b""]


@pytest.mark.parametrize("host", ["www.bank.example", "example", "bank.example.evil.example"])
def test_a_similar_host_name_has_no_policy(strict: PinnedSSLContext, host: str) -> None:
    with pytest.raises(UnpinnedHostError):
        strict.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=host)


def test_without_strict_an_unpinned_host_is_accepted_without_a_verdict(
    lenient: PinnedSSLContext, intermediate: Authority
) -> None:
    assert not lenient.strict
    assert verdict_of(lenient, intermediate.issue(OTHER), OTHER) is None


def test_without_strict_a_pinned_host_is_still_pinned(
    lenient: PinnedSSLContext, root: Authority
) -> None:
    with pytest.raises(PinMismatchError):
        connect(lenient, root.intermediate("Another").issue(HOST))


def test_without_strict_an_expired_certificate_of_an_unpinned_host_is_refused(
    lenient: PinnedSSLContext, intermediate: Authority
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=90)
    expired = Authority("Test Intermediate", issuer=intermediate, now=long_ago).issue(OTHER, days=1)
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate has expired"):
        connect(lenient, expired, OTHER)


def test_without_strict_an_untrusted_or_misnamed_certificate_is_refused(
    lenient: PinnedSSLContext, intermediate: Authority
) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        connect(lenient, Authority("Stranger").intermediate("Below").issue(OTHER), OTHER)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        connect(lenient, intermediate.issue("third.example"), OTHER)


def test_asyncio_refuses_a_host_without_a_policy(
    strict: PinnedSSLContext, intermediate: Authority
) -> None:
    async def dial(sock: socket.socket) -> None:
        sock.setblocking(False)
        await asyncio.open_connection(sock=sock, ssl=strict, server_hostname=OTHER)

    with LabServer(intermediate.issue(OTHER)) as server:
        # A separate socket, because asyncio leaves its socket open if a context refuses.
        with (
            socket.create_connection(("127.0.0.1", server.port)) as sock,
            pytest.raises(UnpinnedHostError),
        ):
            asyncio.run(dial(sock))
        server.wait_for(1)
    assert server.received == [b""]


def test_adapters_get_the_refusal_before_they_connect(strict: PinnedSSLContext) -> None:
    strict.admit(HOST)
    with pytest.raises(UnpinnedHostError):
        strict.admit(OTHER)
    with pytest.raises(InsecureRequestError, match="clear text"):
        strict.admit(HOST, encrypted=False)
    with pytest.raises(InsecureRequestError):
        strict.admit(OTHER, encrypted=False)


def test_without_strict_clear_text_is_refused_only_for_enforced_hosts(
    lenient: PinnedSSLContext,
) -> None:
    lenient.admit(OTHER)
    lenient.admit(OTHER, encrypted=False)
    with pytest.raises(InsecureRequestError):
        lenient.admit(HOST, encrypted=False)


def test_in_report_mode_clear_text_passes_only_without_strict_and_is_logged(
    trusted_root: Path, intermediate: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    pins = kit.pin_set(kit.policy(HOST, intermediate.pin, mode="report"))
    with pytest.raises(InsecureRequestError):
        PinnedSSLContext(pins).admit(HOST, encrypted=False)
    caplog.clear()
    context = PinnedSSLContext(pins, strict=False)
    context.admit(HOST)
    context.admit(OTHER, encrypted=False)
    assert not caplog.records
    context.admit(HOST, encrypted=False)
    (record,) = caplog.records
    fields = record.__dict__["certpin"]
    assert (record.levelname, fields["host"]) == ("WARNING", HOST)
    assert (fields["decision"], fields["reason"]) == ("report", "InsecureRequestError")

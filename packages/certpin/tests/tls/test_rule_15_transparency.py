"""Rule 15: a host with ``require_ct`` is refused unless enough known logs have its certificate.

The check applies to all ways to connect: sockets, memory BIOs, and event loops.
"""

from __future__ import annotations

import asyncio
import queue
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin import PinFailure, PinnedSSLContext, TransparencyError, pin_error
from certpin.lab import LabServer
from certpin.lab.ct_log import LabLog, log_list, with_scts
from certpin.lab.lab_server import server_context
from tests import kit
from tests.tls._handshakes import HOST, Wire, connect, verdict_of
from tests.tls._servers import RecordingServer, asking_for_certificate, greeted

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority, Identity
    from certpin.pinfile import PinSet

A, B = LabLog.make("Log A"), LabLog.make("Log B")


@pytest.fixture(scope="module")
def logged(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST, change=with_scts(intermediate, [A, B]))


@pytest.fixture(scope="module")
def unlogged(intermediate: Authority, logged: Identity) -> Identity:
    """Return an identity with the key of ``logged``, but with a certificate without SCTs.

    Its key matches the pin.
    """
    return intermediate.issue(HOST, key=logged.key)


def pins(
    server: Identity, *, made: datetime | None = None, version: int = 1, **fields: Any
) -> PinSet:
    logs = log_list((A, B), made or datetime.now(UTC))
    policy = kit.policy(HOST, server.pin, ct_logs=logs, **fields)
    return kit.pin_set(policy, version=version)


def test_a_logged_certificate_is_accepted(trusted_root: Path, logged: Identity) -> None:
    context = PinnedSSLContext(pins(logged))
    for _ in range(2):  # the second time from the cache
        verdict = verdict_of(context, logged)
        assert (verdict.reason, verdict.transparency.satisfied) == ("match", True)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_without_scts_is_refused_before_any_application_byte(
    trusted_root: Path, unlogged: Identity, version: ssl.TLSVersion
) -> None:
    context = PinnedSSLContext(pins(unlogged))
    context.maximum_version = version
    with RecordingServer(server_context(unlogged)) as server:
        with pytest.raises(TransparencyError, match="needs 2") as caught:
            context.wrap_socket(server.connect(), server_hostname=HOST)
        [recording] = server.recordings()
    assert recording.application == b""
    assert pin_error(caught.value) is caught.value
    assert caught.value.verdict.reason == "too-few-scts"
    assert caught.value.host == HOST


def test_a_refused_object_never_moves_bytes(trusted_root: Path, unlogged: Identity) -> None:
    wire = Wire(PinnedSSLContext(pins(unlogged)), unlogged)
    with pytest.raises(TransparencyError):
        wire.shake()
    with pytest.raises(TransparencyError):
        wire.client.write(b"secret")
    with pytest.raises(TransparencyError):
        wire.client.read(1)


def test_no_client_certificate_is_sent(
    trusted_root: Path, root: Authority, unlogged: Identity, tmp_path: Path
) -> None:
    context = PinnedSSLContext(pins(unlogged))
    context.load_cert_chain(*unlogged.write(tmp_path, "client"))
    with RecordingServer(asking_for_certificate(unlogged, root)) as server:
        with pytest.raises(TransparencyError):
            context.wrap_socket(server.connect(), server_hostname=HOST)
        [recording] = server.recordings()
    assert recording.client_certificate is None
    assert not recording.finished


@pytest.mark.medium
def test_asyncio_passes_the_same_gate(
    trusted_root: Path, logged: Identity, unlogged: Identity
) -> None:
    async def visit(server: Identity) -> str:
        with LabServer(server) as lab:
            context = PinnedSSLContext(pins(server))
            _, writer = await asyncio.open_connection(
                "127.0.0.1", lab.port, ssl=context, server_hostname=HOST
            )
            try:
                verdict = writer.get_extra_info("ssl_object").pin_verdict
                return str(verdict.reason)
            finally:
                writer.close()

    assert asyncio.run(visit(logged)) == "match"
    with pytest.raises(TransparencyError):
        asyncio.run(visit(unlogged))


def test_report_mode_accepts_and_reports(trusted_root: Path, unlogged: Identity) -> None:
    heard: queue.Queue[PinFailure] = queue.Queue()
    context = PinnedSSLContext(pins(unlogged, mode="report"), on_failure=[heard.put])
    assert verdict_of(context, unlogged).decision == "report"
    failure = heard.get(timeout=30)
    assert (failure.decision, failure.reason) == ("report", "too-few-scts")


def test_each_connection_with_an_old_list_is_reported(
    trusted_root: Path, unlogged: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    old = pins(unlogged, made=datetime.now(UTC) - timedelta(days=71))
    context = PinnedSSLContext(old)
    for _ in range(2):
        connect(context, unlogged)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "too-few-scts" in caplog.records[0].message


def test_a_newer_pin_set_requires_it_of_the_next_connection(
    trusted_root: Path, unlogged: Identity
) -> None:
    strict = pins(unlogged, version=2)
    [policy] = strict.policies
    context = PinnedSSLContext(kit.pin_set(replace(policy, ct_logs=None)))
    assert verdict_of(context, unlogged).transparency is None
    context.swap(strict)
    with pytest.raises(TransparencyError):
        connect(context, unlogged)


def test_a_socket_with_a_logged_certificate_talks(trusted_root: Path, logged: Identity) -> None:
    with RecordingServer(server_context(logged)) as server:
        assert greeted(server, PinnedSSLContext(pins(logged)), HOST).finished

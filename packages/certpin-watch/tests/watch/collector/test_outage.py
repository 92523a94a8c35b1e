"""Check that the log and the pages say why NATS cannot be used, without its password."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from nats.errors import AuthorizationError, UnexpectedEOF
from nats.js.errors import APIError

from certpin.lab import Authority
from certpin_watch.collector import jetstream, writer
from certpin_watch.collector.app import open_intake
from certpin_watch.collector.intake import NotDurableError
from certpin_watch.collector.outage import Outage, describe_failure
from certpin_watch.health import ProcessHealth
from certpin_watch.secret import Secret
from certpin_watch.store.reports import recorded_messages
from certpin_watch.web import unknowns
from tests.servers._run import free_port
from tests.servers.nats import nats
from tests.watch.collector.server import create_tables, make_watch
from tests.watch.collector.test_jetstream import _becomes, _reports

if TYPE_CHECKING:
    from pathlib import Path

    from certpin_watch.context import Watch
    from tests.servers.nats import Nats


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def _watch(tmp_path: Path, url: str) -> Watch:
    watch = make_watch(f"sqlite:///{tmp_path}/w.db", url)
    create_tables(watch)
    return watch


async def _refused(watch: Watch) -> list[str]:
    """Wait until the intake knows why it is not ready; return the sentences of the pages."""
    async with open_intake(watch) as intake:
        await _becomes(lambda: bool(intake.trouble), True)
        with pytest.raises(NotDurableError):
            await intake.accept(*_reports(1))
        health = ProcessHealth(
            needs={"stream": intake.is_ready}, troubles={"stream": lambda: intake.trouble}
        )
        return list(unknowns._of_process(health))


@pytest.mark.medium
def test_a_server_that_is_away_is_logged_once_and_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jetstream, "_RECONNECT", 0.01)
    port = free_port()
    watch = _watch(tmp_path, f"nats://ann:hunter2@127.0.0.1:{port}")
    (sentence,) = asyncio.run(_refused(watch))
    watch.store.close()
    reason = f"the connection is refused: nothing listens there (127.0.0.1:{port})"
    assert f"The last error of NATS: {reason}." in sentence
    (line,) = _warnings(caplog)
    assert line.startswith(f"reports are refused, because NATS is not ready: {reason}\n  fix: ")
    assert "hunter2" not in caplog.text + sentence


@pytest.mark.slow
@pytest.mark.parametrize("who", ["intake", "writer"])
def test_a_wrong_password_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, who: str
) -> None:
    with nats(password="another") as server:
        watch = _watch(tmp_path, server.url.replace("//", "//ann:hunter2@"))
        if who == "intake":
            asyncio.run(_refused(watch))
        else:
            asyncio.run(_write_until_logged(watch, caplog))
        watch.store.close()
    (line,) = _warnings(caplog)
    assert "the server refuses the user or the password of the address" in line
    assert f"127.0.0.1:{server.port}" in line
    assert "hunter2" not in caplog.text


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """The certificate and key of a NATS server, and its authority in ``ca.pem``."""
    authority = Authority("a private authority")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    return authority.issue("localhost").write(tmp_path)


def _secure(
    watch: Watch, server: Nats, authorities: Path | None, user: str = "ann:secret"
) -> Watch:
    """Return the watch with the address of a server with TLS."""
    address = Secret(f"tls://{user}@localhost:{server.port}")
    settings = replace(watch.settings, nats=address, nats_ca=authorities)
    return replace(watch, settings=settings)


@pytest.mark.slow
def test_a_private_authority_of_the_server_is_trusted_if_it_is_named(
    tmp_path: Path, certificate: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    async def is_ready(watch: Watch) -> None:
        async with open_intake(watch) as intake:
            await _becomes(intake.is_ready, True)

    watch = _watch(tmp_path, "")
    with nats(tls=certificate, tls_first=False, password="secret") as server:
        asyncio.run(is_ready(_secure(watch, server, tmp_path / "ca.pem")))
        assert not _warnings(caplog)
        asyncio.run(_refused(_secure(watch, server, None)))
    watch.store.close()
    (line,) = _warnings(caplog)
    assert "the server's certificate is refused: unable to get local issuer" in line
    assert "fix: name the authority of its certificate in nats_ca" in line


@pytest.mark.slow
def test_a_wrong_password_over_tls_is_logged_once(
    tmp_path: Path,
    certificate: tuple[Path, Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jetstream, "_RECONNECT", 0.01)

    async def refuse(watch: Watch) -> str:
        async with open_intake(watch) as intake:
            await asyncio.sleep(3)  # for many attempts
            return intake.trouble

    watch = _watch(tmp_path, "")
    with nats(tls=certificate, tls_first=False, password="another") as server:
        trouble = asyncio.run(refuse(_secure(watch, server, tmp_path / "ca.pem")))
    watch.store.close()
    assert trouble.startswith("the server refuses the user or the password of the address")
    assert len(_warnings(caplog)) == 1, caplog.text


@pytest.mark.slow
def test_a_lost_stream_is_logged_and_a_new_one_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def run(watch: Watch, *, lose: bool) -> None:
        stop, needs = asyncio.Event(), dict[str, Any]()
        task = asyncio.create_task(writer.run(watch, stop, needs))
        await _becomes(lambda: "nats" in needs and _seen(watch), True)
        if lose:
            client = await jetstream.connect_client(server.url)
            await client.jetstream().delete_stream(watch.settings.collector.stream)
            await client.close()
            await _becomes(lambda: "is created again" in caplog.text, True)
        stop.set()
        await task

    def _seen(watch: Watch) -> bool:
        with watch.store.read() as connection:
            return recorded_messages(connection, watch.settings.collector.stream) is not None

    with nats() as server:
        watch = _watch(tmp_path, server.url)
        asyncio.run(run(watch, lose=False))
        assert not _warnings(caplog)
        asyncio.run(run(watch, lose=True))
        watch.store.close()
    gone, created = _warnings(caplog)
    assert "the stream of the reports, or its consumer, was deleted" in gone
    assert "fix: check its stream and its disk" in gone
    assert "the stream CERTPIN_REPORTS was deleted, and is created again: reports" in created


async def _write_until_logged(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(writer.run(watch, stop))
    await _becomes(lambda: bool(_warnings(caplog)), True)
    stop.set()
    await task


@pytest.mark.slow
def test_a_lost_connection_is_logged_and_so_is_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "certpin.watch.collector")

    async def work(watch: Watch, again: Any) -> None:
        async with open_intake(watch) as intake:
            await _becomes(intake.is_ready, True)
            server.process.kill()
            await _becomes(lambda: bool(intake.trouble), True)
            with again:
                await _becomes(intake.is_ready, True)
                assert not intake.trouble

    with nats(tmp_path / "data") as server:
        watch = _watch(tmp_path, server.url)
        asyncio.run(work(watch, nats(tmp_path / "data", port=server.port)))
        watch.store.close()
    assert _warnings(caplog)
    assert "NATS is ready again" in caplog.text


def test_each_reason_of_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage(Secret("nats://ann:hunter2@nats.example"), "reports are refused")
    for _ in range(3):
        outage.record(ConnectionRefusedError())
        outage.record(UnexpectedEOF())
    assert len(_warnings(caplog)) == 2
    assert outage.reason == "the server closed the connection (nats.example:4222)"
    outage.end()
    assert not outage.reason
    outage.record(ConnectionRefusedError())
    assert len(_warnings(caplog)) == 3


def test_a_refused_login_is_not_called_a_closed_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    outage = Outage(Secret("nats://nats.example"), "reports are refused")
    outage.record(AuthorizationError())
    outage.record(UnexpectedEOF())
    assert len(_warnings(caplog)) == 1
    assert outage.reason.startswith("the server refuses the user or the password")


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (APIError(description="insufficient storage\x1b"), "insufficient storage\\x1b"),
        (TimeoutError(), "the server does not answer in time"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER]"), "TLS failed: unknown reason"),
        (ValueError("nats://ann:hunter2@nats.example"), "ValueError"),
    ],
)
def test_a_failure_is_described_without_the_address(exc: Exception, text: str) -> None:
    assert describe_failure(exc) == text

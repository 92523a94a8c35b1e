"""The options of a policy beside its pins (mode, match, expiry), tested with real handshakes."""

from __future__ import annotations

import asyncio
import queue
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin import (
    PinFailure,
    PinMismatchError,
    PinnedSSLContext,
    PinSetExpiredError,
)
from certpin.lab import Authority, Identity, LabServer
from tests import kit
from tests.tls._handshakes import HOST, connect, verdict_of

if TYPE_CHECKING:
    from pathlib import Path

    from certpin import Pin

EXPIRES = datetime(2027, 6, 1, tzinfo=UTC)
BEFORE = EXPIRES - timedelta(microseconds=1)


@pytest.fixture(scope="module")
def server(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


def pinned(*pins: Pin, now: datetime = BEFORE, hooks: Any = (), **fields: Any) -> PinnedSSLContext:
    pin_set = kit.pin_set(kit.policy(HOST, *pins, **fields))
    return PinnedSSLContext(pin_set, clock=lambda: now, on_failure=hooks)


def test_enforce_refuses(trusted_root: Path, server: Identity) -> None:
    with pytest.raises(PinMismatchError):
        connect(pinned(mode="enforce"), server)


def test_report_accepts_and_reports(
    trusted_root: Path, server: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    heard: queue.Queue[PinFailure] = queue.Queue()
    verdict = verdict_of(pinned(mode="report", hooks=[heard.put]), server)
    assert (verdict.decision, verdict.reason) == ("report", "mismatch")
    assert verdict.is_finding
    failure = heard.get(timeout=30)
    assert (failure.decision, failure.error) == ("report", None)
    assert failure.verdict is verdict
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "only reports" in record.message


def test_report_reports_each_connection(
    trusted_root: Path, server: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    context = pinned(mode="report")
    for _ in range(3):
        connect(context, server)
    assert len(caplog.records) == 3


def test_report_with_a_matching_pin_reports_nothing(
    trusted_root: Path, server: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    assert verdict_of(pinned(server.pin, mode="report"), server).decision == "accept"
    assert not caplog.records


def test_report_never_disables_verification(trusted_root: Path) -> None:
    import ssl

    with pytest.raises(ssl.SSLCertVerificationError, match=r"self-signed|unable to get local"):
        connect(pinned(mode="report"), Authority("Stranger").issue(HOST))


LEAF, INTERMEDIATE, ROOT = "leaf", "intermediate", "root"


@pytest.fixture
def places(
    trusted_root: Path, root: Authority, intermediate: Authority, server: Identity
) -> dict[str, Pin]:
    """Return the pins of the certificates in the server's path, by their place in it."""
    return {LEAF: server.pin, INTERMEDIATE: intermediate.pin, ROOT: root.pin}


@pytest.mark.parametrize(
    ("match", "place", "accepted"),
    [
        ("any", LEAF, True),
        ("any", INTERMEDIATE, True),
        ("any", ROOT, True),
        ("leaf", LEAF, True),
        ("leaf", INTERMEDIATE, False),
        ("leaf", ROOT, False),
        ("ca", LEAF, False),
        ("ca", INTERMEDIATE, True),
        ("ca", ROOT, True),
    ],
)
def test_match_selects_the_positions_in_the_path(
    places: dict[str, Pin], server: Identity, match: str, place: str, accepted: bool
) -> None:
    context = pinned(places[place], match=match)
    if accepted:
        assert verdict_of(context, server).matched.pin == places[place]
        return
    with pytest.raises(PinMismatchError, match='write match = "any"'):
        connect(context, server)


@pytest.mark.parametrize("on_expiry", ["fail-closed", "fail-open", "report"])
def test_a_policy_is_enforced_until_its_expiry_whatever_on_expiry_is(
    trusted_root: Path, server: Identity, on_expiry: str
) -> None:
    verdict = verdict_of(pinned(server.pin, expires=EXPIRES, on_expiry=on_expiry), server)
    assert verdict.reason == "match"
    with pytest.raises(PinMismatchError):
        connect(pinned(expires=EXPIRES, on_expiry=on_expiry), server)


def test_fail_closed_refuses_after_expiry_although_a_pin_matches(
    trusted_root: Path, server: Identity
) -> None:
    context = pinned(server.pin, now=EXPIRES, expires=EXPIRES)
    with pytest.raises(PinSetExpiredError, match="held until 2027-06-01") as caught:
        connect(context, server)
    assert "ship a newer pin set" in caught.value.fix


def test_fail_closed_is_the_default(trusted_root: Path) -> None:
    assert kit.policy(HOST).on_expiry == "fail-closed"


def test_fail_open_accepts_and_reports_after_expiry(
    trusted_root: Path, server: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    verdict = verdict_of(pinned(now=EXPIRES, expires=EXPIRES, on_expiry="fail-open"), server)
    assert (verdict.decision, verdict.reason) == ("accept", "expired")
    assert [record.certpin["reason"] for record in caplog.records] == ["expired"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("matching", [True, False])
def test_report_on_expiry_accepts_and_reports_only_mismatches(
    trusted_root: Path, server: Identity, matching: bool, caplog: pytest.LogCaptureFixture
) -> None:
    pins = [server.pin] if matching else []
    context = pinned(*pins, now=EXPIRES, expires=EXPIRES, on_expiry="report")
    verdict = verdict_of(context, server)
    assert verdict.decision == ("accept" if matching else "report")
    assert len(caplog.records) == (0 if matching else 1)


def test_a_report_only_policy_does_not_refuse_after_expiry(
    trusted_root: Path, server: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    context = pinned(server.pin, now=EXPIRES, expires=EXPIRES, mode="report")
    verdict = verdict_of(context, server)
    assert (verdict.decision, verdict.reason) == ("report", "expired")
    assert len(caplog.records) == 1


def test_pins_without_an_expiry_never_expire(trusted_root: Path, server: Identity) -> None:
    connect(pinned(server.pin, now=datetime(9999, 1, 1, tzinfo=UTC)), server)


@pytest.mark.slow
def test_asyncio_applies_each_hosts_policy_to_concurrent_connections(
    trusted_root: Path, intermediate: Authority
) -> None:
    """Hosts with even numbers serve the pinned key, and are accepted.

    Hosts with odd numbers are pinned to the key of another host, and are refused.
    """
    names = [f"host-{number}.example" for number in range(12)]
    served = [intermediate.issue(name) for name in names]
    keys = [each.pin for each in served]
    wanted = [keys[n] if n % 2 == 0 else keys[n - 1] for n in range(len(names))]
    pins = kit.pin_set(*map(kit.policy, names, wanted))
    context = PinnedSSLContext(pins)

    async def ask(name: str, port: int) -> bytes | str:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname=name
            )
        except PinMismatchError as exc:
            return exc.host
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer[:12]

    async def ask_all(ports: list[int]) -> list[bytes | str]:
        return await asyncio.gather(*map(ask, names, ports))

    with ExitStack() as stack:
        servers = [stack.enter_context(LabServer(identity)) for identity in served]
        answers = asyncio.run(ask_all([each.port for each in servers]))
        for each in servers:
            each.wait_for(1)
        heard = [b"".join(each.received) for each in servers]
    for number, name in enumerate(names):
        fits = number % 2 == 0
        assert answers[number] == (b"HTTP/1.1 200" if fits else name)
        assert bool(heard[number]) is fits

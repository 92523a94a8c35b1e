"""Rule 13: a path that contains a compromised key is refused, whatever else matches."""

from __future__ import annotations

import queue
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from certpin import HostPin, PinFailure, PinMismatchError, PinnedSSLContext
from tests import kit
from tests.tls._handshakes import HOST, Wire, connect, verdict_of

if TYPE_CHECKING:
    from pathlib import Path

    from certpin import Pin
    from certpin.lab import Authority, Identity
    from certpin.pinfile import PinSet

EXPIRED = datetime(2027, 6, 1, tzinfo=UTC)
AFTER = datetime(2027, 6, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def server(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


def pins(live: Pin, *compromised: Pin, version: int = 1, **fields: Any) -> PinSet:
    """Return a pin set for ``HOST`` with the pin ``live`` and pins of compromised keys."""
    policy = kit.policy(HOST, live, **fields)
    dead = tuple(HostPin(pin, state="compromised") for pin in compromised)
    return kit.pin_set(replace(policy, pins=policy.pins + dead), version=version)


@pytest.mark.parametrize("on_expiry", ["fail-closed", "fail-open", "report"])
@pytest.mark.parametrize("expires", [None, EXPIRED])
def test_a_compromised_key_is_refused_although_the_root_is_pinned(
    trusted_root: Path, root: Authority, server: Identity, expires: datetime | None, on_expiry: str
) -> None:
    pin_set = pins(root.pin, server.pin, expires=expires, on_expiry=on_expiry)
    context = PinnedSSLContext(pin_set, clock=lambda: AFTER)
    with pytest.raises(PinMismatchError, match="contains a key marked compromised") as caught:
        connect(context, server)
    assert caught.value.verdict.reason == "compromised-key"
    assert str(server.pin) in caught.value.fix


def test_an_authority_is_refused_although_the_leaf_is_pinned(
    trusted_root: Path, intermediate: Authority, server: Identity
) -> None:
    context = PinnedSSLContext(pins(server.pin, intermediate.pin, match="leaf"))
    with pytest.raises(PinMismatchError, match="contains a key marked compromised"):
        connect(context, server)


def test_report_mode_accepts_and_reports_a_compromised_key(
    trusted_root: Path, root: Authority, server: Identity
) -> None:
    heard: queue.Queue[PinFailure] = queue.Queue()
    pin_set = pins(root.pin, server.pin, mode="report")
    verdict = verdict_of(PinnedSSLContext(pin_set, on_failure=[heard.put]), server)
    assert (verdict.decision, verdict.reason) == ("report", "compromised-key")
    failure = heard.get(timeout=30)
    assert (failure.decision, failure.reason) == ("report", "compromised-key")


def test_a_session_from_before_the_compromise_is_refused(
    trusted_root: Path, root: Authority, server: Identity
) -> None:
    context = PinnedSSLContext(pins(root.pin))
    wire = Wire(context, server).shake()
    wire.answer()
    session = wire.client.session
    context.swap(pins(root.pin, server.pin, version=2))
    with pytest.raises(PinMismatchError, match="contains a key marked compromised"):
        Wire(context, server, session=session).shake()


def test_another_key_of_the_same_authority_is_accepted(
    trusted_root: Path, root: Authority, intermediate: Authority, server: Identity
) -> None:
    verdict = verdict_of(PinnedSSLContext(pins(root.pin, server.pin)), intermediate.issue(HOST))
    assert (verdict.decision, verdict.reason) == ("accept", "match")

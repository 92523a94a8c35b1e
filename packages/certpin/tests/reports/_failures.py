"""Pin failures as a pinned TLS context passes them to hooks, made without a connection."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.serialization import Encoding

from certpin import Chain, PinFailure, verify
from certpin.lab import Authority
from tests import kit

if TYPE_CHECKING:
    from certpin.lab import Identity

HOST = "api.bank.test"
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that a test sets: calling the object returns ``now``, and ``pass_by`` advances it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


@cache
def stranger() -> Identity:
    """Return a certificate and key for ``HOST`` from an authority that no one trusts or pins."""
    return Authority("Rogue Root").issue(HOST)


def failure(*report_to: str, host: str = HOST, at: datetime = NOW, **fields: Any) -> PinFailure:
    """Return the failure of a connection with a chain that the pins of ``host`` refuse.

    Args:
        report_to: the report addresses in the host's policy.
        host: the host of the connection.
        at: the time of the failure.
        fields: other fields of ``PinFailure`` to set.
    """
    policy = kit.policy(host, report_to=report_to, expires=datetime(2027, 6, 1, tzinfo=UTC))
    served = tuple(each.public_bytes(Encoding.DER) for each in stranger().chain)
    chain = Chain.from_der(served)
    verdict = verify(chain, policy, NOW)
    refused = PinFailure(
        host=host,
        decision="refuse",
        reason="mismatch",
        at=at,
        pin_set="bank-app",
        pin_set_version=12,
        verdict=verdict,
        policy=policy,
        served=served,
    )
    return replace(refused, **fields)

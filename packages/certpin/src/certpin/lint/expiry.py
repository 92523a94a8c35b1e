"""Lint rules for pins that never expire, have expired, or expire too early or too late."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from certpin.lint.rule import HEAD, HERE, HOST, NAME, PINS, Hit, LintRule
from certpin.pins.policy import expiry_effect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import LintDocument

_LONGEST = timedelta(days=731)


@partial(
    LintRule,
    "expired",
    "error",
    summary="The pins have expired.",
    why=(
        "After its expiry a host does what on_expiry says: refuse everything (fail-closed), or "
        "accept everything that the platform trusts (fail-open, report). Neither is pinning."
    ),
    fix=(
        "check that the pins still match (certpin check), give the host a later expires, raise "
        "the version, and ship it"
    ),
    source="RFC 7469 section 2.3.3 (effective expiration date)",
    bad=f"{HEAD}{NAME}expires = 2027-02-01{HERE}\n{PINS}",
    good=f"{HEAD}{NAME}expires = 2027-09-01\n{PINS}",
)
def _expired(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.expires and host.is_expired(now):
            effect = expiry_effect(host.mode, host.on_expiry)
            message = f"the pins of {host} expired on {host.expires:%Y-%m-%d}: clients {effect}"
            yield Hit(f"{host.key}.expires", message)


@partial(
    LintRule,
    "expires-too-soon",
    "error",
    summary="The pins expire before every client can have newer ones.",
    why=(
        "A client gets a new pin set only after T_adopt: the sum of the cache times of the CDN and "
        "of the client, the poll interval, the time until the user opens the app again, and the "
        "difference of clocks. If the pins expire earlier, slow clients are locked out (or, with "
        "fail-open, unprotected). Give the time that your clients need with --adoption-days. Hosts "
        'with mode = "report" are left out: their expiry only ends a trial.'
    ),
    fix=(
        "ship a pin set with a later expires now, or state how fast your clients update: "
        "--adoption-days N"
    ),
    source="RFC 7469 section 4.1 (how long to pin)",
    bad=f"{HEAD}{NAME}expires = 2027-03-15{HERE}\n{PINS}",
    good=f"{HEAD}{NAME}expires = 2027-06-01\n{PINS}",
)
def _expires_too_soon(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if not host.expires or not host.expires.tzinfo or host.mode == "report":
            continue
        left = host.expires - now
        if timedelta(0) < left <= timedelta(days=document.adoption_days):
            adoption = f"and clients need {document.adoption_days} days to adopt new ones"
            message = f"the pins of {host} expire in {left.days} days, {adoption}"
            yield Hit(f"{host.key}.expires", message)


@partial(
    LintRule,
    "expires-too-late",
    "note",
    summary="The pins expire more than two years from now.",
    why=(
        "An expiry makes a team review the pins in time. If it is further ahead than keys and "
        "authorities last, the people who know about it may have left by then."
    ),
    fix=(
        "choose an expiry within the life of the app version, for example a year, and move it with "
        "each release"
    ),
    source="RFC 7469 section 4.1; Chromium ends its static pins ten weeks after a build",
    bad=f"{HEAD}{NAME}expires = 2037-01-01{HERE}\n{PINS}",
    good=f"{HEAD}{NAME}expires = 2028-03-01\n{PINS}",
)
def _expires_too_late(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.expires and host.expires.tzinfo and host.expires - now > _LONGEST:
            day = f"{host.expires:%Y-%m-%d}"
            message = f"the pins of {host} expire on {day}, more than two years from now"
            yield Hit(f"{host.key}.expires", message)


@partial(
    LintRule,
    "no-expiry",
    "note",
    summary="An enforced host has no expiry.",
    why=(
        "A client that is never updated keeps its pins forever. When the last of their keys is "
        "retired, the client is locked out, and no warning has announced that day."
    ),
    fix=(
        "write expires = YYYY-MM-DD, a date by which you will have shipped newer pins; "
        "on_expiry defines what old clients do then"
    ),
    source=(
        "RFC 7469 section 4.1; Android network security config (expiration); TrustKit "
        "(kTSKExpirationDate)"
    ),
    bad=f'{HEAD}\n[[host]]{HERE}\nname = "api.bank.example"\n{PINS}',
    good=f"{HEAD}{HOST}{PINS}",
)
def _no_expiry(document: LintDocument, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        if host.mode == "enforce" and "expires" not in host.data:
            yield Hit(f"{host.key}.expires", f"the pins of {host} never expire")

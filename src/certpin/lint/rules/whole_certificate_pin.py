"""A pin of a certificate, not of its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.lint.examples import HEAD, HERE, HOST, PINS
from certpin.lint.rule import Hit, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from certpin.lint.document import Document


def _check(document: Document, now: datetime) -> Iterator[Hit]:
    for host in document.hosts:
        for pin, entry in host.live.items():
            if pin.kind == "cert-sha256":
                yield Hit(
                    f"{entry.key}.pin",
                    f"{host} pins a whole certificate, which ends with its renewal",
                )


RULE = Rule(
    id="whole-certificate-pin",
    severity="warning",
    summary="A whole certificate is pinned (cert-sha256) instead of its key.",
    why=(
        "Any renewal makes another certificate, also with the same key: the pin then matches "
        "nothing. Public certificates live 200 days at most since 2026-03-15, 100 from "
        "2027-03-15, and 47 from 2029-03-15."
    ),
    fix=(
        "pin the key instead (sha256/…, certpin pin HOST prints it), and keep that key through "
        "renewals"
    ),
    source="CA/B Forum SC-081v3; RFC 7469 section 2.4; OWASP Pinning Cheat Sheet",
    check=_check,
    bad=f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "cert-sha256/WHOLE"{HERE}\n',
    good=f'{HEAD}{HOST}{PINS}\n[[host.pin]]\npin = "sha256/THREE"\n',
)

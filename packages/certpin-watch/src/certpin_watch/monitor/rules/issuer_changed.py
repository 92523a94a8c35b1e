"""A server's certificate comes from another authority than before."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.x509 import name_of
from certpin_watch.monitor.case import chain_details
from certpin_watch.monitor.rules.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.x509 import Chain
    from certpin_watch.finding import Finding, Severity
    from certpin_watch.monitor.case import Case

ID = "issuer-changed"


def _look(case: Case) -> Iterator[Finding]:
    for look, chain in case.verified:
        if look.before is None or case.now - look.changed > case.settings.changes:
            continue
        if (severity := _severity(look.before, chain)) is None:
            continue
        old, new = _issuer(look.before), _issuer(chain)
        yield case.finding(
            ID,
            severity,
            f"{look.where}: its certificate is issued by {new}, and was by {old}",
            case.check(look),
            subject=f"{look.where} {new}",
            vantage=look.vantage,
            address=look.edge or look.address,
            since=int(look.changed.timestamp()),
            before=chain_details(look.before),
            after=chain_details(chain),
        )


def _severity(before: Chain, after: Chain) -> Severity | None:
    """Another root is another authority. Another intermediate below it is what renewals bring."""
    if before.certificates[-1].spki_sha256 != after.certificates[-1].spki_sha256:
        return "warning"
    keys = [[each.spki_sha256 for each in chain.authorities] for chain in (before, after)]
    return "info" if keys[0] != keys[1] or _issuer(before) != _issuer(after) else None


def _issuer(chain: Chain) -> str:
    with suppress(CertificateParseError):
        return chain.leaf.issuer[:200]
    return name_of(chain.certificates[-1])


RULE = Rule(
    ID,
    "a server's certificate comes from another authority than before",
    "A pinned authority may not be in the path any more; or somebody got a certificate for that "
    "name elsewhere. Another intermediate below the same root is told as information.",
    case=_look,
)

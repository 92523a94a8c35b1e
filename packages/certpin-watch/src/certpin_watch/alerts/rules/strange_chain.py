"""``strange-chain``: clients meet a chain that no pins accept, and that no location ever saw.

It may be an attack, or a proxy of a company or a virus scanner: either reads the traffic of every
client that does not refuse it. It may be invented, too, unless an authority issued it for the
host: that is critical as soon as a few clients report it. Any other chain is critical only if many
networks report it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.x509 import printable
from certpin_watch.alerts.rules._counting import (
    by_host,
    by_word,
    clients,
    command,
    networks,
    shares,
    top,
    total,
)
from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin_watch.alerts.evidence import Evidence, Group
    from certpin_watch.finding import Severity

_MANY = 100  # reports a day
_LARGE = 0.01  # of all clients

_WHERE = {
    "network": "in the network",
    "app_version": "with the app version",
}


def find(evidence: Evidence) -> Iterator[Finding]:
    """One finding a host, however many chains there are: whoever reports chooses their number."""
    strange = [each for each in evidence.groups if is_strange(evidence, each)]
    for host, groups in by_host(strange).items():
        watched = evidence.watched(host)
        if watched is None or total(groups) < evidence.settings.few:
            continue
        name = watched.pins.name
        touched = clients(evidence, groups, name)
        vouched = [each for each in groups if (host, each.chain) in evidence.vouched]
        yield Finding(
            "strange-chain",
            _severity(evidence, groups, vouched, touched, name),
            host,
            name,
            _summary(evidence, groups, vouched, touched, name),
            command("pin", host),
            {
                "clients": touched,
                "reports": total(groups),
                "chains": [[each.chain.hex(), each.reports] for each in _largest(groups)],
                "networks": top(groups, "network"),
                "told_from": networks(evidence, host, groups),
                "authority": bool(vouched),
                "app_versions": top(groups, "app_version"),
                "refused_by_platform": total(each for each in groups if each.unverified),
                "let_through": total(each for each in groups if each.decision != "refuse"),
            },
        )


def is_strange(evidence: Evidence, group: Group) -> bool:
    """Whether nobody but clients knows the chain. One that cannot be read is not judged."""
    key = (group.host, group.chain)
    seen = {(group.host, group.served), (group.host, group.verified)} & evidence.sighted
    return key in evidence.strange and not seen


def _severity(
    evidence: Evidence,
    groups: Sequence[Group],
    vouched: Sequence[Group],
    touched: int | None,
    name: str,
) -> Severity:
    """By what confirms it. Of what is only told: many, a good part of all, or let through."""
    if total(vouched) >= evidence.settings.few:
        return "critical"
    holding = evidence.holding(name)
    large = touched is not None and holding is not None and touched > _LARGE * holding
    passed = any(each.decision != "refuse" for each in groups)
    if not (total(groups) >= _MANY or large or passed):
        return "warning"
    return by_word(evidence, networks(evidence, groups[0].host, groups))


def _summary(
    evidence: Evidence,
    groups: Sequence[Group],
    vouched: Sequence[Group],
    touched: int | None,
    name: str,
) -> str:
    issuer = evidence.issuers.get(_largest(vouched or groups)[0].chain, "")
    holding = evidence.holding(name)
    parts = [
        (
            f"{total(groups)} reports in a day of a chain that no version of the pins accepts, and "
            "no vantage saw; it may be an attack"
        ),
        "an authority did issue it for this host" if vouched else "",
        f"the leaf says it is issued by {printable(issuer[:120])}" if issuer else "",
        _told(networks(evidence, groups[0].host, groups)),
        _refused_by_platform(groups),
        shares(groups, _WHERE),
        f"at most {_percent(touched, holding)} % of all clients" if holding else "",
    ]
    return "; ".join(each for each in parts if each)


def _told(number: int) -> str:
    if not number:
        return ""
    return "told from one provider's network" if number == 1 else f"told from {number} networks"


def _refused_by_platform(groups: Sequence[Group]) -> str:
    """Such a chain fools no client, pinned or not; one below an authority on the device might."""
    share = round(100 * total(each for each in groups if each.unverified) / (total(groups) or 1))
    return f"in {share} % of them the platform itself refuses it" if share else ""


def _percent(touched: int | None, holding: int) -> str:
    return f"{100 * (touched or 0) / holding:.2g}"


def _largest(groups: Sequence[Group]) -> list[Group]:
    return sorted(groups, key=lambda each: (-each.reports, each.chain))[:5]

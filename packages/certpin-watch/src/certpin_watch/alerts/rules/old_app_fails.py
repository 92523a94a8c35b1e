"""``old-app-fails``: an old version of an app is refused, and newer ones are not.

The server's own chain, met by pins that are too old for it: a mistake of a rotation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.x509 import printable
from certpin_watch.alerts.rules._counting import by_host, by_word, command, networks, total
from certpin_watch.alerts.rules.strange_chain import is_strange
from certpin_watch.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from certpin_watch.alerts.evidence import Evidence, Group
    from certpin_watch.snapshot import WatchedSet

_MOST = 10  # versions that are named


def find(evidence: Evidence) -> Iterator[Finding]:
    """By host and app, of refusals by a chain that is not strange."""
    refused = [
        each
        for each in evidence.groups
        if _by_its_pins(each) and each.app_version and not is_strange(evidence, each)
    ]
    for host, groups in by_host(refused).items():
        watched = evidence.watched(host)
        for app in sorted({each.app for each in groups}) if watched else ():
            assert watched is not None  # noqa: S101  # as the line above says
            yield from _of(evidence, watched, [each for each in groups if each.app == app])


def _by_its_pins(group: Group) -> bool:
    """A clock that is wrong says nothing of the pins. What a client does not trust may: the anchors
    of `trust` are pins, and some clients have no other word.
    """
    return group.decision == "refuse" and (group.reason == "untrusted" or not group.unverified)


def _of(evidence: Evidence, watched: WatchedSet, groups: Sequence[Group]) -> Iterator[Finding]:
    few, name = evidence.settings.few, watched.pins.name
    counts: dict[str, int] = {}
    for each in groups:
        counts[each.app_version] = counts.get(each.app_version, 0) + each.reports
    failing = {version for version, count in counts.items() if count >= few}
    app, host = groups[0].app, groups[0].host
    held = _held(evidence, name, app)
    fine = {each for each, count in held.items() if count >= few and counts.get(each, 0) < few}
    if not failing or not fine or max(map(order, failing)) >= min(map(order, fine)):
        return
    versions = sorted(failing, key=order)[-_MOST:]
    known = [held[each] for each in versions if each in held]
    yield Finding(
        "old-app-fails",
        by_word(evidence, networks(evidence, host, _among(groups, failing))),
        host,
        name,
        f"only old versions of {printable(app) or 'the app'} are refused: "
        f"{', '.join(map(printable, versions))}; newer ones are not. {total(groups)} reports in a "
        "day; their pins, or what they trust, are too old for what the server shows",
        command("rotate", "status", pins=watched.path),
        {
            "clients": sum(known) if known else None,
            "app": app[:60],
            "app_versions": versions,
            "versions": sorted({each.version for each in groups if each.version})[:20],
        },
        subject=app[:60],
    )


def _among(groups: Iterable[Group], versions: set[str]) -> list[Group]:
    return [each for each in groups if each.app_version in versions]


def _held(evidence: Evidence, name: str, app: str) -> dict[str, int]:
    """How many clients have each version of an app."""
    held: dict[str, int] = {}
    for each in evidence.holders:
        if (each.pin_set, each.app) == (name, app):
            held[each.app_version] = held.get(each.app_version, 0) + each.clients
    return held


def order(version: str) -> tuple[tuple[int, str], ...]:
    """Versions in their order: 3.10 comes after 3.9."""
    parts = re.findall(r"[0-9]{1,9}|[^0-9.]+", version)
    return tuple((int(each), "") if each.isdigit() else (-1, each) for each in parts)

"""What silences and services may name: a name that is misspelt would match nothing, and say so.

Rules are known, so another name is refused. Hosts are not: a pattern may be on its way into a pin
file. A name that no pin file has is let pass, with a doubt that whoever wrote it should read.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

from certpin.errors import HostError, InputError
from certpin.pins.hosts import normalise
from certpin.x509 import printable
from certpin_watch.alerts.routing import covers
from certpin_watch.alerts.rules import RULES as OF_REPORTS
from certpin_watch.monitor.rules import RULES as OF_PROBES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import HostPattern
    from certpin_watch.settings import ServiceSettings
    from certpin_watch.snapshot import Snapshot

_SHOWN = 80  # characters of a name that is not known
_MOST = 1000  # names among which the nearest is looked for: it is not cheap


@cache
def rule_names() -> tuple[str, ...]:
    """The rules over reports and over what the monitor sees."""
    return tuple(sorted({*OF_REPORTS, *(rule.id for rule in OF_PROBES)}))


def check_rule(name: str) -> None:
    """Refuse a rule that there is not. Raises ``InputError``, with the nearest and all names."""
    if name in rule_names():
        return
    near = get_close_matches(name[:_SHOWN], rule_names(), n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise InputError(
        f"there is no rule {printable(name[:_SHOWN])}",
        fix=f"{hint}There are {', '.join(rule_names())}",
    )


def doubt(host: str, snapshot: Snapshot) -> str:
    """Why a silence of a host may match nothing, or empty. Without a pin file, nothing is doubted.

    An alert names the pattern of the pin file; one over what apps report, the host itself.
    """
    patterns = _patterns(snapshot)
    if not patterns or host in map(str, patterns):
        return ""
    if over := sorted(str(each) for each in patterns if _matches(each, host)):
        return (
            f"what the monitor finds is told of {over[0]}: {printable(host[:_SHOWN])} is named by "
            "alerts over what apps report alone"
        )
    near = get_close_matches(host[:_SHOWN], sorted(map(str, patterns))[:_MOST], n=1)
    hint = f": did you mean {near[0]}?" if near else ""
    return f"no pin file that is watched has {printable(host[:_SHOWN])}{hint}"


def doubts(settings: ServiceSettings, snapshot: Snapshot) -> Iterator[str]:
    """The same about the hosts that settings name: of services, and those to ask."""
    patterns = _patterns(snapshot)
    if not patterns:
        return
    named = [(f"monitor.host {each.name}", each.name) for each in settings.monitor.hosts]
    named += [
        (f"alerts.tell {each.name}", host) for each in settings.alerts.tell for host in each.hosts
    ]
    for where, host in named:
        if not any(_matches(each, host) or covers(host, str(each)) for each in patterns):
            yield f"{where}: {doubt(host, snapshot)}"


def _patterns(snapshot: Snapshot) -> frozenset[HostPattern]:
    """Those of the files, and of each version that ever went out: some client may hold it."""
    versions = [version.pins for each in snapshot.sets for version in each.field.versions]
    return frozenset(
        policy.pattern
        for pins in (*(each.pins for each in snapshot.sets), *versions)
        for policy in pins.policies
    )


def _matches(pattern: HostPattern, host: str) -> bool:
    try:
        return pattern.matches(normalise(host))
    except HostError:
        return False

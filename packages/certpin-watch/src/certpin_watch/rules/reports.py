"""Alert rules about the failures that clients report.

Reports are unverified claims: any machine that can reach the collector can send any number of them.
So a problem that no probe confirms is critical only if reports come from many networks
(docs/decisions/0032).
"""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from certpin.support.text import counted, printable
from certpin_watch.monitor.targets import server_words
from certpin_watch.rules.evidence import HISTORY
from certpin_watch.rules.rule import AlertFinding, AlertRule
from certpin_watch.store.identities import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from certpin_watch.rules.evidence import Evidence, ReportedFailures
    from certpin_watch.settings import Severity
    from certpin_watch.snapshot import MonitoredPinSet

# The 75th percentile of a host's week is the usual number: the hours of a day differ, and a surge
# of one day must not become usual.
_USUAL_QUANTILE = 0.75
_MANY_REPORTS = 100  # a day
_LARGE_PART = 0.01  # of all clients
_MAX_APP_VERSIONS = 10  # that a finding names
_MIN_HOURS = 24  # of the week with reports: with less, silence means nothing
_MAX_VALUES = 5
_MAX_VALUE = 60  # characters

_NETWORK = {"network": "in the network"}
_APP_VERSION = {"app_version": "with the app version"}


@partial(
    AlertRule,
    "failures-surge",
    ("critical", "warning"),
    needs="reports",
    summary="a host has far more failures than usual",
    why=(
        "A server may present a wrong chain, or clients of a network may be under attack. The hour "
        "has more than `surge` times the 75th percentile of the last week, and than four times "
        "`few`."
    ),
)
def _failures_surge(evidence: Evidence) -> Iterator[AlertFinding]:
    """Yield a finding (a problem) for each host with an unusual number of failure reports.

    That is far more reports in an hour than usual. Of the current and the previous hour, the one
    with more reports is compared with the hours of the week before. ``evidence`` has the facts that
    all alert rules use, such as the counted reports.
    """
    reports, limits = evidence.reports, evidence.limits
    this = evidence.now - evidence.now % HOUR
    for host, hours in sorted(reports.hours.items()):
        monitored = reports.pin_set_for(host)
        now = max(hours.get(this, 0), hours.get(this - HOUR, 0))
        usual = _usual_failures(hours, this - HOUR)
        if monitored is None or not _is_surge(now, usual, evidence):
            continue
        groups = [group for group in reports.groups if group.host == host]
        shares = _shares(groups, _NETWORK | _APP_VERSION)
        is_large = now >= 10 * max(usual, limits.few)
        networks = reports.spread.get(reports.share_of(host), 0)
        yield AlertFinding(
            "failures-surge",
            _claim_severity(evidence, networks) if is_large else "warning",
            host,
            monitored.pins.name,
            f"{counted(now, 'failure')} in an hour, {usual} {'is' if usual == 1 else 'are'} usual"
            + (f"; in the last day {shares}" if shares else ""),
            _check_command(evidence, monitored, host),
            {
                "hour": now,
                "usual": usual,
                "clients": _max_clients(evidence, groups, monitored),
                "told_from": networks,
            },
        )


def _usual_failures(hours: Mapping[int, int], before: int) -> int:
    """Return the usual number of a host's failure reports in an hour.

    Three quarters of the hours in a week have this number of reports, or fewer.

    Args:
        hours: the number of reports in each hour, by the first second of the hour. An hour that is
            missing had no report.
        before: the end of the week, in Unix seconds.
    """
    week = sorted(hours.get(before - n * HOUR, 0) for n in range(1, HISTORY // HOUR))
    return week[int(len(week) * _USUAL_QUANTILE)]


def _is_surge(now: int, usual: int, evidence: Evidence) -> bool:
    """Return True if the failure reports of one hour (``now``) are far more than usual.

    There must be more than ``limits.surge`` times ``usual``, more than ``usual`` plus three
    standard deviations (Poisson: three times the square root of ``usual``), and at least ``4 *
    limits.few``. ``surge`` and ``few`` are settings.

    Args:
        now: the number of failure reports in the hour.
        usual: the usual number in an hour.
        evidence: has the settings in ``limits``.
    """
    limits = evidence.limits
    chance = usual + 3 * math.sqrt(usual)
    return now >= 4 * limits.few and now > max(limits.surge * usual, chance)


@partial(
    AlertRule,
    "strange-chain",
    ("critical", "warning"),
    needs="reports",
    summary="clients meet a chain that no pins accept and that no location ever saw",
    why=(
        "It may be an attack, or the proxy of a company or a virus scanner: either reads the "
        "traffic of every client that does not refuse it. It may also be invented, unless an "
        "authority issued it for the host: then a few reports make it critical. Any other chain "
        "is critical only if many networks report it."
    ),
)
def _strange_chain(evidence: Evidence) -> Iterator[AlertFinding]:
    """Yield one finding (a problem) for each host for which clients report strange chains.

    A chain is strange if no pins match it and no probe observed it (``ReportEvidence.is_strange``).
    All strange chains of a host are in one finding: otherwise a sender of false reports could cause
    any number of findings. ``evidence`` has the facts that all alert rules use, such as the counted
    reports.
    """
    reports = evidence.reports
    strange = [group for group in reports.groups if reports.is_strange(group)]
    for host, groups in _by_host(strange).items():
        monitored = reports.pin_set_for(host)
        if monitored is None or _total(groups) < evidence.limits.few:
            continue
        holders = reports.count_holders(monitored.pins.name)
        clients = _max_clients(evidence, groups, monitored)
        reach = _Reach(_total(groups), clients, holders, _count_networks(evidence, groups))
        issued = [group for group in groups if (host, group.chain) in reports.issued]
        yield AlertFinding(
            "strange-chain",
            _strange_severity(evidence, groups, issued, reach),
            host,
            monitored.pins.name,
            _strange_summary(evidence, groups, issued, reach),
            _check_command(evidence, monitored, host),
            {
                "clients": clients,
                "reports": reach.reports,
                "chains": [[group.chain.hex(), group.reports] for group in _largest(groups)],
                "networks": _top(groups, "network"),
                "told_from": reach.networks,
                "authority": bool(issued),
                "app_versions": _top(groups, "app_version"),
                "refused_by_platform": _total(group for group in groups if group.unverified),
                "let_through": _total(group for group in groups if group.decision != "refuse"),
            },
        )


class _Reach(NamedTuple):
    """The numbers of reports, clients and networks that one reported problem concerns.

    Attributes:
        reports: the number of reports.
        clients: the largest possible number of clients that sent them; None if unknown.
        holders: the number of all clients of the pin set; None if unknown.
        networks: the number of internet providers' networks that the reports came from.
    """

    reports: int
    clients: int | None
    holders: int | None
    networks: int


def _strange_severity(
    evidence: Evidence,
    groups: Sequence[ReportedFailures],
    issued: Sequence[ReportedFailures],
    reach: _Reach,
) -> Severity:
    """Return the severity of reports about one host with strange chains, which no pins match.

    It is "critical" if at least ``limits.few`` reports have a chain that a trusted authority issued
    for the host. It is also "critical" if at least ``limits.networks`` networks report strange
    chains, and one of these is true: there are ``_MANY_REPORTS`` reports, more than the share
    ``_LARGE_PART`` of all clients is affected, or a client accepted such a chain. Otherwise it is
    "warning".

    Args:
        evidence: has the thresholds in ``limits``.
        groups: all of these reports, identical ones in one group.
        issued: the groups with a chain that a trusted authority issued for the host.
        reach: how many clients and networks sent the reports.
    """
    if _total(issued) >= evidence.limits.few:
        return "critical"
    clients, holders = reach.clients, reach.holders
    is_large = holders is not None and clients is not None and clients > _LARGE_PART * holders
    let_through = any(group.decision != "refuse" for group in groups)
    if not (reach.reports >= _MANY_REPORTS or is_large or let_through):
        return "warning"
    return _claim_severity(evidence, reach.networks)


def _strange_summary(
    evidence: Evidence,
    groups: Sequence[ReportedFailures],
    issued: Sequence[ReportedFailures],
    reach: _Reach,
) -> str:
    issuer = evidence.reports.issuers.get(_largest(issued or groups)[0].chain, "")
    parts = [
        (
            f"{counted(reach.reports, 'report')} in a day of a chain that no version of the pins "
            "accepts and no location saw; it may be an attack"
        ),
        "an authority did issue it for this host" if issued else "",
        f"the issuer named in the leaf is {printable(issuer[:120])}" if issuer else "",
        _networks_text(reach.networks),
        _platform_text(groups),
        _shares(groups, _NETWORK | _APP_VERSION),
        f"at most {_percent((reach.clients or 0) / reach.holders)} of all clients"
        if reach.holders
        else "",
    ]
    return "; ".join(part for part in parts if part)


def _networks_text(number: int) -> str:
    if not number:
        return ""
    return f"reported from {number} networks" if number > 1 else "reported from one network"


def _platform_text(groups: Sequence[ReportedFailures]) -> str:
    """Return a phrase with the share of reports in which the client's platform refused the chain.

    The platform is the TLS library of the operating system, which decides without regard to pins. A
    chain that it refuses can't deceive the client. The phrase is empty if the share is below half a
    per cent. ``groups`` are the reports, identical ones in one group.
    """
    refused = _total(group for group in groups if group.unverified)
    share = round(100 * refused / (_total(groups) or 1))
    return f"in {share} % of them the platform itself refuses it" if share else ""


def _largest(groups: Sequence[ReportedFailures]) -> list[ReportedFailures]:
    return sorted(groups, key=lambda group: (-group.reports, group.chain))[:5]


@partial(
    AlertRule,
    "old-app-fails",
    ("critical", "warning"),
    needs="reports",
    summary="an old version of an app is refused, and newer ones are not",
    why=(
        "The server presents its own chain, but the app's pins are too old for it. Go back to the "
        "former key until the apps are updated."
    ),
)
def _old_app_fails(evidence: Evidence) -> Iterator[AlertFinding]:
    reports = evidence.reports
    refused = [
        group
        for group in reports.groups
        if _is_refused_by_pins(group) and group.app_version and not reports.is_strange(group)
    ]
    for host, groups in _by_host(refused).items():
        if (monitored := reports.pin_set_for(host)) is None:
            continue
        for app in sorted({group.app for group in groups}):
            yield from _old_app(
                evidence, monitored, [group for group in groups if group.app == app]
            )


def _is_refused_by_pins(group: ReportedFailures) -> bool:
    """Return True if pins are possibly the reason why the clients in a group refused a server.

    The result is False if the clients did not refuse the server. It is also False if their platform
    (TLS library) refused the chain, because the platform usually decides without regard to pins.
    But with the reason "untrusted" the result is True: trust anchors in the pin file (``trust``)
    act as pins, and some clients report "untrusted" if a chain ends at none of these anchors.
    """
    return group.decision == "refuse" and (group.reason == "untrusted" or not group.unverified)


def _old_app(
    evidence: Evidence, monitored: MonitoredPinSet, groups: Sequence[ReportedFailures]
) -> Iterator[AlertFinding]:
    """Yield a finding (a problem) if old versions of an app refuse a host, and newer ones don't.

    At least ``limits.few`` reports must come from each failing version, and at least as many
    clients must have a working one, which sent fewer reports. All failing versions must be older
    than all working ones.

    Args:
        evidence: the numbers of clients by app version, and the settings.
        monitored: the pin set that covers the host.
        groups: the reports in which this app refused this host. There must be at least one.
    """
    few, app, host = evidence.limits.few, groups[0].app, groups[0].host
    counts: Counter[str] = Counter()
    for group in groups:
        counts[group.app_version] += group.reports
    failing = {version for version, count in counts.items() if count >= few}
    held = _clients_by_app_version(evidence, monitored.pins.name, app)
    working = {version for version, count in held.items() if count >= few and counts[version] < few}
    if not failing or not working or max(map(order, failing)) >= min(map(order, working)):
        return
    versions = sorted(failing, key=order)[-_MAX_APP_VERSIONS:]
    known = [held[version] for version in versions if version in held]
    failures = [group for group in groups if group.app_version in failing]
    yield AlertFinding(
        "old-app-fails",
        _claim_severity(evidence, _count_networks(evidence, failures)),
        host,
        monitored.pins.name,
        f"only old versions of {printable(app) or 'the app'} are refused: "
        f"{', '.join(map(printable, versions))}; newer ones are not. "
        f"{counted(_total(groups), 'report')} in a day; their pins or anchors are too old for the "
        "chain that the server presents",
        f"certpin rotate status --file {shlex.quote(str(monitored.path))}",
        {
            "clients": sum(known) if known else None,
            "app": app[:_MAX_VALUE],
            "app_versions": versions,
            "versions": _versions(groups),
        },
        subject=app[:_MAX_VALUE],
    )


def _clients_by_app_version(evidence: Evidence, pin_set: str, app: str) -> dict[str, int]:
    clients: Counter[str] = Counter()
    for entry in evidence.reports.holders:
        if (entry.pin_set, entry.app) == (pin_set, app):
            clients[entry.app_version] += entry.clients
    return dict(clients)


def order(version: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts app versions by number, so that 3.10 comes after 3.9.

    Any text has a key, even if it has no numbers, because clients choose the versions in their
    reports.
    """
    parts = re.findall(r"([0-9]{1,9})|([^0-9.]+)", version)
    return tuple((int(number), "") if number else (-1, text) for number, text in parts)


@partial(
    AlertRule,
    "would-lock-out",
    ("warning",),
    needs="reports",
    summary="clients only report chains that they would refuse if the pins were enforced",
    why='Find the reason before you set `mode = "enforce"`: these clients would be locked out.',
)
def _would_lock_out(evidence: Evidence) -> Iterator[AlertFinding]:
    """Yield a finding (a problem) for each host with chains that enforced pins would refuse.

    The policy of these clients is in report mode: they reported a failure, and accepted the chain
    all the same. Reports with a strange chain (``ReportEvidence.is_strange``) are left out, because
    the rule ``strange-chain`` evaluates them. ``evidence`` has the facts that all alert rules use,
    such as the counted reports.
    """
    reports = evidence.reports
    passed = [
        group
        for group in reports.groups
        if group.decision == "report" and not reports.is_strange(group)
    ]
    for host, groups in _by_host(passed).items():
        monitored = reports.pin_set_for(host)
        if monitored is None or _total(groups) < evidence.limits.few:
            continue
        shares = _shares(groups, _APP_VERSION)
        yield AlertFinding(
            "would-lock-out",
            "warning",
            host,
            monitored.pins.name,
            f"{counted(_total(groups), 'connection')} in a day would have been refused if the "
            "pins were enforced" + (f"; {shares}" if shares else ""),
            _check_command(evidence, monitored, host),
            {
                "clients": _max_clients(evidence, groups, monitored),
                "reports": _total(groups),
                "versions": _versions(groups),
            },
        )


@partial(
    AlertRule,
    "reports-silent",
    ("warning",),
    needs="reports",
    summary="reports used to arrive regularly, and no longer do",
    why=(
        "Either there are no failures, or reports cannot reach the collector. The pause is longer "
        "than `silent`, and than twice the longest gap of a regular week. The alert stays until a "
        "report arrives, or until the counts of that week are deleted (`[retention]`)."
    ),
)
def _reports_silent(evidence: Evidence) -> Iterator[AlertFinding]:
    """Yield a finding (a problem) if no report arrived for an unusually long time.

    The time without reports must be longer than the setting ``silent``, and longer than twice the
    longest gap between reports in a week. That week ends with the last report, so it does not
    change while no report arrives, and the finding remains until a report arrives. There is no
    finding if the week has too few reports to know which gaps are usual. ``evidence`` has the facts
    that all alert rules use, such as the counted reports.
    """
    past = [hour for hour in evidence.reports.heard if hour <= evidence.now]
    heard = [hour for hour in past if hour >= past[-1] - HISTORY]
    if len(heard) < _MIN_HOURS or heard[-1] - heard[0] < DAY:
        return
    longest = max(after - before for before, after in pairwise(heard))
    quiet = evidence.now - (heard[-1] + HOUR)
    if quiet <= max(evidence.limits.silent.total_seconds(), 2 * longest):
        return
    yield AlertFinding(
        "reports-silent",
        "warning",
        "",
        "",
        f"no client has reported anything for {quiet // HOUR} hours; the longest gap of the week "
        f"before was {longest // HOUR}. Either there are no failures, or reports cannot reach the "
        "collector",
        "curl -sS -o /dev/null -w '%{http_code}\\n' -X POST YOUR-REPORT-URL",
        {"hours": quiet // HOUR, "longest": longest // HOUR},
    )


def _by_host(groups: Iterable[ReportedFailures]) -> dict[str, list[ReportedFailures]]:
    """Group failure reports by host, with the hosts sorted by name.

    The rules evaluate all reports about one host together.
    """
    found: dict[str, list[ReportedFailures]] = {}
    for group in groups:
        found.setdefault(group.host, []).append(group)
    return dict(sorted(found.items()))


def _total(groups: Iterable[ReportedFailures]) -> int:
    return sum(group.reports for group in groups)


def _versions(groups: Iterable[ReportedFailures]) -> list[int]:
    return sorted({group.version for group in groups if group.version})[:20]


def _top(groups: Sequence[ReportedFailures], name: str) -> list[tuple[str, int]]:
    """Return the most frequent values of one field of the reports, each with its number of reports.

    Empty values are left out. Each item of ``groups`` counts identical reports. ``name`` is a field
    of ``ReportedFailures``, such as "network".
    """
    counts: Counter[str] = Counter()
    for group in groups:
        if value := str(getattr(group, name)):
            counts[value[:_MAX_VALUE]] += group.reports
    return counts.most_common(_MAX_VALUES)


def _shares(groups: Sequence[ReportedFailures], names: Mapping[str, str]) -> str:
    """Return a phrase with the most frequent value of each field and its share of the reports.

    Example: ``93 % of them in the network wifi``. Each item of ``groups`` counts identical reports.
    ``names`` maps the name of a field to the words before its value: ``network`` to ``in the
    network``.
    """
    whole = _total(groups) or 1
    return ", ".join(
        f"{round(100 * count / whole)} % of them {before} {printable(value)}"
        for name, before in names.items()
        for value, count in _top(groups, name)[:1]
    )


def _count_networks(evidence: Evidence, groups: Sequence[ReportedFailures]) -> int:
    """Count the internet providers' networks from which clients reported the chains in ``groups``.

    Each item of ``groups`` counts identical failure reports. All items must be for one host.
    ``evidence`` has the networks that reported each chain.
    """
    if not groups:
        return 0
    chains = {group.chain for group in groups}
    return evidence.reports.count_networks(groups[0].host, chains)


def _claim_severity(evidence: Evidence, networks: int) -> Severity:
    """Return the severity of a problem that only clients report, and no probe confirms.

    It is "critical" if reports came from at least ``limits.networks`` (a setting) networks of
    internet providers, else "warning". ``networks`` is the number of these networks, and
    ``evidence`` has the settings.
    """
    return "critical" if networks >= evidence.limits.networks else "warning"


def _max_clients(
    evidence: Evidence, groups: Sequence[ReportedFailures], monitored: MonitoredPinSet
) -> int | None:
    """Return the largest number of clients that can have sent these reports; None if unknown.

    That is the number of reports, or the number of all clients of the pin set if that is smaller.

    ``groups`` are the reports, identical ones in one group. ``evidence`` has the numbers of
    clients, and ``monitored`` is the pin set.
    """
    holders = evidence.reports.count_holders(monitored.pins.name)
    return None if holders is None else min(holders, _total(groups))


def _percent(share: float) -> str:
    """Return a share (1 is everything) as text, such as ``42 %``, ``3.1 %`` or ``0.25 %``.

    The number is rounded: below 10 % to two significant digits, else to a whole number. The
    smallest result for a share above 0 is ``0.01 %``.
    """
    percent = min(100 * share, 100)
    if 0 < percent < 0.01:
        return "0.01 %"
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def _check_command(evidence: Evidence, monitored: MonitoredPinSet, host: str) -> str:
    """Return the ``certpin check`` command that probes a host and compares its chain with the pins.

    The command verifies the chain with the anchors in the pin file (``trust``), as the monitor
    does.

    ``evidence`` has the servers of the host, and ``monitored`` is the pin set of the host.
    """
    server = server_words(evidence.probes.targets, host)
    return shlex.join(["certpin", "check", str(monitored.path), "--host", *server])

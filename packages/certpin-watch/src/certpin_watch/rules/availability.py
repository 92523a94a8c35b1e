"""Alert rules about missing data: unreachable servers, no probe results, unreadable pin files.

A server that declines TLS is included, because it sends no chain.
"""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

from certpin.support.text import in_utc, one_line
from certpin_watch.monitor.results import MAX_BYTES, encoded_size
from certpin_watch.rules.rule import (
    AlertFinding,
    AlertRule,
    per_policy,
    policy_finding,
    view_details,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

    from certpin_watch.monitor.evidence import LocationStatus, PolicyEvidence, ProbeEvidence
    from certpin_watch.rules.evidence import Evidence

_JOURNAL = ".journal.jsonl"  # of pins.toml: pins.journal.jsonl
_JOB_ROOM = 64 * 1024  # bytes of a job for everything but its anchors


@partial(
    AlertRule,
    "host-unreachable",
    ("critical", "warning"),
    needs="probes",
    summary="a server does not respond, or TLS fails before it sends a chain",
    why=(
        "Clients that reach that server have no connection, and its chain is unknown. Critical if "
        "the host responds nowhere."
    ),
)
@per_policy
def _host_unreachable(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    reachable = {view.target.host for view in evidence.views if view.sent_chain}
    for view in evidence.views:
        if view.outcome == "unreachable":
            yield policy_finding(
                evidence,
                "host-unreachable",
                "warning" if view.target.host in reachable else "critical",
                f"{view.where}: {view.problem}",
                evidence.check_command(view),
                subject=view.where,
                **view_details(view),
            )


@partial(
    AlertRule,
    "no-starttls",
    ("critical",),
    needs="probes",
    summary="a server with STARTTLS declines TLS, or sends bytes that TLS does not protect",
    why=(
        "Clients that require TLS have no connection, and the others continue in clear text. An "
        "attacker between that location and the server can remove the offer of TLS (RFC 3207, "
        "section 6). Compare from another location."
    ),
)
@per_policy
def _no_starttls(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    for view in evidence.views:
        if view.outcome == "no-starttls":
            yield policy_finding(
                evidence,
                "no-starttls",
                "critical",
                f"{view.where}: {view.problem}",
                evidence.check_command(view),
                subject=view.where,
                **view_details(view),
            )


@partial(
    AlertRule,
    "not-probed",
    ("warning", "info"),
    needs="probes",
    summary="a pattern is pinned, or a host named in the settings, but not probed",
    why=(
        "Problems there are not detected: a wildcard has no host to probe, a host has no pins, or "
        "it has more anchors (`trust`) than a worker can be sent."
    ),
)
def _not_probed(evidence: Evidence) -> Iterator[AlertFinding]:
    probes = evidence.probes
    for policy_evidence in probes.policies:
        if not policy_evidence.monitored.targets:
            yield policy_finding(
                policy_evidence,
                "not-probed",
                "info",
                f"{policy_evidence.policy.pattern} is not probed: a wildcard names no host",
                "write its servers into the pin file: [[host.server]]",
            )
        yield from _too_many_anchors(policy_evidence)
    probed = {target.host for target in probes.targets}
    for host in probes.settings.hosts:
        if host.name not in probed and not probes.problems:
            yield AlertFinding(
                "not-probed",
                "warning",
                host.name,
                "",
                f"{host.name} is in [[monitor.host]], but in no monitored pin set",
                "add its pin file to `pins`, or remove it from watch.toml",
            )


def _too_many_anchors(evidence: PolicyEvidence) -> Iterator[AlertFinding]:
    workers = {name for target in evidence.monitored.targets for name in target.locations}
    workers.discard(evidence.settings.location)
    if workers and not _fits_in_a_job(evidence):
        yield policy_finding(
            evidence,
            "not-probed",
            "warning",
            f"{evidence.policy.pattern} has more trust anchors than a worker can be sent",
            f"certpin lint {evidence.file}",
            subject="anchors",
        )


def _fits_in_a_job(evidence: PolicyEvidence) -> bool:
    trust = evidence.policy.trust
    return trust is None or encoded_size(trust.der) <= MAX_BYTES - _JOB_ROOM


@partial(
    AlertRule,
    "monitor-silent",
    ("critical",),
    needs="probes",
    after_start=True,
    summary="the monitor does not run, so that no host is probed",
    why="No new problem is detected at all.",
)
def _monitor_silent(evidence: Evidence) -> Iterator[AlertFinding]:
    """Yield a finding (a problem) if the monitor has scheduled no probe for several intervals.

    The monitor is the part of the service that schedules probes, so it does not run then. If it has
    never scheduled a probe, there is no finding. An interval is the planned time between two probes
    of a host, and the setting ``silent_after`` is the number of intervals. ``evidence`` has the
    facts that all alert rules use, such as the time of the last probe that was scheduled for each
    location.
    """
    probes = evidence.probes
    locations = _used_locations(probes)
    if locations and all(_is_idle(probes, location) for location in locations):
        last = max(location.asked for location in locations)
        since = in_utc(last, down=True)
        yield AlertFinding(
            rule="monitor-silent",
            severity="critical",
            host="",
            pin_set="",
            summary=f"no host has been probed since {since}: the monitor does not run",
            command="certpin serve",
            details={"asked": int(last.timestamp())},
        )


@partial(
    AlertRule,
    "vantage-silent",
    ("critical", "warning"),
    needs="probes",
    after_start=True,
    summary="no results arrive from a location, or none for a host that it has to probe",
    why=(
        "New problems there are not detected. Alerts about that location keep their state. "
        "Critical if no location has results."
    ),
)
def _vantage_silent(evidence: Evidence) -> Iterator[AlertFinding]:
    probes = evidence.probes
    asked = [entry for entry in _used_locations(probes) if not _is_idle(probes, entry)]
    silent = [entry for entry in asked if _last_sign(entry) < probes.now - _patience(probes)]
    for location in silent:
        heard = location.heard
        last = (
            f"the last result arrived on {in_utc(heard, down=True)}"
            if heard
            else "none ever arrived"
        )
        is_local = location.name == probes.settings.location
        yield AlertFinding(
            rule="vantage-silent",
            severity="critical" if len(silent) == len(asked) else "warning",
            host="",
            pin_set="",
            summary=f"no results arrive from the location {location.name}: {last}",
            command=(
                "certpin serve" if is_local else "certpin watch worker --url URL --token-file FILE"
            ),
            subject=location.name,
            details={
                "vantage": location.name,
                "heard": int(heard.timestamp()) if heard else None,
                "since": int(location.since.timestamp()),
            },
        )
    yield from _missing_results(probes, [entry for entry in asked if entry not in silent])


def _missing_results(
    probes: ProbeEvidence, speaking: list[LocationStatus]
) -> Iterator[AlertFinding]:
    """Yield a finding for each pair of a host and a location without recent probe results.

    A finding is a detected problem, a location a machine that probes hosts. A result is recent if
    it arrived in the last ``silent_after`` intervals (settings). If a location never had a result
    for a host, there is a finding after it was awaited for longer than that.

    Args:
        probes: the state of the probed servers.
        speaking: the locations to check. They have a recent result for at least one host, or are
            new. All other locations must not be in this list, because the caller yields one finding
            for each of them.
    """
    begun = {location.name: location.since for location in speaking}
    for evidence in probes.policies:
        # Anchors that no worker can be sent have a finding of the rule not-probed.
        probing = begun.keys() if _fits_in_a_job(evidence) else {probes.settings.location}
        for target in evidence.monitored.targets:
            for vantage in sorted(begun.keys() & probing & set(target.locations)):
                last = probes.last_results.get((*target.key, vantage))
                since = last or probes.awaited.get((*target.key, vantage))
                # While the service was down it asked no location, so that no host was silent.
                if since and max(since, begun[vantage]) < probes.now - _patience(probes):
                    moment = in_utc(since, down=True)
                    yield policy_finding(
                        evidence,
                        "vantage-silent",
                        "warning",
                        f"the location {vantage} has not probed {target.host}:{target.port} since "
                        + (moment if last else f"it was added on {moment}"),
                        f"certpin check {evidence.file}",
                        subject=f"{vantage} {target.host}:{target.port} {target.way}",
                        vantage=vantage,
                        heard=int(last.timestamp()) if last else None,
                    )


def _used_locations(probes: ProbeEvidence) -> list[LocationStatus]:
    used = {
        vantage
        for evidence in probes.policies
        for target in evidence.monitored.targets
        for vantage in target.locations
    }
    return [location for location in probes.locations if location.name in used]


def _patience(probes: ProbeEvidence) -> timedelta:
    return probes.settings.silent_after * probes.settings.interval


def _is_idle(probes: ProbeEvidence, location: LocationStatus) -> bool:
    return location.asked < probes.now - _patience(probes)


def _last_sign(location: LocationStatus) -> datetime:
    return max(location.heard or location.since, location.since)


@partial(
    AlertRule,
    "pin-file-unreadable",
    ("critical",),
    needs="probes",
    summary="a monitored pin file, or the journal beside it, cannot be read",
    why=(
        "Its last readable content stays in force until a restart; then its hosts are not probed, "
        "and their alerts keep their state."
    ),
)
def _pin_file_unreadable(evidence: Evidence) -> Iterator[AlertFinding]:
    for problem in evidence.probes.problems:
        path = problem.partition(":")[0]
        yield AlertFinding(
            rule="pin-file-unreadable",
            severity="critical",
            host="",
            pin_set="",
            summary=f"a monitored file cannot be used: {one_line(problem)}",
            command=_file_command(path),
            subject=path,
            details={"problem": problem},
        )


def _file_command(path: str) -> str:
    """Return the command with which a user finds the fault in a pin file, or in its journal.

    The journal is the log of the rotation of pins. ``path`` is the path of the file that can't be
    read.
    """
    pins = path.removesuffix(_JOURNAL)
    if pins != path:
        return f"certpin rotate status --file {shlex.quote(pins + '.toml')}"
    return f"certpin lint {shlex.quote(path)}"

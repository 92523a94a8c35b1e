"""The rules over reports, and over the monitoring service itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis.strategies import text
from msgspec import structs

from certpin.pins import HostServer
from certpin.rotation import History
from certpin_watch.monitor.evidence import PolicyEvidence, ProbeEvidence
from certpin_watch.monitor.targets import monitored_policies
from certpin_watch.rules.engine import RULES, affected_clients
from certpin_watch.rules.evidence import (
    Evidence,
    ReportedFailures,
    ReportEvidence,
    ServiceEvidence,
    SignedRole,
    VersionHolders,
)
from certpin_watch.rules.reports import order
from certpin_watch.settings import AlertSettings, MonitorSettings
from certpin_watch.snapshot import MonitoredPinSet
from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.queries.capacity import Queue, Sweep, Window
from tests import kit
from tests.watch._commands import check_next_command
from tests.watch.alerts._findings import HOST, NOW, finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin_watch.rules.rule import AlertFinding

CHAIN = b"c" * 32
SET = MonitoredPinSet(Path("pins.toml"), kit.pin_set(kit.policy(HOST)), History())
THIS = NOW - NOW % HOUR


LIMITS = AlertSettings(few=5, networks=10, surge=4, silent=timedelta(hours=6), disk=5)


def group(reports: int = 10, **more: Any) -> ReportedFailures:
    fields = {"host": HOST, "served": CHAIN, "verified": b"", "pin_set": "test", "version": 1}
    fields |= {"app": "bank", "app_version": "3.1", "network": "carrier", "decision": "refuse"}
    fields |= {"reason": "mismatch"}
    return ReportedFailures(**fields | {"reports": reports} | more)  # type: ignore[arg-type]


def held(clients: int, app_version: str = "3.1", version: int = 1) -> VersionHolders:
    return VersionHolders("test", version, "bank", app_version, clients)


def found(
    rule: str,
    service: ServiceEvidence | None = None,
    probes: ProbeEvidence | None = None,
    **reports: Any,
) -> Sequence[AlertFinding]:
    """Return the findings of one alert rule, for this state of the service and these reports.

    Also check that the findings have the rule's name, a declared severity, and a command that
    exists.
    """
    given = Evidence(
        NOW,
        LIMITS,
        probes or ProbeEvidence(),
        reports=ReportEvidence(**{"sets": (SET,)} | reports),
        service=service or ServiceEvidence(),
    )
    findings = list(RULES[rule].check(given))
    assert {finding.rule for finding in findings} <= {rule}
    assert {finding.severity for finding in findings} <= set(RULES[rule].severities)
    for one in findings:
        check_next_command(one.command)
    return findings


def test_failures_surge_at_a_multiple_of_the_usual_number() -> None:
    week = {THIS - n * HOUR: 10 for n in range(1, 170)}
    assert not found("failures-surge", hours={HOST: week | {THIS: 39}})
    (surge,) = found("failures-surge", hours={HOST: week | {THIS: 60}})
    assert surge.severity == "warning"
    assert "60 failures in an hour, 10 are usual" in surge.summary
    large = {HOST: week | {THIS: 100}}
    for networks, severity in ((LIMITS.networks - 1, "warning"), (LIMITS.networks, "critical")):
        (surge,) = found("failures-surge", hours=large, spread={HOST: networks})
        assert surge.severity == severity


def test_a_few_failures_are_no_surge_however_rare_they_are() -> None:
    assert not found("failures-surge", hours={HOST: {THIS: 19}})
    assert found("failures-surge", hours={HOST: {THIS: 20}})


def test_a_surge_of_one_day_does_not_become_usual() -> None:
    assert found("failures-surge", hours={HOST: {THIS - n * HOUR: 500 for n in range(40)}})


def test_failures_at_a_host_without_pins_are_ignored() -> None:
    hours = {"other.example": {THIS: 1000}, "..": {THIS: 1000}}
    assert not found("failures-surge", hours=hours)


def test_a_strange_chain_is_one_that_no_pins_accept_and_no_location_saw() -> None:
    refused = frozenset({(HOST, CHAIN)})
    (one,) = found("strange-chain", groups=(group(), group(3, network="wifi")), refused=refused)
    assert one.severity == "warning"
    assert "13 reports" in one.summary
    assert "77 % of them in the network carrier" in one.summary
    assert "the platform" not in one.summary
    assert not found("strange-chain", groups=(group(),))
    assert not found("strange-chain", groups=(group(),), refused=refused, sighted=refused)
    assert not found("strange-chain", groups=(group(4),), refused=refused)


def test_a_strange_chain_that_the_platform_refuses_is_described_as_such() -> None:
    """Clients in few networks meet a proxy with a private authority, which the platform refuses.

    Most clients refuse its chain before they check pins.
    """
    refused = frozenset({(HOST, CHAIN)})
    groups = group(9, reason="untrusted", network="hotel"), group(3, network="home")
    (one,) = found("strange-chain", groups=groups, refused=refused, holders=(held(400),))
    assert "in 75 % of them the platform itself refuses it" in one.summary
    assert "75 % of them in the network hotel" in one.summary
    assert "at most 3 % of all clients" in one.summary
    assert one.details["refused_by_platform"] == 9


REFUSED = frozenset({(HOST, CHAIN)})


@pytest.mark.parametrize(
    ("clients", "text"),
    [(9, "100 %"), (10, "90 %"), (95, "9.5 %"), (900, "1 %"), (10**7, "0.01 %")],
)
def test_the_share_of_affected_clients_is_a_plain_number(clients: int, text: str) -> None:
    (one,) = found("strange-chain", groups=(group(9),), refused=REFUSED, holders=(held(clients),))
    assert f"at most {text} of all clients" in one.summary


def test_the_command_for_a_strange_chain_names_the_probed_server() -> None:
    servers = (HostServer.parse("10.0.0.5:8443", starttls="smtp"),)
    pins = kit.pin_set(kit.policy(HOST, servers=servers))
    now = datetime.fromtimestamp(NOW, UTC)
    watched = replace(SET, pins=pins)
    (monitored,) = monitored_policies((watched,), MonitorSettings(), now)
    probes = ProbeEvidence((PolicyEvidence(monitored, (), MonitorSettings(), now),))
    (one,) = found("strange-chain", probes=probes, groups=(group(9),), refused=REFUSED)
    assert one.command == (
        f"certpin check pins.toml --host {HOST}:8443 --connect 10.0.0.5:8443 --starttls smtp"
    )
    (one,) = found("strange-chain", groups=(group(9),), refused=REFUSED)
    assert one.command == f"certpin check pins.toml --host {HOST}"


def networks_of(number: int, chain: bytes = CHAIN) -> dict[tuple[str, bytes], frozenset[str]]:
    return {(HOST, chain): frozenset(f"10.{n}.0.0/16" for n in range(number))}


@pytest.mark.parametrize(
    "many",
    [
        {"groups": (group(decision="report"),)},
        {"groups": (group(100),)},
        {"groups": (group(30),), "holders": (held(1000),)},
    ],
)
def test_an_unconfirmed_claim_is_critical_only_from_many_networks(many: dict[str, Any]) -> None:
    """A sender can repeat a claim a million times, but only from the networks it has."""
    few, enough = LIMITS.networks - 1, LIMITS.networks
    for networks, severity in ((few, "warning"), (enough, "critical")):
        (one,) = found("strange-chain", **many, refused=REFUSED, networks=networks_of(networks))
        assert one.severity == severity
        assert f"reported from {networks} networks" in one.summary
    others = networks_of(enough, b"another chain")  # of another chain that is no attack
    (one,) = found("strange-chain", **many, refused=REFUSED, networks=others)
    assert one.severity == "warning"


def test_a_few_refusals_from_many_networks_are_a_warning() -> None:
    (one,) = found(
        "strange-chain",
        groups=(group(30),),
        refused=REFUSED,
        networks=networks_of(50),
        holders=(held(10_000),),
    )
    assert one.severity == "warning"
    assert "at most 0.3 % of all clients" in one.summary
    assert one.clients == 30


def test_a_chain_of_a_trusted_authority_is_critical_with_few_reports() -> None:
    few = LIMITS.few
    (one,) = found("strange-chain", groups=(group(few),), refused=REFUSED, issued=REFUSED)
    assert one.severity == "critical"
    assert "an authority did issue it for this host" in one.summary
    other = group(few, served=b"d" * 32)  # the issued chain has too few reports
    refused = REFUSED | {(HOST, b"d" * 32)}
    (one,) = found("strange-chain", groups=(group(1), other), refused=refused, issued=REFUSED)
    assert one.severity == "warning"


def test_an_old_app_fails_if_newer_ones_do_not() -> None:
    holders = held(400, "3.9"), held(5000, "3.10", 2)
    groups = (group(app_version="3.9"),)
    (old,) = found("old-app-fails", groups=groups, holders=holders)
    assert (old.clients, old.severity) == (400, "warning")
    many = networks_of(LIMITS.networks)
    (worse,) = found("old-app-fails", groups=groups, holders=holders, networks=many)
    assert worse.severity == "critical"
    assert "3.9" in old.summary
    assert old.command == "certpin rotate status --file pins.toml"
    one = (*groups, group(1, app_version="3.10"))  # a single client can claim this
    assert found("old-app-fails", groups=one, holders=holders)
    both = (*groups, group(LIMITS.few, app_version="3.10"))
    assert not found("old-app-fails", groups=both, holders=holders)
    assert not found("old-app-fails", groups=groups)
    refused = frozenset({(HOST, CHAIN)})
    assert not found("old-app-fails", groups=groups, holders=holders, refused=refused)


def test_wrong_clocks_do_not_count_for_an_old_app() -> None:
    """Some clients always have wrong clocks, so their failures are no sign of outdated pins in the
    app.
    """
    holders = held(400, "3.9"), held(5000, "3.10", 2)
    for reason, count in (("date", 0), ("name", 0), ("untrusted", 1), ("expired", 1)):
        groups = (group(app_version="3.9", reason=reason),)
        assert len(found("old-app-fails", groups=groups, holders=holders)) == count


def test_versions_are_compared_as_numbers() -> None:
    assert max("3.10", "3.9", "3.9.1", "3.9-beta", key=order) == "3.10"


@given(text())
@example("\u00b2")  # superscript two, a digit for str.isdigit and not for int
@example("1.\u2460")
@example("9" * 5000)
def test_every_text_is_an_app_version_with_an_order(version: str) -> None:
    """One version that raises would stop the rule old-app-fails for all hosts."""
    assert max("1.0", version, key=order) in {"1.0", version}
    holders = held(400, "1.0"), held(5000, "2.0", 2)
    groups = (group(app_version="1.0"), group(LIMITS.few, app_version=version))
    found("old-app-fails", groups=groups, holders=(*holders, held(LIMITS.few, version)))


def test_mismatches_in_report_mode_would_lock_clients_out() -> None:
    (one,) = found("would-lock-out", groups=(group(decision="report"),), holders=(held(7),))
    assert "10 connections" in one.summary
    assert one.clients == 7
    assert not found("would-lock-out", groups=(group(),))
    assert not found("would-lock-out", groups=(group(4, decision="report"),))


def test_reports_are_silent_if_they_used_to_arrive_regularly() -> None:
    heard = tuple(range(THIS - 100 * HOUR, THIS - 8 * HOUR, HOUR))
    (one,) = found("reports-silent", heard=heard)
    assert "for 8 hours" in one.summary
    assert not found("reports-silent", heard=tuple(hour + 4 * HOUR for hour in heard))
    assert not found("reports-silent", heard=heard[::8])
    assert not found("reports-silent", heard=())
    assert not found("reports-silent", heard=(*heard, THIS))
    before = tuple(hour - 1000 * HOUR for hour in heard)
    assert not found("reports-silent", heard=(*before, *heard[-20:])), "no regular week"


def test_reports_stay_silent_until_one_arrives() -> None:
    heard = tuple(range(THIS - 1000 * HOUR, THIS - 800 * HOUR, HOUR))
    (one,) = found("reports-silent", heard=heard)
    assert "for 800 hours; the longest gap of the week before was 1." in one.summary
    assert not found("reports-silent", heard=(*heard, THIS))


def test_reports_wait_if_no_writer_counts_them() -> None:
    now, long = datetime.fromtimestamp(NOW, UTC), timedelta(minutes=6)
    (one,) = found("reports-wait", service=ServiceEvidence(queue=Queue(7, now, True, now - long)))
    assert "7 messages" in one.summary
    (unread,) = found("reports-wait", service=ServiceEvidence(queue=Queue(0, now - long, True)))
    assert "if NATS can't be reached, reports are refused" in unread.summary
    assert "messages" not in unread.summary
    assert not found("reports-wait", service=ServiceEvidence(queue=Queue(7, now, False, now)))
    assert not found("reports-wait", service=ServiceEvidence())


def test_signatures_expire_soon_or_have_expired() -> None:
    roles = (
        SignedRole("test", Path("pins.toml"), "timestamp", NOW + DAY, soon=True),
        SignedRole("test", Path("pins.toml"), "root", NOW - 1, soon=True),
        SignedRole("test", Path("pins.toml"), "targets", NOW + 90 * DAY, soon=False),
    )
    soon, over = found("signatures-end", ServiceEvidence(roles=roles))
    assert (soon.severity, soon.subject) == ("warning", "timestamp")
    assert (over.severity, over.subject) == ("critical", "root")
    assert over.command == "certpin publish status --file pins.toml"


def test_a_nearly_full_disk_is_found_before_it_is_full() -> None:
    assert not found("disk-nearly-full", service=ServiceEvidence(disk=5.0))
    (one,) = found("disk-nearly-full", service=ServiceEvidence(disk=4.0))
    assert one.severity == "warning"
    (one,) = found("disk-nearly-full", service=ServiceEvidence(disk=0.5))
    assert one.severity == "critical"
    assert not found("disk-nearly-full", service=ServiceEvidence())


def test_a_reached_limit_is_named() -> None:
    (one,) = found("room-used-up", service=ServiceEvidence(full=("bytes",)))
    assert (one.severity, one.subject) == ("warning", "bytes")
    assert not found("room-used-up", service=ServiceEvidence())


def test_failed_retention_names_the_kind_of_rows() -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    failing = Sweep("audit", at, at - timedelta(hours=5), "busy")
    well = Sweep("presences", at, at, "")
    (one,) = found("retention-fails", service=ServiceEvidence(sweeps=(failing, well)))
    assert (one.severity, one.subject) == ("warning", "audit")
    assert "the database was busy for too long" in one.summary
    (late,) = found(
        "retention-fails",
        service=ServiceEvidence(sweeps=(structs.replace(failing, reason="late"),)),
    )
    assert "no attempt for days" in late.summary


def test_a_repeat_window_shorter_than_client_days_is_found_with_its_fix() -> None:
    at = datetime.fromtimestamp(NOW - 8 * DAY, UTC)
    enough = Window(at, 8, 8, 7, 8, 100_000, 800_000, 1_000_000)
    assert not found("repeats-unrecognised", service=ServiceEvidence())
    assert not found("repeats-unrecognised", service=ServiceEvidence(window=enough))
    soon = structs.replace(enough, a_day=1_000_000, expected_days=1.0)
    (one,) = found("repeats-unrecognised", service=ServiceEvidence(window=soon))
    assert "soon for 1.0 days only" in one.summary
    assert "set most_identities = 8400000 in [collector] (some 1.3 GB)" in one.summary
    now = structs.replace(enough, days=3.0, expected_days=3.0, client_days=20)
    (one,) = found("repeats-unrecognised", service=ServiceEvidence(window=now))
    assert "[collector] (some 0.4 GB) and identities = 21 in [retention]" in one.summary


def test_failed_services_and_evaluations_are_named() -> None:
    (one,) = found(
        "telling-fails", service=ServiceEvidence(failing={"slack": "it answered with status 500"})
    )
    assert one.subject == "slack"
    (one,) = found("look-fails", service=ServiceEvidence(failures={"the monitor": "a mistake"}))
    assert one.subject == "the monitor"


def test_affected_clients_are_derived_from_the_named_versions() -> None:
    holders = held(5, version=1), held(7, version=2), VersionHolders("other", 1, "", "", 100)
    one = replace(finding(), pin_set="test")
    assert affected_clients(one, holders) == 12
    assert affected_clients(replace(one, details={"versions": [2]}), holders) == 7
    assert affected_clients(replace(one, details={"clients": None}), holders) is None
    assert affected_clients(replace(one, pin_set=""), holders) is None
    assert affected_clients(one, ()) is None

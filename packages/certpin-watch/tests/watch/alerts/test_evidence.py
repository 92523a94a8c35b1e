"""Check which data the alert rules get from the store, and the findings of one evaluation."""

from __future__ import annotations

import hashlib
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import insert

from certpin.pins import HostPin
from certpin.rotation import History
from certpin_watch.alerts.evidence import FailureHistory, gather_reports, signed_roles
from certpin_watch.chain_check import ChainJudge, is_issued_for
from certpin_watch.rules.engine import MAX_FINDINGS, RULES, limit_findings
from certpin_watch.rules.evidence import Evidence, ReportEvidence
from certpin_watch.settings import AlertSettings
from certpin_watch.snapshot import MonitoredPinSet, Patterns, Snapshot
from certpin_watch.store.alerts import open_alerts
from certpin_watch.store.chains import insert_observed_chains
from certpin_watch.store.identities import DAY, HOUR
from certpin_watch.store.tables.observations import (
    PRESENCES,
    REPORT_GROUPS,
    REPORT_NETWORKS,
    SIGHTINGS,
)
from tests import kit
from tests.watch.alerts._findings import HOST, NOW, finding
from tests.watch.alerts.conftest import Stage

if TYPE_CHECKING:
    from certpin.lab import Authority, Identity
    from certpin_watch.rules.rule import AlertFinding
    from certpin_watch.store import Store


TODAY = NOW - NOW % DAY


@pytest.fixture(scope="module")
def good(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


def ders(identity: Identity) -> tuple[bytes, ...]:
    return tuple(certificate.public_bytes(Encoding.DER) for certificate in identity.chain)


def monitored(pin: Any) -> MonitoredPinSet:
    return MonitoredPinSet(Path("pins.toml"), kit.pin_set(kit.policy(HOST, pin)), History())


class _Watched:
    def __init__(self, *sets: MonitoredPinSet) -> None:
        self._sets = sets

    def snapshot(self) -> Snapshot:
        return Snapshot(self._sets)


def _broken(*_: object) -> Any:
    raise RuntimeError("a defect")


def strange_chains(reports: ReportEvidence, now: int = NOW) -> list[AlertFinding]:
    limits = AlertSettings(few=5, networks=10, surge=4, silent=timedelta(hours=6), disk=5)
    return list(RULES["strange-chain"].check(Evidence(now, limits, reports=reports)))


def stage(store: Store, *sets: MonitoredPinSet, **more: Any) -> Stage:
    found = Stage(store, **more)
    found.watch = replace(found.watch, pin_files=_Watched(*sets))  # type: ignore[arg-type]
    found.evaluator._watch = found.watch
    return found


def report(store: Store, served: tuple[bytes, ...], count: int = 10, **more: Any) -> None:
    hour = NOW - NOW % HOUR
    values = {"hour": hour, "host": HOST, "verified": b"", "pin_set": "test", "version": 1}
    values |= {"app": "bank", "app_version": "3.1", "platform": "ios", "network": "wifi"}
    values |= {"kind": "certpin", "decision": "refuse", "reason": "mismatch", "count": count}
    values |= {"first_at": hour, "last_at": hour} | more
    moment = datetime.fromtimestamp(NOW, UTC)
    with store.write() as connection:
        (values["served"],) = insert_observed_chains(connection, [served], moment)
        key = hashlib.sha256(repr(sorted(values.items())).encode()).digest()
        connection.execute(insert(REPORT_GROUPS).values(key=key, **values))


def test_the_regular_week_is_the_one_before_the_last_report(store: Store, good: Identity) -> None:
    here = stage(store, monitored(good.pin))
    this = NOW - NOW % HOUR
    last = this - 30 * DAY
    for hour in (last - 8 * DAY, last - 7 * DAY, last - HOUR, last):
        report(store, ders(good), hour=hour)
    history = FailureHistory()
    with store.read() as connection:
        found = gather_reports(connection, here.watch, history, NOW)
    assert found.heard == (last - 7 * DAY, last - HOUR, last)
    assert found.hours == {}
    report(store, ders(good), hour=this)
    with store.read() as connection:
        found = gather_reports(connection, here.watch, history, NOW)
    assert found.heard[-2:] == (last, this)


def test_reports_are_counted_and_their_chains_checked(
    store: Store, good: Identity, root: Authority
) -> None:
    bad = root.issue(HOST)
    here = stage(store, monitored(good.pin))
    report(store, ders(good), 7)
    report(store, ders(bad), 12, network="carrier")
    report(store, ders(bad), 5, network="carrier", platform="android")
    report(store, ders(bad), 99, hour=NOW - 3 * DAY)
    with store.write() as connection:
        for day, count in ((NOW - NOW % DAY, 5), (NOW - NOW % DAY - DAY, 50)):
            row = {"day": day, "pin_set": "test", "version": 1, "app": "bank", "count": count}
            row |= {"app_version": "3.1", "platform": "ios"}
            connection.execute(insert(PRESENCES).values(**row))
    with store.read() as connection:
        found = gather_reports(connection, here.watch, FailureHistory(), NOW)
        again = gather_reports(connection, here.watch, FailureHistory(), NOW)
    assert sorted(group.reports for group in found.groups) == [7, 17]
    assert found.count_holders("test") == 50
    assert found.hours[HOST] == {NOW - NOW % HOUR: 24, NOW - 3 * DAY: 99}
    (refused,) = found.refused
    assert found.issuers[refused[1]] == root.certificate.subject
    assert len(found.accepted) == 1
    assert found == again
    (one,) = strange_chains(found)
    assert one.clients == 17


def test_unmonitored_hosts_use_no_capacity_of_monitored_ones(
    sqlite_store: Store, good: Identity, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin_watch.alerts.evidence._MAX_GROUPS", 3)
    monkeypatch.setattr("certpin_watch.alerts.evidence._MAX_CHAINS", 3)
    here = stage(sqlite_store, monitored(good.pin))
    for number in range(5):
        report(sqlite_store, ders(root.issue("evil.example")), 50, host=f"{number}.evil.example")
    report(sqlite_store, ders(root.issue(HOST)), 6)
    with sqlite_store.read() as connection:
        found = gather_reports(connection, here.watch, FailureHistory(), NOW)
    assert found.hours.keys() == {group.host for group in found.groups} == {HOST}
    assert found.heard
    assert [finding.host for finding in strange_chains(found)] == [HOST]


def test_invented_chains_of_one_host_hide_none_of_another(
    sqlite_store: Store, good: Identity, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin_watch.alerts.evidence._MAX_GROUPS", 3)
    monkeypatch.setattr("certpin_watch.alerts.evidence._RESERVED_GROUPS", 4)
    monkeypatch.setattr("certpin_watch.alerts.evidence._MAX_CHAINS", 3)
    pins = kit.pin_set(kit.policy("*.shop.example", good.pin), kit.policy(HOST, good.pin))
    here = stage(sqlite_store, MonitoredPinSet(Path("pins.toml"), pins, History()))
    for number in range(5):
        report(sqlite_store, ders(root.issue("x.example")), 50, host=f"{number}.shop.example")
    report(sqlite_store, ders(root.issue(HOST)), 6)
    with sqlite_store.read() as connection:
        found = gather_reports(connection, here.watch, FailureHistory(), NOW)
    assert HOST in [finding.host for finding in strange_chains(found)]


def test_networks_of_one_chain_hide_none_of_another(
    store: Store, good: Identity, root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin_watch.alerts.evidence._MAX_NETWORKS", 3)
    here = stage(store, monitored(good.pin), networks=2)
    report(store, ders(root.issue(HOST)))
    with store.read() as connection:
        ((_, met),) = gather_reports(connection, here.watch, FailureHistory(), NOW).refused
    with store.write() as connection:
        for chain, numbers in ((b"", range(40)), (met, range(100, 102))):
            for day, number in itertools.product((TODAY, TODAY - DAY), numbers):
                row = {"day": day, "network": f"198.{number}.0.0/16", "share": HOST, "met": chain}
                connection.execute(insert(REPORT_NETWORKS).values(**row))
    with store.read() as connection:
        found = gather_reports(connection, here.watch, FailureHistory(), NOW)
    assert found.count_networks(HOST, [met]) == 2
    assert found.count_networks(HOST, [b""]) == 3


def test_invented_names_below_a_pattern_have_a_limited_number_of_findings() -> None:
    pins = kit.pin_set(kit.policy("*.shop.example"), kit.policy(HOST))
    patterns = Patterns((MonitoredPinSet(Path("pins.toml"), pins, History()),))
    many = [finding(host=f"{n}.shop.example", reports=n) for n in range(100)]
    kept = limit_findings([*many, finding(severity="warning")], patterns.of)
    assert len(kept) == MAX_FINDINGS + 1
    assert kept[0].host == "99.shop.example"
    assert kept[-1].host == HOST


def test_a_chain_that_a_location_saw_is_not_strange(
    sqlite_store: Store, good: Identity, root: Authority
) -> None:
    here = stage(sqlite_store, monitored(good.pin))
    bad = ders(root.issue(HOST))
    report(sqlite_store, bad)
    with sqlite_store.write() as connection:
        (digest,) = insert_observed_chains(connection, [bad], datetime.fromtimestamp(NOW, UTC))
        row: dict[str, Any] = {c.name: "" for c in SIGHTINGS.c if c.name not in {"id", "latest"}}
        row |= {"host": HOST, "port": 443, "served": digest, "verified": b"", "code": 0}
        row |= {"first_at": NOW, "last_at": NOW, "count": 1}
        connection.execute(insert(SIGHTINGS).values(**row))
    with sqlite_store.read() as connection:
        found = gather_reports(connection, here.watch, FailureHistory(), NOW)
    assert not strange_chains(found)


def test_a_pinned_certificate_outside_the_path_does_not_count(
    good: Identity, intermediate: Authority
) -> None:
    from certpin.lab import Authority

    evil = ders(Authority("Evil").issue(HOST))
    judge = ChainJudge((monitored(intermediate.pin),), datetime.now(UTC))
    assert judge.verdict(HOST, ders(good)) == "accepted"
    assert judge.verdict(HOST, (*evil, *ders(good))) == "refused"
    # Nor does a right name with a wrong signature.
    forged = ders(Authority("Test Intermediate").issue(HOST))
    assert judge.verdict(HOST, (forged[0], *ders(good)[1:])) == "refused"


def test_a_policy_is_applied_as_clients_apply_it(good: Identity, intermediate: Authority) -> None:
    def verdict(**more: Any) -> str:
        pins = kit.pin_set(kit.policy(HOST, intermediate.pin, **more))
        judge = ChainJudge(
            (MonitoredPinSet(Path("pins.toml"), pins, History()),), datetime.now(UTC)
        )
        return judge.verdict(HOST, ders(good))

    assert verdict(match="ca") == "accepted"
    assert verdict(match="leaf") == "refused"
    assert verdict(expires=datetime(2020, 1, 1, tzinfo=UTC)) == "accepted"  # its pins still count


def test_a_compromised_key_is_accepted_by_no_version(good: Identity, root: Authority) -> None:
    older = kit.policy(HOST, root.pin)  # without the mark, so it would accept the chain
    marked = replace(older, pins=(*older.pins, HostPin(good.pin, "leaf", "compromised")))
    sets = tuple(
        MonitoredPinSet(Path("pins.toml"), kit.pin_set(policy), History())
        for policy in (older, marked)
    )
    chain = (*ders(good), root.certificate.der)
    assert ChainJudge(sets, datetime.now(UTC)).verdict(HOST, chain) == "refused"


def test_a_forged_chain_is_not_issued(good: Identity, root: Authority) -> None:
    from certpin.lab import Authority

    moment = datetime.now(UTC)
    trusted = (root.certificate.der,)

    def is_issued(chain: tuple[bytes, ...], host: str = HOST, when: datetime = moment) -> bool:
        return is_issued_for(chain, host, trusted, when)

    assert is_issued(ders(good), when=moment + timedelta(minutes=1))
    assert is_issued((*ders(good), *trusted))
    assert not is_issued(ders(good), "other.example")
    assert not is_issued(ders(good), when=moment + timedelta(days=9000))
    assert not is_issued((*ders(Authority("Evil").issue(HOST)), *ders(good)))
    forged = ders(Authority("Test Intermediate").issue(HOST))
    assert not is_issued((forged[0], *ders(good)[1:]))
    for junk in ((), (b"junk",), (ders(good)[0],)):
        assert not is_issued(junk)


def test_a_leaf_is_issued_from_its_first_second(root: Authority) -> None:
    issued = root.at(datetime.now(UTC).replace(minute=40)).issue(HOST, days=6)
    chain, leaf, second = ders(issued), issued.chain[0], timedelta(seconds=1)
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc

    def is_issued(since: datetime, until: datetime | None = None) -> bool:
        return is_issued_for(chain, HOST, (root.certificate.der,), since, until)

    assert not is_issued(begin - second)
    assert is_issued(begin)
    assert is_issued(end)
    assert not is_issued(end + second)
    # Reported by a clock that is behind, or expired since: it was still issued.
    assert is_issued(begin - second, begin)
    assert is_issued(end - second, end + timedelta(days=30))
    assert not is_issued(begin - timedelta(days=2), begin - second)


def test_a_certificate_of_this_hour_is_critical_at_once(
    sqlite_store: Store, good: Identity, root: Authority
) -> None:
    """A strange certificate that was issued in the hour of the report gives a critical finding.

    A mis-issued certificate is used shortly after it was issued.
    """
    issued = root.at(datetime.now(UTC).replace(minute=40)).issue(HOST)
    now = int(issued.chain[0].not_valid_before_utc.timestamp()) + 60
    pins = kit.pin_set(kit.policy(HOST, good.pin, trust=kit.anchors(root)))
    here = stage(sqlite_store, MonitoredPinSet(Path("pins.toml"), pins, History()))
    report(sqlite_store, ders(issued), hour=now - now % HOUR, first_at=now - 30, last_at=now)
    with sqlite_store.read() as connection:
        found = gather_reports(connection, here.watch, FailureHistory(), now)
    assert [finding.severity for finding in strange_chains(found)] == ["critical"]


@pytest.mark.medium
def test_a_root_that_no_server_sends_counts_if_it_signed(
    sqlite_store: Store, good: Identity, root: Authority
) -> None:
    """A reported chain is accepted if the pinned root signed its last certificate.

    The clients did not verify the chain because of a wrong clock, and servers do not send the root.
    """
    pins = kit.pin_set(kit.policy(HOST, root.pin, trust=kit.anchors(root)))
    here = stage(sqlite_store, MonitoredPinSet(Path("pins.toml"), pins, History()))
    report(sqlite_store, ders(good), reason="date")
    report(sqlite_store, ders(good)[:1], reason="date")  # its signer is unknown
    with sqlite_store.read() as connection:
        found = gather_reports(connection, here.watch, FailureHistory(), NOW)
    assert (len(found.accepted), len(found.refused)) == (1, 1)


def test_the_expiry_of_signatures_is_read_from_the_folder(tmp_path: Path) -> None:
    here = MonitoredPinSet(tmp_path / "pins.toml", kit.pin_set(kit.policy(HOST)), History())
    assert not list(signed_roles(here, NOW))
    metadata = tmp_path / "publish" / "site" / "metadata"
    metadata.mkdir(parents=True)
    soon = datetime.fromtimestamp(NOW + HOUR, UTC).isoformat()
    late = datetime.fromtimestamp(NOW + 80 * DAY, UTC).isoformat()
    for name, expires in (("timestamp", soon), ("9.targets", soon), ("10.targets", late)):
        (metadata / f"{name}.json").write_text(json.dumps({"signed": {"expires": expires}}))
    (metadata / "1.root.json").write_text("[" * 100_000)
    (metadata / "1.snapshot.json").write_text('{"signed": {"expires": "never"}}')
    assert {(role.role, role.soon) for role in signed_roles(here, NOW)} == {
        ("timestamp", True),
        ("targets", False),
    }


def test_a_failed_evaluation_is_an_alert_and_resolves_none(store: Store) -> None:
    here = stage(store)
    here.evaluate(finding())
    here.evaluator._gather_probes = _broken
    for _ in range(3):
        here.now += 3600
        here.evaluator.run_once()
    with store.read() as connection:
        rules = [alert.rule for alert in open_alerts(connection)]
    assert rules == ["pin-mismatch", "look-fails"]


def test_a_broken_rule_is_an_alert_and_affects_no_other(
    sqlite_store: Store,
) -> None:
    broken = replace(RULES["would-lock-out"], check=_broken)
    here = stage(sqlite_store)
    here.evaluator._rules = {**here.evaluator._rules, broken.id: broken}
    here.evaluate(finding())
    here.now += 15
    here.evaluate(finding())
    with sqlite_store.read() as connection:
        names = [alert.details.get("what") for alert in open_alerts(connection)]
    assert names == [None, "the rule would-lock-out"]


def test_too_many_details_are_left_out(sqlite_store: Store) -> None:
    here = stage(sqlite_store)
    here.evaluate(finding(much="x" * 100_000, clients=4))
    with sqlite_store.read() as connection:
        (alert,) = open_alerts(connection)
    assert alert.details == {"clients": 4, "left_out": "there were too many details"}

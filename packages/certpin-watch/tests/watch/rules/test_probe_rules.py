"""The rules over probe results: their findings, severities, and limits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from certpin.lab import Authority
from certpin.lab.ct_log import LabLog, log_list, with_scts
from certpin.pins import HostPattern, HostPin, Pin, pins_of
from certpin.pins.policy import TrustAnchors
from certpin.providers import load_providers, root_pins
from certpin.rotation import AdoptionDelays, Event, journal_path
from certpin.x509 import Chain
from certpin.x509.certificate import read_certificates
from certpin.x509.sct import precertificate_tbs
from certpin_watch.monitor.results import MAX_BYTES
from certpin_watch.monitor.targets import Target
from certpin_watch.rules.engine import RULES, evaluate
from certpin_watch.rules.evidence import Evidence, ReportEvidence, VersionHolders
from certpin_watch.settings import SEVERITIES, AlertSettings, HostSettings, MonitorSettings
from tests import kit
from tests.watch.rules import _probes as made
from tests.watch.rules._probes import (
    DAY,
    NOW,
    at,
    failing,
    findings_of,
    found,
    location,
    logged,
    path,
    pins,
    probes,
    published,
    rules,
    view,
)

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.pinfile import PinSet
    from certpin.pins import Mode
    from certpin_watch.monitor.evidence import LoggedCertificate, ServerView
    from certpin_watch.rules.rule import AlertFinding


def one(findings: list[AlertFinding], rule: str) -> AlertFinding:
    """Return the only finding of this rule; fail if there are none or several."""
    (finding,) = [finding for finding in findings if finding.rule == rule]
    return finding


def under(pattern: str, content: PinSet) -> PinSet:
    """Return a copy of a pin set of one host, with another host pattern."""
    (policy,) = content.policies
    return replace(content, policies=(replace(policy, pattern=HostPattern.parse(pattern)),))


def test_a_correct_host_has_no_finding() -> None:
    assert found([view()], events=[published(pins("leaf"), ago=DAY, clients=40)]) == []


def test_an_unpinned_key_is_critical_and_its_chain_is_described() -> None:
    finding = one(found([view("stranger")]), "pin-mismatch")
    assert finding.severity == "critical"
    assert "api.bank.test:443 from local" in finding.summary
    assert finding.command == "certpin check pins.toml --host api.bank.test:443"
    assert finding.details["chain"][0]["pin"] == str(made.pin("stranger"))
    assert "ship a pin set that holds the new one" in finding.details["advice"]


@pytest.mark.parametrize("journal", ["empty", "of another version", "without numbers"])
def test_clients_that_report_the_version_of_the_pin_file_are_counted(journal: str) -> None:
    """The journal may lack the version of the pin file, or the number of its clients."""
    events = {
        "empty": [],
        "of another version": [published(pins("stranger"), ago=DAY, clients=40)],
        "without numbers": [published(pins("leaf", version=2), ago=DAY)],
    }
    evidence = Evidence(
        int(NOW.timestamp()),
        AlertSettings(),
        probes([view("stranger")], pins("leaf", version=2), events[journal]),
        ReportEvidence(
            holders=tuple(
                VersionHolders("bank", version, "app", "1", clients)
                for version, clients in ((1, 7), (2, 300))
            )
        ),
    )
    evaluation = evaluate(evidence, {"pin-mismatch": RULES["pin-mismatch"]})
    assert list(evaluation.clients.values()) == [300]


def test_an_edge_with_an_unpinned_key_is_named_with_its_address() -> None:
    edges = Target(made.HOST, 443, every_address=True, locations=("local",))
    good = view(target=edges, edge="192.0.2.7")
    bad = view("stranger", target=edges, edge="192.0.2.8")
    finding = one(found([good, bad]), "pin-mismatch")
    assert "at 192.0.2.8" in finding.summary
    assert finding.command.endswith("--connect 192.0.2.8:443")


def test_a_mismatch_of_report_mode_or_of_unpublished_pins_is_a_warning() -> None:
    assert rules(found([view("stranger")], pins("leaf", mode="report"))) == [
        ("pin-mismatch", "warning")
    ]
    old = published(pins("leaf"), ago=DAY)
    finding = one(found([view()], pins("next", version=2), [old]), "pin-mismatch")
    assert finding.severity == "warning"
    assert "not out yet" in finding.summary


def test_expired_pins_still_have_to_match() -> None:
    late = pins("leaf", expires=NOW - DAY)
    assert rules(found([view()], late)) == [("pins-expired", "critical")]
    assert ("pin-mismatch", "critical") in rules(found([view("stranger")], late))


def test_deployed_versions_that_refuse_are_named_with_their_clients() -> None:
    """The finding names the old pin set versions that refuse the served chain, and their clients.

    Version 1 is bundled with an app, version 2 was replaced within the adoption time, and version 3
    is in the pin file. Of the 1,000 clients that fetch pin sets, 55 are expected to use version 2
    still.
    """
    events = [
        published(pins("old"), ago=90 * DAY, clients=400, bundled=True),
        published(pins("old", "other", version=2), ago=30 * DAY, clients=20),
        published(pins("leaf", version=3), ago=3 * DAY, clients=1000),
    ]
    finding = one(found([view()], pins("leaf", version=3), events), "field-mismatch")
    assert finding.severity == "critical"
    assert finding.details["versions"] == [1, 2]
    assert finding.clients == 400 + 55
    assert "455 clients are locked out" in finding.summary
    # Eight days later version 2 is gone. Without numbers the count is unknown.
    events[1] = published(pins("old", "other", version=2), ago=30 * DAY)
    events[2] = published(pins("leaf", version=3), ago=11 * DAY)
    events[0] = published(pins("old"), ago=90 * DAY, bundled=True)
    finding = one(found([view()], pins("leaf", version=3), events), "field-mismatch")
    assert finding.details["versions"] == [1]
    assert finding.clients is None


def test_one_client_that_is_locked_out_is_in_the_singular() -> None:
    events = [
        published(pins("old"), ago=90 * DAY, clients=1, bundled=True),
        published(pins("leaf", version=3), ago=3 * DAY, clients=1000),
    ]
    finding = one(found([view()], pins("leaf", version=3), events), "field-mismatch")
    assert "; 1 client is locked out there" in finding.summary


def test_a_host_that_only_deployed_versions_pin_is_still_monitored() -> None:
    other = kit.policy("new.bank.test", made.pin("leaf"))
    file = kit.pin_set(other, version=2)
    policies = probes(content=file, events=[published(pins("leaf"), ago=DAY)]).policies
    assert [str(evidence.policy.pattern) for evidence in policies] == ["new.bank.test", made.HOST]
    assert [evidence.monitored.pins.version for evidence in policies] == [2, 1]


def test_a_chain_that_does_not_verify_is_critical() -> None:
    finding = one(found([failing(62, "Hostname mismatch")]), "chain-unverified")
    assert finding.severity == "critical"
    assert finding.details["code"] == 62
    assert "Hostname mismatch" in finding.summary


@pytest.mark.parametrize(
    ("life", "left", "severity"),
    [
        (365, 29, "warning"),
        (365, 31, None),
        (365, 6, "critical"),
        (
            90,
            25,
            None,
        ),  # renewed when 30 are left: overdue for five days, which is not yet an alert
        (90, 22, "warning"),
        (47, 13, None),  # of 47 days (SC-081v3) a machine renews when 16 are left
        (47, 11, "warning"),
        (47, 4, "critical"),
        (6, 2, None),
        (6, 1, "warning"),
    ],
)
def test_a_certificate_expires_soon_relative_to_its_lifetime(
    life: float, left: float, severity: str | None
) -> None:
    moment = NOW + (life - left) * DAY
    chain = path(f"life of {life}", days=life)
    content = pins(Pin.of_key(chain.leaf.spki_sha256))
    seen = probes([view(verified=chain, since=moment)], content)
    assert rules(findings_of(at(seen, moment))) == (
        [("certificate-expires", severity)] if severity else []
    )


def test_a_certificate_has_one_finding_for_all_its_servers() -> None:
    moment = NOW + 43 * DAY
    seen = probes([view(), view(vantage="fra1")])
    finding = one(findings_of(at(seen, moment)), "certificate-expires")
    assert len(finding.details["places"]) == 2
    assert "expires in 4 days" in finding.summary


def test_a_pinned_authority_fires_early_enough_to_adopt_its_successor() -> None:
    chain = path("leaf")
    above = chain.authorities[0]
    left = above.not_after - NOW
    moment = NOW + left - 45 * DAY
    leaf = made.authority().at(moment).issue(made.HOST)
    shown = Chain.from_der(
        [leaf.certificate.der, *(authority.der for authority in chain.authorities)]
    )
    events = [replace(published(pins("leaf"), ago=DAY), timing=AdoptionDelays(opened=40 * DAY))]
    for wanted, expected in ((Pin.of_key(above.spki_sha256), True), (leaf.pin, False)):
        findings = findings_of(at(probes([view(verified=shown)], pins(wanted), events), moment))
        reported = [finding for finding in findings if finding.rule == "certificate-expires"]
        assert bool(reported) == expected


def test_an_expired_certificate_is_critical_even_without_a_new_probe() -> None:
    assert rules(found([failing(10, "certificate has expired", path("ended", days=0))])) == [
        ("certificate-expired", "critical")
    ]
    later = at(probes([view()]), NOW + 50 * DAY)
    assert ("certificate-expired", "critical") in rules(findings_of(later))


@pytest.mark.parametrize(
    ("ends", "on_expiry", "expected"),
    [
        (59 * DAY, "fail-closed", [("pins-expire", "warning")]),
        (13 * DAY, "fail-closed", [("pins-expire", "critical")]),
        (61 * DAY, "fail-closed", []),
        (-DAY, "fail-closed", [("pins-expired", "critical")]),
        (-DAY, "fail-open", [("pins-expired", "warning")]),
    ],
)
def test_pins_that_expire_have_a_finding(
    ends: timedelta, on_expiry: str, expected: list[tuple[str, str]]
) -> None:
    assert rules(found([view()], pins("leaf", expires=NOW + ends, on_expiry=on_expiry))) == expected


@pytest.mark.parametrize(
    ("mode", "on_expiry", "effect"),
    [
        ("enforce", "fail-closed", "clients refuse every connection"),
        ("enforce", "fail-open", "clients check no pins"),
        ("report", "fail-closed", "clients report every connection, and refuse none"),
    ],
)
def test_a_finding_says_what_clients_do_after_the_expiry_of_pins(
    mode: Mode, on_expiry: str, effect: str
) -> None:
    for ends, rule in ((5 * DAY, "pins-expire"), (-DAY, "pins-expired")):
        content = pins("leaf", expires=NOW + ends, on_expiry=on_expiry, mode=mode)
        assert one(found([view()], content), rule).summary.endswith(effect)


def test_deployed_pins_that_expire_are_found_with_their_clients() -> None:
    old = pins("leaf", expires=NOW + 5 * DAY)
    events = [
        published(old, ago=30 * DAY, clients=7, bundled=True),
        published(pins("leaf", version=2), ago=DAY, clients=90),
    ]
    finding = one(found([view()], pins("leaf", version=2), events), "pins-expire")
    assert (finding.subject, finding.clients) == ("version 1", 7)


@pytest.mark.parametrize("older", ["*.bank.test", "**.bank.test"])
@pytest.mark.parametrize("newer", [made.HOST, "**.bank.test"])
@pytest.mark.parametrize(("ends", "rule"), [(5 * DAY, "pins-expire"), (-DAY, "pins-expired")])
def test_deployed_pins_of_any_pattern_that_expire_are_found_once(
    older: str, newer: str, ends: timedelta, rule: str
) -> None:
    old = under(older, pins("leaf", expires=NOW + ends))
    new = under(newer, pins("leaf", version=2))
    events = [published(old, ago=30 * DAY, clients=7), published(new, ago=DAY, clients=90)]
    finding = one(found([view()], new, events), rule)
    assert (finding.host, finding.subject, finding.severity) == (older, "version 1", "critical")


def test_pins_that_expire_before_the_next_can_be_adopted_fire_early() -> None:
    slow = published(pins("leaf", expires=NOW + 80 * DAY), ago=DAY)
    slow = replace(slow, timing=AdoptionDelays(opened=90 * DAY))
    content = pins("leaf", expires=NOW + 80 * DAY)
    assert rules(found([view()], content, [slow])) == [("pins-expire", "warning")]


GODADDY = Pin.parse("sha256/Ko8tivDrEjiY90yGasP6ZpBU4jwXvHqVvQI0GS3GNdA=")  # leaves 2027-04-15
DIGICERT = Pin.parse("sha256/r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E=")  # left 2026-04-22


def test_a_pinned_root_that_leaves_a_store_soon_is_a_warning() -> None:
    findings = found([view()], pins("leaf", GODADDY))
    warning = next(each for each in findings if each.severity == "warning")
    assert (warning.rule, warning.details["day"]) == ("change-ahead", "2027-04-15")
    assert warning.command == "certpin calendar pins.toml"
    change = next(each for each in findings if each.severity == "info")
    assert "GoDaddy issues DV certificates below" in change.summary
    assert len({each.key for each in findings}) == len(findings) == 2


def test_a_root_is_reported_when_the_new_pins_have_to_be_shipped() -> None:
    early = MonitorSettings(pins_warning=44 * DAY)  # NOW is 45 days before
    evidence = probes([view()], pins("leaf", GODADDY), settings=early)
    assert "warning" not in {each.severity for each in findings_of(evidence)}
    later = findings_of(at(evidence, NOW + DAY))
    assert "warning" in {each.severity for each in later if each.rule == "change-ahead"}


def test_a_root_that_left_a_store_is_reported_while_it_is_pinned() -> None:
    (finding,) = found([view()], pins("leaf", DIGICERT))
    assert (finding.rule, finding.details["day"]) == ("change-ahead", "2026-04-22")


def test_a_log_list_that_soon_refuses_nothing_is_a_warning() -> None:
    logs = log_list(LOGS, NOW - 39 * DAY)
    evidence = probes([view(verified=promised(*LOGS))], pins("leaf", ct_logs=logs))
    assert "change-ahead" not in {each.rule for each in findings_of(evidence)}
    finding = one(findings_of(at(evidence, NOW + DAY)), "change-ahead")
    assert finding.severity == "warning"
    assert finding.details["day"] == f"{(NOW + 31 * DAY).date()}"
    assert "the list of logs" in finding.summary


LOGS = (LabLog.make("Alpha"), LabLog.make("Beta"))
LIST = log_list(LOGS, NOW - DAY)


def promised(*logs: LabLog, at: datetime | None = None) -> Chain:
    """Return the verified chain of a certificate with SCTs from these logs.

    The certificate has the key of the identity "leaf". ``at`` is the time of the SCTs.
    """
    issuer = made.authority()
    key: Any = load_pem_private_key(made.identity("leaf").key_pem, None)
    issued = issuer.issue(made.HOST, key=key, change=with_scts(issuer, logs, at))
    return Chain((issued.certificate, issuer.certificate, made.root().certificate))


def test_a_certificate_without_the_scts_that_clients_require_is_critical() -> None:
    content = pins("leaf", ct_logs=LIST)
    out = [published(content, ago=DAY, clients=40)]
    finding = one(found([view()], content, out), "too-few-scts")
    assert (finding.severity, finding.clients) == ("critical", 40)
    assert "it has SCTs of 0 known logs, and needs 2; clients refuse it" in finding.summary
    assert "get a certificate with embedded SCTs" in finding.details["advice"]
    assert finding.command == "certpin check pins.toml --host api.bank.test:443"
    assert rules(found([view(verified=promised(*LOGS))], content, out)) == []


def test_a_log_that_the_list_lacks_is_named_with_its_fix() -> None:
    seen = view(verified=promised(LOGS[0], LabLog.make("Gamma")))
    finding = one(found([seen], pins("leaf", ct_logs=LIST)), "too-few-scts")
    assert "it is not in the list of logs" in finding.summary
    assert "take the current log list into `ct_logs`" in finding.details["advice"]


def test_too_few_scts_that_clients_only_report_are_a_warning() -> None:
    reporting = one(found([view()], pins("leaf", ct_logs=LIST, mode="report")), "too-few-scts")
    old = log_list(LOGS, NOW - 70 * DAY)
    stale = one(found([view()], pins("leaf", ct_logs=old)), "too-few-scts")
    before = published(pins("leaf"), ago=DAY)
    draft = one(found([view()], pins("leaf", version=2, ct_logs=LIST), [before]), "too-few-scts")
    assert {each.severity for each in (reporting, stale, draft)} == {"warning"}
    assert "because the log list is too old" in stale.summary
    assert "once they hold this version" in draft.summary


def test_a_deployed_version_that_requires_scts_is_a_field_mismatch() -> None:
    """The pin file no longer requires them; apps that were not updated yet do."""
    required = published(pins("leaf", ct_logs=LIST), ago=DAY, clients=7)
    finding = one(found([view()], pins("leaf", version=2), [required]), "field-mismatch")
    assert finding.clients == 7


@pytest.mark.parametrize("before", ["the old root", "the platform"])
def test_a_deployed_version_without_the_root_of_the_chain_is_a_field_mismatch(
    before: str, trusted_root: Path
) -> None:
    """The key is pinned, but apps that were not updated yet can't verify the chain."""
    root = Authority("New Root")
    identity = root.intermediate("Issuer").issue(made.HOST)
    served = Chain(read_certificates(identity.chain_pem))
    old = TrustAnchors.parse(trusted_root.read_bytes()) if before == "the old root" else None
    first, second = (
        kit.pin_set(kit.policy(made.HOST, identity.pin, trust=trust), version=version)
        for version, trust in ((1, old), (2, kit.anchors(root)))
    )
    seen = view(served=served, verified=Chain((*served.certificates, root.certificate)))
    finding = one(found([seen], second, [published(first, ago=DAY, clients=7)]), "field-mismatch")
    assert (finding.clients, finding.details["versions"]) == (7, [1])


def test_scts_at_only_one_location_may_be_an_attack() -> None:
    views = [view(verified=promised(*LOGS)), view("other", "fra1")]
    # With an old list, clients accept the chain and report it.
    old = log_list(LOGS, NOW - 70 * DAY)
    for logs, severity in ((LIST, "critical"), (old, "info"), (None, "info")):
        findings = found(views, pins("leaf", "other", ct_logs=logs))
        assert ("vantages-disagree", severity) in rules(findings)


def test_a_clock_that_is_behind_reports_no_new_certificate() -> None:
    seen = view(verified=promised(*LOGS, at=NOW + timedelta(minutes=5)))
    assert rules(found([seen], pins("leaf", ct_logs=LIST))) == []


def test_a_host_unreachable_from_all_locations_is_critical_else_a_warning() -> None:
    silent = view(outcome="unreachable", verified=None, served=None, problem="connection refused")
    assert rules(found([silent])) == [("host-unreachable", "critical")]
    assert rules(found([silent, view(vantage="fra1")])) == [("host-unreachable", "warning")]


def test_a_server_without_tls_is_critical_although_other_locations_get_a_chain() -> None:
    """An attacker may be between one location and the server (STARTTLS stripping)."""
    stripped = view(outcome="no-starttls", verified=None, served=None, problem="it declined TLS")
    assert rules(found([stripped])) == [("no-starttls", "critical")]
    finding = one(found([stripped, view(vantage="fra1")]), "no-starttls")
    assert finding.severity == "critical"
    assert "from local: it declined TLS" in finding.summary
    silent = view(vantage="fra1", outcome="unreachable", verified=None, served=None, problem="no")
    assert ("host-unreachable", "critical") in rules(found([stripped, silent]))


def test_a_changed_key_is_found_unless_file_or_journal_names_it() -> None:
    changed = view("next", before=path("leaf"), changed=NOW - DAY)
    both = pins("leaf", "next")
    assert rules(found([changed], both)) == []
    generated = Event(NOW - 9 * DAY, "ann", "generate", host=made.HOST, pin=made.pin("next"))
    findings = found([changed], events=[generated])
    assert "key-changed" not in {finding.rule for finding in findings}
    finding = one(found([changed]), "key-changed")
    assert finding.details["before"] == str(made.pin("leaf"))
    assert finding.details["after"] == str(made.pin("next"))


def test_a_key_of_a_deployed_version_with_another_pattern_is_expected() -> None:
    changed = view("next", before=path("leaf"), changed=NOW - DAY)
    new = under("**.bank.test", pins("leaf"))
    for pattern in ("**.bank.test", "*.bank.test"):
        old = under(pattern, pins("leaf", "next"))
        findings = found([changed], replace(new, version=2), [published(old, ago=DAY)])
        assert "key-changed" not in {finding.rule for finding in findings}


def test_a_compromised_key_is_not_expected() -> None:
    changed = view("next", before=path("leaf"), changed=NOW - DAY)
    named: dict[str, Any] = {"host": made.HOST, "pin": made.pin("next")}
    events = [
        Event(NOW - 9 * DAY, "ann", "generate", **named),
        Event(NOW - 8 * DAY, "ann", "compromise", **named),
    ]
    assert "key-changed" in {finding.rule for finding in found([changed], events=events)}


def test_the_key_of_a_stolen_certificate_is_not_expected() -> None:
    """A theft may be recorded by the pin of a certificate. The journal knows the key of it."""
    changed = view("next", before=path("leaf"), changed=NOW - DAY)
    key, certificate = pins_of(path("next").leaf)
    named: dict[str, Any] = {"host": made.HOST}
    events = [
        Event(NOW - 9 * DAY, "ann", "generate", pin=key, **named),
        Event(
            NOW - 8 * DAY,
            "ann",
            "observe",
            pin=key,
            certificate=certificate,
            server=f"{made.HOST}:443",
            **named,
        ),
    ]
    assert "key-changed" not in {finding.rule for finding in found([changed], events=events)}
    events.append(Event(NOW - 7 * DAY, "ann", "compromise", pin=certificate, **named))
    assert "key-changed" in {finding.rule for finding in found([changed], events=events)}


def test_a_key_that_the_pin_file_marks_as_compromised_is_not_expected() -> None:
    """The journal has the key, but no record of the theft."""
    changed = view("next", before=path("leaf"), changed=NOW - DAY)
    generated = Event(NOW - 9 * DAY, "ann", "generate", host=made.HOST, pin=made.pin("next"))
    content = pins("leaf")
    stolen = HostPin(made.pin("next"), state="compromised")
    policy = replace(content.policies[0], pins=(*content.policies[0].pins, stolen))
    findings = found([changed], replace(content, policies=(policy,)), [generated])
    assert "key-changed" in {finding.rule for finding in findings}


def test_a_changed_key_is_normal_if_only_authorities_are_pinned() -> None:
    changed = view("next", before=path("leaf"), changed=NOW - DAY)
    for authority in pins_of(path("leaf").authorities[0]):
        assert found([changed], pins(authority)) == []


def certificate_pin(name: str) -> Pin:
    """Return the pin (``cert-sha256``) of the certificate of an identity."""
    return pins_of(path(name).leaf)[1]


def renewed(name: str = "leaf", **fields: Any) -> ServerView:
    """Return the state of a server with a renewed certificate of the key of an identity."""
    issuer, key = made.authority(), made.identity(name).key
    leaf = issuer.issue(made.HOST, key=key).certificate
    return view(verified=Chain((leaf, issuer.certificate, made.root().certificate)), **fields)


def test_another_key_is_found_if_the_certificate_before_it_is_pinned() -> None:
    changed = view("next", before=path("leaf"), changed=NOW - DAY)
    findings = found([changed], pins(certificate_pin("leaf")))
    assert rules(findings) == [("pin-mismatch", "critical"), ("key-changed", "warning")]
    assert one(findings, "key-changed").details["after"] == str(made.pin("next"))


def test_a_key_is_expected_if_its_certificate_is_pinned() -> None:
    changed = view("next", before=path("leaf"), changed=NOW - DAY)
    assert found([changed], pins("leaf", certificate_pin("next"))) == []
    assert found([changed], pins(certificate_pin("leaf"), certificate_pin("next"))) == []


def test_a_key_is_named_if_the_journal_knows_a_pinned_certificate_of_it() -> None:
    """Clients refuse the other certificate of this key, but no other party has the key."""
    changed = renewed("next", before=path("leaf"), changed=NOW - DAY)
    content = pins("leaf", certificate_pin("next"))
    key, certificate = pins_of(path("next").leaf)
    named: dict[str, Any] = {"host": made.HOST, "server": f"{made.HOST}:443"}
    observed = Event(NOW - 8 * DAY, "ann", "observe", pin=key, certificate=certificate, **named)
    assert rules(found([changed], content)) == [
        ("pin-mismatch", "critical"),
        ("key-changed", "warning"),
    ]
    assert rules(found([changed], content, [observed])) == [("pin-mismatch", "critical")]


def test_a_renewed_certificate_of_the_same_key_is_no_changed_key() -> None:
    changed = renewed(before=path("leaf"), changed=NOW - DAY)
    assert found([changed], pins("leaf")) == []
    assert rules(found([changed], pins(certificate_pin("leaf")))) == [("pin-mismatch", "critical")]


def test_a_change_has_a_finding_for_a_limited_time() -> None:
    changed = view("next", before=path("leaf"), changed=NOW - 8 * DAY)
    assert "key-changed" not in {finding.rule for finding in found([changed])}


def test_a_new_root_is_a_warning_and_a_new_intermediate_is_information() -> None:
    elsewhere = path("moved", "Another Root")
    changed = view(verified=elsewhere, before=path("leaf"), changed=NOW - DAY)
    content = pins("leaf", Pin.of_key(elsewhere.leaf.spki_sha256))
    finding = one(found([changed], content), "issuer-changed")
    assert finding.severity == "warning"
    assert "CN=Below Another Root" in finding.summary
    sibling = made.root().intermediate("Sibling").issue(made.HOST, key=made.identity("leaf").key)
    beside = Chain.from_der(
        [
            *(certificate.public_bytes(Encoding.DER) for certificate in sibling.chain),
            made.root().certificate.der,
        ]
    )
    changed = view(verified=beside, before=path("leaf"), changed=NOW - DAY)
    assert rules(found([changed])) == [("issuer-changed", "info")]


def test_locations_disagree_if_one_sees_a_chain_that_clients_refuse() -> None:
    for other in (view("stranger", vantage="fra1"), failing(19, "self-signed", vantage="fra1")):
        finding = one(found([view(target=made.EVERYWHERE), other]), "vantages-disagree")
        assert finding.severity == "critical"
        assert finding.details["refused_from"] == ["fra1"]


def test_locations_disagree_about_a_pinned_certificate_although_the_key_is_the_same() -> None:
    other = renewed(vantage="fra1")
    assert other.verified is not None
    views = [view(target=made.EVERYWHERE), other]
    finding = one(found(views, pins(certificate_pin("leaf"))), "vantages-disagree")
    assert finding.severity == "critical"
    assert finding.details["keys"]["local"] == finding.details["keys"]["fra1"]
    assert finding.details["certificates"] == {
        "local": [str(certificate_pin("leaf"))],
        "fra1": [str(pins_of(other.verified.leaf)[1])],
    }


def test_locations_disagree_only_if_both_probed_after_the_last_change() -> None:
    minute = timedelta(minutes=1)
    changed = view("stranger", since=made.NOW - 2 * minute, target=made.EVERYWHERE)
    before = view(vantage="fra1", last=made.NOW - 3 * minute)
    assert "vantages-disagree" not in dict(rules(found([changed, before])))
    after = view(vantage="fra1", last=made.NOW - minute)
    assert "vantages-disagree" in dict(rules(found([changed, after])))


def test_locations_disagree_although_one_sees_alternating_chains() -> None:
    minute = timedelta(minutes=1)
    alternating = [
        view("stranger", since=made.NOW - minute, target=made.EVERYWHERE),
        view(since=made.NOW - 20 * minute, target=made.EVERYWHERE),
    ]
    other = view(vantage="fra1", last=made.NOW - 10 * minute)
    assert "vantages-disagree" in dict(rules(found([*alternating, other])))


def test_locations_that_see_two_accepted_keys_are_information() -> None:
    looks = [view(target=made.EVERYWHERE), view("next", vantage="fra1")]
    assert rules(found(looks, pins("leaf", "next"))) == [("vantages-disagree", "info")]


def test_no_backup_outside_the_chain_is_a_warning() -> None:
    authority = Pin.of_key(path("leaf").authorities[0].spki_sha256)
    content = pins("leaf")
    policy = replace(
        content.policies[0],
        pins=(HostPin(made.pin("leaf")), HostPin(authority, "intermediate")),
    )
    assert rules(found([view()], replace(content, policies=(policy,)))) == [
        ("no-backup", "warning")
    ]


def test_a_provider_with_a_root_that_is_not_pinned_is_a_warning() -> None:
    def with_roots(roots: tuple[HostPin, ...]) -> list[AlertFinding]:
        policy = replace(pins("leaf").policies[0], pins=roots, match="ca")
        evidence = found([view()], replace(pins("leaf"), policies=(policy,)))
        return [finding for finding in evidence if finding.rule == "provider-set-changed"]

    *older, newest = root_pins([load_providers().providers["letsencrypt"]], NOW.date())
    (finding,) = with_roots(tuple(older))
    assert finding.severity == "warning"
    assert f"new: {newest.note}" in finding.summary
    assert finding.command == "certpin providers update pins.toml"
    assert finding.details["added"] == [str(newest.pin)]
    assert with_roots((*older, newest)) == []


def test_a_wildcard_without_hosts_and_a_host_without_pins_are_found() -> None:
    wild = kit.pin_set(kit.policy("*.bank.test", made.pin("leaf")))
    assert rules(found(content=wild)) == [("not-probed", "info")]
    named = MonitorSettings(hosts=(HostSettings("www.bank.test"),))
    assert rules(found(content=wild, settings=named)) == []
    lost = MonitorSettings(hosts=(HostSettings("www.other.test"),))
    assert ("not-probed", "warning") in rules(found([view()], settings=lost))


def test_a_past_time_is_not_rounded_into_the_future() -> None:
    ago = timedelta(hours=3, seconds=20)
    stopped = location("local", asked=ago)
    finding = one(found([view()], locations=(stopped,)), "monitor-silent")
    assert f"{made.NOW - ago:%Y-%m-%d %H:%M} UTC" in finding.summary


def test_a_silent_location_is_found_and_a_new_one_is_given_time() -> None:
    both = [view(target=made.EVERYWHERE), view(vantage="fra1")]
    quiet = location("fra1", heard=timedelta(hours=2))
    fresh = location("fra1", heard=timedelta(hours=2), since=timedelta(minutes=5))
    assert rules(found(both, locations=(location("local"), quiet))) == [
        ("vantage-silent", "warning")
    ]
    assert rules(found(both, locations=(location("local"), fresh))) == []
    alone = location("local", heard=None)
    finding = one(found([view()], locations=(alone,)), "vantage-silent")
    assert (finding.severity, finding.command) == ("critical", "certpin serve")


def test_a_host_without_results_from_a_location_is_found() -> None:
    last = {(*made.LOCAL.key, "local"): NOW - timedelta(hours=3)}
    findings = found([view()], locations=(location("local"),), last_results=last)
    assert rules(findings) == [("vantage-silent", "warning")]
    assert findings[0].host == made.HOST
    begun = location("local", since=timedelta(minutes=5))  # the service was down until then
    assert rules(found([view()], locations=(begun,), last_results=last)) == []


def test_a_host_that_a_location_never_probed_is_found_after_the_same_time() -> None:
    def silent(added: timedelta, since: timedelta = DAY) -> list[AlertFinding]:
        awaited = {(*made.LOCAL.key, "local"): NOW - added}
        return found([view()], locations=(location("local", since=since),), awaited=awaited)

    finding = one(silent(timedelta(minutes=61)), "vantage-silent")
    assert (finding.severity, finding.host) == ("warning", made.HOST)
    assert f"since it was added on {NOW - timedelta(minutes=61):%Y-%m-%d %H:%M}" in finding.summary
    assert finding.details["heard"] is None
    assert silent(timedelta(minutes=60)) == []
    assert silent(DAY, since=timedelta(minutes=5)) == []  # the location is new, or again there


def test_a_host_whose_anchors_no_worker_can_be_sent_has_one_finding() -> None:
    anchor = made.root().certificate.der
    content = pins("leaf", trust=TrustAnchors((anchor,) * (MAX_BYTES // len(anchor))))
    target = replace(made.EVERYWHERE, trust=content.policies[0].trust)
    both = (location("local"), location("fra1"))
    awaited = {(*target.key, name): NOW - DAY for name in target.locations}
    findings = found([view(target=target)], content, locations=both, awaited=awaited)
    assert sorted((each.rule, each.details.get("vantage")) for each in findings) == [
        ("not-probed", None),
        ("vantage-silent", "local"),
    ]


def test_a_stopped_monitor_is_found_instead_of_its_locations() -> None:
    stopped = location("local", asked=timedelta(hours=2), heard=timedelta(hours=2))
    assert rules(found([view()], locations=(stopped,))) == [("monitor-silent", "critical")]


def test_a_pin_file_that_cannot_be_read_is_critical() -> None:
    finding = one(
        found([view()], problems=("/etc/pins.toml:3: it is broken",)), "pin-file-unreadable"
    )
    assert finding.severity == "critical"
    assert (finding.subject, finding.command) == ("/etc/pins.toml", "certpin lint /etc/pins.toml")
    journal = journal_path(Path("/etc/pins.toml"))
    finding = one(found([view()], problems=(f"{journal}:1: it is broken",)), "pin-file-unreadable")
    assert finding.command == "certpin rotate status --file /etc/pins.toml"


def test_a_logged_certificate_with_an_unpinned_key_is_found() -> None:
    finding = one(found([view()], logged=(logged("stranger"),)), "logged-key")
    assert finding.details["pin"] == str(made.pin("stranger"))
    for known in ("leaf", "next"):
        assert rules(found([view()], pins("leaf", "next"), logged=(logged(known),))) == []
    authority = Pin.of_key(path("leaf").authorities[0].spki_sha256)
    assert rules(found([view()], pins(authority), logged=(logged("stranger"),))) == []


def precertificate(chain: Chain) -> LoggedCertificate:
    """Return the record of a log about the precertificate of a chain's leaf."""
    tbs = hashlib.sha256(precertificate_tbs(chain.leaf)).digest()
    key, names = chain.leaf.spki_sha256, (made.HOST,)
    return replace(logged("leaf"), tbs=tbs, key=key, names=names, not_after=chain.leaf.not_after)


def test_a_logged_certificate_that_is_pinned_has_no_finding_once_a_server_presents_it() -> None:
    """A log has the precertificate, which has another digest than the certificate."""
    chain = promised(*LOGS)
    key, certificate = pins_of(chain.leaf)
    entry = precertificate(chain)
    for pin in (key, certificate):
        assert found([view(verified=chain)], pins(pin), logged=(entry,)) == []
    # The store has certificates of the past, too.
    content, stored = pins("next", certificate), frozenset((chain.leaf,))
    assert found([view("next")], content, logged=(entry,), pinned=stored) == []
    assert rules(found([view("next")], content, logged=(entry,))) == [("logged-key", "warning")]


def test_another_logged_certificate_of_the_same_key_is_found_if_the_certificate_is_pinned() -> None:
    chain = promised(*LOGS)
    content = pins(pins_of(chain.leaf)[1])
    entry = precertificate(path("leaf"))
    finding = one(found([view(verified=chain)], content, logged=(entry,)), "logged-key")
    assert "logged with the key of a pinned certificate, but is another" in finding.summary
    assert "only the digest" not in finding.summary
    assert found([view(verified=chain)], pins("leaf"), logged=(entry,)) == []


def test_a_logged_certificate_may_be_pinned_if_only_the_digest_of_a_pinned_one_is_known() -> None:
    """A pin has only a digest. A log of precertificates has another one."""
    content = pins("leaf", certificate_pin("next"))
    entry = precertificate(path("next"))
    finding = one(found([view()], content, logged=(entry,)), "logged-key")
    assert finding.summary.endswith("a pinned certificate of which only the digest is known")
    finding = one(found([view()], pins("leaf"), logged=(entry,)), "logged-key")
    assert finding.summary.endswith(f"was logged with another key: {made.pin('next')}")


def test_a_certificate_below_a_pinned_certificate_of_an_authority_is_expected() -> None:
    content = pins(pins_of(path("leaf").authorities[0])[1])
    assert found([view()], content, logged=(logged("next"),)) == []
    elsewhere = logged("moved", issuer="Another Root")
    assert "logged-key" in dict(rules(found([view()], content, logged=(elsewhere,))))
    # A trust anchor of the pin file is known without a probe.
    root = made.root().certificate
    content = pins(pins_of(root)[1], trust=TrustAnchors((root.der,)))
    assert "logged-key" not in dict(rules(found([], content, logged=(logged("next"),))))


@pytest.mark.parametrize(
    ("names", "concerned"),
    [
        (("*.bank.test",), True),
        (("www.bank.test", made.HOST), True),
        (("bank.test", "*.api.bank.test", "a..b"), False),
    ],
)
def test_a_logged_certificate_is_for_the_hosts_that_its_names_match(
    names: tuple[str, ...], concerned: bool
) -> None:
    findings = found([view()], logged=(logged("stranger", names=names),))
    assert bool(findings) == concerned


def test_a_logged_wildcard_is_for_a_wildcard_policy_of_one_of_its_hosts() -> None:
    content = under("**.api.bank.test", pins("leaf"))
    for name, concerned in (("*.bank.test", True), ("*.shop.test", False)):
        findings = found([view()], content, logged=(logged("stranger", names=(name,)),))
        assert bool([each for each in findings if each.rule == "logged-key"]) == concerned


def test_a_logged_certificate_of_another_issuer_is_found() -> None:
    entry = logged("moved", issuer="Another Root")
    content = pins("leaf", Pin.of_key(entry.key))
    assert rules(found([view()], content, logged=(entry,))) == [("logged-issuer", "warning")]


def test_a_logged_entry_has_a_finding_for_a_limited_time_and_a_malformed_one_is_information() -> (
    None
):
    assert found([view()], logged=(logged("stranger", first=NOW - 31 * DAY),)) == []
    assert found([view()], logged=(logged("stranger", not_after=NOW),)) == []
    junk = logged("stranger", kind="malformed", names=(), key=b"")
    assert rules(found([view()], logged=(junk,))) == [("logged-malformed", "info")]


def test_findings_are_sorted_by_severity_can_be_json_and_keep_their_key() -> None:
    findings = found(
        [view("stranger"), failing(62, "Hostname mismatch", vantage="fra1")],
        problems=("x.toml: y",),
    )
    order = [SEVERITIES.index(finding.severity) for finding in findings]
    assert order == sorted(order)
    assert json.loads(json.dumps([finding.details for finding in findings]))
    again = found([view("stranger", since=NOW)])
    assert one(findings, "pin-mismatch").key == one(again, "pin-mismatch").key

"""Versions that require SCTs (``require_ct``): the gate refuses certificates with too few."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab import Authority
from certpin.lab.ct_log import LabLog, log_list, with_scts
from certpin.pins import HostPin, PinSet
from certpin.rotation import (
    AppRelease,
    Prospect,
    ServerDate,
    Sighting,
    Version,
    check_now,
    check_step,
    time_evidence,
)
from certpin.rotation.prospect import conclude, refuses, stand_in
from certpin.rotation.situation import CLOCK_TOLERANCE
from certpin.x509 import Chain
from tests.rotation._situations import DAY, HOST, NOW, TIMING, pin, policy, situation

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.lab import Identity
    from certpin.pins import HostPolicy
    from certpin.rotation import Situation, Violation

ROOT = Authority("root", now=NOW)
CA = ROOT.intermediate("ca")
LOGS = (LabLog.make("Alpha"), LabLog.make("Beta"))
LIST = log_list(LOGS, NOW - DAY)


def renewal(*logs: LabLog, at: datetime | None = None) -> Identity:
    """Return a new certificate and key with the SCTs of these Certificate Transparency logs.

    Args:
        logs: the logs; without any, the certificate has no SCTs.
        at: the time of the SCTs.
    """
    return CA.issue(HOST, change=with_scts(CA, logs, at)) if logs else CA.issue(HOST)


BARE, PROMISED = renewal(), renewal(*LOGS)


def sent(identity: Identity, *above: Authority) -> Prospect:
    """Return the chain that a server will send, as the gate gets it from a certificate file.

    Args:
        identity: the leaf certificate.
        above: the authorities above it; by default, the intermediate.
    """
    authorities = tuple(each.certificate for each in above or (CA,))
    return Prospect(identity.certificate, authorities, sent=True, roots=(ROOT.certificate.der,))


def path(identity: Identity) -> Chain:
    return Chain((identity.certificate, CA.certificate, ROOT.certificate))


def requiring(identity: Identity, **fields: Any) -> HostPolicy:
    entries = [HostPin(identity.pin), HostPin(pin("backup"), "backup", "published")]
    return policy(entries, **({"ct_logs": LIST} | fields))


def known(identity: Identity, served: Identity | None = None, **fields: Any) -> Situation:
    """Return a situation with one version that clients have, and that requires SCTs.

    Args:
        identity: the certificate with the key that the version pins.
        served: the certificate that servers present now, if any.
        fields: other fields of the policy.
    """
    pins = PinSet("bank", 1, (requiring(identity, **fields),))
    seen = (Sighting("192.0.2.7:443", path(served)),) if served else ()
    return situation(replace(pins, version=2), Version(pins, fetched=NOW - 30 * DAY), seen=seen)


def violations(identity: Identity, **fields: Any) -> list[Violation]:
    """Return the gate's violations if servers begin to present this certificate."""
    found = check_step(known(identity, **fields), "activate", identity.pin, [sent(identity)])
    return list(found)


def test_a_renewal_without_scts_is_refused_with_the_missing_ones_and_the_fix() -> None:
    [found] = violations(BARE)
    assert found.invariant == "adopted"
    assert found.problem == (
        f"{BARE.pin} has a certificate that version 1 refuses, by require_ct: "
        "it has SCTs of 0 known logs, and needs 2"
    )
    assert found.fix == "get a certificate with embedded SCTs: each public authority adds them"
    assert violations(PROMISED) == []


def test_each_sct_and_an_unknown_log_are_named() -> None:
    foreign = renewal(LOGS[0], LabLog.make("Gamma"))
    [found] = violations(foreign)
    assert "it has SCTs of 1 known logs, and needs 2 (Alpha 2027" in found.problem
    assert "it is not in the list of logs" in found.problem
    assert "take the current log list into `ct_logs`" in found.fix


@pytest.mark.parametrize(
    "fields",
    [
        {"ct_logs": None},
        {"ct_logs": log_list(LOGS, NOW - 70 * DAY - TIMING.skew)},
        {"mode": "report"},
    ],
    ids=["not required", "old list", "report"],
)
def test_clients_that_only_report_block_no_renewal(fields: dict[str, Any]) -> None:
    assert violations(BARE, **fields) == []


def test_clients_with_a_slow_clock_require_scts_for_longer() -> None:
    """They refuse a certificate until the list is too old by their clock."""
    [found] = violations(BARE, ct_logs=log_list(LOGS, NOW - 70 * DAY))
    assert (found.invariant, "by require_ct" in found.problem) == ("adopted", True)


def test_a_list_of_logs_is_not_too_old_only_by_the_clock_of_this_machine() -> None:
    old = known(BARE, ct_logs=log_list(LOGS, NOW - 80 * DAY))
    evidence = time_evidence(None)
    unsure = replace(old, evidence=evidence)
    [found] = check_step(unsure, "activate", BARE.pin, [sent(BARE)])
    assert found.invariant == "clock"
    assert "the list of logs (ct_logs) of version 1 is too old: no server" in found.problem
    dates = (ServerDate("eu", NOW, NOW),)
    sure = replace(old, evidence=replace(evidence, dates=dates))
    assert check_step(sure, "activate", BARE.pin, [sent(BARE)]) == ()
    good = known(PROMISED, ct_logs=log_list(LOGS, NOW - 80 * DAY))
    good = replace(good, evidence=evidence)
    assert check_step(good, "activate", PROMISED.pin, [sent(PROMISED)]) == ()


def test_a_certificate_that_is_not_issued_yet_is_judged_by_its_pins() -> None:
    key = stand_in(BARE.pin)
    for prospect in (Prospect(key), Prospect(key, (CA.certificate,), issued=False, sent=True)):
        assert conclude([prospect], [requiring(BARE)], NOW) == "accepted"


def test_without_the_certificate_of_its_issuer_the_scts_are_open() -> None:
    alone = replace(sent(PROMISED), authorities=())
    [found] = check_step(known(PROMISED), "activate", PROMISED.pin, [alone])
    assert found.invariant == "open-chain"
    assert "fullchain.pem" in found.fix
    without = known(PROMISED, ct_logs=None)
    assert check_step(without, "activate", PROMISED.pin, [alone]) == ()


def test_a_file_with_only_the_served_leaf_says_nothing_about_its_scts() -> None:
    assert not refuses(Chain((PROMISED.certificate,)), requiring(PROMISED), NOW)
    own = Authority("own", now=NOW)
    pinned = policy([HostPin(own.pin), HostPin(pin("b"), "backup")], ct_logs=LIST)
    assert refuses(Chain((own.certificate,)), pinned, NOW)  # no log has it
    rolled = Authority("own", issuer=own, now=NOW)  # self-issued: its issuer is not in the chain
    following = policy([HostPin(rolled.pin), HostPin(pin("b"), "backup")], ct_logs=LIST)
    assert not refuses(Chain((rolled.certificate,)), following, NOW)


def test_a_served_certificate_without_scts_breaks_the_rule_of_every_moment() -> None:
    [found] = check_now(known(BARE, served=BARE))
    assert found.invariant == "served-chain"
    assert found.problem == (
        "192.0.2.7:443 has a certificate that version 1 refuses, by require_ct: "
        "it has SCTs of 0 known logs, and needs 2"
    )
    assert check_now(known(PROMISED, served=PROMISED)) == ()


def test_require_ct_is_not_published_while_a_server_has_no_scts() -> None:
    before = PinSet("bank", 1, (requiring(BARE, ct_logs=None),))
    draft = PinSet("bank", 2, (requiring(BARE),))
    seen = (Sighting("192.0.2.7:443", path(BARE)),)
    held = situation(draft, Version(before, fetched=NOW - 30 * DAY), seen=seen)
    [found] = check_step(held, "publish")
    assert (found.invariant, found.safe_from) == ("served-chain", None)
    release = AppRelease("app", "2", NOW, end=NOW + 200 * DAY)
    [found] = check_step(replace(held, release=release), "publish")
    assert (found.invariant, found.safe_from) == ("served-chain", None)


def test_a_key_that_is_not_pinned_is_reported_before_its_scts() -> None:
    other = renewal()
    [found] = check_step(known(BARE), "serve", other.pin, [sent(other)])
    assert "is not adopted" in found.problem
    [served] = check_now(known(BARE, served=other))
    assert "serves a key that version 1 refuses" in served.problem


def test_a_clock_that_is_a_little_behind_refuses_no_new_certificate() -> None:
    fresh = renewal(*LOGS, at=NOW + CLOCK_TOLERANCE)
    assert violations(fresh) == []
    late = renewal(*LOGS, at=NOW + 2 * CLOCK_TOLERANCE)
    [found] = violations(late)
    assert "dated in the future" in found.problem

"""Compare a served chain with the pins, at any time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from certpin.errors import CertificateParseError, DialError
from certpin.lab import Authority
from certpin.lab.ct_log import LabLog, log_list, with_scts
from certpin.pins import pins_of
from certpin.probe import Endpoint, Observation
from certpin.probe.checkup import Checkup, check_up
from certpin.roots import PublicRoot, RootData, ScheduledRemoval
from certpin.support.text import in_days
from certpin.x509 import Certificate, Chain, name_of
from tests import kit
from tests.x509._authorities import naming

if TYPE_CHECKING:
    from certpin.pins import HostPolicy, TrustAnchors

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
ROOT = Authority("Root", now=NOW)
BANK = ROOT.issue("a.example", days=30)
PATH = Chain((BANK.certificate, ROOT.certificate))
SEEN = Observation(Endpoint("a.example", 8443), "192.0.2.7", "TLSv1.3", PATH, PATH)


def checkup(policy: HostPolicy, *, days: int = 0, after: timedelta = timedelta()) -> Checkup:
    return check_up(policy, SEEN, NOW + after, least_days=days)


def test_a_good_host_has_no_findings() -> None:
    found = checkup(kit.policy("a.example", BANK.pin))
    assert (found.status, found.findings) == ("holds", ())
    assert (found.host, found.port) == ("a.example", 8443)
    assert found.verdict is not None
    assert found.verdict.matched is not None


@pytest.mark.parametrize(
    ("after", "days", "findings"),
    [
        (timedelta(), 30, ()),
        (timedelta(), 31, ("a certificate of the chain expires in 30 days",)),
        (timedelta(days=28, hours=1), 2, ("a certificate of the chain expires in 1 day",)),
        (timedelta(days=29, hours=1), 1, ("a certificate of the chain expires in 0 days",)),
    ],
)
def test_days_are_counted_until_a_certificate_expires(
    after: timedelta, days: int, findings: tuple[str, ...]
) -> None:
    found = checkup(kit.policy("a.example", BANK.pin), days=days, after=after)
    assert found.findings == findings


@pytest.mark.parametrize(
    ("left", "days", "findings"),
    [
        (timedelta(days=5), 5, ()),
        (timedelta(days=5), 6, ("the pins expire in 5 days",)),
        (timedelta(hours=1), 1, ("the pins expire in 0 days",)),
        (timedelta(), 9, ("the pins have expired",)),
        (timedelta(days=-5), 9, ("the pins have expired",)),
    ],
)
def test_days_are_counted_until_the_pins_expire(
    left: timedelta, days: int, findings: tuple[str, ...]
) -> None:
    found = checkup(kit.policy("a.example", BANK.pin, expires=NOW + left), days=days)
    assert found.findings == findings


def test_each_problem_is_a_separate_finding() -> None:
    expired = NOW - timedelta(days=1)
    found = checkup(kit.policy("a.example", expires=expired, on_expiry="report"), days=31)
    assert [finding.split()[0:2] for finding in found.findings] == [
        ["no", "pin"],
        ["the", "pins"],
        ["a", "certificate"],
    ]


UNPINNED = "no pin matches the chain that it serves"


@pytest.mark.parametrize(
    ("on_expiry", "findings"),
    [
        ("fail-closed", ["the pins have expired"]),
        ("fail-open", ["the pins have expired: clients accept every verified chain"]),
        (
            "report",
            [
                f"{UNPINNED}: clients only report it, because the pins have expired",
                "the pins have expired",
            ],
        ),
    ],
)
def test_expired_pins_that_are_not_enforced_lock_no_client_out(
    on_expiry: Any, findings: list[str]
) -> None:
    expired = kit.policy("a.example", expires=NOW, on_expiry=on_expiry)
    assert list(checkup(expired).findings) == findings


def test_pins_inside_the_served_chain_are_no_backup() -> None:
    assert checkup(kit.policy("a.example", BANK.pin, ROOT.pin)).findings == (
        "every pin belongs to the chain that is served now: there is no backup outside it",
    )


def test_a_root_set_of_which_every_root_is_served_is_its_own_backup() -> None:
    policy = kit.policy("a.example", BANK.pin, ROOT.pin)
    roots = tuple(replace(entry, provider=("one",)) for entry in policy.pins)
    assert checkup(replace(policy, pins=roots)).findings == ()


def _root_facts(**fields: Any) -> RootData:
    """Return data about the root of the chain, which certifi has had since 2020."""
    key, whole = pins_of(ROOT.certificate)
    dates = {whole: (date(2009, 1, 1), date(2040, 1, 1))}
    root = PublicRoot(key, "Root", dates, ((date(2020, 1, 1), None),))
    packages = {"libnss3 1": date(2020, 1, 1)}
    return RootData({key: replace(root, **fields)}, packages=packages)


def _about_root(data: RootData, policy: HostPolicy | None = None, days: int = 0) -> list[str]:
    policy = policy or kit.policy("a.example", BANK.pin)
    found = check_up(policy, SEEN, NOW, least_days=days, roots=data).findings
    return [each for each in found if "the root" in each]


def test_a_root_that_left_a_store_is_a_finding_with_its_day() -> None:
    gone = _root_facts(periods=((date(2020, 1, 1), NOW.date()),), removed_in="2026.5.4")
    assert _about_root(gone) == [
        "the root Root left Mozilla's root store on 2026-05-04 (certifi 2026.5.4)"
    ]
    anchors = kit.anchors(ROOT)
    assert _about_root(gone, kit.policy("a.example", BANK.pin, trust=anchors)) == []
    assert _about_root(_root_facts()) == []


@pytest.mark.parametrize(("days", "found"), [(0, False), (11, False), (12, True)])
def test_a_root_that_leaves_a_store_is_a_finding_in_fewer_days_than_asked(
    days: int, found: bool
) -> None:
    step = ScheduledRemoval(date(2010, 1, 1), date(2026, 5, 15), date(2023, 1, 24), "https://a")
    data = replace(_root_facts(), schedule=(step,))
    assert bool(_about_root(data, days=days)) == found


@pytest.mark.parametrize(("after", "found"), [(-1, True), (0, False), (60, False)])
def test_a_distrust_spares_certificates_from_before_its_day(after: int, found: bool) -> None:
    last = BANK.certificate.not_before.date() + timedelta(days=after)
    data = _root_facts(distrust_after=last, distrust_source="libnss3 1")
    later = NOW + timedelta(days=10)
    findings = check_up(kit.policy("a.example", BANK.pin), SEEN, later, roots=data).findings
    assert any("is distrusted" in each for each in findings) == found


def test_a_lost_key_is_no_backup() -> None:
    policy = kit.policy("a.example", BANK.pin, kit.NOBODY)
    in_use, spare = policy.pins
    lost = replace(policy, pins=(in_use, replace(spare, state="lost")))
    assert checkup(policy).findings == ()
    assert "no backup outside it" in checkup(lost).findings[0]


def test_a_chain_that_did_not_verify_is_one_finding_and_has_no_days() -> None:
    seen = replace(SEEN, verified=None, problem="Hostname mismatch", code=62)
    found = check_up(kit.policy("a.example", BANK.pin), seen, NOW, least_days=99)
    assert found.findings == ("the chain did not verify: Hostname mismatch",)
    assert (found.verdict, found.certificate_days(NOW)) == (None, None)


def test_a_host_without_an_answer_is_inconclusive() -> None:
    error = DialError("refused", host="a.example", port=443)
    found = Checkup(kit.policy("a.example"), "a.example", 443, error=error)
    assert (found.status, found.certificate_days(NOW), found.pin_days(NOW)) == (
        "inconclusive",
        None,
        None,
    )


def test_unreadable_dates_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(certificate: Certificate) -> datetime:
        if certificate == BANK.certificate:
            raise CertificateParseError("no date")
        return NOW + timedelta(days=100, hours=1)

    monkeypatch.setattr(Certificate, "not_after", property(unreadable))
    assert checkup(kit.policy("a.example", BANK.pin)).certificate_days(NOW) == 100


@pytest.mark.parametrize(("days", "words"), [(0, "0 days"), (1, "1 day"), (2, "2 days")])
def test_days_have_a_unit(days: int, words: str) -> None:
    assert in_days(days) == words


ROGUE = Authority("Corporate Proxy", now=NOW)
TWIN = Authority("Root", now=NOW)  # the same name, and another key
TRUST = replace(kit.anchors(ROOT), source="bank.pem")
NO_ISSUER = 20  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
SELF_SIGNED_IN_CHAIN = 19  # X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN


def refused(policy: HostPolicy, chain: Chain, code: int = NO_ISSUER) -> tuple[str, str]:
    """Return the finding and the fix for a chain that did not verify."""
    endpoint = Endpoint("a.example")
    seen = Observation(endpoint, "192.0.2.7", "TLSv1.3", chain, None, "no issuer", code)
    found = check_up(policy, seen, NOW)
    assert found.status == "finding"
    (problem,) = found.findings
    assert "--ca-file" not in problem + found.fix  # neither check nor lint has such an option
    return problem, found.fix


def test_a_chain_of_another_authority_is_reported_with_its_issuer_and_the_anchors() -> None:
    policy = kit.policy("a.example", BANK.pin, trust=TRUST)
    forged = ROGUE.issue("a.example")
    chain = Chain((forged.certificate, ROGUE.certificate))
    problem, fix = refused(policy, chain, SELF_SIGNED_IN_CHAIN)
    assert problem == (
        "the chain ends at another authority: it was issued by CN=Corporate Proxy, and "
        'trust = "bank.pem" expects CN=Root (no issuer)'
    )
    assert "man in the middle" in fix
    assert "bank.pem" in fix
    problem, fix = refused(policy, Chain((forged.certificate,)))
    assert problem == (
        "the chain ends at CN=a.example: the certificate of CN=Corporate Proxy that issued it was "
        'not sent, and trust = "bank.pem" expects CN=Root (no issuer)'
    )
    assert "man in the middle" in fix
    assert fix.endswith("If the server is yours, let it send its intermediates too.")


def test_an_authority_with_the_name_of_an_anchor_is_distinguished() -> None:
    ours = TWIN.issue("a.example")
    for pinned in (BANK, ours):
        for chain in (Chain((ours.certificate,)), Chain((ours.certificate, TWIN.certificate))):
            problem, _ = refused(kit.policy("a.example", pinned.pin, trust=TRUST), chain)
            assert "issued by CN=Root" in problem
            assert "expects CN=Root, which has the same name and another key" in problem


@pytest.mark.parametrize("trust", [TRUST, None])
def test_only_a_pinned_leaf_proves_that_the_server_left_out_its_intermediates(
    trust: TrustAnchors | None,
) -> None:
    intermediate = ROOT.intermediate("Intermediate")
    ours, theirs = intermediate.issue("a.example"), intermediate.issue("a.example")
    policy = kit.policy("a.example", ours.pin, trust=trust)
    _, fix = refused(policy, Chain((ours.certificate,)))
    assert fix.startswith("the server sent its own certificate only, and its key is pinned")
    assert ('trust = "ROOT.pem"' in fix) == (trust is None)  # a private authority may have none
    _, fix = refused(policy, Chain((theirs.certificate,)))
    assert fix.startswith("compare from another network")


@pytest.mark.parametrize("pinned", [True, False])
def test_a_missing_intermediate_is_named_whatever_else_was_sent(*, pinned: bool) -> None:
    ours = ROOT.intermediate("Intermediate").issue("a.example")
    renewed = ROOT.intermediate("Intermediate")  # the same name, and another key
    previous = ROOT.intermediate("Previous")
    policy = kit.policy("a.example", (ours if pinned else BANK).pin, trust=TRUST)
    for sent in (ROOT, ROGUE, renewed, previous):
        problem, fix = refused(policy, Chain((ours.certificate, sent.certificate)))
        assert "the certificate of CN=Intermediate that issued" in problem
        assert "another key" not in problem
        assert "CN=Corporate Proxy" not in problem + fix
        assert ("man in the middle" in fix) != pinned
        assert "intermediate" in fix


def test_a_chain_above_the_first_intermediate_can_be_incomplete_too() -> None:
    upper = ROOT.intermediate("Upper")
    lower = upper.intermediate("Lower")
    ours = lower.issue("a.example")
    policy = kit.policy("a.example", ours.pin, trust=TRUST)
    problem, fix = refused(policy, Chain((ours.certificate, lower.certificate)))
    assert "the chain ends at CN=Lower: the certificate of CN=Upper that issued it" in problem
    assert "if CN=Upper is a root and you changed to it on purpose, put its certificate" in fix
    assert "if CN=Upper is an intermediate, configure the server to send its certificate" in fix
    _, fix = refused(
        kit.policy("a.example", BANK.pin, trust=TRUST), Chain((ours.certificate, lower.certificate))
    )
    assert fix.startswith("compare from another network")
    assert "If CN=Upper is an intermediate and the server is yours" in fix


def test_a_chain_without_its_private_root_is_complete() -> None:
    """Its issuer may be an intermediate that was not sent, too: both look the same."""
    intermediate = ROOT.intermediate("Intermediate")
    ours = intermediate.issue("a.example")
    chain = Chain((ours.certificate, intermediate.certificate))
    problem, fix = refused(kit.policy("a.example", ours.pin), chain)
    expected = "the chain ends at an authority that this machine does not trust: CN=Root"
    assert problem == f"{expected} (no issuer)"
    assert fix == (
        "the server's key is pinned: if CN=Root is your own authority, name its certificate in the "
        'pin file: trust = "ROOT.pem"; or, if CN=Root is an intermediate, configure the server to '
        "send its certificate too (the full chain)"
    )
    problem, fix = refused(kit.policy("a.example", BANK.pin), chain)
    assert problem == f"{expected} (no issuer)"
    assert "man in the middle. If it is your own authority, name its certificate" in fix


def _reissued(root: Authority) -> Authority:
    """Return a root with another certificate for its key: the same name, another serial number."""
    return Authority("Root", key=root.key, now=NOW)


@pytest.mark.parametrize("depth", [0, 1])
def test_an_identifier_that_names_another_certificate_of_a_root_is_the_reason(depth: int) -> None:
    """OpenSSL's ``authorityKeyIdentifier = issuer:always`` names the serial number, too."""
    new = _reissued(ROOT)
    below = ROOT.intermediate("Intermediate", change=naming(ROOT))
    ours = below.issue("a.example") if depth else ROOT.issue("a.example", change=naming(ROOT))
    sent = (ours.certificate, below.certificate)[: depth + 1]
    trust = replace(kit.anchors(new), source="bank.pem")
    policy = kit.policy("a.example", ours.pin, trust=trust)
    for root in ((), (ROOT.certificate,)):
        chain = Chain((*sent, *root))
        code = SELF_SIGNED_IN_CHAIN if root else NO_ISSUER
        problem, fix = refused(policy, chain, code)
        assert problem.startswith(
            f"the authorityKeyIdentifier of {name_of(sent[-1])} names another"
        )
        assert 'of CN=Root than the one in trust = "bank.pem": one with the same key' in problem
        assert fix.startswith("put that one into bank.pem, too, and ship the new pin set first")
        both = replace(policy, trust=kit.anchors(new, ROOT))
        assert refused(both, chain, code)[1].startswith("a second connection got a chain")


def test_an_identifier_that_names_another_certificate_of_an_intermediate_is_the_reason() -> None:
    old = ROOT.intermediate("Intermediate")
    new = Authority("Intermediate", issuer=ROOT, key=old.key)
    ours = old.issue("a.example", change=naming(old))
    policy = kit.policy("a.example", ours.pin, trust=TRUST)
    problem, fix = refused(policy, Chain((ours.certificate, new.certificate)))
    assert "names another certificate of CN=Intermediate than the one that was sent" in problem
    assert fix.startswith("let the server send that one")
    forged = Authority("Intermediate").issue("a.example", change=naming(old))
    problem, fix = refused(policy, Chain((forged.certificate, new.certificate)))
    assert "man in the middle" in fix


def test_a_second_chain_that_leads_to_an_anchor_proves_nothing_about_the_first() -> None:
    intermediate = ROOT.intermediate("Intermediate")
    ours = intermediate.issue("a.example")
    policy = kit.policy("a.example", ours.pin, trust=TRUST)
    for above in ((), (ROOT.certificate,)):
        chain = Chain((ours.certificate, intermediate.certificate, *above))
        problem, fix = refused(policy, chain)
        assert problem == "the chain did not verify: no issuer"
        assert fix.startswith("a second connection got a chain that leads to a trust anchor")


def test_without_anchors_the_fix_suggests_a_trust_file() -> None:
    chain = Chain((ROGUE.issue("a.example").certificate, ROGUE.certificate))
    problem, fix = refused(kit.policy("a.example", BANK.pin), chain)
    expected = "ends at an authority that this machine does not trust: CN=Corporate Proxy"
    assert expected in problem
    assert 'trust = "ROOT.pem"' in fix


def test_an_expired_anchor_is_in_the_pin_file() -> None:
    """The server's certificates are valid: another one of the server doesn't help."""
    old = Authority("Root", now=NOW - timedelta(days=100), days=99)
    intermediate = Authority("Intermediate", issuer=old, now=NOW)
    ours = intermediate.issue("a.example")
    trust = replace(kit.anchors(old), source="bank.pem")
    policy = kit.policy("a.example", ours.pin, trust=trust)
    for root in ((), (old.certificate,)):
        chain = Chain((ours.certificate, intermediate.certificate, *root))
        assert refused(policy, chain, code=10)[1] == (
            "the trust anchor CN=Root expired on 2026-05-03: put the new certificate of the "
            "authority into bank.pem, and ship the new pin set; or, if the clock of this machine "
            "(2026-05-04) is ahead, set it"
        )
    expired = old.issue("a.example", days=9)
    assert refused(policy, Chain((expired.certificate,)), code=10)[1] == ""


def test_other_reasons_are_reported_unchanged() -> None:
    problem, fix = refused(kit.policy("a.example", BANK.pin, trust=TRUST), PATH, code=10)
    assert (problem, fix) == ("the chain did not verify: no issuer", "")


LOGS = [LabLog.make("Log A"), LabLog.make("Log B")]
LOGGED = ROOT.issue("a.example", days=30, change=with_scts(ROOT, LOGS))


def logged(made: datetime, *logs: LabLog, **fields: Any) -> Checkup:
    """Return the check of a host with SCTs in its certificate and a list of logs in its policy.

    Args:
        made: the date of the list.
        logs: the logs in the list.
        fields: more settings of the policy.
    """
    path = Chain((LOGGED.certificate, ROOT.certificate))
    policy = kit.policy("a.example", LOGGED.pin, ct_logs=log_list(logs, made), **fields)
    return check_up(policy, replace(SEEN, served=path, verified=path), NOW)


def test_a_certificate_in_enough_logs_has_no_finding() -> None:
    found = logged(NOW, *LOGS)
    assert found.findings == ()
    assert found.verdict is not None
    assert found.verdict.transparency is not None


@pytest.mark.parametrize(
    ("age", "mode", "outcome"),
    [
        (0, "enforce", "clients are locked out"),
        (0, "report", "clients would be locked out in mode enforce"),
        (70, "enforce", "clients only report it, because the list of logs is 70 days old or more"),
    ],
)
def test_a_certificate_in_too_few_logs_is_a_finding(age: int, mode: str, outcome: str) -> None:
    found = logged(NOW - timedelta(days=age), LOGS[0], mode=mode)
    problem = "it has SCTs of 1 known logs, and needs 2"
    assert found.findings == (f"too few logs have its certificate: {problem}; {outcome}",)

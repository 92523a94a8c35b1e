"""Certificate Transparency: which SCTs count, how many are needed, and what an old list decides."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import ConfigError, TransparencyError
from certpin.lab import Authority
from certpin.lab.authority import new_rsa_key
from certpin.lab.ct_log import LabLog, log_list, sct_extension, with_scts
from certpin.pins import HostPin, Pin, verify
from certpin.pins.transparency import check_transparency
from certpin.x509 import Chain
from certpin.x509.log_list import PLATFORM_LOGS
from certpin.x509.sct import embedded_scts, precertificate_tbs
from tests import kit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.pins import HostPolicy
    from certpin.pins.transparency import Transparency
    from certpin.x509.log_list import LogList

NOW = datetime(2027, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOST = "bank.example"
ROOT = Authority("CT Root", now=NOW - 5 * DAY)
BELOW = ROOT.intermediate("CT Intermediate")
OTHER = ROOT.intermediate("CT Other Intermediate")
RSA_KEY = new_rsa_key()
A, B, C = (LabLog.make(name) for name in ("Log A", "Log B", "Log C"))
A2 = LabLog.make("Log A")


def chain(
    *logs: LabLog, at: datetime | None = None, issuer: Authority = BELOW, days: float = 60
) -> Chain:
    """Return the verified chain of a new certificate that contains SCTs of these logs.

    Args:
        logs: the logs that sign an SCT each.
        at: the time of the SCTs.
        issuer: the authority that issues the certificate.
        days: the lifetime of the certificate.
    """
    leaf = issuer.issue(HOST, days=days, change=with_scts(issuer, logs, at)).certificate
    return Chain((leaf, issuer.certificate, ROOT.certificate))


def check(served: Chain, *logs: LabLog, now: datetime = NOW) -> Transparency:
    return check_transparency(served, log_list(logs, NOW - DAY), now)


def problems(found: Transparency) -> list[str]:
    return [each.problem for each in found.scts]


AB = chain(A, B)


def test_two_scts_of_two_operators_are_enough() -> None:
    found = check(AB, A, B)
    assert (found.satisfied, found.required, found.stale) == (True, 2, False)
    assert [each.operator for each in found.scts] == ["Log A", "Log B"]


def test_a_log_may_have_an_rsa_key() -> None:
    log = LabLog.make("Log R", RSA_KEY)
    assert check(chain(A, log), A, log).satisfied


def test_a_certificate_without_scts_is_not_enough() -> None:
    leaf = BELOW.issue(HOST).certificate
    found = check(Chain((leaf, BELOW.certificate, ROOT.certificate)), A, B)
    assert found.problem == "it has SCTs of 0 known logs, and needs 2"


def test_an_unknown_log_does_not_count() -> None:
    found = check(AB, A, C)
    assert problems(found) == ["", "it is not in the list of logs"]
    assert found.problem == "it has SCTs of 1 known logs, and needs 2"


def test_a_log_counts_once() -> None:
    found = check(chain(A, A, A), A, B)
    assert found.problem == "it has SCTs of 1 known logs, and needs 2"


def test_two_operators_are_needed() -> None:
    assert check(chain(A, A2), A, A2).problem == "all its SCTs are of one operator"
    assert check(chain(A, A2, B), A, A2, B).satisfied


def test_the_operator_at_the_time_of_the_sct_counts() -> None:
    """Log B was sold to the operator of log A: SCTs from before the sale are of two operators."""
    sold = B.but(operator="Log A", former=(("Log B", NOW - DAY),))
    assert check(chain(A, B, at=NOW - 2 * DAY), A, sold).satisfied
    assert not check(chain(A, B, at=NOW - DAY), A, sold).satisfied


@pytest.mark.parametrize(("days", "required"), [(60, 2), (179.95, 2), (180, 3), (398, 3)])
def test_the_number_depends_on_the_lifetime(days: float, required: int) -> None:
    """Two SCTs suffice for a lifetime of up to 180 days; above that, three are required.

    The lab begins a certificate one hour before it is issued, so the lifetime for ``days=180`` is
    above 180 days, and that for 179.95 is not.
    """
    found = check(chain(A, B, days=days), A, B)
    assert (found.required, found.satisfied) == (required, required == 2)
    assert check(chain(A, B, C, days=days), A, B, C).satisfied


def test_a_lifetime_of_exactly_180_days_is_short() -> None:
    exact = 180 - 1 / 24
    assert check(chain(A, B, days=exact), A, B).required == 2


def test_a_signature_of_another_key_does_not_count() -> None:
    forged = LabLog(C.key, B.entry)  # C signs, and names B
    assert problems(check(chain(A, forged), A, B))[1].startswith("it has not signed the SCT")


def test_an_algorithm_of_another_key_does_not_count() -> None:
    """An SCT that says RSA, of a log with an ECDSA key."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        changed = with_scts(BELOW, [A, B])(builder)
        return _rewritten(changed, b"\x04\x03", b"\x04\x01")

    leaf = BELOW.issue(HOST, change=change).certificate
    found = check(Chain((leaf, BELOW.certificate, ROOT.certificate)), A, B)
    assert problems(found) == ["it has not signed the SCT for this certificate and issuer"] * 2


def test_an_sct_is_for_one_certificate() -> None:
    """The SCTs of one certificate in another one, as an attacker would copy them."""
    scts = AB.leaf.parsed.extensions.get_extension_for_class(
        x509.PrecertificateSignedCertificateTimestamps
    )
    copied = BELOW.issue(
        HOST, change=lambda builder: builder.add_extension(scts.value, critical=False)
    )
    assert len(embedded_scts(copied.certificate)) == 2
    found = check(Chain((copied.certificate, BELOW.certificate, ROOT.certificate)), A, B)
    assert not found.satisfied


def test_the_key_of_the_issuer_is_that_of_the_verified_path() -> None:
    """SCTs made for one issuer do not count if the verified path has a different issuer."""
    found = check(Chain((AB.leaf, OTHER.certificate, ROOT.certificate)), A, B)
    assert not found.satisfied


def test_a_path_of_one_certificate_has_no_issuer() -> None:
    found = check(Chain((AB.leaf,)), A, B)
    assert found.problem == "it is its own trust anchor: no log has it"


def test_an_sct_of_the_future_does_not_count() -> None:
    served = chain(A, B, at=NOW)
    assert check(served, A, B, now=NOW).satisfied
    found = check(served, A, B, now=NOW - timedelta(milliseconds=1))
    assert problems(found) == ["its SCT is dated in the future"] * 2


def test_a_log_takes_certificates_of_its_interval() -> None:
    end = AB.leaf.not_after
    for starts, ends, covered in (
        (end, end + DAY, True),
        (end - DAY, end, False),
        (end + timedelta(seconds=1), end + DAY, False),
    ):
        assert check(AB, A, B.but(starts=starts, ends=ends)).satisfied is covered


@pytest.mark.parametrize(
    ("state", "counts"),
    [
        ("qualified", True),
        ("usable", True),
        ("readonly", True),
        ("pending", False),
        ("rejected", False),
        (None, False),
    ],
)
def test_the_state_of_a_log_decides(state: Any, counts: bool) -> None:
    found = check(AB, A, B.but(state=state))
    assert found.satisfied is counts
    assert bool(problems(found)[1]) is not counts


def test_a_test_log_does_not_count() -> None:
    assert problems(check(AB, A, B.but(kind="test"))) == ["", "it is a test log"]


def test_a_retired_log_counts_for_earlier_certificates() -> None:
    at = NOW - 3 * DAY
    served = chain(A, B, at=at)
    millisecond = timedelta(milliseconds=1)
    assert check(served, A, B.but(state="retired", since=at + millisecond)).satisfied
    assert not check(served, A, B.but(state="retired", since=at)).satisfied
    assert not check(served, A, B.but(state="retired", since=None)).satisfied


def test_the_earliest_valid_sct_decides_about_a_retired_log() -> None:
    """An SCT from a log that has since retired counts if the earliest SCT is from before that.

    This is Chrome's rule: a log may retire while a certificate is being logged.
    """
    early, late = NOW - 3 * DAY, NOW - 2 * DAY
    leaf = BELOW.issue(HOST, change=_scts_at((A, early), (B, late))).certificate
    served = Chain((leaf, BELOW.certificate, ROOT.certificate))
    between = B.but(state="retired", since=NOW - 2.5 * DAY)
    assert check(served, A, between).satisfied


def test_an_sct_that_is_not_valid_dates_nothing() -> None:
    early, late = NOW - 3 * DAY, NOW - 2 * DAY
    leaf = BELOW.issue(HOST, change=_scts_at((C, early), (A, late), (B, late))).certificate
    served = Chain((leaf, BELOW.certificate, ROOT.certificate))
    between = B.but(state="retired", since=NOW - 2.5 * DAY)
    assert not check(served, A, between).satisfied
    assert check(served, A, between, C).satisfied


@pytest.mark.parametrize("fields", [{"state": "rejected"}, {"state": None}, {"kind": "test"}])
def test_a_rejected_log_dates_nothing(fields: Any) -> None:
    """An earlier SCT of a rejected log does not make the SCT of a retired log count.

    The key of a rejected log may be in the hands of an attacker, who chooses the SCT's time.
    """
    early, late = NOW - 3 * DAY, NOW - 2 * DAY
    leaf = BELOW.issue(HOST, change=_scts_at((C, early), (A, late), (B, late))).certificate
    served = Chain((leaf, BELOW.certificate, ROOT.certificate))
    between = B.but(state="retired", since=NOW - 2.5 * DAY)
    assert not check(served, A, between, C.but(**fields)).satisfied


def test_not_all_logs_may_be_retired() -> None:
    retired = [each.but(state="retired", since=NOW) for each in (A, B)]
    assert check(AB, *retired).problem == "all logs of its SCTs are retired"


def test_scts_that_cannot_be_read_are_too_few() -> None:
    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        oid = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
        return builder.add_extension(x509.UnrecognizedExtension(oid, b"\4\1\0"), critical=False)

    leaf = BELOW.issue(HOST, change=change).certificate
    found = check(Chain((leaf, BELOW.certificate, ROOT.certificate)), A, B)
    assert "cannot be read" in found.problem


def test_a_certificate_has_its_scts_in_addition_to_its_precertificate() -> None:
    signed: list[bytes] = []

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        signed.append(BELOW.sign(builder).tbs_certificate_bytes)
        return with_scts(BELOW, [A, B])(builder)

    leaf = BELOW.issue(HOST, change=change).certificate
    assert precertificate_tbs(leaf) == signed[0] != leaf.parsed.tbs_certificate_bytes
    plain = BELOW.issue(HOST).certificate
    assert precertificate_tbs(plain) == plain.parsed.tbs_certificate_bytes


# -- the verdict -----------------------------------------------------------------------------------


def policy(served: Chain, logs: LogList | None, **fields: Any) -> HostPolicy:
    pin = Pin.of_key(served.leaf.spki_sha256)
    return kit.policy(HOST, pin, ct_logs=logs, **fields)


FEW = log_list((A, C), NOW - DAY)
ENOUGH = log_list((A, B), NOW - DAY)


@pytest.mark.parametrize(("mode", "decision"), [("enforce", "refuse"), ("report", "report")])
def test_the_mode_of_the_host_decides(mode: Any, decision: str) -> None:
    verdict = verify(AB, policy(AB, FEW, mode=mode), NOW)
    assert (verdict.decision, verdict.reason) == (decision, "too-few-scts")
    assert verdict.matched is not None
    assert verdict.transparency is not None
    assert verdict.transparency.scts[1].log is None


def test_enough_scts_are_accepted_as_a_match() -> None:
    verdict = verify(AB, policy(AB, ENOUGH), NOW)
    assert (verdict.decision, verdict.reason) == ("accept", "match")
    assert verdict.transparency is not None
    assert verdict.transparency.satisfied


@pytest.mark.parametrize(
    ("age", "decision"),
    [(70 * DAY - timedelta(seconds=1), "refuse"), (70 * DAY, "report"), (400 * DAY, "report")],
)
def test_an_old_list_only_reports(age: timedelta, decision: str) -> None:
    logs = log_list((A, C), NOW - age)
    assert verify(AB, policy(AB, logs), NOW).decision == decision


def test_an_old_list_still_accepts_the_logs_that_it_has() -> None:
    logs = log_list((A, B), NOW - 400 * DAY)
    assert verify(AB, policy(AB, logs), NOW).decision == "accept"


def test_the_list_of_another_platform_only_reports() -> None:
    assert verify(AB, policy(AB, PLATFORM_LOGS), NOW).decision == "report"


def test_expired_pins_that_only_report_refuse_no_certificate() -> None:
    expired = policy(AB, FEW, expires=NOW - DAY, on_expiry="report")
    assert verify(AB, expired, NOW).decision == "report"


def test_a_pin_is_needed_first() -> None:
    verdict = verify(AB, kit.policy(HOST, ct_logs=ENOUGH), NOW)
    assert (verdict.reason, verdict.transparency) == ("mismatch", None)


def test_a_compromised_key_is_refused_before() -> None:
    good = policy(AB, ENOUGH)
    dead = HostPin(Pin.of_key(BELOW.certificate.spki_sha256), state="compromised")
    assert verify(AB, replace(good, pins=(*good.pins, dead)), NOW).reason == "compromised-key"


def test_the_debug_override_needs_no_scts() -> None:
    anchors = frozenset({ROOT.certificate.sha256})
    assert verify(AB, policy(AB, FEW), NOW, debug_anchors=anchors).decision == "accept"


def test_a_question_about_pins_leaves_scts_out() -> None:
    assert verify(AB, policy(AB, FEW), NOW, pins_only=True).reason == "match"


def test_the_error_names_the_logs_and_the_fix() -> None:
    verdict = verify(AB, policy(AB, FEW), NOW)
    with pytest.raises(TransparencyError, match="needs 2") as caught:
        verdict.raise_for_refusal(HOST)
    text = str(caught.value)
    assert "Log A 2027 (certpin lab): counts" in text
    assert f"the log {B.entry.log_id.hex()[:16]}…: it is not in the list of logs" in text
    assert "take the current log list" in caught.value.fix
    assert [each.problem == "" for each in caught.value.verdict.transparency.scts] == [True, False]
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.verdict == verdict


def test_the_fix_for_a_certificate_without_scts_is_another_certificate() -> None:
    leaf = BELOW.issue(HOST).certificate
    served = Chain((leaf, BELOW.certificate, ROOT.certificate))
    verdict = verify(served, policy(served, ENOUGH), NOW)
    with pytest.raises(TransparencyError) as caught:
        verdict.raise_for_refusal(HOST)
    assert "get a certificate with embedded SCTs" in caught.value.fix


def test_a_pin_set_has_one_list_of_logs() -> None:
    first, second = policy(AB, FEW), policy(AB, ENOUGH)
    other = replace(second, pattern=replace(second.pattern, name="other.example"))
    with pytest.raises(ConfigError, match="different lists of logs"):
        kit.pin_set(first, other)
    assert kit.pin_set(first).ct_logs == FEW


@pytest.mark.medium
@given(
    st.lists(st.sampled_from([A, A2, B, C]), max_size=4),
    st.lists(st.integers(0, 30), min_size=2, max_size=2),
)
def test_a_satisfied_check_stays_satisfied(logs: Sequence[LabLog], days: list[int]) -> None:
    """The verdict on a chain is cached until the policy expires, so time must not undo it."""
    served = chain(*logs, at=NOW + 10 * DAY)
    first, second = (check(served, A, A2, B, now=NOW + day * DAY) for day in sorted(days))
    assert not first.satisfied or second.satisfied


def _scts_at(*promises: tuple[LabLog, datetime]) -> Any:
    """Return a function that adds SCTs to a certificate builder, each of a log at its own time."""

    def change(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
        tbs = BELOW.sign(builder).tbs_certificate_bytes
        issuer = BELOW.certificate.spki_sha256
        scts = [log.promise(tbs, issuer, at) for log, at in promises]
        return builder.add_extension(sct_extension(scts), critical=False)

    return change


def _rewritten(builder: Any, old: bytes, new: bytes) -> x509.CertificateBuilder:
    """Replace bytes in the last extension, which has the SCTs."""
    *others, last = builder._extensions
    content = x509.UnrecognizedExtension(last.oid, last.value.value.replace(old, new))
    builder._extensions = [*others, x509.Extension(last.oid, last.critical, content)]
    changed: x509.CertificateBuilder = builder
    return changed

"""The causes of findings: derived from the verdicts, one for each mistake."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.attacks import CASES
from certpin.lab.pki import Style
from certpin.lab.report.causes import cause_lines, find_causes
from certpin.lab.runner import Result
from certpin.lab.verdict import Outcome, Verdict, outcome
from tests.lab.report import _runs

ANY = "The client accepts any certificate"
NO_PINS = "The client does not check its pins"
TOO_LATE = "The client checks its pins too late: its request has already been sent"


def results(verdicts: dict[str, Verdict], style: Style = Style.LEAF) -> list[Result]:
    """Return results of every case: these verdicts, and the right one for all other cases."""
    made = []
    for case in CASES:
        expect = case.expected.of(style)
        right = next(
            (verdict for verdict in Verdict if outcome(expect, verdict) is Outcome.RIGHT), None
        )
        verdict = verdicts.get(case.name, right)
        made.append(Result(case, expect, verdict, outcome(expect, verdict), ""))
    return made


def titles(verdicts: dict[str, Verdict], style: Style = Style.LEAF) -> list[str]:
    return [cause.title for cause in find_causes(results(verdicts, style))]


def accepted(*names: str) -> dict[str, Verdict]:
    return dict.fromkeys(names, Verdict.ACCEPT)


def test_a_client_that_accepts_everything_has_one_cause() -> None:
    everything = dict.fromkeys((case.name for case in CASES), Verdict.ACCEPT)
    [cause, *others] = find_causes(results(everything))
    assert cause.title == ANY
    assert len(cause.cases) > 40
    # An old version of TLS is another mistake than an unverified certificate.
    assert {case for other in others for case in other.cases} <= {
        *("old-tls", "anonymous", "weak-suite", "plain-http-on-443"),
        *("closed-then-clear-text", "reset-then-clear-text", "stalled-then-clear-text"),
        *("starttls-strip", "starttls-injection"),
    }


def test_a_client_that_refuses_other_names_does_not_accept_any_certificate() -> None:
    assert titles(accepted("untrusted-ca", "wrong-host-sibling", "expired")) == [ANY]
    untrusted = "The client accepts certificates of authorities that it doesn't trust"
    assert titles(accepted("untrusted-ca", "expired"))[0] == untrusted
    assert ANY not in titles(accepted("untrusted-ca", "wrong-host-sibling"))  # dates are checked


def test_a_client_that_noticed_the_attack_checks_its_pins() -> None:
    names = ("rogue-ca-in-store", "same-ca-new-key", "leak-before-check")
    assert titles(dict.fromkeys(names, Verdict.LEAK)) == [TOO_LATE]
    assert titles({**dict.fromkeys(names, Verdict.LEAK), **accepted(names[0])}) == [NO_PINS]


def test_a_pinned_client_that_verifies_nothing_else_is_not_unpinned() -> None:
    found = titles(accepted("wrong-host-sibling", "expired", "ca-false", "bad-signature-leaf"))
    assert found == ["The client compares pins, and verifies nothing else"]


def test_a_client_that_refuses_changes_is_no_victim_of_attacks() -> None:
    found = find_causes(results(dict.fromkeys(("rot-backup-live",), Verdict.REJECT)))
    assert [cause.title for cause in found] == ["The client refuses the backup key"]
    assert cause_lines(found)[0].endswith(": 1 honest server was refused")


def test_one_case_shows_no_more_than_it_can() -> None:
    [only] = [result for result in results(accepted("expired")) if result.case.name == "expired"]
    assert [cause.title for cause in find_causes([only])] == [
        "The client does not check the dates of certificates"
    ]


@given(
    st.sampled_from(Style),
    st.dictionaries(st.sampled_from([case.name for case in CASES]), st.sampled_from(Verdict)),
)
def test_each_finding_has_exactly_one_cause(style: Style, verdicts: dict[str, Verdict]) -> None:
    made = results(verdicts, style)
    wrong = [result.case.name for result in made if result.outcome is Outcome.WRONG]
    causes = find_causes(made)
    assert sorted(name for cause in causes for name in cause.cases) == sorted(wrong)
    assert all(cause.title and cause.fix for cause in causes)
    sizes = [len(cause.cases) for cause in causes]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("outcome", [Outcome.WARNING, Outcome.UNDECIDED, Outcome.NOT_RUN])
def test_only_findings_have_causes(outcome: Outcome) -> None:
    result = replace(_runs.met(_runs.BY_NAME["untrusted-ca"], gives=True), outcome=outcome)
    assert find_causes([result]) == []

"""The causes of findings: derived from the verdicts, one for each mistake."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.lab.attacks import CASES, OPTIONAL_CASES
from certpin.lab.case import Expect, OwnChain
from certpin.lab.pki import Style
from certpin.lab.report.causes import cause_lines, find_causes, proof_line
from certpin.lab.report.faults import FAULTS
from certpin.lab.report.faults.model import PROXY_ANSWERS, ROGUE_HANDSHAKE
from certpin.lab.runner import Result
from certpin.lab.scenario import Scenario
from certpin.lab.verdict import Attempt, Connection, Ending, Outcome, Verdict, outcome
from tests.lab.report import _runs

ANY = "The client accepts any certificate"
NO_CHECK = "The client connects without any check after a failed verification"
SECOND_TRY = "The client repeats a failed connection without its pins"
NO_PINS = "The client does not check its pins"
TOO_LATE = "The client checks its pins too late: its request has already been sent"


def results(verdicts: dict[str, Verdict], style: Style = Style.LEAF) -> list[Result]:
    """Return a result for each standard case: the given verdicts, and the right one otherwise."""
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
        *("dh-512", "early-change-cipher-spec"),
        *("closed-then-clear-text", "reset-then-clear-text", "stalled-then-clear-text"),
        *("starttls-strip", "starttls-injection"),
        *PROXY_ANSWERS,
    }


def test_a_client_that_refuses_other_names_does_not_accept_any_certificate() -> None:
    everywhere = ("untrusted-ca", "wrong-host-sibling", "expired")
    assert titles(accepted(*everywhere, "rogue-ca-in-store")) == [ANY]
    assert titles(accepted(*everywhere), Style.NONE) == [ANY]
    assert titles(accepted(*everywhere)) == [NO_CHECK]  # its pins hold for verified chains
    untrusted = "The client accepts certificates of authorities that it doesn't trust"
    assert titles(accepted("untrusted-ca", "expired"))[0] == untrusted
    assert ANY not in titles(accepted("untrusted-ca", "wrong-host-sibling"))  # dates are checked


def test_an_unknown_authority_explains_each_kind_of_handshake() -> None:
    untrusted = "The client accepts certificates of authorities that it doesn't trust"
    attacks = ("untrusted-ca", "bad-then-good", *ROGUE_HANDSHAKE)
    assert titles(accepted(*attacks), Style.NONE) == [untrusted]


def test_a_client_that_noticed_the_attack_checks_its_pins() -> None:
    names = ("rogue-ca-in-store", "same-ca-new-key", "leak-before-check")
    assert titles(dict.fromkeys(names, Verdict.LEAK)) == [TOO_LATE]
    assert titles({**dict.fromkeys(names, Verdict.LEAK), **accepted(names[0])}) == [NO_PINS]


def test_a_client_that_repeats_a_refused_connection_compares_pins() -> None:
    case = _runs.BY_NAME["rogue-ca-in-store"]
    (step,) = case.scenario(_runs.pki()).steps
    refused, sent = _runs.seen(step, alert="unknown_ca"), _runs.seen(step, b"GET /")

    def title(*attempts: tuple[Connection, ...]) -> str:
        tried = [_runs.attempt(case.scenario(_runs.pki()), *met) for met in attempts]
        made = Result(case, Expect.REJECT, Verdict.ACCEPT, Outcome.WRONG, "", tuple(tried))
        [cause] = find_causes([made])
        return cause.title

    assert title((refused, sent)) == title((refused, sent), (refused, sent)) == SECOND_TRY
    assert title((sent,)) == title((sent, refused)) == NO_PINS
    assert title((refused, sent), (sent,)) == title((refused,), (sent,)) == NO_PINS


def test_a_pinned_client_that_verifies_nothing_else_is_not_unpinned() -> None:
    found = titles(accepted("wrong-host-sibling", "expired", "ca-false", "bad-signature-leaf"))
    assert found == ["The client compares pins, and verifies nothing else"]


def test_a_client_that_refuses_changes_is_no_victim_of_attacks() -> None:
    found = find_causes(results(dict.fromkeys(("rot-backup-live",), Verdict.REJECT)))
    assert [cause.title for cause in found] == ["The client refuses the backup key"]
    assert cause_lines(found)[0].endswith(": 1 honest server was refused")


def test_a_chain_of_the_user_is_no_case_of_the_matrix() -> None:
    chain = replace(_runs.BY_NAME["rogue-tls-1.2"], own=OwnChain(_runs.HOST, (), b"", ()))
    made = Result(chain, Expect.REJECT, Verdict.ACCEPT, Outcome.WRONG, "")
    [cause] = find_causes([made])
    assert cause.title != "The client checks only some of its connections"
    assert cause.fixes == {}


def test_one_case_shows_no_more_than_it_can() -> None:
    [only] = [result for result in results(accepted("expired")) if result.case.name == "expired"]
    assert [cause.title for cause in find_causes([only])] == [
        "The client does not check the dates of certificates"
    ]


FALLBACK = ("rogue-on-both-hosts", "dropped-then-second-host")
# Each fault with few cases: the failed cases, the style, and its name. All other cases pass.
SHOWN = [
    (("fake-ca-same-name",), "The client recognises an authority by its name, and not by its key"),
    (("rogue-tls-1.2",), "The client does not check its pins in TLS 1.2"),
    (
        ("rogue-tls-1.2", "weak-leaf-rsa-1024", "weak-leaf-dsa", "weak-leaf-p192"),
        "The client does not check its pins in TLS 1.2",
    ),
    (
        ("rogue-p384", "rogue-ml-dsa"),
        "The client does not check the pins of keys of a kind that it doesn't know",
    ),
    (("rogue-tls-1.3",), "The client does not check its pins in TLS 1.3"),
    (("rogue-http-2",), "The client does not check its pins on HTTP/2"),
    (
        ("rogue-http-1.1", "rogue-without-alpn"),
        "The client does not check its pins on HTTP/1.1",
    ),
    (
        ("rogue-without-alpn",),
        "The client does not check its pins unless a protocol is negotiated (ALPN)",
    ),
    (
        ("rogue-ca-in-store", "rogue-http-2", "rogue-tls-1.2", "rogue-tls-1.3", "rogue-p384"),
        "The client does not check its pins on HTTP/2",
    ),
    (
        ("rogue-ca-in-store", "rogue-tls-1.3", "rogue-http-2", "rogue-p384"),
        "The client does not check its pins in TLS 1.3",
    ),
    (
        ("rogue-connection-3", "rogue-connection-4", "rogue-connection-5", "rogue-connection-6"),
        "The client checks its pins only on its first connections",
    ),
    (
        ("rogue-connection-2", "rogue-connection-4"),
        "The client does not check its pins on a part of its connections to a host",
    ),
    (("second-host-unpinned",), "The client checks its pins only for its first host"),
    (("second-host-unpinned", *FALLBACK), "The client checks its pins only for its first host"),
    (FALLBACK, "The client goes to its second host without pins if the first one fails"),
    (
        ("unanswered-then-rogue",),
        "The client repeats a request that got no answer without its pins",
    ),
    (
        ("dropped-then-rogue", "unanswered-then-rogue", "rogue-on-both-hosts"),
        "The client repeats a failed connection without its pins",
    ),
    (
        ("rogue-connection-2", "rogue-connection-4", "unanswered-then-rogue"),
        "The client does not check its pins on a part of its connections to a host",
    ),
    (
        ("rogue-root-same-name",),
        "The client recognises the pinned root by its name or key identifier",
    ),
    (("bad-signature-leaf",), "The client does not verify the signatures of certificates"),
    (
        ("stolen-certificate-tls13",),
        "The client does not check that the server has the key of its certificate",
    ),
    (
        ("ca-false", "leaf-as-ca"),
        "The client does not check which certificates may sign others",
    ),
    (
        ("extended-key-usage",),
        "The client does not check that a certificate is meant for servers",
    ),
    (("ip-without-ip-san",), "The client looks for an IP address among the DNS names"),
    (("nul-in-name",), "The client reads a name only up to a NUL byte"),
    (
        ("nul-in-name", "wrong-host-wildcard"),
        "The client lets a wildcard or a part of a name match other hosts",
    ),
    (
        ("pool-reuse",),
        "The client sends a request over a connection that was made without verification",
    ),
    (("compromised-key",), "The client accepts keys that its pins mark compromised"),
    (("weak-suite",), "The client accepts connections without encryption or without a certificate"),
    (("old-tls",), "The client accepts outdated versions of TLS"),
    (("weak-leaf-rsa-512",), "The client accepts a key of the server that is too small"),
]


@pytest.mark.parametrize(("names", "title"), SHOWN)
def test_a_pattern_of_verdicts_has_one_name_and_a_proof(names: tuple[str, ...], title: str) -> None:
    [cause] = find_causes(results(accepted(*names)))
    assert cause.title == title
    assert set(cause.cases) == set(names)
    assert 2 <= len(cause.proof) <= 3
    assert {result.outcome for result in cause.proof} == {Outcome.WRONG, Outcome.RIGHT}
    assert list(cause.fixes) == ["Python", "Dart", "Kotlin", "Swift", "Go", "Node.js"]
    assert all(cause.fixes.values())


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("rot-renewed-same-key", "The client pins the certificate, and not its key"),
        ("rot-shorter-chain", "The client expects its pin at a fixed position of the chain"),
        ("rot-order-reordered", "The client refuses legitimate changes of the server"),
    ],
)
def test_a_client_that_is_locked_out_has_one_name(name: str, title: str) -> None:
    assert titles({name: Verdict.REJECT}) == [title]


def test_the_proof_names_the_neighbour_that_passed() -> None:
    [cause] = find_causes(results(accepted("rogue-tls-1.2")))
    assert proof_line(cause) == "rogue-tls-1.2 (ACCEPT), rogue-ca-in-store (REJECT)"
    assert cause_lines([cause])[2] == f"   proof: {proof_line(cause)}"


def test_a_hole_is_none_of_a_client_without_verification() -> None:
    found = titles(accepted("untrusted-ca", "redirect-to-other-port"))
    assert "The client does not check its pins on another port of the host" not in found
    assert found[0] == "The client accepts certificates of authorities that it doesn't trust"
    found = titles(accepted("same-ca-new-key", "redirect-to-other-port"))
    assert "The client does not check its pins on another port of the host" not in found
    assert found[0] == "The client accepts every certificate of the pinned authority"


def test_the_proof_of_each_fault_has_cases_of_the_matrix() -> None:
    names = {case.name for case in (*CASES, *OPTIONAL_CASES)}
    for fault in FAULTS:
        assert set(fault.proof) <= names, fault.title
        assert len(set(fault.proof)) == len(fault.proof) >= 2, fault.title
        assert fault.fix
        assert not fault.fix.endswith(".")


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


def test_tls_with_a_proxy_has_faults_of_its_own() -> None:
    proxy, name = "https-proxy-untrusted", "https-proxy-wrong-name"
    outer = (
        "The client does not verify the certificate of its proxy",
        "The client does not check the name in the certificate of its proxy",
    )
    unverified, unpinned = "https-proxy-untrusted-inside", "https-proxy-rogue-inside"
    inner = (
        "The client does not verify the host behind an https:// proxy",
        "The client does not check its pins behind an https:// proxy",
    )
    assert titles(accepted(proxy)) == titles(accepted(proxy, name)) == [outer[0]]
    assert titles(accepted(name)) == [outer[1]]
    assert titles(accepted(unverified, unpinned)) == [inner[0]]
    assert titles(accepted(unpinned)) == [inner[1]]
    assert titles(accepted(proxy, unpinned)) == [outer[0], inner[1]]
    # A client with a fault everywhere has no other one behind a proxy.
    everywhere = accepted("rogue-ca-in-store", "same-ca-new-key", unpinned)
    assert titles(everywhere) == [NO_PINS]


def test_a_rejection_of_ech_has_two_faults() -> None:
    unpinned = "The client does not check its pins after a rejection of ECH"
    unverified = "The client gives ECH up without verifying the server that rejects it"
    rogue, given_up = "ech-rejected-then-rogue", "ech-rejected-by-rogue"
    assert titles(accepted(rogue)) == [unpinned]
    assert titles(accepted(given_up)) == [unverified]
    assert titles(accepted("rogue-ca-in-store", rogue)) == [NO_PINS]


def test_a_client_without_a_tunnel_sends_clear_text_or_believes_the_proxy() -> None:
    believed = "The client takes the answer of a proxy for the server's"
    assert titles(accepted("proxy-answers-403")) == [believed]
    assert titles(accepted(*PROXY_ANSWERS)) == [believed]
    assert titles(accepted("proxy-asks-password")) == [
        "The client gives a proxy the password of a server"
    ]
    # A client that repeats each failed request in clear text has one fault.
    closed = "closed-then-clear-text"
    clear = Attempt(Ending(0), Scenario(()), (Connection(clear=b"GET /"),))
    names = {closed, "proxy-redirects"}
    made = [
        replace(result, attempts=(clear,)) if result.case.name in names else result
        for result in results(accepted(*names))
    ]
    assert [cause.title for cause in find_causes(made)] == [
        "The client sends its request in clear text if TLS fails"
    ]

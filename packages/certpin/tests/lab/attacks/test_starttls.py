"""STARTTLS cases: correct clients pass, and each insecure client is caught by its case."""

from __future__ import annotations

import pytest

from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.attacks.starttls import BEFORE_TLS
from certpin.lab.client import Call, Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from tests.lab.attacks import _starttls as clients

STRIP, INJECTION = "starttls-strip", "starttls-injection"


# Each protocol, and each style: tests/lab/test_matrix.py has all styles without STARTTLS.
PAIRS = tuple(zip(clients.RIGHT, Style, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "style"), PAIRS)
def test_correct_client_raises_no_alarm(protocol: str, style: Style) -> None:
    with Lab(style=style, protocol=protocol) as lab:
        run = prove(lab, clients.right(protocol, style), CASES, jobs=2)
    assert run.controlled, run.results[0]
    wrong = [
        result for result in run.results if result.outcome in {Outcome.WRONG, Outcome.UNDECIDED}
    ]
    assert not wrong, "\n".join(
        f"{result.case.name}: {result.verdict}: {result.why}" for result in wrong
    )
    found = {result.case.name: result.verdict for result in run.results}
    assert found[STRIP] is found[INJECTION] is found["untrusted-ca"] is Verdict.REJECT
    rogue = Verdict.ACCEPT if style is Style.NONE else Verdict.REJECT
    assert found["rogue-ca-in-store"] is rogue


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "broken", "caught"),
    [
        ("smtp", clients.without_tls, STRIP),
        ("imap", clients.imap_without_tls, STRIP),
        ("smtp", clients.keeping_smtp, INJECTION),
        ("imap", clients.keeping_imap, INJECTION),
        ("postgres", clients.keeping_postgres, INJECTION),
    ],
)
def test_broken_client_is_caught_only_by_its_case(
    protocol: str, broken: clients.Broken, caught: str
) -> None:
    sample = [case for case in CASES if case.name in {"rogue-ca-in-store", "untrusted-ca"}]
    with Lab(style=Style.LEAF, protocol=protocol) as lab:
        run = prove(lab, Call(broken), [*BEFORE_TLS, *sample])
    assert run.controlled, run.results[0]
    assert [result.case.name for result in run.results if result.outcome is not Outcome.RIGHT] == [
        caught
    ]
    (finding,) = (result for result in run.results if result.case.name == caught)
    assert finding.verdict in {Verdict.ACCEPT, Verdict.LEAK}
    assert finding.why.startswith("the canary arrived")


def test_postgres_in_clear_text_is_caught() -> None:
    """Both STARTTLS cases catch a PostgreSQL client that falls back to clear text.

    The client also keeps clear-text bytes in its buffer when TLS begins.
    """
    with Lab(style=Style.LEAF, protocol="postgres") as lab:
        run = prove(lab, Call(clients.postgres_without_tls), BEFORE_TLS)
    assert run.controlled
    assert [result.outcome for result in run.results[1:-1]] == [Outcome.WRONG, Outcome.WRONG]
    assert run.results[1].attempts[0].connections[0].clear.startswith(clients.STARTUP)


def test_protocols_without_starttls_skip_its_cases() -> None:
    with Lab(style=Style.LEAF, protocol="smtps") as lab:
        run = prove(lab, Call(clients.implicit), BEFORE_TLS)
    assert run.controlled, run.results[0]
    assert [result.outcome for result in run.results[1:-1]] == [Outcome.NOT_RUN, Outcome.NOT_RUN]


QUIET = ("curl", "-sS", "--max-time", "10", "--cacert", "{ca}", "--ssl-reqd")
CURL = (*QUIET, "--connect-to", "{host}::127.0.0.1:{port}")
PROGRAMS = {
    "smtp": (*CURL, "--mail-from", "me@a.example", "--mail-rcpt", "you@b.example"),
    "imap": (*CURL, "-u", "me:{canary}"),
}
CALLS = {
    "smtp": ("-u", "me:{canary}", "-T", "{ca}", "smtp://{host}:2525/me.example"),
    "imap": ("imap://{host}:1430/INBOX;MAILINDEX=1",),
}


@pytest.mark.slow
@pytest.mark.peer("curl")
@pytest.mark.parametrize("protocol", PROGRAMS)
def test_curl_is_right_if_tls_is_required(protocol: str) -> None:
    wanted = {STRIP, INJECTION, "untrusted-ca", "rogue-ca-in-store", "wrong-host-pinned-ca"}
    cases = [case for case in CASES if case.name in wanted]
    words = (*PROGRAMS[protocol], *CALLS[protocol])
    with Lab(style=Style.NONE, protocol=protocol) as lab:
        run = prove(lab, Command(words, "port"), cases, jobs=2)
    assert run.controlled, run.results[0]
    outcomes = {result.case.name: result.outcome for result in run.results}
    assert set(outcomes.values()) == {Outcome.RIGHT}, run.results


@pytest.mark.peer("curl")
@pytest.mark.parametrize("protocol", PROGRAMS)
def test_curl_continues_in_clear_text_if_tls_is_optional(protocol: str) -> None:
    words = tuple(word.replace("--ssl-reqd", "--ssl") for word in PROGRAMS[protocol])
    with Lab(style=Style.NONE, protocol=protocol) as lab:
        run = prove(lab, Command((*words, *CALLS[protocol]), "port"), BEFORE_TLS)
    assert run.controlled, run.results[0]
    assert {result.case.name: result.outcome for result in run.results[1:-1]} == {
        STRIP: Outcome.WRONG,
        INJECTION: Outcome.RIGHT,
    }


@pytest.mark.peer("openssl")
@pytest.mark.parametrize("protocol", clients.RIGHT)
def test_openssl_s_client_refuses_bad_chains(protocol: str) -> None:
    """s_client checks the chain and sends nothing, which counts as a refusal."""
    call = ("openssl", "s_client", "-starttls", protocol, "-connect", "127.0.0.1:{port}")
    words = (*call, "-CAfile", "{ca}", "-verify_return_error", "-servername", "{host}", "-brief")
    with Lab(style=Style.NONE, protocol=protocol) as lab:
        case_server = lab.case_server(CONTROL)
        ending = Command(words, "port").run(case_server.open())
        (seen,) = case_server.close()
    assert ending.status == 0, ending
    assert "Verification: OK" in ending.output
    assert seen.secured
    assert seen.said == b""

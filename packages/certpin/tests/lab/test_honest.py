"""The lab does not count honest servers as attackers, and a client must succeed with them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import pytest

from certpin.lab.attacks import CONTROL
from certpin.lab.case import Case, Expect, Family
from certpin.lab.client import Command
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.report.words import verdict_line
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import MADE_CASES, listing, run_case

AUTHORITIES = listing(Authorities(datetime.now(UTC)))
# Honest servers that a client may refuse, because of its store, its library or its policy.
REFUSED = {"missing-intermediate", "ml-dsa-authority"}
POLICY = {
    *("weak-key-rsa-1024", "weak-digest-sha1", "weak-digest-md5", "pin-set-expired"),
    *("weak-leaf-rsa-1024", "weak-leaf-dsa", "weak-leaf-p192"),
    *("suite-static-rsa", "suite-cbc", "suite-3des", "dh-1024"),
    *("revoked-staple", "revoked-crl", "must-staple"),
}


def _is_honest(case: Case, style: Style) -> bool:
    """Return True if all of a case's servers should be honest, judged by its expected verdicts."""
    expected = {case.expected.of(style) for style in Style}
    if case.expected.of(style) is Expect.ACCEPT:
        return case.family is Family.ROTATION or expected == {Expect.ACCEPT}
    policy = case.expected.of(style) is Expect.POLICY or case.name == "pin-set-expired"
    return case.name in REFUSED or (policy and case.name in POLICY)


@pytest.mark.parametrize("style", Style)
def test_only_attack_cases_have_attackers(style: Style) -> None:
    pkis: dict[str, TestPKI] = {}
    for case in (CONTROL, *MADE_CASES):
        host = case.host("api.bank.example")
        pki = pkis.setdefault(host, TestPKI(AUTHORITIES, host, "cdn.bank.example", style))
        assert case.scenario(pki).attacks is not _is_honest(case, style), case.name


# Sends its request to any server that its roots trust. If the certificate is not the one that it
# knows, its last argument says how it ends.
_CLIENT = """
import hashlib, os, socket, ssl, sys, time
address, port, host, ca, canary, known, then = sys.argv[1:]
context = ssl.create_default_context(cafile=ca)
with socket.create_connection((address, int(port)), 10) as sock:
    with context.wrap_socket(sock, server_hostname=host) as tls:
        tls.sendall(f"GET /{canary} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        tls.recv(4096)
        if hashlib.sha256(tls.getpeercert(True)).digest().hex(":").upper() != known:
            exec(then)
"""
_WORDS = ("{address}", "{port}", "{host}", "{ca}", "{canary}", "{fingerprint}")
HANGS, DIES, REFUSES = "time.sleep(600)", "os.abort()", "sys.exit('another certificate')"


def _client(then: str) -> Command:
    words = (sys.executable, "-c", _CLIENT, *_WORDS, then)
    return Command(words, via="port", patience=3.0 if then == HANGS else 20.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("then", "why"),
    [(HANGS, "the client did not end within 3 s"), (DIES, "the client died (status -6)")],
)
def test_a_client_that_breaks_at_the_renewed_server_did_not_accept_it(then: str, why: str) -> None:
    result = run_case("rot-renewed-same-key", _client(then), Style.LEAF)
    assert (result.verdict, result.outcome) == (Verdict.INCONCLUSIVE, Outcome.UNDECIDED)
    assert result.why == why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "style"),
    [("rot-renewed-same-key", Style.LEAF), ("rot-new-key-pinned-ca", Style.NONE)],
)
def test_a_client_that_refuses_the_renewed_server_too_late_refused_it(
    name: str, style: Style
) -> None:
    result = run_case(name, _client(REFUSES), style)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.WRONG)
    assert verdict_line(result) == "the client refused a server that it must accept"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "then"), [("rogue-ca-in-store", DIES), ("rot-new-key-pinned-ca", REFUSES)]
)
def test_data_sent_to_an_attacker_counts_however_the_client_ends(name: str, then: str) -> None:
    """A client that sends its data and then dies or reports an error still leaks to an attacker.

    With pins on the leaf, a server with a new unpinned key counts as an attacker too.
    """
    result = run_case(name, _client(then), Style.LEAF)
    assert (result.verdict, result.outcome) == (Verdict.LEAK, Outcome.WRONG)

"""Constructed runs of the lab for tests of the reports, some with hostile strings in all fields."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from certpin.lab.attacks import CASES, CONTROL
from certpin.lab.authority import Authority
from certpin.lab.case import CannotServeError, Case, Expect
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.runner import About, Result, Run
from certpin.lab.scenario import Scenario, ServerStep
from certpin.lab.server.records import ClientHello
from certpin.lab.verdict import (
    Attempt,
    Connection,
    Ending,
    OtherHost,
    Outcome,
    Verdict,
    judge,
    outcome,
)
from tests.lab._clients import listing

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST = "api.bank.example"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CANARY = "canary-0123456789abcdef"
BY_NAME = {case.name: case for case in CASES}
# HTML and XML markup, an end of CDATA, control characters, a bidi override, a lone surrogate.
HOSTILE = "<script>alert(1)</script>]]>&amp;\"'\0\x1b[31m\x7f\u202e\ufffe\ud800{0}[a](b)"


@cache
def authorities() -> Authorities:
    return listing(Authorities(NOW))


@cache
def pki(style: Style = Style.LEAF) -> TestPKI:
    return TestPKI(authorities(), HOST, "cdn.bank.example", style)


def about(**fields: Any) -> About:
    words = ("/usr/bin/curl", "-sS", "-H", "Authorization: hunter2", "{url}")
    made = About(words, "1.2.3", "3.13.1", "OpenSSL 3.5.0", NOW, 12.5, authorities().trusted_pem)
    return replace(made, **fields)


def seen(step: ServerStep | None, said: bytes = b"", **fields: Any) -> Connection:
    """Return a recorded connection that completed TLS with this server and then sent ``said``.

    ``fields`` override fields of ``Connection``.
    """
    common = {"hello": ClientHello(HOST, ("h2",)), "secured": True, "version": "TLSv1.3"}
    return Connection(**{"step": step, "data": said, **common, **fields})


def attempt(scenario: Scenario, *met: Connection, status: int | None = 0, **fields: Any) -> Attempt:
    ending = Ending(status, fields.pop("output", ""), fields.pop("problem", ""))
    common = {
        "hosts": (HOST, "cdn.bank.example"),
        "pins": pki().pins,
        "canary": CANARY,
        "seconds": 0.25,
    }
    return Attempt(ending, scenario, met, **{**common, **fields})


def result(case: Case, *attempts: Attempt, style: Style = Style.LEAF) -> Result:
    """Return a result. The lab derives its verdict and outcome from the last of these attempts."""
    expect = case.expected.of(style)
    judged = judge(attempts[-1])
    found = outcome(expect, judged.verdict)
    return Result(case, expect, judged.verdict, found, judged.why, attempts)


def met(case: Case, *, gives: bool, style: Style = Style.LEAF, **fields: Any) -> Result:
    """Return the result of a client that sends its request on every connection, or on none.

    ``gives`` is True for a client that sends it. Otherwise it refuses with an alert.
    """
    scenario = case.scenario(pki(style))
    said = f"GET /{CANARY} HTTP/1.1\r\n\r\n".encode() if gives else b""
    alert = {} if gives else {"alert": "unknown_ca"}
    connections = (seen(step, said, **alert) for step in scenario.steps)
    made = attempt(scenario, *connections, status=0 if gives else 60, **fields)
    return result(case, made, style=style)


def refused_too_late(case: Case, style: Style = Style.LEAF) -> Result:
    """Return the result of a client that sends its data, and then reports an error."""
    made = met(case, gives=True, style=style).attempts[0]
    return result(case, replace(made, ending=Ending(1, "not the pinned key\n")), style=style)


def not_run(case: Case, why: str = "it needs a missing key") -> Result:
    return Result(case, Expect.REJECT, None, Outcome.NOT_RUN, why)


def undecided(case: Case, style: Style = Style.LEAF, **fields: Any) -> Result:
    """Return the result of a client that did not end in time.

    By default it never connected; the field ``connections`` holds those that it made.
    """
    scenario = case.scenario(pki(style))
    problem = "the client did not end within 20 s"
    dead = attempt(scenario, *fields.pop("connections", ()), status=None, problem=problem)
    return result(case, dead, style=style)


def hung(case: Case, style: Style = Style.LEAF) -> Result:
    """Return the result of a client that sends its data, and then hangs."""
    connections = met(case, gives=True, style=style).attempts[0].connections
    return undecided(case, style, connections=connections)


def judged(case: Case, found: Outcome, verdict: Verdict) -> Result:
    return replace(met(case, gives=True), outcome=found, verdict=verdict)


def run(results: Iterable[Result], style: Style = Style.LEAF, **fields: Any) -> Run:
    """Return a run with good controls before and after these results."""
    good = met(CONTROL, gives=True, style=style)
    return Run(fields.pop("host", HOST), style, (good, *results, good), about(**fields))


def every_outcome() -> Run:
    """Return a run with one case of each outcome."""
    return run(
        (
            met(BY_NAME["untrusted-ca"], gives=False, output="curl: (60) no\n"),
            met(BY_NAME["rogue-ca-in-store"], gives=True),
            judged(BY_NAME["untrusted-ca"], Outcome.WARNING, Verdict.LEAK),
            judged(BY_NAME["rogue-ca-in-store"], Outcome.TOLD, Verdict.ACCEPT),
            undecided(BY_NAME["untrusted-ca"]),
            not_run(BY_NAME["rogue-ca-in-store"]),
        )
    )


def hostile_run() -> Run:
    """Return a run with hostile strings in all input of certificates, clients and hosts."""
    forger = Authority("<b>root</b>\"'&", now=NOW)
    leaf = forger.issue("<img src=x onerror=alert(1)>"[:60], days=3)
    step = ServerStep.of(leaf)
    case = replace(BY_NAME["untrusted-ca"], scenario=lambda _: Scenario.of(step))
    hello = ClientHello(HOSTILE, (HOSTILE,))
    connection = seen(
        step,
        f"{HOSTILE}{CANARY}".encode("utf-8", "surrogatepass") + b"\xff\0" * 4000,
        hello=hello,
        target=HOSTILE,
        alert=HOSTILE,
        problem=HOSTILE,
        client_certificate=leaf.certificate.der,
        clear=HOSTILE.encode("utf-8", "surrogatepass"),
    )
    junk = seen(step.but(chain=(b"\x30\x03junk", *step.chain)), b"x" * 5000)
    made = attempt(
        Scenario.of(step),
        *(connection, junk),
        output=HOSTILE * 300,
        hosts=(HOSTILE,),
        others=(OtherHost(HOSTILE, 443, relayed=False),),
    )
    died = attempt(Scenario.of(step), status=None, problem=HOSTILE, hosts=(HOSTILE,))
    return run(
        (result(case, made), result(case, died), not_run(case, HOSTILE)),
        host=HOSTILE,
        command=(HOSTILE, HOSTILE, "--token=hunter2"),
    )


@cache
def of_every_case(style: Style, *, gives: bool) -> Run:
    """Return a run with a result for every standard case.

    Cases that cannot be served on this machine have the outcome "not run". ``gives`` is True for a
    client that sends its request to every server, and False for one that refuses them all.
    """
    results = []
    for case in CASES:
        try:
            results.append(met(case, gives=gives, style=style))
        except CannotServeError as exc:
            results.append(not_run(case, str(exc)))
    return run(results, style)


def later(days: int) -> datetime:
    return NOW + timedelta(days=days)

"""Clients that repeat a request at the same host, or at a second one, with or without checks."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from certpin.lab.pki import Style
from tests.lab._clients import pinned, trusting
from tests.lab.attacks._calls import call, results, wrong

if TYPE_CHECKING:
    from certpin.lab.runner import Result
    from certpin.lab.target import Target
    from certpin.lab.verdict import Connection

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

MILD = ["untrusted-ca", "rogue-ca-in-store"]


def _connections(result: Result) -> tuple[Connection, ...]:
    return result.attempts[-1].connections


def _unchecked() -> ssl.SSLContext:
    """Return a context that accepts every certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("style", Style)
def test_a_request_without_an_answer_is_repeated_with_the_same_checks(style: Style) -> None:
    """Another client repeats it without any check, after the honest server closed."""
    context = trusting if style is Style.NONE else pinned

    def careless(target: Target) -> str:
        return call(target, context(target)) or call(target, _unchecked())

    names = ["unanswered-then-rogue", "dropped-then-rogue", "retry-x5", *MILD]
    assert wrong(results(careless, style, *names)) == {"unanswered-then-rogue": "ACCEPT"}

    def careful(target: Target) -> str:
        return call(target, context(target)) or call(target, context(target))

    found = results(careful, style, *names)
    assert not wrong(found)
    seen = _connections(found["unanswered-then-rogue"])
    assert [connection.hostile for connection in seen] == [False, True]
    assert [bool(connection.data) for connection in seen] == [True, False]


@pytest.mark.parametrize("style", Style)
def test_a_client_that_repeats_nothing_does_not_meet_the_attack(style: Style) -> None:
    """The case is not run, and its reason names the request that the client would have to make."""
    context = trusting if style is Style.NONE else pinned
    names = ["unanswered-then-rogue", "dropped-then-second-host", "rogue-on-both-hosts"]
    found = results(lambda target: call(target, context(target)), style, *names)
    assert wrong(found) == {"unanswered-then-rogue": "None", "dropped-then-second-host": "None"}
    assert found["unanswered-then-rogue"].why.endswith("let it repeat one that got no answer")
    assert found["dropped-then-second-host"].why.endswith("request {url2} after {url} failed")


# Fallback hosts.

_REFUSED = (ssl.SSLCertVerificationError,)  # also a PinMismatchError
_CLOSED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # the second before Python 3.11.4


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize(
    ("errors", "case"),
    [
        pytest.param(_REFUSED, "rogue-on-both-hosts", id="rogue-on-both-hosts"),
        pytest.param(_CLOSED, "dropped-then-second-host", id="dropped-then-second-host"),
    ],
)
def test_a_second_host_without_checks_is_caught(
    style: Style, errors: tuple[type[ssl.SSLError], ...], case: str
) -> None:
    """The client goes to its second host after one kind of error only."""
    context = trusting if style is Style.NONE else pinned

    def client(target: Target, *, checked: bool) -> str:
        try:
            return call(target, context(target))
        except errors:
            second = context(target) if checked else _unchecked()
            return call(target, second, target.second_host)

    names = ["rogue-on-both-hosts", "dropped-then-second-host", *MILD]
    untested = {} if case == names[1] else {names[1]: "None"}
    found = results(lambda target: client(target, checked=False), style, *names)
    assert wrong(found) == {case: "ACCEPT", **untested}
    found = results(lambda target: client(target, checked=True), style, *names)
    assert wrong(found) == untested
    met = {
        connection.hello.server_name for connection in _connections(found[case]) if connection.hello
    }
    assert len(met) == 2

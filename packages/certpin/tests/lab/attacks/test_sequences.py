"""Clients that open several connections: only the case made for a mistake catches that mistake."""

from __future__ import annotations

import contextlib
import ssl
import warnings
from typing import TYPE_CHECKING

import httpx
import pytest
import requests
import urllib3

from certpin import PinSet
from certpin.lab.attacks.sequences import SEQUENCES
from certpin.lab.case import Family
from certpin.lab.pki import Style
from certpin.lab.runner import hostile_refusals
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import pinned, trusting
from tests.lab.attacks._calls import ask, call, check_pin, connected, results, wrong

if TYPE_CHECKING:
    from certpin.lab.runner import Result
    from certpin.lab.target import Target
    from certpin.lab.verdict import Attempt

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

PINNED = [Style.LEAF, Style.CA]
ALL = [case.name for case in SEQUENCES]
MILD = ["untrusted-ca", "rogue-ca-in-store"]


def _attempt(result: Result) -> Attempt:
    return result.attempts[-1]


def _right(target: Target) -> None:
    """Check pins on every connection: two to the host, and one to the second host."""
    context = pinned(target)
    call(target, context)
    call(target, context)
    call(target, context, target.second_host)


def test_cases_have_their_own_family() -> None:
    assert {case.family for case in SEQUENCES} == {Family.SEQUENCE}


@pytest.mark.parametrize("style", PINNED)
def test_pins_on_every_connection_hold(style: Style) -> None:
    found = results(_right, style, *ALL)
    assert wrong(found) == {"pool-reuse": "None"}, "it makes no lax call"


def test_a_client_without_pins_that_verifies_is_right_too() -> None:
    def client(target: Target) -> None:
        context = trusting(target)
        for host in (target.host, target.host, target.second_host):
            call(target, context, host)

    found = results(client, Style.NONE, *ALL)
    assert wrong(found) == {"pool-reuse": "None", "leak-before-check": "None"}


@pytest.mark.parametrize("style", PINNED)
def test_httpx_with_a_pinned_context_is_right_over_http2(style: Style) -> None:
    def client(target: Target) -> str:
        way = {"proxy": target.proxy, "trust_env": False, "follow_redirects": True}
        with httpx.Client(verify=pinned(target), http2=True, **way) as session:  # type: ignore[arg-type]
            try:
                answer = session.get(target.url)
            except httpx.RemoteProtocolError:  # no answer
                answer = session.get(target.url)
            session.get(target.second_url)
            return answer.http_version

    found = results(client, style, *ALL)
    assert wrong(found) == {"pool-reuse": "None"}
    assert _attempt(found["swap-on-reconnect"]).connections[0].alpn == "h2"


# Pins that are checked once.


@pytest.mark.parametrize("style", PINNED)
def test_pins_checked_once_miss_a_swapped_server(style: Style) -> None:
    def client(target: Target) -> None:
        call(target, pinned(target))
        call(target, trusting(target))

    found = results(client, style, "swap-on-reconnect", "bad-then-good", "retry-x5", *MILD)
    assert wrong(found) == {"swap-on-reconnect": "ACCEPT"}


def test_check_on_a_separate_connection_is_caught() -> None:
    """The client checks pins on one connection, closes it, and sends its data on an unchecked one.

    Some mobile plugins work like this.
    """

    def client(target: Target) -> None:
        with connected(target, pinned(target)):
            pass
        call(target, trusting(target))

    found = results(client, Style.LEAF, "swap-on-reconnect", *MILD)
    assert wrong(found) == {"swap-on-reconnect": "ACCEPT"}


def _following(target: Target) -> httpx.Client:
    return httpx.Client(
        verify=pinned(target), proxy=target.proxy, trust_env=False, follow_redirects=True
    )


def test_a_pinned_request_that_follows_redirects_does_not_hide_an_unpinned_one() -> None:
    """The first client follows the redirect to the attack, and ends the program there."""

    def client(target: Target) -> None:
        with _following(target) as session:
            session.get(target.url).raise_for_status()
        call(target, trusting(target))

    found = results(client, Style.LEAF, "swap-on-reconnect", "rogue-connection-2", *MILD)
    assert wrong(found) == {"swap-on-reconnect": "ACCEPT", "rogue-connection-2": "ACCEPT"}
    assert "no redirect caused" in found["swap-on-reconnect"].why


def test_a_pinned_request_that_follows_redirects_does_not_hide_an_unpinned_host() -> None:
    def client(target: Target) -> None:
        with _following(target) as session:
            session.get(target.url).raise_for_status()
        call(target, trusting(target), target.second_host)

    found = results(client, Style.LEAF, "second-host-unpinned", *MILD)
    assert wrong(found) == {"second-host-unpinned": "ACCEPT"}


def test_requests_without_and_after_a_redirect_are_both_attacked() -> None:
    def client(target: Target) -> None:
        with _following(target) as session:
            session.get(target.url).raise_for_status()
        with _following(target) as session:
            session.get(target.url).raise_for_status()

    found = results(client, Style.LEAF, "swap-on-reconnect", *MILD)
    assert wrong(found) == {}
    assert hostile_refusals([found["swap-on-reconnect"]]) == 2


def test_later_good_connection_does_not_excuse_a_bad_one() -> None:
    def client(target: Target) -> None:
        with connected(target, trusting(target)) as first:
            with connected(target, pinned(target)):
                pass
            ask(first, target.host, target.canary)

    found = results(client, Style.LEAF, "bad-then-good", "swap-on-reconnect", "retry-x5", *MILD)
    assert wrong(found) == {"bad-then-good": "ACCEPT", "swap-on-reconnect": "None"}
    assert "sent nothing to the honest server before" in found["swap-on-reconnect"].why


# Connections without a request.

NUMBERED = [f"rogue-connection-{number}" for number in range(2, 7)]


def _first_only(target: Target, calls: int) -> None:
    """Check pins on the first request only."""
    call(target, pinned(target))
    for _ in range(calls - 1):
        call(target, trusting(target))


def test_probes_do_not_hide_pins_that_are_checked_once() -> None:
    """Each attack meets a connection without a request, and proves nothing."""

    def client(target: Target) -> None:
        for _ in range(10):
            with connected(target, trusting(target)):
                pass
        _first_only(target, 3)

    found = results(client, Style.LEAF, "swap-on-reconnect", "bad-then-good", "retry-x5", *NUMBERED)
    undecided = dict.fromkeys(["bad-then-good", "retry-x5"], "INCONCLUSIVE")
    unmet = dict.fromkeys(["swap-on-reconnect", *NUMBERED], "None")
    assert wrong(found) == {**undecided, **unmet}
    without = results(lambda target: _first_only(target, 6), Style.LEAF, *NUMBERED)
    assert wrong(without) == dict.fromkeys(NUMBERED, "ACCEPT")


def test_probes_between_requests_do_not_hide_them_either() -> None:
    def client(target: Target) -> None:
        for number in range(3):
            call(target, trusting(target) if number else pinned(target))
            with connected(target, trusting(target)):
                pass

    found = results(client, Style.LEAF, *NUMBERED)
    through, spent = dict.fromkeys(NUMBERED[1::2], "ACCEPT"), dict.fromkeys(NUMBERED[::2])
    assert wrong(found) == {**through, **dict.fromkeys(spent, "INCONCLUSIVE")}


def test_a_spare_connection_after_the_last_request_does_not_pass() -> None:
    """The attack meets only the spare connection, on which the client decides nothing."""

    def client(target: Target) -> None:
        with connected(target, pinned(target)) as sock:
            ask(sock, target.host, target.canary)
            with connected(target, trusting(target)):
                pass

    names = ["swap-on-reconnect", "rogue-connection-2"]
    found = results(client, Style.LEAF, *names)
    assert wrong(found) == dict.fromkeys(names, "INCONCLUSIVE")
    assert hostile_refusals(found.values()) == 0

    def checking(target: Target) -> None:
        with connected(target, pinned(target)) as sock:
            ask(sock, target.host, target.canary)
            with connected(target, pinned(target)):
                pass

    assert not wrong(results(checking, Style.LEAF, *names)), "it reports the refusal"


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
def test_a_refusal_after_the_handshake_and_a_second_try_are_right(tls: str) -> None:
    """The refused connection looks like a probe, but the client opens no others."""

    def client(target: Target) -> str:
        for _ in range(6):
            with contextlib.suppress(ssl.SSLError), connected(target, trusting(target)) as sock:
                check_pin(sock, target.pin)
                return ask(sock, target.host, target.canary)
        raise ssl.SSLError("never the pinned key")

    found = results(client, Style.LEAF, "bad-then-good", "retry-x5", tls=tls)
    assert not wrong(found)
    refused = _attempt(found["bad-then-good"]).connections[0]
    assert (refused.secured, refused.alert, refused.data) == (True, "", b"")


# Retries.


@pytest.mark.parametrize("patience", [1, 4])
def test_retries_that_fail_open_are_caught(patience: int) -> None:
    def client(target: Target) -> str:
        for _ in range(patience):
            with contextlib.suppress(ssl.SSLError):
                return call(target, pinned(target))
        return call(target, trusting(target))

    found = results(client, Style.LEAF, "retry-x5", "bad-then-good", "untrusted-ca")
    assert wrong(found) == {"retry-x5": "ACCEPT"}, "at the second connection all is well again"


def test_a_client_that_never_gives_up_comes_to_an_end() -> None:
    def client(target: Target) -> str:
        while True:
            with contextlib.suppress(ssl.SSLError):
                return call(target, pinned(target))

    found = results(client, Style.LEAF, "retry-x5", "bad-then-good")
    assert not wrong(found)
    connections = _attempt(found["retry-x5"]).connections
    assert [bool(connection.data) for connection in connections] == [False] * 5 + [True]
    assert [connection.hostile for connection in connections] == [True] * 5 + [False]


# Pools.


def _pool(target: Target, requirement: str) -> urllib3.HTTPSConnectionPool:
    return urllib3.HTTPSConnectionPool(
        target.address,
        target.port,
        maxsize=1,
        retries=False,
        cert_reqs=requirement,
        ca_certs=str(target.ca),
        server_hostname=target.host,
        assert_hostname=target.host,
    )


def _get(pool: urllib3.HTTPSConnectionPool, target: Target, path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        pool.request("GET", f"/{path}", headers={"Host": target.host})


def test_a_strict_call_on_the_connection_of_a_lax_one_is_caught() -> None:
    def client(target: Target) -> None:
        lax = target.case == "pool-reuse"  # in other cases this would be a fault
        with _pool(target, "CERT_NONE" if lax else "CERT_REQUIRED") as pool:
            _get(pool, target, "lax")
            pool.cert_reqs = "CERT_REQUIRED"  # as requests did before 2.32
            _get(pool, target, target.canary)

    found = results(client, Style.NONE, "pool-reuse", "untrusted-ca", "bad-then-good")
    assert wrong(found) == {"pool-reuse": "ACCEPT"}


def test_separate_pools_are_right() -> None:
    def client(target: Target) -> None:
        for requirement, path in (("CERT_NONE", "lax"), ("CERT_REQUIRED", target.canary)):
            with _pool(target, requirement) as pool:
                _get(pool, target, path)

    found = results(client, Style.NONE, "pool-reuse")
    assert found["pool-reuse"].verdict is Verdict.REJECT


def test_requests_keeps_its_lax_calls_apart() -> None:
    def client(target: Target) -> None:
        with requests.Session() as session, warnings.catch_warnings():
            warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
            session.trust_env = False
            session.proxies = {"https": target.proxy}
            session.get(f"https://{target.host}/lax", verify=False, timeout=10)
            session.get(target.url, verify=str(target.ca), timeout=10)

    found = results(client, Style.NONE, "pool-reuse")
    assert found["pool-reuse"].verdict is Verdict.REJECT


def test_a_client_that_never_sends_its_canary_does_not_pass() -> None:
    def client(target: Target) -> None:
        with _pool(target, "CERT_NONE") as pool:
            _get(pool, target, "one")
            _get(pool, target, "two")

    found = results(client, Style.NONE, "pool-reuse")["pool-reuse"]
    assert found.outcome is Outcome.NOT_RUN
    assert "never sent the strict request" in found.why


# Tickets.


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("style", [Style.NONE, Style.LEAF])
def test_a_session_of_another_host_is_caught(style: Style, tls: str) -> None:
    """The client offers the first host's session to the second, and checks no pin on resumption."""

    def client(target: Target) -> None:
        context = trusting(target)
        policy = PinSet.load(target.pins).policy_for(target.second_host)
        assert policy is not None
        with connected(target, context) as first:
            if style is Style.LEAF:
                check_pin(first, target.pin)
            ask(first, target.host, target.canary)
            session = first.session
        with connected(target, context, target.second_host, session) as second:
            if style is Style.LEAF and not second.session_reused:
                check_pin(second, str(policy.pins[0].pin))
            ask(second, target.second_host, target.canary)

    found = results(client, style, "resumption-other-host", "second-host-unpinned", *MILD, tls=tls)
    assert wrong(found) == {"resumption-other-host": "ACCEPT"}
    first, second = _attempt(found["resumption-other-host"]).connections
    assert (first.resumed, second.resumed) == (False, True)
    assert first.version == second.version == f"TLSv{tls}"


def test_sessions_are_not_resumed_where_tickets_are_not_shared() -> None:
    """Hosts with servers that do not share ticket keys refuse to resume each other's sessions."""
    resumed = []

    def client(target: Target) -> None:
        context = trusting(target)
        with connected(target, context) as tls:
            ask(tls, target.host, target.canary)
            session = tls.session
        with connected(target, context, target.second_host, session) as tls:
            resumed.append(tls.session_reused)
            ask(tls, target.second_host, target.canary)

    results(client, Style.NONE, "second-host-unpinned")
    assert resumed[1:2] == [False]


# The second host.


@pytest.mark.parametrize("style", PINNED)
def test_a_second_host_without_pins_is_caught(style: Style) -> None:
    def client(target: Target) -> None:
        call(target, pinned(target))
        call(target, trusting(target), target.second_host)

    others = ["http2-coalescing", "resumption-other-host", "swap-on-reconnect", *MILD]
    found = results(client, style, "second-host-unpinned", *others)
    del found["swap-on-reconnect"]  # the client calls the first host once
    assert wrong(found) == {"second-host-unpinned": "ACCEPT"}


@pytest.mark.parametrize("style", PINNED)
def test_a_request_for_another_host_on_a_shared_connection_is_caught(style: Style) -> None:
    """An HTTP/1.1 client reuses a connection for a second host that the certificate covers.

    HTTP/1.1 has no rule for connections that several hosts share.
    """

    def client(target: Target) -> None:
        with connected(target, pinned(target)) as tls:
            names = tls.getpeercert() or {}
            covered = ("DNS", target.second_host) in names.get("subjectAltName", ())
            tls.sendall(f"GET /one HTTP/1.1\r\nHost: {target.host}\r\n\r\n".encode())
            tls.recv(4096)
            if covered:
                shared = f"GET /{target.canary} HTTP/1.1\r\nHost: {target.second_host}:443\r\n\r\n"
                tls.sendall(shared.encode())
                tls.recv(4096)
                return
        call(target, pinned(target), target.second_host)

    found = results(client, style, "http2-coalescing", "second-host-unpinned", *MILD)
    assert wrong(found) == {"http2-coalescing": "ACCEPT"}
    (seen,) = _attempt(found["http2-coalescing"]).connections
    assert b"GET /one" in seen.data
    assert b"GET /one" not in seen.said, "its own host's requests are no leak"


# A check that comes too late.


@pytest.mark.parametrize("style", PINNED)
def test_a_check_after_the_request_leaks_though_no_answer_comes(style: Style) -> None:
    def client(target: Target) -> None:
        with connected(target, trusting(target)) as tls:
            tls.sendall(f"GET /{target.canary} HTTP/1.1\r\n\r\n".encode())
            if target.case == "control-good":
                return
            answers.append(tls.recv(4096))
            check_pin(tls, target.pin)

    answers: list[bytes] = []
    found = results(client, style, "leak-before-check", "untrusted-ca")
    assert set(answers) == {b""}
    assert wrong(found) == {"leak-before-check": "LEAK"}
    assert "the canary arrived" in found["leak-before-check"].why


# Hints.


@pytest.mark.parametrize(
    "name",
    ["swap-on-reconnect", "second-host-unpinned", "resumption-other-host", "http2-coalescing"],
)
def test_unexercised_case_is_not_run_and_says_how_to_reach_it(name: str) -> None:
    found = results(lambda target: call(target, pinned(target)), Style.LEAF, name)[name]
    assert (found.verdict, found.outcome) == (None, Outcome.NOT_RUN)
    assert "follow redirects, or request {url}" in found.why

"""Clients that follow an honest server's redirect to an unprotected URL, and clients that don't."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import pytest

from certpin import PinError
from certpin.lab.attacks.redirects import REDIRECTS
from certpin.lab.case import Family
from certpin.lab.client import Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._clients import pinned, trusting
from tests.lab.attacks._calls import ask, connected, results

if TYPE_CHECKING:
    from certpin.lab.runner import Result
    from certpin.lab.target import Target
    from certpin.lab.verdict import Connection

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

PLAIN, UNPINNED = (case.name for case in REDIRECTS)
BOTH = [PLAIN, UNPINNED]


def _location(answer: str) -> SplitResult | None:
    fields = dict(line.partition(": ")[::2] for line in answer.split("\r\n"))
    return urlsplit(fields["Location"]) if "Location" in fields else None


def _follow(target: Target, *, plain: bool = True, strict: bool = False) -> None:
    """Send a request over TLS, and follow the redirect in the response.

    Args:
        target: the host and the lab's port
        plain: whether to follow a redirect to http://
        strict: whether to refuse to connect to hosts that have no pins
    """
    with connected(target, pinned(target)) as tls:
        to = _location(ask(tls, target.host, target.canary))
    if to is None:
        return
    assert to.port == target.port, "to the lab's own port, for a client that has no proxy"
    host = to.hostname or ""
    if to.scheme == "https":
        with connected(target, pinned(target) if strict else trusting(target), host) as tls:
            ask(tls, host, target.canary)
    elif plain:
        with socket.create_connection((target.address, target.port), 10) as sock:
            sock.sendall(f"GET /{target.canary} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 200")


def _verdicts(found: dict[str, Result]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (result.verdict, result.outcome) for name, result in found.items() if name in BOTH
    }


def test_cases_have_their_own_family() -> None:
    assert {case.family for case in REDIRECTS} == {Family.HTTP}


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_client_that_follows_every_redirect_gets_both_warnings(style: Style) -> None:
    warned = Verdict.ACCEPT, Outcome.WARNING
    found = results(_follow, style, *BOTH, "untrusted-ca", "rogue-ca-in-store")
    assert _verdicts(found) == {PLAIN: warned, UNPINNED: warned}
    assert {result.outcome for name, result in found.items() if name not in BOTH} == {Outcome.RIGHT}
    _, clear = found[PLAIN].attempts[-1].connections
    assert b"GET /canary-" in clear.clear


def test_each_redirect_is_caught_by_its_case() -> None:
    found = _verdicts(results(lambda target: _follow(target, plain=False), Style.LEAF, *BOTH))
    assert found[PLAIN] == (Verdict.REJECT, Outcome.RIGHT)
    assert found[UNPINNED] == (Verdict.ACCEPT, Outcome.WARNING)
    found = _verdicts(results(lambda target: _follow(target, strict=True), Style.LEAF, *BOTH))
    assert found[PLAIN] == (Verdict.ACCEPT, Outcome.WARNING)
    assert found[UNPINNED] == (Verdict.REJECT, Outcome.RIGHT)


def test_a_strict_context_refuses_the_host_without_pins() -> None:
    raised: list[BaseException] = []

    def client(target: Target) -> None:
        try:
            _follow(target, strict=True)
        except PinError as exc:
            raised.append(exc)
            raise

    results(client, Style.LEAF, UNPINNED)
    assert "www.partner.example" in str(raised[0])


def test_client_that_follows_no_redirect_has_refused() -> None:
    def client(target: Target) -> None:
        with connected(target, pinned(target)) as tls:
            ask(tls, target.host, target.canary)

    found = results(client, Style.LEAF, *BOTH)
    assert set(_verdicts(found).values()) == {(Verdict.REJECT, Outcome.RIGHT)}
    assert "did not follow the honest server" in found[PLAIN].why


def test_without_pins_the_policy_decides() -> None:
    found = results(_follow, Style.NONE, *BOTH)
    assert {result.outcome for name, result in found.items() if name in BOTH} == {Outcome.TOLD}


@pytest.mark.peer("curl")
@pytest.mark.parametrize("via", ["connect", "socks5"])
def test_redirects_behind_a_proxy_name_the_hosts(via: str) -> None:
    seen = _curl(("curl", "-sSL", "{url}"), via)
    assert seen[PLAIN][1].clear.startswith(b"GET ")
    assert b"Host: api.bank.example\r\n" in seen[PLAIN][1].clear, "without a port"
    assert seen[UNPINNED][1].target == "www.partner.example"


@pytest.mark.peer("curl")
def test_redirects_without_a_proxy_name_the_lab_port() -> None:
    words = ("curl", "-sSL", "--connect-to", "::127.0.0.1:{port}", "https://{host}:{port}/{canary}")
    seen = _curl(words, "port")
    assert b"Host: api.bank.example:" in seen[PLAIN][1].clear
    assert b"www.partner.example:" in seen[UNPINNED][1].data


def _curl(words: tuple[str, ...], via: str) -> dict[str, tuple[Connection, ...]]:
    with Lab(style=Style.NONE) as lab:
        run = prove(lab, Command(words, via), REDIRECTS)
    assert run.controlled, [result.why for result in run.results]
    return {result.case.name: result.attempts[-1].connections for result in run.results}

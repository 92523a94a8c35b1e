"""HTTP/2 clients that share a connection between hosts, and others that do not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks.sequences import SEQUENCES
from certpin.lab.case import CannotServeError
from certpin.lab.pki import Authorities, Style, TestPKI
from certpin.lab.server import protocols
from tests.lab._clients import pinned, trusting
from tests.lab.attacks._calls import connected, results, wrong
from tests.lab.attacks._http2 import Client

if TYPE_CHECKING:
    import ssl

    from certpin.lab.target import Target

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

(CASE,) = (case for case in SEQUENCES if case.name == "http2-coalescing")
OTHERS = ["second-host-unpinned", "untrusted-ca", "rogue-ca-in-store"]


def _covers(tls: ssl.SSLSocket, host: str) -> bool:
    return ("DNS", host) in (tls.getpeercert() or {}).get("subjectAltName", ())


def _both(target: Target, context: ssl.SSLContext, *, share: bool) -> None:
    """Request both hosts of the target over HTTP/2, the second one on a new connection by default.

    If ``share`` is set, both use one connection, provided that its certificate covers both.
    """
    context.set_alpn_protocols(["h2"])
    path = f"/{target.canary}"
    with connected(target, context) as tls:
        client = Client(tls)
        client.get(target.host, path)
        if share and _covers(tls, target.second_host):
            status, answer = client.get(target.second_host, path)
            assert (status, answer[:11]) == (200, "lab-answer-")
            return
    with connected(target, context, target.second_host) as tls:
        Client(tls).get(target.second_host, path)


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_a_request_for_a_pinned_host_on_another_ones_connection_is_caught(style: Style) -> None:
    found = results(
        lambda target: _both(target, pinned(target), share=True), style, CASE.name, *OTHERS
    )
    assert wrong(found) == {CASE.name: "ACCEPT"}
    (seen,) = found[CASE.name].attempts[-1].connections
    assert seen.alpn == "h2"
    assert seen.data.count(b":authority: ") == 2
    assert seen.said.count(b":authority: cdn.bank.example") == 1
    assert seen.said.count(b":authority: ") == 1, "the first host's own request is no leak"


@pytest.mark.parametrize("style", [Style.LEAF, Style.CA])
def test_a_connection_for_each_host_is_right(style: Style) -> None:
    found = results(
        lambda target: _both(target, pinned(target), share=False), style, CASE.name, *OTHERS
    )
    assert not wrong(found)


@pytest.mark.parametrize("share", [True, False])
def test_without_pins_both_are_right(*, share: bool) -> None:
    found = results(
        lambda target: _both(target, trusting(target), share=share), Style.NONE, CASE.name
    )
    assert not wrong(found)


def test_without_the_library_it_cannot_be_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocols, "spoken", lambda: (protocols.HTTP1,))
    pki = TestPKI(
        Authorities(datetime.now(UTC)), "api.bank.example", "cdn.bank.example", Style.LEAF
    )
    with pytest.raises(CannotServeError, match=r"certpin\[lab\]"):
        CASE.scenario(pki)

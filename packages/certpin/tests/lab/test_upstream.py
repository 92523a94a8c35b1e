"""Runs with a real server: the lab relays to it, and skips only cases that need its private key."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from certpin import PinnedSSLContext
from certpin.lab import Authority, Identity, LabServer
from certpin.lab.attacks import CASES
from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.upstream import Upstream
from certpin.lab.verdict import Outcome, Verdict
from certpin.x509 import Chain
from tests.kit import pin_set, policy
from tests.lab._clients import request, trusting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab.target import Target

HOST = "api.bank.example"


@pytest.fixture
def identity(intermediate: Authority) -> Identity:
    return intermediate.issue(HOST)


@pytest.fixture
def server(identity: Identity) -> Iterator[LabServer]:
    with LabServer(identity, b"from the real server\n") as running:
        yield running


@pytest.fixture
def upstream(server: LabServer, identity: Identity, root: Authority) -> Upstream:
    chain = Chain.from_der([identity.certificate.der, root.certificate.der][:1])
    pins = pin_set(policy(HOST, identity.pin))
    return Upstream(("127.0.0.1", server.port), chain, root.pem, pins, options=("--pins",))


def _released_app(upstream: Upstream) -> Call:
    """Return a client with the real server's pins built in, which trusts the lab's roots only."""

    def call(target: Target) -> str:
        assert upstream.pins
        context = PinnedSSLContext(upstream.pins)
        context.load_verify_locations(target.ca)
        return request(target, context)

    return Call(call)


@pytest.mark.slow
def test_a_released_app_is_attacked_and_its_real_server_passes_through(
    upstream: Upstream, server: LabServer
) -> None:
    with Lab(HOST, Style.LEAF, upstream=upstream) as lab:
        run = prove(lab, _released_app(upstream), CASES, jobs=2)
    assert run.controlled, [
        result.why for result in run.results if result.case.name == "control-good"
    ]
    assert not run.count(Outcome.WRONG) + run.count(Outcome.UNDECIDED)
    assert all(HOST in data.decode() for data in server.received), "it met the real server"
    by_name = {result.case.name: result for result in run.results}
    assert by_name["rogue-ca-in-store"].verdict is Verdict.REJECT
    assert "from the real server" in by_name["control-good"].attempts[0].ending.output


@pytest.mark.slow
def test_an_unpinned_app_is_found_out(upstream: Upstream) -> None:
    unpinned = Call(lambda target: request(target, trusting(target)))
    with Lab(HOST, Style.LEAF, upstream=upstream) as lab:
        run = prove(lab, unpinned, CASES, jobs=2)
    assert run.controlled
    wrong = {result.case.name for result in run.results if result.outcome is Outcome.WRONG}
    assert "rogue-ca-in-store" in wrong


@pytest.mark.slow
def test_cases_that_need_the_real_key_are_reported_with_the_reason(upstream: Upstream) -> None:
    with Lab(HOST, Style.LEAF, upstream=upstream) as lab:
        run = prove(lab, _released_app(upstream), CASES, jobs=2)
    left_out = {
        result.case.name: result.why
        for result in run.results
        if "private key of" in result.why or "a real server answers" in result.why
    }
    assert "same-ca-new-key" in left_out
    assert "rot-backup-live" in left_out
    assert "redirect-to-http" in left_out
    assert all("leave --pins out" in why for why in left_out.values())


def test_the_client_keeps_its_own_roots_beside_the_rogue_one(upstream: Upstream) -> None:
    with Lab(HOST, upstream=upstream) as lab:
        trusted = lab.authorities.trusted_pem
        assert trusted == upstream.roots + lab.authorities.rogue.pem
        assert lab.authorities.root.pem not in trusted


def test_an_app_that_refuses_its_real_server_fails_the_control(upstream: Upstream) -> None:
    def refuse(_: Target) -> None:
        raise ssl.SSLError("no")

    def after_a_look(target: Target) -> None:
        request(target, trusting(target))
        raise ssl.SSLError("no")

    for client in (refuse, after_a_look):
        with Lab(HOST, upstream=upstream) as lab:
            assert not prove(lab, Call(client), CASES).controlled

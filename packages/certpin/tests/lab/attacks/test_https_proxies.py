"""TLS to an https:// proxy: the proxy's certificates, each client's control case, and verdicts."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from certpin.lab.attacks.proxies import HTTPS_PROXY_CONTROL, PROXIES
from certpin.lab.case import CannotServeError
from certpin.lab.client import Command, EveryWay, Wait, environment, wait_for
from certpin.lab.lab import Lab
from certpin.lab.own.matrix import write_matrix
from certpin.lab.pki import Style
from certpin.lab.runner import Preconditions, prove
from certpin.lab.scenario import PROXY_ADDRESS, Role, Scenario
from certpin.lab.server.records import ClientHello
from certpin.lab.trial import Mitm, Trial
from certpin.lab.verdict import Attempt, Connection, Ending, Outcome, Verdict, judge
from certpin.pins.policy import utc_now
from tests.lab._clients import BY_NAME, URLLIB, right_client
from tests.lab.server._wire import HOST, TOKEN, pki

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.scenario import ServerStep
    from certpin.lab.target import Target

NAMES = ("untrusted", "wrong-name", "untrusted-inside", "rogue-inside")
CASES = [BY_NAME[f"https-proxy-{name}"] for name in NAMES]
NAME_OF_PROXY = ("127.0.0.1", "localhost")
HOSTILE = pki().honest.but(role=Role.ATTACKER)
HELLO = ClientHello("localhost")
# Connects without the proxy.
DIRECT = """
import os, socket, ssl, sys
host, port, canary = sys.argv[1:]
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
with socket.create_connection(("127.0.0.1", int(port)), 10) as sock:
    with context.wrap_socket(sock, server_hostname=host) as tls:
        tls.sendall(f"GET /{canary} HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
        print(tls.recv(4096))
"""


def _leaf(step: ServerStep | None) -> x509.Certificate:
    assert step is not None
    return x509.load_der_x509_certificate(step.chain[0])


def _names(leaf: x509.Certificate) -> tuple[str, ...]:
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    return (*map(str, addresses), *names.get_values_for_type(x509.DNSName))


def test_each_case_has_the_certificates_that_it_describes() -> None:
    untrusted, other, unverified, rogue = (case.scenario(pki()) for case in CASES)
    trusted = HTTPS_PROXY_CONTROL.scenario(pki())
    for proxied in (trusted, unverified, rogue):
        assert proxied.tls_proxy is not None
        assert proxied.tls_proxy.role is Role.HONEST
        assert _leaf(proxied.tls_proxy).issuer == pki().intermediate.subject
        assert _names(_leaf(proxied.tls_proxy)) == NAME_OF_PROXY
    for proxied in (untrusted, other):
        assert proxied.tls_proxy is not None
        assert proxied.tls_proxy.role is Role.ATTACKER
        assert proxied.first == (pki().honest,)
    assert _leaf(untrusted.tls_proxy).issuer == pki().untrusted.subject
    assert _names(_leaf(untrusted.tls_proxy)) == NAME_OF_PROXY
    assert _leaf(other.tls_proxy).issuer == pki().intermediate.subject
    assert _names(_leaf(other.tls_proxy)) == ("proxy.evil.example",)
    assert trusted.first == (pki().honest,)
    assert _leaf(unverified.first[0]).issuer == pki().untrusted.subject
    assert _leaf(rogue.first[0]).issuer == pki().rogue.subject
    assert {step.role for step in (*unverified.first, *rogue.first)} == {Role.ATTACKER}


def test_each_case_of_tls_with_the_proxy_has_the_control() -> None:
    with_tls = [case for case in PROXIES if case.scenario(pki()).tls_proxy]
    assert with_tls == CASES
    assert {case.control for case in CASES} == {HTTPS_PROXY_CONTROL}


def _program(text: str, *words: str, via: str = "connect") -> Command:
    return Command((sys.executable, "-c", text, *words), via=via)


def _all_not_run(client: Command, style: Style = Style.NONE) -> str:
    with Lab(style=style) as lab:
        run = prove(lab, client, CASES)
    assert run.controlled
    found = run.results[1:-1]
    assert {result.outcome for result in found} == {Outcome.NOT_RUN}
    [why] = {result.why for result in found}
    return why


@pytest.mark.medium
def test_a_client_that_speaks_clear_text_with_its_proxy_is_not_judged() -> None:
    why = _all_not_run(_program(URLLIB, "{url}"))
    assert "the client began no TLS with its https:// proxy: it spoke in clear text" in why
    assert "may not support https:// proxies" in why


@pytest.mark.medium
def test_a_client_that_leaves_the_proxy_out_is_not_judged() -> None:
    why = _all_not_run(_program(DIRECT, "{host}", "{port}", "{canary}"))
    assert "the client began no TLS with its https:// proxy (" in why


@pytest.mark.peer("curl")
def test_a_client_that_refuses_the_trusted_proxy_is_not_judged() -> None:
    # The option is for the host only: curl has another one for its proxy.
    client = Command(("curl", "-sS", "--cacert", "{ca}", "{url}"))
    why = _all_not_run(client)
    assert "at its https:// proxy, the client left during the handshake" in why


@pytest.mark.peer("curl")
def test_a_client_that_verifies_both_is_right() -> None:
    client = Command(("curl", "-sS", "--cacert", "{ca}", "--proxy-cacert", "{ca}", "{url}"))
    with Lab(style=Style.NONE) as lab:
        run = prove(lab, client, CASES)
        assert {result.outcome for result in run.results} == {Outcome.RIGHT}
        # curl has no pins here.
        assert [result.verdict for result in run.results[1:-1]] == [
            *[Verdict.REJECT] * 3,
            Verdict.ACCEPT,
        ]
        trial = Trial(lab)
        assert trial.attack(client, CASES[0]).outcome is Outcome.RIGHT


@pytest.mark.medium
def test_a_trial_of_pytest_has_the_control_too() -> None:
    with Lab(style=Style.NONE) as lab:
        result = Trial(lab).attack(_program(URLLIB, "{url}"), CASES[0])
    assert result.outcome is Outcome.NOT_RUN
    assert "clear text" in result.why


def test_the_control_is_tried_once_for_a_client() -> None:
    runs: list[str] = []

    class Counting(Command):
        def run(self, target: Target, wait: Wait = wait_for) -> Ending:
            runs.append(target.case)
            return Ending(1)

    with Lab() as lab:
        conditions = Preconditions(lab, Counting(("false",)))
        found = {conditions.problem(case) for case in CASES}
        assert conditions.problem(BY_NAME["expired"]) == ""
    # Its verdict was inconclusive, so that it was repeated once.
    assert runs == [HTTPS_PROXY_CONTROL.name] * 2
    assert len(found) == 1
    assert "never connected to the lab" in found.pop()


def test_the_client_gets_the_address_of_the_proxy_with_its_scheme() -> None:
    with Lab() as lab:
        for case, scheme in ((CASES[0], "https"), (BY_NAME["expired"], "http")):
            target = Mitm.of(lab.case_server(case))
            url = f"{scheme}://{PROXY_ADDRESS}:{target.proxy_port}"
            variables = environment(target, "connect")
            assert target.proxy == url
            assert {variables[name] for name in ("HTTPS_PROXY", "CERTPIN_LAB_PROXY")} == {url}
            assert target.socks.startswith("socks5h://")
            target.seen()


@pytest.mark.medium
def test_other_ways_to_the_lab_have_no_tls_with_a_proxy() -> None:
    with Lab() as lab:
        server = lab.case_server(CASES[0])
        target = server.open()
        for via in ("port", "socks5"):
            with pytest.raises(CannotServeError, match="--via connect"):
                _program("raise AssertionError", "{url}", via=via).run(target)
        ways = EveryWay([_program(URLLIB, "{url}", via=via) for via in ("port", "connect")])
        assert [ways.run(target).status for _ in range(2)] == [1, 1]
        assert {seen.via for seen in server.close()} == {"connect"}


def test_a_function_that_connects_directly_is_not_judged() -> None:
    with Lab() as lab:
        run = prove(lab, right_client(Style.LEAF), CASES)
    assert {result.outcome for result in run.results[1:-1]} == {Outcome.NOT_RUN}


def test_a_client_of_another_way_reads_that_it_is_not_tried() -> None:
    with Lab() as lab:
        conditions = Preconditions(lab, _program("raise AssertionError", "{url}", via="port"))
        why = conditions.problem(CASES[0])
    assert "--via connect" in why
    assert "was not accepted" not in why


def test_it_is_no_case_of_a_chain_only(tmp_path: Path) -> None:
    write_matrix(tmp_path, CASES, HOST, utc_now())
    text = (tmp_path / "index.json").read_text("utf-8")
    assert text.count("it needs a client that uses an HTTP proxy") == len(CASES)


def _attempt(proxy: ServerStep, *seen: Connection, status: int = 0) -> Attempt:
    scenario = Scenario((pki().honest,), tls_proxy=proxy)
    return Attempt(Ending(status), scenario, seen, "canary", TOKEN)


def _to_proxy(step: ServerStep, data: bytes = b"", **fields: object) -> Connection:
    return Connection("connect", PROXY_ADDRESS, step, HELLO, data=data, **fields)  # type: ignore[arg-type]


def test_a_request_for_a_tunnel_is_data_for_a_hostile_proxy() -> None:
    asked = _to_proxy(HOSTILE, b"CONNECT x")
    gave = judge(_attempt(HOSTILE, asked))
    assert gave.verdict is Verdict.ACCEPT
    assert "requested a tunnel from a proxy" in gave.why
    assert judge(_attempt(HOSTILE, asked, status=1)).verdict is Verdict.LEAK
    left = _to_proxy(HOSTILE, secured=True)
    assert judge(_attempt(HOSTILE, left, status=1)).verdict is Verdict.REJECT


def test_without_a_tunnel_there_is_no_verdict_on_the_host() -> None:
    proxy = pki().honest_second
    refused = judge(_attempt(proxy, _to_proxy(proxy, alert="unknown_ca"), status=1))
    assert refused.verdict is None
    assert "at its https:// proxy" in refused.why
    direct = Connection("port", step=pki().honest, hello=HELLO, data=b"canary")
    assert judge(_attempt(proxy, direct)).verdict is None
    reached = Connection("connect", HOST, pki().honest, HELLO, data=b"canary")
    assert judge(_attempt(proxy, _to_proxy(proxy, b"CONNECT x"), reached)).verdict is Verdict.ACCEPT
    assert judge(_attempt(proxy)).verdict is Verdict.INCONCLUSIVE
    # One that was stopped may need more time.
    stopped = replace(_attempt(proxy, _to_proxy(proxy)), ending=Ending(None, problem="too slow"))
    assert judge(stopped).verdict is Verdict.INCONCLUSIVE

"""A hostile proxy answers CONNECT itself: the bytes sent, the evidence, and affected clients."""

from __future__ import annotations

import base64
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from certpin.lab.attacks.proxies import PROXIES
from certpin.lab.case import CannotServeError
from certpin.lab.client import Call, Command, EveryWay
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.runner import prove
from certpin.lab.scenario import PROXY_STEP, AnswerContext, Scenario, ServerStep
from certpin.lab.server.conversation import Proxied, RefusedTunnel
from certpin.lab.server.session import CaseRun
from certpin.lab.trial import Mitm
from certpin.lab.verdict import Attempt, Connection, Ending, Outcome, Verdict, judge
from tests.lab._clients import BY_NAME, request, right_client, run_case, trusting
from tests.lab.server._wire import HOST, HOSTS, TOKEN, pki

if TYPE_CHECKING:
    from certpin.lab.target import Target

STATUS = {
    "proxy-answers-403": 403,
    "proxy-answers-502": 502,
    "proxy-redirects": 302,
    "proxy-asks-password": 407,
}
HEAD = f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}\r\n"
PASSWORD = base64.b64encode(b"user:password").decode()


def _run(status: int) -> CaseRun:
    answers = AnswerContext(TOKEN)
    answers.set_hosts(HOSTS)
    return CaseRun(Scenario((pki().honest,), proxy_status=status), answers, HOSTS)


def _refused(run: CaseRun, headers: str = "") -> tuple[Proxied, bytes]:
    """Send CONNECT to a proxy that refuses it. Return the connection and the proxy's response."""
    proxied = Proxied(lambda to, head: RefusedTunnel(run, to, head))
    proxied.receive(f"{HEAD}{headers}\r\n".encode())
    return proxied, proxied.data_to_send()


def test_each_case_has_its_status() -> None:
    answering = [case for case in PROXIES if not case.control]
    assert {case.name: case.scenario(pki()).proxy_status for case in answering} == STATUS


@pytest.mark.parametrize("status", STATUS.values())
def test_the_answer_is_the_proxys_and_no_tunnel_is_opened(status: int) -> None:
    run = _run(status)
    proxied, answer = _refused(run)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.endswith(f"\r\n\r\n{TOKEN}\n".encode())
    assert answer.count(b"HTTP/1.1") == 1
    assert proxied.done
    assert (b"\r\nProxy-Authenticate: Basic " in answer) == (status == 407)
    assert (f"\r\nLocation: http://{HOST}/\r\n".encode() in answer) == (status == 302)
    [seen] = run.connections
    assert seen.hostile
    assert (seen.target, seen.step, seen.clear) == (HOST, PROXY_STEP, b"")


def test_clear_text_after_the_answer_is_data_and_tls_is_not() -> None:
    run = _run(403)
    for data in (b"\x16\x03\x01", f"{HEAD}\r\n".encode(), b"GET / HTTP/1.1\r\n", b""):
        proxied, _ = _refused(run)
        proxied.receive(data)
        assert proxied.done
    assert [seen.clear for seen in run.connections] == [b"", b"", b"GET / HTTP/1.1\r\n", b""]


@pytest.mark.parametrize("header", ["Proxy-Authorization", "Authorization"])
def test_a_password_that_answers_the_proxy_is_data(header: str) -> None:
    credentials = f"{header}: Basic {PASSWORD}\r\n"
    asked = _run(407)
    for headers in (credentials, "", credentials):
        _refused(asked, headers)
    # The first one wasn't asked for: the command of the user has a password for the proxy.
    clear = [seen.clear for seen in asked.connections]
    assert clear == [b"", b"", f"Basic {PASSWORD}".encode()]
    other = _run(403)
    for _ in range(2):
        _refused(other, credentials)
    assert not any(seen.clear for seen in other.connections)


def test_a_late_password_is_data_after_more_heads_than_the_lab_keeps() -> None:
    long, credentials = f"A: {'a' * 15_000}\r\n", f"Proxy-Authorization: Basic {PASSWORD}\r\n"
    with Lab() as lab:
        case_server = lab.case_server(BY_NAME["proxy-asks-password"])
        target = case_server.open()
        for header in (*[long] * 6, credentials):
            with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
                sock.sendall(f"{HEAD}{header}\r\n".encode())
                assert sock.recv(4096).startswith(b"HTTP/1.1 407 ")
        *_, last = case_server.close()
    assert last.clear == f"Basic {PASSWORD}".encode()


def _attempt(ending: Ending, *others: Connection) -> Attempt:
    refused = Connection("connect", HOST, PROXY_STEP, tampered=True)
    scenario = Scenario((pki().honest,), proxy_status=403)
    return Attempt(ending, scenario, (refused, *others), "canary", TOKEN)


def test_success_without_a_server_is_an_accepted_proxy() -> None:
    assert judge(_attempt(Ending(0))).verdict is Verdict.ACCEPT
    # An error may quote the answer.
    assert judge(_attempt(Ending(1, f"the proxy said: {TOKEN}"))).verdict is Verdict.REJECT
    assert judge(_attempt(Ending(None, problem="late"))).verdict is Verdict.INCONCLUSIVE


def test_a_client_may_connect_directly_if_its_proxy_fails() -> None:
    honest: ServerStep = pki().honest
    direct = Connection("port", step=honest, tampered=False, clear=b"", data=b"GET /canary")
    assert judge(_attempt(Ending(0, TOKEN), direct)).verdict is Verdict.REJECT


_URLLIB = """
import os, sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1]).read())
except OSError:
    sys.exit(1)
"""


@pytest.mark.medium
@pytest.mark.parametrize("name", STATUS)
def test_urllib_refuses_the_answer(name: str) -> None:
    client = Command((sys.executable, "-c", _URLLIB, "{url}"))
    result = run_case(name, client, Style.NONE)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.RIGHT)
    assert {seen.via for attempt in result.attempts for seen in attempt.connections} == {"connect"}


def test_other_ways_to_the_lab_do_not_meet_the_proxy() -> None:
    words = (sys.executable, "-c", "raise AssertionError", "{url}")
    case = BY_NAME["proxy-answers-403"]
    with Lab() as lab:
        case_server = lab.case_server(case)
        target = case_server.open()
        for via in ("port", "socks5"):
            with pytest.raises(CannotServeError, match="--via connect"):
                Command(words, via=via).run(target)
        case_server.close()
    result = run_case(case, right_client(Style.LEAF), Style.LEAF)
    assert result.outcome is Outcome.NOT_RUN
    assert "never made the attacked connection: let it use the lab's HTTP proxy" in result.why


@pytest.mark.medium
def test_of_several_ways_only_the_proxy_is_taken() -> None:
    words = (sys.executable, "-c", _URLLIB, "{url}")
    both = EveryWay((Command(words, via="port"), Command(words)))
    with Lab() as lab:
        case_server = lab.case_server(BY_NAME["proxy-answers-403"])
        target = case_server.open()
        assert [both.run(target).status for _ in range(2)] == [1, 1]
        assert [seen.via for seen in case_server.close()] == ["connect"] * 2
        none = EveryWay((Command(words, via="port"), Command(words, via="socks5")))
        with pytest.raises(CannotServeError, match="--via connect"):
            none.run(target)


def test_plain_requests_are_not_answered_by_the_proxy() -> None:
    def call(target: Target) -> str:
        with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
            sock.sendall(f"GET http://{target.host}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
        return request(target, trusting(target))

    with Lab() as lab:
        run = prove(lab, Call(call), [BY_NAME["proxy-answers-403"]])
    [seen, _] = run.results[1].attempts[-1].connections
    assert seen.clear.startswith(b"GET http://")


def test_a_man_in_the_middle_is_met_by_its_proxy() -> None:
    words = (sys.executable, "-c", _URLLIB, "{url}")
    with Lab() as lab:
        mitm = Mitm.of(lab.case_server(BY_NAME["proxy-answers-403"]))
        Command(words).run(mitm)
        mitm.check_met()
        assert mitm.leaked == b""

"""Servers that interrupt or delay the handshake, or have another protocol, port or client kind."""

from __future__ import annotations

import socket
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.lab.lab import Lab
from certpin.lab.scenario import (
    INTERRUPTED,
    OTHER_PORT,
    AnswerContext,
    Opening,
    Role,
    Scenario,
    ServerStep,
)
from certpin.lab.server.conversation import Proxied, Routed
from certpin.lab.server.port import Loop, Port
from certpin.lab.server.records import HelloReader
from certpin.lab.server.session import CaseRun, Destination, Session
from tests.lab._clients import BY_NAME
from tests.lab.server._conversations import read_all
from tests.lab.server._wire import HOST, HOSTS, SECOND, TOKEN, Wire, anyone, case_run, hello_of, pki

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO = hello_of(anyone())


def _step(opening: Opening) -> ServerStep:
    return pki().honest.but(role=Role.ATTACKER, opening=opening)


def _run(scenario: Scenario) -> CaseRun:
    answers = AnswerContext(TOKEN)
    answers.set_hosts(HOSTS)
    return CaseRun(scenario, answers, HOSTS, stall=0.05)


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as running:
        yield running


@pytest.mark.parametrize("opening", sorted(INTERRUPTED))
def test_an_interrupted_handshake_sends_nothing_and_is_over(opening: Opening) -> None:
    session = Session(case_run(_step(opening)))
    session.receive(HELLO)
    if opening is Opening.STALL:
        assert session.pause > 0
        assert not session.done
        session.resume()
    assert session.done
    assert session.data_to_send() == b""
    assert session.resets == (opening is Opening.RESET)
    assert session.seen.hostile
    assert not session.seen.secured


def test_a_slow_server_begins_tls_after_its_pause() -> None:
    wire = Wire(Session(case_run(_step(Opening.SLOW))))
    with pytest.raises(ssl.SSLWantReadError):
        wire.tls.do_handshake()
    wire.carry()
    assert wire.session.pause > 0
    assert wire.session.data_to_send() == b""
    wire.session.resume()
    assert wire.session.pause == 0
    wire.handshake()
    assert wire.say(b"GET / HTTP/1.1\r\n\r\n").endswith(f"{TOKEN}\n".encode())


@pytest.mark.parametrize("opening", [Opening.SLOW, Opening.STALL])
def test_bytes_and_the_end_during_a_pause_are_kept(opening: Opening) -> None:
    session = Session(case_run(_step(opening)))
    session.receive(HELLO)
    session.receive(b"more")
    assert session.early == HELLO + b"more"
    session.receive(b"")
    assert session.done
    session.resume()  # the timer of the socket may still fire
    assert session.data_to_send() == b""


@pytest.mark.parametrize("opening", [Opening.CLOSE, Opening.RESET, Opening.STALL, Opening.SLOW])
def test_a_client_sees_the_end_that_the_step_declares(loop: Loop, opening: Opening) -> None:
    scenario = _run(Scenario.of(_step(opening)))
    port = loop.call(lambda: Port(loop.asyncio, lambda: Session(scenario)))
    with socket.create_connection(("127.0.0.1", port.number), 10) as client:
        client.sendall(HELLO)
        if opening is Opening.RESET:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        elif opening is Opening.SLOW:
            assert client.recv(1) == b"\x16"  # its first record
        else:
            assert read_all(client) == b""
    loop.call(port.close)


def test_proxies_and_routes_pass_a_pause_and_a_reset_on() -> None:
    for opening in (Opening.STALL, Opening.RESET):
        scenario = case_run(_step(opening))
        to = Destination("connect", HOST, 443)
        proxied = Proxied(lambda _, __, run=scenario: Session(run, target=HOST))  # type: ignore[misc]
        routed = Routed(scenario, to)
        proxied.receive(f"CONNECT {HOST}:443 HTTP/1.1\r\n\r\n".encode())
        for conversation in (proxied, routed):
            assert (conversation.pause, conversation.resets) == (0, False)
            conversation.receive(HELLO)
            assert conversation.resets == (opening is Opening.RESET)
            assert bool(conversation.pause) == (opening is Opening.STALL)
            conversation.resume()
            assert conversation.done


def test_a_step_speaks_only_its_own_protocols() -> None:
    context = anyone()
    context.set_alpn_protocols(["h2", "http/1.1"])
    for alpn, chosen in ((("http/1.1",), "http/1.1"), (("h2",), "h2"), ((), None), (None, "h2")):
        wire = Wire(Session(case_run(pki().honest.but(alpn=alpn))), context).handshake()
        assert wire.tls.selected_alpn_protocol() == chosen


def test_no_delay_is_a_short_one(loop: Loop) -> None:
    scenario = _run(Scenario.of(_step(Opening.STALL)))
    scenario.stall = 0.0
    port = loop.call(lambda: Port(loop.asyncio, lambda: Session(scenario)))
    with socket.create_connection(("127.0.0.1", port.number), 10) as client:
        client.sendall(HELLO)
        assert read_all(client) == b""
    loop.call(port.close)


# Another port.


def test_only_the_other_port_of_the_first_host_has_its_steps() -> None:
    rogue = ServerStep.of(pki().attacker_chain)
    scenario = replace(
        Scenario.of(pki().honest, second=(pki().honest_second,)), other_port=(rogue,)
    )
    run = _run(scenario)
    assert run.next_step(HOST, HOST, port=443) == pki().honest
    assert run.next_step(HOST, HOST, port=OTHER_PORT) == rogue
    assert run.next_step(SECOND, SECOND, port=OTHER_PORT) == pki().honest_second
    assert case_run().next_step(HOST, HOST, port=OTHER_PORT) == pki().honest


def test_a_redirect_names_the_other_port_of_this_way() -> None:
    with Lab() as lab:
        case_server = lab.case_server(BY_NAME["redirect-to-other-port"])
        target = case_server.open()
        direct = case_server._case_run.direct.other_port
        proxied = case_server._case_run.answer_context.other_port
        case_server.close()
    assert proxied == f"https://{HOST}:{OTHER_PORT}/"
    assert direct.startswith(f"https://{HOST}:")
    assert direct not in {proxied, f"https://{HOST}:{target.port}/"}


# Another kind of connection.


def _kind(context: ssl.SSLContext, host: str = HOST) -> str:
    hello = HelloReader().feed(hello_of(context, host))
    assert hello is not None
    return hello.kind


def test_the_same_client_has_one_kind_for_all_hosts() -> None:
    assert _kind(anyone()) == _kind(anyone(), SECOND) == _kind(anyone(), "192.0.2.1")


@pytest.mark.parametrize("what", ["protocols", "versions", "suites"])
def test_other_settings_are_another_kind(what: str) -> None:
    context = anyone()
    other = anyone()
    if what == "protocols":
        context.set_alpn_protocols(["http/1.1"])
        other.set_alpn_protocols(["h2"])
    elif what == "versions":
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    else:
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    assert _kind(context) != _kind(other)


def test_a_resumed_session_is_no_other_kind() -> None:
    scenario = case_run()
    first = Wire(Session(scenario)).handshake()
    first.say(b"GET / HTTP/1.1\r\n\r\n")
    again = Wire(Session(scenario), resumed=first.tls.session, context=first.tls.context)
    again.handshake()
    assert again.session.seen.resumed
    kinds = {wire.session.seen.hello.kind for wire in (first, again) if wire.session.seen.hello}
    assert len(kinds) == 1


def test_random_values_and_the_order_do_not_change_the_kind() -> None:
    def hello(suites: bytes, extensions: bytes) -> str:
        body = b"\3\3" + bytes(32) + b"\0" + len(suites).to_bytes(2) + suites + b"\1\0"
        body += len(extensions).to_bytes(2) + extensions
        message = b"\1" + len(body).to_bytes(3) + body
        found = HelloReader().feed(b"\x16\3\1" + len(message).to_bytes(2) + message)
        assert found is not None
        return found.kind

    one = hello(b"\x3a\x3a\x13\1\x13\2", b"\x1a\x1a\0\0\0\x0a\0\2\0\0\0\x17\0\0")
    other = hello(b"\x13\2\x13\1\xfa\xfa", b"\0\x17\0\0\0\x0a\0\2\0\0\xca\xca\0\0")
    assert one == other
    assert one != hello(b"\x13\1", b"")


def test_only_connections_unlike_the_first_one_have_the_steps_of_another_kind() -> None:
    rogue = ServerStep.of(pki().attacker_chain)
    run = _run(replace(Scenario.of(pki().honest), other_kind=(rogue,)))
    met = [run.next_step(HOST, HOST, kind=kind) for kind in ("a", "a", "b", "a", "c")]
    assert met == [pki().honest, pki().honest, rogue, pki().honest, rogue]

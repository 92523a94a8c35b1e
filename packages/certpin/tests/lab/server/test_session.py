"""A TLS session of the lab records the client's data and how it ends, however input is split."""

from __future__ import annotations

import contextlib
import ssl
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certpin.lab.attacks import CONTROL
from certpin.lab.lab import Lab
from certpin.lab.scenario import Answer, Opening, Role, ServerStep, TLSSettings, Weakness
from certpin.lab.server import session as session_module
from certpin.lab.server.records import ClientHello
from certpin.lab.server.session import Session
from certpin.lab.verdict import KEPT
from tests.lab.attacks._careless import leave_as_java
from tests.lab.server._wire import (
    HOST,
    SECOND,
    TOKEN,
    Wire,
    anyone,
    case_run,
    hello_of,
    pki,
    records,
)

GET = b"GET /canary HTTP/1.1\r\nHost: api.bank.example\r\n\r\n"


def _verifying() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki().root.pem.decode())
    return context


# Evidence.


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_session_records_the_handshake_and_the_data(version: str) -> None:
    step = pki().honest.but(settings=TLSSettings(oldest=version, newest=version))
    session = Session(case_run(step), via="connect", target=HOST)
    context = _verifying()
    context.set_alpn_protocols(["x", "http/1.1"])
    wire = Wire(session, context).handshake()
    assert TOKEN.encode() in wire.say(GET)
    seen = session.seen
    assert (seen.via, seen.target, seen.step) == ("connect", HOST, step)
    assert seen.hello is not None
    assert seen.hello.server_name == HOST
    assert seen.version == version.replace("_", ".")
    assert (seen.secured, seen.alpn, seen.resumed) == (True, "http/1.1", False)
    assert seen.cipher == wire.tls.cipher()[0]  # type: ignore[index]
    assert (seen.data, seen.clear, seen.alert, seen.problem) == (GET, b"", "", "")
    assert session.done


def test_a_client_that_refuses_in_the_handshake_leaves_its_alert() -> None:
    session = Session(case_run(ServerStep.of(pki().untrusted.issue(HOST))))
    wire = Wire(session, _verifying())
    with pytest.raises(ssl.SSLCertVerificationError):
        wire.handshake()
    wire.carry()
    assert session.seen.alert == "unknown_ca"
    assert (session.seen.secured, session.seen.data) == (False, b"")
    assert session.done


def test_a_client_that_closes_tls_as_java_does_leaves_no_problem() -> None:
    with Lab() as lab:
        server = lab.case_server(CONTROL)
        leave_as_java(server.open())
        [seen] = server.close()
    assert (seen.secured, seen.version) == (True, "TLSv1.3")
    assert (seen.data, seen.alert, seen.problem) == (b"", "", "")


def test_clear_text_after_failed_tls_is_a_leak() -> None:
    session = Session(case_run(ServerStep.of(pki().untrusted.issue(HOST))))
    wire = Wire(session, _verifying())
    with pytest.raises(ssl.SSLCertVerificationError):
        wire.handshake()
    session.receive(wire._out.read() + GET[:9])
    session.receive(GET[9:])
    assert session.seen.clear == GET
    assert session.seen.alert == "unknown_ca"


def test_a_client_that_leaves_after_the_handshake_has_said_nothing() -> None:
    session = Session(case_run())
    Wire(session).handshake()
    session.receive(b"")
    assert session.seen.secured
    assert session.done
    assert session.seen.data == b""


def test_close_notify_is_answered() -> None:
    """Otherwise the client and the lab would wait for each other."""
    session = Session(case_run())
    wire = Wire(session).handshake()
    with pytest.raises(ssl.SSLWantReadError):
        wire.tls.unwrap()
    wire.carry()
    wire.tls.unwrap()
    assert session.done


def test_what_was_said_before_junk_is_kept() -> None:
    session = Session(case_run(pki().honest.but(answer=Answer.KEEP)))
    wire = Wire(session).handshake()
    wire.tls.write(GET)
    session.receive(wire._out.read() + b"\x17\3\3\0\x20" + b"junk" * 8)
    assert session.seen.data == GET
    assert session.done
    words = {"record layer failure", "decryption failed or bad record mac"}  # before OpenSSL 3.2
    assert session.seen.problem in words


def test_bytes_after_the_end_are_not_data() -> None:
    session = Session(case_run())
    wire = Wire(session).handshake()
    wire.say(GET)
    session.receive(b"more")
    session.receive(b"")
    assert session.seen.data == GET
    assert session.data_to_send() == b""


# Steps.


def test_steps_follow_one_another_and_the_last_repeats() -> None:
    steps = [pki().honest, ServerStep.of(pki().attacker_chain)]
    scenario = case_run(*steps)
    met = [Wire(Session(scenario)).handshake().session.seen.step for _ in range(3)]
    assert met == [steps[0], steps[1], steps[1]]


def test_host_comes_from_the_hello_or_else_from_the_proxy_request() -> None:
    scenario = case_run(pki().honest, second=(pki().honest_second,))
    by_name = Session(scenario)
    Wire(by_name, host=SECOND).handshake()
    by_target = Session(scenario, via="connect", target=SECOND)
    Wire(by_target, host="192.0.2.1").handshake()
    neither = Session(scenario)
    Wire(neither, host="elsewhere.example").handshake()
    second, honest = pki().honest_second, pki().honest
    assert [session.seen.step for session in (by_name, by_target, neither)] == [
        second,
        second,
        honest,
    ]


def test_only_hosts_with_steps_are_under_test() -> None:
    scenario = case_run(pki().honest)
    assert scenario.tests(HOST)
    assert not scenario.tests(SECOND)
    assert case_run(pki().honest, second=(pki().honest_second,)).tests(SECOND)


# Protocols.


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [
        ([], ""),
        (["http/1.1"], "http/1.1"),
        (["h2", "http/1.1"], "h2"),
        (["http/1.1", "h2"], "h2"),  # as httpx offers them
        (["spdy/3", "h2"], "h2"),
        (["spdy/3"], ""),
    ],
)
def test_the_best_of_what_the_client_offers_is_spoken(offered: list[str], spoken: str) -> None:
    context = anyone()
    if offered:
        context.set_alpn_protocols(offered)
    wire = Wire(Session(case_run()), context).handshake()
    assert (wire.tls.selected_alpn_protocol() or "") == wire.session.seen.alpn == spoken
    settings = b"\0\0"  # the length of a frame; HTTP/1.1 waits for the client
    assert wire.hear()[:2] == (settings if spoken == "h2" else b"")


def test_without_the_library_http2_is_not_spoken() -> None:
    context = anyone()
    context.set_alpn_protocols(["h2", "http/1.1"])
    scenario = case_run()
    scenario.alpn = ("http/1.1",)
    wire = Wire(Session(scenario), context).handshake()
    assert wire.session.seen.alpn == "http/1.1"
    assert wire.say(GET).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("offered", "spoken"), [(["h2", "http/1.1"], ("http/1.1",)), (["h2"], ("h2",)), ([], ())]
)
def test_weak_tls_is_served_over_http_1_if_the_client_can(
    offered: list[str], spoken: tuple[str, ...]
) -> None:
    """A server with weak TLS selects HTTP/1.1 if offered, because HTTP/2 forbids weak suites.

    A client might refuse weak suites only over HTTP/2.
    """
    weak = ServerStep((), b"", settings=TLSSettings(weakness=Weakness.TRIPLE_DES))
    hello = ClientHello("api.bank.example", tuple(offered))
    assert case_run().choose_alpn(weak, hello) == spoken


# Clear text.


def test_a_client_that_speaks_in_clear_text_gives_all_of_it_away() -> None:
    session = Session(case_run())
    for piece in (GET[:9], b"\x16\3\1 a record's beginning in the middle", b"\r\n\r\n"):
        assert not session.done
        session.receive(piece)
    assert session.seen.clear.startswith(GET[:9] + b"\x16\3\1")
    assert session.seen.hello is None
    assert session.seen.step is None
    assert session.data_to_send().startswith(b"HTTP/1.1 200")
    assert session.done


def test_clear_text_without_end_fills_no_memory() -> None:
    session = Session(case_run())
    session.receive(b"x" * 2 * KEPT)
    assert len(session.seen.clear) == KEPT
    assert session.done


def test_the_lab_can_answer_in_clear_text() -> None:
    session = Session(case_run(pki().honest.but(role=Role.ATTACKER, opening=Opening.PLAIN)))
    session.receive(hello_of(anyone()))
    assert TOKEN.encode() in session.data_to_send()
    assert session.done
    assert session.seen.hello is not None


# Hostile clients.

HELLO = hello_of(anyone())


@given(pieces=st.lists(st.binary(max_size=80), max_size=6))
def test_junk_raises_nothing(pieces: list[bytes]) -> None:
    for begin in (b"", b"\x16\3\1", HELLO, HELLO[:99]):
        session = Session(case_run())
        for piece in (begin, *pieces):
            if piece:
                session.receive(piece)
        session.receive(b"")
        assert session.done
        assert session.seen.data == b""


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=60)
def test_any_cut_of_a_connection_is_the_same_connection(data: st.DataObject) -> None:
    session = Session(case_run())
    wire = Wire(session)
    sizes = st.integers(1, data.draw(st.sampled_from([3, 40, 400])))
    stop = data.draw(st.integers(0, 3000))
    fed = 0

    def bit_by_bit(sent: bytes) -> None:
        nonlocal fed
        while sent and fed < stop:
            size = data.draw(sizes)
            session.receive(sent[:size])
            fed += len(sent[:size])
            sent = sent[size:]

    wire.deliver = bit_by_bit
    try:
        answered = wire.handshake().say(GET)
    except ssl.SSLError:  # cut off
        answered = b""
    session.receive(b"")
    assert session.done
    assert bool(answered) == (session.seen.data == GET)
    assert GET.startswith(session.seen.data)


@pytest.mark.medium
@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_connection_raises_nothing(data: st.DataObject) -> None:
    context = anyone()
    if data.draw(st.booleans()):
        context.set_alpn_protocols(["h2"])
    session = Session(case_run())
    wire = Wire(session, context)

    def damaged(sent: bytes) -> None:
        changed = bytearray(sent)
        if data.draw(st.integers(0, 2)) == 0:
            changed[data.draw(st.integers(0, len(sent) - 1))] ^= data.draw(st.integers(1, 255))
        session.receive(bytes(changed))

    wire.deliver = damaged
    with contextlib.suppress(ssl.SSLError):
        wire.handshake().say(GET)
    session.receive(b"")
    assert session.done


def test_a_client_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "MAX_RECEIVED", 300_000)
    session = Session(case_run(pki().honest.but(answer=Answer.KEEP)))
    wire = Wire(session).handshake()
    wire.say(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
    for _ in range(17):
        assert not session.done
        wire.say(b"x" * 16_000)
    for _ in range(2):
        wire.say(b"x" * 16_000)
    assert session.done
    assert session.seen.problem == "the client sent more than the lab reads"
    assert len(session.seen.data) == KEPT


def test_a_hello_of_a_million_octets_costs_little() -> None:
    message = b"\1\x0f\x42\x40" + b"\0" * 1_000_000
    session = Session(case_run())
    tracemalloc.start()
    try:
        for at in range(0, len(message), 16_000):
            session.receive(records(message[at : at + 16_000], [16_000]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert session.done
    assert "more octets" in session.seen.problem
    assert peak < 500_000

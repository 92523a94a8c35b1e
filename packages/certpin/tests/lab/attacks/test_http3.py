"""HTTP/3 that an honest server offers: its Alt-Svc header, the UDP server, evidence and clients."""

from __future__ import annotations

import shutil
import socket
import subprocess
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from aioquic.asyncio.server import QuicServer

from certpin.lab.attacks.http3 import HTTP3
from certpin.lab.client import Call, Command
from certpin.lab.lab import Lab
from certpin.lab.pki import Style
from certpin.lab.report.words import details
from certpin.lab.runner import hostile_refusals, prove
from certpin.lab.scenario import AnswerContext, Role, Scenario, ServerStep
from certpin.lab.server import protocols, quic
from certpin.lab.server.h2 import Http2
from certpin.lab.server.http import Http
from certpin.lab.server.port import Loop, Port
from certpin.lab.server.quic import Http3, open_with_http3
from certpin.lab.server.session import TOO_MUCH, CaseRun
from certpin.lab.verdict import Attempt, Connection, Ending, Outcome, Verdict, judge
from tests.lab._clients import BY_NAME, request, right_client, run_case, trusting
from tests.lab.server._quic import QuicClient
from tests.lab.server._wire import HOSTS, TOKEN, pki

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.lab.runner import Result
    from certpin.lab.target import Target

pytestmark = pytest.mark.medium

NAMES = [case.name for case in HTTP3]
ALT_SVC = 'h3=":4433"; ma=86400'


def _seen(name: str, act: Callable[[Target], object]) -> list[Connection]:
    """Serve a case, pass its target to ``act``, and return the recorded QUIC connections."""
    with Lab() as lab:
        case_server = lab.case_server(BY_NAME[name])
        target = case_server.open()
        try:
            act(target)
        finally:
            seen = case_server.close()
    step = case_server.scenario.http3
    return [each for each in seen if each.step is step]


def _connect(target: Target) -> None:
    """Open a verified QUIC connection, send no request, and close it."""
    with QuicClient(target):
        pass


# The offer.


def _answer(step: ServerStep, path: str = "/") -> bytes:
    answers = AnswerContext(TOKEN, http3_port=4433)
    return Http(step, answers).receive(f"GET {path} HTTP/1.1\r\n\r\n".encode(), secure=True)


@pytest.mark.parametrize("name", NAMES)
def test_each_answer_over_tcp_offers_http3(name: str) -> None:
    [step] = BY_NAME[name].scenario(pki()).first
    assert step.role is Role.HONEST
    assert _answer(step).startswith(b"HTTP/1.1 302 Found\r\n")
    assert _answer(step, "/again").startswith(b"HTTP/1.1 200 OK\r\n")
    for path in ("/", "/again"):
        assert f"\r\nAlt-Svc: {ALT_SVC}\r\n".encode() in _answer(step, path)
        assert b"\r\nConnection: keep-alive\r\n" in _answer(step, path)
        assert b"Alt-Svc" not in _answer(step.but(offers_http3=False), path)


@pytest.mark.parametrize("offers", [True, False])
def test_http2_offers_it_too(offers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str]] = []
    http = Http2(pki().honest.but(offers_http3=offers), AnswerContext(TOKEN, http3_port=4433))
    monkeypatch.setattr(http._http, "send_headers", lambda _, fields, **__: sent.extend(fields))
    http._send(1, [(":status", "200")], b"")
    assert sent == [(":status", "200"), *([("alt-svc", ALT_SVC)] if offers else [])]


def test_the_offer_names_the_port_in_every_way() -> None:
    def call(target: Target) -> None:
        direct = request(target, trusting(target))
        assert f'Alt-Svc: h3=":{target.port}"; ma=' in direct
        _connect(target)
        connect = f"CONNECT {target.host}:443 HTTP/1.1\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", target.proxy_port), 10) as sock:
            sock.sendall(connect)
            sock.recv(4096)
            with trusting(target).wrap_socket(sock, server_hostname=target.host) as tls:
                tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert f'Alt-Svc: h3=":{target.port}"; ma='.encode() in tls.recv(4096)

    assert _seen("rot-http3", call)[0].secured


# The server on UDP.


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as running:
        yield running


def _case_run() -> CaseRun:
    step = ServerStep.of(pki().leaf)
    return CaseRun(Scenario((step,), http3=step), AnswerContext(TOKEN), HOSTS)


def test_a_number_that_is_taken_for_udp_is_left(loop: Loop) -> None:
    made: list[Port] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:

        def make() -> Port:
            port = Port(loop.asyncio, lambda: pytest.fail("no client connects"))
            if not made:
                other.bind(("127.0.0.1", port.number))
            made.append(port)
            return port

        opened = loop.call(
            lambda: open_with_http3(make, loop.asyncio, _case_run(), "127.0.0.1"),
        )
    assert len(made) == 2
    assert opened[0] is made[1]
    assert opened[0].number == opened[1].number
    for port in opened:
        loop.call(port.close)
    assert made[0]._closed


def test_no_port_is_left(loop: Loop) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        number = other.getsockname()[1]
        closed: list[int] = []

        class Taken:
            def __init__(self) -> None:
                self.number = number

            def close(self) -> None:
                closed.append(number)

        make: Callable[[], Port] = Taken  # type: ignore[assignment]
        with pytest.raises(OSError, match="in use"):
            loop.call(lambda: open_with_http3(make, loop.asyncio, _case_run(), "127.0.0.1"))
    assert len(closed) > 1


def test_the_evidence_of_a_request() -> None:
    def call(target: Target) -> None:
        with QuicClient(target) as client:
            client.request()
            assert client.read().startswith("lab-answer-")
            assert client.headers[b":status"] == b"200"

    [seen] = _seen("http3-rogue", call)
    assert seen.hello is not None
    assert seen.hostile
    assert (seen.via, seen.secured, seen.version, seen.alpn) == ("port", True, "TLSv1.3", "h3")
    assert seen.cipher.startswith("TLS_")
    assert seen.data.startswith(
        b":method: GET\r\n:scheme: https\r\n:authority: api.bank.example\r\n"
    )
    assert (seen.alert, seen.problem) == ("", "")


def test_the_body_of_a_request_is_data_and_an_answer_to_head_has_none() -> None:
    def call(target: Target) -> None:
        with QuicClient(target) as client:
            client.http.send_data(client.request("POST"), b"a secret", end_stream=True)
            assert client.read()
        with QuicClient(target) as client:
            client.request("HEAD")
            assert client.read() == ""

    post, head = _seen("http3-rogue", call)
    assert post.data.endswith(b"\r\n\r\na secret")
    assert head.data.startswith(b":method: HEAD\r\n")


def test_a_request_that_cannot_be_parsed_is_data() -> None:
    def call(target: Target) -> None:
        with QuicClient(target) as client:
            stream = client.quic.get_next_available_stream_id()
            client.quic.send_stream_data(stream, b"GET /secret HTTP/1.1\r\n\r\n")
            client.send()

    [seen] = _seen("http3-rogue", call)
    assert seen.data == b"GET /secret HTTP/1.1\r\n\r\n"


def test_a_request_whose_answer_is_stopped_is_data() -> None:
    """A client that sends a request and stops the response (STOP_SENDING) has still sent data."""

    def call(target: Target) -> None:
        with QuicClient(target) as client:
            stream = client.request()
            client.quic.stop_stream(stream, 0x10C)
            client.send()

    [seen] = _seen("http3-rogue", call)
    assert seen.data.startswith(b":method: GET\r\n")


def test_a_client_that_sends_without_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quic, "MAX_RECEIVED", 10_000)

    def call(target: Target) -> None:
        with QuicClient(target) as client:
            client.http.send_data(client.request("POST"), bytes(30_000), end_stream=True)
            with pytest.raises(ConnectionError):
                client.read()

    [seen] = _seen("http3-rogue", call)
    assert seen.problem == TOO_MUCH
    assert b":method: POST" in seen.data


def test_a_handshake_is_no_data() -> None:
    [seen] = _seen("http3-rogue", _connect)
    assert (seen.secured, seen.data) == (True, b"")


def test_the_alert_of_a_client_is_recorded() -> None:
    def call(target: Target) -> None:
        with pytest.raises(ConnectionError):
            _connect(target)

    [seen] = _seen("http3-untrusted", call)
    assert (seen.secured, seen.data) == (False, b"")
    assert seen.alert == "bad_certificate"


def test_another_error_of_a_client_is_recorded() -> None:
    def call(target: Target) -> None:
        with QuicClient(target) as client:
            client.quic.close(error_code=0x10C, reason_phrase="not today")

    [seen] = _seen("http3-rogue", call)
    assert (seen.alert, seen.problem) == ("", "not today")


def test_data_that_arrived_before_the_end_is_read() -> None:
    with Lab() as lab:
        case_server = lab.case_server(BY_NAME["http3-rogue"])
        with QuicClient(case_server.open()) as client:
            client.request()

            def send_and_close() -> None:
                """Send data and close the server in one call in the loop's thread.

                So the loop cannot read the data before the server closes.
                """
                client.send()
                case_server._shut()

            lab.loop.call(send_and_close)
            seen = case_server.close()
    assert [b":method: GET" in each.data for each in seen] == [True]


def test_no_timer_is_left_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Http3] = []

    def make(*words: Any) -> Http3:
        made.append(Http3(*words))
        return made[-1]

    monkeypatch.setattr(quic, "Http3", make)
    _seen("http3-rogue", _connect)
    assert [session._timer for session in made] == [None]


@pytest.mark.parametrize("data", [b"", b"\xc0", bytes(1200), b"\xc3\x00\x00\x00\x01" * 300])
def test_junk_is_dropped(data: bytes) -> None:
    def call(target: Target) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(data, ("127.0.0.1", target.port))
        with QuicClient(target) as client:
            client.request()
            assert client.read()

    *_, seen = _seen("http3-rogue", call)
    assert seen.data


def test_a_datagram_that_the_library_fails_at_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    take = QuicServer.datagram_received

    def fail_at_junk(self: Any, data: bytes, sender: Any) -> None:
        assert data != b"junk"
        take(self, data, sender)

    monkeypatch.setattr(QuicServer, "datagram_received", fail_at_junk)
    with Lab() as lab:
        failures: list[Any] = []
        lab.loop.asyncio.set_exception_handler(lambda _, context: failures.append(context))
        case_server = lab.case_server(BY_NAME["http3-rogue"])
        target = case_server.open()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"junk", ("127.0.0.1", target.port))
        _connect(target)
        assert [each.secured for each in case_server.close()] == [True]
    assert failures == []


# The verdicts.


def _http3(target: Target, *, verified: bool = True) -> str:
    """Request the URL over TCP, and again over HTTP/3 if the response offers it (Alt-Svc).

    ``verified`` is False for a client that does not verify the certificate over QUIC. Returns the
    last response: with its headers over TCP, and only its body over HTTP/3.
    """
    answer = request(target, trusting(target))
    if "Alt-Svc" not in answer:
        return answer
    with QuicClient(target, verified=verified) as client:
        client.request()
        return client.read()


def _result(name: str, client: Callable[[Target], object], style: Style = Style.LEAF) -> Result:
    return run_case(name, Call(client), style)


def test_a_client_without_pins_over_quic_is_found() -> None:
    result = _result("http3-rogue", _http3)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.WRONG)
    assert _result("http3-rogue", _http3, Style.NONE).outcome is Outcome.RIGHT
    careless = partial(_http3, verified=False)
    assert _result("http3-untrusted", careless, Style.NONE).outcome is Outcome.WRONG


def test_a_refusal_over_quic_counts_as_one() -> None:
    result = _result("http3-untrusted", _http3)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.RIGHT)
    assert result.why.endswith("with the alert bad_certificate, and sent nothing")
    assert hostile_refusals([result]) == 1


@pytest.mark.parametrize("style", Style)
@pytest.mark.parametrize("name", ["http3-rogue", "http3-untrusted"])
def test_a_client_that_stays_on_tcp_is_right(name: str, style: Style) -> None:
    result = run_case(name, right_client(style), style)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.RIGHT)
    assert result.why == "the client stayed on TCP: it used no HTTP/3"


def _refused(target: Target) -> str:
    answer = request(target, trusting(target))
    if "Alt-Svc" in answer:
        _connect(target)
    return answer


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (_http3, "; it used HTTP/3"),
        (_refused, "; it tried HTTP/3, and sent nothing"),
        (lambda target: request(target, trusting(target)), "; it used no HTTP/3"),
    ],
)
def test_the_honest_server_shows_whether_a_client_uses_http3(
    client: Callable[[Target], object], said: str
) -> None:
    result = _result("rot-http3", client)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.RIGHT)
    assert result.why == f"the canary arrived{said}"


def test_an_error_before_http3_is_no_lock_out() -> None:
    def refuse_redirect(target: Target) -> str:
        answer = request(target, trusting(target))
        if answer.startswith("HTTP/1.1 302 "):
            raise ValueError(answer)
        return answer

    result = _result("rot-http3", refuse_redirect)
    assert (result.verdict, result.outcome) == (None, Outcome.NOT_RUN)
    assert "an error, before it used HTTP/3: let the client follow redirects" in result.why


def test_an_error_in_the_handshake_of_http3_is_a_lock_out() -> None:
    def other_roots(target: Target) -> str:
        answer = request(target, trusting(target))
        if "Alt-Svc" in answer:
            _connect(replace(target, folder=_other_roots(target.folder)))
        return answer

    result = _result("rot-http3", other_roots)
    assert (result.verdict, result.outcome) == (Verdict.REJECT, Outcome.WRONG)
    assert result.why.endswith("; it tried HTTP/3, and sent nothing")


def _other_roots(folder: Path) -> Path:
    """Return a folder. Its ``trusted.pem`` holds a root that did not issue the served chain."""
    other = folder / "other-roots"
    other.mkdir(exist_ok=True)
    (other / "trusted.pem").write_bytes(pki().untrusted.pem)
    return other


def test_a_client_that_is_stopped_is_undecided() -> None:
    scenario = BY_NAME["http3-rogue"].scenario(pki())
    tcp = Connection(step=scenario.first[0], hello=object(), data=b"GET")  # type: ignore[arg-type]
    attempt = Attempt(Ending(None, problem="late"), scenario, (tcp,))
    assert judge(attempt).verdict is Verdict.INCONCLUSIVE


def test_a_missing_library_leaves_the_cases_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "find_spec", lambda _: None)
    for name in NAMES:
        result = run_case(name, right_client(Style.LEAF), Style.LEAF)
        assert result.outcome is Outcome.NOT_RUN
        assert "aioquic" in result.why
        assert "certpin[lab]" in result.why


# Real clients.

_CURL = ("curl", "--silent", "--show-error", "--location", "--cacert", "{ca}")
_OFFERED = ("--alt-svc", "", "--resolve", "{host}:{port}:{address}")  # kept in memory only
_PINNED = ("--pinnedpubkey", "{pinnedpubkey}")


def _curl(*words: str, via: str = "port") -> dict[str, Result]:
    if shutil.which("curl") and "HTTP3" not in subprocess.check_output(["curl", "-V"], text=True):
        pytest.skip("left out: this curl has no HTTP/3 (take that of Debian 13)")
    with Lab() as lab:
        client = Command((*_CURL, *words, "{url}"), via=via)
        run = prove(lab, client, [BY_NAME[name] for name in NAMES])
    assert run.controlled, [result.why for result in run.results]
    return {result.case.name: result for result in run.results}


@pytest.mark.parametrize(
    ("client", "said"),
    [
        (_http3, "It uses HTTP/3 if a server offers it."),
        (_refused, "It uses HTTP/3 if a server offers it."),
        (
            lambda target: request(target, trusting(target)),
            "It used no HTTP/3: those cases show only that it stays on TCP.",
        ),
    ],
)
def test_the_report_says_whether_a_client_uses_http3(
    client: Callable[[Target], object], said: str
) -> None:
    with Lab(style=Style.NONE) as lab:
        run = prove(lab, Call(client), [BY_NAME["rot-http3"]])
        without = prove(lab, Call(client), [])
    assert details(run)[-1] == said
    assert "HTTP/3" not in " ".join(details(without))


@pytest.mark.peer("curl")
def test_curl_checks_its_pins_over_http3() -> None:
    found = _curl(*_OFFERED, *_PINNED)
    assert {found[name].outcome for name in NAMES} == {Outcome.RIGHT}
    assert found["rot-http3"].why.endswith("; it used HTTP/3")
    assert [each.alpn for each in found["http3-rogue"].attempts[0].connections] == ["h2", "h3"]


@pytest.mark.peer("curl")
def test_curl_without_pins_follows_the_offer() -> None:
    found = _curl(*_OFFERED)
    assert found["http3-rogue"].outcome is Outcome.WRONG
    assert {found[name].outcome for name in NAMES[1:]} == {Outcome.RIGHT}


@pytest.mark.peer("curl")
def test_curl_has_no_http3_through_a_proxy() -> None:
    found = _curl("--alt-svc", "", via="connect")
    assert found["http3-rogue"].why == "the client stayed on TCP: it used no HTTP/3"
    # It doesn't fall back, and so is locked out. For the lab, it may have refused the redirect.
    control = found["rot-http3"]
    assert control.outcome is Outcome.NOT_RUN
    assert (
        "reported an error, before it used HTTP/3: let the client follow redirects" in control.why
    )
    assert "not supported over an HTTP proxy" in control.attempts[0].ending.output

"""The interactive lab with real clients: proxies, relayed hosts, and verdicts."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from certpin.lab import LabServer
from certpin.lab.attacks import CASES
from certpin.lab.case import Expect, LabError
from certpin.lab.device.page import HOST as LAB
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict
from tests.lab._device import (
    HOST,
    PATIENCE,
    call,
    case_run,
    cases,
    connect,
    device_lab,
    fetch,
    pinned,
    results,
    unpinned,
)

if TYPE_CHECKING:
    from certpin.lab import Identity


@pytest.fixture(scope="module")
def outside() -> Identity:
    """Return the key and chain of a real server that the lab's authorities did not issue."""
    from certpin.lab import Authority

    return Authority("Outside").issue("localhost", "127.0.0.1")


def _ask(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(request)
        answer = b""
        while piece := sock.recv(4096):
            answer += piece
        return answer


def test_a_pinned_app_is_right_and_an_unpinned_one_is_not() -> None:
    chosen = cases("untrusted-ca", "rogue-ca-in-store")
    for context, verdict in ((pinned, Verdict.REJECT), (unpinned, Verdict.ACCEPT)):
        with device_lab(chosen) as lab:
            case_run(lab, context(lab))
            found = {result.case.name: result for _, result in results(lab)}
        assert found["untrusted-ca"].verdict is Verdict.REJECT
        assert found["rogue-ca-in-store"].verdict is verdict


@pytest.mark.slow
@pytest.mark.parametrize("style", Style)
def test_a_right_app_goes_through_the_whole_matrix_without_a_false_alarm(style: Style) -> None:
    with device_lab(CASES, style=style) as lab:
        case_run(lab, unpinned(lab) if style is Style.NONE else pinned(lab))
        found = [result for _, result in results(lab)]
    assert {result.case.name for result in found} == {case.name for case in CASES}
    wrong = [result for result in found if result.outcome in {Outcome.WRONG, Outcome.UNDECIDED}]
    assert not wrong, "\n".join(
        f"{result.case.name}: {result.verdict}: {result.why}" for result in wrong
    )
    assert (
        sum(result.expect is Expect.REJECT and result.verdict is not None for result in found) > 5
    )


@pytest.mark.slow
def test_an_app_that_verifies_nothing_is_found_in_every_attack_that_is_served() -> None:
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE
    with device_lab(cases("untrusted-ca", "rogue-ca-in-store", "wrong-host-pinned-ca")) as lab:
        case_run(lab, careless)
        assert {result.outcome for _, result in results(lab)} == {Outcome.WRONG}


def test_socks5_leads_to_the_lab_too() -> None:
    with device_lab(cases("untrusted-ca")) as lab:
        sock = socket.create_connection(("127.0.0.1", lab.port), 10)
        sock.sendall(b"\5\1\0")
        assert sock.recv(2) == b"\5\0"
        name = HOST.encode()
        sock.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + (443).to_bytes(2))
        assert sock.recv(10)[:2] == b"\5\0"
        with sock, pinned(lab).wrap_socket(sock, server_hostname=HOST) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b"lab-answer" in tls.recv(4096)
        assert lab.progress()[0].controlled


def test_an_app_that_asks_for_an_address_is_known_by_the_name_in_its_hello() -> None:
    with device_lab(cases("rogue-ca-in-store")) as lab:
        assert "lab-answer" in fetch(lab.port, pinned(lab), "192.0.2.7", name=HOST)
        for _ in range(2):  # certpin closes without an alert
            with pytest.raises(ssl.SSLError):
                fetch(lab.port, pinned(lab), "192.0.2.7", name=HOST)
        assert "lab-answer" in fetch(lab.port, pinned(lab), "192.0.2.7", name=HOST)
        ((_, result),) = results(lab)
    assert result.verdict is Verdict.REJECT


def test_hosts_that_are_not_under_test_pass_through_untouched(outside: Identity) -> None:
    trusting = ssl.create_default_context(cadata=outside.chain_pem.decode())
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with LabServer(outside) as server, device_lab(cases("untrusted-ca")) as lab:
        for host in ("localhost", "127.0.0.1"):
            with (
                connect(lab.port, host, server.port) as sock,
                trusting.wrap_socket(sock, server_hostname=host) as tls,
            ):
                assert tls.getpeercert(binary_form=True) == outside.certificate.der
                tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert tls.recv(4096).endswith(b"hello\n")
        assert lab.progress()[0].control is None


def test_plain_requests_for_other_hosts_pass_through() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, device_lab([]) as lab:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", lab.port), 10) as client:
            request = f"GET http://127.0.0.1:{port}/x HTTP/1.1\r\n\r\n".encode()
            client.sendall(request)
            served, _ = server.accept()
            with served:
                assert served.recv(4096) == request
                served.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
            assert client.recv(4096) == b"HTTP/1.1 204 No Content\r\n\r\n"


def test_a_lab_that_ends_closes_what_passes_through() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with device_lab([]) as lab:
            client = connect(lab.port, "127.0.0.1", server.getsockname()[1])
            client.sendall(b"ping")
            served, _ = server.accept()
            assert served.recv(4) == b"ping"
        with client, served:
            client.settimeout(10)
            served.settimeout(10)
            assert (client.recv(1), served.recv(1)) == (b"", b"")


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..b"])
def test_invalid_name_ends_the_connection(host: str) -> None:
    with device_lab([]) as lab, connect(lab.port, host) as sock:
        sock.settimeout(10)
        assert sock.recv(1) == b""


@pytest.mark.parametrize("target", [b"/r.cer", b"http://" + LAB.encode() + b"/r.cer"])
def test_a_device_can_fetch_the_roots(target: bytes) -> None:
    with device_lab([]) as lab:
        answer = _ask(lab.port, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Content-Type: application/x-x509-ca-cert" in head
        assert body == lab.authorities.root.certificate.der


def test_each_host_has_its_own_queue() -> None:
    with device_lab(cases("rogue-ca-in-store"), "a.example", "b.example") as lab:
        right, wrong = pinned(lab), unpinned(lab)
        for host, context in (("a.example", right), ("b.example", wrong)):
            case_run(lab, context, host)
        assert {host: result.verdict for host, result in results(lab)} == {
            "a.example": Verdict.REJECT,
            "b.example": Verdict.ACCEPT,
        }


def test_the_server_keys_are_those_of_the_root() -> None:
    with device_lab([]) as one, device_lab([]) as other:
        assert one.page.pins == other.page.pins


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        lab = device_lab([])
        lab._address = ("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(LabError, match="cannot listen on port"), lab:
            pass


def test_a_lab_that_is_finished_still_answers_an_open_request() -> None:
    """The lab has its last result before it has answered; the tunnel would lose the answer."""
    with device_lab([]) as lab:
        fetch(lab.port, pinned(lab))
        with (
            connect(lab.port, HOST) as sock,
            pinned(lab).wrap_socket(sock, server_hostname=HOST) as tls,
        ):
            answering = [lab.schedule.is_answering]
            tls.sendall(b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n")
            assert b"lab-answer" in tls.recv(4096)
            answering.append(lab.schedule.is_answering)
            finished = lab.finished
        lab.let_answer(PATIENCE)
        answering.append(lab.schedule.is_answering)
    assert (finished, answering) == (True, [False, True, False])


def test_finished_hosts_are_still_served() -> None:
    with device_lab([]) as lab:
        context = pinned(lab)
        case_run(lab, context)
        assert lab.finished
        assert all(call(lab, context) for _ in range(3))

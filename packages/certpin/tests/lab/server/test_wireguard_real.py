"""Connections in the lab's tunnel that are relayed to a real server are recorded as evidence."""

from __future__ import annotations

import asyncio
import ssl
from socket import SHUT_WR
from typing import TYPE_CHECKING

import pytest

from certpin.lab import LabServer
from certpin.lab.scenario import AnswerContext, Opening, Role, Scenario, ServerStep
from certpin.lab.server.relay import UPSTREAM
from certpin.lab.server.session import CaseRun, Destination
from tests.lab.server.test_wireguard import HOST, Lab

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from certpin.lab import Authority


def _meet(server: LabServer, client: Callable[[socket.socket], bytes]) -> tuple[Lab, bytes]:
    """Run a client; its tunnel relays to this server. Return the lab and the client's result."""
    lab = Lab()
    real = ServerStep((), b"", role=Role.HONEST, opening=Opening.RELAY)
    lab.case_run = CaseRun(Scenario.of(real), AnswerContext("token"), (HOST,))
    lab.case_run.upstream = Destination(UPSTREAM, "127.0.0.1", server.port)
    address = lab.addresses.allot(HOST)
    got, stream = asyncio.run(lab.meet((address, 443), client))
    assert stream.closed
    return lab, got


def test_data_to_a_real_server_counts(root: Authority, intermediate: Authority) -> None:
    context = ssl.create_default_context(cadata=root.pem.decode())

    def speak(sock: socket.socket) -> bytes:
        with context.wrap_socket(sock, server_hostname=HOST) as tls:
            tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
            answer = b""
            while piece := tls.recv(4096):
                answer += piece
            return answer

    with LabServer(intermediate.issue(HOST), b"from the real server") as server:
        lab, got = _meet(server, speak)
    (seen,) = lab.case_run.connections
    assert got.endswith(b"from the real server")
    assert (seen.passed, seen.unclear) == (1, False)
    assert len(lab.ended) == 1


def test_refusal_of_a_real_server_is_reported_at_its_end(intermediate: Authority) -> None:
    context = ssl.create_default_context()  # of the test's machine: it does not trust that root

    def refuse(sock: socket.socket) -> bytes:
        with context.wrap_socket(sock, server_hostname=HOST, do_handshake_on_connect=False) as tls:
            with pytest.raises(ssl.SSLCertVerificationError):
                tls.do_handshake()
            tls.shutdown(SHUT_WR)
            while tls.recv(4096):  # unread bytes would cause a reset
                pass
        return b"refused"

    with LabServer(intermediate.issue(HOST)) as server:
        lab, got = _meet(server, refuse)
    (seen,) = lab.case_run.connections
    assert (got, seen.passed, seen.unclear) == (b"refused", 0, False)
    assert seen.answered
    assert len(lab.ended) == 1

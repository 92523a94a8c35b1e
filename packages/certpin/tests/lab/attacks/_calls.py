"""Helpers for clients that open several connections, and for their results in several cases."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

from certpin.lab.client import Call
from certpin.lab.lab import Lab
from certpin.lab.runner import Result, prove
from certpin.pins import Pin
from certpin.x509 import Certificate
from tests.lab._clients import BY_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.lab.pki import Style
    from certpin.lab.target import Target


@contextlib.contextmanager
def connected(
    target: Target, context: ssl.SSLContext, host: str = "", session: ssl.SSLSession | None = None
) -> Iterator[ssl.SSLSocket]:
    """Open a TLS connection to the lab's port, for the host under test or for another host.

    ``session`` is an earlier TLS session that the client offers to resume.
    """
    with (
        socket.create_connection((target.address, target.port), 10) as sock,
        context.wrap_socket(sock, server_hostname=host or target.host, session=session) as tls,
    ):
        yield tls


def ask(tls: ssl.SSLSocket, host: str, path: str) -> str:
    """Send one request on a connection. Return all data until the server closes."""
    tls.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = b""
    while piece := tls.recv(4096):
        answer += piece
    return answer.decode()


def call(target: Target, context: ssl.SSLContext, host: str = "") -> str:
    """Send a request with the target's canary on a new connection, and return the response."""
    with connected(target, context, host) as tls:
        return ask(tls, host or target.host, target.canary)


def check_pin(tls: ssl.SSLSocket, pin: str) -> None:
    """Raise ``ssl.SSLError`` if the leaf does not have the pin."""
    der = tls.getpeercert(binary_form=True)
    if der is None or str(Pin.of_key(Certificate.from_der(der).spki_sha256)) != pin:
        raise ssl.SSLError("not the key that is pinned")


def results(
    function: Callable[[Target], object], style: Style, *names: str, **settings: Any
) -> dict[str, Result]:
    """Run a client on each of these cases, and return the results by the name of the case.

    Fails if the client does not accept the honest server in the control cases. ``settings`` are
    further arguments of ``Lab``.
    """
    with Lab(style=style, **settings) as lab:
        run = prove(lab, Call(function), [BY_NAME[name] for name in names])
    assert run.controlled, [result.why for result in run.results]
    return {result.case.name: result for result in run.results}


def wrong(found: dict[str, Result]) -> dict[str, str]:
    """Return the verdict of each case with another outcome than "right", by the case's name."""
    return {
        name: str(result.verdict) for name, result in found.items() if result.outcome != "right"
    }

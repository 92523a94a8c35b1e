"""Apps on a simulated device, which reach the interactive lab through its proxy."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from certpin import PinnedSSLContext, PinSet
from certpin.formats._lines import spelled
from certpin.lab.attacks import CASES
from certpin.lab.device.folder import LabState
from certpin.lab.device.lab import DeviceLab
from certpin.lab.pki import Authorities, Style

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from certpin.lab.case import Case
    from certpin.lab.runner import Result

HOST = "api.bank.example"
AUTHORITIES = Authorities(datetime.now(UTC))
PATIENCE = 30.0
MOST = 50  # calls of an app
REFUSED = 90  # CURLE_SSL_PINNEDPUBKEYNOTMATCH


def cases(*names: str) -> list[Case]:
    """Return the lab's standard cases that have these names."""
    known = {case.name: case for case in CASES}
    return [known[name] for name in names]


def device_lab(
    chosen: Sequence[Case], *hosts: str, style: Style = Style.LEAF, address: str = "127.0.0.1"
) -> DeviceLab:
    """Return an interactive lab that runs the ``chosen`` cases for each of these hosts."""
    kept = LabState(AUTHORITIES, None, ())
    return DeviceLab(hosts or (HOST,), style, chosen, kept, (address, 0))


def pinned(lab: DeviceLab) -> ssl.SSLContext:
    """Return the context of a correct app, with the lab's roots and pins."""
    context = PinnedSSLContext(PinSet.parse(lab.page.pins, path=Path("pins.toml")))
    context.load_verify_locations(cadata=lab.page.roots_pem.decode())
    return context


def unpinned(lab: DeviceLab) -> ssl.SSLContext:
    """Return the context of an app without pins, with the lab's roots."""
    return ssl.create_default_context(cadata=lab.page.roots_pem.decode())


def connect(port: int, host: str, to: int = 443, address: str = "127.0.0.1") -> socket.socket:
    """Return a connection to a host and the port ``to`` through the lab's HTTP proxy (CONNECT).

    ``port`` and ``address`` are those of the proxy.
    """
    sock = socket.create_connection((address, port), PATIENCE)
    try:
        sock.sendall(f"CONNECT {host}:{to} HTTP/1.1\r\nHost: {host}:{to}\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = sock.recv(1)
            assert piece, answer
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200 ")
    except BaseException:  # the lab may end meanwhile
        sock.close()
        raise
    return sock


def fetch(port: int, context: ssl.SSLContext, host: str = HOST, name: str = "") -> str:
    """Send one request on a new connection. ``name`` is the SNI; the host by default."""
    with (
        connect(port, host) as sock,
        context.wrap_socket(sock, server_hostname=name or host) as tls,
    ):
        tls.sendall(b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n")
        answer = b""
        while piece := tls.recv(4096):
            answer += piece
        return answer.decode()


def curl_until_confirmed(curl: Callable[..., int], pins: PinSet, roots: Path) -> list[int]:
    """Call curl, as an app with pins, until it refused an attack and then accepted ``HOST``.

    The end of one connection can reach the lab after the next began, which then meets the same
    server again. So the number of calls differs; there are ``MOST`` at most.

    Args:
        curl: runs curl with these arguments, and returns its exit code.
        pins: the app's pins.
        roots: the file of the app's roots, as PEM.

    Returns:
        The exit code of each call. Without a refusal, or if the last is not 0, the lab still waits
        for connections.
    """
    policy = pins.policy_for(HOST)
    assert policy is not None
    words = ("-sS", "--cacert", roots, "--pinnedpubkey", spelled(policy), f"https://{HOST}/")
    codes: list[int] = []
    while len(codes) < MOST and (REFUSED not in codes or codes[-1] != 0):
        codes.append(curl(*words))
    return codes


def call(lab: DeviceLab, context: ssl.SSLContext, host: str = HOST) -> bool:
    """Send one request. Return True if the app got the lab's answer."""
    try:
        return "lab-answer" in fetch(lab.port, context, host)
    except (ssl.SSLError, OSError):
        return False


def case_run(
    lab: DeviceLab, context: ssl.SSLContext, host: str = HOST, max_calls: int = 400
) -> None:
    """Use the app until the lab has finished all cases of the host."""
    for _ in range(max_calls):
        if any(each.host == host and each.finished for each in lab.progress()):
            return
        call(lab, context, host)
    raise AssertionError(f"not finished: {lab.progress()}")


def results(lab: DeviceLab) -> list[tuple[str, Result]]:
    """Remove all queued results from the lab, and return them as pairs of host and result."""
    found = []
    while news := lab.next(0):
        found.append(news)
    return found

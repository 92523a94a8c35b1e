"""Helpers for all programs of this folder: the address of the lab, one request, and digests."""

import base64
import hashlib
import ipaddress
import itertools
import os
import re
import socket
import ssl
import time
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from cryptography import x509

from certpin import Certificate


@dataclass(frozen=True)
class Target:
    host: str
    port: int
    ca: str
    pins: frozenset[str]
    canary: str
    pin_file: str  # the pins of all hosts
    proxy: int = 0  # the port of the HTTP proxy
    tls_proxy: bool = False  # whether the proxy is reached by TLS (https://)
    case: str = ""
    certificate: str = ""  # the pinned certificate, as PEM


def from_environment() -> Target:
    """Read the settings, which `certpin prove --via port -- python …` sets."""
    return Target(
        os.environ["CERTPIN_LAB_HOST"],
        int(os.environ["CERTPIN_LAB_PORT"]),
        os.environ["SSL_CERT_FILE"],
        frozenset(os.environ["CERTPIN_LAB_PINS"].split()),
        os.environ["CERTPIN_LAB_URL"].rpartition("/")[2],
        os.environ["CERTPIN_PINS"],
        int(os.environ["CERTPIN_LAB_PROXY"].rpartition(":")[2]),
        os.environ["CERTPIN_LAB_PROXY"].startswith("https:"),
        os.environ["CERTPIN_LAB_CASE"],
        Path(os.environ["CERTPIN_LAB_CERT"]).read_text(encoding="utf-8"),
    )


def reach(target: Target, port: int = 0, timeout: float = 10) -> socket.socket:
    address = "::1" if target.host == "::1" else "127.0.0.1"
    return socket.create_connection((address, port or target.port), timeout)


def connect(
    target: Target, context: ssl.SSLContext, port: int = 0, timeout: float = 10
) -> ssl.SSLSocket:
    sock = reach(target, port, timeout)
    try:
        # As curl and browsers do, without the dot at the end of a name.
        return context.wrap_socket(sock, server_hostname=target.host.removesuffix("."))
    except BaseException:
        sock.close()
        raise


def request_tunnel(
    target: Target, header: str = "", proxy: ssl.SSLContext | None = None
) -> tuple[socket.socket, str]:
    """Request a tunnel from the proxy. Return the connection, and the answer unless it is 200.

    ``proxy`` is the context for TLS to an https:// proxy; by default one that verifies it.
    """
    sock = socket.create_connection(("127.0.0.1", target.proxy), 10)
    if target.tls_proxy:
        sock = (proxy or trusting(target)).wrap_socket(sock, server_hostname="127.0.0.1")
    sock.sendall(f"CONNECT {target.host}:443 HTTP/1.1\r\nHost: x\r\n{header}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer and (piece := sock.recv(4096)):
        answer += piece
    if answer.startswith(b"HTTP/1.1 200 "):
        return sock, ""
    with sock:
        while piece := sock.recv(4096):
            answer += piece
    return sock, answer.decode()


def open_tunnel(target: Target, proxy: ssl.SSLContext | None = None) -> socket.socket:
    """Return a tunnel. Raise an exception if the proxy opens none."""
    sock, refusal = request_tunnel(target, proxy=proxy)
    if refusal:
        raise OSError(refusal)
    return sock


def ask_in_tunnel(sock: socket.socket, target: Target) -> str:
    with begin_tls(sock, target, trusting(target)) as tls:
        check(tls, target.pins)
        return ask(tls, target)


class InnerTls:
    """TLS inside the TLS with a proxy: Python's ssl can't wrap an SSLSocket once more."""

    def __init__(self, outer: ssl.SSLSocket, target: Target, context: ssl.SSLContext) -> None:
        self._outer = outer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=target.host)
        try:
            self._move(self._tls.do_handshake)
        except ssl.SSLError:
            outer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._outer.close()

    def sendall(self, data: bytes) -> None:
        self._move(lambda: self._tls.write(data))

    def recv(self, size: int) -> bytes:
        return self._move(lambda: self._tls.read(size))

    def __getattr__(self, name: str) -> object:
        return getattr(self._tls, name)  # getpeercert, and the chains

    def _move(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._flush()
                piece = self._outer.recv(16384)
                self._in.write(piece) if piece else self._in.write_eof()
            finally:
                self._flush()

    def _flush(self) -> None:
        self._outer.sendall(self._out.read())


def begin_tls(
    sock: socket.socket, target: Target, context: ssl.SSLContext
) -> ssl.SSLSocket | InnerTls:
    """Begin TLS with the host at the end of a tunnel."""
    if isinstance(sock, ssl.SSLSocket):
        return InnerTls(sock, target, context)
    return context.wrap_socket(sock, server_hostname=target.host)


def trusting(target: Target) -> ssl.SSLContext:
    """Return a context that verifies the chain and the name, and checks no pins."""
    return ssl.create_default_context(cafile=target.ca)


def check(tls: ssl.SSLSocket, pins: frozenset[str] | set[str]) -> None:
    """Refuse a connection if no key of its verified path is pinned."""
    if not pins_of(verified(tls)) & pins:
        raise ssl.SSLError("not pinned")


def in_clear_text(target: Target) -> str:
    with reach(target) as sock:
        return ask(sock, target)


def leaf(tls: ssl.SSLSocket) -> x509.Certificate:
    der = tls.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der)


def pins_by_host(target: Target) -> dict[str, set[str]]:
    """Return the pins of each host, by the name that the pin file has for it."""
    hosts = tomllib.loads(Path(target.pin_file).read_text(encoding="utf-8"))["host"]
    return {host["name"]: {entry["pin"] for entry in host["pin"]} for host in hosts}


def ask(tls: socket.socket, target: Target, server: str = "") -> str:
    first = f"GET {server}/{target.canary} HTTP/1.1\r\n"
    head = f"{first}Host: {target.host}\r\nConnection: close\r\n\r\n"
    tls.sendall(head.encode())
    answer = b""
    while piece := tls.recv(4096):
        answer += piece
    return answer.decode()


def ask_and_follow(target: Target, **settings: Any) -> str:
    """Send the request over TCP, with the pins, and again over HTTP/3 if the server offers it.

    The settings are those of ``ask_over_quic``.
    """
    with connect(target, trusting(target)) as tls:
        check(tls, target.pins)
        answer = ask(tls, target)
    offered = re.search(r'^Alt-Svc: h3=":(\d+)"', answer, re.MULTILINE)
    return ask_over_quic(target, int(offered[1]), **settings) if offered else answer


def ask_over_quic(target: Target, port: int, **settings: Any) -> str:
    """Send the request over HTTP/3, and return the answer. No pin is compared.

    Args:
        target: the case.
        port: the UDP port.
        settings: which certificates the library accepts; by default those below its own roots.
    """
    from aioquic.h3.connection import H3_ALPN, H3Connection
    from aioquic.h3.events import DataReceived
    from aioquic.quic.configuration import QuicConfiguration
    from aioquic.quic.connection import QuicConnection
    from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted

    quic = QuicConnection(
        configuration=QuicConfiguration(
            alpn_protocols=H3_ALPN,
            server_name=target.host,
            **settings,
        )
    )
    peer, answer = ("127.0.0.1", port), b""
    http: H3Connection | None = None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        quic.connect(peer, time.monotonic())
        while True:
            for data, _ in quic.datagrams_to_send(time.monotonic()):
                sock.sendto(data, peer)
            sock.settimeout(max(0.001, (quic.get_timer() or 0) - time.monotonic()))
            try:
                quic.receive_datagram(sock.recv(65_535), peer, time.monotonic())
            except TimeoutError:
                quic.handle_timer(time.monotonic())
            while event := quic.next_event():
                if isinstance(event, ConnectionTerminated):
                    if answer:
                        return answer.decode()
                    raise ConnectionError(event.reason_phrase)
                if isinstance(event, HandshakeCompleted):
                    http = H3Connection(quic)
                    head = {":method": "GET", ":scheme": "https", ":authority": target.host}
                    head |= {":path": f"/{target.canary}"}
                    fields = [(name.encode(), value.encode()) for name, value in head.items()]
                    http.send_headers(quic.get_next_available_stream_id(), fields, end_stream=True)
                elif http:
                    for each in http.handle_event(event):
                        if isinstance(each, DataReceived):
                            answer += each.data
                            if each.stream_ended:
                                quic.close()


def served(tls: ssl.SSLSocket) -> list[bytes]:
    """Return the certificates that the server sent, which an attacker can choose freely."""
    if hasattr(tls, "get_unverified_chain"):  # Python 3.13
        return tls.get_unverified_chain()
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in _raw(tls, "unverified")]


def verified(tls: ssl.SSLSocket) -> list[bytes]:
    """Return the certificates of the path that OpenSSL verified."""
    if hasattr(tls, "get_verified_chain"):
        return tls.get_verified_chain()
    return [ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in _raw(tls, "verified")]


def _raw(tls: ssl.SSLSocket, kind: str) -> list:
    return getattr(tls._sslobj, f"get_{kind}_chain")() or []


def pins_of(chain: list[bytes]) -> set[str]:
    return {_pin(Certificate.from_der(der).spki) for der in chain}


def _pin(spki: bytes) -> str:
    return "sha256/" + base64.b64encode(hashlib.sha256(spki).digest()).decode()


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_authority(certificate: x509.Certificate) -> bool:
    return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def by_hand(
    tls: ssl.SSLSocket, target: Target, *, signed: bool = True, authorities: bool = True
) -> list[x509.Certificate]:
    """Verify the served chain without the TLS library: names, dates, signatures, authorities.

    Args:
        signed: verify the signatures; otherwise only the names of the issuers are compared.
        authorities: require that each issuer is an authority.

    Returns:
        The path to a trusted root. Purposes and name constraints were not compared.
    """
    path = [x509.load_der_x509_certificate(der) for der in served(tls)]
    roots = x509.load_pem_x509_certificates(Path(target.ca).read_bytes())
    path += [root for root in roots if root.subject == path[-1].issuer]
    now = datetime.now(UTC)
    for below, above in itertools.pairwise(path):
        if signed:
            below.verify_directly_issued_by(above)
        elif below.issuer != above.subject:
            raise ssl.SSLError("another issuer")
        if authorities and not _is_authority(above):
            raise ssl.SSLError("not an authority")
    for certificate in path:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ssl.SSLError("not valid now")
    name = bytes([0x82, len(target.host)]) + target.host.encode()  # dNSName
    if path[-1] not in roots or name not in path[0].tbs_certificate_bytes:
        raise ssl.SSLError("not trusted, or another host")
    return path

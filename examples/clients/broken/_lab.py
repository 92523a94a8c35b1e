"""Helpers for all programs of this folder: the address of the lab, one request, and digests."""

import base64
import hashlib
import os
import socket
import ssl
from dataclasses import dataclass

from certpin import Certificate


@dataclass(frozen=True)
class Target:
    host: str
    port: int
    ca: str
    pins: frozenset[str]
    canary: str


def from_environment() -> Target:
    """Read the settings, which `certpin prove --via port -- python …` sets."""
    return Target(
        os.environ["CERTPIN_LAB_HOST"],
        int(os.environ["CERTPIN_LAB_PORT"]),
        os.environ["SSL_CERT_FILE"],
        frozenset(os.environ["CERTPIN_LAB_PINS"].split()),
        os.environ["CERTPIN_LAB_URL"].rpartition("/")[2],
    )


def connect(target: Target, context: ssl.SSLContext) -> ssl.SSLSocket:
    address = "::1" if target.host == "::1" else "127.0.0.1"
    sock = socket.create_connection((address, target.port), 10)
    try:
        return context.wrap_socket(sock, server_hostname=target.host)
    except BaseException:
        sock.close()
        raise


def ask(tls: ssl.SSLSocket, target: Target) -> str:
    head = f"GET /{target.canary} HTTP/1.1\r\nHost: {target.host}\r\nConnection: close\r\n\r\n"
    tls.sendall(head.encode())
    answer = b""
    while piece := tls.recv(4096):
        answer += piece
    return answer.decode()


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

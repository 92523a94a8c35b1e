"""Clients that are broken on purpose, each in a few lines, to be caught by a case."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from cryptography import x509

from certpin.lab.client import Call
from certpin.pins import Pin
from certpin.x509 import Certificate
from certpin.x509.openssl import served_chain
from tests.lab._clients import trusting

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.lab.target import Target

    # Checks a connection after the handshake, and returns True to accept it.
    Check = Callable[[Target, ssl.SSLSocket], object]


def checking(check: Check, prepare: Callable[[Target], ssl.SSLContext] | None = None) -> Call:
    """Return a client that runs a custom check after the handshake, before it sends its request.

    ``prepare`` creates the client's context. By default it verifies the chain but not the name.
    """

    def call(target: Target) -> str:
        context = (prepare or nameless)(target)
        with (
            socket.create_connection((target.address, target.port), 10) as sock,
            context.wrap_socket(sock, server_hostname=target.host) as tls,
        ):
            if not check(target, tls):
                raise ssl.SSLCertVerificationError("the client's own check refused")
            tls.sendall(f"GET /{target.canary} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            return tls.recv(4096).decode()

    return Call(call)


def nameless(target: Target) -> ssl.SSLContext:
    """Return a context that verifies the chain but not the name."""
    context = trusting(target)
    context.check_hostname = False
    return context


def blind(target: Target) -> ssl.SSLContext:
    """Return a context that verifies nothing."""
    context = nameless(target)
    context.verify_mode = ssl.CERT_NONE
    return context


def flagged(flags: int) -> Callable[[Target], ssl.SSLContext]:
    """Return a factory of contexts with these OpenSSL flags, which skip checks."""

    def prepare(target: Target) -> ssl.SSLContext:
        context = trusting(target)
        context.verify_flags = ssl.VerifyFlags(context.verify_flags | flags)
        return context

    return prepare


def anything(_: Target, __: ssl.SSLSocket) -> bool:
    return True


def leaf(tls: ssl.SSLSocket) -> x509.Certificate:
    return served(tls)[0]


def served(tls: ssl.SSLSocket) -> list[x509.Certificate]:
    raw: Any = tls._sslobj  # type: ignore[attr-defined]
    return [x509.load_der_x509_certificate(der) for der in served_chain(raw)]


def names(certificate: x509.Certificate) -> list[str]:
    """Return every dNSName, or the common name if there is none."""
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return [str(attribute.value) for attribute in certificate.subject]
    return san.value.get_values_for_type(x509.DNSName)


def matching(matches: Callable[[str, str], object]) -> Call:
    """Return a client that accepts a leaf if ``matches(host, name)`` is true for a name in it."""
    return checking(lambda target, tls: any(matches(target.host, n) for n in names(leaf(tls))))


def pins_only(target: Target, tls: ssl.SSLSocket) -> bool:
    """Return True if the leaf's key is pinned, without any other check."""

    der = tls.getpeercert(binary_form=True)
    assert der
    found = str(Pin.of_key(Certificate.from_der(der).spki_sha256))
    return found in {target.pin, target.backup}

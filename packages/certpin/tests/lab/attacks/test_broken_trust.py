"""Each case about trust, chains and protocols catches a client with exactly one fault."""

from __future__ import annotations

import itertools
import socket
import ssl
import warnings
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.lab.client import Call
from certpin.lab.forge.der import take_apart
from certpin.lab.pki import Style
from certpin.lab.verdict import Outcome, Verdict
from certpin.pins import Pin
from certpin.x509 import Certificate
from tests.lab._clients import pinned, request, run_case, trusting
from tests.lab.attacks import _careless
from tests.lab.attacks._broken import anything, blind, checking, names, pins_only, served
from tests.lab.attacks._curve import holds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from certpin.lab.target import Target

    # Returns True if a certificate is accepted as the issuer of another.
    Link = Callable[[x509.Certificate, x509.Certificate], bool]

pytestmark = pytest.mark.slow  # whole runs; test_matrix.py is quick

Path = list[x509.Certificate]


def roots(target: Target) -> Path:
    return x509.load_pem_x509_certificates(target.ca.read_bytes())


def holds_a_pin(target: Target, certificates: Sequence[x509.Certificate]) -> bool:
    wanted = {target.pin, target.backup}
    return any(
        str(Pin.of_key(_read(certificate).spki_sha256)) in wanted for certificate in certificates
    )


def _read(certificate: x509.Certificate) -> Certificate:
    return Certificate.from_der(certificate.public_bytes(Encoding.DER))


def verification_off() -> Call:
    return checking(anything, blind)


def any_root_in_the_store() -> Call:
    return Call(lambda target: request(target, trusting(target)))


def pin_over_the_served_chain() -> Call:
    return checking(lambda target, tls: holds_a_pin(target, served(tls)), trusting)


def pin_without_verification() -> Call:
    return checking(pins_only, blind)


def signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError):
        return False
    return True


def named(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    return certificate.issuer == issuer.subject


def paths(target: Target, tls: ssl.SSLSocket, link: Link) -> list[Path]:
    """Return every path from the leaf through served certificates to a trusted root.

    ``link(certificate, issuer)`` decides whether two certificates may follow each other.
    """
    leaf, *others = served(tls)
    anchors = roots(target)
    found, growing = [], [[leaf]]
    for path in growing:
        end = path[-1]
        found += [[*path, root] for root in anchors if link(end, root)]
        growing += [
            [*path, certificate]
            for certificate in others
            if certificate not in path and link(end, certificate)
        ]
    return found


def pin_on_a_path_of_its_own(
    link: Link, prepare: Callable[[Target], ssl.SSLContext] = blind
) -> Call:
    """Return a client that builds paths itself, and accepts if a pin is on any of the paths.

    ``link`` decides which certificates may follow each other; ``prepare`` creates its TLS context.
    """

    def check(target: Target, tls: ssl.SSLSocket) -> bool:
        found = paths(target, tls, link)
        fits = target.host in names(served(tls)[0])
        return fits and any(holds_a_pin(target, path) for path in found)

    return checking(check, prepare)


def only_the_first_signature() -> Call:
    """Return a client that verifies only the leaf's signature, and the root only by its name."""

    def check(target: Target, tls: ssl.SSLSocket) -> bool:
        chain = served(tls)
        anchored = any(named(chain[-1], root) for root in roots(target))
        return anchored and signed(chain[0], chain[1])

    return checking(check, blind)


def roots_by_name() -> Call:
    """Return a client that verifies every served signature, but the root only by its name."""

    def check(target: Target, tls: ssl.SSLSocket) -> bool:
        chain = served(tls)
        known = any(chain[-1].subject == root.subject for root in roots(target))
        linked = itertools.starmap(signed, itertools.pairwise(chain))
        return (known and all(linked)) or any(signed(chain[-1], root) for root in roots(target))

    return checking(check, blind)


def self_signed_will_do() -> Call:
    """Return a client that also accepts any self-signed leaf, as left over from tests."""

    def check(target: Target, tls: ssl.SSLSocket) -> bool:
        leaf = served(tls)[0]
        return signed(leaf, leaf) or bool(paths(target, tls, signed))

    return checking(check, blind)


def roots_by_their_point() -> Call:
    """Return a client with the fault in CVE-2020-0601.

    It compares a root only by its public point, and takes the curve from the served certificate.
    """

    def check(target: Target, tls: ssl.SSLSocket) -> bool:
        leaf, above = served(tls)[:2]
        if any(signed(above, root) for root in roots(target)):
            return signed(leaf, above)
        info = bytes(take_apart(above).tbs_certificate.subject_public_key_info.data)
        for x, y in map(_point, roots(target)):
            octets = b"\x04" + x.to_bytes(32) + y.to_bytes(32)
            if info.endswith(octets) and holds(leaf, (x, y), _generator(info)):
                return True
        return False

    return checking(check, blind)


def _point(root: x509.Certificate) -> tuple[int, int]:
    key = root.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_numbers().x, key.public_numbers().y


def _generator(info: bytes) -> tuple[int, int]:
    """Return the base point of explicit curve parameters (an OCTET STRING)."""
    start = info.index(b"\x04\x41\x04") + 3
    return int.from_bytes(info[start : start + 32]), int.from_bytes(info[start + 32 : start + 64])


def old_versions() -> Call:
    def call(target: Target) -> str:
        context = pinned(target)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        return request(target, context)

    return Call(call)


def every_suite() -> Call:
    def call(target: Target) -> str:
        context = pinned(target)
        context.set_ciphers("ALL:eNULL:@SECLEVEL=0")
        return request(target, context)

    return Call(call)


def an_empty_chain_has_no_wrong_pin() -> Call:
    """Return a client that checks every served certificate, and so accepts an empty chain."""

    def prepare(target: Target) -> ssl.SSLContext:
        context = blind(target)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ALL:aNULL:@SECLEVEL=0")
        return context

    def check(target: Target, tls: ssl.SSLSocket) -> bool:
        return all(holds_a_pin(target, [certificate]) for certificate in served(tls)[:1])

    return checking(check, prepare)


def clear_text_when_tls_fails() -> Call:
    def call(target: Target) -> str:
        try:
            return request(target, pinned(target))
        except ssl.SSLError:
            with socket.create_connection((target.address, target.port), 10) as sock:
                sock.sendall(f"GET /{target.canary} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                return sock.recv(4096).decode()

    return Call(call)


CAUGHT = {
    "self-signed": (self_signed_will_do(), Style.LEAF),
    "untrusted-ca": (verification_off(), Style.LEAF),
    "rogue-ca-in-store": (any_root_in_the_store(), Style.LEAF),
    "same-ca-new-key": (any_root_in_the_store(), Style.LEAF),
    "fake-ca-same-name": (roots_by_name(), Style.NONE),
    "fake-ca-genuine-shown": (pin_on_a_path_of_its_own(named), Style.CA),
    "leaf-as-ca": (pin_on_a_path_of_its_own(signed), Style.LEAF),
    "explicit-curve-ca": (roots_by_their_point(), Style.NONE),
    "bad-signature-leaf": (pin_without_verification(), Style.LEAF),
    "bad-signature-intermediate": (only_the_first_signature(), Style.NONE),
    "replaced-key": (pin_on_a_path_of_its_own(named), Style.CA),
    "stolen-certificate-tls13": (Call(_careless.ask), Style.LEAF),
    "pinned-leaf-appended": (pin_over_the_served_chain(), Style.LEAF),
    "pinned-intermediate-appended": (pin_on_a_path_of_its_own(named, trusting), Style.CA),
    "non-ca-switch": (pin_on_a_path_of_its_own(signed), Style.CA),
    "non-ca-switch-last": (pin_on_a_path_of_its_own(signed, trusting), Style.CA),
    "pathlen-split": (pin_on_a_path_of_its_own(signed, trusting), Style.CA),
    "old-tls": (old_versions(), Style.LEAF),
    "anonymous": (an_empty_chain_has_no_wrong_pin(), Style.LEAF),
    "weak-suite": (every_suite(), Style.LEAF),
    "plain-http-on-443": (clear_text_when_tls_fails(), Style.LEAF),
}


@pytest.mark.parametrize("name", CAUGHT)
def test_broken_client_is_caught_by_its_case(name: str) -> None:
    client, style = CAUGHT[name]
    result = run_case(name, client, style)
    assert (result.verdict, result.outcome) == (Verdict.ACCEPT, Outcome.WRONG), result.why

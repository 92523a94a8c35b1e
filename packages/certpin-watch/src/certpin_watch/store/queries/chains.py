"""Read and cache stored chains, and describe them as text; find the expected path of a host."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from certpin.errors import CertificateParseError
from certpin.pins import pins_of
from certpin.rotation.prospect import judge
from certpin.support.text import printable
from certpin.x509 import Certificate, Chain
from certpin_watch.store.chains import read_chains
from certpin_watch.store.queries import hexadecimal, to_datetime_or_none
from certpin_watch.store.tables.observations import CHAINS, LATEST, SIGHTINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from certpin_watch.snapshot import Snapshot

_CACHE_SIZE = 8 * 1024 * 1024  # bytes of DER: a parsed chain takes some ten times as much
_MAX_NAMES = 100  # of one certificate
_MAX_PATHS = 50  # sightings that are considered for the expected path


class Issued(msgspec.Struct, frozen=True):
    """The fields of a certificate as text, for pages and the API.

    Not checked: signatures, names and dates. If the certificate can't be read, ``problem`` is the
    reason, and the fields that can't be read are empty.

    Attributes:
        sha256: the SHA-256 of the certificate, in hexadecimal.
        pin: the pin of its public key (SPKI), as ``sha256/…``.
        certificate_pin: the pin of the whole certificate, as ``cert-sha256/…``.
        subject: the name of the owner.
        issuer: the name of the issuer.
        serial_number: the serial number, in hexadecimal.
        key: the type and size of the public key.
        names: the DNS names and IP addresses, at most 100.
        names_left_out: the number of further names.
        not_before: when its validity begins.
        not_after: when it expires.
        self_issued: true if subject and issuer are equal, as in a root.
        problem: why the certificate can't be read; empty if it can.
    """

    sha256: str
    pin: str = ""
    certificate_pin: str = ""
    subject: str = ""
    issuer: str = ""
    serial_number: str = ""
    key: str = ""
    names: tuple[str, ...] = ()
    names_left_out: int = 0
    not_before: datetime | None = None
    not_after: datetime | None = None
    self_issued: bool = False
    problem: str = ""


class KeptChain(msgspec.Struct, frozen=True):
    """A certificate chain in the database, as text, leaf first.

    It is a chain that a server sent, that a probe verified, or that a client reported. ``digest``
    identifies the chain, in hexadecimal. ``first_at`` is when it was first stored.
    """

    digest: str
    certificates: tuple[Issued, ...]
    first_at: datetime | None = None


class _ChainCache:
    """A cache of chains that were read from the database, by digest. Thread-safe.

    Each entry has the DER certificates and the parsed chain. Entries never become stale, because
    the digest determines the chain. If the certificates in the cache have more than ``max_bytes``,
    the chains that were used least recently are removed.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._chains: OrderedDict[bytes, tuple[tuple[bytes, ...], Chain | None]] = OrderedDict()
        self._bytes = 0

    def get(self, digest: bytes) -> tuple[tuple[bytes, ...], Chain | None] | None:
        with self._lock:
            found = self._chains.get(digest)
            if found is not None:
                self._chains.move_to_end(digest)
            return found

    def put(self, digest: bytes, ders: tuple[bytes, ...]) -> Chain | None:
        chain = parse_chain(ders)
        with self._lock:
            if digest not in self._chains:
                self._chains[digest] = (ders, chain)
                self._bytes += sum(map(len, ders))
            while self._bytes > self._max_bytes and len(self._chains) > 1:
                _, (removed, _) = self._chains.popitem(last=False)
                self._bytes -= sum(map(len, removed))
        return chain


_CACHE = _ChainCache(_CACHE_SIZE)


def load_chains(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, Chain | None]:
    """Return stored chains, parsed, by digest. The value of a chain that can't be parsed is None.

    Chains that are not stored are left out.
    """
    wanted = set(digests)
    cached = {digest: _CACHE.get(digest) for digest in wanted}
    found = {digest: entry[1] for digest, entry in cached.items() if entry is not None}
    for digest, ders in read_chains(connection, wanted - found.keys()).items():
        found[digest] = _CACHE.put(digest, ders)
    return found


def load_der(connection: Connection, digest: bytes) -> tuple[bytes, ...] | None:
    """Return the certificates of a stored chain as DER, leaf first; None if it isn't stored."""
    if cached := _CACHE.get(digest):
        return cached[0]
    found = read_chains(connection, [digest]).get(digest)
    if found is not None:
        _CACHE.put(digest, found)
    return found


def parse_chain(ders: tuple[bytes, ...]) -> Chain | None:
    """Parse the DER certificates of a chain; return None if one of them is invalid.

    Not checked: that the certificates belong together, and their signatures and dates.
    """
    try:
        return Chain.from_der(ders)
    except CertificateParseError:
        return None


def expected_path(
    connection: Connection, snapshot: Snapshot, now: datetime, host: str
) -> tuple[bytes, ...]:
    """Return the certification path that probes currently verify at a host.

    A location is a machine that probes hosts; ``snapshot`` has the pin sets. If the locations
    observe different paths, a path that the pins accept is preferred, because an attacker is
    possibly between a location and the host. Among equals, the newest is returned.

    Returns:
        DER certificates, leaf first. Empty if no location has a current result with a verified
        path.
    """
    columns = SIGHTINGS.c
    statement = select(columns.verified).where(LATEST, columns.host == host)
    statement = statement.where(columns.verified != b"").order_by(columns.last_at.desc())
    rows = connection.execute(statement.limit(_MAX_PATHS)).scalars()
    digests = list(dict.fromkeys(map(bytes, rows)))
    if len(digests) > 1:
        pinned = _accepted_paths(connection, snapshot, now, host, digests)
        digests.sort(key=lambda digest: digest not in pinned)
    return load_der(connection, digests[0]) or () if digests else ()


def _accepted_paths(
    connection: Connection, snapshot: Snapshot, now: datetime, host: str, digests: list[bytes]
) -> set[bytes]:
    policies = [policy for _, policy in snapshot.policies_of(host)]
    paths = load_chains(connection, digests)
    return {
        digest
        for digest, path in paths.items()
        if any(path and judge(path, policy, now).reason == "match" for policy in policies)
    }


def describe_chain(connection: Connection, digest: bytes) -> KeptChain | None:
    """Return a stored chain with its certificates as text; None if it isn't stored."""
    first_at = connection.execute(
        select(CHAINS.c.first_at).where(CHAINS.c.digest == digest)
    ).scalar_one_or_none()
    found = None if first_at is None else load_der(connection, digest)
    if found is None:
        return None
    certificates = tuple(describe_certificate(der) for der in found)
    return KeptChain(hexadecimal(digest), certificates, to_datetime_or_none(first_at))


def describe_certificate(der: bytes) -> Issued:
    """Return the fields of a DER certificate as text, for pages and the API.

    If it can't be read, ``problem`` of the result is the reason.
    """
    fingerprint = hashlib.sha256(der).hexdigest()
    try:
        certificate = Certificate.from_der(der)
    except CertificateParseError as exc:
        return Issued(fingerprint, problem=printable(exc.problem))
    pin, certificate_pin = map(str, pins_of(certificate))
    try:
        names = certificate.names
        return Issued(
            fingerprint,
            pin,
            certificate_pin,
            certificate.subject,
            certificate.issuer,
            f"{certificate.serial_number:x}",
            certificate.key,
            names[:_MAX_NAMES],
            max(0, len(names) - _MAX_NAMES),
            certificate.not_before,
            certificate.not_after,
            certificate.self_issued,
        )
    except CertificateParseError as exc:
        return Issued(fingerprint, pin, certificate_pin, problem=printable(exc.problem))

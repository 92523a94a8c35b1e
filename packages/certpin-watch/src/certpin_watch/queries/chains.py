"""Chains by their digests: parsed once, and put into words."""

from __future__ import annotations

import threading
from collections import OrderedDict
from datetime import datetime  # noqa: TC003  # msgspec reads the fields when it first encodes
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import select

from certpin.errors import CertificateParseError
from certpin.pins import pins_of
from certpin.x509 import Certificate, Chain, printable
from certpin_watch.queries.base import hexadecimal, moment_or_none
from certpin_watch.store.keeping import read_chains
from certpin_watch.store.tables.chains import CHAINS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

# Chains that are kept parsed, by the bytes of their certificates: a parsed one takes some ten times
# as much. What a digest is of never changes, so nothing here grows old.
_MOST_KEPT = 8 * 1024 * 1024
_MOST_NAMES = 100  # of one certificate that are told


class Issued(msgspec.Struct, frozen=True):
    """A certificate in words. ``problem`` is why it has none, where it makes no sense.

    Not checked: signatures, names and dates. ``names_left_out`` is how many more it has.
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
    """A chain, leaf first, as it was served, verified or reported: which of it is not told here."""

    digest: str
    certificates: tuple[Issued, ...]
    first_at: datetime | None = None


class _Kept:
    """The chains that were asked for last. Threads may share it."""

    def __init__(self, most: int) -> None:
        self._most = most
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
        chain = parsed(ders)
        with self._lock:
            if digest not in self._chains:
                self._chains[digest] = (ders, chain)
                self._bytes += sum(map(len, ders))
            while self._bytes > self._most and len(self._chains) > 1:
                _, (gone, _) = self._chains.popitem(last=False)
                self._bytes -= sum(map(len, gone))
        return chain


_KEPT = _Kept(_MOST_KEPT)


def parsed(ders: tuple[bytes, ...]) -> Chain | None:
    """The chain; ``None`` where one of its certificates is none."""
    try:
        return Chain.from_der(ders)
    except CertificateParseError:
        return None


def chains(connection: Connection, digests: Iterable[bytes]) -> dict[bytes, Chain | None]:
    """The chains that are kept, by digest; ``None`` for one that cannot be read."""
    wanted = set(digests)
    kept = {digest: _KEPT.get(digest) for digest in wanted}
    found = {digest: pair[1] for digest, pair in kept.items() if pair is not None}
    for digest, ders in read_chains(connection, wanted - found.keys()).items():
        found[digest] = _KEPT.put(digest, ders)
    return found


def ders(connection: Connection, digest: bytes) -> tuple[bytes, ...] | None:
    """The certificates of a chain as DER, leaf first; ``None`` where it is not kept."""
    if kept := _KEPT.get(digest):
        return kept[0]
    found = read_chains(connection, [digest]).get(digest)
    if found is not None:
        _KEPT.put(digest, found)
    return found


def chain(connection: Connection, digest: bytes) -> KeptChain | None:
    """A chain in words; ``None`` where it is not kept."""
    first_at = connection.execute(
        select(CHAINS.c.first_at).where(CHAINS.c.digest == digest)
    ).scalar_one_or_none()
    found = None if first_at is None else ders(connection, digest)
    if found is None:
        return None
    return KeptChain(
        hexadecimal(digest), tuple(issued(each) for each in found), moment_or_none(first_at)
    )


def issued(der: bytes) -> Issued:
    """One certificate in words. Never raises: what makes no sense is told as such."""
    import hashlib

    fingerprint = hashlib.sha256(der).hexdigest()
    try:
        return _issued(fingerprint, Certificate.from_der(der))
    except CertificateParseError as exc:
        return Issued(fingerprint, problem=printable(exc.problem))


def _issued(fingerprint: str, certificate: Certificate) -> Issued:
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
            names[:_MOST_NAMES],
            max(0, len(names) - _MOST_NAMES),
            certificate.not_before,
            certificate.not_after,
            certificate.self_issued,
        )
    except CertificateParseError as exc:
        return Issued(fingerprint, pin, certificate_pin, problem=printable(exc.problem))

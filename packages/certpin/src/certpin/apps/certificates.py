"""Read the certificates and keys among the files of an app: PEM (RFC 7468) or DER."""

from __future__ import annotations

from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from certpin.apps.model import FileFindings, FoundCertificate, FoundPin, Mistake, Place, Unread
from certpin.errors import CertificateParseError, InputError
from certpin.pins import Pin
from certpin.x509 import Certificate, name_of
from certpin.x509.certificate import pem_blocks, read_items

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.apps.model import SourceFile

# The bundle of all public roots has about 150 certificates.
MAX_BLOCKS = 1000

SUFFIXES = (".pem", ".crt", ".cer", ".der")
KEY_STORES = (".p12", ".pfx")  # RFC 7292

# Half a year: a release of an app is in use for at least as long.
_SOON = timedelta(days=183)


def read_certificates_file(file: SourceFile, now: datetime, *, shipped: bool) -> FileFindings:
    """Return the certificates and public keys in a file of an app, and the mistakes.

    Not checked: signatures, and whether the app uses the file.

    Args:
        file: the file.
        now: the current time.
        shipped: True if the file is part of the released app: an asset, or a resource of Android or
            iOS. A private key is a mistake only in such a file.

    Returns:
        The results. They also list each part of the file that can't be read.
    """
    findings = FileFindings()
    blocks = list(islice(pem_blocks(file.data), MAX_BLOCKS + 1))
    if len(blocks) > MAX_BLOCKS:
        problem = f"there are more than {MAX_BLOCKS} PEM blocks"
        findings.unread.append(Unread(Place(file.path, 1), problem, "remove it from the app"))
        return findings
    line = at = 0
    for offset, block in blocks:
        line += file.data.count(b"\n", at, offset)
        at = offset
        _read_block(file, line + 1, block, findings, shipped=shipped)
    if not blocks:
        _read_items(file, 1, file.data, findings, shipped=shipped)
    for found in findings.certificates:
        findings.mistakes += check_dates(found, now)
    return findings


def _read_block(
    file: SourceFile, line: int, block: bytes | None, findings: FileFindings, *, shipped: bool
) -> None:
    if block is None:
        problem = "a PEM block is incomplete"
        findings.unread.append(Unread(Place(file.path, line), problem, "copy the file again"))
    else:
        _read_items(file, line, block, findings, shipped=shipped)


def looks_like_certificate(data: bytes) -> bool:
    """Return True if a file can have certificates or keys: it contains PEM, or begins as DER."""
    return b"-----BEGIN " in data or data[:2] in {b"\x30\x82", b"\x30\x81"}


def _read_items(
    file: SourceFile, line: int, data: bytes, findings: FileFindings, *, shipped: bool
) -> None:
    """Read a PEM block or a DER file, and add its certificates and public keys to ``findings``.

    Args:
        file: the file.
        line: the line of the PEM block, or 1.
        data: the PEM block, or the content of the file.
        findings: the results for the file. If the data can't be read, the reason is added to them.
        shipped: True if the file is part of the released app: then a private key is added as a
            mistake. Otherwise private keys are ignored.
    """
    place = Place(file.path, line)
    if _is_secret(file, data):
        if shipped:
            findings.mistakes.append(_private_key(place))
        return
    try:
        items = read_items(data)
    except InputError as exc:
        findings.unread.append(Unread.because_of(exc, file, line))
        return
    for item in items:
        if isinstance(item, Certificate):
            findings.certificates.append(FoundCertificate(item, place))
        elif item.source == "public key":
            pin = Pin.of_key(item.spki_sha256)
            findings.pins.append(FoundPin(pin, place, "public key", key_type=item.key))
        elif item.source == "private key" and shipped:
            findings.mistakes.append(_private_key(place))


def _is_secret(file: SourceFile, data: bytes) -> bool:
    """Return True if a PEM block is a private key (encrypted or not), or the file a key store.

    In a released app, this is reported as a mistake. ``data`` is the PEM block, or the content of
    the file. A key store is recognised by the suffix of its name, such as ``.p12``.
    """
    first = data[: data.find(b"\n")] if data.startswith(b"-----BEGIN ") else b""
    return b"PRIVATE KEY-----" in first or file.path.lower().endswith(KEY_STORES)


def _private_key(place: Place) -> Mistake:
    return Mistake(
        "private-key-in-app",
        place,
        "a private key is part of the app, and each of its users can extract it",
    )


def check_dates(found: FoundCertificate, now: datetime) -> list[Mistake]:
    """Return a list with one mistake if a certificate has expired, or expires within 183 days.

    ``found`` is the certificate with its place in the app, and ``now`` the current time. The list
    is empty for other certificates, and if the date can't be read.
    """
    certificate = found.certificate
    try:
        ends = certificate.not_after
    except CertificateParseError:
        return []
    if ends > now + _SOON:
        return []
    name = name_of(certificate)
    day = ends.date().isoformat()
    when = f"expired on {day}" if ends <= now else f"expires on {day}"
    return [
        Mistake(
            "asset-expires-soon",
            found.place,
            f"the certificate of {name} {when}",
        )
    ]

"""A certificate as the SDKs see it: its common name, and the hash of all of it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.updates.wultra.finding import Finding
from certpin.updates.wultra.listing import Entry
from certpin.updates.wultra.rules import EPOCH, ends

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.updates.wultra.listing import Listing
    from certpin.x509 import Certificate

_SIGN_IT = "certpin publish wultra --certificate FILE signs an entry for it"


def entry_of(certificate: Certificate) -> Entry:
    """The entry of a certificate, unsigned: it ends with it. Raises ``CertificateParseError``."""
    return Entry(
        certificate.subject,
        common_name(certificate),
        base64.b64encode(certificate.sha256).decode(),
        int((certificate.not_after - EPOCH).total_seconds()),
    )


def common_name(certificate: Certificate) -> str:
    """The name by which the SDKs look a certificate up. Raises ``CertificateParseError``.

    They take no other: not those of the subjectAltName, by which TLS goes (RFC 9525).
    """
    found = certificate.common_names
    if len(found) != 1:
        raise CertificateParseError(
            f"the certificate {certificate.subject!r} has {len(found)} common names, and the SDKs "
            "look for one",
            fix="ask your authority for a certificate with the host as its common name: some leave "
            "it out unless the request has it",
        )
    return found[0]


def of_certificate(listing: Listing, certificate: Certificate, now: datetime) -> Finding | None:
    """Why an app with this list would refuse a certificate, if it would.

    Raises ``CertificateParseError`` where the SDKs could not even look it up.
    """
    name = common_name(certificate)
    same = [entry for entry in listing.entries if entry.digest == certificate.sha256]
    named = [entry for entry in same if entry.name == name]
    if any((end := ends(entry)) and now < end for entry in named):
        return None
    if named:
        return Finding("not-listed", f"the entry of {name} for this certificate ended", _SIGN_IT)
    if same:
        return Finding(
            "other-name",
            f"the certificate is listed as {same[0].name}, and its common name is {name}: the SDKs "
            "compare letter by letter",
            _SIGN_IT,
        )
    if any(entry.digest == certificate.spki_sha256 for entry in listing.entries):
        return Finding(
            "key-fingerprint",
            f"for {name} the hash of the key is listed; the SDKs compare that of the whole "
            "certificate, as DER",
            _SIGN_IT,
        )
    return Finding("not-listed", f"no entry is for this certificate of {name}", _SIGN_IT)

"""The dates of certificates, for the rules that count days."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from certpin.errors import CertificateParseError
from certpin.pins.explain import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lint.document import AnchorFile, Document
    from certpin.x509 import Certificate

SOON = timedelta(days=180)


def dates_of(certificate: Certificate) -> tuple[datetime, datetime] | None:
    """First and last moment of validity; ``None`` where they make no sense."""
    try:
        return certificate.not_before, certificate.not_after
    except CertificateParseError:
        return None


def ending(document: Document) -> Iterator[tuple[AnchorFile, str, datetime]]:
    """Each trust anchor that a file names: the file, the subject, and its last moment."""
    for file in document.anchor_files():
        for certificate in file.certificates:
            if dates := dates_of(certificate):
                yield file, name_of(certificate), dates[1]

"""When the end of a certificate is near: the monitor tells people, and the pages say the same.

A certificate of a year is renewed by hand, weeks before. One of 47 days (CA/B Forum SC-081v3, from
2029-03-15) is renewed by a machine when a third of its life is left, and is no trouble until that
machine has failed for a while. So what counts is the shorter one: the days of the settings, or a
quarter of the certificate's own life.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.pins import HostPolicy
    from certpin.x509 import Certificate

# X509_V_ERR_CERT_HAS_EXPIRED (openssl/x509_vfy.h): such a chain is judged all the same.
HAS_EXPIRED = 10
_PART = 4  # of its life
_AHEAD = timedelta(days=7)  # to prepare the successor of a pinned authority


def near(
    certificate: Certificate,
    warning: timedelta,
    *,
    authority: bool,
    covers: Iterable[tuple[HostPolicy, timedelta]],
) -> timedelta:
    """How long before its end a certificate is told.

    ``covers`` are the policies of its host, each with the time until a version is adopted: of an
    authority that is pinned, every client has to have the pin of the next one before it ends.
    Raises ``CertificateParseError``.
    """
    soon = min(warning, (certificate.not_after - certificate.not_before) / _PART)
    if not authority:
        return soon
    pins = pins_of(certificate)
    waits = [each for policy, each in covers if not policy.live_pins.keys().isdisjoint(pins)]
    return max([soon, *(each + _AHEAD for each in waits)])

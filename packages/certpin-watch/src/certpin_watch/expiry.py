"""Compute how long before its expiry a certificate causes a warning, in alerts and on pages.

A certificate with a lifetime of a year is renewed manually, weeks before it expires. One of 47 days
(CA/B Forum SC-081v3, from 2029-03-15) is renewed automatically when a third of its lifetime is
left, and is no problem until that renewal has failed for a while. So the shorter of two periods is
used: the setting, or a quarter of the certificate's lifetime.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from certpin.pins import pins_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.pins import HostPolicy
    from certpin.x509 import Certificate

# X509_V_ERR_CERT_HAS_EXPIRED (openssl/x509_vfy.h): expired chains are checked, too.
HAS_EXPIRED = 10
_FRACTION = 4  # of its lifetime
_PREPARATION = timedelta(days=7)  # to prepare the successor of a pinned authority


def warning_period(
    certificate: Certificate,
    warning: timedelta,
    *,
    authority: bool,
    covers: Iterable[tuple[HostPolicy, timedelta]],
) -> timedelta:
    """Return how long before a certificate expires alerts and pages warn of that.

    Args:
        certificate: a certificate in a served chain.
        warning: the period in the settings; it is shortened for a certificate with a short
            lifetime.
        authority: True if the certificate is not the leaf. If it is pinned, the period is extended:
            every client needs the pin of its successor before it expires.
        covers: the policies of the host, each with the time until clients have adopted a version.

    Raises:
        CertificateParseError: the dates or the key of the certificate can't be read.
    """
    soon = min(warning, (certificate.not_after - certificate.not_before) / _FRACTION)
    if not authority:
        return soon
    pins = pins_of(certificate)
    waits = [adopt for policy, adopt in covers if not policy.live_pins.keys().isdisjoint(pins)]
    return max([soon, *(adopt + _PREPARATION for adopt in waits)])

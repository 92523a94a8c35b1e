"""How a context verifies, whichever part of certpin makes it: the enforcer and the probe agree."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from certpin.x509.certificate import end_in_roots
from certpin.x509.stdlib import OwnSSLContext

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.x509.certificate import Certificate


def harden(context: ssl.SSLContext) -> None:
    """The settings of every context that certpin makes, beyond Python's defaults for clients."""
    # A name in the subject's CN is no name of the host (RFC 9525 section 2).
    context.hostname_checks_common_name = False
    # As Python's own default context from 3.13 on: refuse what RFC 5280 forbids.
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    # A renegotiation could show another certificate after the check (RFC 5746 is about less).
    context.options |= ssl.OP_NO_RENEGOTIATION


def trust_alone(anchors: Sequence[Certificate]) -> ssl.SSLContext:
    """A client's context that trusts these certificates and no others.

    A path may end at one of them that is no root, if none of them is.
    """
    context = OwnSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    harden(context)
    context.load_verify_locations(cadata=b"".join(each.der for each in anchors))
    if not end_in_roots(anchors):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context

"""Enforcement: ``PinnedSSLContext``, and the pin check of each handshake.

These rules must hold. The tests in ``tests/tls`` use the same numbers.

 1. OpenSSL verifies chain, hostname and dates before a pin is compared. A context on which a client
    library switched any of them off refuses to connect (``context.py``): under ``CERT_NONE`` the
    "verified chain" is whatever the peer sent.
 2. A pin matches only on the verified path (``certpin.x509.openssl``, ``certpin.pins.verdict``).
    Other certificates that the server sent never count (CVE-2016-2402). An empty chain is refused.
 3. The check comes before the first application byte on every way in, because the gate is in the
    place of OpenSSL's object (``gate.py``). After a refusal the connection is shut for good. A
    socket never falls back to clear text, as Python's own does.
 4. A resumed session carries no chain (RFC 8446 section 2.2). It is offered only if this context
    verified it, for this host, under the same policy (``check.py``), and refused otherwise.
 5. Policy, SNI and OpenSSL's hostname check use the same normalised host
    (``certpin.pins.normalise``). Without a host there is no connection.
 6. SPKI bytes are those of the certificate, read from strict DER (``certpin.x509``).
 7. Paths are built up to a root: PARTIAL_CHAIN, which Python 3.13 sets by default, would end them
    at an intermediate in the store, before a pinned root. It is off, and on only for a trust file
    that names no root. The error explains a path to another root.
 8. ``trust = FILE`` hosts have a store of only those anchors (``certpin.x509.openssl``): the
    handshake fails before a client certificate is sent.
 9. ``strict`` (the default) refuses a host without a policy (``check.py``).
10. Pin set and stores are one immutable state, swapped by one assignment (``check.py``). No lock is
    held across a handshake; threads may share a context.
11. The debug override needs ``[debug]`` in the pin set and ``CERTPIN_DEBUG=1`` in the environment.
    It accepts only paths to its anchors, warns at each use and marks each report.
12. A refusal names the host, the policy, the whole path, every pin, and what to do
    (``certpin.pins.verdict``), as an ``ssl.SSLCertVerificationError`` that each library maps. A
    refusal by OpenSSL for a host with a policy names the served issuer and the expected anchors
    (``failures.py``).
13. A path that contains a key marked ``compromised`` is refused, whatever else matches, before
    expiry is considered (``certpin.pins.verdict``). Only the debug override comes before it.
14. ``assert_pinned`` (``assertion.py``) accepts only a connection that was checked: adapters look
    at the connection in use, not only at the context that they pass on.
15. If the host requires it (``require_ct``), enough known Certificate Transparency logs have signed
    a timestamp for the leaf and the key of its issuer on the verified path (RFC 6962), once a pin
    matches (``certpin.pins.transparency``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from certpin.errors import HAS_TLS, TLSUnavailableError
from certpin.tls.failures import DEBUG_VARIABLE, DebugOverrideWarning, PinFailure

if TYPE_CHECKING or HAS_TLS:
    from certpin.tls.assertion import assert_pinned
    from certpin.tls.context import PinnedSSLContext
else:

    class PinnedSSLContext:
        """Replacement for the real ``PinnedSSLContext`` if this Python has no TLS.

        Creating an object raises ``TLSUnavailableError``.
        """

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise TLSUnavailableError

    def assert_pinned(*args: Any, **kwargs: Any) -> NoReturn:
        """Replacement for the real function if Python has no TLS: raise ``TLSUnavailableError``."""
        raise TLSUnavailableError


__all__ = [
    "DEBUG_VARIABLE",
    "DebugOverrideWarning",
    "PinFailure",
    "PinnedSSLContext",
    "assert_pinned",
]

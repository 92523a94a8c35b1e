"""Enforcement: ``PinnedSSLContext``, and the pin check of each handshake.

These rules must hold. The tests in ``tests/tls`` use the same numbers.

 1. OpenSSL verifies chain, hostname and dates before a pin is compared. A context on which a client
    library switched any of them off refuses to connect (``context.py``): under ``CERT_NONE`` the
    "verified chain" is whatever the peer sent.
 2. A pin matches only on the verified path (``certpin.x509.openssl``, ``certpin.pins.verdict``).
    Other certificates that the server sent never count (CVE-2016-2402). An empty chain is refused.
 3. The pin check comes before the first application byte is sent or returned by any method, because
    a ``Gate`` replaces OpenSSL's object until then (``gate.py``). After a refusal the
    connection can't be used any more, and its socket is shut down. Unlike Python's own sockets, a
    pinned socket never falls back to clear text.
 4. A resumed session carries no chain (RFC 8446 section 2.2). It is offered only if this context
    verified it, for this host, under the same policy (``check.py``), and refused otherwise.
 5. Policy, SNI and OpenSSL's hostname check use the same normalised host
    (``certpin.pins.normalise``). A connection without a host is refused.
 6. SPKI bytes are those of the certificate, read from strict DER (``certpin.x509``).
 7. Paths are built up to a root. The flag PARTIAL_CHAIN, which Python 3.13 sets by default, would
    end them at an intermediate in the trust store, before a pinned root. So the flag is cleared;
    it is set only for a trust file without a root. If the path leads to another root than the
    pinned one, the error explains this.
 8. For a host with ``trust = FILE``, a store trusts only the anchors in that file
    (``certpin.x509.contexts``). With another chain, the handshake fails before a client certificate
    is sent.
 9. ``strict`` (the default) refuses a host without a policy (``check.py``).
10. Pin set and stores are one immutable state, replaced by one assignment (``check.py``). No lock
    is held across a handshake; threads may share a context.
11. The debug override, for development, needs ``[debug]`` in the pin set and ``CERTPIN_DEBUG=1`` in
    the environment. It accepts chains without a matching pin only if they end at its own anchors,
    warns at each use and marks each report.
12. The error of a refusal names the host, the policy, the whole path, every pin, and the next
    action for the user (``certpin.pins.verdict``). It is an ``ssl.SSLCertVerificationError``, which
    each client library handles. If OpenSSL refuses the chain of a host with a policy, the error
    names the served issuer and the expected anchors (``failures.py``).
13. A path that contains a key marked ``compromised`` is refused, even if another key is pinned or
    the pins have expired (``certpin.pins.verdict``). The only exception is a path that the debug
    override accepts (rule 11).
14. ``assert_pinned`` (``assertion.py``) accepts only a connection that was checked: client adapters
    check the connection in use, not only the context that they gave to the library. If the pin set
    was replaced, they check a connection that they kept again (``pins_hold``).
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

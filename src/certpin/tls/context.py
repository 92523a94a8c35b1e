"""``PinnedSSLContext``: an ``ssl.SSLContext`` that refuses what its pin set does not hold.

What holds, rule by rule (the tests in ``tests/tls`` carry the same numbers):

 1. OpenSSL verifies chain, hostname and dates before a pin is looked at. A context on which a
    client library switched any of them off refuses to connect (``_require_verification``): under
    ``CERT_NONE`` the "verified chain" is whatever the peer sent.
 2. A pin matches on the verified path alone (``certpin.x509.openssl``, ``certpin.pins.verify``); what the
    server merely sent along never counts (CVE-2016-2402). No chain, no connection.
 3. The check comes before the first application byte on every way in, since it stands where
    OpenSSL's object stands (``gate.py``). After a refusal the connection is shut, and stays so.
 4. A resumed session carries no chain (RFC 8446 section 2.2): it is offered only if this context
    verified it, for this host, under this very policy (``sessions.py``), and refused otherwise.
 5. Policy, SNI and OpenSSL's hostname check get one and the same normalised host
    (``certpin.pins.normalise``). Without a host there is no connection.
 6. SPKI bytes are those of the certificate, read from strict DER (``certpin.x509``).
 7. Paths are built up to a root: PARTIAL_CHAIN, which Python 3.13 sets by default, would end them
    at an intermediate in the store, out of sight of a root pin. It is kept off here, and on only
    for a trust file that names no root. A path to another root is explained in the error.
 8. ``trust = FILE`` hosts have a store of those anchors alone (``mirror.py``): the handshake fails
    before a client certificate is sent.
 9. ``strict`` (the default) refuses a host without a policy.
10. Pin set and stores are one immutable state, swapped by one assignment (``state.py``). No lock is
    held across a handshake; threads may share a context.
11. The debug override needs ``[debug]`` in the pin set and ``CERTPIN_DEBUG=1`` in the environment;
    it accepts paths to its own anchors alone, warns at each use and marks each report.
12. A refusal names the host, the policy, the whole path, every pin, and what to do
    (``certpin.pins.explain``), as an ``ssl.SSLCertVerificationError`` that each library maps.
"""

from __future__ import annotations

import os
import ssl
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

from certpin.errors import ConfigError, HostError, PinError, WeakenedContextError
from certpin.pins import normalise, utc_now
from certpin.tls.check import PinCheck
from certpin.tls.enforcer import DEBUG_VARIABLE, Enforcer
from certpin.tls.events import FailureTeller
from certpin.tls.gate import Gate
from certpin.tls.mirror import MirroredContext, harden
from certpin.tls.objects import PinnedSSLObject, PinnedSSLSocket
from certpin.tls.state import PinState

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.tls.events import FailureHook

# Flags of OpenSSL that take dates or critical extensions out of the verification
# (X509_V_FLAG_USE_CHECK_TIME, _IGNORE_CRITICAL, _NO_CHECK_TIME, openssl/x509_vfy.h).
_UNSAFE_FLAGS = 0x2 | 0x10 | 0x200000

# Attributes whose change can weaken the verification; each change is counted (rule 1).
_VERIFYING = frozenset({"verify_mode", "check_hostname", "verify_flags"})


class PinnedSSLContext(MirroredContext):
    """An ``ssl.SSLContext`` for clients that enforces a pin set.

    Give it to whatever takes an ``ssl.SSLContext``. ``strict=False`` lets hosts without a policy
    pass, verified as usual but unpinned. ``clock`` returns the current moment with a time zone.
    Each of ``on_failure`` is called with a ``PinFailure``, in a thread of its own.

    Connecting raises ``PinError`` (an ``ssl.SSLCertVerificationError``) where the rules above
    refuse, and what ``ssl`` raises otherwise. Not checked: revocation and Certificate Transparency.
    """

    sslsocket_class = PinnedSSLSocket
    sslobject_class = PinnedSSLObject

    # Until __init__ is done these stand in.
    _verifying_changes = 0
    _verified_changes = -1

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(
        self,
        pins: PinSet,
        *,
        strict: bool = True,
        clock: Callable[[], datetime] = utc_now,
        on_failure: Iterable[FailureHook] = (),
    ) -> None:
        super().__init__()
        harden(self)
        self.load_default_certs()
        teller = FailureTeller(tuple(on_failure))
        self._enforcer = Enforcer(self._state_of(pins), strict, clock, teller)

    @property
    def pins(self) -> PinSet:
        """The pin set that is enforced now."""
        return self._enforcer.state.pins

    @property
    def strict(self) -> bool:
        """Whether a host without a policy is refused."""
        return self._enforcer.strict

    def swap(self, pins: PinSet) -> None:
        """Enforce another pin set from now on. Connections that are open stay open.

        Raises ``ConfigError`` if its version is lower, or the same with other content: clients
        never go back.
        """
        with self._configuring:
            current = self.pins
            if pins.version < current.version or (
                pins.version == current.version and pins != current
            ):
                raise ConfigError(
                    f"version {pins.version} does not follow version {current.version}",
                    key="version",
                    fix="raise the version of the pin set with each change",
                )
            self._enforcer.state = self._state_of(pins)

    def refuse_clear_text(self, host: str) -> None:
        """For client adapters, before a request leaves without TLS (``http://``, ``ws://``).

        Raises ``InsecureRequestError`` in strict mode, and where the host's policy enforces pins.
        """
        self._enforcer.refuse_clear_text(self._host_of(host, server_side=False))

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """As ``ssl.SSLContext.wrap_socket``. Server-side use is an error."""
        return super().wrap_socket(
            sock,
            server_side,
            do_handshake_on_connect,
            suppress_ragged_eofs,
            self._host_of(server_hostname, server_side),
            session,
        )

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As ``ssl.SSLContext.wrap_bio``. Server-side use is an error."""
        host = self._host_of(server_hostname, server_side)
        return super().wrap_bio(incoming, outgoing, server_side, host, session)

    def _wrap_socket(
        self, sock: Any, server_side: bool, host: str, *, owner: Any, session: Any
    ) -> Gate:
        check, store, changes = self._begin(host)
        # typeshed leaves it out: the way into OpenSSL.
        maker: Any = super() if store is None else store
        make = maker._wrap_socket
        if session is not None and not check.may_resume(session):
            session = None
        raw = make(sock, False, host, owner=owner, session=session)
        return self._gate(raw, owner, check, changes, None)

    def _wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *,
        server_side: bool,
        server_hostname: str,
        owner: Any,
        session: Any,
    ) -> Gate:
        check, store, changes = self._begin(server_hostname)
        maker: Any = super() if store is None else store
        make = maker._wrap_bio
        if session is not None and not check.may_resume(session):
            session = None
        raw = make(incoming, outgoing, False, server_hostname, owner=owner, session=session)
        return self._gate(raw, owner, check, changes, outgoing)

    def _host_of(self, server_hostname: str | bytes | None, server_side: bool) -> str:
        """Rule 5: the one spelling that policy, SNI and OpenSSL's hostname check all get."""
        if server_side:
            raise ValueError("a PinnedSSLContext is for clients: give a server an ssl.SSLContext")
        if not server_hostname:
            raise self._enforcer.refused(_nameless())
        if isinstance(server_hostname, bytes):
            server_hostname = server_hostname.decode("ascii", "replace")
        try:
            return normalise(server_hostname)
        except HostError as exc:
            raise self._enforcer.refused(PinError(f"refused: {exc.problem}", fix=exc.fix)) from exc

    def _begin(self, host: str) -> tuple[PinCheck, ssl.SSLContext | None, int]:
        """The check of a new connection, the store for it, and the count that rule 1 compares."""
        changes = self._verifying_changes
        if changes != self._verified_changes:
            self._require_verification(host)
            self._verified_changes = changes
        state = self._enforcer.state
        target = self._enforcer.target(state, host)
        return PinCheck(self._enforcer, state, target), target.store, changes

    def _gate(self, raw: Any, owner: Any, check: PinCheck, changes: int, outgoing: Any) -> Gate:
        if changes != self._verifying_changes:
            # Another thread touched the settings while OpenSSL copied them.
            raise self._enforcer.refused(_weakened(check.target.host, "they were being changed"))
        owner._check = check
        owner._context = self
        return Gate(raw, check, outgoing)

    def _require_verification(self, host: str) -> None:
        """Rule 1."""
        if self.verify_mode != ssl.CERT_REQUIRED:
            raise self._enforcer.refused(_weakened(host, f"verify_mode is {self.verify_mode!r}"))
        if not self.check_hostname:
            raise self._enforcer.refused(_weakened(host, "check_hostname is off"))
        if self.verify_flags & _UNSAFE_FLAGS:
            raise self._enforcer.refused(_weakened(host, f"verify_flags are {self.verify_flags!r}"))

    def _state_of(self, pins: PinSet) -> PinState:
        """Rule 10: everything is built before it is put in place."""
        debug = pins.debug if os.environ.get(DEBUG_VARIABLE) == "1" else None
        stores = {
            policy.trust.digest: self._store_for(policy.trust)
            for policy in pins.policies
            if policy.trust is not None
        }
        anchors = debug.der if debug else ()
        for context in (self, *stores.values()) if anchors else ():
            context.load_verify_locations(cadata=b"".join(anchors))
        return PinState(pins, stores, frozenset(sha256(der).digest() for der in anchors))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _VERIFYING and not _is_safe(name, value):
            self._verifying_changes += 1
        if name == "verify_flags":
            value &= ~ssl.VERIFY_X509_PARTIAL_CHAIN  # rule 7
        elif name == "options":
            value |= ssl.OP_NO_RENEGOTIATION  # rule 3: no other certificate after the check
        super().__setattr__(name, value)


def _is_safe(name: str, value: Any) -> bool:
    """Whether it can only strengthen: urllib3 sets these again with each connection."""
    return (name == "verify_mode" and value == ssl.CERT_REQUIRED) or (
        name == "check_hostname" and bool(value)
    )


def _weakened(host: str, what: str) -> WeakenedContextError:
    return WeakenedContextError(
        f"{host} refused: the checks of chain, hostname and dates were weakened ({what})",
        host=host,
        fix="remove verify=False, ssl=False, assert_hostname=False or cert_reqs='CERT_NONE' from "
        "the client; for a private authority set `trust` in the pin file",
    )


def _nameless() -> PinError:
    return PinError(
        "refused: there is no server name to find a policy for",
        fix="pass server_hostname, as the client libraries do",
    )

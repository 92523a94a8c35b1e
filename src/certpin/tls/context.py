"""``PinnedSSLContext``: an ``ssl.SSLContext`` that refuses what its pin set does not hold.

What holds, rule by rule (the tests in ``tests/tls`` carry the same numbers):

 1. OpenSSL verifies chain, hostname and dates before a pin is looked at. A context on which a
    client library switched any of them off refuses to connect (``verification.py``): under
    ``CERT_NONE`` the "verified chain" is whatever the peer sent.
 2. A pin matches on the verified path alone (``certpin.x509.openssl``, ``certpin.pins.verify``);
    what the server merely sent along never counts (CVE-2016-2402). No chain, no connection.
 3. The check comes before the first application byte on every way in, since it stands where
    OpenSSL's object stands (``gate.py``). After a refusal the connection is shut, and stays so;
    nor does a socket fall back into clear text, where Python's own does (``objects.py``).
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
    (``certpin.pins.explain``), as an ``ssl.SSLCertVerificationError`` that each library maps. A
    refusal by OpenSSL for a host with a policy names the served issuer and the expected anchors
    (``unverified.py``).
13. A path that contains a key marked ``compromised`` is refused, whatever else matches, before
    expiry is looked at (``certpin.pins.verdict``). Only the debug override comes before it.
14. ``assert_pinned`` (``assertion.py``) accepts a connection that was checked, and no other:
    adapters look at the connection in use, not only at the context that they pass on.
"""

from __future__ import annotations

import os
import ssl
import weakref
from typing import TYPE_CHECKING, Any, Self

from certpin.errors import ConfigError, HostError, PinError, WeakenedContextError
from certpin.pins import normalise, utc_now
from certpin.tls.enforcer import DEBUG_VARIABLE, Enforcer
from certpin.tls.events import FailureTeller
from certpin.tls.gate import Gate
from certpin.tls.green import green_class_for
from certpin.tls.objects import Pinned, PinnedSSLObject, PinnedSSLSocket
from certpin.tls.state import DebugAnchors, PinState
from certpin.tls.verification import UNSAFE_FLAGS, VerifyingContext, flags_of
from certpin.x509 import Certificate
from certpin.x509.stdlib import OpenSSLContext
from certpin.x509.verifying import harden

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.tls.events import FailureHook

# The ways into OpenSSL, which typeshed leaves out. The first argument is the context whose roots
# may vouch: the pinned one itself, or one of its stores.
_openssl_socket: Any = OpenSSLContext._wrap_socket
_openssl_bio: Any = OpenSSLContext._wrap_bio


class PinnedSSLContext(VerifyingContext):
    """An ``ssl.SSLContext`` for clients that enforces a pin set.

    Give it to whatever takes an ``ssl.SSLContext``. ``strict=False`` lets hosts without a policy
    pass, verified as usual but unpinned. ``clock`` returns the current moment with a time zone.
    Each of ``on_failure`` is called with a ``PinFailure``, in a thread of its own; a ``Reporter``
    among them sends what it is told to the policy's ``report_to``.

    Connecting raises ``PinError`` (an ``ssl.SSLCertVerificationError``) where the rules above
    refuse, and what ``ssl`` raises otherwise. Not checked: revocation and Certificate Transparency.
    """

    sslsocket_class = PinnedSSLSocket
    sslobject_class = PinnedSSLObject

    # All that OpenSSL was ever given: it has no way to take an anchor back.
    _debug_anchors: frozenset[bytes] = frozenset()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """As ``ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)``; ``__init__`` takes the arguments."""
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
        for hook in teller.prompt:
            hook.attach(self)  # type: ignore[attr-defined]  # hooks of this kind have it

    @property
    def pins(self) -> PinSet:
        """The pin set that is enforced now."""
        return self._enforcer.state.pins

    @property
    def strict(self) -> bool:
        """Whether a host without a policy is refused."""
        return self._enforcer.strict

    def swap(self, pins: PinSet, *, recover: bool = False) -> None:
        """Enforce another pin set from now on. Connections that are open stay open.

        Args:
            pins: the set to enforce.
            recover: the version may be lower. Only for a set that is known to replace one whose
                signing keys were stolen (TUF 1.0.31, 5.3.11); ``PinUpdater`` decides that.

        Raises:
            ConfigError: its version is lower, or the same with other content.
        """
        with self._configuring:
            current = self.pins
            back = pins.version < current.version or (
                pins.version == current.version and pins != current
            )
            if back and not recover:
                raise ConfigError(
                    f"version {pins.version} does not follow version {current.version}",
                    key="version",
                    fix="raise the version of the pin set with each change",
                )
            self._enforcer.state = self._state_of(pins)

    def admit(self, host: str, *, encrypted: bool = True) -> None:
        """For client adapters, before they connect: refuse a host that would be refused anyhow.

        Raises ``UnpinnedHostError`` in strict mode. A request that is not ``encrypted`` (``http://``)
        raises ``InsecureRequestError`` in strict mode, and where the host's policy enforces pins.
        """
        name = self._encode_hostname(host)
        self._require_client(name, server_side=False)
        self._enforcer.admit(name, encrypted)

    def trusted_roots(self, host: str = "") -> tuple[bytes, ...]:
        """The roots that this context has loaded, as DER; for inspection, not for another context.

        A context that is made of them has no pins. ``get_ca_certs()`` raises for that reason.

        Args:
            host: Return the anchors of this host's policy instead, if it has ``trust = FILE``.

        Returns:
            The certificates. OpenSSL reads those of a folder (``SSL_CERT_DIR``) when a handshake
            needs them, so they are missing before that.

        Raises:
            PinError: ``host`` is not a host name or an address.

        """
        store = self._enforcer.state.target(self._encode_hostname(host)).store if host else None
        return tuple(OpenSSLContext.get_ca_certs(store or self, binary_form=True))

    def report_context(self, host: str) -> PinnedSSLContext | None:
        """For a hook that sends reports: the context for an address, ``None`` where no pins hold.

        A pinned host is a pinned host for reports too (RFC 7469 section 2.1.4). The context is a
        strict one of its own, with the pins that are enforced now, and none of the hooks: a failure
        that is met while a report is sent is not reported. ``host`` is normalised.
        """
        state = self._enforcer.state
        if state.target(host).policy is None:
            return None
        return PinnedSSLContext(state.pins, clock=self._enforcer.clock)

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """As ``ssl.SSLContext.wrap_socket``, also for sockets of gevent.

        Raises:
            PinError: The connection was refused, before or after its handshake.
            ConfigError: The socket is eventlet's.
            ValueError: ``server_side`` is true.

        """
        host = self._encode_hostname(server_hostname)
        self._require_client(host, server_side)
        green = green_class_for(sock)
        if green is None:
            tls: ssl.SSLSocket = super().wrap_socket(
                sock, False, do_handshake_on_connect, suppress_ragged_eofs, host, session
            )
        else:
            tls = green(
                sock=sock,
                do_handshake_on_connect=do_handshake_on_connect,
                suppress_ragged_eofs=suppress_ragged_eofs,
                server_hostname=host,
                _context=self,
                _session=session,
            )
        return tls

    def _encode_hostname(self, hostname: str | bytes | None) -> str:
        """Rule 5: the one spelling that policy, SNI and OpenSSL's hostname check all get.

        ``wrap_socket`` and ``wrap_bio`` call it. Python's own reads names by the older IDNA 2003.
        """
        if isinstance(hostname, bytes):
            hostname = hostname.decode("ascii", "replace")
        try:
            return normalise(hostname) if hostname else ""
        except HostError as exc:
            raise self._enforcer.refused(PinError(f"refused: {exc.problem}", fix=exc.fix)) from exc

    def _require_client(self, host: str, server_side: bool) -> None:
        if server_side:
            raise ValueError("a PinnedSSLContext is for clients: give a server an ssl.SSLContext")
        if not host:
            raise self._enforcer.refused(_nameless())

    def _wrap_socket(
        self, sock: Any, server_side: bool, host: str, *, owner: Any, session: Any
    ) -> Gate:
        """Called by ``SSLSocket``, in the place of OpenSSL's own method."""
        return self._guarded(server_side, host, owner, session, sock)

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
        """Called by ``SSLObject``, in the place of OpenSSL's own method."""
        return self._guarded(server_side, server_hostname, owner, session, incoming, outgoing)

    def _guarded(
        self,
        server_side: bool,
        host: str,
        owner: Any,
        session: Any,
        below: Any,
        outgoing: ssl.MemoryBIO | None = None,
    ) -> Gate:
        """Begin a connection: return a gate with OpenSSL's object inside it.

        One long function, because each handshake runs it, and runs it from cold caches: a function
        that it calls costs more to fetch than to run.

        Args:
            server_side: Must be False.
            host: Normalised.
            owner: The object that gets OpenSSL's after the check, if it is ``Pinned``. It is not
                found through OpenSSL's object: gevent passes the socket below it.
            session: The session to resume, or None.
            below: A socket, or the BIO to read from.
            outgoing: The BIO to write into, if ``below`` is one.

        Raises:
            PinError: The connection is refused before its handshake (rules 1, 5 and 9).

        """
        if server_side or not host:
            self._require_client(host, server_side)
        changes = self._verifying_changes
        if changes != self._verified_changes:
            changes = self._require_verification(host)
        enforcer = self._enforcer
        state = enforcer.state
        target = state.target(host)
        if target.policy is None:
            target = enforcer.target(state, host)
        gate = Gate(enforcer, state, target, outgoing)
        if session is not None and not gate.may_resume(session):
            session = None
        store = target.store or self
        if outgoing is None:
            gate.socket = weakref.ref(below)
            gate.guards_certificate = self._has_certificate
            raw = _openssl_socket(store, below, False, host, owner=gate, session=session)
        else:
            raw = _openssl_bio(store, below, outgoing, False, host, owner=gate, session=session)
        # Rule 1, once OpenSSL has copied the settings: another thread may have changed them while
        # it did, or something may have changed them past this class.
        if (
            changes != self._verifying_changes
            or not self.check_hostname
            or flags_of(self) & UNSAFE_FLAGS
        ):
            weakness = self._find_weakness() or "they were being changed"
            raise enforcer.refused(_weakened(host, weakness))
        if isinstance(owner, Pinned):
            owner._check = gate
            owner._context = self
            gate.guard(raw, owner)
        else:
            gate.guard(raw)
        return gate

    def _require_verification(self, host: str) -> int:
        """Rule 1. Returns the count of changes at which the settings were found in order."""
        if weakness := self._find_weakness():
            raise self._enforcer.refused(_weakened(host, weakness))
        return self._verified_changes

    def _state_of(self, pins: PinSet) -> PinState:
        """Rule 10: everything is built before it is put in place."""
        stores = {
            policy.trust.digest: self._store_for(policy.trust)
            for policy in pins.policies
            if policy.trust is not None
        }
        return PinState(pins, stores, self._trust_debug_anchors(pins, stores.values()))

    def _trust_debug_anchors(self, pins: PinSet, stores: Iterable[ssl.SSLContext]) -> DebugAnchors:
        """Rule 11: both the pin set and the environment have to ask for it."""
        debug = pins.debug if os.environ.get(DEBUG_VARIABLE) == "1" else None
        # All are read first: OpenSSL would keep those that it took before it met a bad one.
        anchors = debug.der if debug else ()
        in_force = frozenset(Certificate.from_der(der).sha256 for der in anchors)
        if debug:
            for context in (self, *stores):
                context.load_verify_locations(cadata=b"".join(debug.der))
        self._debug_anchors |= in_force
        return DebugAnchors(in_force, self._debug_anchors - in_force)


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

"""``PinnedSSLContext``: an ``ssl.SSLContext`` that refuses connections its pin set doesn't allow.

Four classes, each derived from the one before it. The rules are in docs/concepts/matching.md.

- ``MirroredContext`` (in ``certpin.x509.contexts``) has several trust stores, and applies each
  setting to all of them (rule 8).
- ``AlpnContext`` (in the same module) has ALPN protocols for each client that shares it.
- ``VerifyingContext`` detects that certificate verification was weakened (rules 1, 2, 3 and 7).
- ``PinnedSSLContext`` begins connections and checks their pins (rules 1, 5, 9, 10 and 11).
"""

from __future__ import annotations

import os
import ssl
import weakref
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from certpin.errors import ConfigError, HostError, PinError
from certpin.pins import normalise, require_clock, utc_now
from certpin.support.forks import ForkedLock
from certpin.tls.check import DebugAnchors, Enforcer, PinState
from certpin.tls.failures import (
    DEBUG_VARIABLE,
    FailureNotifier,
    copied_error,
    list_folder_error,
    no_host_error,
    require_pin_set,
    weakened_error,
)
from certpin.tls.gate import Gate, Pinned, PinnedSSLObject, PinnedSSLSocket, green_class_for
from certpin.x509 import Certificate
from certpin.x509.contexts import STRICTER_FLAGS, AlpnContext, flags_of, host_flags_of
from certpin.x509.openssl import OpenSSLContext, harden, require_loadable
from certpin.x509.revocation import CRL_FLAGS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.tls.failures import FailureHook

# The methods that create OpenSSL's object, which typeshed leaves out. The first argument is the
# context with the trusted roots: the pinned one itself, or one of its stores.
_openssl_socket: Any = OpenSSLContext._wrap_socket
_openssl_bio: Any = OpenSSLContext._wrap_bio

# ``hostname_checks_common_name`` is a bit of ``_host_flags``.
_VERIFYING = frozenset({"verify_mode", "check_hostname", "verify_flags", "_host_flags"})

# Flags of OpenSSL that take dates or critical extensions out of the verification
# (X509_V_FLAG_USE_CHECK_TIME, _IGNORE_CRITICAL, _NO_CHECK_TIME, openssl/x509_vfy.h).
UNSAFE_FLAGS = 0x2 | 0x10 | 0x200000

_NO_COMMON_NAME = 0x20  # X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, openssl/x509v3.h

_HANDSHAKE = 22  # RFC 8446 section 5.1
_TLS_1_3 = 0x304  # RFC 8446 section 4.2.1
_SERVER_KEY_EXCHANGE, _SERVER_HELLO_DONE = 12, 14  # TLS 1.2: RFC 5246 section 7.4
_CERTIFICATE_REQUEST, _CERTIFICATE_VERIFY, _FINISHED = 13, 15, 20  # RFC 8446 section 4
# OpenSSL chooses the client's certificate after CertificateRequest (TLS 1.2), or after
# CertificateVerify (1.3). If the server requests none, or resumes a session, another of these is
# the last message before the client's.
_LAST_MESSAGES = frozenset(
    {_CERTIFICATE_REQUEST, _SERVER_HELLO_DONE, _CERTIFICATE_VERIFY, _FINISHED}
)
# Messages for which the server needs its key, or that of the session that it resumes.
_PROOFS = frozenset({_SERVER_KEY_EXCHANGE, _CERTIFICATE_VERIFY, _FINISHED})

# The classes of connections: with Python's own, a socket could fall back to clear text.
_CHECKING_CLASSES = frozenset({"sslsocket_class", "sslobject_class"})


class VerifyingContext(AlpnContext):
    """A context that detects whether its certificate verification was weakened.

    A client library can change the verification settings of the context that it was given, also in
    another thread. OpenSSL copies the settings when a connection begins. So this class counts each
    change before it is made. If the count has changed when OpenSSL has copied the settings, the
    connection is refused.

    A change that bypasses this class, by a property of a base class or by ``object.__setattr__``,
    is not counted. So each connection also reads the settings after OpenSSL copied them. Only
    ``verify_mode`` is not read, because Python refuses ``CERT_NONE`` while ``check_hostname`` is
    on. See rule 1 of docs/concepts/matching.md.
    """

    _verifying_changes = 0
    _verified_changes = -1  # the count at which the settings were last found safe

    def __init__(self) -> None:
        super().__init__()
        # Handshakes wait for it, so a thread has it only while it changes or reads settings.
        self._verifying = ForkedLock()

    def set_psk_client_callback(self, callback: object) -> None:
        """Raise ``ConfigError``: with a pre-shared key, a server presents no certificate chain.

        Such a connection also looks like a resumed session. The callback ``None`` is accepted, and
        does nothing.
        """
        if callback is not None:
            raise ConfigError(
                "a pre-shared key shows no chain to look for a pin in",
                key="set_psk_client_callback",
                fix="authenticate the server by its certificate",
            )

    def _find_weakness(self) -> str:
        """Return a description of the verification setting that was weakened; empty if none was.

        If none was weakened, also store the number of changes that were made to these settings so
        far. A new connection compares this number with the current one. It calls this method only
        if they differ, or to describe why the connection is refused.
        """
        with self._verifying.held:  # waits for a change that another thread is making
            if self.verify_mode != ssl.CERT_REQUIRED:
                return f"verify_mode is {self.verify_mode!r}"
            if not self.check_hostname:
                return "check_hostname is off"
            if not host_flags_of(self) & _NO_COMMON_NAME:
                return "hostname_checks_common_name is on"
            if self.verify_flags & UNSAFE_FLAGS:
                return f"verify_flags are {self.verify_flags!r}"
            self._verified_changes = self._verifying_changes
            return ""

    def _guard_certificate(self, context: ssl.SSLContext) -> None:
        """Make OpenSSL call the pin check before it sends a client certificate from this context.

        Only this check gives the connection the client certificate (``Gate.before_last_flight``).
        See rule 3 of docs/concepts/matching.md.
        """
        # Not by SSLContext's property of this name: it makes three enumerations for each message.
        OpenSSLContext._msg_callback.__set__(context, _on_message)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "verify_flags":
            # Rule 7. As a number: the complement of a flag has only the flags that Python knows.
            value = int(value) & ~int(ssl.VERIFY_X509_PARTIAL_CHAIN)
        elif name == "options":
            value |= ssl.OP_NO_RENEGOTIATION  # rule 3: no other certificate after the check
        elif name in _CHECKING_CLASSES:
            raise AttributeError(
                f"{name} cannot be replaced: another class would not check (rule 3)"
            )
        if name in _VERIFYING:
            self._change_verification(name, value)
        else:
            super().__setattr__(name, value)

    def _change_verification(self, name: str, value: Any) -> None:
        # In this order: a thread that waits for the settings of a context must not hold up the
        # handshakes, which wait for the second lock.
        with self._configuring.held, self._verifying.held:
            if getattr(self, name) == value:
                return  # urllib3 sets the same again with each connection
            self._verifying_changes += 1
            super().__setattr__(name, value)


def _on_message(
    gate: Any, direction: str, version: int, content_type: int, message_type: int, data: bytes
) -> None:
    # OpenSSL calls this function before it reads the message. The first argument is the gate, as
    # OpenSSL's "owner", until the gate has stepped aside.
    if content_type != _HANDSHAKE or direction != "read" or type(gate) is not Gate:
        return
    if message_type in _PROOFS:
        gate.has_proved_key = True
    if message_type in _LAST_MESSAGES and not (
        version == _TLS_1_3 and message_type == _CERTIFICATE_REQUEST  # before the certificate
    ):
        gate.before_last_flight()


class PinnedSSLContext(VerifyingContext):
    """An ``ssl.SSLContext`` for clients that enforces a pin set.

    Pass it to any library that takes an ``ssl.SSLContext``. Connecting raises ``PinError`` (an
    ``ssl.SSLCertVerificationError``) if a rule of ``certpin.tls`` refuses the connection, and the
    errors of ``ssl`` otherwise. Not checked: revocation, unless the app loads revocation lists and
    sets ``verify_flags``; and Certificate Transparency, unless the policy requires it
    (``require_ct``).

    Args:
        pins: The pin set to enforce.
        strict: Refuse hosts without a policy. If False, connections to such hosts are accepted
            after the usual verification by OpenSSL, without a pin check.
        clock: Returns the current time with a time zone.
        on_failure: Functions that are called with a ``PinFailure`` for each failure, in a separate
            thread. A ``Reporter`` among them sends it to the policy's ``report_to``.

    Raises:
        ConfigError: ``pins`` is no ``PinSet``, ``clock`` returns a time without a time zone, or
            ``on_failure`` is not a list of functions, or one of them is asynchronous.
    """

    sslsocket_class = PinnedSSLSocket
    sslobject_class = PinnedSSLObject

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create the object as ``ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)`` does.

        The arguments of this method are for ``__init__``.
        """
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(
        self,
        pins: PinSet,
        *,
        strict: bool = True,
        clock: Callable[[], datetime] = utc_now,
        on_failure: Iterable[FailureHook] = (),
    ) -> None:
        require_pin_set(pins)
        require_clock(clock)
        super().__init__()
        harden(self)
        self.load_default_certs()
        notifier = FailureNotifier(on_failure)
        state = self._state_of(pins, _debug_anchors_of(pins), DebugAnchors())
        self._enforcer = Enforcer(state, strict, clock, notifier)
        self._enforcer.attach(self)

    @property
    def pins(self) -> PinSet:
        """The pin set that is enforced now."""
        return self._enforcer.state.pins

    @property
    def clock(self) -> Callable[[], datetime]:
        """The function that returns the current time with a time zone."""
        return self._enforcer.clock

    @property
    def strict(self) -> bool:
        """True if a host without a policy is refused."""
        return self._enforcer.strict

    def swap(self, pins: PinSet, *, recover: bool = False) -> None:
        """Enforce another pin set from now on. Connections that are already open stay open.

        But the clients of ``certpin.clients`` send no request on a connection that they kept, if
        the new pins don't match its chain.

        Args:
            pins: the pin set to enforce.
            recover: True to accept a lower version. ``PinUpdater`` passes it after keys that sign
                pin sets were stolen and replaced (TUF 1.0.31, 5.3.11). No other caller should use
                it.

        Raises:
            ConfigError: ``pins`` is no ``PinSet``; or, without ``recover``, its version is lower
                than the current one, or equal to it although the content differs.
            CertificateParseError: OpenSSL can't read a trust anchor. The current pins stay.
        """
        require_pin_set(pins)
        with self._configuring.held:
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
            if debug := _debug_anchors_of(pins):
                # A connection that meets them while they are loaded must not accept them: if its
                # host is not pinned, it would do so without a warning (rule 11).
                loading = frozenset(anchor.sha256 for anchor in debug)
                self._enforcer.state = self._enforcer.state.refusing(loading)
            self._enforcer.state = self._state_of(pins, debug, self._enforcer.state.debug)
        self._enforcer.attach(self)

    def admit(self, host: str, *, encrypted: bool = True) -> None:
        """Check that a request to this host is allowed, before a client adapter connects.

        Args:
            host: The host of the request, as in the URL.
            encrypted: False for a request in clear text (``http://``).

        Raises:
            UnpinnedHostError: No policy covers the host, in strict mode.
            InsecureRequestError: The request is in clear text, and the context is strict or the
                host's policy enforces pins. If the policy only reports, it is reported.
            PinError: ``host`` is empty, or not a host name or an address.
        """
        name = self._encode_hostname(host)
        if not name:
            raise self._enforcer.record_refusal(no_host_error(of_url=True))
        self._enforcer.admit(name, encrypted)

    def trusted_roots(self, host: str = "") -> tuple[bytes, ...]:
        """Return the roots that this context has loaded, as DER, for inspection.

        Don't make another context from them: it would check no pins. For that reason
        ``get_ca_certs()`` raises an error.

        Args:
            host: If given, return the roots that are used for this host. They are the anchors of
                its policy if the policy has ``trust = FILE``.

        Returns:
            The certificates. OpenSSL reads the certificates of a folder (``SSL_CERT_DIR``) only
            when a handshake needs them, so they are missing before that.

        Raises:
            PinError: ``host`` is not a host name or an address.
        """
        store = self._enforcer.state.target(self._encode_hostname(host)).store if host else None
        return tuple(OpenSSLContext.get_ca_certs(store or self, binary_form=True))

    def get_ca_certs(self, binary_form: bool = False) -> NoReturn:
        """Raise ``ContextCopyError``: a context made from the returned roots would check no pins.

        ``trusted_roots()`` returns the roots for inspection.
        """
        raise copied_error("get_ca_certs()")

    def cert_store_stats(self) -> NoReturn:
        """Raise ``ContextCopyError``: libraries call this method when they copy a context.

        A copy would check no pins.
        """
        raise copied_error("cert_store_stats()")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        """Raise ``ContextCopyError``, so that ``copy``, ``deepcopy`` and ``pickle`` fail.

        A copy of the context would check no pins.
        """
        raise copied_error("copy or pickle")

    def report_context(self, host: str) -> PinnedSSLContext | None:
        """Return the context for sending reports to a host, or None if no policy covers the host.

        Pins apply to reports too (RFC 7469 section 2.1.4). The context is separate and strict, with
        the current pins, revocation lists and stricter flags, and without hooks: a failure to send
        a report is not reported.

        Args:
            host: The normalised host of the address that reports are sent to.
        """
        state = self._enforcer.state
        if state.target(host).policy is None:
            return None
        context = PinnedSSLContext(state.pins, clock=self._enforcer.clock)
        context.follow_revocation(self)
        return context

    def wrap_socket(
        self,
        sock: socket.socket,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> PinnedSSLSocket:
        """Return a TLS socket for a connection, as ``ssl.SSLContext.wrap_socket`` does.

        Sockets of gevent are accepted too. The result for them is a gevent socket with the same
        attributes.

        Raises:
            PinError: The connection was refused, before or after its handshake.
            ConfigError: The socket is eventlet's.
            ValueError: ``server_side`` is true.
        """
        host = self._encode_hostname(server_hostname)
        self._require_client(host, server_side)
        tls: Any = super().wrap_socket(
            sock, False, do_handshake_on_connect, suppress_ragged_eofs, host, session
        )
        return cast("PinnedSSLSocket", tls)

    def _green_class(self, sock: socket.socket) -> Any:
        return green_class_for(sock)

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> PinnedSSLObject:
        """Return a TLS object over memory buffers, as ``ssl.SSLContext.wrap_bio`` does.

        Raises:
            PinError: The connection was refused before its handshake.
            ValueError: ``server_side`` is true.
        """
        host = self._encode_hostname(server_hostname)
        if server_side or not host:  # before Python 3.14 looks at the name
            self._require_client(host, server_side)
        make: Any = self.sslobject_class
        tls = make._create(incoming, outgoing, server_hostname=host, session=session, context=self)
        return cast("PinnedSSLObject", tls)

    def _encode_hostname(self, hostname: str | bytes | None) -> str:
        """Return the normalised form of a host for the policy, SNI and OpenSSL's hostname check.

        ``wrap_socket`` and ``wrap_bio`` call this method. It replaces the conversion of Python's
        ``ssl``, which follows the older IDNA 2003. Raises ``PinError`` if the text is not a host.
        Return an empty text if there is no host (None or empty): the callers then refuse the
        connection.

        See rule 5 of docs/concepts/matching.md.
        """
        if isinstance(hostname, bytes):
            hostname = hostname.decode("ascii", "replace")
        try:
            return normalise(hostname) if hostname else ""
        except HostError as exc:
            raise self._enforcer.record_refusal(
                PinError(f"refused: {exc.problem}", fix=exc.fix)
            ) from exc

    def _require_client(self, host: str, server_side: bool) -> None:
        if server_side:
            raise ValueError("a PinnedSSLContext is for clients: give a server an ssl.SSLContext")
        if not host:
            raise self._enforcer.record_refusal(no_host_error())

    def _wrap_socket(
        self, sock: Any, server_side: bool, host: str, *, owner: Any, session: Any
    ) -> Gate:
        """Begin a TLS connection on a socket, and return a ``Gate``, which checks the pins.

        ``SSLSocket`` calls this method to get OpenSSL's object of the connection, and uses the
        ``Gate`` in its place.
        """
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
        """Begin a TLS connection over two BIOs, and return a ``Gate``, which checks the pins.

        ``SSLObject`` calls this method to get OpenSSL's object of the connection, and uses the
        ``Gate`` in its place.
        """
        return self._guarded(server_side, server_hostname, owner, session, incoming, outgoing)

    def _guarded(  # noqa: C901  # for speed
        self,
        server_side: bool,
        host: str,
        owner: Any,
        session: Any,
        below: Any,
        outgoing: ssl.MemoryBIO | None = None,
    ) -> Gate:
        """Begin a connection, and return a ``Gate`` around OpenSSL's object, which checks the pins.

        This is one long function for speed: each handshake runs it from cold caches, in which a
        call of another function costs more than its code.

        Args:
            server_side: Must be False.
            host: The normalised host.
            owner: The socket or ``SSLObject`` of the connection; for gevent, the plain socket below
                it. If the owner is a ``Pinned`` object, the gate gives it OpenSSL's object after
                the check.
            session: The TLS session to resume, or None.
            below: A socket, or the BIO to read from.
            outgoing: The BIO to write into, if ``below`` is a BIO.

        Raises:
            PinError: The connection is refused before its handshake (rules 1, 5 and 9 of
                docs/concepts/matching.md).
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
            target = enforcer.require_target(state, host)
        gate = Gate(enforcer, state, target, outgoing)
        store: Any = target.store or self
        gate.identity = store._client_identity
        raw: Any = None
        if outgoing is None:
            gate.socket_ref = weakref.ref(below)
            if not self._has_wrappers:
                raw = _openssl_socket(store, below, False, host, owner=gate, session=None)
        elif not self._has_wrappers:
            raw = _openssl_bio(store, below, outgoing, False, host, owner=gate, session=None)
        # Read again: another thread may have made the first wrapper since. OpenSSL may then have
        # copied the ALPN protocols of another client, so the object is made again, under the lock.
        if self._has_wrappers:
            begin = _openssl_socket if outgoing is None else _openssl_bio
            ends = (below,) if outgoing is None else (below, outgoing)
            raw = self._begin_with_alpn(begin, store, *ends, False, host, owner=gate, session=None)
        # Rule 1, once OpenSSL has copied the settings: another thread may have changed them while
        # it did, or something may have changed them past this class.
        if (
            changes != self._verifying_changes
            or not self.check_hostname
            or not host_flags_of(self) & _NO_COMMON_NAME
            or flags_of(self) & UNSAFE_FLAGS
        ):
            weakness = self._find_weakness() or "they were being changed"
            raise enforcer.record_refusal(weakened_error(host, weakness))
        if store is not self and flags_of(self) & STRICTER_FLAGS:
            self._require_stricter(host, store)
        gate._raw = raw
        if session is not None:
            gate.session = session
        if isinstance(owner, Pinned):
            gate._owner = weakref.ref(owner)
            owner._check = gate
            owner._context = self
        return gate

    def _require_verification(self, host: str) -> int:
        """Raise ``WeakenedContextError`` if a verification setting was weakened.

        Return the number of changes that were made to these settings so far. If this number changes
        while ``_guarded`` begins a connection, ``_guarded`` refuses the connection.
        """
        if weakness := self._find_weakness():
            raise self._enforcer.record_refusal(weakened_error(host, weakness))
        return self._verified_changes

    def _require_stricter(self, host: str, store: ssl.SSLContext) -> None:
        """Raise ``WeakenedContextError`` if a store does not verify as strictly as this context.

        Each change of ``verify_flags`` is applied to the stores, except a change that bypasses this
        class. Revocation lists of a folder are not applied to them.
        """
        flags = flags_of(self)
        if flags & CRL_FLAGS and self._has_folder:
            raise self._enforcer.record_refusal(list_folder_error(host))
        if flags & STRICTER_FLAGS & ~flags_of(store):
            weakness = "verify_flags were set in a way that does not apply to its trust file"
            raise self._enforcer.record_refusal(weakened_error(host, weakness))

    def _state_of(
        self, pins: PinSet, debug: Sequence[Certificate], before: DebugAnchors
    ) -> PinState:
        """Return the state that enforces a pin set: its pins, trust stores and debug anchors.

        The debug anchors are loaded into this context and its stores. The caller makes the result
        the current state by one assignment (rule 10 of docs/concepts/matching.md).

        Args:
            pins: The pin set.
            debug: Its debug anchors; empty if the debug override is off.
            before: The debug anchors that were loaded into this context earlier.
        """
        stores = {
            trust.digest: self._store_for(trust.digest, trust.der, trust.strict)
            for trust in (policy.trust for policy in pins.policies)
            if trust is not None
        }
        if debug:
            for context in (self, *stores.values()):
                context.load_verify_locations(cadata=b"".join(anchor.der for anchor in debug))
        in_force = frozenset(anchor.sha256 for anchor in debug)
        return PinState(pins, stores, before.replaced_by(in_force))


def _debug_anchors_of(pins: PinSet) -> tuple[Certificate, ...]:
    """Return a pin set's debug anchors; empty if the debug override is off.

    Debug anchors are trust anchors for development: chains to them are accepted without a matching
    pin. The override is on only if the pin set has a debug section and the environment has
    ``CERTPIN_DEBUG=1`` (rule 11 of docs/concepts/matching.md).

    Raises:
        CertificateParseError: OpenSSL can't read an anchor. All are tried here, because a context
            that fails to load one of several anchors keeps those before it.
    """
    if pins.debug is None or os.environ.get(DEBUG_VARIABLE) != "1":
        return ()
    anchors = tuple(map(Certificate.from_der, pins.debug.der))
    require_loadable(anchors)
    return anchors

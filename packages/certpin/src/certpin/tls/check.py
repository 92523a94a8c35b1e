"""The pin state of a context, and the pin check of each connection.

The numbers of the rules are those of docs/concepts/matching.md. The classes, in the order in which
a connection uses them:

- ``PinState`` is the pin set with its trust stores, replaced as a whole (rule 10). ``TargetHost``
  is one host in it, with the chains that already matched its pins.
- ``Enforcer`` holds the current state, refuses hosts without a policy (rule 9), and records each
  refusal (rule 12).
- ``SessionMemory`` stores the TLS sessions that may be resumed (rule 4).
- ``PinCheck`` compares the verified chain of one connection with the pins (rules 2, 6, 11 and 13).
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from contextlib import suppress
from copy import copy
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from certpin.errors import (
    CertificateParseError,
    InsecureRequestError,
    PinError,
    UnverifiedSessionError,
)
from certpin.pins import verify
from certpin.support.forks import ForkedLock
from certpin.tls.failures import (
    ContactedServer,
    PinFailure,
    clear_text_error,
    current_request,
    explain_refusal,
    late_check_error,
    reason_of,
    trust_changed_error,
    unpinned_error,
    unreadable_chain_error,
    unsigned_exchange_error,
    warn_of_debug_override,
)
from certpin.x509 import Chain
from certpin.x509.openssl import served_chain, strict_advice, verified_chain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from certpin.pins import HostPolicy, PinSet, Verdict
    from certpin.pins.verdict import Decision
    from certpin.tls.failures import FailureNotifier, RequestTarget, Unverified

_UNKNOWN_SERVER = ContactedServer()
_SESSIONS = 256  # that are remembered
_HOSTS = 4096  # hosts of one context that are kept resolved
_CHAINS = 64  # chains of one host that are kept judged


class MatchedChain(NamedTuple):
    """A chain that matched the pins of a host, with the verdict, cached for later handshakes.

    ``certificates`` is the chain as OpenSSL's objects, and ``chain`` has the same certificates as
    DER. ``expires`` is the time from which the host's policy no longer holds, and with it the
    verdict; None if the policy doesn't expire.
    """

    certificates: list[Any]
    chain: tuple[bytes, ...]
    verdict: Verdict
    expires: datetime | None  # the moment from which its policy no longer holds


class TargetHost:
    """A host with its policy and its trust store under one version of the pin set.

    ``policy`` is None if no policy covers the host. ``store`` is a TLS context that trusts only the
    anchors of the policy; None if the host uses the platform's roots. ``last_match`` is the newest
    chain that matched the pins, with its verdict; None before the first match. When the pin set is
    replaced, each host gets a new object.
    """

    __slots__ = ("_matched", "host", "last_match", "policy", "store")

    def __init__(self, host: str, policy: HostPolicy | None, store: ssl.SSLContext | None) -> None:
        self.host = host
        self.policy = policy
        self.store = store
        self._matched: dict[tuple[bytes, ...], Verdict] = {}
        self.last_match: MatchedChain | None = None

    def judge(
        self,
        chain: tuple[bytes, ...],
        clock: Callable[[], datetime],
        debug_anchors: frozenset[bytes],
    ) -> Verdict | None:
        """Return the verdict on a verified chain, or None if no policy covers the host.

        Verdicts with the reason ``match`` are cached until the policy expires. The dates of the
        certificates can't make a cached verdict wrong, because OpenSSL checks them in each
        handshake. All other verdicts (refused, or accepted by the debug override or after expiry)
        are computed each time.

        Args:
            chain: The certificates as DER, leaf first.
            clock: Returns the current time. Not called for a cached verdict of a policy without an
                expiry.
            debug_anchors: The fingerprints of the debug anchors that are accepted now (see
                ``DebugAnchors``).

        Raises:
            CertificateParseError: A certificate isn't strict DER.
        """
        policy = self.policy
        if policy is None:
            return None
        seen = self._matched.get(chain)
        if seen is not None and (policy.expires is None or not policy.expired(clock())):
            return seen
        verdict = verify(
            Chain.from_der(chain) if chain else None, policy, clock(), debug_anchors=debug_anchors
        )
        if verdict.reason == "match":
            if len(self._matched) >= _CHAINS:
                self._matched.clear()
            self._matched[chain] = verdict
        return verdict


class DebugAnchors(NamedTuple):
    """SHA-256 fingerprints of the debug override's trust anchors.

    The debug override is for development: with ``CERTPIN_DEBUG=1``, a context accepts chains to the
    anchors in the ``[debug]`` section of its pin set without a matching pin. ``in_force`` are the
    anchors that are accepted now. ``withdrawn`` are those of an earlier pin set: OpenSSL still
    trusts them, but a chain that ends at one is refused.
    """

    in_force: frozenset[bytes] = frozenset()
    withdrawn: frozenset[bytes] = frozenset()

    def ended(self, chain: tuple[bytes, ...]) -> bool:
        """Return True if a chain ends at an anchor that is no longer accepted.

        Such a chain is never accepted. ``chain`` has the certificates as DER, leaf first. If it
        is empty, the result is False.
        """
        return bool(chain) and sha256(chain[-1]).digest() in self.withdrawn

    def replaced_by(self, anchors: frozenset[bytes]) -> DebugAnchors:
        """Return the debug anchors for a new pin set, which has these anchors (fingerprints).

        All other known anchors become withdrawn: OpenSSL can't remove them from its trust store.
        """
        return DebugAnchors(anchors, (self.in_force | self.withdrawn) - anchors)


class PinState:
    """A pin set with a trust store for each of its ``trust`` settings, and debug anchors.

    Immutable. ``stores`` maps ``TrustAnchors.digest`` to the store. ``target`` is a function that
    returns a normalised host's policy and trust store, as a ``TargetHost``; results are cached.
    """

    def __init__(
        self,
        pins: PinSet,
        stores: Mapping[bytes, ssl.SSLContext],
        debug: DebugAnchors,
    ) -> None:
        self.pins = pins
        self.debug = debug
        self._stores = stores
        self.target = lru_cache(maxsize=_HOSTS)(self._target)

    def refusing(self, anchors: frozenset[bytes]) -> PinState:
        """Return a copy of this state that also refuses chains to these debug anchors.

        The context uses the copy while it loads the debug anchors of a new pin set. ``anchors`` are
        their fingerprints. Those that are already in force stay accepted.
        """
        in_force, withdrawn = self.debug
        withdrawn |= anchors - in_force
        return PinState(self.pins, self._stores, DebugAnchors(in_force, withdrawn))

    def _target(self, host: str) -> TargetHost:
        policy = self.pins.policy_for(host)
        trust = policy.trust if policy else None
        return TargetHost(host, policy, self._stores[trust.digest] if trust else None)


class Enforcer:
    """The pin enforcement that all connections of one SSL context share.

    It has the current pin set, refuses connections, and records failures. ``state`` is the pin set
    with its trust stores, and is replaced as a whole (rule 10 of docs/concepts/matching.md).
    ``strict`` is True if a host without a policy is refused.
    """

    def __init__(
        self,
        state: PinState,
        strict: bool,
        clock: Callable[[], datetime],
        notifier: FailureNotifier,
    ) -> None:
        self.state = state
        self.strict = strict
        self.clock = clock
        self.sessions = SessionMemory()
        self._notifier = notifier

    def attach(self, context: object) -> None:
        """Pass the SSL context, with new pins, to the hooks that use its pins (``Reporter``)."""
        for hook in self._notifier.prompt:
            hook.attach(context)  # type: ignore[attr-defined]  # hooks of this kind have it

    def require_target(self, state: PinState, host: str) -> TargetHost:
        """Return a normalised host with its policy and its trust store, as a ``TargetHost``.

        ``state`` is the pin set in force. If no policy covers the host, raise ``UnpinnedHostError``
        in strict mode; otherwise the policy and the store of the result are ``None``.
        """
        target = state.target(host)
        if target.policy is None and self.strict:
            raise self.record_refusal(unpinned_error(host, state.pins.name))
        return target

    def admit(self, host: str, encrypted: bool) -> None:
        """Raise ``PinError`` if a request to this host must not be sent. Called before connecting.

        Strict mode requires a policy for the host. A request in clear text (``encrypted`` is False)
        is refused in strict mode, and if the host's policy enforces pins. If the policy only
        reports, the request is accepted, and is logged and reported with the reason
        ``InsecureRequestError``.
        """
        policy = self.state.target(host).policy
        if not encrypted and (self.strict or (policy is not None and policy.mode == "enforce")):
            raise self.record_refusal(clear_text_error(host))
        self.require_target(self.state, host)
        if not encrypted and policy is not None:
            self._record(host, "report", InsecureRequestError.__name__, _UNKNOWN_SERVER)

    def record_refusal(
        self, error: PinError, server: ContactedServer = _UNKNOWN_SERVER
    ) -> PinError:
        """Log a refused connection, call the failure hooks, and return ``error`` to be raised.

        ``server`` has the certificates that the server sent, and the port.
        """
        verdict: Verdict | None = getattr(error, "verdict", None)
        reason = type(error).__name__ if verdict is None else verdict.reason
        self._record(error.host, "refuse", reason, server, verdict, error)
        return error

    def record_unverified(
        self,
        host: str,
        reason: Unverified,
        server: ContactedServer,
        error: ssl.SSLCertVerificationError,
    ) -> None:
        """Log and report that OpenSSL refused the chain of a host that has a policy.

        For a host without a policy, nothing is logged or reported. But if its chain breaks only a
        rule of strict verification (``VERIFY_X509_STRICT``), advice is added to ``error`` as a
        note.

        Args:
            host: the host of the connection.
            reason: why the chain was refused, as a fixed word for logs and reports.
            server: the certificates that the server sent, and the port.
            error: the error of OpenSSL.
        """
        if self.state.target(host).policy is not None:
            self._record(host, "refuse", reason, server, None, error)
            return
        if advice := strict_advice(error.verify_code):
            error.add_note(f"fix: {advice}")

    def record_acceptance(self, verdict: Verdict, host: str, server: ContactedServer) -> None:
        """Log and report a connection that was accepted although no pin matched.

        ``verdict`` has the reason, such as expired pins. ``server`` has the certificates that the
        server sent, and the port.
        """
        self._record(host, verdict.decision, verdict.reason, server, verdict)
        if verdict.reason == "debug-anchor":
            warn_of_debug_override(host)

    def record_debug_acceptance(self, host: str, server: ContactedServer) -> None:
        """Log and report that the debug override accepted a connection to a host without a policy.

        The debug override is for development: with ``CERTPIN_DEBUG=1``, certificates below a debug
        anchor are accepted without a matching pin.
        """
        self._record(host, "accept", "debug-anchor", server)
        warn_of_debug_override(host)

    def _record(
        self,
        host: str,
        decision: Decision,
        reason: str,
        server: ContactedServer,
        verdict: Verdict | None = None,
        error: ssl.SSLCertVerificationError | None = None,
    ) -> None:
        state = self.state
        current = state.target(host).policy if host else None
        self._notifier.notify(
            PinFailure(
                host,
                decision,
                reason,
                self.clock(),
                state.pins.name,
                state.pins.version,
                # A copy: the traceback of the error itself would keep the connection alive.
                copy(error),
                verdict,
                current if verdict is None else verdict.policy,
                server.served,
                server.port or current_request().port_of(host),
            )
        )


class _Verified(NamedTuple):
    session: ssl.SSLSession
    target: TargetHost
    chain: tuple[bytes, ...]


class SessionMemory:
    """The newest 256 TLS sessions that a context verified, each with its host and chain.

    When a session is resumed, the server sends no certificates (RFC 8446 section 2.2), so OpenSSL
    verifies no chain, no name and no date. So a session is resumed only for the host for which its
    chain was verified. Clients that mixed up the sessions of two hosts could be attacked
    (CVE-2021-22890). Sessions are compared by object identity and not by their IDs, which the
    server chooses. See rule 4 of docs/concepts/matching.md.
    """

    def __init__(self) -> None:
        self._lock = ForkedLock()
        self._verified: OrderedDict[int, _Verified] = OrderedDict()

    def remember(
        self, session: ssl.SSLSession, target: TargetHost, chain: tuple[bytes, ...]
    ) -> None:
        """Store the session of a connection with its target host and its verified chain.

        If there are too many, the oldest is dropped: ``recall`` then refuses to resume it.
        """
        with self._lock.held:
            self._verified[id(session)] = _Verified(session, target, chain)
            self._verified.move_to_end(id(session))  # also one that was stored before is new again
            while len(self._verified) > _SESSIONS:
                self._verified.popitem(last=False)

    def recall(
        self, session: ssl.SSLSession, target: TargetHost, now: datetime
    ) -> tuple[bytes, ...] | None:
        """Return the chain that was verified for a TLS session; None if it must not be resumed.

        A session may be resumed only for the ``TargetHost`` object for which it was stored. After a
        change of the pin set, each host has a new object, so old sessions are not resumed. A
        session must not be resumed either if a certificate of its chain has expired or has an
        unreadable date.
        """
        known = self._verified.get(id(session))
        if known is None or known.session is not session or known.target is not target:
            return None
        return known.chain if _in_time(known.chain, now) else None


def _in_time(chain: tuple[bytes, ...], now: datetime) -> bool:
    try:
        certificates = Chain.from_der(chain).certificates
        return all(now <= certificate.not_after for certificate in certificates)
    except CertificateParseError:
        return False


class PinCheck:
    """The pin check of one connection.

    The check is created when the connection begins. It runs after the handshake (``judge``), or, if
    the client has a certificate, before the client sends it (``judge_early``).

    ``PinCheck`` is the base class of ``Gate``, the object in the place of OpenSSL's until the check
    is done, so that each handshake creates one object and not two. The constructor of ``Gate`` sets
    the attributes. In the methods, ``raw`` is OpenSSL's object of the connection.

    Attributes:
        accepted: True once the connection was checked and accepted, also if no policy covers the
            host.
        has_proved_key: True if the server sent a message that it can't send without its private
            key.
        identity: the context with the client certificate; None if the client has none.
        socket_ref: returns the socket of the connection; or None if there is none.
        target: the host, with its policy and its trust store.
        verdict: the verdict on the chain; None before the check, and if no policy covers the host.
    """

    __slots__ = (
        *("_request", "_chain", "_enforcer", "_judged_for", "_resumed", "_state"),
        *("accepted", "has_proved_key", "identity", "socket_ref", "target", "verdict"),
    )

    accepted: bool  # True once the connection was checked and accepted
    has_proved_key: bool  # the server sent a message that it can't send without its key
    identity: ssl.SSLContext | None  # the context with the client certificate, if there is one
    socket_ref: Callable[[], Any]  # returns the socket, or None (a weak reference)
    target: TargetHost
    verdict: Verdict | None  # None until the check, and if no policy covers the host
    _request: RequestTarget  # the handshake may run in another thread
    _chain: tuple[bytes, ...]
    _enforcer: Enforcer
    _judged_for: PinState | None  # the state under which the chain passed
    _resumed: tuple[bytes, ...] | None  # the chain of the session that OpenSSL offers
    _state: PinState

    def chain_of(self, session: ssl.SSLSession) -> tuple[bytes, ...] | None:
        """Return the chain that was verified for a TLS session; None if it must not be resumed."""
        enforcer = self._enforcer
        return enforcer.sessions.recall(session, self.target, enforcer.clock())

    def remember(self, session: ssl.SSLSession) -> None:
        """Store a session of this connection for resumption, if its chain was accepted."""
        if self._chain:
            self._enforcer.sessions.remember(session, self.target, self._chain)

    def judge_early(self, raw: Any) -> None:
        """Check the pins before the client gets its certificate. Raises ``PinError``.

        ``raw`` is OpenSSL's object of the connection. OpenSSL has already verified the chain. It
        verifies the server's signature over the handshake (RFC 8446 4.4.3, RFC 5246 7.4.3) before
        it sends the certificate.

        With RSA key exchange (RFC 5246 7.4.7.1), a TLS 1.2 server signs nothing. When the client
        sends its certificate, the server has not yet proved that it has its key: an attacker needs
        only a copy of the server's public certificate. So a connection with RSA key exchange is
        refused.
        """
        self.judge(raw)
        if not self.has_proved_key:
            error = unsigned_exchange_error(self.target.host)
            raise self._enforcer.record_refusal(error, self._server_of(raw))

    def must_judge(self, raw: Any) -> bool:
        """Return True if the chain has to be compared with the pins after the handshake.

        Return False if ``judge_early`` already accepted this chain under the current pins. ``raw``
        is OpenSSL's object of the connection.

        Raises:
            WeakenedContextError: the context has a client certificate, and the connection has none.
                ``judge_early`` sets it, so that check did not run.
        """
        if raw.context is not self.identity:
            raise self._enforcer.record_refusal(
                late_check_error(self.target.host), self._server_of(raw)
            )
        judged_for = self._judged_for
        return judged_for is not self._enforcer.state or self._chain != self._verified_chain(raw)

    def judge(self, raw: Any) -> None:
        """Compare the chain that OpenSSL verified with the pins, and store the verdict.

        ``raw`` is OpenSSL's object of the connection. Raises ``PinError`` to refuse the connection.
        """
        enforcer = self._enforcer
        if enforcer.state is not self._state:
            self._follow_swap(enforcer.state, raw)
        target = self.target
        # OpenSSL compares the certificates with those of the last match (X509_cmp: the SHA-1 of the
        # whole, and each byte that is signed): a tenth of the time of writing them as DER.
        certificates = None if raw.session_reused else raw.get_verified_chain()
        last = target.last_match
        if (
            last is not None
            and last.certificates == certificates
            and (last.expires is None or not last.verdict.policy.expired(enforcer.clock()))
        ):
            # Withdrawn debug anchors are not looked up again: `_verify` raises for a chain that
            # ends at one, so it never becomes `last_match`, and each new state has new targets.
            self._chain = last.chain
            self.verdict = last.verdict
        else:
            self._chain, self.verdict = chain, verdict = self._verify(raw)
            if certificates is not None and verdict is not None and verdict.reason == "match":
                target.last_match = MatchedChain(
                    certificates, chain, verdict, verdict.policy.expires
                )
        self._judged_for = self._state

    def holds(self) -> bool:
        """Return True if the pins in force accept the chain of this accepted connection, too.

        This is a check without I/O, and it is needed only if the pin set was replaced since the
        last one. The result is False for every other verdict than a match: also if the policy only
        reports, has expired, or has another trust store. Then the client makes a new connection,
        and the check of its handshake decides, records and reports.
        """
        enforcer = self._enforcer
        state = enforcer.state
        if state is self._judged_for:
            return True
        target, chain = state.target(self.target.host), self._chain
        if target.store is not self.target.store or state.debug.ended(chain):
            return False
        try:
            verdict = target.judge(chain, enforcer.clock, state.debug.in_force)
        except CertificateParseError:
            return False
        accepted = not enforcer.strict if verdict is None else verdict.reason == "match"
        if not accepted:
            return False
        self._state, self.target, self.verdict = state, target, verdict
        self._judged_for = state
        return True

    def _verify(self, raw: Any) -> tuple[tuple[bytes, ...], Verdict | None]:
        enforcer = self._enforcer
        try:
            chain = self._verified_chain(raw)
            if self._state.debug.withdrawn:
                self._require_another_anchor(chain)
            verdict = self.target.judge(chain, enforcer.clock, self._state.debug.in_force)
            if verdict is None:
                self._pass_unpinned(chain, raw)
            elif verdict.reason != "match":
                host = self.target.host
                verdict.raise_for_refusal(host, self._request.known_port(host))
                enforcer.record_acceptance(verdict, self.target.host, self._server_of(raw))
        except CertificateParseError as exc:
            refusal = unreadable_chain_error(self.target.host, exc)
            raise enforcer.record_refusal(refusal, self._server_of(raw)) from exc
        except PinError as exc:
            enforcer.record_refusal(exc, self._server_of(raw))
            raise
        return chain, verdict

    def refusal_of(self, raw: Any, error: ssl.SSLError) -> ssl.SSLError:
        """Record that OpenSSL itself refused the chain, and return the error to raise.

        ``raw`` is OpenSSL's object of the connection, and ``error`` the error that OpenSSL raised.
        If the verification failed and a policy covers the host, return an ``UnverifiedChainError``
        instead of ``error``. Other errors, such as a failure of the network, are returned unchanged
        and not recorded. The record contains the chain that the server sent, which OpenSSL 3 keeps
        after a failed handshake and which is not verified.

        An ``Exception`` that a signal handler raises here is lost, because it looks like a failure
        to explain the refusal. The connection is refused in any case.
        """
        if not isinstance(error, ssl.SSLCertVerificationError):
            return error
        host, policy = self.target.host, self.target.policy
        refusal: ssl.SSLCertVerificationError = error
        with suppress(Exception):  # a failure to explain must not hide the refusal
            server = self._server_of(raw)
            if policy is not None:
                port = self._request.known_port(host)
                refusal = explain_refusal(host, policy, server._replace(port=port), error)
            self._enforcer.record_unverified(host, reason_of(error.verify_code), server, refusal)
        return refusal

    def _server_of(self, raw: Any) -> ContactedServer:
        return ContactedServer(
            _served(raw), self._request.port_of(self.target.host, self.socket_ref())
        )

    def _follow_swap(self, state: PinState, raw: Any) -> None:
        """Use the new pins for this check if the pin set was replaced since this connection began.

        Raises ``PinError`` if the host has another trust store in the new pin set. ``state`` is the
        new pin set with its trust stores, and ``raw`` OpenSSL's object of the connection.
        """
        target = self._enforcer.require_target(state, self.target.host)
        if target.store is not self.target.store:
            raise self._enforcer.record_refusal(
                trust_changed_error(target.host), self._server_of(raw)
            )
        self._state, self.target = state, target
        self._resumed = None  # rule 4: a session verified under other pins is not resumed

    def _verified_chain(self, raw: Any) -> tuple[bytes, ...]:
        if not raw.session_reused:
            return verified_chain(raw)
        if self._resumed is None:
            raise UnverifiedSessionError(
                f"{self.target.host} refused: it resumed a session that was not verified here",
                host=self.target.host,
                fix="connect without a session, or with one of this context, host and pin set",
            )
        return self._resumed

    def _pass_unpinned(self, chain: tuple[bytes, ...], raw: Any) -> None:
        """Accept the chain of a host that no policy covers.

        A chain that ends at a debug anchor is logged and reported. Raises ``PinError`` if the chain
        is empty.
        """
        if not chain:
            raise PinError(
                f"{self.target.host} refused: it showed no certificate",
                host=self.target.host,
                fix="allow no anonymous cipher suites and no pre-shared keys",
            )
        if sha256(chain[-1]).digest() in self._state.debug.in_force:
            self._enforcer.record_debug_acceptance(self.target.host, self._server_of(raw))

    def _require_another_anchor(self, chain: tuple[bytes, ...]) -> None:
        """Raise ``PinError`` if the chain ends at a debug anchor that only an earlier pin set had.

        With ``CERTPIN_DEBUG=1``, chains to the debug anchors of the current pin set are accepted
        without a matching pin. OpenSSL still trusts anchors of earlier pin sets, because an anchor
        can't be removed from a context. See rule 11 of docs/concepts/matching.md.
        """
        if self._state.debug.ended(chain):
            raise PinError(
                f"{self.target.host} refused: its chain ends at an anchor of the debug override, "
                "which is over",
                host=self.target.host,
                fix="connect without the debugging proxy",
            )


def _served(raw: Any) -> tuple[bytes, ...]:
    """Return the certificates that the server sent, for the record of a failure.

    The result is empty if they can't be read. Other exceptions, such as the time limit of a signal
    handler, leave this function, and the connection is refused.
    """
    with suppress(ssl.SSLError, ValueError, MemoryError):
        return served_chain(raw)
    return ()

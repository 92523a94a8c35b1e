"""One connection's check: which policy holds for it, and what its handshake has to show."""

from __future__ import annotations

import ssl
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from certpin.errors import (
    CertificateParseError,
    PinError,
    UnverifiedSessionError,
    WeakenedContextError,
)
from certpin.tls.events import Met
from certpin.tls.state import Match
from certpin.tls.unverified import explain_refusal, reason_of
from certpin.x509.openssl import served_chain, verified_chain

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pins import Verdict
    from certpin.tls.calling import Called
    from certpin.tls.enforcer import Enforcer
    from certpin.tls.state import PinState, Target


class PinCheck:
    """The check of one connection: made when it begins, asked when its handshake is done.

    It is the base of ``Gate``, which sets the attributes: a handshake makes one object, not two.
    """

    __slots__ = (
        *("_called", "_chain", "_early", "_enforcer", "_judged_for", "_resumed", "_state"),
        *("finished", "guards_certificate", "socket", "target", "verdict"),
    )

    finished: bool  # True once the connection was checked and let pass
    guards_certificate: bool  # True if a client certificate may leave a socket
    socket: Callable[[], Any]  # a weak reference, if there is one
    target: Target
    verdict: Verdict | None  # None until the check, and if no policy covers the host
    _called: Called  # the handshake may run in another thread
    _chain: tuple[bytes, ...]
    _early: bool  # whether judge_early ran
    _enforcer: Enforcer
    _judged_for: PinState | None  # the state under which the chain passed
    _resumed: tuple[bytes, ...] | None  # the chain of the session that was offered
    _state: PinState

    def may_resume(self, session: ssl.SSLSession) -> bool:
        """Whether a session may be offered to the server. If not, a full handshake is made."""
        enforcer = self._enforcer
        self._resumed = enforcer.sessions.recall(session, self.target, enforcer.clock())
        return self._resumed is not None

    def remember(self, session: ssl.SSLSession) -> None:
        """Let a session of this connection be resumed: its chain was found good."""
        if self._chain:
            self._enforcer.sessions.remember(session, self.target, self._chain)

    def judge_early(self, raw: Any) -> None:
        """Judge the chain while the client's last flight waits. Raises ``PinError``.

        OpenSSL has verified the chain, and the server's signature over the handshake (RFC 8446
        section 4.4.3, RFC 5246 section 7.4.3). The client has not sent its certificate. A second
        call does nothing: TLS 1.2 ends the server's part twice, with ServerHelloDone and Finished.
        """
        if not self._early:
            self._early = True
            self.judge(raw)

    def must_judge(self, raw: Any) -> bool:
        """Return True unless ``judge_early`` judged this very chain under the pins of now."""
        if self.guards_certificate and not self._early:
            raise self._enforcer.refused(_unguarded(self.target.host), self._met(raw))
        judged_for = self._judged_for
        return judged_for is not self._enforcer.state or self._chain != self._verified_chain(raw)

    def judge(self, raw: Any) -> None:
        """Judge the chain that OpenSSL verified. Raises ``PinError`` to refuse the connection."""
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
        ):  # a chain to a withdrawn anchor is never kept
            self._chain = last.chain
            self.verdict = last.verdict
        else:
            self._chain, self.verdict = chain, verdict = self._verify(raw)
            if certificates is not None and verdict is not None and verdict.reason == "match":
                target.last_match = Match(certificates, chain, verdict, verdict.policy.expires)
        self._judged_for = self._state

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
                verdict.raise_for_refusal(self.target.host)
                enforcer.passed(verdict, self.target.host, self._met(raw))
        except CertificateParseError as exc:
            raise enforcer.refused(_unreadable(self.target.host), self._met(raw)) from exc
        except PinError as exc:
            enforcer.refused(exc, self._met(raw))
            raise
        return chain, verdict

    def refusal_of(self, raw: Any, error: ssl.SSLError) -> ssl.SSLError:
        """Record that OpenSSL refused the chain itself. Returns the error to raise.

        That is ``UnverifiedChainError`` if a policy covers the host (rule 12), and OpenSSL's error
        otherwise. A failure of the network is returned as it is, and not recorded. OpenSSL 3 keeps
        the served chain of a handshake that failed; nothing verified it.
        """
        if not isinstance(error, ssl.SSLCertVerificationError):
            return error
        host, policy = self.target.host, self.target.policy
        refusal: ssl.SSLCertVerificationError = error
        with suppress(Exception):  # a failure to explain must not hide the refusal
            met = self._met(raw)
            if policy is not None:
                refusal = explain_refusal(host, policy, met, error)
            self._enforcer.unverified(host, reason_of(error.verify_code), met, refusal)
        return refusal

    def _met(self, raw: Any) -> Met:
        return Met(_served(raw), self._called.port_of(self.target.host, self.socket()))

    def _follow_swap(self, state: PinState, raw: Any) -> None:
        """Judge by the pins of now, not by those of when the connection began."""
        target = self._enforcer.target(state, self.target.host)
        if target.store is not self.target.store:
            raise self._enforcer.refused(_moved(target.host), self._met(raw))
        self._state, self.target = state, target
        self._resumed = None  # rule 4: what was verified under other pins is not resumed

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
        """Where no pins hold, a chain that OpenSSL verified is enough; but there must be one."""
        if not chain:
            raise PinError(
                f"{self.target.host} refused: it showed no certificate",
                host=self.target.host,
                fix="allow no anonymous cipher suites and no pre-shared keys",
            )
        if sha256(chain[-1]).digest() in self._state.debug.in_force:
            self._enforcer.passed_by_debug(self.target.host, self._met(raw))

    def _require_another_anchor(self, chain: tuple[bytes, ...]) -> None:
        """Rule 11: OpenSSL trusts for good what it was given once; the pin set may not."""
        if chain and sha256(chain[-1]).digest() in self._state.debug.withdrawn:
            raise PinError(
                f"{self.target.host} refused: its chain ends at an anchor of the debug override, "
                "which is over",
                host=self.target.host,
                fix="connect without the debugging proxy",
            )


def _served(raw: Any) -> tuple[bytes, ...]:
    """What the server sent, for who is told: nothing that goes wrong here changes the refusal."""
    with suppress(Exception):
        return served_chain(raw)
    return ()


def _unguarded(host: str) -> WeakenedContextError:
    return WeakenedContextError(
        f"{host} refused: the check before the client certificate was sent did not run",
        host=host,
        fix="don't set _msg_callback on a PinnedSSLContext with a client certificate",
    )


def _moved(host: str) -> PinError:
    return PinError(
        f"{host} refused: the trust of its policy changed during the handshake",
        host=host,
        fix="connect again",
    )


def _unreadable(host: str) -> PinError:
    return PinError(
        f"{host} refused: a certificate of its chain is not strict DER",
        host=host,
        fix="ask the server's operator for a certificate that follows X.690",
    )

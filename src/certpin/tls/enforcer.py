"""What a context enforces, apart from TLS: the state, the clock, and who is told of failures."""

from __future__ import annotations

import warnings
from copy import copy
from typing import TYPE_CHECKING

from certpin.errors import InsecureRequestError, PinError, UnpinnedHostError
from certpin.tls.calling import called_now
from certpin.tls.events import FailureTeller, Met, PinFailure
from certpin.tls.sessions import SessionMemory
from certpin.x509 import quoted

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from datetime import datetime

    from certpin.pins import Verdict
    from certpin.pins.verdict import Decision
    from certpin.tls.state import PinState, Target
    from certpin.tls.unverified import Unverified

_NOTHING = Met()
DEBUG_VARIABLE = "CERTPIN_DEBUG"


class DebugOverrideWarning(UserWarning):
    """A connection was accepted because of the debug override, not because of a pin."""


class Enforcer:
    """The pin state of a context and what goes with it. ``state`` is replaced as a whole."""

    def __init__(
        self, state: PinState, strict: bool, clock: Callable[[], datetime], teller: FailureTeller
    ) -> None:
        self.state = state
        self.strict = strict
        self.clock = clock
        self.sessions = SessionMemory()
        self._teller = teller

    def target(self, state: PinState, host: str) -> Target:
        """The policy of a normalised host. Rule 9: in strict mode there has to be one."""
        target = state.target(host)
        if target.policy is None and self.strict:
            raise self.refused(_unpinned(host, state.pins.name))
        return target

    def admit(self, host: str, encrypted: bool) -> None:
        """Rule 9, before there is a connection. Clear text passes no pins that are enforced."""
        policy = self.state.target(host).policy
        enforced = policy is not None and policy.mode == "enforce"
        if not encrypted and (self.strict or enforced):
            raise self.refused(_clear_text(host))
        self.target(self.state, host)

    def refused(self, error: PinError, met: Met = _NOTHING) -> PinError:
        """Record a refusal; returns the error, to be raised."""
        verdict: Verdict | None = getattr(error, "verdict", None)
        reason = type(error).__name__ if verdict is None else verdict.reason
        self._tell(error.host, "refuse", reason, met, verdict, error)
        return error

    def unverified(
        self, host: str, reason: Unverified, met: Met, error: ssl.SSLCertVerificationError
    ) -> None:
        """Record that OpenSSL refused the chain of a host with pins; others are not recorded."""
        if self.state.target(host).policy is not None:
            self._tell(host, "refuse", reason, met, None, error)
            return
        # Here, since a Python without TLS imports this module.
        from certpin.x509.verifying import strict_advice

        if advice := strict_advice(error.verify_code):
            error.add_note(f"fix: {advice}")

    def passed(self, verdict: Verdict, host: str, met: Met) -> None:
        """Record a connection that passes without a matching pin."""
        self._tell(host, verdict.decision, verdict.reason, met, verdict)
        if verdict.reason == "debug-anchor":
            _warn(host)

    def passed_by_debug(self, host: str, met: Met) -> None:
        """Record a connection to a host without pins, whose chain ends at a debug anchor."""
        self._tell(host, "accept", "debug-anchor", met)
        _warn(host)

    def _tell(
        self,
        host: str,
        decision: Decision,
        reason: str,
        met: Met,
        verdict: Verdict | None = None,
        error: ssl.SSLCertVerificationError | None = None,
    ) -> None:
        state = self.state
        of_now = state.target(host).policy if host else None
        self._teller.tell(
            PinFailure(
                host,
                decision,
                reason,
                self.clock(),
                state.pins.name,
                state.pins.version,
                # A copy, since the traceback of the error itself would keep the connection alive.
                copy(error),
                verdict,
                of_now if verdict is None else verdict.policy,
                met.served,
                met.port or called_now().port_of(host),
            )
        )


def _warn(host: str) -> None:
    # Explicitly, since warnings.warn() is heard once of each place, and rule 11 says each use.
    warnings.warn_explicit(
        f"{host}: accepted by the debug override ({DEBUG_VARIABLE}=1), not by a pin",
        DebugOverrideWarning,
        filename=__file__,
        lineno=1,
        module=__name__,
    )


def _clear_text(host: str) -> InsecureRequestError:
    return InsecureRequestError(
        f"{host} refused: the request would go out in clear text, past every pin",
        host=host,
        fix="write https://; where a redirect led here, ask the server's operator for https:// too",
    )


def _unpinned(host: str, pin_set: str) -> UnpinnedHostError:
    return UnpinnedHostError(
        f"{host} refused: the pin set {quoted(pin_set)} has no policy for it",
        host=host,
        fix=f"certpin add {host}, or PinnedSSLContext(pins, strict=False) "
        "to let hosts without a policy pass unpinned",
    )

"""What a context enforces, apart from TLS: the state, the clock, and who is told of failures."""

from __future__ import annotations

import warnings
from copy import copy
from typing import TYPE_CHECKING

from certpin.errors import InsecureRequestError, PinError, UnpinnedHostError
from certpin.tls.events import FailureTeller, PinFailure
from certpin.tls.sessions import SessionMemory

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.pins import Verdict
    from certpin.pins.verdict import Decision
    from certpin.tls.state import PinState, Target

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

    def refused(self, error: PinError, served: tuple[bytes, ...] = ()) -> PinError:
        """Record a refusal; returns the error, to be raised."""
        verdict: Verdict | None = getattr(error, "verdict", None)
        reason = type(error).__name__ if verdict is None else verdict.reason
        # A copy, since the traceback of the error itself would keep the connection alive.
        self._tell(error.host, "refuse", reason, verdict, served, copy(error))
        return error

    def passed(self, verdict: Verdict, host: str, served: tuple[bytes, ...]) -> None:
        """Record a connection that passes without a matching pin."""
        self._tell(host, verdict.decision, verdict.reason, verdict, served)
        if verdict.reason == "debug-anchor":
            _warn(host)

    def passed_by_debug(self, host: str) -> None:
        """Record a connection to a host without pins, whose chain ends at a debug anchor."""
        self._tell(host, "accept", "debug-anchor")
        _warn(host)

    def _tell(
        self,
        host: str,
        decision: Decision,
        reason: str,
        verdict: Verdict | None = None,
        served: tuple[bytes, ...] = (),
        error: PinError | None = None,
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
                error,
                verdict,
                of_now if verdict is None else verdict.policy,
                served,
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
        f"{host} refused: the pin set {pin_set!r} has no policy for it",
        host=host,
        fix=f"certpin add {host}, or PinnedSSLContext(pins, strict=False) "
        "to let hosts without a policy pass unpinned",
    )

"""Telling somebody: the log record and the hooks (``hooks.py``) of each failure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from certpin.tls.hooks import Hooks

if TYPE_CHECKING:
    import logging
    import ssl
    from collections.abc import Callable
    from datetime import datetime

    from certpin.pins import HostPolicy, Verdict
    from certpin.pins.verdict import Decision

    FailureHook = Callable[["PinFailure"], object]

_ERROR, _WARNING = 40, 30  # logging.ERROR, logging.WARNING


class Met(NamedTuple):
    """What is known of a connection beside its verdict. See ``PinFailure`` for both."""

    served: tuple[bytes, ...] = ()
    port: int = 0


@dataclass(frozen=True)
class PinFailure:
    """One failure: a connection that was refused, or that passed although its pins did not match.

    ``reason`` is a verdict's reason; ``untrusted``, ``name``, ``date``, ``revoked`` or ``invalid``
    where OpenSSL itself refused the chain, before any pin was looked at; or the name of the error
    where there was no verdict. ``error`` is the ``PinError`` that was raised.
    ``debug`` marks a connection that the debug override let pass. ``policy`` is that of the host,
    if it has one. ``served`` is what the server sent, as DER, in its order: nothing of it is
    proven, and it is empty where the handshake did not get so far. ``port`` is 0 where it is not
    known (``calling.py``).
    """

    host: str
    decision: Decision
    reason: str
    at: datetime
    pin_set: str
    pin_set_version: int
    error: ssl.SSLCertVerificationError | None = None
    verdict: Verdict | None = None
    policy: HostPolicy | None = None
    served: tuple[bytes, ...] = ()
    port: int = 0

    @property
    def debug(self) -> bool:
        """Whether it concerns the debug override."""
        return self.reason == "debug-anchor"

    def fields(self) -> dict[str, Any]:
        """What goes into a structured log: plain values, and no secret among them."""
        chain = None if self.verdict is None else self.verdict.chain
        certificates = chain.certificates if chain else ()
        return {
            "host": self.host,
            "port": self.port,
            "decision": self.decision,
            "reason": self.reason,
            "at": self.at.isoformat(),
            "pin_set": self.pin_set,
            "pin_set_version": self.pin_set_version,
            "policy": None if self.policy is None else str(self.policy.pattern),
            "debug": self.debug,
            "chain_spki_sha256": [each.spki_sha256.hex() for each in certificates],
        }


class FailureTeller:
    """Logs failures and hands them to the hooks. Its methods never raise and never wait.

    A hook whose ``never_waits`` is true only takes note of what it is told. It is called at once:
    an app that ends over a refusal has told it by then.
    """

    def __init__(self, hooks: tuple[FailureHook, ...]) -> None:
        self.prompt = tuple(hook for hook in hooks if getattr(hook, "never_waits", False) is True)
        others = tuple(hook for hook in hooks if hook not in self.prompt)
        self._hooks = Hooks(others, "failure", _logger)

    def tell(self, failure: PinFailure) -> None:
        """Record a failure. What a log handler of the application raises breaks no connection."""
        with suppress(Exception):
            self._log(failure)
        for hook in self.prompt:
            with suppress(Exception):
                hook(failure)
        with suppress(Exception):
            self._hooks.tell(failure)

    def _log(self, failure: PinFailure) -> None:
        _logger().log(
            _ERROR if failure.decision == "refuse" else _WARNING,
            "%s: %s (%s)",
            failure.host or "(no host)",
            _WORDS[failure.decision],
            failure.reason,
            extra={"certpin": failure.fields()},
        )


_WORDS = {
    "refuse": "refused",
    "report": "let pass, since the policy only reports",
    "accept": "accepted without a pin",
}


def _logger() -> logging.Logger:
    """The logger ``certpin``. ``logging`` is loaded by whoever has something to log."""
    import logging

    return logging.getLogger("certpin")

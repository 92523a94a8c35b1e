"""Telling somebody: the log record and the hooks of each failure.

A hook runs in a thread of its own, so that it can neither break nor delay a connection. Hooks that
are slower than failures come lose the newest ones, and the log says so: memory stays bounded.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from datetime import datetime

    from certpin.errors import PinError
    from certpin.pins import Verdict
    from certpin.pins.verdict import Decision

    FailureHook = Callable[["PinFailure"], object]

_ERROR, _WARNING = 40, 30  # logging.ERROR, logging.WARNING
_WAITING = 256  # failures that hooks have not seen yet


@dataclass(frozen=True)
class PinFailure:
    """One failure: a connection that was refused, or that passed although its pins did not match.

    ``reason`` is a verdict's reason, or the name of the error where there was no verdict.
    ``debug`` marks a connection that the debug override let pass.
    """

    host: str
    decision: Decision
    reason: str
    at: datetime
    pin_set: str
    pin_set_version: int
    error: PinError | None = None
    verdict: Verdict | None = None

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
            "decision": self.decision,
            "reason": self.reason,
            "at": self.at.isoformat(),
            "pin_set": self.pin_set,
            "pin_set_version": self.pin_set_version,
            "policy": None if self.verdict is None else str(self.verdict.policy.pattern),
            "debug": self.debug,
            "chain_spki_sha256": [each.spki_sha256.hex() for each in certificates],
        }


class FailureTeller:
    """Logs failures and hands them to the hooks. Its methods never raise and never wait."""

    def __init__(self, hooks: tuple[FailureHook, ...]) -> None:
        self._hooks = hooks
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._waiting: queue.Queue[PinFailure] = queue.Queue(_WAITING)
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None

    def tell(self, failure: PinFailure) -> None:
        """Record a failure. What a log handler of the application raises breaks no connection."""
        with suppress(Exception):
            self._log(failure)
        if self._hooks:
            with suppress(Exception):
                self._enqueue(failure)

    def _log(self, failure: PinFailure) -> None:
        _logger().log(
            _ERROR if failure.decision == "refuse" else _WARNING,
            "%s: %s (%s)",
            failure.host or "(no host)",
            _WORDS[failure.decision],
            failure.reason,
            extra={"certpin": failure.fields()},
        )

    def _enqueue(self, failure: PinFailure) -> None:
        if self._process != os.getpid():
            self._begin()  # after a fork: no worker here, and a lock may have been held over there
        try:
            self._waiting.put_nowait(failure)
            self._ensure_worker()
        except queue.Full:
            _logger().warning("failure hooks are too slow: one failure was not handed to them")
        except RuntimeError:
            _logger().warning("no thread for failure hooks: the interpreter is shutting down")

    def _ensure_worker(self) -> None:
        with self._starting:
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(
                    target=self._run, name="certpin-failure-hooks", daemon=True
                )
                self._worker.start()

    def _run(self) -> None:
        while True:
            failure = self._waiting.get()
            for hook in self._hooks:
                with suppress(Exception):  # of a log handler
                    _call(hook, failure)


def _call(hook: FailureHook, failure: PinFailure) -> None:
    try:
        hook(failure)
    # an exit too: the next hook and the next failure wait behind it.
    except BaseException:  # noqa: BLE001  # whatever it raises, it breaks nothing
        _logger().exception("a failure hook raised")


_WORDS = {
    "refuse": "refused",
    "report": "pins do not match, and the policy only reports",
    "accept": "accepted without a pin",
}


def _logger() -> logging.Logger:
    """The logger ``certpin``. ``logging`` is loaded by whoever has something to log."""
    import logging

    return logging.getLogger("certpin")

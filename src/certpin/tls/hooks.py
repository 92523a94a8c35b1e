"""Calling an application's hooks: in a thread of their own, so that they break and delay nothing.

Hooks that are slower than what they are told of lose the newest, and the log says so: memory stays
bounded.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

Told = TypeVar("Told")

_WAITING = 256  # things that hooks have not seen yet


class Hooks(Generic[Told]):
    """What is to be called, and with what. ``what`` names one such thing in the log."""

    def __init__(
        self,
        hooks: tuple[Callable[[Told], object], ...],
        what: str,
        logger: Callable[[], logging.Logger],
    ) -> None:
        self._hooks = hooks
        self._what = what
        self._logger = logger
        self._begin()

    def _begin(self) -> None:
        self._waiting: queue.Queue[Told] = queue.Queue(_WAITING)
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None
        # Last: another thread that sees it must not find a lock of over there.
        self._process = os.getpid()

    def tell(self, told: Told) -> None:
        """Hand it to the hooks. Never waits; raises what a log handler raises, and nothing else."""
        if not self._hooks:
            return
        if self._process != os.getpid():
            self._begin()  # after a fork: no worker here, and a lock may have been held over there
        try:
            self._waiting.put_nowait(told)
            self._ensure_worker()
        except queue.Full:
            self._logger().warning(
                "%s hooks are too slow: one %s was not handed to them", self._what, self._what
            )
        except RuntimeError:
            self._logger().warning(
                "no thread for %s hooks: the interpreter is shutting down", self._what
            )

    def _ensure_worker(self) -> None:
        with self._starting:
            if self._worker is None or not self._worker.is_alive():
                self._worker = threading.Thread(
                    target=self._run, name=f"certpin-{self._what}-hooks", daemon=True
                )
                self._worker.start()

    def _run(self) -> None:
        while True:
            told = self._waiting.get()
            for hook in self._hooks:
                with suppress(Exception):  # of a log handler
                    self._call(hook, told)

    def _call(self, hook: Callable[[Told], object], told: Told) -> None:
        try:
            hook(told)
        # an exit too: the next hook and the next call wait behind it.
        except BaseException:  # noqa: BLE001  # whatever it raises, it breaks nothing
            self._logger().exception("a %s hook raised", self._what)

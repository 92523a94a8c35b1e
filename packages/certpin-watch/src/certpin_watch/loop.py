"""The event loop of the service: one wake-up for everything that threads hand over meanwhile.

The threads of the web server hand over each request twice: when its headers are there, and when its
body is. asyncio writes a byte into a socket each time, and reads it again. That is a system call in
which the thread releases the interpreter's lock, and it has to wait to get it back. A callback that
is handed over before the loop has looked at those before it needs no byte.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from contextlib import suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, TypeVarTuple, Unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    _Incoming = tuple[asyncio.Handle, Context, Callable[..., Any], tuple[Any, ...]]

_Ts = TypeVarTuple("_Ts")


class ServiceLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop, with another ``call_soon_threadsafe``."""

    def __init__(self) -> None:
        super().__init__()
        self._incoming: deque[_Incoming] = deque()
        self._is_woken = False  # `_run_incoming` is scheduled, and has not looked yet

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call ``callback`` in the thread of the loop, after those that were handed over before it.

        Raises:
            RuntimeError: the loop is closed.
        """
        context = copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self, context)
        self._incoming.append((handle, context, callback, args))
        if not self._is_woken or self.is_closed():
            self._is_woken = True
            super().call_soon_threadsafe(self._run_incoming)
        return handle

    def _run_incoming(self) -> None:
        """Run the callbacks in the queue. A callback that is added from now on wakes the loop."""
        self._is_woken = False
        for _ in range(len(self._incoming)):
            handle, context, callback, args = self._incoming.popleft()
            if handle.cancelled():
                continue
            try:
                context.run(callback, *args)
            except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001  # the others run
                self.call_exception_handler(
                    {
                        "message": "a callback of another thread failed",
                        "exception": exc,
                        "handle": handle,
                    }
                )
            except BaseException:  # as in asyncio, what ends the program ends the loop
                if self._incoming:  # the rest runs if the loop does again, as it does to clean up
                    self._is_woken = True
                    self.call_soon(self._run_incoming)
                raise


def prefer_throughput() -> None:
    """Ask the kernel not to interrupt a thread for another one that has just got something to do.

    Otherwise the server's threads interrupt the loop for each request that arrives, only to wait
    for the interpreter's lock, which the loop holds. This is Linux's SCHED_BATCH (sched(7)), for
    this thread and all that it starts. The share of the processor stays the same. Elsewhere, or if
    it is not allowed, nothing changes. Nor does it if the operator chose another policy (chrt(1),
    ``CPUSchedulingPolicy=`` of systemd).
    """
    if hasattr(os, "SCHED_BATCH"):
        with suppress(OSError):
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

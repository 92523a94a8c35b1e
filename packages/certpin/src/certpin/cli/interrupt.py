"""Signals that end a command: SIGTERM and SIGHUP clean up as Ctrl-C does."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` at the first SIGINT, SIGTERM or SIGHUP (a closed terminal).

    Later signals are ignored until the program has ended, so that they don't interrupt the clean-up
    or the summary.
    """
    import signal

    received = False

    def stop(*_: object) -> None:
        nonlocal received
        if not received:
            received = True
            raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    # A background job of a shell ignores SIGINT, and a program under nohup ignores SIGHUP.
    may_be_ignored = (signal.SIGINT, signal.SIGHUP)
    numbers += [
        number for number in may_be_ignored if signal.getsignal(number) is not signal.SIG_IGN
    ]
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_IGN if received else handler)

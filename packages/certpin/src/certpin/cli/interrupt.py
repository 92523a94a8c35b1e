"""Ending in order: SIGTERM and SIGHUP do what Ctrl-C does, so that nothing is left behind."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP (a terminal that closes) raise ``KeyboardInterrupt``, once.

    Another one shall not break off the clearing up, nor the summary: after the first, all that
    come until the program has ended are ignored.
    """
    import signal

    came = False

    def stop(*_: object) -> None:
        nonlocal came
        if not came:
            came = True
            raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    # A shell's background job ignores the one, and what nohup began the other.
    may_be_ignored = (signal.SIGINT, signal.SIGHUP)
    numbers += [each for each in may_be_ignored if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if came else handler)

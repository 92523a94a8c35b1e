"""Keep SIGPIPE from ending the process while OpenSSL writes to a socket that a refusal shut.

OpenSSL writes to a socket by ``write(2)``, which has no ``MSG_NOSIGNAL``. Python ignores SIGPIPE,
but a program may have set it back to its default action, as command-line filters do: then the write
of the last flight, which must fail, would end the process instead.

The signal of a failed write is sent to the thread that wrote (POSIX, ``write``). So the thread
blocks it before the write, and removes it afterwards.
"""

from __future__ import annotations

import signal
import threading

_AVAILABLE = hasattr(signal, "pthread_sigmask")  # not on Windows, which has no SIGPIPE either
_SIGPIPE: set[int] = {signal.SIGPIPE} if _AVAILABLE else set()
_thread = threading.local()


def _take() -> None:
    """Remove a pending SIGPIPE.

    A signal that was sent to the whole process may be taken by another thread meanwhile, and
    ``sigwait`` would wait for the next one. macOS has nothing else.
    """
    if hasattr(signal, "sigtimedwait"):
        signal.sigtimedwait(_SIGPIPE, 0)
    else:
        signal.sigwait(_SIGPIPE)


def hold_sigpipe() -> None:
    """Block SIGPIPE in this thread until ``release_sigpipe``."""
    if not _SIGPIPE:
        return
    waiting = bool(_SIGPIPE & signal.sigpending())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGPIPE)
    _thread.before = (waiting, bool(_SIGPIPE & before))


def release_sigpipe() -> None:
    """Remove a SIGPIPE sent since ``hold_sigpipe``, and unblock it.

    Without such a call before in this thread, do nothing.
    """
    waiting, blocked = vars(_thread).pop("before", (True, True))
    if not waiting and _SIGPIPE & signal.sigpending():
        _take()
    if not blocked:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGPIPE)

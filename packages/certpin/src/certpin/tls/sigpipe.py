"""Keep SIGPIPE from ending the process when OpenSSL writes to a socket that a refusal shut down.

OpenSSL writes to a socket by ``write(2)``, which has no ``MSG_NOSIGNAL``. After a refusal, it still
writes the last handshake messages. This write fails, because the socket is shut down, and causes
SIGPIPE. Python ignores SIGPIPE, but a program may have restored its default action, as command-line
filters do: then the signal would end the process.

The signal of a failed write is sent to the thread that wrote (POSIX, ``write``). So that thread
blocks the signal before the write, and removes the pending signal afterwards.
"""

from __future__ import annotations

import signal
import threading

_AVAILABLE = hasattr(signal, "pthread_sigmask")  # not on Windows, which has no SIGPIPE either
_SIGPIPE: set[int] = {signal.SIGPIPE} if _AVAILABLE else set()
_thread = threading.local()


def _take() -> None:
    """Remove a pending SIGPIPE signal from this thread.

    ``sigtimedwait`` is used if the system has it, because it does not wait. macOS has only
    ``sigwait``. If another thread takes the signal first (one that was sent to the whole process),
    ``sigwait`` waits for the next one.
    """
    if hasattr(signal, "sigtimedwait"):
        signal.sigtimedwait(_SIGPIPE, 0)
    else:
        signal.sigwait(_SIGPIPE)


def hold_sigpipe() -> None:
    """Block SIGPIPE in this thread until ``release_sigpipe`` is called."""
    if not _SIGPIPE:
        return
    waiting = bool(_SIGPIPE & signal.sigpending())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGPIPE)
    _thread.before = (waiting, bool(_SIGPIPE & before))


def release_sigpipe() -> None:
    """Remove a SIGPIPE that this thread got since ``hold_sigpipe``, and unblock the signal.

    If ``hold_sigpipe`` was not called before in this thread, nothing happens.
    """
    waiting, blocked = vars(_thread).pop("before", (True, True))
    if not waiting and _SIGPIPE & signal.sigpending():
        _take()
    if not blocked:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGPIPE)

"""``PinUpdater``: keeps the pins of an SSL context up to date with published signed pin sets.

This module handles threads and forks. The module ``checker`` has the steps of one check; the
modules ``status``, ``settings`` and ``trust`` have the decisions.
"""

from __future__ import annotations

import logging
import random
import threading
from concurrent.futures import Future
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Self

from certpin.errors import ConfigError, UpdateError
from certpin.pins import utc_now
from certpin.support.forks import Forked, native_thread, register, threads_survive
from certpin.support.network import Deadline
from certpin.tls import PinnedSSLContext
from certpin.updates import trust
from certpin.updates.cache import Store
from certpin.updates.checker import Checker, Enforced, Notifier, closed
from certpin.updates.fetch import UpdateSource
from certpin.updates.refusals import update_errors
from certpin.updates.settings import UpdateSettings, next_wait, parse_folder_url
from certpin.updates.status import next_end

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.pins import PinSet
    from certpin.updates.status import UpdateHook, UpdateStatus

_CLOSE_TIMEOUT = 2.0  # seconds that close() waits for a thread: name resolution can't be cancelled
_CHILD_SPREAD = 5.0  # seconds within which forked processes make a check that is due at the fork


class PinUpdater(Forked):
    """Keeps the pins of an SSL context up to date with a published folder of signed pin sets.

    The constructor reads the pin set that was verified last from the cache, verifies it again and
    puts it in force: the SSL context then enforces it. ``start()`` starts a daemon thread that
    checks for newer pin sets; ``refresh()`` checks now. A failed update never makes a connection
    fail: the pin set in force stays in force.

    Not checked: that ``root`` is the root that the owner of the app intended. All trust in updates
    begins there.

    Args:
        pins: the pin set bundled with the app, or a ``PinnedSSLContext`` that enforces it.
        root: the bytes of the bundled root metadata (``1.root.json``, or a later one).
        url: the ``https://`` address of the published folder. ``pins`` must pin its host.
        cache: a folder that only this app uses. It is created if it is missing. A relative path
            begins at the current folder of the moment when the updater is made.
        settings: the times between checks, and the size limits of files.
        clock: returns the current time with a time zone. ``tuf.ngclient`` always reads the system's
            clock.
        on_event: hooks that are called with each ``UpdateEvent``, in a separate thread.

    Raises:
        ConfigError: the host of ``url`` is not pinned; or ``root`` is not valid root metadata, for
            example because it is the path of the file; or ``cache`` is empty; or ``clock`` returns
            a time without a time zone.
    """

    def __init__(  # noqa: PLR0913  # keywords, each of which is a setting of an updater
        self,
        *,
        pins: PinSet | PinnedSSLContext,
        root: bytes,
        url: str,
        cache: str | os.PathLike[str],
        settings: UpdateSettings | None = None,
        clock: Callable[[], datetime] = utc_now,
        on_event: Iterable[UpdateHook] = (),
    ) -> None:
        self._settings = settings or UpdateSettings()
        self._clock = clock
        place = parse_folder_url(url)
        context = (
            pins if isinstance(pins, PinnedSSLContext) else PinnedSSLContext(pins, clock=clock)
        )
        name = context.pins.name
        enforced = Enforced(context, place.host, clock, _root_version(root, name))
        limits = self._settings.limits
        source = UpdateSource(name, root, place, limits, Store(_cache_folder(cache), limits))
        timing = self._settings.timing
        self._checker = Checker(source, enforced, clock, Notifier(on_event), timing.roots)
        self._checker.adopt_cached()
        self._running = self._closed = False
        self._begin()
        register(self)

    def _begin(self) -> None:
        self._changed = threading.Condition()
        self._current_check: Future[None] | None = None
        self._deadline: Deadline | None = None
        self._thread: threading.Thread | None = None
        self._native: int | None = None  # the native thread in which that thread runs

    @property
    def context(self) -> PinnedSSLContext:
        """The ``ssl.SSLContext`` for the app's connections. Updates replace its pins."""
        return self._checker.enforced.context

    @property
    def status(self) -> UpdateStatus:
        """The state, the enforced pin set, and the result of the last check. Does no I/O."""
        return self._checker.status

    def refresh(self) -> UpdateStatus:
        """Check the update server now, and make the SSL context enforce a newer pin set, if any.

        The method can be called in any thread, and returns when the check is complete. If a check
        is already running, no other check is started, and the result is that of the running check.

        Returns:
            The new status.

        Raises:
            UpdateError: the check failed, or the updater was closed. The SSL context keeps its pin
                set.
        """
        check, deadline = self._join_check()
        if deadline is not None:
            self._run_check(check, deadline)
        try:
            check.result()
        except UpdateError as exc:
            raise copy(
                exc
            ) from exc.__cause__  # one for each thread: tracebacks are written into it
        return self.status

    def start(self) -> Self:
        """Start a daemon thread that checks the server now, then at the intervals of ``Timing``.

        Does nothing if the thread is already running.

        Returns:
            This updater.

        Raises:
            UpdateError: the updater was closed.
        """
        with self._changed:
            if self._closed:
                raise closed()
            if not self._running:
                self._running = True
                self._spawn(lambda: 0.0)
        return self

    def close(self) -> None:
        """Stop the thread and a running check. The SSL context keeps its pins.

        Waits for the thread for two seconds at most. A closed updater can't be started again.
        """
        with self._changed:
            self._closed, self._running = True, False
            if self._deadline is not None:
                self._deadline.cancel()
            self._changed.notify_all()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_CLOSE_TIMEOUT)
        self._checker.clear()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _join_check(self) -> tuple[Future[None], Deadline | None]:
        """Return the check that is running, or a new check that the caller must run.

        The first value is a future that is done at the end of the check. The second value is the
        deadline of a new check; None if a check is already running. Raises ``UpdateError`` if the
        updater is closed.
        """
        with self._changed:
            if self._closed:
                raise closed()
            if self._current_check is not None:
                return self._current_check, None
            self._current_check, self._deadline = Future(), self._new_deadline()
            return self._current_check, self._deadline

    def _new_deadline(self) -> Deadline:
        timing = self._settings.timing
        return Deadline(timing.patience.total_seconds(), timing.deadline.total_seconds())

    def _run_check(self, check: Future[None], deadline: Deadline) -> None:
        outcome: UpdateError | None = (
            _interrupted()
        )  # for waiting threads, if Ctrl-C interrupts this one
        try:
            self._checker.check(deadline)
        except UpdateError as exc:
            outcome = exc
        else:
            outcome = None
        finally:
            self._finish_check(check, outcome)

    def _finish_check(self, check: Future[None], outcome: UpdateError | None) -> None:
        with self._changed:
            self._current_check = self._deadline = None
        if outcome is None:
            check.set_result(None)
        else:
            check.set_exception(outcome)

    def _spawn(self, first_pause: Callable[[], float]) -> None:
        self._thread = threading.Thread(
            target=self._run, args=(first_pause,), name="certpin-updates", daemon=True
        )
        self._thread.start()

    def _run(self, first_pause: Callable[[], float]) -> None:
        self._native = native_thread()
        pause = first_pause
        while self._sleep(pause()):
            pause = self._pause
            try:
                self.refresh()
            except UpdateError:
                pass  # an event has reported it
            except Exception:
                # The next check may succeed, and connections must not be affected.
                logging.getLogger("certpin.updates").exception("a check ended in an error")

    def _sleep(self, seconds: float) -> bool:
        """Wait ``seconds``, until the next check is due. Return False if the updater was closed.

        If it is closed during the wait, return at once.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)
            return not self._closed

    def _pause(self) -> float:
        now = self._clock()
        return next_wait(
            self._settings.timing,
            failures=self.status.failures,
            end=next_end(self._checker.enforced.inputs),
            now=now,
            random_share=random.random(),  # noqa: S311  # to spread load, no secret
        ).total_seconds()

    def _child_pause(self) -> float:
        """Return the seconds until a forked child makes its first check.

        The child continues the parent's checks: it makes its first check when the parent's next one
        is due. If the parent has no result of a check yet, the child checks at once; it can't wait
        for a check that the parent is making, because it would not get the result. The time has a
        random part, so that children that are forked together don't check together.
        """
        pause, checked = self._pause(), self.status.checked
        spread = min(pause, _CHILD_SPREAD) * random.random()  # noqa: S311  # no secret
        if checked is None:
            return spread
        elapsed = max((self._clock() - checked).total_seconds(), 0.0)  # if the clock was set back
        return max(pause - elapsed, spread)

    def before_fork(self) -> None:
        """Prevent other threads from replacing the pins until the fork is complete."""
        self._checker.swapping.acquire()

    def after_fork_in_parent(self) -> None:
        """Allow other threads to replace the pins again after a fork."""
        self._checker.swapping.release()

    def after_fork_in_child(self) -> None:
        """Replace locks and SSL contexts for the update server in a forked child process.

        If the parent process had a thread that checks for updates, start one in the child, too. Its
        first check is due when the parent's next check is due, or at once if the parent has not
        completed a check.

        With gevent, the child has a copy of that thread, which continues, if the thread is a
        greenlet of the native thread that forked. If it was in a check, both processes read from
        one connection: the check may fail, and is repeated.
        """
        if threads_survive(self._native):
            # No new lock, because the copy may have the old one. No new thread, because that would
            # run greenlets during the fork, and in each subprocess before its program starts.
            self.after_fork_in_parent()
            return
        self._begin()
        self._checker.wake_in_child()
        if self._running:
            self._spawn(self._child_pause)


def _cache_folder(cache: str | os.PathLike[str]) -> Path:
    """Return the absolute path of the cache folder, which stays the same after ``os.chdir``.

    Raises ``ConfigError`` if ``cache`` is empty, or ``"."``. An empty path, such as that of an
    unset variable, would be the current folder, which is not only this app's.
    """
    folder = Path(cache)
    if folder == Path():
        raise ConfigError(
            "the cache is no folder that only this app uses, but the current one",
            key="cache",
            fix="name a folder for it, such as /var/lib/bank-app/pins",
        )
    return folder.absolute()


def _root_version(root: object, name: str) -> int:
    """Return the version of the bundled root metadata.

    Raises ``ConfigError`` if it is invalid, or not of the pin set ``name``.
    """
    if not isinstance(root, bytes):
        raise ConfigError(
            f"this is not the content of a file, but of the type {type(root).__name__}",
            key="root",
            fix='read the file: root=Path("1.root.json").read_bytes()',
        )
    try:
        with update_errors():
            return trust.follow_roots(root, (), name)[-1].version
    except UpdateError as exc:
        raise ConfigError(
            f"this is no root metadata that updates could begin with: {exc.problem}",
            key="root",
            fix="bring the 1.root.json of the published folder, or a later one, as it is there",
        ) from exc


def _interrupted() -> UpdateError:
    return UpdateError("the check was interrupted", reason="closed", fix="check again")

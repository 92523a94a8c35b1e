"""What one check does, from the folder to the context; and what is known of those before it."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from certpin.errors import UpdateError
from certpin.updates import trust
from certpin.updates.fetch import Channel
from certpin.updates.lock import FolderLock
from certpin.updates.refresh import fetch_newest
from certpin.updates.refusals import update_errors
from certpin.updates.states import state_of
from certpin.updates.status import UpdateEvent, UpdateStatus
from certpin.updates.store import unusable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta

    from certpin.support.deadline import Deadline
    from certpin.updates.enforced import Enforced
    from certpin.updates.refresh import Source
    from certpin.updates.status import What
    from certpin.updates.teller import Notifier
    from certpin.updates.trust import SignedSet


@dataclass(frozen=True)
class _Record:
    checked: datetime | None = None
    failures: int = 0
    error: UpdateError | None = None
    cache_error: UpdateError | None = None


class Checker:
    """Runs checks and keeps their results.

    The caller runs one check at a time. ``status`` may be read from any thread. The lock
    ``swapping`` is held while another set is put in force.
    """

    def __init__(
        self,
        source: Source,
        enforced: Enforced,
        clock: Callable[[], datetime],
        notifier: Notifier,
        root_interval: timedelta,
    ) -> None:
        self.enforced = enforced
        self.swapping = threading.Lock()
        self._source = source
        self._clock = clock
        self._notifier = notifier
        self._lock = FolderLock(source.store.folder)
        self._record = _Record()
        self._root_interval = root_interval
        self._root_asked: datetime | None = None  # when the next root was last requested
        self._stamp: tuple[int, ...] = ()  # of the cache file that was read or written last
        self._saved: SignedSet | None = None  # its contents

    @property
    def status(self) -> UpdateStatus:
        """The current status."""
        record, inputs = self._record, self.enforced.inputs
        return UpdateStatus(
            state_of(inputs, self._clock()),
            inputs.pins.name,
            inputs.pins.version,
            record.checked,
            inputs.until,
            record.failures,
            record.error,
            record.cache_error,
        )

    def check(self, deadline: Deadline) -> None:
        """Fetch the newest set and put it in force. Raises ``UpdateError``."""
        try:
            with update_errors(), deadline.enforced(), self._lock.held(deadline.wait):
                self._source.store.sweep()
                if self.adopt_cached():
                    self._notify("updated")
                newer = self._commit(self._fetch(deadline), deadline)
        except UpdateError as exc:
            if deadline.cancelled:
                self.clear()
                raise closed() from exc
            self._failed(exc)
            raise
        self._record = replace(self._record, checked=self._clock(), failures=0, error=None)
        self._notify("updated" if newer else "checked")

    def adopt_cached(self) -> bool:
        """Put the cached set in force if it is valid: another process may have written it.

        Never raises: a set that is invalid is reported as an event, and moved aside.

        Returns:
            True if another set is in force now.
        """
        store = self._source.store
        if (stamp := store.stamp()) == self._stamp:
            return False
        self._stamp = stamp
        try:
            with update_errors():
                return self._adopt(self._read_cached())
        except UpdateError as exc:
            if exc.reason != "storage":
                store.put_aside()
            self._cache_failed(exc)
        return False

    def clear(self) -> None:
        """Delete temporary files."""
        self._source.store.clear()

    def wake_in_child(self) -> None:
        """Replace locks and forget open files after a fork: they belong to the parent."""
        self.swapping = threading.Lock()
        self.enforced.wake_in_child()
        self._lock.forget()
        self._source.store.forget()

    def _read_cached(self) -> SignedSet | None:
        source = self._source
        kept = source.store.load()
        if kept is None:
            return None
        roots = source.store.follow(source.root)
        stored = trust.verify(roots, kept, source.name, source.limits)
        return trust.mark_recovery(stored, self.enforced.known, roots[-1])

    def _adopt(self, stored: SignedSet | None) -> bool:
        self._saved = stored
        if stored is None:
            return False
        older = stored.pins.version < self.enforced.context.pins.version
        if older and not stored.recovers:
            self.enforced.known = self.enforced.known or stored  # the app has been updated since
            return False
        with self.swapping:
            return self.enforced.adopt(stored)

    def _fetch(self, deadline: Deadline) -> SignedSet:
        source, now = self._source, self._clock()
        channel = Channel(source.address, source.limits, self.enforced.channel, deadline)
        asked = self._root_asked
        due = asked is None or not asked <= now < asked + self._root_interval
        try:
            found = fetch_newest(source, channel, self.enforced.known, now, ask_root=due)
        finally:
            channel.close()
            self._notice_new_root()
        if due:
            self._root_asked = now
        return found

    def _notice_new_root(self) -> None:
        """Verify the known set again under a root that was just fetched. Never raises.

        This also runs after a failed check: an attacker who withholds a set signed by the new keys
        must not make the old set look fresh.
        """
        known, store = self.enforced.known, self._source.store
        if known is None or known.superseded or not store.has_root(known.verified.root + 1):
            return
        with suppress(UpdateError), update_errors():
            root = store.follow(self._source.root)[-1]
            self.enforced.known = trust.under_root(root, known, self._source.limits)

    def _commit(self, found: SignedSet, deadline: Deadline) -> bool:
        with self.swapping:
            if deadline.cancelled:
                raise closed()
            newer = self.enforced.adopt(found)
        self._save(found)
        return newer

    def _save(self, found: SignedSet) -> None:
        """Write a set to the cache. If that fails, the next check retries; it stays in force."""
        store = self._source.store
        try:
            if found is not self._saved:
                store.save(found)
                self._saved, self._stamp = found, store.stamp()
            store.move_back()
        except OSError as exc:
            self._cache_failed(unusable(exc))
        else:
            self._record = replace(self._record, cache_error=None)

    def _cache_failed(self, error: UpdateError) -> None:
        known = self._record.cache_error
        self._record = replace(self._record, cache_error=error)
        if known is None or known.problem != error.problem:
            self._notify("cache", error)

    def _failed(self, error: UpdateError) -> None:
        failures = self._record.failures + 1
        self._record = replace(self._record, failures=failures, error=error)
        self._notify("failed", error)

    def _notify(self, what: What, error: UpdateError | None = None) -> None:
        self._notifier.notify(UpdateEvent(what, self._clock(), self.status, error))


def closed() -> UpdateError:
    """Return the error of a closed updater."""
    return UpdateError("the updater was closed", reason="closed", fix="create another one")

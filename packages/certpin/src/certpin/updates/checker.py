"""Check the update server for a newer signed pin set, and put it in force.

A pin set is in force if the app's SSL context enforces it. Each result is reported as an event to
the log and to the app's hooks.

The connection to the update server is pinned too. It accepts the pins of the bundled pin set and
those of the newest signed one, because a published pin set with wrong or missing pins for this
server must not prevent later updates. For the same reason the pins for this server never expire,
whatever the pin file says. A key that the newest set marks compromised is not accepted, whatever
the mode of its policy is.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tuf.api.exceptions import UnsignedMetadataError

from certpin.errors import ConfigError, UpdateError
from certpin.support.hooks import Hooks
from certpin.tls import PinnedSSLContext
from certpin.updates import trust
from certpin.updates.cache import FolderLock, unusable
from certpin.updates.fetch import Channel, fetch_newest
from certpin.updates.refusals import update_errors
from certpin.updates.status import StateInputs, UpdateEvent, UpdateStatus, state_of
from certpin.updates.trust import require_following

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime, timedelta

    from certpin.pins import PinSet
    from certpin.support.network import Deadline
    from certpin.updates.fetch import UpdateSource
    from certpin.updates.status import UpdateHook, What
    from certpin.updates.trust import SignedSet

# Local faults: the cached pin set may be valid, or another release of the app may use it.
_LOCAL_REASONS = frozenset({"storage", "context", "replaced"})
# Ordinary network and disk faults. Other reasons mean an attack or a mistake in publishing.
_ORDINARY_REASONS = frozenset({"network", "slow", "http", "busy", "closed"}) | _LOCAL_REASONS


@dataclass(frozen=True)
class _Record:
    checked: datetime | None = None
    failures: int = 0
    error: UpdateError | None = None
    cache_error: UpdateError | None = None


class Checker:
    """Checks the update server for newer pin sets, and keeps the results for ``status``.

    The caller runs one check at a time. ``status`` may be read from any thread.

    Args:
        source: the server, the bundled root and the cache.
        enforced: the pin set that the app's SSL context enforces, and that context.
        clock: returns the current time with a time zone.
        notifier: receives an event for each result.
        root_interval: the shortest time between two requests for the next root version.

    Attributes:
        swapping: a lock that is held while the enforced pin set is replaced.
    """

    def __init__(
        self,
        source: UpdateSource,
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
        """The updater's state, the pin set's version, and the result of the last check."""
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
            inputs.pins,
            inputs.recovers,
        )

    def check(self, deadline: Deadline) -> None:
        """Fetch the newest signed pin set, make the SSL context enforce it, and cache it.

        If another process has written a newer pin set to the cache, that one is enforced first.

        Args:
            deadline: limits the time of the whole check, and can cancel it from another thread.

        Raises:
            UpdateError: the check failed or was cancelled. The SSL context keeps its pin set.
        """
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
        """Enforce the cached pin set if its file has changed, and it is valid and newer.

        Another process that shares the cache may have written the file. This method never raises an
        exception: if the pin set is invalid, an event reports it, and its file is renamed to
        ``….bad``.

        Returns:
            True if the enforced pin set was replaced.
        """
        store = self._source.store
        if (stamp := store.stamp()) == self._stamp:
            return False
        self._stamp = stamp
        self._saved = None  # until the file was read: if it can't be, the next check replaces it
        try:
            with update_errors():
                return self._adopt(self._read_cached())
        except UpdateError as exc:
            if exc.reason not in _LOCAL_REASONS:
                store.put_aside()
            self._cache_failed(exc)
        return False

    def clear(self) -> None:
        """Delete the temporary folder for TUF metadata, if there is one.

        The updater uses such a folder only while the cache folder is not writable.
        """
        self._source.store.clear()

    def wake_in_child(self) -> None:
        """Prepare this object for use in a forked child process.

        Locks are replaced, and files that the parent process opened are no longer used.
        """
        self.swapping = threading.Lock()
        self.enforced.wake_in_child()
        self._lock.forget()
        self._source.store.forget()

    def _read_cached(self) -> SignedSet | None:
        source = self._source
        kept = source.store.load()
        if kept is None:
            return None
        roots = source.store.follow(source.root, source.name)
        try:
            stored = trust.verify(roots, kept, source.name, source.limits)
        except UnsignedMetadataError as exc:
            if 1 <= kept.root < roots[0].version:
                raise _replaced(kept.root, roots[0].version) from exc
            raise
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
        enforced = self.enforced
        channel = Channel(
            source.address, source.limits, enforced.channel, deadline, enforced.newest_policy
        )
        asked = self._root_asked
        due = asked is None or not asked <= now < asked + self._root_interval
        try:
            found = fetch_newest(source, channel, enforced.known, now, ask_root=due)
        finally:
            channel.close()
            self._notice_new_root()
        if due:
            self._root_asked = now
        return found

    def _notice_new_root(self) -> None:
        """Verify the newest known pin set again with root metadata that was just fetched.

        If the keys of the new root have not signed the pin set, the pin set is marked as
        superseded, so that the updater's state is not ``fresh``. The caller also calls this method
        after a failed check: otherwise an attacker who withholds a newer pin set could make the old
        one look fresh. Never raises.
        """
        known, store = self.enforced.known, self._source.store
        if known is None or known.superseded or not store.has_root(known.verified.root + 1):
            return
        with suppress(UpdateError), update_errors():
            root = store.follow(self._source.root, self._source.name)[-1]
            self.enforced.known = trust.under_root(root, known, self._source.limits)

    def _commit(self, found: SignedSet, deadline: Deadline) -> bool:
        with self.swapping:
            if deadline.cancelled:
                raise closed()
            newer = self.enforced.adopt(found)
        self._save(found)
        return newer

    def _save(self, found: SignedSet) -> None:
        """Write ``found``, a fetched pin set, to the cache folder.

        If writing fails, an event reports it, and the next check tries again. The SSL context
        enforces the pin set all the same.
        """
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


def _replaced(stored: int, bundled: int) -> UpdateError:
    """Return the error for a cached pin set that an older root than the bundled one has signed.

    This happens if an update of the app brings a new bundled root with other keys. These keys have
    not signed the cached set. The set can't be verified with the older root either, because nothing
    proves that root: it precedes the bundled one.

    Args:
        stored: the version of the older root, as the cache has it. It is not signed, so it is used
            only in the message.
        bundled: the version of the bundled root.
    """
    return UpdateError(
        f"the stored set is not in use: it was signed under root {stored}, and the app now has "
        f"root {bundled}, which has replaced its keys",
        reason="replaced",
        fix="nothing: the next check fetches a set that the new keys have signed; in the next "
        "release, ship the newest pins with a new root",
    )


def closed() -> UpdateError:
    """Return the ``UpdateError`` that is raised when a closed updater is used."""
    return UpdateError("the updater was closed", reason="closed", fix="create another one")


class Enforced:
    """The pin set that the app's SSL context enforces, and the newest signed pin set.

    The two differ if the app was updated, and its new bundled pin set is newer than any that was
    fetched.

    Args:
        context: the app's SSL context, which enforces the pin set bundled with the app.
        host: the host name of the update server, which the bundled pin set must pin.
        clock: returns the current time with a time zone.
        root: the version of the bundled root metadata.

    Attributes:
        context: the app's SSL context.
        known: the newest signed pin set; ``None`` until one was fetched or read from the cache.
        newest_policy: the policy that the newest pin set has for the update server, in any mode;
            ``None`` if it has none.

    Raises:
        ConfigError: the bundled pin set doesn't enforce pins for ``host``.
    """

    def __init__(
        self, context: PinnedSSLContext, host: str, clock: Callable[[], datetime], root: int
    ) -> None:
        self.context = context
        self.known: SignedSet | None = None
        self._coming: SignedSet | None = None  # the known set, or the one that is about to be
        self._host = host
        self._clock = clock
        self._bundled = self.context.pins
        self._bundled_root = root  # the version of the bundled root
        own = _required(self._bundled, host)
        self._by_bundled = _channel_context(own, clock)
        self._by_newest = _channel_context(own, clock)
        self._forked = False
        self._forgotten = False  # True if the newest set enforces no pins for the host
        self.newest_policy = self._bundled.policy_for(host)

    @property
    def inputs(self) -> StateInputs:
        """The data from which ``state_of`` computes the updater's state.

        These are the pin set that the app's SSL context enforces, the time at which its metadata
        expires, and whether newer keys have replaced those that signed it.
        """
        # In this order, because another thread may swap the pins.
        known, pins = self.known, self.context.pins
        for signed in (known, self._coming):
            if signed is not None and signed.pins.version == pins.version:
                until = signed.verified.until
                return StateInputs(pins, until, signed.superseded, signed.recovers)
        return StateInputs(pins)

    @property
    def channel(self) -> tuple[PinnedSSLContext, ...]:
        """The SSL contexts for the update server, in the order in which a connection tries them.

        The first context has the pins that the newest signed pin set has for this server; it is
        left out if that set enforces none. The last context has the pins of the pin set bundled
        with the app.
        """
        if self._forked:
            self._renew()
        return (self._by_bundled,) if self._forgotten else (self._by_newest, self._by_bundled)

    def wake_in_child(self) -> None:
        """Prepare a forked child process for new SSL contexts for the update server.

        The contexts are replaced before their next use, because a thread of the parent process may
        have been changing them during the fork.
        """
        self._forked = True

    def _renew(self) -> None:
        self._forked = False
        self._by_bundled = _channel_context(self._by_bundled.pins, self._clock)
        self._by_newest = _channel_context(self._by_newest.pins, self._clock)

    def adopt(self, signed: SignedSet) -> bool:
        """Make the app's SSL context enforce a signed pin set. Return True if the pins changed.

        Raises:
            UpdateError: the pin set must not replace the enforced one, for example because its
                version is lower. The SSL context keeps the enforced one.
        """
        current = self.context.pins
        if signed.recovers:
            require_following(signed.pins, self._bundled)
        else:
            root = self.known.verified.root if self.known else self._bundled_root
            require_following(signed.pins, current, same_root=root == signed.verified.root)
        other = signed.pins.version != current.version or (
            signed.recovers and signed.pins.policies != current.policies
        )
        if other:
            self._coming = signed
            self._swap(signed.pins, recover=signed.recovers)
        self.known = signed
        return other

    def _swap(self, pins: PinSet, *, recover: bool) -> None:
        try:
            self.context.swap(pins, recover=recover)
            self._follow(pins, recover=recover)
        except OSError as exc:  # which would otherwise be one of the cache
            raise UpdateError(
                f"the app's SSL context can't enforce the newest pins: {exc}",
                reason="context",
                fix="check the files that the app sets in its context; the next check tries again",
            ) from exc

    def _follow(self, pins: PinSet, *, recover: bool) -> None:
        own = _own(pins, self._host)
        self._forgotten = own is None
        self.newest_policy = pins.policy_for(self._host)
        if own is not None:
            self._by_newest.swap(own, recover=recover)


def _channel_context(pins: PinSet, clock: Callable[[], datetime]) -> PinnedSSLContext:
    context = PinnedSSLContext(pins, clock=clock)
    # RFC 7301: a server that has several protocols on one port must not choose another one.
    context.set_alpn_protocols(["http/1.1"])
    return context


def _own(pins: PinSet, host: str) -> PinSet | None:
    """Return a copy of a pin set for the update server: it has only the policy of ``host``.

    In the copy, the policy has no expiry date, so that expired pins don't prevent updates. Return
    None if the pin set has no policy for ``host``, or if the policy only reports.
    """
    policy = pins.policy_for(host)
    if policy is None or policy.mode != "enforce":
        return None
    return replace(pins, policies=(replace(policy, expires=None),))


def _required(bundled: PinSet, host: str) -> PinSet:
    own = _own(bundled, host)
    if own is not None:
        return own
    if bundled.policy_for(host) is None:
        raise ConfigError(
            f"the pin set has no policy for {host}, where its updates come from",
            key="url",
            fix=f"certpin add {host}",
        )
    raise ConfigError(
        f"the policy of {host}, where the updates come from, only reports",
        key="url",
        fix='set mode = "enforce" for it',
    )


class Notifier:
    """Sends update events to the logger ``certpin.updates`` and to the app's hooks.

    ``hooks`` are the functions of the app that are called with each ``UpdateEvent``.
    """

    def __init__(self, hooks: Iterable[UpdateHook]) -> None:
        self._hooks: Hooks[UpdateEvent] = Hooks(hooks, "update", _logger)

    def notify(self, event: UpdateEvent) -> None:
        """Log an update event, and pass it to the app's hooks. Never raises or waits."""
        with suppress(Exception):
            _logger().log(_level(event), "%s", _message(event), extra={"certpin": event.fields()})
        with suppress(Exception):
            self._hooks.notify(event)


def _level(event: UpdateEvent) -> int:
    if event.what == "checked":
        return logging.DEBUG
    if event.error is None:
        return logging.INFO
    return logging.WARNING if event.error.reason in _ORDINARY_REASONS else logging.ERROR


def _message(event: UpdateEvent) -> str:
    status = event.status
    held = f"version {status.version} of the pin set {status.name!r}"
    if event.error is not None:
        return f"{event.error.problem}; {held} stays in force ({status.state})"
    return f"{held} is in force now" if event.what == "updated" else f"{held} is the newest"


def _logger() -> logging.Logger:
    return logging.getLogger("certpin.updates")

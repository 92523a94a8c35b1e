"""Choose the TLS context for a collector: its pins, its roots, and reports that wait for pins.

``ReportTrust`` keeps the pin sets of a reporter for as long as the reporter exists. So a collector
that they cover is pinned even when the SSL contexts that brought them are gone.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from certpin.errors import CertificateParseError
from certpin.pins import PinSet, TrustAnchors
from certpin.pins.hosts import covering_patterns
from certpin.pins.policy import meaning
from certpin.reports.reporter.failures import address_host
from certpin.x509 import Certificate

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from certpin.reports.reporter.failures import PinSetVersion

_MAX_PIN_SETS = 64  # an app has one or two

_log = logging.getLogger("certpin.reports")

# Warnings, with the host of the collector.
_NO_ROOTS = (
    "the context of the reporter lists no roots (those of a folder are not listed), so %s is "
    "verified with the platform's: set `trust = FILE` in its policy"
)
_NO_LISTS = (
    "the revocation lists of the reporter's context can't be read for %s, which is pinned: load "
    "them into a PinnedSSLContext, and pass it to the reporter"
)


class PinnedContext(Protocol):
    """The attributes of a ``PinnedSSLContext`` that connections to collectors use.

    A collector is a server that receives reports.
    """

    @property
    def pins(self) -> PinSet:
        """The pin set that the context enforces."""

    @property
    def clock(self) -> Callable[[], datetime]:
        """A function that returns the current time with a time zone."""


class _Known(NamedTuple):
    pins: PinSet
    clock: Callable[[], datetime]


class ReportTrust:
    """Chooses the SSL context for connections to a collector, a server that receives reports.

    If a known pin set covers the collector's host, the chosen context enforces its pins. For all
    other collectors, the context ``given`` is used; if it is ``None``, a new context with the
    platform's roots. Several threads can use the object at the same time.

    Pin sets are known once they were given to ``attach`` or ``add``. The newest version of a pin
    set replaces the others of its name. The replaced version may have covered a host that the new
    one does not cover. While an SSL context enforces the replaced version, its pins apply to this
    host. After that, reports for the host wait, so that they are not sent without pins. They don't
    wait if the same context changed from the replaced version to the new one.

    Args:
        given: the context for collectors that no pin set covers. If it is pinned, its pin set is
            known, too. Otherwise its roots are also those for collectors that a pin set covers
            without ``trust``.
        clock: a function that returns the current time. It is used for the expiry of pin sets that
            come without a context, unless a context had one of the same name.
    """

    def __init__(self, given: ssl.SSLContext | None, clock: Callable[[], datetime]) -> None:
        self._given = given
        # Once, because OpenSSL later lists those of a folder that it has used for a connection.
        self._roots = _roots_of(given) if given else []
        self._clock = clock
        self._platform: ssl.SSLContext | None = None
        self._known: tuple[_Known, ...] = ()
        self._attached: WeakKeyDictionary[PinnedContext, PinSet] = WeakKeyDictionary()
        self._held: frozenset[str] = frozenset()  # patterns of pin sets that are not used any more
        self._begun = self._dropped = False
        self._warned: set[str] = set()
        self.reset_lock()

    def reset_lock(self) -> None:
        """Replace the lock in a forked child: a thread of the parent may hold the old one."""
        self._guard = threading.RLock()

    def attach(self, context: PinnedContext) -> bool:
        """Use the pins of this SSL context for collectors, also when the context is gone.

        Collectors are the servers that receive reports. Call it again when the context has changed
        to another pin set. Only then can a lower version replace the known one: after a recovery of
        ``PinUpdater``, the higher one may be an attacker's. Return True if reports that had to wait
        may be sent now.
        """
        with self._guard:
            before = self._attached.get(context)
            pins = self._attached[context] = context.pins
            follow = before is not None and before.version >= self._newest(before.name)
            return self._add(pins, context.clock, follow=follow, before=before)

    def add(self, pins: PinSetVersion, *, updated: bool = False) -> bool:
        """Use these pins for collectors. Return True if reports that had to wait may be sent now.

        Collectors are the servers that receive reports.

        Args:
            pins: a ``PinSet``, or an updater's status. Any other object is ignored.
            updated: True if the updater has just changed to these pins. Only then, and only in a
                recovery, can a lower version replace the known one.
        """
        enforced = pins if isinstance(pins, PinSet) else getattr(pins, "pins", None)
        if not isinstance(enforced, PinSet):
            return False
        with self._guard:
            follow = updated and getattr(pins, "recovered", False)
            return self._add(enforced, None, follow=follow)

    def begin(self) -> bool:
        """Allow reports to collectors without pins. Return False if they were allowed before.

        Until then, reports for such collectors wait, because the app may still give the pin set
        that covers the collector.
        """
        begun, self._begun = self._begun, True
        return not begun

    def pin_sets(self) -> list[PinSet]:
        """Return the known pin sets, after that of the context ``given`` if it is pinned."""
        given = getattr(self._given, "pins", None)
        known = [each.pins for each in self._known]
        return [given, *known] if isinstance(given, PinSet) else known

    def covers(self, address: str) -> bool:
        """Return True if a known pin set covers the host of a URL (``address``) with ``https://``.

        Return True also if a pin set was dropped, because it may have covered the host.
        """
        host = address_host(address)
        if not host or urlsplit(address).scheme != "https":
            return False
        pin_sets = [*self.pin_sets(), *(each.pins for each in self._enforced())]
        return self._holds(host) or any(pins.policy_for(host) for pins in pin_sets)

    def context_for(self, host: str, *, pinned: bool) -> ssl.SSLContext | None:
        """Return the SSL context for sending a report to a collector at this normalised host.

        Return ``None`` if the report must wait. That is so if no known pin set covers the host, and
        one covered it when the report was queued (``pinned``), or a pin set was dropped that may
        have covered it, or ``begin`` was not called yet.
        """
        begun = self._begun  # read before the pin sets, because ``_add`` sets it after them
        # The given context may be pinned too. Its report context has no hooks, so that the failure
        # of a report is not reported.
        make = getattr(self._given, "report_context", None)
        if make is not None and not self._outdated(host) and (found := make(host)) is not None:
            return cast("ssl.SSLContext", found)
        for known in (*reversed(self._known), *self._enforced()):
            if known.pins.policy_for(host) is not None:
                return self._pinned_context(known, host)
        if not begun:
            return None
        if pinned or self._holds(host):
            self._warn_of_pins(host)
            return None
        if self._given is not None:
            return self._given
        if self._platform is None:
            self._platform = _platform_context()
        return self._platform

    def _newest(self, name: str) -> int:
        return max((each.pins.version for each in self._known if each.pins.name == name), default=0)

    def _outdated(self, host: str) -> bool:
        """Return True if a newer version of the pin set of context ``given`` covers the host.

        This context is the one that the app gave for collectors without pins; it can be pinned
        itself.
        """
        given = getattr(self._given, "pins", None)
        return isinstance(given, PinSet) and any(
            each.pins.policy_for(host)
            for each in self._known
            if each.pins.name == given.name and each.pins.version > given.version
        )

    def _enforced(self) -> list[_Known]:
        """Return the pin sets that the attached contexts enforce, the newest first."""
        with self._guard:
            found = [_Known(pins, context.clock) for context, pins in self._attached.items()]
        return sorted(found, key=lambda each: each.pins.version, reverse=True)

    def _holds(self, host: str) -> bool:
        """Return True if reports for a host must wait for its pin set.

        This is so if a pin set that is not used any more covered the host, or may have covered it.
        """
        return self._dropped or not self._held.isdisjoint(covering_patterns(host))

    def _add(
        self,
        pins: PinSet,
        clock: Callable[[], datetime] | None,
        *,
        follow: bool,
        before: PinSet | None = None,
    ) -> bool:
        changed = self._learn(pins, clock, follow=follow, before=before)
        return self.begin() or changed

    def _learn(
        self,
        pins: PinSet,
        clock: Callable[[], datetime] | None,
        *,
        follow: bool,
        before: PinSet | None,
    ) -> bool:
        """Add a pin set to the known ones, and remove those that it replaces.

        Reports for a host that only a replaced pin set covers must wait (``_hold``).

        Args:
            pins: the pin set.
            clock: the clock of the context that enforces it; None if the pin set came without a
                context.
            follow: True to replace a known pin set of the same name even if ``pins`` has a lower
                version.
            before: the pin set from which the context changed to ``pins``: reports for its hosts
                don't have to wait. None if there is none.

        Returns:
            True if the known pin sets have changed.
        """
        if clock is None:  # no context came with it: an earlier one may have, with its clock
            named = (each.clock for each in self._known if each.pins.name == pins.name)
            clock = next(named, self._clock)
        if _Known(pins, clock) in self._known:
            return False  # the app makes a client for each request
        if pins.version < self._newest(pins.name) and not follow:
            self._hold([pins])
            return False
        kept = [
            each
            for each in self._known
            if each.pins.name != pins.name
            # Two parts of an app may have sets of one name and version, for different hosts.
            or (each.pins.version == pins.version and meaning(each.pins) != meaning(pins))
        ]
        replaced = [each.pins for each in self._known if each not in kept]
        self._dropped = self._dropped or len(kept) >= _MAX_PIN_SETS
        self._known = (*kept, _Known(pins, clock))[-_MAX_PIN_SETS:]
        self._hold(each for each in replaced if before is None or meaning(each) != meaning(before))
        return True

    def _hold(self, pin_sets: Iterable[PinSet]) -> None:
        """Make reports wait for hosts that these pin sets cover, and no known pin set covers."""
        known = {pattern for each in self._known for pattern in _patterns(each.pins)}
        self._held |= {pattern for pins in pin_sets for pattern in _patterns(pins)} - known

    def _pinned_context(self, known: _Known, host: str) -> ssl.SSLContext:
        """Return an SSL context that enforces the pins of a known pin set, without hooks.

        ``known`` is the pin set with its clock. If the context ``given`` has roots, and the policy
        of the host has no ``trust``, only those roots are trusted for the host.
        """
        import ssl

        from certpin.tls import PinnedSSLContext
        from certpin.x509.revocation import CRL_FLAGS

        pins, given = known.pins, self._given
        policy = pins.policy_for(host)
        if policy and policy.trust is None and given and not hasattr(given, "report_context"):
            if roots := _loadable(self._roots):
                strict = bool(given.verify_flags & ssl.VERIFY_X509_STRICT)
                trust = TrustAnchors(roots, "Reporter(context=…)", strict)
                own = replace(policy, trust=trust)
                policies = tuple(own if each is policy else each for each in pins.policies)
                pins = replace(pins, policies=policies)
            else:
                self._warn_once(_NO_ROOTS, host)
        context = PinnedSSLContext(pins, clock=known.clock)
        if given:
            context.follow_revocation(given)
            if given.verify_flags & CRL_FLAGS and not hasattr(given, "report_context"):
                self._warn_once(_NO_LISTS, host)
        return context

    def _warn_of_pins(self, host: str) -> None:
        if self._dropped:
            fix = (
                "give all versions of a pin set the same name, because a reporter keeps the newest "
                f"{_MAX_PIN_SETS} names"
            )
        elif self._holds(host):
            fix = (
                "give pin sets for different hosts different names, because a reporter keeps the "
                "newest version of a name"
            )
        else:
            fix = (
                "pass the reporter to its context (on_failure=[reporter]), or call "
                "reporter.presence(pins)"
            )
        self._warn_once("reports for %s wait for the pin set that covered it: %s", host, fix)

    def _warn_once(self, text: str, *values: str) -> None:
        """Log a warning, unless one with the same ``text`` was logged before.

        ``text`` is a format string, and ``values`` are the values for its placeholders.
        """
        if text not in self._warned:
            self._warned.add(text)
            _log.warning(text, *values)


def _patterns(pins: PinSet) -> set[str]:
    return {str(policy.pattern) for policy in pins.policies}


def _roots_of(context: ssl.SSLContext) -> list[bytes]:
    """Return the roots (DER) that an SSL context without pins has loaded from files.

    The list is empty for a pinned context, and for one that can't list its roots.
    """
    if hasattr(context, "report_context"):
        return []
    try:
        return context.get_ca_certs(binary_form=True)
    except NotImplementedError:  # the context of truststore
        return []


def _loadable(roots: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the roots (DER) that a pinned context can load, without those that can't be parsed."""
    found = []
    for der in roots:
        with suppress(CertificateParseError):
            found.append(Certificate.from_der(der).der)
    return tuple(found)


def _platform_context() -> ssl.SSLContext:
    import ssl

    from certpin.x509.openssl import harden

    context = ssl.create_default_context()
    harden(context)
    return context

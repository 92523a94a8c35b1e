"""One look: what is wrong now, what becomes of each alert, and who has to be told."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.errors import StoreError
from certpin.x509 import printable
from certpin_watch.alerts.book import known_alerts, write_changes
from certpin_watch.alerts.bounds import bounded
from certpin_watch.alerts.evidence import Evidence, Own
from certpin_watch.alerts.gather import Past, gather
from certpin_watch.alerts.message import Message, fields
from certpin_watch.alerts.outbox import give_up_strangers
from certpin_watch.alerts.quiet import Quiet
from certpin_watch.alerts.rules import RULES
from certpin_watch.alerts.silences import silences_in_force
from certpin_watch.alerts.state import Seen, decide
from certpin_watch.alerts.touched import touched
from certpin_watch.alerts.windows import windows
from certpin_watch.alerts.wording import harmless
from certpin_watch.monitor.findings import findings as of_the_monitor
from certpin_watch.store.leases import confirm, release, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin_watch.alerts.book import Written
    from certpin_watch.finding import Finding
    from certpin_watch.snapshot import Watch
    from certpin_watch.store.leases import Lease

    Monitor = Callable[[Watch, datetime], list[Finding]]

log = logging.getLogger("certpin.watch.alerts")

_CALM = {"resolved", "silenced", "maintenance"}  # events that need nobody
_LONGEST = 300  # characters of a text in a line of the log
_LEASE = "alerts"
_TERM = 60  # seconds, or four looks
_MONITOR = "the monitor's findings"
_REPORTS = "the reports of clients"


class Looker:
    """Looks again and again. One process at a time does: the one that has the lease."""

    def __init__(self, watch: Watch, monitor: Monitor = of_the_monitor) -> None:
        self._watch = watch
        self._monitor = monitor
        self._holder = f"alerts-{secrets.token_hex(8)}"
        self._lease: Lease | None = None
        self._past = Past()
        self._blind: dict[str, str] = {}

    def holds(self, now: int) -> bool:
        """Whether this process is the one."""
        return self._lease is not None and self._lease.is_valid_at(now)

    def look(self) -> int | None:
        """Look, and write. How many messages came of it; ``None`` where another process looks.

        Raises ``StoreError``.
        """
        now = int(self._watch.clock().timestamp())
        term = max(_TERM, 4 * int(self._watch.settings.alerts.every.total_seconds()))
        with self._watch.store.write() as connection:
            self._lease = take(connection, _LEASE, self._holder, now, term)
        if self._lease is None:
            return None
        return self._write(self._lease, self._seen(now), now)

    def let_go(self) -> None:
        """Let another process look. Raises ``StoreError``."""
        if self._lease is not None:
            with self._watch.store.write() as connection:
                release(connection, self._lease)
            self._lease = None

    def _seen(self, now: int) -> tuple[Seen, bool]:
        """What is found, and whether the monitor's part of it could not be looked at."""
        failed: dict[str, str] = {}
        found: list[Finding] = []
        try:
            found += self._monitor(self._watch, datetime.fromtimestamp(now, UTC))
        except StoreError:
            raise
        except Exception as exc:  # noqa: BLE001  # one mistake must not blind the others
            failed[_MONITOR] = _name(exc)
        evidence, blind = self._evidence(now, failed)
        for name in sorted(RULES.keys() - blind):
            try:
                found += bounded(RULES[name].find(evidence), self._past.patterns)
            except Exception as exc:  # noqa: BLE001  # one mistake must not blind the others
                failed[f"the rule {name}"] = _name(exc)
                blind |= {name}
        self._blind = failed
        clients = {each.key: touched(each, evidence.holders) for each in found}
        return Seen(tuple(found), frozenset(blind), clients), _MONITOR in failed

    def _evidence(self, now: int, failed: dict[str, str]) -> tuple[Evidence, set[str]]:
        blind = self._blind | failed
        try:
            with self._watch.store.read() as connection:
                return gather(connection, self._watch, self._past, now, blind), set()
        except StoreError:
            raise
        except Exception as exc:  # noqa: BLE001  # one mistake must not blind the others
            failed[_REPORTS] = _name(exc)
        own = Own(blind=blind | failed)
        bare = Evidence(now, self._watch.settings.alerts, own=own)
        return bare, set(RULES) - {"look-fails"}

    def _write(self, lease: Lease, seen: tuple[Seen, bool], now: int) -> int | None:
        settings = self._watch.settings.alerts
        sets = self._watch.watched.snapshot().sets
        found, monitor_failed = seen
        with self._watch.store.write() as connection:
            if not confirm(connection, lease):
                return None
            quiet = Quiet(
                silences_in_force(connection, now, settings),
                windows(sets, now, settings.maintenance),
            )
            known = known_alerts(connection, now)
            if monitor_failed:
                theirs = {each.rule for each in known} - RULES.keys()
                found = Seen(found.findings, found.blind | theirs, found.clients)
            give_up_strangers(connection, [each.name for each in settings.tell], now)
            changes = decide(known, found, quiet, now, settings)
            written = write_changes(connection, changes, quiet, now, settings)
        url = self._watch.settings.public_url.rstrip("/")
        for each in written:
            _log(each, now, url)
        return sum(len(each.services) for each in written)


def _log(event: Written, now: int, url: str) -> None:
    """Log what became of an alert, with the fields that the webhook has."""
    alert, what = event.item.alert, event.item.what
    (found,) = fields(Message((event.item,), now, url))
    about = alert.host or alert.pin_set
    level = logging.INFO if what in _CALM or alert.severity == "info" else logging.WARNING
    log.log(
        level,
        "alert %s %s: %s %s%s: %s (%s)",
        alert.id,
        what,
        alert.severity,
        alert.rule,
        f" at {printable(about[:_LONGEST])}" if about else "",
        harmless(alert.summary, _LONGEST),
        f"to {', '.join(event.services)}" if event.services else "to no service",
        extra={"fields": found | {"services": event.services}},
    )


def _name(exc: Exception) -> str:
    """Its kind alone is told: what it says may come from a network. The log has where it was."""
    log.error("a look failed", exc_info=exc)
    return f"a mistake of certpin ({type(exc).__name__})"

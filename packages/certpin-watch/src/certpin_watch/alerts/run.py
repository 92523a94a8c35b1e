"""The task of ``certpin serve`` for alerts: evaluate rules, store alerts, send messages.

If several processes share a store, only the one that holds the *lease* does this. The lease is a
row in the store that one process at a time holds, and has to renew.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from certpin.errors import StoreError
from certpin.pins import utc_now
from certpin.support.text import counted, printable
from certpin_watch.alerts.delivery import Notifier, is_wanted, send_once
from certpin_watch.alerts.evidence import FailureHistory, gather_reports, gather_service
from certpin_watch.alerts.message import Item, Message, clients_text, harmless, message_json
from certpin_watch.alerts.services import make_services
from certpin_watch.alerts.silences import Silencing, describe_suppression, maintenance_windows
from certpin_watch.alerts.state import decide
from certpin_watch.context import pause
from certpin_watch.monitor.evidence import ProbeEvidence, gather_probes
from certpin_watch.monitor.scheduler import first_round
from certpin_watch.rules.engine import RULES, describe_failure, evaluate
from certpin_watch.rules.evidence import Evidence, ReportEvidence, ServiceEvidence
from certpin_watch.store import alerts as alert_store
from certpin_watch.store.alerts import AlertRow
from certpin_watch.store.instances import (
    Deference,
    FileComparison,
    InstanceFiles,
    compare_files,
    forget_files,
    record_files,
)
from certpin_watch.store.leases import confirm, release, take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from certpin_watch.alerts.state import AlertChange, Transition
    from certpin_watch.context import Watch
    from certpin_watch.rules.engine import Evaluation
    from certpin_watch.rules.evidence import EvidencePart
    from certpin_watch.rules.rule import AlertRule
    from certpin_watch.settings import AlertSettings
    from certpin_watch.store.leases import HeldLease

    GatherProbes = Callable[[Watch, datetime], ProbeEvidence]

log = logging.getLogger("certpin.watch.alerts")

NO_SERVICES = (
    "no service receives alerts: they are only logged and shown on the pages\n"
    '  fix: add [[alerts.tell]] to watch.toml (see the page "Alerts" of the documentation)'
)
_MAX_LOGGED = 300  # characters of a text in a line of the log
_QUIET_EVENTS = {"resolved", "silenced", "maintenance"}  # that need no action
_POLL_SECONDS = 1.0  # between two checks for messages to a service
_STORE_RETRY_SECONDS = 5.0  # after the store was unavailable
_LEASE = "alerts"
_LEASE_SECONDS = 60  # or four evaluations
_WARN_SECONDS = 3600  # between two equal warnings about other instances' files
_MAX_DIFFERENCES = 10  # in such a warning
_PROBES = "the monitor's findings"
_REPORTS = "the reports of clients"


async def run(watch: Watch, stop: asyncio.Event) -> None:
    """Evaluate the alert rules, and send messages, until ``stop`` is set.

    If a message is being sent when ``stop`` is set, this function waits until the message is sent,
    or its deadline has passed.

    Raises:
        ConfigError: the settings of a notification service are invalid.
    """
    services = await asyncio.to_thread(make_services, watch.settings.alerts)
    evaluator = Evaluator(watch)
    async with asyncio.TaskGroup() as group:
        group.create_task(_evaluate_regularly(watch, evaluator, stop))
        for service in services:
            group.create_task(_notify(watch, evaluator, Notifier(watch, service), stop))


async def check_services(settings: AlertSettings, public_url: str = "") -> dict[str, str]:
    """Send a test message to each notification service.

    Args:
        settings: the table ``[alerts]``.
        public_url: the base address of the web pages, or empty.

    Returns:
        A mapping of the name of each service to the reason if sending failed, else to an empty
        text.

    Raises:
        ConfigError: the settings of a service are invalid.
    """
    services = await asyncio.to_thread(make_services, settings)
    message = _test_message(int(utc_now().timestamp()), public_url.rstrip("/"))
    deadline = settings.deadline.total_seconds()
    problems = await asyncio.gather(
        *(send_once(service, message, deadline) for service in services)
    )
    return {service.name: problem for service, problem in zip(services, problems, strict=True)}


def _test_message(now: int, url: str) -> Message:
    alert = AlertRow(
        key="test",
        rule="test",
        severity="info",
        host="",
        pin_set="",
        summary="this is a test of certpin watch alerts --test: there is no problem",
        command="certpin watch alerts",
        opened_at=now,
        last_at=now,
    )
    return Message((Item("opened", alert, "No clients are affected."),), now, url)


async def _evaluate_regularly(watch: Watch, evaluator: Evaluator, stop: asyncio.Event) -> None:
    every = watch.settings.alerts.every.total_seconds()
    try:
        while not stop.is_set():
            seconds = every
            try:
                await asyncio.to_thread(evaluator.run_once)
            except StoreError as exc:
                log.warning("nothing can be evaluated: %s", exc.problem)
                seconds = _STORE_RETRY_SECONDS
                with suppress(StoreError):  # another process may be able to evaluate
                    await asyncio.to_thread(evaluator.release)
            await pause(stop, seconds)
    finally:
        with suppress(StoreError):  # the lease and the row expire by themselves
            await asyncio.to_thread(evaluator.release, stopped=stop.is_set())


async def _notify(
    watch: Watch, evaluator: Evaluator, notifier: Notifier, stop: asyncio.Event
) -> None:
    """Send queued messages to one notification service until ``stop`` is set.

    Messages are sent only while this process holds the lease, the right to send them. If the store
    is unavailable, that is logged, and messages wait. ``evaluator`` knows if the process holds the
    lease; ``notifier`` sends the messages of the service.
    """
    while not stop.is_set():
        more = False
        try:
            if evaluator.holds_lease(int(watch.clock().timestamp())):
                more = await notifier.send_next()
                await notifier.refresh()
        except StoreError as exc:
            log.warning("%s waits: %s", notifier.service.name, exc.problem)
        if not more:
            await pause(stop, _POLL_SECONDS)


class Evaluator:
    """Evaluates all alert rules and stores the alerts, while this process holds the lease.

    The lease is a row in the store that one process at a time holds.

    Args:
        watch: the settings, the store, the pin files and the clock.
        gather_probes: the function that reads the probe results; tests pass another one.
        rules: the alert rules by id.
    """

    def __init__(
        self,
        watch: Watch,
        gather_probes: GatherProbes = gather_probes,
        rules: Mapping[str, AlertRule] = RULES,
    ) -> None:
        self._watch = watch
        self._gather_probes = gather_probes
        self._rules = rules
        self._holder = f"alerts-{secrets.token_hex(8)}"
        self._lease: HeldLease | None = None
        self._history = FailureHistory()
        self._failures: dict[str, str] = {}
        self._files = FileComparison()
        self._term = max(_LEASE_SECONDS, 4 * int(watch.settings.alerts.every.total_seconds()))
        self._deference = Deference(self._term)
        self._warned: tuple[FileComparison, int] = (self._files, 0)
        self._begun = watch.clock()
        self._last_at = int(self._begun.timestamp())

    def holds_lease(self, now: int) -> bool:
        """Return True if this process holds the lease at ``now``, in Unix seconds.

        The lease is a row in the store. Only the process that holds it evaluates the alert rules
        and sends messages.
        """
        return self._lease is not None and self._lease.is_valid_at(now)

    def run_once(self) -> int | None:
        """Evaluate all alert rules once, and store the changed alerts.

        Returns:
            The number of messages that were queued. None if this process does not hold the lease
            (the right to do this), so that nothing was evaluated. Either another process holds it,
            or this process has older pin files than another one, and leaves the lease to that
            process.

        Raises:
            StoreError: the store is unavailable.
        """
        now = int(self._watch.clock().timestamp())
        with self._watch.store.write() as connection:
            self._files = self._compare_files(connection, now)
            if self._deference.may_hold(now, is_outdated=self._files.is_outdated):
                self._lease = take(connection, _LEASE, self._holder, now, self._term)
            elif self._lease is not None:
                release(connection, self._lease)
                self._lease = None
        self._warn_of_differences(now)
        self._note_time(now, self._term)
        if self._lease is None:
            return None
        return self._write(self._lease, self._findings(now), now)

    def _compare_files(self, connection: Connection, now: int) -> FileComparison:
        """Compare the settings and pin files of this process with those of other processes.

        All processes that share the store record digests of their files in the store. This method
        first records the digests of this process. ``now`` is the Unix time.
        """
        watch = self._watch
        mine = InstanceFiles.of(watch.process, watch.settings, watch.pin_files.snapshot().sets)
        record_files(connection, mine, now)
        return compare_files(connection, mine, now)

    def _warn_of_differences(self, now: int) -> None:
        """Log a warning if other processes that share the store have different files.

        The files are the settings and the pin files. The warning is logged when the differences
        change, and once an hour while they remain. If there are no differences any more, that is
        logged, too.
        """
        found, (before, warned_at) = self._files, self._warned
        is_due = found.differences or found.unreadable
        if found == before and (not is_due or 0 <= now - warned_at < _WARN_SECONDS):
            return
        self._warned = found, now
        if found.unreadable:
            log.warning(
                "the files of %s can't be compared: %s\n  fix: run the same release everywhere",
                counted(found.unreadable, "other instance"),
                "another release wrote its row in the table leases, which is ignored",
            )
        if found.differences:
            log.warning(
                "other instances have other files: %s; meanwhile this one %s\n  fix: %s",
                "; ".join(found.differences[:_MAX_DIFFERENCES]),
                "leaves alerts and its own probes to one with newer files, if that takes them"
                if found.is_outdated
                else "resolves no alert and gives up no message",
                "copy watch.toml, the pin files and their journals to all machines",
            )
        elif before.differences:
            log.info("no other instance has other files any more")

    def _note_time(self, now: int, longest: int) -> None:
        """Start the waiting time of some rules again if the clock jumped.

        After a start of the process, some rules wait until the monitor had time to probe all hosts.
        They wait again after a jump of the time, because the monitor did not probe meanwhile: the
        clock was set, the machine was suspended, or the store was unavailable.

        Args:
            now: the Unix time.
            longest: the longest time between two calls that is not a jump, in seconds.
        """
        if not 0 <= now - self._last_at <= longest:
            self._begun = datetime.fromtimestamp(now, UTC)
        self._last_at = now

    def release(self, *, stopped: bool = False) -> None:
        """Release the lease, the right to evaluate rules, so that another process can take it.

        Args:
            stopped: True if this process is about to end. Then the stored digests of its settings
                and pin files are deleted, too, so that other processes don't compare their files
                with them.

        Raises:
            StoreError: the store is unavailable.
        """
        if self._lease is None and not stopped:
            return
        with self._watch.store.write() as connection:
            if self._lease is not None:
                release(connection, self._lease)
            if stopped:
                forget_files(connection, self._watch.process)
        self._lease = None

    def _findings(self, now: int) -> Evaluation:
        failures: dict[str, str] = {}
        evaluation = evaluate(self._gather(now, failures), self._rules)
        self._failures = failures | dict(evaluation.failures)
        return evaluation

    def _gather(self, now: int, failures: dict[str, str]) -> Evidence:
        """Read the data that the alert rules evaluate.

        Args:
            now: the Unix time.
            failures: if probe data or report data can't be read, the reason is added here.

        Returns:
            The data that could be read. It also contains the rules that failed at the previous
            evaluation: the rules that fail at the current evaluation are not known yet.
        """
        missing: set[EvidencePart] = set()
        probes, reports = ProbeEvidence(), ReportEvidence()
        try:
            probes = self._gather_probes(self._watch, datetime.fromtimestamp(now, UTC))
        except StoreError:
            raise
        except Exception as exc:  # noqa: BLE001  # one defect must not disable the other parts
            failures[_PROBES] = describe_failure(exc)
            missing.add("probes")
        try:
            with self._watch.store.read() as connection:
                reports = gather_reports(connection, self._watch, self._history, now)
                service = gather_service(connection, self._watch, now, self._failures | failures)
        except StoreError:
            raise
        except Exception as exc:  # noqa: BLE001  # one defect must not disable the other parts
            failures[_REPORTS] = describe_failure(exc)
            service = ServiceEvidence(failures=self._failures | failures)
            missing |= {"reports", "service"}
        settings = self._watch.settings
        age = datetime.fromtimestamp(now, UTC) - self._begun
        starting = age < first_round(settings.monitor)
        return Evidence(
            now, settings.alerts, probes, reports, service, frozenset(missing), starting
        )

    def _write(self, lease: HeldLease, evaluation: Evaluation, now: int) -> int | None:
        settings = self._watch.settings.alerts
        sets = self._watch.pin_files.snapshot().sets
        with self._watch.store.write() as connection:
            if not confirm(connection, lease):
                return None
            silencing = Silencing(
                alert_store.silences_in_force(connection, now, settings.silence),
                maintenance_windows(sets, now, settings.maintenance),
            )
            known = alert_store.known_alerts(connection, now)
            if self._files.differences:  # other instances may know more hosts and services
                kept = frozenset(alert.rule for alert in known)
                evaluation = replace(evaluation, skipped=evaluation.skipped | kept)
                given_up: Mapping[str, int] = {}
            else:
                services = [service.name for service in settings.tell]
                given_up = alert_store.give_up_removed(connection, services, now)
            changes = decide(known, evaluation, silencing, now, settings)
            written = write_changes(connection, changes, silencing, now, settings)
        for service, count in given_up.items():
            text = "%s to %s given up: the service is not in the settings any more"
            log.warning(text, counted(count, "message"), printable(service))
        url = self._watch.settings.public_url.rstrip("/")
        for event in written:
            _log(event, now, url)
        return sum(len(event.services) for event in written)


@dataclass(frozen=True)
class WrittenEvent:
    """An event of an alert that was stored, and the names of the services to notify about it."""

    item: Item
    services: tuple[str, ...]


def write_changes(
    connection: Connection,
    changes: Sequence[AlertChange],
    silencing: Silencing,
    now: int,
    settings: AlertSettings,
) -> list[WrittenEvent]:
    """Store changed alerts and their events, and queue the messages to send.

    All rows are written in the caller's transaction. So no message is sent about an event that was
    not stored, and no message about a stored event is lost in a crash.

    Args:
        connection: the transaction.
        changes: the alerts to store.
        silencing: the silences and maintenance windows.
        now: the Unix time.
        settings: the table ``[alerts]``.

    Returns:
        The stored events.
    """
    alert_store.update_alerts(
        connection, [change.alert for change in changes if change.alert.id is not None]
    )
    written = []
    for change in changes:
        number = change.alert.id
        if number is None:
            number = alert_store.insert_alert(connection, change.alert)
        alert = replace(change.alert, id=number)
        for transition in change.transitions:
            what = transition.what
            who, note = _event_note(change, transition, silencing, now, settings)
            event = alert_store.record_event(connection, number, now, what, who, note)
            services = tuple(
                service.name
                for service in settings.tell
                if transition.notify and is_wanted(service, alert, what)
            )
            alert_store.add_deliveries(connection, event, number, what, services, now)
            written.append(WrittenEvent(Item(what, alert, note), services))
    return written


def _event_note(
    change: AlertChange,
    transition: Transition,
    silencing: Silencing,
    now: int,
    settings: AlertSettings,
) -> tuple[str, str]:
    """Return the user and the note to store with an event of an alert, for the page and messages.

    ``change`` has the alert and its previous state, ``transition`` is the event, and ``silencing``
    has the silences and maintenance windows. ``now`` is in seconds since 1970, and ``settings`` are
    the settings for alerts.

    Returns:
        For the start of a silence: the user who made the silence, and the reason that this user
        gave. For the start of a maintenance window: an empty user, and a note with the step of the
        rotation. For any other event: an empty user, and a sentence with the number of affected
        clients.
    """
    if transition.what in {"silenced", "maintenance"}:
        return describe_suppression(change.alert, silencing, now, settings)
    before = change.before.told_clients if change.before else None
    return "", clients_text(change.alert.clients, before)


def _log(event: WrittenEvent, now: int, url: str) -> None:
    """Write an event of an alert to the log, with the fields of the JSON that webhooks get.

    ``now`` is the Unix time, and ``url`` the base address of the web pages, or empty.
    """
    alert, what = event.item.alert, event.item.what
    (values,) = message_json(Message((event.item,), now, url))
    about = alert.host or alert.pin_set
    is_calm = what in _QUIET_EVENTS or alert.severity == "info"
    log.log(
        logging.INFO if is_calm else logging.WARNING,
        "alert %s %s: %s %s%s: %s (%s)",
        alert.id,
        what,
        alert.severity,
        alert.rule,
        f" at {printable(about[:_MAX_LOGGED])}" if about else "",
        harmless(alert.summary, _MAX_LOGGED),
        f"to {', '.join(event.services)}" if event.services else "to no service",
        extra={"fields": values | {"services": event.services}},
    )

"""``certpin calendar``: coming dates that can lock clients out, as text, JSON or iCalendar."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.check import check_targets, checkup_name
from certpin.cli.main import INCONCLUSIVE, PROBLEM_FOUND, SUCCESS
from certpin.cli.options import (
    CERT_HAS_EXPIRED,
    json_option,
    pin_file_option,
    require_one_file,
    timeout_option,
)
from certpin.cli.reply import fold, print_json, say
from certpin.cli.servers import server_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, datetime

    from certpin.calendar import CalendarEvent
    from certpin.cli.servers import ServerOptions
    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.probe.checkup import Checkup
    from certpin.roots import RootData
    from certpin.x509 import Chain


@click.command()
@click.argument("pin_file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@pin_file_option
@server_options
@click.option(
    "--offline", is_flag=True, help="Do not connect; read only the pin file and its trust files."
)
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="FILE|URI",
    help="Also check that an authority can certify this backup key. May be repeated.",
)
@click.option(
    "--days",
    type=click.IntRange(min=0),
    metavar="DAYS",
    default=0,
    show_default=True,
    help="Exit code 1 if an event is at most this number of days ahead.",
)
@click.option("--ics", is_flag=True, help="Print iCalendar (RFC 5545), for a calendar program.")
@timeout_option
@json_option
@click.pass_context
def calendar(
    ctx: click.Context,
    pin_file: Path | None,
    path: Path,
    servers: ServerOptions,
    offline: bool,
    keys: tuple[str, ...],
    days: int,
    ics: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """List the dates ahead that can lock your clients out.

    Run it each month, or subscribe to it.

    For the hosts of PIN_FILE (pins.toml by default): certificates and authorities that expire, the
    end of the pins, the day on which the log list is too old for require_ct, roots that leave root
    stores, new limits for the life of certificates, announced changes of authorities, backups that
    no authority certifies, and Androids without the root of a chain. Each has its source and a
    fix. The facts about roots are those of this release of certpin: nothing is downloaded. Changes
    without an announcement can't be listed.

    It connects to the servers as certpin check does, to see their chains. --offline reads only the
    pin file and its trust files. With --host, only the events of these hosts are listed, and count
    for the exit code.

    \b
    certpin calendar --offline
    certpin calendar --days 10                                   for CI
    certpin calendar --ics > pins.ics

    Exit code 0: success. 1: an event is past, or at most DAYS ahead, or the chain of a server does
    not verify. 3: a host did not answer, so its certificates are missing.
    """  # noqa: D301  # click reads the \b itself
    from certpin.calendar import in_order, list_events, to_ical
    from certpin.pinfile import PinSet
    from certpin.pins import utc_now
    from certpin.roots import load_data

    if ics and as_json:
        raise click.UsageError("--ics and --json are two forms of the output: choose one")
    if offline and servers.connects:
        raise click.UsageError("--offline connects to no server: omit --connect and --starttls")
    require_one_file(ctx, pin_file)
    pins, now = PinSet.load(pin_file or path), utc_now()
    checkups = [] if offline else check_targets(servers.targets(pins), now, 0, timeout)
    pins = replace(pins, policies=servers.policies(pins))
    data = load_data()
    verified, served = _chains(checkups)
    events = in_order(
        (
            *list_events(pins, verified, data, now, served=served, key_types=_key_types(keys)),
            *_expired(checkups, data, now),
        )
    )
    unanswered = [
        f"{checkup_name(each)}: {problem}" for each in checkups if (problem := _problem(each))
    ]
    if ics:
        text = to_ical(events, pins.name, now)
        sys.stdout.buffer.write(text.encode())  # CRLF on every platform
    elif as_json:
        print_json(_calendar_json(pins, events, unanswered, data.edition, now))
    else:
        _print_events(events, now.date())
    if not as_json:
        for line in unanswered:
            say("certpin: warning", f"the certificates of this host are missing: {line}")
    ctx.exit(_exit_code(events, checkups, now.date(), days))


def _exit_code(
    events: Sequence[CalendarEvent], checkups: Sequence[Checkup], today: date, days: int
) -> int:
    refused = any(each.observation and each.observation.verified is None for each in checkups)
    if refused or any(event.is_due(today, days) for event in events):
        return PROBLEM_FOUND
    return SUCCESS if all(each.observation for each in checkups) else INCONCLUSIVE


def _chains(checkups: Sequence[Checkup]) -> tuple[dict[str, list[Chain]], dict[str, list[Chain]]]:
    """Return two maps from host patterns to chains: to verified chains, and to chains as served.

    Both maps contain only servers that presented a chain that verified. ``checkups`` are the
    results of comparing each server's chain with its pins.
    """
    verified: dict[str, list[Chain]] = {}
    served: dict[str, list[Chain]] = {}
    for checkup in checkups:
        if checkup.observation is not None and checkup.observation.verified is not None:
            pattern = str(checkup.policy.pattern)
            verified.setdefault(pattern, []).append(checkup.observation.verified)
            served.setdefault(pattern, []).append(checkup.observation.served)
    return verified, served


def _expired(checkups: Sequence[Checkup], data: RootData, now: datetime) -> Iterator[CalendarEvent]:
    """Yield an event for each expired certificate in chains that did not verify because of expiry.

    ``checkups`` are the results of comparing each server's chain with its pins. ``data`` has the
    facts about public roots. Only certificates on the path from the leaf upwards count. Others that
    the server sent are ignored.
    """
    from certpin.calendar import expired_certificates
    from certpin.x509 import Chain, served_path

    paths: dict[HostPolicy, list[Chain]] = {}
    for checkup in checkups:
        if checkup.observation is not None and checkup.observation.code == CERT_HAS_EXPIRED:
            path = served_path(checkup.observation.served.certificates).certificates
            paths.setdefault(checkup.policy, []).append(Chain(path))
    for policy, found in paths.items():
        yield from expired_certificates(policy, found, data, now)


def _problem(checkup: Checkup) -> str:
    """Return the reason why a server gave no verified chain; empty if it gave one.

    The reason is that there was no answer, or that the chain did not verify. ``checkup`` is the
    result of comparing the server's chain with its pins.
    """
    if checkup.observation is None:
        return checkup.error.problem if checkup.error else "no answer"
    return "" if checkup.observation.verified else checkup.findings[0]


def _key_types(keys: Sequence[str]) -> dict[Pin, str]:
    """Return the type of each key that the user named with ``--key``, by the key's pin.

    Raises:
        click.UsageError: a value is only a pin, which doesn't contain the type of its key.
    """
    from certpin.cli.named_key import resolve_key

    found = {}
    for text in keys:
        key = resolve_key(text)
        if not key.key_type:
            raise click.UsageError(f"--key {text!r}: a pin is a digest; name the file of the key")
        found[key.pin] = key.key_type
    return found


def _calendar_json(
    pins: PinSet,
    events: Sequence[CalendarEvent],
    unanswered: Sequence[str],
    edition: date,
    now: datetime,
) -> dict[str, Any]:
    return {
        "pin_set": pins.name,
        "version": pins.version,
        "edition": f"{edition}",
        "unanswered": list(unanswered),
        "events": [
            {
                "date": f"{event.day}" if event.day else None,
                "days_left": (event.day - now.date()).days if event.day else None,
                "kind": event.kind,
                "host": event.host or None,
                "subject": event.subject,
                "text": event.text,
                "fix": event.fix,
                "published": f"{event.published}" if event.published else None,
                "source": event.source or None,
                "uid": event.uid(pins.name),
            }
            for event in events
        ],
    }


def _print_events(events: Sequence[CalendarEvent], today: date) -> None:
    for event in events:
        for line in _lines(event, today):
            click.echo(fold(line, sys.stdout))
    if not events:
        click.echo("No event is known. Changes without an announcement can't be listed.")


def _lines(event: CalendarEvent, today: date) -> Iterator[str]:
    from certpin.support.text import in_days

    if event.day is None:
        when = "no date"
    elif event.day < today:
        when = f"{event.day}  {in_days((today - event.day).days)} ago"
    else:
        when = f"{event.day}  in {in_days((event.day - today).days)}"
    yield f"{when}  {event.host}: {event.text}" if event.host else f"{when}  {event.text}"
    yield f"    fix: {event.fix}"
    if event.source:
        yield f"    source: {event.source}"

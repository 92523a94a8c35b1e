"""``certpin rotate status``: where each pin stands, and until when each step is unsafe."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from certpin.cli.delays import delay_options, merged
from certpin.cli.forcing import told
from certpin.cli.main import FINDING, HOLDS, INCONCLUSIVE
from certpin.cli.measuring import Measuring, measuring_options
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import print_json
from certpin.cli.screen import fold
from certpin.cli.vantages import Looked, Vantages, vantage_options

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from certpin.cli.ledger import Ledger
    from certpin.cli.rotate_facts import Seen
    from certpin.rotation import Situation, Timing, Version


@click.command()
@click.argument("host", required=False, metavar="[HOST]")
@pin_file_option
@delay_options
@measuring_options
@vantage_options
@json_option
@click.pass_context
def status(
    ctx: click.Context,
    host: str | None,
    path: Path,
    delays: dict[str, timedelta],
    measuring: Measuring,
    vantages: Vantages,
    as_json: bool,
) -> None:
    """Show the state of each pin, and until when each step is unsafe.

    The line of a pin goes from GENERATED to REMOVED; the dates beneath are month and day. With
    --cdn, --cache, --poll, --opened or --skew you see what would be with those delays.

    Exit code 1: somebody is locked out now, or will be when pins end. 3: a host could not be asked.
    """
    from certpin.cli.ledger import Ledger
    from certpin.cli.rotate_facts import status_facts
    from certpin.pins import utc_now

    ledger = Ledger(path)
    if host:
        vantages = replace(vantages, hosts=(*vantages.hosts, host))
    policies = vantages.chosen(ledger.pins) if vantages.hosts else list(ledger.pins.policies)
    looked = vantages.look(ledger.pins, policies)
    timing, now = merged(ledger.timing, delays), utc_now()
    measuring.apply(ledger, timing, now)
    seen = [
        _see(ledger, ledger.situation(policy, looked.of(policy), now, timing))
        for policy in policies
    ]
    if as_json:
        print_json(status_facts(ledger, looked, timing, now, seen))
    else:
        _tell(ledger, looked, timing, now, seen)
    if any(each.breaches for each in seen):
        ctx.exit(FINDING)
    ctx.exit(INCONCLUSIVE if looked.error else HOLDS)


def _see(ledger: Ledger, situation: Situation) -> Seen:
    """Each pin of the draft, and those that the journal alone knows: keys that were made."""
    from certpin.cli.rotate_facts import Seen
    from certpin.cli.timeline import stand
    from certpin.pins import HostPin
    from certpin.rotation.invariants import of_the_field

    past = situation.past.states
    made = [
        HostPin(pin, "backup", state)
        for pin, state in past.items()
        if state == "generated" and situation.entry(pin) is None
    ]
    standings = tuple(
        stand(situation, entry, ledger.history.since(situation.pattern, entry.pin))
        for entry in (*situation.policy.pins, *made)
    )
    return Seen(situation, standings, of_the_field(situation))


def _tell(ledger: Ledger, looked: Looked, timing: Timing, now: datetime, seen: list[Seen]) -> None:
    from certpin.cli.timeline import drawn

    for line in _of_versions(ledger, timing, now):
        click.echo(fold(line, sys.stdout))
    for each in seen:
        click.echo("")
        click.secho(str(each.situation.pattern), bold=True)
        for breach in each.breaches:
            click.echo(fold(f"  NOW: {told(breach)}", sys.stdout))
        for standing in each.standings:
            for line in drawn(standing):
                click.echo(line)
    for unknown in looked.unknown:
        click.echo(fold(f"\nNot known: {unknown}.", sys.stdout))


def _of_versions(ledger: Ledger, timing: Timing, now: datetime) -> list[str]:
    """The draft against the field, and each version that clients may hold."""
    from certpin.pins.meaning import meaning
    from certpin.rotation import format_duration
    from certpin.rotation.breach import in_utc

    latest = ledger.field.latest
    lines = [f"T_adopt {format_duration(timing.adopt)}: {_sum(timing)}"]
    if latest is None:
        return [*lines, "No version is recorded: certpin rotate publish records what clients have."]
    if meaning(ledger.pins) != meaning(latest.pins):
        lines.append(f"The draft differs from version {latest.number}: certpin rotate publish")
    for version in ledger.field.alive(now, timing):
        until = ledger.field.dies(version, timing)
        how = "in a binary" if version.bundled else _fetched(version)
        held = "an unknown number of clients" if version.clients is None else version.clients
        end = f"until {in_utc(until)}" if until else _without_end(version)
        told = f", last told {version.told:%Y-%m-%d}" if version.told else ""
        lines.append(f"version {version.number}, {how}, {end}, clients: {held}{told}")
    return lines


def _fetched(version: Version) -> str:
    return "not pushed yet (certpin publish push)" if version.waiting else "fetched"


def _without_end(version: Version) -> str:
    return "until you say that it has ended" if version.bundled else "until the next one"


def _sum(timing: Timing) -> str:
    return " + ".join(f"{name} {text}" for name, text in timing.texts().items())

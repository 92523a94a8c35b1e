"""``certpin rotate generate`` and ``stage``: a key is made, and its pin comes into the draft."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from certpin.cli.backup import backup_options
from certpin.cli.forcing import Forcing, forcing_options, of_host
from certpin.cli.hosts import host_option
from certpin.cli.ledger import who_option
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.vantages import Vantages

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.cli.backup import Backup
    from certpin.cli.forcing import Found
    from certpin.pins import HostPolicy, Pin


@click.command()
@pin_file_option
@host_option
@backup_options
@who_option
@json_option
@click.pass_context
def generate(
    ctx: click.Context,
    path: Path,
    hosts: tuple[str, ...],
    backup: Backup,
    who: str | None,
    as_json: bool,
) -> None:
    """Make the key of the next backup, and remember that it exists.

    The pin file stays as it is: the journal notes the pin, and where the key is. Keep the key off
    the server and out of version control, or let --backup-key make it on a PKCS#11 token.
    --backup-pin notes a key that you made elsewhere.
    """
    import shlex

    from certpin.cli.aim import meant
    from certpin.cli.ledger import Ledger, name_of
    from certpin.cli.outcome import Outcome
    from certpin.pins import utc_now
    from certpin.rotation import Event

    ledger = Ledger(path)
    named = Vantages.unasked(hosts)
    policies = meant(ledger.pins, named, None)
    pin, now = backup.pin, utc_now()
    if pin is None:
        raise click.UsageError("say where the new key is to be: --backup-key FILE")
    for policy in policies:
        _refuse_known(path, policy, pin)
    events = [
        Event(now, name_of(who), "generate", str(each.pattern), pin, note=backup.note)
        for each in policies
    ]
    with backup.written():
        ledger.commit(events)
    source = backup.place or str(pin)
    names = [str(each.pattern) for each in policies]
    Outcome(
        "generate",
        path,
        names,
        pin,
        done=True,
        said=[f"{pin} is GENERATED for {', '.join(names)}.", *backup.advice()],
        following=named.again(
            f"certpin rotate stage {shlex.quote(source)}", path, ledger.pins, policies, dials=False
        ),
    ).show(ctx, as_json=as_json)


@click.command()
@click.argument("key", metavar="KEY | CSR | CERT | PIN | URI")
@pin_file_option
@host_option
@forcing_options
@who_option
@json_option
@click.pass_context
def stage(
    ctx: click.Context,
    key: str,
    path: Path,
    hosts: tuple[str, ...],
    forcing: Forcing,
    who: str | None,
    as_json: bool,
) -> None:
    """Put a key's pin into the draft: the pin file.

    Clients hear of it when the file is published. Refused for a key that was compromised or
    removed: nothing comes back.
    """
    from certpin.cli.aim import aim, meant
    from certpin.cli.ledger import Ledger, name_of
    from certpin.cli.outcome import Outcome
    from certpin.pins import HostPin, utc_now
    from certpin.rotation import Event, gate, standing
    from certpin.rotation.states import require

    ledger = Ledger(path)
    ledger.need_a_version()
    wanted, now = aim(key), utc_now()
    named = Vantages.unasked(hosts)
    policies = meant(ledger.pins, named, None)
    breaches: Found = []
    for policy in policies:
        situation = ledger.situation(policy, (), now)
        if situation.entry(wanted.pin) or wanted.pin not in situation.past.compromised:
            require(wanted.pin, standing(situation, wanted.pin), "staged")
        breaches += of_host(policy, gate.to_stage(situation, wanted.pin))
    names = [str(each.pattern) for each in policies]
    outcome = Outcome("stage", path, names, wanted.pin, breaches=breaches, forced=forcing.force)
    if not forcing.refuses(breaches):
        for name in names:
            ledger.editor.add_pin(name, HostPin(wanted.pin, "backup", "staged", wanted.note))
        ledger.commit(
            [
                Event(
                    now,
                    name_of(who),
                    "stage",
                    name,
                    wanted.pin,
                    note=wanted.note,
                    reason=forcing.recorded(breaches),
                )
                for name in names
            ]
        )
        outcome.done = True
        outcome.said = [f"{wanted.pin} is STAGED in {path} for {', '.join(names)}."]
        pins = ledger.pins
        outcome.following = named.again("certpin rotate publish", path, pins)
    outcome.show(ctx, as_json=as_json)


def _refuse_known(path: Path, policy: HostPolicy, pin: Pin) -> None:
    """A key that the draft has is no new one: the journal would call it GENERATED again."""
    from certpin.errors import ConfigError

    if pin in {each.pin for each in policy.pins}:
        raise ConfigError(
            f"{pin} is in {path} already, at {policy.pattern}",
            key="pin",
            fix="a backup is a new key: --backup-key FILE makes one",
        )

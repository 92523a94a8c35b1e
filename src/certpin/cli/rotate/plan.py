"""``certpin rotate plan``: the dated steps to another key."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import FINDING, HOLDS
from certpin.cli.options import json_option, pin_file_option
from certpin.cli.reply import print_json
from certpin.cli.rotate.context import (
    Measuring,
    breach_facts,
    delay_options,
    measuring_options,
    merged,
    told,
)
from certpin.cli.screen import fold
from certpin.cli.servers import Vantages, vantage_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from pathlib import Path

    from certpin.pins import HostPolicy, Pin, PinSet
    from certpin.rotation import Plan, Step


_BACKUP_FILE = "next-backup.key"


@click.command()
@pin_file_option
@click.option(
    "--to", "key", required=True, metavar="KEY|CSR|CERT|PIN|URI", help="The key that comes next."
)
@delay_options
@measuring_options
@vantage_options
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    path: Path,
    key: str,
    delays: dict[str, timedelta],
    measuring: Measuring,
    vantages: Vantages,
    as_json: bool,
) -> None:
    """Print the dated steps to another key.

    Each with its command, and the date before which it would lock somebody out. The plan is tried
    before it is printed, behind the guards of those commands: where one refuses, it ends there and
    says why. When something has changed, plan again: what is done drops out.

    Exit code 0: it leads to the key. 1: it does not. 3: a host could not be asked.
    """
    from certpin.cli.keyref import aim, meant
    from certpin.cli.rotate.context import Ledger
    from certpin.pins import utc_now
    from certpin.rotation import plan as steps_to

    ledger = Ledger(path)
    wanted = aim(key)
    policies = meant(ledger.pins, vantages, wanted)
    looked = vantages.look(ledger.pins, policies)
    if looked.error:
        raise looked.error
    timing, now = merged(ledger.timing, delays), utc_now()
    measuring.apply(ledger, timing, now)
    plans = {
        str(policy.pattern): steps_to(
            ledger.situation(policy, looked.of(policy), now, timing), wanted.pin
        )
        for policy in policies
    }
    commands = {
        str(policy.pattern): _Commands(path, ledger.pins, policy, vantages, key)
        for policy in policies
    }
    if as_json:
        hosts = [_facts(host, made, commands[host]) for host, made in plans.items()]
        facts = {"file": str(path), "to": str(wanted.pin), "hosts": hosts}
        print_json(facts | {"unknown": looked.unknown})
    else:
        for host, made in plans.items():
            _tell(host, made, commands[host])
        for each in looked.unknown:
            click.echo(fold(f"Not known: {each}.", sys.stdout))
    ctx.exit(HOLDS if all(each.possible for each in plans.values()) else FINDING)


def _tell(host: str, made: Plan, commands: _Commands) -> None:
    click.secho(f"{host}: to {made.to}", bold=True)
    word = "now"
    for number, step in enumerate(made.steps, 1):
        click.echo(fold(f"{number:>3}. {_when(step, word)}: {words(step)}", sys.stdout))
        word = "then" if step.act == "serve" or step.not_before else word
        if command := commands.of(step, made):
            click.echo(f"       {command}")
    for breach in made.breaches:
        click.echo(
            fold(f"Impossible{' after that' if made.steps else ''}: {told(breach)}", sys.stdout)
        )


def _when(step: Step, otherwise: str) -> str:
    from certpin.rotation.timing import in_utc

    if step.not_before is None:
        return f"when {step.waits}" if step.waits else otherwise
    counted = f", if version {step.counts_from} goes out now" if step.counts_from else ""
    return f"not before {in_utc(step.not_before)}{counted}"


def words(step: Step, named: Callable[[Pin], str] = str) -> str:
    """What a step does; ``named`` says how a pin is called."""
    from certpin.rotation import NEXT_BACKUP

    pin = "the next backup" if step.pin in {None, NEXT_BACKUP} else named(step.pin)
    return {
        "generate": "make the key of the next backup",
        "stage": f"put {pin} into the draft",
        "publish": f"publish version {step.version}, and give it to the clients",
        "push": f"let clients fetch version {step.version}, which waits for it",
        "activate": f"allow the servers to use {pin}",
        "serve": "install its certificate on every server",
        "retire": f"let {pin} retire",
        "remove": f"take {pin} out of the draft",
    }[step.act]


@dataclass(frozen=True)
class _Commands:
    """The commands of a plan: each leads to the file and the servers that the plan was made for."""

    path: Path
    pins: PinSet
    policy: HostPolicy
    vantages: Vantages
    key: str

    def of(self, step: Step, made: Plan) -> str:
        """What to type; empty for the certificate, which is installed by other means."""
        import shlex

        from certpin.rotation import NEXT_BACKUP

        if step.act == "serve":
            return ""
        if step.act == "push":
            return "certpin publish push"
        if step.act == "publish":
            return self._again("certpin rotate publish", self.pins.policies)
        if step.act == "generate":
            command = f"certpin rotate generate --backup-key {_BACKUP_FILE}"
            return self._again(command, [self.policy], dials=False)
        named = {NEXT_BACKUP: _BACKUP_FILE, made.to: self.key}
        word = named.get(step.pin, str(step.pin)) if step.pin else ""
        command = f"certpin rotate {step.act} {shlex.quote(word)}"
        return self._again(command, [self.policy], dials=step.act != "stage")

    def _again(self, command: str, policies: Sequence[HostPolicy], *, dials: bool = True) -> str:
        return self.vantages.again(command, self.path, self.pins, policies, dials=dials)


def _facts(host: str, made: Plan, commands: _Commands) -> dict[str, Any]:
    return {
        "host": host,
        "possible": made.possible,
        "steps": [_step_facts(step, made, commands) for step in made.steps],
        "breaches": [breach_facts(host, each) for each in made.breaches],
    }


def _step_facts(step: Step, made: Plan, commands: _Commands) -> dict[str, Any]:
    from certpin.rotation import NEXT_BACKUP

    return {
        "act": step.act,
        "pin": str(step.pin) if step.pin and step.pin != NEXT_BACKUP else None,
        "version": step.version,
        "not_before": step.not_before.isoformat() if step.not_before else None,
        "counts_from": step.counts_from,
        "waits": step.waits or None,
        "command": commands.of(step, made) or None,
    }

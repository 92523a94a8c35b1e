"""``certpin rotate plan``: the steps, with dates, by which servers change to another key."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_files
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.named_key import policies_for_step, resolve_key
from certpin.cli.options import json_option, pin_file_option, unused_name
from certpin.cli.reply import fold, print_json
from certpin.cli.rotate.files import RotationFiles, probe_for_reading
from certpin.cli.rotate.new_chain import NewChain
from certpin.cli.rotate.recording import (
    draft_refusals,
    publish_commands,
    push_commands,
    question_about_unpinned,
    refusals_elsewhere,
)
from certpin.cli.rotate.steps import (
    UsageOptions,
    delay_options,
    format_violation,
    time_json,
    usage_options,
    violation_json,
    with_delays,
)
from certpin.cli.servers import ProbeOptions, probe_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from pathlib import Path

    from certpin.pins import HostPolicy, Pin
    from certpin.rotation import Plan, Situation, Step


@click.command()
@pin_file_option
@click.option(
    "--to",
    "key",
    required=True,
    metavar="KEY|CSR|CERT|PIN|URI",
    shell_complete=complete_files,
    help="The key that comes next, or the file of its chain.",
)
@delay_options
@usage_options
@probe_options
@json_option
@click.pass_context
def plan(
    ctx: click.Context,
    path: Path,
    key: str,
    delays: dict[str, timedelta],
    usage: UsageOptions,
    probes: ProbeOptions,
    as_json: bool,
) -> None:
    """Print the dated steps to another key.

    Use it before you change a key. Nothing is written.

    Each step has its command, and the date before which it would lock clients out. Before the plan
    is printed, its steps are checked by the same gate as those commands: if the gate refuses a
    step, the plan ends there and prints the reason. A rule that is broken already is a line with
    NOW, and ends no plan. When something has changed, plan again:
    completed steps are left out.

    Name the file of the chain, such as fullchain.pem, if you have it: then the whole chain is
    checked, as `certpin rotate switch` does. A chain under a pinned authority may need no pin of
    its key. With only a key, the plan assumes that every client verifies its chain, and says so.

    \b
    certpin rotate plan --to next.key
    certpin rotate plan --to fullchain.pem
    certpin rotate plan --to next.key --opened 60d

    Exit code 0: the plan leads to the key. 1: it does not. 3: a server did not answer.
    """  # noqa: D301  # click reads the \b itself
    from certpin.rotation.remedies import file_of_hosts

    files = RotationFiles(path)
    wanted = resolve_key(key)
    policies = policies_for_step(files.pins, probes, wanted)
    chain = NewChain(wanted, policies)
    chain.require_certifiable()
    results, now = probe_for_reading(files, probes, files.pins, policies)
    results.require_answers()
    timing = with_delays(files.timing, delays)
    usage.apply(files, timing, now)
    situations = [files.situation(policy, results.of(policy), now, timing) for policy in policies]
    plans = host_plans(files, chain, situations)
    commands: dict[str, _Commands] = {}
    for policy in policies:
        commands[str(policy.pattern)] = _Commands(
            files,
            policy,
            probes,
            key,
            unused_name(file_of_hosts("next-backup.key", files.pins, [policy])),
            bool(chain.prospects),
        )
    unknown = [*results.unknown, *chain.unknown, *chain.dart_unknown]
    if unpinned := [str(each.pattern) for each in situations if each.is_unpinned]:
        unknown.append(question_about_unpinned(files, unpinned, probes))
    if as_json:
        hosts = [_plan_json(host, made, commands[host]) for host, made in plans.items()]
        data = {"file": str(path), "to": str(wanted.pin), "hosts": hosts}
        print_json(data | {"unknown": unknown})
    else:
        for host, made in plans.items():
            _print_plan(host, made, commands[host])
        for each in unknown:
            click.echo(fold(f"Not known: {each}.", sys.stdout))
    ctx.exit(SUCCESS if all(made.possible for made in plans.values()) else PROBLEM_FOUND)


def host_plans(
    files: RotationFiles, chain: NewChain, situations: Sequence[Situation]
) -> dict[str, Plan]:
    """Return the plan of each host to a key or chain, by host pattern.

    A version is for all hosts of the pin file. So each plan ends before its first publish step if
    publishing would violate a rule at another host of the file, or if the plan of another host in
    ``situations`` stops before its first publish step.

    Args:
        files: the pin file and the journal.
        chain: the key or chain that the servers use next.
        situations: the facts about each host, at the same time and with the same delays.

    Raises:
        ConfigError: a pin set of a plan would be invalid.
    """
    from dataclasses import replace

    policies = [situation.policy for situation in situations]
    refusals = draft_refusals(files, situations[0].timing, situations[0].now)
    others = refusals_elsewhere(refusals, policies)
    plans = {str(each.pattern): chain.plan(each).until_publish(others) for each in situations}
    stopped = {
        host: replace(made.violations[0], problem=f"{host}: {made.violations[0].problem}")
        for host, made in plans.items()
        if made.violations and "publish" not in {step.act for step in made.steps}
    }
    return {
        host: made.until_publish([each for other, each in stopped.items() if other != host])
        for host, made in plans.items()
    }


def _print_plan(host: str, made: Plan, commands: _Commands) -> None:
    from certpin.rotation import in_utc

    click.secho(f"{host}: to {made.to}", bold=True)
    for violation in made.broken:
        click.echo(fold(f"NOW: {format_violation(violation)}", sys.stdout))
    undated, before = "now", [""]
    for number, step in enumerate(made.steps, 1):
        click.echo(fold(f"{number:>3}. {_when(step, undated)}: {step_text(step)}", sys.stdout))
        undated = "then" if step.act == "serve" or step.not_before else undated
        found = commands.of(step, made)
        for command in found if found != before else []:
            click.echo(f"       {command}")
        before = found
    if made.renew_by:
        by = in_utc(made.renew_by)
        text = "with the same key and authority: it expires before servers may use the new key"
        click.echo(fold(f"Before {by}: renew the certificate {text}.", sys.stdout))
    if made.reissue_by:
        by, authority = in_utc(made.reissue_by), made.ending_authority
        text = "again from the same authority: its certificate"
        if authority:
            text = f"by another authority, or renew the certificate of this one: {authority}"
        text = f"get the new key certified {text} expires before servers may use the chain"
        click.echo(fold(f"Before {by}: {text}.", sys.stdout))
    for violation in made.violations:
        word = "Impossible after that" if made.steps else "Impossible"
        click.echo(fold(f"{word}: {format_violation(violation)}", sys.stdout))


def _when(step: Step, undated: str) -> str:
    from certpin.rotation import in_utc

    waits = f"when {step.waits}" if step.waits else ""
    if step.not_before is None:
        return waits or undated
    counted = f", if version {step.counts_from} goes out now" if step.counts_from else ""
    return f"not before {in_utc(step.not_before)}{counted}{waits and f', and {waits}'}"


def step_text(step: Step, pin_name: Callable[[Pin], str] = str) -> str:
    """Return a step of a rotation plan in words.

    Args:
        step: the step.
        pin_name: returns the name of a pin.
    """
    from certpin.rotation import NEXT_BACKUP

    pin = "the next backup" if step.pin in {None, NEXT_BACKUP} else pin_name(step.pin)
    return {
        "generate": "make the key of the next backup",
        "stage": f"put {pin} into the draft",
        "publish": f"publish version {step.version}, and give it to the clients",
        "push": f"push version {step.version}, so that clients can fetch it",
        "activate": f"allow the servers to use {pin}",
        "serve": "install its certificate on every server",
        "retire": f"retire {pin}",
        "remove": f"take {pin} out of the draft",
    }[step.act]


@dataclass(frozen=True)
class _Commands:
    """Makes the certpin command for each step of a host's plan.

    Each command names the pin file and the servers that ``certpin rotate plan`` was given.

    Attributes:
        key: the key to which the plan leads, as the user named it: a file, a pin or a URI.
        backup: the file of the next backup's key, which does not exist yet.
        has_chain: True if ``key`` is the file of a chain.
    """

    files: RotationFiles
    policy: HostPolicy
    probes: ProbeOptions
    key: str
    backup: str
    has_chain: bool

    def of(self, step: Step, made: Plan) -> list[str]:
        """Return the command lines that take a step of a plan.

        ``made`` is the plan. For ``serve`` there is usually no command, because certpin doesn't
        install certificates. But if the user named the file of the chain, and no other step of the
        plan verifies the chain, the result is the command that verifies it before it is installed.
        For ``publish`` of a signed version there are two commands: sign it, and push it.
        """
        import shlex

        from certpin.rotation import NEXT_BACKUP
        from certpin.rotation.gate import COMMAND_OF_STEP
        from certpin.rotation.remedies import CHAIN_FILE, OTHER_AUTHORITY, new_backup_command

        match = self.policy.match
        is_verified = any(each.act == "activate" for each in made.steps)
        if step.act == "serve" and (is_verified or not self.has_chain):
            return []
        if step.act == "push":
            return push_commands(self.files)
        if step.act == "publish":
            return publish_commands(self.files, self.probes, step.version or 0)
        if step.act == "generate":
            return [self._with_options(new_backup_command(match, self.backup), connects=False)]
        backup = OTHER_AUTHORITY if match == "ca" else self.backup
        names = {NEXT_BACKUP: backup, made.to: self.key}
        name = names.get(step.pin, str(step.pin)) if step.pin else ""
        if step.needs_chain:
            name = CHAIN_FILE
        command = f"certpin rotate {COMMAND_OF_STEP[step.act]} {shlex.quote(name)}"
        return [self._with_options(command, connects=step.act != "stage")]

    def _with_options(self, command: str, *, connects: bool) -> str:
        files, policies = self.files, [self.policy]
        return self.probes.next_command(
            command, files.path, files.pins, policies, connects=connects
        )


def _plan_json(host: str, made: Plan, commands: _Commands) -> dict[str, Any]:
    return {
        "host": host,
        "possible": made.possible,
        "steps": [_step_json(step, made, commands) for step in made.steps],
        "breaches": [violation_json(host, violation) for violation in made.violations],
        "now": [violation_json(host, violation) for violation in made.broken],
        "renew_by": time_json(made.renew_by),
        "reissue_by": time_json(made.reissue_by),
    }


def _step_json(step: Step, made: Plan, commands: _Commands) -> dict[str, Any]:
    from certpin.rotation import NEXT_BACKUP

    found = commands.of(step, made)
    return {
        "act": step.act,
        "pin": str(step.pin) if step.pin and step.pin != NEXT_BACKUP else None,
        "version": step.version,
        "not_before": step.not_before.isoformat() if step.not_before else None,
        "counts_from": step.counts_from,
        "waits": step.waits or None,
        "command": found[0] if found else None,
        "commands": found,
    }

"""``certpin providers update``: bring a file's pins of provider roots up to date.

certpin's data says from which roots each provider issues; the date of the data is its edition.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.add import pin_json
from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import json_option, pin_file_option, provider_name
from certpin.cli.reply import fold, print_json
from certpin.cli.rotate.files import (
    RotationFiles,
    person_name,
    probe_for_step,
    repeat_if_changed,
    who_option,
)
from certpin.cli.rotate.finish import FinishRun
from certpin.cli.rotate.recording import differs_from_latest, way_out_command
from certpin.cli.rotate.steps import ForceOptions, HostViolation, force_options
from certpin.cli.servers import ProbeOptions, ProbeResults, probe_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from certpin.pins import HostPin, HostPolicy, PinSet
    from certpin.providers import ProviderData, SetChange


@click.command()
@click.argument("pin_file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@pin_file_option
@click.option(
    "--provider",
    "providers",
    multiple=True,
    type=provider_name,
    metavar="NAME",
    help="Also pin all roots of this provider, for the hosts of --host. May be repeated.",
)
@click.option("--check", "only_show", is_flag=True, help="Only show the changes; write nothing.")
@probe_options
@force_options
@who_option
@json_option
@click.pass_context
@repeat_if_changed
def update(
    ctx: click.Context,
    pin_file: Path | None,
    path: Path,
    providers: tuple[str, ...],
    only_show: bool,
    probes: ProbeOptions,
    force: ForceOptions,
    who: str | None,
    as_json: bool,
) -> None:
    """Compare the pins of a file with the provider data, and bring them up to date.

    Run it after each update of certpin: nothing is downloaded.

    New roots go into PIN_FILE (pins.toml by default) at once, under the next version. A root that
    the provider no longer uses is taken out as by certpin rotate finish: the servers are contacted,
    and a root stays, with the reason, if a chain needs it or clients could be locked out.

    \b
    certpin providers update --check
    certpin providers update
    certpin providers update --host www.bank.example --provider google

    A root with an entry that is removed or compromised stays so: clients don't accept it, and the
    set is incomplete. The output says what to do.

    Exit code 0: done, or nothing to do. 1: a removal is not safe yet, or a set is incomplete, and
    the rest was done; or, with --check, there are changes. 2: wrong usage, or an invalid file. 3: a
    server did not answer, and nothing was changed.
    """  # noqa: D301  # click reads the \b itself
    from certpin.pins import utc_now
    from certpin.providers import load_providers

    if providers and not probes.hosts:
        raise click.UsageError("--provider is for the hosts of --host: name them")
    data, now = load_providers(), utc_now()
    data.require_clock(now.date())
    files = RotationFiles(pin_file or path)
    policies = probes.selected(files.pins) or list(files.pins.policies)
    changes = [_HostChange.of(policy, data, now.date(), providers) for policy in policies]
    changes = [each for each in changes if each.change.is_change or each.is_older(data)]
    if only_show:
        _show(files, data, changes, [], as_json=as_json, applied=False)
        ctx.exit(PROBLEM_FOUND if any(each.change.is_change for each in changes) else SUCCESS)
    violations = _apply(files, data, changes, probes, force, who) if changes else []
    _show(files, data, changes, violations, as_json=as_json, applied=True)
    is_incomplete = any(each.change.not_accepted for each in changes)
    is_problem = is_incomplete or (violations and not force.force)
    ctx.exit(PROBLEM_FOUND if is_problem else SUCCESS)


@dataclass
class _HostChange:
    """The pins to add to a host, and to remove, so that it pins the current roots of its providers.

    Attributes:
        policy: the policy of the host.
        change: these pins, as ``certpin.providers`` computes them from the provider data.
        removed: the pins that ``certpin providers update`` has taken out of the pin file so far.
    """

    policy: HostPolicy
    change: SetChange
    removed: list[HostPin] = field(default_factory=list)

    @property
    def pattern(self) -> str:
        return str(self.policy.pattern)

    def is_older(self, data: ProviderData) -> bool:
        """Return True if the host's pins come from older provider data than ``data``.

        The command then writes the date of ``data`` into the pin file, even if no pin has to be
        changed. Also return True if the host pins roots of providers, and the pin file has no date
        (``provider_edition``) of their data.
        """
        edition = self.policy.provider_edition
        return bool(self.change.providers) and (edition is None or edition < data.edition)

    @classmethod
    def of(
        cls, policy: HostPolicy, data: ProviderData, today: date, also: Sequence[str]
    ) -> _HostChange:
        """Compare the pins of a policy with the provider data, and return the difference.

        Args:
            policy: the policy.
            data: the provider data.
            today: the current day, in UTC.
            also: the names of providers that the user wants to add. Their roots count as missing
                pins.

        Raises:
            ConfigError: a pin names an unknown provider; the policy's pins come from newer data; or
                a provider is to be added, and ``match`` compares only leaves.
        """
        from certpin.errors import ConfigError
        from certpin.providers import policy_change

        change = policy_change(policy, data, today, also)
        for name in change.unknown:
            data.provider(name)
        if change.newer:
            raise ConfigError(
                f"{policy.pattern} has provider data of {policy.provider_edition}, and this "
                f"certpin only that of {data.edition}",
                key="provider_edition",
                fix="update certpin",
            )
        if also and policy.match == "leaf":
            raise ConfigError(
                f'match = "leaf" of {policy.pattern} leaves out every root',
                key="match",
                fix='write match = "ca" or "any" into the file first',
            )
        return cls(policy, change)


def _apply(
    files: RotationFiles,
    data: ProviderData,
    changes: list[_HostChange],
    probes: ProbeOptions,
    force: ForceOptions,
    who: str | None,
) -> list[HostViolation]:
    """Add and remove pins of provider roots in the pin file, and record removals in the journal.

    The journal is the log of the rotation, in a file beside the pin file.

    Args:
        files: the pin file and the journal.
        data: the provider data.
        changes: for each host, the pins to add and to remove.
        probes: the options that choose the servers to contact before a removal.
        force: the options that say if unsafe removals are made too.
        who: the value of ``--who``, the name for the journal; None if it is not given.

    Returns:
        The reasons why removals of pins are unsafe. Unless the user forces them, these pins stay.

    Raises:
        ProbeError: a server did not answer, so that it is unknown if a removal is safe.
    """
    from certpin.pins import utc_now

    dropping = [each for each in changes if each.change.dropped]
    results, now = ProbeResults(), utc_now()
    if dropping and files.deployed.versions:
        policies = [each.policy for each in dropping]
        results, now = probe_for_step(files, probes, files.pins, policies, who)
        force.require_answers(results)
    text, pins = files.editor.text, files.pins
    for each in changes:
        _add(files, each, data)
    run = FinishRun(files, results, probes, force, now)
    for each in dropping:
        _drop(run, each)
    if files.editor.text != text:
        _raise_version(files, pins)
        files.commit(run.journal_events(person_name(who)))
    force.refuses(run.violations)
    return run.violations


def _add(files: RotationFiles, each: _HostChange, data: ProviderData) -> None:
    """Add pins of new provider roots to a host's policy, and record the date of the provider data.

    ``each`` has the host and the pins to add, and ``data`` is the provider data. Pins that now
    belong to other providers get the new provider names.
    """
    editor = files.editor
    for entry in each.change.relabelled:
        names = entry.provider
        editor.change_pin(
            each.pattern, entry.pin, provider=names[0] if len(names) == 1 else list(names)
        )
    for entry in each.change.added:
        editor.add_pin(each.pattern, entry)
    editor.set_provider_edition(each.pattern, data.edition)


def _drop(run: FinishRun, each: _HostChange) -> None:
    """Remove a host's pins of roots that none of its providers uses any more, if that is safe.

    The reasons why a removal is unsafe are added to ``run.violations``. If the journal (the log of
    the rotation) has no published version, nothing is removed, even if the user forces it.

    Args:
        run: the removals of this command, for all hosts.
        each: the host, and the pins to remove.
    """
    from certpin.rotation import Violation

    for entry in each.change.dropped:
        taken = len(run.events)
        if run.files.deployed.versions:
            run.take_out(each.pattern, entry.pin, named=False)
        else:
            violation = Violation(
                "unseen",
                f"it is unknown which clients rely on {entry.pin}: no version is recorded",
                None,
                fix=run.files.journal_fix
                if run.files.journal_doubt
                else f"record the one that clients have: {way_out_command(run.files)}",
            )
            run.violations.append(HostViolation(each.pattern, violation))
        if len(run.events) > taken and run.events[-1][1] == "remove":
            each.removed.append(entry)


def _raise_version(files: RotationFiles, before: PinSet) -> None:
    """Give the pin file its next version number if its changes have an effect on clients.

    ``files`` are the pin file and the journal. The file is compared with the latest published
    version in the journal. If the journal has no version, clients may have the file as it was
    before this command changed it, so the file is compared with ``before``, its earlier content.
    """
    from certpin.pins.policy import meaning

    if files.deployed.latest is None:
        if meaning(files.pins) != meaning(before):
            files.editor.raise_version()
    elif differs_from_latest(files):
        files.editor.set_version(files.next_version)


def _show(
    files: RotationFiles,
    data: ProviderData,
    changes: list[_HostChange],
    violations: list[HostViolation],
    *,
    as_json: bool,
    applied: bool,
) -> None:
    if as_json:
        print_json(
            {
                "file": str(files.path),
                "edition": data.edition.isoformat(),
                "version": files.pins.version,
                "applied": applied,
                "hosts": [_change_json(each) for each in changes],
                "breaches": [each.json() for each in violations],
            }
        )
        return
    for line in _lines(files, data, changes, applied=applied):
        click.echo(fold(line, sys.stdout))


def _lines(
    files: RotationFiles, data: ProviderData, changes: list[_HostChange], *, applied: bool
) -> Iterator[str]:
    changed = [each for each in changes if each.change.is_change]
    if not changed:
        yield f"The root sets of {files.path} are those of the provider data of {data.edition}."
    for each in changed:
        yield f"{each.pattern}: {', '.join(each.change.providers)}"
        for entry in each.change.added:
            yield f"  + {entry.pin}  {entry.note}, until {entry.not_after}"
        for entry in each.change.relabelled:
            yield f"  = {entry.pin}  {entry.note}: {', '.join(entry.provider)}"
        for entry in each.change.dropped:
            stays = "" if entry in each.removed or not applied else ": stays, see above"
            yield f"  - {entry.pin}  {entry.note}{stays}"
        for entry in each.change.not_accepted:
            state = entry.state.upper()
            yield f"  ! {entry.pin}  {entry.note}: {state}, so clients don't accept it"
            yield f"    fix: {_fix(entry)}"
    if applied and any(each.change.has_edits for each in changed):
        yield f"Version {files.pins.version} of {files.path} has them."
        yield f"Next:  {way_out_command(files)}"


def _fix(dead: HostPin) -> str:
    """Return the fix for a provider's root that clients don't accept, because its pin is dead.

    A pin is dead if the pin file marks it as removed or compromised.

    Args:
        dead: the pin of the root in the pin file, with its state.
    """
    if dead.state == "removed":
        return "delete its entry in the pin file, and run this command again: it adds the root"
    return (
        "none for this set, which is incomplete: clients refuse each certificate below this root; "
        "pin another provider, too"
    )


def _change_json(each: _HostChange) -> dict[str, Any]:
    edition, change = each.policy.provider_edition, each.change
    return {
        "host": each.pattern,
        "providers": list(change.providers),
        "edition": edition.isoformat() if edition else None,
        "added": [pin_json(entry) for entry in change.added],
        "not_accepted": [
            {
                "pin": str(entry.pin),
                "name": entry.note or None,
                "state": entry.state,
                "fix": _fix(entry),
            }
            for entry in change.not_accepted
        ],
        "relabelled": [pin_json(entry) for entry in change.relabelled],
        "dropped": [
            {"pin": str(entry.pin), "name": entry.note or None, "removed": entry in each.removed}
            for entry in change.dropped
        ],
    }

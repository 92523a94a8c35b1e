"""The outcome of a rotation step: the rules that it would violate, ``--force``, and the output."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import option_group
from certpin.cli.reply import fold, print_json, say

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from certpin.cli.servers import ProbeResults
    from certpin.pins import HostPolicy, Pin
    from certpin.rotation import Event, Violation
    from certpin.rotation.prospect import Conclusion

# Violations, and a user who takes the step all the same.


@dataclass(frozen=True)
class HostViolation:
    """The violation of a rotation invariant, a rule that keeps clients from lockouts, at a host."""

    host: str
    violation: Violation

    def json(self) -> dict[str, Any]:
        """Return the violation as JSON."""
        return violation_json(self.host, self.violation)


@dataclass(frozen=True)
class ForceOptions:
    """The options ``--force`` and ``--reason``: take a step although the rotation gate refuses it.

    Raises:
        click.UsageError: one of the two options is missing.
    """

    force: bool
    reason: str | None

    def __post_init__(self) -> None:
        if self.force and not (self.reason or "").strip():
            raise click.UsageError("--force needs --reason TEXT: it is recorded in the journal")
        if self.reason is not None and not self.force:
            raise click.UsageError("--reason is the reason for --force: use both together")

    def refuses(self, violations: Sequence[HostViolation]) -> bool:
        """Print the violations of a step. Return True if there are any and it is not forced."""
        word = "forced" if self.force else "refused"
        hosts: dict[Violation, dict[str, None]] = {}
        for found in violations:
            hosts.setdefault(found.violation, {})[found.host] = None
        for violation, names in hosts.items():
            say(f"certpin: {word}", f"{', '.join(names)}: {format_violation(violation)}")
        return bool(violations) and not self.force

    def require_answers(self, results: ProbeResults) -> None:
        """Check that every contacted server answered, unless the user forces the step.

        Raises:
            ProbeError: a server did not answer.
        """
        if results.error and not self.force:
            raise results.error

    def recorded_reason(
        self, violations: Sequence[HostViolation], results: ProbeResults | None = None
    ) -> str:
        """Return the reason to record in the journal; empty if the step needed no ``--force``.

        It needed it if there are violations, or if a server did not answer.
        """
        forced = violations or (results and results.error)
        return (self.reason or "").strip() if forced else ""


force_options = option_group(
    "force",
    (
        click.option(
            "--force",
            is_flag=True,
            help="Take the step although clients would be locked out. Needs --reason; both are "
            "recorded.",
        ),
        click.option("--reason", metavar="TEXT", help="The reason for --force, for the journal."),
    ),
    ForceOptions,
)


def of_host(policy: HostPolicy, violations: Sequence[Violation]) -> list[HostViolation]:
    """Return violations as ``HostViolation``, each with the host pattern of the policy."""
    return [HostViolation(str(policy.pattern), violation) for violation in violations]


def format_violation(violation: Violation) -> str:
    """Return a violation as lines: the problem, the clients at risk, the safe date, and the fix."""
    from certpin.rotation import in_utc

    lines = [
        f"{violation.problem} (invariant {violation.invariant})",
        f"  at risk: {violation.at_risk}",
    ]
    if violation.safe_from:
        lines.append(f"  safe from: {in_utc(violation.safe_from)}")
    return "\n".join([*lines, f"  fix: {violation.fix}"])


def violation_json(host: str, violation: Violation) -> dict[str, Any]:
    """Return a violation as JSON."""
    return {
        "host": host,
        "invariant": violation.invariant,
        "problem": violation.problem,
        "clients": violation.clients,
        "safe_from": violation.safe_from.isoformat() if violation.safe_from else None,
        "fix": violation.fix,
    }


@dataclass
class StepOutcome:
    """The outcome of a rotation step: its effect, or the rotation invariants that it would violate.

    Attributes:
        step: the name of the step.
        path: the pin file.
        hosts: the host patterns that the step is for.
        done: the step was taken.
        messages: sentences for people, printed if the step was taken.
        next_command: the command that comes next, or empty.
        later_command: the command after that, or empty.
        later: the first safe date of ``later_command``; None if unknown.
        unknown: facts that could not be checked, as sentences without full stops.
        events: those that the command appended to the journal.
        conclusions: whether the clients of each version accept the new chain, if it is known.
    """

    step: str
    path: Path
    hosts: list[str]
    pin: Pin | None = None
    version: int | None = None
    done: bool = False
    forced: bool = False
    violations: list[HostViolation] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    next_command: str = ""
    later_command: str = ""
    later: datetime | None = None
    events: Sequence[Event] = ()
    conclusions: Sequence[HostConclusion] = ()

    def show(self, ctx: click.Context, *, as_json: bool) -> None:
        """Print the outcome of the step and end the command, with exit code 1 if it was refused."""
        if as_json:
            print_json(self.json())
        else:
            self._print()
        ctx.exit(SUCCESS if self.done else PROBLEM_FOUND)

    def json(self) -> dict[str, Any]:
        """Return the outcome of the step as JSON."""
        return {
            "step": self.step,
            "file": str(self.path),
            "hosts": self.hosts,
            "pin": str(self.pin) if self.pin else None,
            "version": self.version,
            "done": self.done,
            "forced": self.forced,
            "breaches": [found.json() for found in self.violations],
            "unknown": self.unknown,
            "next": self.next_command or None,
            "later": self.later_command or None,
            "later_from": self.later.isoformat() if self.later else None,
            "events": [event_json(event) for event in self.events],
            "conclusions": [found.json() for found in self.conclusions],
        }

    def _print(self) -> None:
        changed = self.done or self.events
        if not changed:
            click.echo("Nothing was changed.")
        lines = [*(self.messages if changed else ()), *conclusion_lines(self.conclusions)]
        for line in (*lines, *(f"Not known: {unknown}." for unknown in self.unknown)):
            click.echo(fold(line, sys.stdout))
        if changed and self.next_command:
            click.echo(f"Next:  {self.next_command}")
        if changed and self.later_command:
            click.echo(later_line(self.later_command, self.later))


@dataclass(frozen=True)
class HostConclusion:
    """Whether clients that hold a version accept a new chain of a host, as far as it is known."""

    host: str
    version: int
    conclusion: Conclusion

    def json(self) -> dict[str, Any]:
        """Return the conclusion as JSON."""
        return {"host": self.host, "version": self.version, "conclusion": self.conclusion}


def conclusion_lines(found: Sequence[HostConclusion]) -> list[str]:
    """Return conclusions as text: one line for all versions of a host with the same conclusion."""
    by: dict[tuple[str, Conclusion], list[int]] = {}
    for each in found:
        by.setdefault((each.host, each.conclusion), []).append(each.version)
    lines = []
    for (host, conclusion), numbers in by.items():
        names = ", ".join(str(number) for number in sorted(set(numbers)))
        several = len(set(numbers)) > 1
        verb = {
            "accepted": "accept it" if several else "accepts it",
            "refused": "refuse it" if several else "refuses it",
            "open": "are open" if several else "is open",
        }[conclusion]
        lines.append(f"{host}: {'versions' if several else 'version'} {names} {verb}.")
    return lines


def event_json(event: Event) -> dict[str, Any]:
    """Return an event of the journal as JSON."""
    return {
        "step": event.step,
        "host": event.host or None,
        "pin": str(event.pin) if event.pin else None,
        "version": event.version,
    }


def later_line(command: str, date: datetime | None) -> str:
    """Return the output line for a command to run later, with the date from which it is safe."""
    from certpin.rotation import in_utc

    return f"From {in_utc(date)} on:  {command}" if date else f"Later:  {command}"

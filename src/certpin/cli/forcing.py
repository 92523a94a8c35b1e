"""What a step of a rotation would break: told, and refused, or forced with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.screen import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.cli.vantages import Looked
    from certpin.pins import HostPolicy
    from certpin.rotation import Breach

    Found = list[tuple[str, Breach]]

_OPTIONS = (
    click.option(
        "--force",
        is_flag=True,
        help="Do it although clients would be locked out. Needs --reason; both are recorded.",
    ),
    click.option("--reason", metavar="TEXT", help="Why it is forced, for the journal."),
)


@dataclass(frozen=True)
class Forcing:
    """Whether the user insists, and why."""

    force: bool
    reason: str

    def refuses(self, breaches: Found) -> bool:
        """Tell what would break; whether the step must not be taken."""
        word = "forced" if self.force else "refused"
        for host, breach in breaches:
            say(f"certpin: {word}", f"{host}: {told(breach)}")
        return bool(breaches) and not self.force

    def look(self, looked: Looked) -> None:
        """Raise ``ProbeError`` where somebody could not be asked, unless the user insists."""
        if looked.error and not self.force:
            raise looked.error

    def recorded(self, breaches: Found, looked: Looked | None = None) -> str:
        """The reason, for the journal: where nothing stood in the way, nothing was forced."""
        return self.reason if breaches or (looked and looked.error) else ""


def told(breach: Breach) -> str:
    """A breach in words, with the invariant that it breaks."""
    from certpin.rotation.breach import in_utc

    lines = [f"{breach.problem} (invariant {breach.invariant})", f"  at risk: {breach.at_risk}"]
    if breach.safe_from:
        lines.append(f"  safe from: {in_utc(breach.safe_from)}")
    return "\n".join([*lines, f"  fix: {breach.fix}"])


def breach_facts(host: str, breach: Breach) -> dict[str, Any]:
    """A breach as JSON."""
    return {
        "host": host,
        "invariant": breach.invariant,
        "problem": breach.problem,
        "clients": breach.clients,
        "safe_from": breach.safe_from.isoformat() if breach.safe_from else None,
        "fix": breach.fix,
    }


def of_host(policy: HostPolicy, breaches: Sequence[Breach]) -> Found:
    """Breaches with the host that they are about."""
    return [(str(policy.pattern), breach) for breach in breaches]


def forcing_options(command: Any) -> Any:
    """Give a command ``--force`` and ``--reason``, as one argument, ``forcing``."""

    @wraps(command)
    def with_forcing(*, force: bool, reason: str | None, **options: Any) -> Any:
        if force and not (reason or "").strip():
            raise click.UsageError("--force needs --reason TEXT: it is recorded in the journal")
        if reason is not None and not force:
            raise click.UsageError("--reason says why something is forced: it goes with --force")
        return command(forcing=Forcing(force, (reason or "").strip()), **options)

    wrapped: Any = with_forcing
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped

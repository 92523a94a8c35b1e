"""The result of ``certpin check``: as JSON, or as a table with the fixes beneath it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.reply import fold, table_console
from certpin.cli.unverified import chain_fix
from certpin.pins import pins_of
from certpin.pins.verdict import advice, explain
from certpin.probe import HTTPS, join_address
from certpin.support.text import in_days

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from certpin.probe.checkup import Checkup

_COLOURS = {"holds": "green", "finding": "red", "inconclusive": "yellow"}
_EXPLAINED = {"compromised-key", "expired", "mismatch"}  # reasons of verdicts
_MAX_HOSTS = 3  # that one fix names
_HEADINGS = ("host", "status", "matched pin", "certificate", "pins", "problem")


def checkup_json(checkup: Checkup, now: datetime) -> dict[str, Any]:
    """Return the result of one server as JSON."""
    observation, verdict, error = checkup.observation, checkup.verdict, checkup.error
    matched = verdict.matched if verdict is not None else None
    path = observation.verified.certificates if observation and observation.verified else None
    return {
        "host": checkup.host,
        "port": checkup.port,
        "region": checkup.region or None,
        "policy": str(checkup.policy.pattern),
        "mode": checkup.policy.mode,
        "status": checkup.status,
        "address": observation.address if observation else None,
        "verified": path is not None if observation else None,
        "chain_pins": [str(pins_of(certificate)[0]) for certificate in path] if path else None,
        "matched": str(matched.pin) if matched else None,
        "matched_role": matched.role if matched else None,
        "certificate_days_left": checkup.certificate_days(now),
        "pin_days_left": checkup.pin_days(now),
        "findings": list(checkup.findings),
        "error": error.problem if error else None,
        "fix": _fix(checkup),
    }


def print_checklist(checkups: Sequence[Checkup], now: datetime) -> None:
    """Print the results of ``certpin check`` as a table with one row for each server.

    Beneath the row of a server whose pins did not match, print the reason; beneath the table, the
    fixes.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for checkup in checkups:
        host, status, *others = _row(checkup, now)
        # As Text, so that a server's text is not read as markup.
        table.add_row(Text(host), Text(status, _COLOURS[status]), *map(Text, others))
    table_console().print(table)
    for line in _details(checkups):
        click.echo(fold(line, sys.stdout))


def _row(checkup: Checkup, now: datetime) -> tuple[str, ...]:
    fields = checkup_json(checkup, now)
    return (
        _name(checkup),
        checkup.status,
        fields["matched_role"] or "-",
        _days(fields["certificate_days_left"]),
        _days(fields["pin_days_left"]),
        "; ".join(checkup.findings) or fields["error"] or "",
    )


def _name(checkup: Checkup) -> str:
    usual = checkup.port == HTTPS
    name = checkup.host if usual else join_address(checkup.host, checkup.port)
    return f"{name} ({checkup.region})" if checkup.region else name


def _details(checkups: Sequence[Checkup]) -> Iterator[str]:
    for checkup in checkups:
        verdict = checkup.verdict
        if verdict is not None and verdict.reason in _EXPLAINED:
            yield "\n" + explain(verdict, checkup.host)
            yield f"  fix: {advice(verdict, checkup.host)}"
    for fix, hosts in _fixes(checkups).items():
        more = [f"and {len(hosts) - _MAX_HOSTS} more"] if len(hosts) > _MAX_HOSTS else []
        yield f"\n{', '.join(hosts[:_MAX_HOSTS] + more)}: {fix}"


def _fixes(checkups: Sequence[Checkup]) -> dict[str, list[str]]:
    """Return the text of each fix, mapped to the hosts that need it."""
    fixes: dict[str, list[str]] = {}
    for checkup in checkups:
        if fix := _fix(checkup):
            fixes.setdefault(fix, []).append(checkup.host)
    return fixes


def _fix(checkup: Checkup) -> str | None:
    if checkup.error:
        return checkup.error.fix or None
    if checkup.fix:
        return checkup.fix
    observation = checkup.observation
    return chain_fix(observation) if observation and observation.verified is None else None


def _days(days: int | None) -> str:
    return "-" if days is None else in_days(days)

"""What ``certpin lab serve`` shows: a live table, lines in a pipe, or JSON lines."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

from certpin.cli.lab_guide import guide, reach
from certpin.cli.reply import print_event, print_last
from certpin.cli.screen import fold
from certpin.lab.judge import Outcome
from certpin.lab.report.words import OUTCOMES, explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from certpin.lab.run import Result
    from certpin.lab.serve.device import DeviceLab, Standing

_TOLD_AT_LENGTH = {Outcome.WRONG, Outcome.UNDECIDED, Outcome.WARNING}


class Screen(Protocol):
    """Shows a session from its beginning to its end."""

    def begin(self) -> None:
        """The lab listens."""

    def result(self, host: str, result: Result) -> None:
        """A case is settled."""

    def look(self) -> None:
        """A moment passed."""

    def end(self, standings: Sequence[Standing]) -> None:
        """It is over."""


@contextmanager
def screen(lab: DeviceLab, *, as_json: bool) -> Iterator[Screen]:
    """The screen that fits where the output goes."""
    if as_json:
        yield JsonLines(lab)
    elif sys.stdout.isatty():
        from certpin.cli.lab_table import LiveTable

        with LiveTable(lab) as table:
            yield table
    else:
        yield Lines(lab)


class Lines:
    """One line a case, for a pipe."""

    def __init__(self, lab: DeviceLab) -> None:
        self._lab = lab

    def begin(self) -> None:
        """How to bring the device in."""
        click.echo("\n".join([*tunnel_lines(self._lab), *instructions(self._lab)]))
        sys.stdout.flush()

    def result(self, host: str, result: Result) -> None:
        """A line."""
        did = str(result.verdict or "-")
        name = result.case.name
        line = f"{host}  {name}  {did}  {OUTCOMES[result.outcome]}: {result.why}"
        click.echo(fold(line, sys.stdout))
        sys.stdout.flush()

    def look(self) -> None:
        """Nothing new."""

    def end(self, standings: Sequence[Standing]) -> None:
        """The summary."""
        click.echo("\n".join(summary(standings)))


class JsonLines:
    """One JSON object a line, each with an ``event``."""

    def __init__(self, lab: DeviceLab) -> None:
        self._lab = lab

    def begin(self) -> None:
        """Where the lab is."""
        roots = [root.sha256.hex() for root in self._lab.roots]
        print_event(
            "begun",
            address=self._lab.address,
            port=self._lab.port,
            hosts=list(self._lab.schedule.hosts),
            roots=roots,
            wireguard=self._lab.peer_configuration(reach(self._lab.address)),
            notes=list(self._lab.notes),
        )

    def result(self, host: str, result: Result) -> None:
        """A case is settled."""
        print_event(
            "case",
            host=host,
            case=result.case.name,
            expected=result.expect.value,
            verdict=result.verdict.value if result.verdict else None,
            outcome=result.outcome.value,
            why=result.why,
        )

    def look(self) -> None:
        """Nothing new."""

    def end(self, standings: Sequence[Standing]) -> None:
        """How far every host came."""
        print_last(event="ended", hosts=[_standing_facts(each) for each in standings])


def _standing_facts(standing: Standing) -> dict[str, Any]:
    counts = dict.fromkeys(Outcome, 0)
    for result in standing.results:
        counts[result.outcome] += 1
    return {
        "host": standing.host,
        "controlled": standing.controlled,
        "finished": standing.finished,
        "cases": standing.cases,
        "settled": len(standing.results),
        "right": counts[Outcome.RIGHT],
        "wrong": counts[Outcome.WRONG],
        "warnings": counts[Outcome.WARNING],
        "undecided": counts[Outcome.UNDECIDED],
        "not_run": counts[Outcome.NOT_RUN],
    }


def instructions(lab: DeviceLab) -> list[str]:
    """How to bring the device in."""
    lines = [*lab.notes, *guide(lab.address, lab.port, lab.schedule.hosts, lab.roots)]
    return [fold(line, sys.stdout) for line in lines]


def tunnel_lines(lab: DeviceLab) -> list[str]:
    """The configuration of the device's end of the tunnel, where there is one."""
    configuration = lab.peer_configuration(reach(lab.address))
    if not configuration:
        return []
    return ["The device's WireGuard tunnel (it holds its private key):", "", configuration]


def summary(standings: Sequence[Standing]) -> list[str]:
    """What it all came to: a line for each host, then what needs somebody."""
    lines = [""]
    for standing in standings:
        lines.append(_headline(standing))
        for result in standing.results:
            if result.outcome in _TOLD_AT_LENGTH:
                lines.append(f"  {result.case.name}")
                lines += [f"    {line}" for line in explain(result)]
    lines += ["", "Remove the lab's roots and its proxy from the device now."]
    return [fold(line, sys.stdout) for line in lines]


def _headline(standing: Standing) -> str:
    host = standing.host
    if standing.control is None:
        return f"{host}: nothing came. Nothing is proven."
    if not standing.controlled:
        see = "that it trusts the lab's roots, and has the lab's pins"
        if standing.real:
            see = "that it works without the lab, and that --upstream leads to its real server"
        return (
            f"{host}: the app never accepted the honest server ({standing.control.why}). "
            f"Nothing is proven: see {see}."
        )
    tried = [each for each in standing.results if each.outcome is not Outcome.NOT_RUN]
    wrong = sum(each.outcome is Outcome.WRONG for each in tried)
    left = standing.cases - len(standing.results)
    beside = f", {len(standing.results) - len(tried)} cannot be tried here" if tried else ""
    rest = f", {left} not played" if left else ""
    return f"{host}: {len(tried)} of {standing.cases} cases tried, {wrong} wrong{beside}{rest}"

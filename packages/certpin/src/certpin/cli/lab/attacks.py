"""``certpin lab attacks``: the attack cases of the lab, and the right reaction to each."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_cases
from certpin.cli.cases import find_case
from certpin.cli.choices import STYLES
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.lab.case import Case
    from certpin.lab.pki import Style


@click.command()
@click.argument("name", required=False, shell_complete=complete_cases)
@click.option(
    "--style",
    type=click.Choice(STYLES),
    help="Show only the right reaction of a client with this style of pins.",
)
@json_option
def attacks(name: str | None, style: str | None, as_json: bool) -> None:
    """List the attacks, or explain one.

    Prints for each case what the server presents, and whether a client must refuse it: a client
    without pins (none), with the server's key pinned (leaf), and with an authority pinned (ca).
    With NAME, it also prints the mistake that the case detects, a known example, and the fix for a
    client that fails.

    \b
    certpin lab attacks
    certpin lab attacks --style leaf
    certpin lab attacks rogue-ca-in-store

    Exit code 0: printed. 2: there is no such case.
    """  # noqa: D301  # click reads the \b itself
    from certpin.lab.attacks import CASES, CONTROL, OPTIONAL_CASES
    from certpin.lab.case import Family
    from certpin.lab.pki import Style

    styles = [Style(style)] if style else list(Style)
    families = list(Family)
    known = (CONTROL, *CASES, *OPTIONAL_CASES)
    all_cases = sorted(known, key=lambda case: families.index(case.family))
    cases = [find_case(name)] if name else all_cases
    if as_json:
        print_json({"cases": [case_json(case) for case in cases]})
    elif name:
        _explain(cases[0], styles)
    else:
        _list(cases, styles)


def case_json(case: Case) -> dict[str, Any]:
    """Return a lab case as JSON: its name, what the server presents, and the right reactions."""
    from certpin.lab.pki import Style

    return {
        "name": case.name,
        "family": case.family.value,
        "presents": case.presents,
        "expected": {style.value: case.expected.of(style).value for style in Style},
        "guards": case.guards,
        "reference": case.reference or None,
        "fix": case.fix,
        "exercise": case.exercise or None,
    }


def _explain(case: Case, styles: list[Style]) -> None:
    click.secho(case.name, bold=True)
    rights = ", ".join(f"{style}: {case.expected.of(style)}" for style in styles)
    lines = {
        "presents": case.presents,
        "right": rights,
        "guards": case.guards,
        "reference": case.reference,
        "needs": case.exercise,
        "fix": case.fix,
    }
    for label, text in lines.items():
        if text:
            click.echo(fold(f"  {label:<10} {text}", sys.stdout))


def _list(cases: Iterable[Case], styles: list[Style]) -> None:
    from certpin.lab.pki import LEGEND

    click.echo(fold(f"{LEGEND}\n", sys.stdout))
    family = ""
    for case in cases:
        if case.family.value != family:
            click.echo("" if family else None, nl=bool(family))
            family = case.family.value
            click.secho(family, bold=True)
        rights = " ".join(f"{style}: {case.expected.of(style)}." for style in styles)
        click.echo(fold(f"  {case.name:<28} {case.presents}. {rights}", sys.stdout))

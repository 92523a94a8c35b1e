"""``certpin lab attacks``: what the lab can do to a client, and what is right then."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import STYLES
from certpin.cli.group import unknown
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.lab.case import Case
    from certpin.lab.pki import Style


def find_case(name: str) -> Case:
    """The case of this name. Raises ``click.BadParameter``, with what may be meant."""
    from certpin.lab.attacks import CASES, CONTROL

    known = {case.name: case for case in (CONTROL, *CASES)}
    if name in known:
        return known[name]
    raise click.BadParameter(unknown("case", name, list(known), "`certpin lab attacks`"))


def chosen_cases(names: Iterable[str]) -> list[Case]:
    """The cases of these names, each once; all of them where none is named. No control."""
    from certpin.lab.attacks import CASES, CONTROL

    chosen = [find_case(name) for name in names] or list(CASES)
    return [case for case in dict.fromkeys(chosen) if case is not CONTROL]


@click.command()
@click.argument("name", required=False)
@click.option(
    "--style",
    type=click.Choice(STYLES),
    help="Show what is right for a client of this style alone.",
)
@json_option
def attacks(name: str | None, style: str | None, as_json: bool) -> None:
    """List the attacks, or explain one.

    For each case of the matrix you learn what a client meets, and whether it must refuse that
    without pins (none), pinned on the server's key (leaf), and pinned on an authority (ca). With
    NAME: what the case guards against, where it was seen, and how to mend a client that fails it.
    """
    from certpin.lab.attacks import CASES, CONTROL
    from certpin.lab.case import Family
    from certpin.lab.pki import Style

    styles = [Style(style)] if style else list(Style)
    families = list(Family)
    every = sorted((CONTROL, *CASES), key=lambda case: families.index(case.family))
    cases = [find_case(name)] if name else every
    if as_json:
        print_json({"cases": [case_json(case) for case in cases]})
    elif name:
        _explain(cases[0], styles)
    else:
        _list(cases, styles)


def case_json(case: Case) -> dict[str, Any]:
    """A case as JSON."""
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

"""``certpin explain``: the reason for a lint rule, and its examples."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.group import unknown
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from certpin.lint import LintRule


@click.command()
@click.argument("name", required=False, metavar="[RULE]")
@json_option
def explain(name: str | None, as_json: bool) -> None:
    """Explain a lint rule, or list all rules.

    Prints how the mistake locks users out or exposes them, its fix, its source, and a pin file with
    the mistake and one without it. In these examples, words such as sha256/ONE replace real pins.
    """
    from certpin.lint import RULES

    rules = [_rule(name)] if name else list(RULES.values())
    if as_json:
        print_json({"rules": [_rule_json(rule) for rule in rules]})
    elif name:
        _print_rule(rules[0])
    else:
        for rule in rules:
            text = f"{rule.id:<26} {rule.severity:<8} {rule.summary}"
            click.echo(fold(text, sys.stdout))


def _rule(name: str) -> LintRule:
    from certpin.lint import RULES

    if name in RULES:
        return RULES[name]
    raise click.UsageError(unknown("rule", name, list(RULES), "`certpin explain`"))


def _rule_json(rule: LintRule) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "severity": rule.severity,
        "summary": rule.summary,
        "why": rule.why,
        "fix": rule.fix,
        "source": rule.source or None,
        "needs": rule.needs,
        "can_be_allowed": not rule.refuses,
        "bad": rule.bad,
        "good": rule.good,
    }


def _print_rule(rule: LintRule) -> None:
    click.secho(rule.id, bold=True, nl=False)
    click.echo(f": {rule.severity}")
    for text in (rule.summary, rule.why, f"fix: {rule.fix}", _source(rule), _allowing(rule)):
        if text:
            click.echo("\n" + fold(text, sys.stdout))
    for title, example in (("Bad:", rule.bad), ("Good:", rule.good)):
        click.secho(f"\n{title}\n", bold=True)
        click.echo("\n".join(f"  {line}".rstrip() for line in example.strip().splitlines()))


def _source(rule: LintRule) -> str:
    return f"Source: {rule.source}." if rule.source else ""


def _allowing(rule: LintRule) -> str:
    if rule.refuses:
        return "It cannot be allowed: no client loads such a file."
    return f"To allow it, on its line or above: # certpin: allow {rule.id} because REASON"

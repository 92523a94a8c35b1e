"""``certpin explain``: the reason for a rule of ``lint`` or of ``import dart``, with examples."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.candidates import complete_rules
from certpin.cli.main import unknown
from certpin.cli.options import json_option
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from certpin.apps.rules import AppRule
    from certpin.lint import LintRule


@dataclass(frozen=True)
class _Entry:
    """A rule of ``lint`` or of ``import dart``, with the texts that ``certpin explain`` prints.

    ``needs`` names the input that the rule examines. ``comment`` is the start of a comment that
    allows the mistake; empty if no comment can allow it. ``examples`` are pairs of a title and a
    text: first the example with the mistake, then the one without it. ``note`` is a sentence that
    explains them.
    """

    rule: LintRule | AppRule
    needs: str
    comment: str
    examples: tuple[tuple[str, str], ...]
    note: str = ""


@click.command()
@click.argument("name", required=False, metavar="[RULE]", shell_complete=complete_rules)
@json_option
def explain(name: str | None, as_json: bool) -> None:
    """Explain a rule of lint or import, or list all rules.

    Use it if certpin lint or certpin import dart reports a mistake.

    Prints how the mistake locks users out or exposes them, its fix, its source, and a file with the
    mistake and one without it. In the pin files among these examples, words such as sha256/ONE
    replace real pins. The rules of certpin lint come first, then those of certpin import dart.

    \b
    certpin explain                 list all rules
    certpin explain no-backup

    Exit code 0: printed. 2: there is no such rule.
    """  # noqa: D301  # click reads the \b itself
    known = _rules()
    if name and name not in known:
        raise click.UsageError(unknown("rule", name, list(known), "`certpin explain`"))
    entries = [known[name]] if name else list(known.values())
    if as_json:
        print_json({"rules": [_rule_json(entry) for entry in entries]})
    elif name:
        _print_rule(entries[0])
    else:
        for rule in (entry.rule for entry in entries):
            text = f"{rule.id:<26} {rule.severity:<8} {rule.summary}"
            click.echo(fold(text, sys.stdout))


def _rules() -> dict[str, _Entry]:
    from certpin.apps.rules import RULES as APP_RULES
    from certpin.lint import RULES

    lint, apps = map(_lint_entry, RULES.values()), map(_app_entry, APP_RULES.values())
    return {entry.rule.id: entry for entry in (*lint, *apps)}


def _lint_entry(rule: LintRule) -> _Entry:
    from certpin.lint.rule import EXAMPLES

    examples = (("Bad", rule.bad), ("Good", rule.good))
    return _Entry(rule, rule.needs, "" if rule.refuses else "#", examples, EXAMPLES)


def _app_entry(rule: AppRule) -> _Entry:
    examples = [
        titled
        for example in rule.examples
        for titled in ((f"Bad ({example.file})", example.bad), ("Good", example.good))
    ]
    return _Entry(rule, "app", "//", tuple(examples))


def _rule_json(entry: _Entry) -> dict[str, Any]:
    rule, examples = entry.rule, entry.examples
    return {
        "rule": rule.id,
        "severity": rule.severity,
        "summary": rule.summary,
        "why": rule.why,
        "fix": rule.fix,
        "source": rule.source or None,
        "needs": entry.needs,
        "can_be_allowed": bool(entry.comment),
        "bad": examples[0][1] if examples else None,
        "good": examples[1][1] if examples else None,
    }


def _print_rule(entry: _Entry) -> None:
    rule = entry.rule
    click.secho(rule.id, bold=True, nl=False)
    click.echo(f": {rule.severity}")
    source = f"Source: {rule.source}." if rule.source else ""
    for text in (rule.summary, rule.why, f"fix: {rule.fix}", source, _allowing(entry)):
        if text:
            click.echo("\n" + fold(text, sys.stdout))
    if entry.note:
        click.echo("\n" + fold(entry.note, sys.stdout))
    for title, example in entry.examples:
        click.secho(f"\n{title}:\n", bold=True)
        click.echo("\n".join(f"  {line}".rstrip() for line in example.strip().splitlines()))


def _allowing(entry: _Entry) -> str:
    if not entry.comment:
        return "It cannot be allowed: no client loads such a file."
    allowance = f"{entry.comment} certpin: allow {entry.rule.id} because REASON"
    others = " (in YAML with #, in XML with <!-- -->)" if entry.needs == "app" else ""
    return f"To allow it, on its line or above: {allowance}{others}"

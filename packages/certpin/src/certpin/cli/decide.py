"""``certpin decide``: ask questions about a host, and recommend whether to pin it, and how."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.choices import QUESTIONS
from certpin.cli.options import json_option, option_group
from certpin.cli.reply import fold, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.advice import AdviceDecision, AdviceQuestion, Quote

_SETTING = tuple(
    click.option(f"--{name}", type=click.Choice(values), help=text)
    for name, (text, values) in QUESTIONS.items()
)


def _known(**values: str | None) -> dict[str, str]:
    """Return the answers that the user gave as options, such as ``--client app``.

    The keys are the names of the questions. Options that the user did not give are left out.
    """
    return {name: value for name, value in values.items() if value is not None}


@click.command()
@click.argument("host", required=False)
@option_group("setting", _SETTING, _known)
@json_option
def decide(host: str | None, setting: dict[str, str], as_json: bool) -> None:
    """Find out whether to pin a host, and what.

    Use it before `certpin add`: for most hosts, pinning is not needed, and the answer says so.

    On a terminal it asks at most seven questions. Elsewhere, and with --json, the options are the
    answers. It prints one of five results with its reason, quotes of its sources and of those that
    advise otherwise, the operating cost and the next command:

    \b
    don't pin         Certificate Transparency monitoring and CAA records
    private CA        an authority of your own, with name constraints, as the only anchor
    provider's roots  every root from which your provider may issue
    own key           the server's key, and a backup key
    attestation       Play Integrity and App Attest

    HOST is only written into the commands. Nothing is contacted or changed.

    \b
    certpin decide
    certpin decide --client browser
    certpin decide api.bank.example --client app --dns own --goal tampering --demand none

    Exit code 0: decided. 2: an answer is missing and there is no terminal, or an option is invalid.
    """  # noqa: D301  # click reads the \b itself
    from certpin.advice import AdviceQuestion, load_advice, next_step

    name = _name(host)
    advice = load_advice()
    while isinstance(step := next_step(advice, setting), AdviceQuestion):
        if as_json or not sys.stdin.isatty():
            raise click.UsageError(_missing(step, setting))
        setting[step.name] = _ask(step)
    steps = [text.replace("HOST", name or "HOST") for text in step.how]
    target = shlex.quote(host) if host else "HOST"
    commands = [text.replace("HOST", target) for text in step.answer.commands]
    if as_json:
        answers = {question: setting.get(question) for question in advice.questions}
        head = {"host": host, "setting": answers, "edition": advice.edition}
        print_json(head | _decision_json(step, steps, commands))
    else:
        _print_decision(step, steps, commands)


def _name(host: str | None) -> str | None:
    """Return the name of a host without its port; None if the host is None.

    Raises:
        HostError: the text is not a host.
    """
    from certpin.probe import split_address

    return None if host is None else split_address(host)[0]


def _missing(question: AdviceQuestion, setting: dict[str, str]) -> str:
    """Return the error message for a question that certpin needs answered, and can't ask.

    It can't ask if there is no terminal, or with ``--json``.

    Args:
        question: the next question. The message names the option that answers it.
        setting: the answers that the user gave as options. If there are none, the message lists
            the options of all questions.
    """
    flags = {name: f"--{name} {'|'.join(values)}" for name, (_, values) in QUESTIONS.items()}
    if setting:
        return f"this setting is not decided yet. {question.text} Add {flags[question.name]}"
    return (
        f"there is no terminal to ask on. Give the answers as options: {', '.join(flags.values())}"
    )


def _ask(question: AdviceQuestion) -> str:
    """Ask the user a question on the terminal until the answer is valid, and return the answer."""
    click.echo(fold(f"\n{question.text}", sys.stderr), err=True)
    for number, option in enumerate(question.options, 1):
        line = f"  {number}  {option.value:<13} {option.text}"
        click.echo(fold(line, sys.stderr), err=True)
    numbered = {str(number): value for number, value in enumerate(question.values, 1)}
    choice = click.Choice([*numbered, *question.values])
    given = click.prompt("Number", type=choice, show_choices=False, err=True)
    return numbered.get(given, given)


def _decision_json(
    decision: AdviceDecision, steps: list[str], commands: list[str]
) -> dict[str, Any]:
    rule = decision.rule
    return {
        "answer": decision.answer.name,
        "title": decision.answer.title,
        "rule": rule.name,
        "why": rule.why,
        "sources": _quotes_json(rule.quotes),
        "against": _quotes_json(rule.against),
        "conflict": rule.conflict or None,
        "cost": list(decision.answer.cost),
        "how": steps,
        "also": [
            {"text": each.text, "sources": _quotes_json(each.quotes)} for each in decision.also
        ],
        "commands": commands,
    }


def _quotes_json(quotes: Sequence[Quote]) -> list[dict[str, str]]:
    return [
        {
            "publisher": quote.source.publisher,
            "title": quote.source.title,
            "url": quote.source.url,
            "copy": quote.source.copy,
            "quote": quote.text,
        }
        for quote in quotes
    ]


def _print_decision(decision: AdviceDecision, steps: list[str], commands: list[str]) -> None:
    rule = decision.rule
    click.secho(fold(decision.answer.title, sys.stdout), bold=True)
    click.echo("\n" + fold(f"Why: {rule.why}", sys.stdout))
    _print_quotes(rule.quotes)
    if rule.against:
        _heading("Sources that advise otherwise")
        click.echo(fold(rule.conflict, sys.stdout))
        _print_quotes(rule.against)
    _heading("What it costs")
    for text in decision.answer.cost:
        click.echo(fold(f"  - {text}", sys.stdout))
    _heading("How")
    for number, text in enumerate(steps, 1):
        click.echo(fold(f"  {number}. {text}", sys.stdout))
    for addition in decision.also:
        _heading("Also")
        click.echo(fold(addition.text, sys.stdout))
        _print_quotes(addition.quotes)
    _heading("Next")
    for command in commands or ["(no command of certpin)"]:
        click.echo(f"  {command}")


def _heading(text: str) -> None:
    click.secho(f"\n{text}:", bold=True)


def _print_quotes(quotes: Sequence[Quote]) -> None:
    for quote in quotes:
        source = quote.source
        line = f'  {source.publisher}, {source.title}: "{quote.text}"'
        click.echo(fold(line, sys.stdout))
        click.echo(f"    {source.url}")

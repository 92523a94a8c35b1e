"""Prints the result of ``certpin import`` for an app: text, JSON, SARIF, GitHub annotations."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from certpin.apps.rules import RULES
from certpin.cli.findings import (
    annotation,
    counts_text,
    finding_json,
    print_finding,
    print_hint,
    sarif_log,
)
from certpin.cli.options import file_option
from certpin.cli.reply import fold, print_document, print_json, say
from certpin.lint import LintFinding, LintReport
from certpin.support.text import counted, printable
from certpin.x509 import name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.apps.draft import Draft, DraftHost, DraftPin
    from certpin.apps.model import FoundPin, Mistake, Unknown
    from certpin.apps.project import Project
    from certpin.cli.import_hosts import HostImport

_MAX_NAMED = 5  # links in the summary
_MAX_WARNINGS = 20  # of one kind


@dataclass
class AppResult:
    """The mistakes and pins that were found in an app's source, and the import of the pins.

    Attributes:
        language: the language of the app, such as ``dart``.
        project: the results of reading the app's files.
        importing: True if the user wants the pins imported; False to report only the mistakes.
        draft: the host policies made from the pins; None if the pins have no known hosts, or no
            import is wanted.
        live: for each host pattern that ``--live`` checked, the reason why one of the host's
            servers presented no verified chain; an empty text if all chains verified.
        live_fixes: how to repair the problems in ``live``, by host pattern.
        imported: the written hosts and the pin file; None if nothing was written.
    """

    language: str
    project: Project
    importing: bool = False
    draft: Draft | None = None
    live: dict[str, str] = field(default_factory=dict)
    live_fixes: dict[str, str] = field(default_factory=dict)
    imported: HostImport | None = None

    @cached_property
    def report(self) -> LintReport:
        """The mistakes of the app in the form of a ``lint`` report, sorted by file and line."""
        mistakes = set(self.project.findings.mistakes)
        found = [
            _finding(each) for each in sorted(mistakes, key=lambda each: (each.place, each.rule))
        ]
        return LintReport(
            findings=tuple(each for each in found if not each.allowed),
            allowed=tuple(each for each in found if each.allowed),
        )

    @property
    def mismatches(self) -> list[str]:
        """The patterns of the hosts with a verified chain that matches none of the app's pins.

        If there are any, the command ends with exit code 1.
        """
        hosts = self.draft.hosts if self.draft else {}
        return [
            pattern
            for pattern, problem in self.live.items()
            if not problem and not hosts[pattern].matched
        ]

    @property
    def incomplete(self) -> bool:
        """True if a file couldn't be read, or a contacted host presented no verified chain.

        The command then ends with exit code 3, unless it found a problem that has exit code 1.
        """
        return bool(self.project.findings.unread) or any(self.live.values())

    @property
    def unknown(self) -> list[Unknown]:
        """Questions that the user has to answer, because certpin can't find the answers.

        An example is which host a pin is for. Neither the app's source nor a contacted server
        shows the answer.
        """
        if self.draft is None:
            return self.project.findings.unknown
        compared = [host for host, problem in self.live.items() if not problem]
        return self.draft.questions(compared, self.live)


def warn(result: AppResult) -> None:
    """Print a warning for each file, or part of a file, that couldn't be read.

    ``result`` has the mistakes and pins that were found in the app's source. Beyond
    ``_MAX_WARNINGS``, only the number of the files is printed.
    """
    unread = result.project.findings.unread
    for each in unread[:_MAX_WARNINGS]:
        text = printable(f"not read: {each.place}: {each.problem}")
        say("certpin: warning", f"{text}\n  fix: {printable(each.fix)}" if each.fix else text)
    _warn_of_more(len(unread), "unread")


def warn_dropped(draft: Draft) -> None:
    """Print a warning for each element of the app's source that was not imported.

    ``draft`` has the host policies made from the app's pins. Beyond ``_MAX_WARNINGS``, only the
    number of the elements is printed.
    """
    for each in draft.dropped[:_MAX_WARNINGS]:
        say("certpin: warning", printable(f"not imported: {each.place}: {each.what}"))
    _warn_of_more(len(draft.dropped), "dropped")


def _warn_of_more(count: int, field_name: str) -> None:
    if count > _MAX_WARNINGS:
        more = count - _MAX_WARNINGS
        say("certpin: warning", f'{more} more of these: "{field_name}" of --json has all')


def print_text(result: AppResult) -> None:
    """Print the result of an import as text.

    First come the mistakes in the app's source, grouped by file; then the imported pins, and the
    questions that the user has to answer about them.
    """
    for file, findings in groupby(result.report.findings, key=lambda each: each.file):
        _echo(file)
        for finding in findings:
            print_finding(finding)
    for line in (_summary(result), *_not_read(result.project)):
        _echo(line)
    if result.draft and result.draft.hosts:
        _print_import(result, result.draft)
    if result.importing and result.unknown:
        _print_questions(result.unknown)
    print_hint(result.report.findings)
    if result.imported:
        option = file_option(result.imported.path)
        click.echo(f"Next:  certpin lint{option}, then certpin check{option}")


def print_result_json(result: AppResult) -> None:
    """Print the whole result of the import as JSON, with mistakes, pins, hosts and questions."""
    imported, draft = result.imported, result.draft
    hosts = draft.hosts.items() if draft else ()
    dropped = draft.dropped if draft else result.project.findings.dropped
    refused = result.project.findings.pins if result.importing and not hosts else ()
    print_json(
        {
            "format": result.language,
            "file": str(imported.path) if imported else None,
            "version": imported.version if imported else None,
            "added": [str(policy.pattern) for policy in imported.added] if imported else [],
            "kept": [str(policy.pattern) for policy in imported.kept] if imported else [],
            "anchors": [str(file) for file in imported.anchors] if imported else [],
            "dropped": [f"{each.place}: {each.what}" for each in dropped],
            "pins": [
                *(_pin_json(name, pin) for name, host in hosts for pin in host.pins.values()),
                *map(_refused_json, refused),
            ],
            "live": [
                {"host": host, "verified": not problem, "problem": problem or None}
                for host, problem in result.live.items()
            ],
            "unknown": [_unknown_json(unknown) for unknown in result.unknown],
            "files": result.project.files,
            "unread": [
                {
                    "file": unread.place.file,
                    "line": unread.place.line,
                    "problem": unread.problem,
                    "fix": unread.fix or None,
                }
                for unread in result.project.findings.unread
            ],
            "skipped": [
                *(path for path, _ in result.project.skipped),
                *result.project.left_out,
                *result.project.copied,
            ],
            "other_code": result.project.other_code,
            "findings": [finding_json(finding) for finding in result.report.findings],
            "allowed": [finding_json(finding) for finding in result.report.allowed],
        }
    )


def print_sarif(result: AppResult) -> None:
    """Print the mistakes in the app's source as SARIF.

    ``result`` has the mistakes and pins that were found in the app's source.
    """
    print_document(sarif_log([result.report], RULES, "certpinApp/v1"))


def print_github(result: AppResult) -> None:
    """Print the mistakes in the app's source as annotations of a GitHub workflow.

    ``result`` has the mistakes and pins that were found in the app's source.
    """
    for finding in result.report.findings:
        click.echo(annotation(finding))
    _echo(_summary(result))


# A new format is a function and one line here.
FORMATS: dict[str, Callable[[AppResult], None]] = {
    "text": print_text,
    "json": print_result_json,
    "sarif": print_sarif,
    "github": print_github,
}


def _finding(mistake: Mistake) -> LintFinding:
    rule = RULES[mistake.rule]
    return LintFinding(
        rule=rule.id,
        severity=rule.severity,
        file=mistake.place.file,
        line=mistake.place.line,
        key="",
        host="",
        message=printable(mistake.message),
        fix=printable(mistake.fix or rule.fix),
        allowed=mistake.allowed,
    )


def _summary(result: AppResult) -> str:
    return f"{counts_text(result.report)} in {counted(result.project.files, 'file')}"


def _not_read(project: Project) -> list[str]:
    lines = []
    if project.left_out:
        lines.append(
            f"Not read: tests ({', '.join(project.left_out)}). Name the folder to read it."
        )
    if project.copied:
        lines.append(f"Not read: {counted(len(project.copied), 'file')} copied by certpin export")
    if code := project.other_code:
        lines.append(
            f"Not read: {counted(len(code), 'file')} of native code, such as {code[0]}. "
            "certpin looks for mistakes in code only in Dart."
        )
    if project.skipped:
        shown = ", ".join(path for path, _ in project.skipped[:_MAX_NAMED])
        more = ", …" if len(project.skipped) > _MAX_NAMED else ""
        lines.append(f"Not followed: {len(project.skipped)} links or special files ({shown}{more})")
    return lines


def _print_import(result: AppResult, draft: Draft) -> None:
    """Print the imported hosts and their pins.

    ``draft`` has the host policies made from the app's pins. If the import was refused, print the
    pins in the app's source instead.
    """
    imported = result.imported
    heading = f"{imported.path} (version {imported.version}):" if imported else "Not written:"
    click.echo()
    click.secho(fold(printable(heading), sys.stdout), bold=True)
    kept = {str(policy.pattern) for policy in imported.kept} if imported else set()
    verb = "added" if imported else "found"
    for name, host in draft.hosts.items():
        _echo(f"  {'kept ' if name in kept else verb}  {name}")
        _print_pins(result, name, host)
    for file in imported.anchors if imported else ():
        _echo(f"  trust  {file}")


def _print_questions(unknown: list[Unknown]) -> None:
    click.echo("\nNot known from the code:")
    for each in unknown:
        place = f"{each.place}: " if each.place else ""
        _echo(f"  - {place}{each.question}")


def _print_pins(result: AppResult, name: str, host: DraftHost) -> None:
    problem = result.live.get(name)
    if problem:
        _echo(f"    not compared with the server: {problem}")
        if fix := result.live_fixes.get(name):
            _echo(f"      fix: {fix}")
    elif name in result.mismatches:
        _echo("    the server presents NONE of these pins: a client would refuse it")
    for pin in host.pins.values():
        _echo(f"    {pin.role:<12} {pin.pin}")
        _echo(f"    {'':<12} {pin.note}")
        for line in _pin_facts(pin, contacted=name in result.live):
            _echo(f"    {'':<12} {line}")
    for certificate, where in host.anchors.items():
        _echo(f"    {'anchor':<12} {name_of(certificate)} ({where})")


def _pin_facts(pin: DraftPin, *, contacted: bool) -> list[str]:
    """Return phrases about a pin in an app's source, to print beside the pin.

    They say whether a server presents the pinned key, and whether to replace a pin of a whole
    certificate by the pin of its key. ``contacted`` is True if ``--live`` contacted the host.
    """
    facts = []
    if pin.presented is not None:
        words = f"presented by the server ({pin.role})" if pin.presented else "NOT presented"
        facts.append(words)
    if pin.mistake:
        facts.append(pin.mistake)
    if pin.key:
        facts.append(f"its key: {pin.key} stays the same at a renewal; --pin-keys pins it")
    elif pin.pin.kind == "cert-sha256":
        option = "" if contacted else " (--live --pin-keys, into a new file)"
        facts.append(f"a whole certificate, which changes at each renewal: pin its key{option}")
    return facts


def _pin_json(host: str, pin: DraftPin) -> dict[str, Any]:
    return {
        "host": host,
        "pin": str(pin.pin),
        "role": pin.role,
        "places": list(pin.places),
        "presented": pin.presented,
        "key_pin": str(pin.key) if pin.key else None,
        "replaces": str(pin.replaces) if pin.replaces else None,
    }


def _refused_json(found: FoundPin) -> dict[str, Any]:
    """Return a pin from an app's source as JSON, for an import that was refused.

    The JSON has the pin and its place in the source. All other fields, such as ``host`` and
    ``role``, are null, because a refused import assigns no host to the pin.
    """
    return {
        "host": None,
        "pin": str(found.pin),
        "role": None,
        "places": [printable(f"{found.place} {found.name}".strip())],
        "presented": None,
        "key_pin": None,
        "replaces": None,
    }


def _unknown_json(unknown: Unknown) -> dict[str, Any]:
    return {
        "question": unknown.question,
        "file": unknown.place.file if unknown.place else None,
        "line": unknown.place.line if unknown.place else None,
    }


def _echo(text: str) -> None:
    """Print one line. Control characters are escaped, because file names may contain them."""
    click.echo(fold(printable(text), sys.stdout))

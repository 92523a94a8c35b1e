"""Prints findings (mistakes in files) as text, JSON, SARIF 2.1.0 (OASIS) or GitHub annotations.

``certpin lint`` prints its findings with this module, and ``certpin import dart`` the mistakes of
an app. The syntax and the escapes of annotations are those of GitHub's runner (actions/toolkit,
packages/core/src/command.ts). Text from a file can neither end a workflow command nor begin another
one.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from certpin._version import __version__
from certpin.cli.reply import fold, print_document, print_json
from certpin.lint import RULES, SEVERITIES
from certpin.support.sarif import SCHEMA, artifact_uri, message
from certpin.support.text import clean, counted, encodable, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from certpin.lint import LintDocument, LintFinding, LintReport, Severity


_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


class Rule(Protocol):
    """Protocol of a rule of ``lint`` or ``import dart``: the attributes that the output needs."""

    @property
    def id(self) -> str:
        """The name of the rule."""

    @property
    def severity(self) -> Severity:
        """``error``, ``warning`` or ``note``: the severity of a mistake against the rule."""

    @property
    def summary(self) -> str:
        """A sentence that describes the mistake."""

    @property
    def why(self) -> str:
        """The reason for the rule, in one or more sentences."""

    @property
    def fix(self) -> str:
        """How to correct the mistake, without a full stop."""

    @property
    def source(self) -> str:
        """The source of the rule, such as an RFC; may be empty."""


@dataclass(frozen=True)
class LintedFile:
    """A pin file that ``certpin lint`` checked, with its findings.

    ``document`` is the parsed file, and ``report`` has the findings.
    """

    document: LintDocument
    report: LintReport


def print_text(done: Sequence[LintedFile]) -> None:
    """Print the findings of ``certpin lint`` as text, by file and host, each with its fix.

    ``done`` are the checked files with their findings.
    """
    for linted in done:
        _print_file(linted)
    print_hint([finding for linted in done for finding in linted.report.findings])


def print_findings_json(done: Sequence[LintedFile]) -> None:
    """Print the findings of ``certpin lint`` in all files as JSON.

    ``done`` are the checked files with their findings.
    """
    findings = [finding_json(found) for linted in done for found in linted.report.findings]
    allowed = [finding_json(found) for linted in done for found in linted.report.allowed]
    print_json(
        {"files": [_file_json(linted) for linted in done], "findings": findings, "allowed": allowed}
    )


def print_sarif(done: Sequence[LintedFile]) -> None:
    """Print the findings of ``certpin lint`` in all files as SARIF.

    ``done`` are the checked files with their findings.
    """
    print_document(sarif_log([linted.report for linted in done], RULES, "certpinLint/v1"))


def print_github(done: Sequence[LintedFile]) -> None:
    """Print the findings of ``certpin lint`` in all files as annotations of a GitHub workflow.

    ``done`` are the checked files with their findings.
    """
    for linted in done:
        for found in linted.report.findings:
            click.echo(annotation(found))
        click.echo(fold(_summary(linted), sys.stdout))


# A new format is a function and one line here.
FORMATS: dict[str, Callable[[Sequence[LintedFile]], None]] = {
    "text": print_text,
    "json": print_findings_json,
    "sarif": print_sarif,
    "github": print_github,
}


def _print_file(linted: LintedFile) -> None:
    """Print the findings of a file, grouped by host, in the order of each host's first finding."""
    order = {found.host: at for at, found in reversed(list(enumerate(linted.report.findings)))}
    found = sorted(linted.report.findings, key=lambda finding: order[finding.host])
    for host, findings in groupby(found, key=lambda finding: finding.host):
        click.echo(fold(printable(f"{linted.document.path}: {host or 'the file'}"), sys.stdout))
        for finding in findings:
            print_finding(finding)
    click.echo(fold(_summary(linted), sys.stdout))


def print_finding(finding: LintFinding) -> None:
    """Print a finding as text: its line, severity, rule and message, then its fix."""
    place = f"{finding.line:>6}  "
    click.echo(place, nl=False)
    click.secho(f"{finding.severity:<7}", nl=False, fg=_COLOURS[finding.severity])
    text = printable(f"  {finding.rule}: {finding.message}")
    click.echo(fold(text, sys.stdout, taken=len(place) + 7).rstrip())
    fix = " ".join(finding.fix.split())
    click.echo(fold(f"{'':>8}fix: {fix}", sys.stdout))


def print_hint(findings: Sequence[LintFinding]) -> None:
    """Print the ``certpin explain`` command for the worst finding; nothing without findings."""
    if findings:
        worst = min(findings, key=lambda finding: SEVERITIES.index(finding.severity))
        click.echo(f"\nWhy is that a mistake? certpin explain {worst.rule}")


def _summary(linted: LintedFile) -> str:
    path = printable(str(linted.document.path))
    return f"{counts_text(linted.report)} in {path}{_live_summary(linted.document)}"


def counts_text(report: LintReport) -> str:
    """Return the numbers of errors, warnings, notes and allowed findings, for a summary line.

    The text begins with a number and not with the name of the file, because GitHub could read a
    file name at the start of a line as a workflow command. ``report`` has the findings of one file.
    """
    words = [counted(count, word) for word, count in _counts(report.findings).items()]
    words += [f"{len(report.allowed)} allowed"] if report.allowed else []
    return ", ".join(words)


def _live_summary(document: LintDocument) -> str:
    if document.live is None:
        return ""
    answered = sum(not asked.error for asked in document.live)
    summary = f"; {answered} of {len(document.live)} servers answered, and only this machine asked"
    return f"{summary}: another network may see other certificates"


def _counts(findings: Iterable[LintFinding]) -> dict[str, int]:
    by_severity = Counter(found.severity for found in findings)
    return {word: by_severity[word] for word in SEVERITIES}


def _file_json(linted: LintedFile) -> dict[str, Any]:
    document, pins = linted.document, linted.document.pins
    live = document.live
    counts = _counts(linted.report.findings)
    return {
        "file": document.path,
        "pin_set": pins.name if pins else None,
        "version": pins.version if pins else None,
        "errors": counts["error"],
        "warnings": counts["warning"],
        "notes": counts["note"],
        "asked": None if live is None else len(live),
        "answered": None if live is None else sum(not asked.error for asked in live),
    }


def finding_json(found: LintFinding) -> dict[str, Any]:
    """Return a finding of ``lint`` or ``import dart`` (``found``) as JSON."""
    return {name: None if value == "" else value for name, value in asdict(found).items()}


_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = _DATA | str.maketrans({":": "%3A", ",": "%2C"})


def annotation(found: LintFinding) -> str:
    """Return a finding (``found``) as a line that GitHub shows as an annotation in the file."""
    file = printable(found.file).translate(_PROPERTY)
    title = f"certpin {found.rule}".translate(_PROPERTY)
    text = f"{printable(found.message)}\nfix: {printable(' '.join(found.fix.split()))}"
    place = f"file={file},line={found.line},title={title}"
    return f"::{_COMMANDS[found.severity]} {place}::{text.translate(_DATA)}"


def sarif_log(
    reports: Iterable[LintReport], rules: Mapping[str, Rule], fingerprint: str
) -> dict[str, Any]:
    """Return the findings of all reports as a SARIF log with one run.

    Args:
        reports: the findings. A finding that a comment in the file allows becomes a suppressed
            result.
        rules: all rules, by name.
        fingerprint: the key of each result's fingerprint in SARIF. Tools recognise the same result
            in the next run by this fingerprint.
    """
    findings = [finding for report in reports for finding in (*report.findings, *report.allowed)]
    numbers = {name: at for at, name in enumerate(rules)}
    driver = {
        "name": "certpin",
        "version": __version__,
        "rules": [_rule(rule) for rule in rules.values()],
    }
    run = {
        "tool": {"driver": driver},
        "results": [_result(found, numbers[found.rule], fingerprint) for found in findings],
        "columnKind": "unicodeCodePoints",
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    help_text = "\n".join(filter(None, (rule.fix, rule.source and f"See {rule.source}.")))
    return {
        "id": rule.id,
        "shortDescription": message(rule.summary),
        "fullDescription": message(rule.why),
        "help": message(help_text),
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"tags": ["security", "tls", "pinning"]},
    }


def _result(found: LintFinding, number: int, fingerprint: str) -> dict[str, Any]:
    allowed = {"kind": "inSource", "justification": clean(encodable(found.allowed))}
    return {
        "ruleId": found.rule,
        "ruleIndex": number,
        "level": found.severity,
        "message": message(f"{found.message}\nfix: {found.fix}"),
        "locations": [_location(found)],
        "partialFingerprints": {fingerprint: _fingerprint(found)},
        "suppressions": [allowed] if found.allowed else [],
    }


def _location(found: LintFinding) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": artifact_uri(Path(found.file))},
            "region": {"startLine": found.line},
        }
    }


def _fingerprint(found: LintFinding) -> str:
    """Return an identifier of a finding (``found``) that does not depend on its line number.

    Tools recognise a finding by it after other lines of the file have changed.
    """
    words = "\0".join(map(encodable, (found.file, found.rule, found.host, found.message)))
    return hashlib.sha256(words.encode()).hexdigest()

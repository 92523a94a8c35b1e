"""SARIF 2.1.0 (OASIS) of findings in pin files: a result each, at its line."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin._version import __version__
from certpin.lab.report.sarif import SCHEMA, artifact_uri
from certpin.lint import RULES
from certpin.support.text import clean, encodable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lint import LintFinding, LintReport, LintRule

# In a message, braces would be placeholders and brackets links (SARIF 2.1.0 section 3.11.5, .6).
_NO_ESCAPE = str.maketrans({"{": "{{", "}": "}}", "[": "\\[", "]": "\\]", "\\": "\\\\"})
_NUMBERS = {name: at for at, name in enumerate(RULES)}


def to_sarif(reports: Sequence[LintReport]) -> dict[str, Any]:
    """The findings of all files as one run. What is allowed is there, as suppressed."""
    found = [each for report in reports for each in (*report.findings, *report.allowed)]
    driver = {
        "name": "certpin",
        "version": __version__,
        "rules": [_rule(rule) for rule in RULES.values()],
    }
    run = {
        "tool": {"driver": driver},
        "results": [_result(each) for each in found],
        "columnKind": "unicodeCodePoints",
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: LintRule) -> dict[str, Any]:
    help_text = "\n".join(filter(None, (rule.fix, rule.source and f"See {rule.source}.")))
    return {
        "id": rule.id,
        "shortDescription": _message(rule.summary),
        "fullDescription": _message(rule.why),
        "help": _message(help_text),
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"tags": ["security", "tls", "pinning"]},
    }


def _result(found: LintFinding) -> dict[str, Any]:
    allowed = {"kind": "inSource", "justification": clean(encodable(found.allowed))}
    return {
        "ruleId": found.rule,
        "ruleIndex": _NUMBERS[found.rule],
        "level": found.severity,
        "message": _message(f"{found.message}\nfix: {found.fix}"),
        "locations": [_location(found)],
        "partialFingerprints": {"certpinLint/v1": _fingerprint(found)},
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
    """The same while the finding is, wherever its line moves to."""
    words = "\0".join(map(encodable, (found.file, found.rule, found.host, found.message)))
    return hashlib.sha256(words.encode()).hexdigest()


def _message(text: str) -> dict[str, str]:
    return {"text": clean(encodable(text)).translate(_NO_ESCAPE)}

"""The report of a lab run as SARIF 2.1.0 (OASIS), for code scanning such as GitHub's.

It has one rule per case, and one result per finding.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.lab.pki import LEGEND
from certpin.lab.report.masking import safe_arguments
from certpin.lab.report.words import (
    EXPECTED,
    exit_code,
    explain,
    headline,
    summary,
    tls_versions,
    verdict_line,
    ways,
    ways_of,
)
from certpin.lab.verdict import Outcome
from certpin.support.sarif import SCHEMA, artifact_uri, message
from certpin.support.text import encodable

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.lab.case import Case
    from certpin.lab.runner import Result, Run

_LEVELS = {Outcome.WRONG: "error", Outcome.WARNING: "warning", Outcome.UNDECIDED: "note"}


def to_sarif(run: Run, location: Path = Path("pins.toml")) -> str:
    """Return the report of a lab run as SARIF text, without a final line end.

    Args:
        run: the run.
        location: the file of the user's repository at which findings are shown. Code scanning
            rejects results that point to anything else, such as a URL.
    """
    cases = list(dict.fromkeys(result.case.name for result in run.results))
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [_run(run, cases, location)]}
    return json.dumps(log, indent=2)


def _run(run: Run, names: list[str], location: Path) -> dict[str, Any]:
    by_name = {result.case.name: result.case for result in run.results}
    found = [result for result in run.results if result.outcome in _LEVELS]
    driver = {
        "name": "certpin",
        "version": run.about.certpin or "unknown",
        "rules": [_rule(by_name[name]) for name in names],
    }
    return {
        "tool": {"driver": driver},
        "invocations": [_invocation(run)],
        "results": [
            _result(run, result, names.index(result.case.name), location) for result in found
        ],
        "columnKind": "unicodeCodePoints",
        "properties": {
            "host": encodable(run.host),
            "style": run.style.value,
            "controlled": run.controlled,
            "command": [encodable(word) for word in safe_arguments(run.about.command)],
            "ways": list(ways(run)),
            "tlsVersions": list(tls_versions(run.results)),
            "summary": [encodable(line) for line in summary(run)],
        },
    }


def _rule(case: Case) -> dict[str, Any]:
    advice = "\n".join(filter(None, (case.fix, case.reference and f"See {case.reference}.")))
    return {
        "id": case.name,
        "shortDescription": message(f"The client meets {case.presents}"),
        "fullDescription": message(f"This guards {case.guards}."),
        "help": message(f"{advice or case.guards}\n{LEGEND}"),
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["security", "tls", case.family.name.lower()]},
    }


def _result(run: Run, result: Result, rule: int, location: Path) -> dict[str, Any]:
    fingerprint = _fingerprint(run, result)
    return {
        "ruleId": result.case.name,
        "ruleIndex": rule,
        "level": _LEVELS[result.outcome],
        "message": message("\n".join(explain(result))),
        "locations": [_location(run, result, location)],
        # GitHub identifies an alert by the second one. Without it, two hosts would share an alert.
        "partialFingerprints": {
            "certpinCase/v1": fingerprint,
            "primaryLocationLineHash": f"{fingerprint[:16]}:1",
        },
        "properties": {
            "outcome": result.outcome.value,
            "verdict": str(result.verdict) if result.verdict else None,
            "expected": EXPECTED[result.expect],
            "attempts": len(result.attempts),
            "ways": list(ways_of(result)),
            "tlsVersions": list(tls_versions([result])),
        },
    }


def _location(run: Run, result: Result, location: Path) -> dict[str, Any]:
    """Return the SARIF location of a finding: the user's file, and a logical name.

    Args:
        run: the lab run, whose host is a part of the logical name.
        result: the finding. The name of its case is the other part of the logical name.
        location: the file.
    """
    name = f"{encodable(run.host)}/{result.case.name}"
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": artifact_uri(location)},
            "region": {"startLine": 1},
        },
        "logicalLocations": [{"fullyQualifiedName": name, "kind": "resource"}],
    }


def _fingerprint(run: Run, result: Result) -> str:
    """Return a fingerprint of a finding, by which code scanning recognises it in later runs.

    It depends only on the host, the kind of the client's pins, and the name of the case.
    """
    words = "\0".join((encodable(run.host), run.style.value, result.case.name))
    return hashlib.sha256(words.encode()).hexdigest()


def _invocation(run: Run) -> dict[str, Any]:
    started = run.about.started
    not_run = [result for result in run.results if result.outcome is Outcome.NOT_RUN]
    facts = {
        "executionSuccessful": run.controlled,
        "exitCode": exit_code(run),
        "exitCodeDescription": headline(run),
        "toolExecutionNotifications": [_notification(result) for result in not_run],
    }
    if started:
        facts["startTimeUtc"] = _utc(started)
        facts["endTimeUtc"] = _utc(started + timedelta(seconds=run.about.seconds))
    return facts


def _notification(result: Result) -> dict[str, Any]:
    return {
        "level": "note",
        "message": message(f"{result.case.name} was {verdict_line(result)}"),
        "associatedRule": {"id": result.case.name},
    }


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

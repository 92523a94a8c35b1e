"""The report of a lab run as JUnit XML, for CI: one suite per family of cases, one test per case.

A wrong outcome is a failure in JUnit, an undecided outcome an error, and a case that was not run a
skipped test.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET  # only used to write

from certpin.lab.pki import LEGEND
from certpin.lab.report.masking import safe_arguments
from certpin.lab.report.words import (
    ending,
    explain,
    tls_versions,
    verdict_line,
    ways,
    ways_of,
)
from certpin.lab.verdict import NEEDS_ATTENTION, Outcome
from certpin.support.text import clean

if TYPE_CHECKING:
    from certpin.lab.case import Family
    from certpin.lab.runner import Result, Run

_TAGS = {Outcome.WRONG: "failure", Outcome.UNDECIDED: "error", Outcome.NOT_RUN: "skipped"}


def to_junit(run: Run) -> str:
    """Return the report of a lab run as JUnit XML, without a final line end."""
    root = ET.Element("testsuites", {"name": "certpin prove", **_counts(run.results)})
    names = _names(run.results)
    families: dict[Family, list[int]] = {}
    for index, result in enumerate(run.results):
        families.setdefault(result.case.family, []).append(index)
    for number, (family, members) in enumerate(families.items()):
        results = tuple(run.results[index] for index in members)
        suite = ET.SubElement(root, "testsuite", _suite(run, number, family, results))
        _properties(suite, run)
        for index in members:
            _test(suite, run.results[index], names[index])
    ET.indent(root)
    written = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{written}'


def _names(results: tuple[Result, ...]) -> list[str]:
    """Return a unique test name for each result.

    The good control (the case with an honest server) is run twice, so it gets two names.
    """
    total = Counter(result.case.name for result in results)
    seen: Counter[str] = Counter()
    names = []
    for result in results:
        name = result.case.name
        seen[name] += 1
        names.append(f"{name} ({seen[name]} of {total[name]})" if total[name] > 1 else name)
    return names


def _suite(run: Run, number: int, family: Family, results: tuple[Result, ...]) -> dict[str, str]:
    started = run.about.started
    when = {"timestamp": started.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")} if started else {}
    return {"name": family.value, "id": str(number), **_counts(results), **when}


def _counts(results: tuple[Result, ...]) -> dict[str, str]:
    kinds = Counter(_TAGS.get(result.outcome) for result in results)
    return {
        "tests": str(len(results)),
        "failures": str(kinds["failure"]),
        "errors": str(kinds["error"]),
        "skipped": str(kinds["skipped"]),
        "time": f"{sum(map(_seconds, results)):.3f}",
    }


def _properties(suite: ET.Element, run: Run) -> None:
    facts = {
        "legend": LEGEND,
        "host": run.host,
        "style": run.style.value,
        "command": " ".join(safe_arguments(run.about.command)),
        "ways": " ".join(ways(run)),
        "tls": " ".join(tls_versions(run.results)),
        "certpin": run.about.certpin,
        "python": run.about.python,
        "openssl": run.about.openssl,
    }
    properties = ET.SubElement(suite, "properties")
    for name, value in facts.items():
        ET.SubElement(properties, "property", {"name": name, "value": clean(value)})


def _test(suite: ET.Element, result: Result, name: str) -> None:
    family = result.case.family.name.lower()
    test = ET.SubElement(suite, "testcase")
    test.attrib |= {"classname": f"certpin.{family}", "name": name}
    test.attrib["time"] = f"{_seconds(result):.3f}"
    tag = _TAGS.get(result.outcome)
    if tag:
        found = ET.SubElement(test, tag, {"message": _one_line(verdict_line(result))})
        if tag != "skipped":
            found.attrib["type"] = str(result.verdict)
            found.text = clean("\n".join(explain(result)))
    if result.outcome is not Outcome.NOT_RUN:
        ET.SubElement(test, "system-out").text = clean(_output_text(result))


def _output_text(result: Result) -> str:
    """Return the text of a JUnit test: case, verdict, and the client's output in each run."""
    lines = [f"it met: {result.case.presents}", verdict_line(result)]
    if result.outcome is Outcome.WARNING:
        lines = [f"WARNING: {line}" for line in explain(result)] + lines[:1]
    if result.outcome in NEEDS_ATTENTION:
        lines.append(LEGEND)
    lines.append(f"way: {', '.join(ways_of(result)) or 'not connected'}")
    lines.append(f"TLS: {', '.join(tls_versions([result])) or 'no finished handshake'}")
    for attempt in result.attempts:
        lines.append(f"the client: {ending(attempt.ending)}")
        lines.append(attempt.ending.output)
    return "\n".join(filter(None, lines))


def _seconds(result: Result) -> float:
    return sum(attempt.seconds for attempt in result.attempts)


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())

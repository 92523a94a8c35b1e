"""SARIF 2.1.0 for code scanning, checked by assertions and by the schema of OASIS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.lab.pki import LEGEND, Style
from certpin.lab.report import FORMATS
from certpin.lab.report.sarif import to_sarif
from certpin.lab.report.words import headline
from certpin.lab.runner import Run
from tests import _sarif
from tests.lab.report import _runs

if TYPE_CHECKING:
    from collections.abc import Callable

MADE: dict[str, Callable[[], Run]] = {
    "every outcome": _runs.every_outcome,
    "hostile": _runs.hostile_run,
    "empty": lambda: Run(_runs.HOST, Style.LEAF, ()),
    "matrix": lambda: _runs.of_every_case(Style.LEAF, gives=True),
}


def _read(run: Run) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(FORMATS["sarif"](run))
    (only,) = log["runs"]
    read: dict[str, Any] = only
    return read


@pytest.mark.medium
@pytest.mark.parametrize("which", MADE)
def test_report_follows_the_oasis_schema(which: str) -> None:
    log = json.loads(FORMATS["sarif"](MADE[which]()))
    assert not _sarif.complaints(log)
    log["runs"][0]["results"].append({"ruleId": "a result without a message"})
    assert _sarif.complaints(log)


@pytest.mark.parametrize("which", MADE)
def test_each_result_has_a_rule_a_message_and_a_place(which: str) -> None:
    run = _read(MADE[which]())
    rules = run["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place == {"artifactLocation": {"uri": "pins.toml"}, "region": {"startLine": 1}}


@pytest.mark.parametrize(
    ("path", "uri"),
    [("app/src/pins.toml", "app/src/pins.toml"), ("a b%.toml", "a%20b%25.toml"), ("ü", "%C3%BC")],
)
def test_findings_point_to_the_given_file(path: str, uri: str) -> None:
    """Every finding's location is the given path as a relative URI: code scanning rejects URLs."""
    log = json.loads(to_sarif(_runs.every_outcome(), Path(path)))
    assert not _sarif.complaints(log)
    results = log["runs"][0]["results"]
    places = [result["locations"][0]["physicalLocation"]["artifactLocation"] for result in results]
    assert places == [{"uri": uri}] * 3


def test_levels_of_findings_warnings_and_undecided_cases() -> None:
    results = _read(_runs.every_outcome())["results"]
    assert [(result["ruleId"], result["level"]) for result in results] == [
        ("rogue-ca-in-store", "error"),
        ("untrusted-ca", "warning"),
        ("untrusted-ca", "note"),
    ]


def test_every_case_of_the_run_is_a_rule_with_help() -> None:
    rules = {rule["id"]: rule for rule in _read(_runs.every_outcome())["tool"]["driver"]["rules"]}
    assert list(rules) == ["control-good", "untrusted-ca", "rogue-ca-in-store"]
    assert _runs.BY_NAME["rogue-ca-in-store"].fix in rules["rogue-ca-in-store"]["help"]["text"]
    assert all(LEGEND in rule["help"]["text"] for rule in rules.values())


def test_fingerprint_is_stable_and_distinguishes_cases_hosts_and_styles() -> None:
    def first(run: Run) -> str:
        found = _read(run)["results"][0]["partialFingerprints"]
        assert found["primaryLocationLineHash"] == f"{found['certpinCase/v1'][:16]}:1"
        return str(found["primaryLocationLineHash"])

    def of(name: str, style: Style = Style.LEAF, **fields: Any) -> Run:
        return _runs.run((_runs.met(_runs.BY_NAME[name], gives=True),), style, **fields)

    same = first(of("untrusted-ca"))
    assert same == first(of("untrusted-ca", started=_runs.later(30)))
    others = {
        first(of("rogue-ca-in-store")),
        first(of("untrusted-ca", Style.CA)),
        first(of("untrusted-ca", host="other.example")),
    }
    assert len(others | {same}) == 4


def test_the_invocation_says_how_the_run_ended_and_what_was_not_run() -> None:
    run = _runs.every_outcome()
    (invocation,) = _read(run)["invocations"]
    assert (invocation["exitCode"], invocation["executionSuccessful"]) == (1, True)
    assert invocation["exitCodeDescription"] == headline(run)
    assert invocation["startTimeUtc"] == "2026-03-01T12:00:00Z"
    (left_out,) = invocation["toolExecutionNotifications"]
    assert left_out["associatedRule"] == {"id": "rogue-ca-in-store"}


def test_a_run_without_control_was_not_successful() -> None:
    assert not _read(Run(_runs.HOST, Style.LEAF, ()))["invocations"][0]["executionSuccessful"]


def test_hostile_text_creates_no_placeholders_or_links() -> None:
    messages = [result["message"]["text"] for result in _read(_runs.hostile_run())["results"]]
    hostile = [text for text in messages if "script" in text]
    assert hostile
    for text in hostile:
        assert "{{0}}" in text
        assert "\\[a\\](b)" in text
        assert "\0" not in text
    assert "hunter2" not in FORMATS["sarif"](_runs.hostile_run())


def test_the_client_its_way_and_its_tls_versions_are_named() -> None:
    read = _read(_runs.every_outcome())
    facts = read["properties"]
    assert facts["command"] == ["curl", "-sS", "-H", "…", "{url}"]
    assert (facts["ways"], facts["tlsVersions"]) == (["port"], ["TLSv1.3"])
    found = [
        (each["properties"]["ways"], each["properties"]["tlsVersions"]) for each in read["results"]
    ]
    assert found == [(["port"], ["TLSv1.3"]), (["port"], ["TLSv1.3"]), ([], [])]

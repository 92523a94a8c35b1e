"""Details of alerts and settings are shown with labels and units."""

from __future__ import annotations

import ast
import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies

import certpin_watch
from certpin_watch.settings import ServiceSettings
from certpin_watch.web.about import UNITS, setting_rows
from certpin_watch.web.alerts import ELSEWHERE, KNOWN, chain_digests, details

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
RULES = Path(certpin_watch.__file__).parent / "rules"
# Keywords of a finding that are not details.
_FIELDS = {"rule", "severity", "host", "pin_set", "summary", "command", "subject", "details"}

JSON = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(strategies.text(), inner),
    max_leaves=8,
)


# Functions that return details, or some of them.
_PARTS = {"client_details", "holder_details", "view_details"}


def _written() -> Iterator[tuple[str, str]]:
    """Yield the module and the name of each detail that the source of an alert rule sets.

    Details are keyword arguments of findings, or keys of their dictionaries. Some functions return
    a dictionary for several rules.
    """
    for path in RULES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in _PARTS:
                yield from ((path.stem, key) for inner in ast.walk(node) for key in _keys(inner))
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name not in {"AlertFinding", "policy_finding", "_finding", "_certificate_finding"}:
                continue
            yield from ((path.stem, keyword.arg) for keyword in node.keywords if keyword.arg)
            named = (keyword.value for keyword in node.keywords if keyword.arg == "details")
            yield from ((path.stem, key) for value in (*node.args, *named) for key in _keys(value))


def _keys(node: ast.AST) -> list[str]:
    """Return the literal keys of a dictionary in the source; no keys if it is none."""
    keys = node.keys if isinstance(node, ast.Dict) else []
    return [str(key.value) for key in keys if isinstance(key, ast.Constant)]


def test_every_detail_of_every_rule_has_a_label() -> None:
    written = {(rule, name) for rule, name in _written() if name not in _FIELDS | ELSEWHERE}
    assert len(written) > 50
    assert {name for _, name in written} - KNOWN.keys() == set()
    assert KNOWN.keys() - {name for _, name in written} == {
        "left_out"
    }  # added when an alert is stored


def test_details_have_labels_and_units() -> None:
    chain = [{"subject": "CN=api.bank.example", "pin": "sha256/AAAA", "sha256": "ff" * 32}]
    found = {
        "since": int(NOW.timestamp()) - 7200,
        "told_from": 1,
        "refused_by_platform": 1204,
        "networks": [["wifi", 12], ["corp <b>", 1]],
        "free": 3.2,
        "authority": True,
        "chain": chain,
        "keys": {"eu": ["sha256/AAAA"]},
        "clients": 7,
        "chains": [["a" * 64, 12]],
    }
    shown = {label: str(value) for label, value in details(json.dumps(found), NOW)}
    assert "2 hours ago" in shown["Since"]
    assert "2027-01-15 06:00 UTC" in shown["Since"]
    assert shown["Reported from"] == "1 network"
    assert shown["Refused by the client's own platform"] == "1,204 reports"
    assert shown["Networks"] == "wifi (12 reports), corp <b> (1 report)"
    assert shown["Free on the disk"] == "3.2 %"
    assert shown["An authority issued it for this host"] == "yes"
    assert shown["Chain"] == "CN=api.bank.example <code>sha256/AAAA</code>"
    assert shown["Keys, by location"] == "eu: <code>sha256/AAAA</code>"
    assert not {"Clients", "Chains"} & shown.keys()
    assert chain_digests(json.dumps(found)) == [("a" * 64, 12)]


@pytest.mark.medium
@given(found=JSON, name=strategies.sampled_from([*sorted(KNOWN), "chains", "strange"]))
def test_any_details_can_be_shown(found: object, name: str) -> None:
    text = json.dumps({name: found})
    details(text, NOW)
    chain_digests(text)
    details(json.dumps(found), NOW)
    chain_digests(json.dumps(found))


@pytest.mark.parametrize("text", ["", "[", "[" * 100_000, "null", '"x"'])
def test_details_that_are_not_json_can_be_shown(text: str) -> None:
    details(text, NOW)
    assert chain_digests(text) == []


def test_units_of_the_intake_are_those_of_its_settings() -> None:
    rows = dict(setting_rows(ServiceSettings().collector, UNITS["collector"]))
    found = [rows[name] for name in ("rate", "burst", "queue")]
    assert found == ["100 reports/s", "1,000 reports", "5,000 bodies"]


def test_every_number_in_the_settings_has_a_unit() -> None:
    settings = ServiceSettings()
    tables = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    for part, table in tables.items():
        if not type(table).__name__.endswith("Settings"):
            continue
        numbers = {
            field.name
            for field in dataclasses.fields(table)
            if isinstance(value := getattr(table, field.name), (int, float))
            and not isinstance(value, bool)
        }
        assert numbers == UNITS.get(part, {}).keys(), part


def test_no_command_of_a_rule_is_a_sentence() -> None:
    """The page of an alert shows a command to run, so an alert rule must not give an instruction
    instead.
    """
    for path in RULES.glob("*.py"):
        assert "look at the log" not in path.read_text("utf-8"), path

"""The engine of the alert rules, and its registry."""

from __future__ import annotations

import importlib
import pkgutil
from datetime import timedelta
from pathlib import Path

import pytest

import certpin_watch.rules
from certpin.errors import InputError
from certpin_watch.rules.engine import RULES, check_rule, evaluate
from certpin_watch.rules.evidence import Evidence, ServiceEvidence
from certpin_watch.rules.rule import AlertFinding, AlertRule
from certpin_watch.settings import SEVERITIES, AlertSettings
from scripts.docs.markdown import prose
from scripts.docs.service import alert_rules_page
from tests.watch._year import _ALERTS

LIMITS = AlertSettings(few=5, networks=10, surge=4, silent=timedelta(hours=6), disk=5)


def rule(name: str, *findings: AlertFinding, broken: bool = False) -> AlertRule:
    def check(_: Evidence) -> tuple[AlertFinding, ...]:
        if broken:
            raise RuntimeError("a defect")
        return findings

    return AlertRule(name, SEVERITIES, check, "probes", "", "")


def finding(severity: str, host: str = "api.bank.example") -> AlertFinding:
    return AlertFinding("one", severity, host, "bank", "a problem")  # type: ignore[arg-type]


def test_the_alerts_of_the_test_data_are_of_real_rules() -> None:
    assert all(severity in RULES[rule].severities for rule, severity, *_ in _ALERTS)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_test_and_a_row_in_the_generated_page(name: str) -> None:
    folder = Path(__file__).parent
    tests = [path.read_text(encoding="utf-8") for path in folder.glob("test_*.py")]
    rows = alert_rules_page()["reference/alert-rules.md"].splitlines()
    (row,) = [line for line in rows if line.startswith(f"| `{name}` |")]
    assert f"| {', '.join(RULES[name].severities)} |" in row
    assert prose(RULES[name].why) in row
    tested = any(f'"{name}"' in text for text in tests)
    assert tested, f'fix: a test with "{name}" in {folder}'


def test_every_file_with_a_rule_is_in_the_registry() -> None:
    for module in pkgutil.iter_modules(certpin_watch.rules.__path__):
        names = vars(importlib.import_module(f"certpin_watch.rules.{module.name}")).values()
        rules = {each.id for each in names if isinstance(each, AlertRule)}
        assert rules <= RULES.keys(), f"fix: {module.name} in _FAMILIES of rules/engine.py"


def test_every_rule_has_its_texts_and_severities() -> None:
    for name, entry in RULES.items():
        assert entry.id == name
        assert entry.summary
        assert entry.why.endswith(".")
        assert entry.severities
        assert list(entry.severities) == sorted(entry.severities, key=SEVERITIES.index)


def test_a_problem_that_two_rules_find_is_one_finding_of_the_worse_severity() -> None:
    other = finding("info", "www.bank.example")
    rules = {"a": rule("a", other, finding("warning")), "b": rule("b", finding("critical"))}
    evaluation = evaluate(Evidence(0, LIMITS), rules)
    assert evaluation.findings == (finding("critical"), other)


def test_a_rule_that_raises_is_skipped_and_affects_no_other() -> None:
    rules = {"a": rule("a", broken=True), "b": rule("b", finding("critical"))}
    evaluation = evaluate(Evidence(0, LIMITS), rules)
    assert evaluation.findings == (finding("critical"),)
    assert evaluation.skipped == {"a"}
    assert evaluation.failures == {"the rule a": "a defect of certpin (RuntimeError)"}


def test_rules_without_their_evidence_are_skipped() -> None:
    missing = frozenset({"probes", "reports", "service"})
    service = ServiceEvidence(disk=0, failures={"the monitor": "a defect"})
    evaluation = evaluate(Evidence(0, LIMITS, service=service, missing=missing))  # type: ignore[arg-type]
    assert [found.rule for found in evaluation.findings] == ["look-fails"]
    assert evaluation.skipped == RULES.keys() - {"look-fails"}


def test_an_unknown_rule_is_refused_with_the_most_similar_name() -> None:
    for name in ("pin-mismatch", "strange-chain"):
        check_rule(name)
    with pytest.raises(InputError, match=r"there is no rule strange\\x1b") as refused:
        check_rule("strange\x1bchain")
    assert refused.value.fix.startswith("did you mean strange-chain? There are certificate-expire")

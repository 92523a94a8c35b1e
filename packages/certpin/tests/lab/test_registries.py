"""Every placeholder, protocol, verdict and report format of the lab is documented.

Each report format has a test file, each case its texts, and each style cases of both kinds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from certpin.lab.attacks import CASES, CONTROL, OPTIONAL_CASES
from certpin.lab.case import Expect
from certpin.lab.client import SUBSTITUTIONS
from certpin.lab.pki import Style
from certpin.lab.report import FORMATS
from certpin.lab.server.protocols import PROTOCOLS
from certpin.lab.verdict import Verdict

ROOT = Path(__file__).parents[4]
PROVE = (ROOT / "docs/guides/prove.md").read_text(encoding="utf-8")
VERDICTS = (ROOT / "docs/concepts/verdict.md").read_text(encoding="utf-8")
REPORTS = (ROOT / "docs/reference/reports.md").read_text(encoding="utf-8")
EVERY = (CONTROL, *CASES, *OPTIONAL_CASES)


@pytest.mark.parametrize("name", SUBSTITUTIONS)
def test_every_placeholder_is_documented(name: str) -> None:
    assert f"`{{{name}}}`" in PROVE


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_documented(name: str) -> None:
    assert f"`{name}`" in PROVE


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_documented(verdict: Verdict) -> None:
    assert f"| `{verdict}` |" in VERDICTS


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_documented_and_tested(name: str) -> None:
    assert f"`--{name}" in REPORTS
    assert (Path(__file__).parent / "report" / f"test_{name}.py").is_file()


@pytest.mark.parametrize("case", EVERY, ids=lambda case: case.name)
def test_every_case_has_a_purpose_and_a_fix(case: object) -> None:
    for field in ("name", "presents", "guards", "fix"):
        text = getattr(case, field)
        assert text
        assert text == text.strip()
        assert not text.endswith(".")


@pytest.mark.parametrize("style", Style)
def test_every_style_has_cases_of_both_kinds(style: Style) -> None:
    expected = [case.expected.of(style) for case in CASES]
    assert expected.count(Expect.REJECT) > 20
    assert expected.count(Expect.ACCEPT) > 5

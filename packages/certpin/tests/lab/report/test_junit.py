"""JUnit XML, as a CI system's parser reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from certpin.lab.pki import LEGEND, Style
from certpin.lab.report import FORMATS
from tests.lab.report import _runs

if TYPE_CHECKING:
    from certpin.lab.runner import Run


def _read(run: Run) -> ET.Element:
    """Return the root element of a run's JUnit report, parsed from bytes as from a file."""
    return ET.fromstring(FORMATS["junit"](run).encode())


def _test(root: ET.Element, name: str) -> ET.Element:
    (found,) = [case for case in root.iter("testcase") if case.get("name") == name]
    return found


def test_each_outcome_has_its_junit_element() -> None:
    root = _read(_runs.every_outcome())
    tags = [
        [child.tag for child in case if child.tag != "system-out"] for case in root.iter("testcase")
    ]
    control, authority = tags[:2], tags[2:]
    assert control == [[], []]
    assert authority == [[], ["failure"], [], [], ["error"], ["skipped"]]


def test_the_numbers_are_those_of_the_tests() -> None:
    root = _read(_runs.every_outcome())
    for element in (root, *root.iter("testsuite")):
        for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert element.get(name) == str(len(list(element.iter(tag)))), name
        assert element.get("tests") == str(len(list(element.iter("testcase"))))


def test_there_is_one_suite_for_each_family_and_no_name_twice() -> None:
    root = _read(_runs.every_outcome())
    assert [suite.get("name") for suite in root] == ["Control", "Whose authority?"]
    names = [case.get("name") for case in root.iter("testcase")]
    assert len(set(names)) == len(names)


def test_a_failure_says_why_and_what_to_do() -> None:
    failure = _test(_read(_runs.every_outcome()), "rogue-ca-in-store (1 of 3)").find("failure")
    assert failure is not None
    assert failure.get("message") == "the attack got through: the client accepted it"
    assert failure.get("type") == "ACCEPT"
    assert _runs.BY_NAME["rogue-ca-in-store"].fix in (failure.text or "")
    assert "the canary arrived" in (failure.text or "")


def test_letters_are_explained_in_suites_and_findings() -> None:
    root = _read(_runs.every_outcome())
    legends = [prop.get("value") for prop in root.iter("property") if prop.get("name") == "legend"]
    assert legends == [LEGEND] * len(list(root.iter("testsuite")))
    explained = [LEGEND in (test.findtext("system-out") or "") for test in root.iter("testcase")]
    assert explained == [False, False, False, True, True, False, True, False]


def test_warning_is_in_the_output_and_not_a_failure() -> None:
    out = _test(_read(_runs.every_outcome()), "untrusted-ca (2 of 3)").findtext("system-out")
    assert "WARNING: " in (out or "")


def test_what_the_client_printed_is_in_the_output() -> None:
    out = _test(_read(_runs.every_outcome()), "untrusted-ca (1 of 3)").findtext("system-out")
    assert "curl: (60) no" in (out or "")


def test_hostile_output_leaves_the_xml_well_formed() -> None:
    root = _read(_runs.hostile_run())
    texts = " ".join(root.itertext())
    assert "<script>alert(1)</script>]]>" in texts
    assert "\\x00" in texts
    assert "\0" not in texts
    assert not list(root.iter("script"))


@pytest.mark.medium
@pytest.mark.parametrize("style", Style)
def test_every_case_of_the_matrix_can_be_written(style: Style) -> None:
    run = _runs.of_every_case(style, gives=True)
    assert len(list(_read(run).iter("testcase"))) == len(run.results)


def test_the_client_its_way_and_its_tls_versions_are_named() -> None:
    root = _read(_runs.every_outcome())
    for suite in root.iter("testsuite"):
        known = {each.get("name"): each.get("value") for each in suite.iter("property")}
        assert known["command"] == "curl -sS -H … {url}"
        assert (known["ways"], known["tls"]) == ("port", "TLSv1.3")
    out = _test(root, "rogue-ca-in-store (1 of 3)").findtext("system-out") or ""
    assert "way: port\nTLS: TLSv1.3" in out
    out = _test(root, "untrusted-ca (3 of 3)").findtext("system-out") or ""
    assert "way: not connected\nTLS: no finished handshake" in out

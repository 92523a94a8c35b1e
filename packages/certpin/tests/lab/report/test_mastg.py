"""Every case of the matrix has its OWASP controls and tests, or the reason why it has none."""

from __future__ import annotations

import re
from itertools import product

from certpin.lab.attacks import CASES, CONTROL, OPTIONAL_CASES
from certpin.lab.case import Expect, Family
from certpin.lab.pki import Style
from certpin.lab.report.mastg import _BY_CASE, CONTROLS, TESTS, reference

ALL = (CONTROL, *CASES, *OPTIONAL_CASES)


def test_every_case_is_listed_and_no_other() -> None:
    assert _BY_CASE.keys() == {case.name for case in ALL}, "fix: _GROUPS of lab/report/mastg.py"


def test_a_case_without_a_control_or_a_test_has_a_reason() -> None:
    for case, style in product(ALL, Style):
        found = reference(case.name, case.expected.of(style))
        assert bool(found.why) == (not found.controls or not found.tests), case.name
        assert set(found.controls) <= CONTROLS.keys()
        assert set(found.tests) <= TESTS.keys()
    assert all(re.fullmatch(r"MASTG-TEST-\d{4}", name) for name in TESTS)


def test_attacks_that_only_pins_stop_are_about_pinning() -> None:
    stopped = []
    for case, style in product(CASES, (Style.LEAF, Style.CA)):
        if (case.expected.none, case.expected.of(style)) == (Expect.ACCEPT, Expect.REJECT):
            stopped.append((case.name, style))
            found = reference(case.name, Expect.REJECT)
            assert found.controls == ("MASVS-NETWORK-2",), case.name
    assert ("rot-new-key-pinned-ca", Style.LEAF) in stopped
    assert ("rot-new-key-pinned-ca", Style.CA) not in stopped


def test_a_legitimate_change_is_no_test_of_a_control() -> None:
    for case, style in product(CASES, Style):
        if case.family is Family.ROTATION:
            expect = case.expected.of(style)
            found = reference(case.name, expect)
            assert (found.controls == ()) is (expect is not Expect.REJECT), (case.name, style)
            assert bool(found.because) is (expect is Expect.REJECT), (case.name, style)


def test_an_unknown_case_has_no_control() -> None:
    assert reference("mine", Expect.REJECT).why == "it is no case of certpin's matrix"

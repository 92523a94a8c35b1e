"""The requirements of packages: parsed from metadata, and compared with installed versions."""

from __future__ import annotations

from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.support import requirements as module
from certpin.support.requirements import Requirement, requirements, satisfies


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("3.10", ">=3.9.2", True),
        ("3.9", ">=3.9.2", False),
        ("3.9.2", ">=3.9.2", True),
        ("2.0", "==2.0.0", True),
        ("2.0.1", "==2.0", False),
        ("2.5", ">=2,<3", True),
        ("3.0", ">=2,<3", False),
        ("3.0", ">2", True),
        ("2.0", "<=2", True),
        ("1!1.0", ">=1", True),
        ("2.1rc1", ">=2.1", True),
        ("unknown", ">=1", False),
        ("1", "~=1.0", True),
        ("1", "", True),
    ],
)
def test_a_version_is_compared_by_its_numbers(version: str, bounds: str, expected: bool) -> None:
    assert satisfies(version, bounds) is expected


def test_all_requirements_of_certpin_are_parsed() -> None:
    lines = metadata.requires("certpin") or []
    found = requirements(lines, (3, 13))
    assert len(found) == len([line for line in lines if "extra == 'all'" not in line])
    assert all(module._BOUND.fullmatch(one) for each in found for one in each.bounds.split(","))
    assert ("", "click") in {(each.extra, each.package) for each in found}
    assert Requirement("cluster", "certpin-watch", "==0.1.0", "", "cluster") in found


@pytest.mark.parametrize(
    ("python", "unmet"), [((3, 11), "Python >= 3.12"), ((3, 12), ""), ((3, 15), "")]
)
def test_a_condition_on_the_version_of_python_is_read(python: tuple[int, int], unmet: str) -> None:
    line = "mitmproxy-rs>=0.12; (python_version >= '3.12') and extra == 'wireguard'"
    assert requirements([line], python) == [
        Requirement("wireguard", "mitmproxy-rs", ">=0.12", unmet)
    ]


@given(st.text())
def test_a_requirement_of_another_form_raises_nothing(line: str) -> None:
    assert len(requirements([line], (3, 13))) <= 1

"""Public suffixes: the file matches the installed list, and its rules are followed."""

from __future__ import annotations

import pytest

from certpin.pins.hosts import _suffix_rules, is_public_suffix
from scripts import public_suffix


def test_the_file_is_what_the_installed_list_makes() -> None:
    assert public_suffix.TARGET.read_text(encoding="ascii") == public_suffix.text(), (
        "the list has aged: make suffixes"
    )


def test_the_rules_are_those_of_the_file_without_its_head() -> None:
    assert _suffix_rules() == set(public_suffix.rules())
    assert len(_suffix_rules()) > 5000


@pytest.mark.parametrize(
    "name",
    [
        *("com", "uk", "co.uk", "example", "nosuchtop"),
        *("ck", "anything.ck", "kawasaki.jp", "any.kawasaki.jp"),  # *.ck, *.kawasaki.jp
        "xn--55qx5d.cn",
    ],
)
def test_a_name_under_which_anyone_may_register_is_public(name: str) -> None:
    assert is_public_suffix(name)


@pytest.mark.parametrize(
    "name",
    [
        *("bank.com", "bank.co.uk", "bank.example", "below.bank.example"),
        *("www.ck", "city.kawasaki.jp"),  # !www.ck, !city.kawasaki.jp
        *("below.anything.ck", "below.city.kawasaki.jp"),
    ],
)
def test_a_registered_name_is_not_public(name: str) -> None:
    assert not is_public_suffix(name)


def test_names_of_the_private_section_are_not_in_it() -> None:
    """A hoster's suffix belongs to the hoster, which may pin all of it; lint decides about that."""
    assert not is_public_suffix("github.io")

"""Pins of ``pins.toml`` are changed, added and removed; nothing else changes."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import HostPin
from tests.pinfile._files import FULL, GOOD, HEAD, ONE, THREE, TWO, WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin.pins import HostPolicy

HOST = "api.bank.example"
NEW = HostPin(THREE, "backup", "staged", 'key file "new"')
STATES = ["generated", "staged", "published", "adopted", "active", "retiring"]

COMMENTED = FULL.replace(
    'state = "published"\n', "'state'  =  'published'   # since March\n# below\n"
)
TEXTS = {
    "plain": GOOD,
    "full": FULL,
    "comments and quotes": COMMENTED,
    "CRLF": COMMENTED.replace("\n", "\r\n"),
    "no line end": FULL.rstrip("\n"),
    "indented": FULL.replace("[[host.pin]]", "  [[ host . pin ]]").replace("\npin", "\n  pin"),
    "a table behind": FULL + '\n[extra]\nstate = "mine"\n[[host.other]]\nstate = "too"\n',
}
pytestmark = pytest.mark.filterwarnings("ignore::certpin.pinfile.PinFileWarning")


def editor(text: str) -> PinFileEditor:
    return PinFileEditor(Path("pins.toml"), text, before=text)


def policy(edited: PinFileEditor) -> HostPolicy:
    return edited.check().policies[0]


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    """Return the removed and the added lines."""
    old, new = before.splitlines(), after.splitlines()
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return old, new


@pytest.mark.parametrize("what", TEXTS)
def test_a_state_is_replaced_and_nothing_else_changes(what: str) -> None:
    edited = editor(TEXTS[what])
    edited.change_pin(HOST, TWO, state="retiring")
    assert [each.state for each in policy(edited).pins] == ["active", "retiring"]
    old, new = changed_lines(TEXTS[what], edited.text)
    assert len(new) == 1
    assert [line.split("=")[0].strip() for line in old] in (["state"], ["'state'"], [])


@pytest.mark.parametrize("what", TEXTS)
def test_a_provider_edition_is_added_and_replaced(what: str) -> None:
    edited = editor(TEXTS[what])
    edited.set_provider_edition(HOST, date(2026, 11, 28))
    assert policy(edited).provider_edition == date(2026, 11, 28)
    old, new = changed_lines(TEXTS[what], edited.text)
    assert (old, len(new)) == ([], 1)
    edited.set_provider_edition(HOST, date(2027, 1, 2))
    assert policy(edited).provider_edition == date(2027, 1, 2)
    assert len(changed_lines(TEXTS[what], edited.text)[1]) == 1


def test_the_edition_of_hosts_in_a_list_is_refused() -> None:
    pins = f'[{{pin = "{ONE}"}}, {{pin = "{TWO}"}}]'
    edited = editor(f'{HEAD}host = [{{name = "{HOST}", pin = {pins}}}]\n')
    with pytest.raises(PinFileError, match="it cannot be edited"):
        edited.set_provider_edition(HOST, date(2026, 11, 28))


def test_a_list_of_providers_is_replaced() -> None:
    edited = editor(GOOD)
    edited.change_pin(HOST, ONE, provider="one")
    edited.change_pin(HOST, ONE, provider=["one", "cdn"])
    assert policy(edited).pins[0].provider == ("one", "cdn")
    edited.change_pin(HOST, ONE, provider="cdn")
    assert changed_lines(GOOD, edited.text) == ([], ['provider = "cdn"'])


def test_the_pin_of_a_root_is_added_with_its_providers() -> None:
    edited = editor(GOOD)
    entry = HostPin(THREE, "root", "active", "Root", ("one", "cdn"), date(2036, 6, 22))
    edited.add_pin(HOST, entry)
    assert policy(edited).pins[2] == entry


def test_text_beside_a_state_is_kept() -> None:
    edited = editor(COMMENTED)
    edited.change_pin(HOST, TWO, state="active")
    _, new = changed_lines(COMMENTED, edited.text)
    assert new == ["'state'  =  \"active\"   # since March"]


def test_a_missing_state_is_added() -> None:
    edited = editor(GOOD)
    edited.change_pin(HOST, ONE, state="retiring")
    assert changed_lines(GOOD, edited.text) == ([], ['state = "retiring"'])


def test_several_values_of_a_pin_change_at_once() -> None:
    edited = editor(FULL)
    edited.change_pin(HOST, TWO, state="active", role="leaf")
    entry = policy(edited).pins[1]
    assert (entry.state, entry.role) == ("active", "leaf")


@pytest.mark.parametrize("what", TEXTS)
def test_a_pin_is_appended_to_its_host(what: str) -> None:
    edited = editor(TEXTS[what])
    before = edited.check()
    edited.add_pin(HOST, NEW)
    assert policy(edited).pins == (*before.policies[0].pins, NEW)
    assert edited.check().policies[1:] == before.policies[1:]
    old, _ = changed_lines(TEXTS[what], edited.text)
    assert old == []


@pytest.mark.parametrize("what", TEXTS)
def test_appending_and_removing_a_pin_restores_the_text(what: str) -> None:
    edited = editor(TEXTS[what])
    edited.add_pin(HOST, NEW)
    edited.remove_pin(HOST, THREE)
    assert edited.text.rstrip() == TEXTS[what].rstrip()


def test_line_ends_are_kept() -> None:
    edited = editor(TEXTS["CRLF"])
    edited.add_pin(HOST, NEW)
    edited.change_pin(HOST, ONE, note="said")
    assert edited.text.count("\n") == edited.text.count("\r\n")


def test_a_pin_is_appended_before_the_comment_of_the_next_host() -> None:
    edited = editor(FULL)
    edited.add_pin(HOST, NEW)
    assert edited.text.index("sha256/AgME") < edited.text.index("# Everything else.")


def test_a_pin_of_another_host_is_edited_there() -> None:
    text = FULL + f'\n[[host.pin]]\npin = "{ONE}"\n\n[[host.pin]]\npin = "{TWO}"\n'
    edited = editor(text)
    edited.remove_pin("**.bank.example", TWO)
    assert [each.pin for each in edited.check().policies[1].pins] == [WHOLE, ONE]
    assert [each.pin for each in policy(edited).pins] == [ONE, TWO]


@pytest.mark.parametrize("end", ["", "\r\n"])
def test_a_pin_is_appended_after_a_last_line_without_an_end(end: str) -> None:
    text = GOOD.rstrip("\n").replace("\n", end or "\n")
    edited = editor(text)
    edited.add_pin(HOST, NEW)
    assert policy(edited).pins[-1] == NEW
    assert edited.text.startswith(text)
    assert edited.text.count("\r\n") in {0, edited.text.count("\n")}


def test_the_version_is_set() -> None:
    edited = editor(FULL)
    edited.set_version(40)
    edited.set_version(40)
    assert edited.check().version == 40


@pytest.mark.parametrize("pattern", ["none.example", HOST])
def test_a_missing_pin_or_host_is_an_error(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"there is no policy|has no pin"):
        editor(GOOD).change_pin(pattern, THREE, state="active")


INLINE = (
    f'{HEAD}[[host]]\nname = "{HOST}"\npin = [\n  {{ pin = "{ONE}" }},\n  {{ pin = "{TWO}" }},\n]\n'
)
LOOKALIKE = GOOD.replace(
    "\n[[host.pin]]", f'\nnote = """\n[[host.pin]]\npin = "{ONE}"\n"""\n[[host.pin]]', 1
)


@pytest.mark.parametrize("text", [INLINE, LOOKALIKE], ids=["in a list", "behind a lookalike"])
def test_an_unsafe_edit_is_refused_and_changes_nothing(text: str) -> None:
    edits: list[Callable[[PinFileEditor], None]] = [
        lambda edited: edited.change_pin(HOST, ONE, state="retiring"),
        lambda edited: edited.add_pin(HOST, NEW),
        lambda edited: edited.remove_pin(HOST, ONE),
    ]
    for edit in edits:
        edited = editor(text)
        with pytest.raises(PinFileError, match="cannot be edited in its present form") as caught:
            edit(edited)
        assert "[[host.pin]]" in caught.value.fix
        assert edited.text == text


@pytest.mark.medium
@given(
    st.sampled_from(sorted(TEXTS)),
    st.lists(st.tuples(st.sampled_from([ONE, TWO]), st.sampled_from(STATES)), max_size=4),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
def test_every_change_can_be_read_again(
    what: str, changes: list[tuple[object, str]], note: str
) -> None:
    edited = editor(TEXTS[what])
    for pin, state in changes:
        edited.change_pin(HOST, pin, state=state, note=note)  # type: ignore[arg-type]  # one of two
    found = {each.pin: each for each in policy(edited).pins}
    for pin, state in dict(changes).items():
        assert (found[pin].state, found[pin].note) == (state, note)  # type: ignore[index]  # as above

"""``certpin providers``: the list, and the update of a pin file through the gate."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import certpin.providers
from certpin.lab import Authority, LabServer
from certpin.pinfile import PinSet
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import HostPattern, HostPolicy
from certpin.providers import ProviderData, load_providers, root_pins
from tests.cli import _documented
from tests.cli._rotating import QUICK, days_pass, journal, next_number
from tests.providers import _data
from tests.providers._data import EDITION, TODAY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.pins import State
    from tests.cli.conftest import Done, Run

OLD = date(2026, 1, 1)
GONE = _data.root(7)


def use(monkeypatch: pytest.MonkeyPatch, data: ProviderData) -> None:
    monkeypatch.setattr(certpin.providers, "load_providers", lambda: data)


def roots_of(root: Authority) -> ProviderData:
    """Return data of two providers: ``one`` has the tests' root and a new one, ``two`` others."""
    known = replace(_data.root(1), pin=root.pin, name="Test Root")
    return _data.data(
        _data.provider("one", known, _data.root(2)),
        _data.provider("two", _data.root(3), _data.root(4)),
    )


@pytest.fixture
def server(intermediate: Authority, trusted_root: Path) -> Iterator[LabServer]:
    with LabServer(intermediate.issue("localhost")) as running:
        yield running


@pytest.fixture
def written(
    root: Authority, server: LabServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, ...]:
    """Write a pin file with an old root set of the provider ``one``.

    The set has the tests' root, and a root that the provider has given up since. Return the options
    for the host's server.
    """
    known = replace(_data.root(1), pin=root.pin, name="Test Root")
    old = root_pins([_data.provider("one", known, GONE)], TODAY)
    policy = HostPolicy(HostPattern("", "localhost"), old, match="ca", provider_edition=OLD)
    editor = PinFileEditor.new(Path("pins.toml"), "bank", version=3)
    editor.add_host(policy)
    editor.save()
    use(monkeypatch, roots_of(root))
    return ("--connect", f"127.0.0.1:{server.port}")


def updated(run: Run, *words: str) -> Done:
    """Run ``certpin providers update WORDS``. Fail unless its JSON is as documented."""
    done = run("providers", "update", *words, "--json")
    _documented.check("provider update", done.json)
    return done


def test_the_list_has_every_provider_with_its_sources(run: Run) -> None:
    done = run("providers")
    assert done.code == 0
    for provider in load_providers().providers.values():
        assert f"\n{provider.name}: {provider.title}, last change {provider.changed}\n" in done.out
        assert all(source.url in done.out for source in provider.sources)
        assert all(str(root.pin) in done.out for root in provider.roots)
    assert "GTS Root R2, until 2036-06-22, removed 2026-04-22" in done.out
    assert run("providers", "show").out == done.out


def test_the_list_as_json_is_as_documented(run: Run) -> None:
    done = run("providers", "show", "cloudflare", "amazon", "--json")
    assert done.json["edition"] == load_providers().edition.isoformat()
    for each in done.json["providers"]:
        _documented.check("provider", each)
    assert [each["name"] for each in done.json["providers"]] == ["cloudflare", "amazon"]
    assert run("providers", "--json").document["command"] == "providers"


def test_an_unknown_provider_is_a_usage_error(run: Run) -> None:
    done = run("providers", "show", "amazn")
    assert (done.code, "Did you mean 'amazon'?" in done.err) == (2, True)


def test_check_shows_the_changes_and_writes_nothing(run: Run, written: tuple[str, ...]) -> None:
    before = Path("pins.toml").read_text()
    done = updated(run, "--check")
    [host] = done.json["hosts"]
    assert (done.code, done.json["applied"], host["edition"]) == (1, False, "2026-01-01")
    assert [each["name"] for each in host["added"]] == ["Root 2"]
    assert [each["name"] for each in host["dropped"]] == ["Root 7"]
    assert Path("pins.toml").read_text() == before
    text = run("providers", "update", "--check").out
    assert f"  + {_data.pin(2)}  Root 2, until 2040-01-01\n" in text
    assert f"  - {_data.pin(7)}  Root 7\n" in text


def test_new_roots_go_in_at_once_and_old_ones_stay_without_a_record(
    run: Run, written: tuple[str, ...], root: Authority
) -> None:
    done = updated(run)
    assert done.code == 1
    assert [each["invariant"] for each in done.json["breaches"]] == ["unseen"]
    (policy,) = PinSet.load("pins.toml").policies
    assert [each.pin for each in policy.pins] == [root.pin, _data.pin(7), _data.pin(2)]
    assert {each.state for each in policy.pins} == {"active"}
    assert policy.provider_edition == EDITION
    assert PinSet.load("pins.toml").version == 4
    assert not Path("pins.journal.jsonl").exists()


def test_a_newer_edition_without_changes_keeps_the_version(
    run: Run, written: tuple[str, ...], root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = replace(_data.root(1), pin=root.pin, name="Test Root")
    use(monkeypatch, _data.data(_data.provider("one", known, GONE)))
    assert updated(run).code == 0
    pins = PinSet.load("pins.toml")
    assert (pins.version, pins.policies[0].provider_edition) == (3, EDITION)


def test_an_old_root_leaves_through_the_gate(
    run: Run, written: tuple[str, ...], root: Authority
) -> None:
    assert run("rotate", "shipped", "3", *QUICK, "--offline").code == 0
    days_pass(30)
    done = updated(run, *written)
    assert (done.code, done.json["breaches"]) == (0, [])
    assert done.json["hosts"][0]["dropped"][0]["removed"] is True
    pins = PinSet.load("pins.toml")
    states = {each.pin: each.state for each in pins.policies[0].pins}
    assert states == {root.pin: "active", _data.pin(7): "removed", _data.pin(2): "active"}
    assert pins.version == 4
    assert [event.step for event in journal()][-2:] == ["retire", "remove"]
    assert run("check", *written).code == 0
    assert updated(run, *written).json["hosts"] == []


def test_a_root_that_a_server_presents_stays(
    run: Run, written: tuple[str, ...], root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("rotate", "shipped", "3", *QUICK, "--offline").code == 0
    days_pass(30)
    moved = _data.data(_data.provider("one", _data.root(2), GONE))
    use(monkeypatch, moved)
    done = run("providers", "update", *written)
    assert done.code == 1
    assert f"{root.pin} is served by" in done.err
    assert f"  - {root.pin}  Test Root: stays, see above" in done.out
    (policy,) = PinSet.load("pins.toml").policies
    assert {each.pin: each.state for each in policy.pins} == {
        root.pin: "active",
        _data.pin(7): "active",
        _data.pin(2): "active",
    }


def test_a_server_that_does_not_answer_changes_nothing(
    run: Run, written: tuple[str, ...], server: LabServer
) -> None:
    assert run("rotate", "shipped", "3", *QUICK, "--offline").code == 0
    before = Path("pins.toml").read_text()
    done = run("providers", "update", "--connect", "127.0.0.1:1", "--timeout", "2")
    assert done.code == 3
    assert Path("pins.toml").read_text() == before


def test_a_provider_is_added_to_a_host(run: Run, written: tuple[str, ...]) -> None:
    done = updated(run, "--host", "localhost", "--provider", "two")
    assert [each["name"] for each in done.json["hosts"][0]["added"]] == [
        "Root 2",
        "Root 3",
        "Root 4",
    ]
    (policy,) = PinSet.load("pins.toml").policies
    assert {name for each in policy.pins for name in each.provider} == {"one", "two"}


def test_a_provider_needs_a_host(run: Run, written: tuple[str, ...]) -> None:
    done = run("providers", "update", "--provider", "two")
    assert (done.code, "--host" in done.err) == (2, True)


def test_a_file_of_a_newer_edition_is_left_as_it_is(
    run: Run, written: tuple[str, ...], root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, replace(roots_of(root), edition=date(2025, 1, 1)))
    before = Path("pins.toml").read_text()
    done = run("providers", "update")
    assert (done.code, "fix: update certpin" in done.err) == (2, True)
    assert Path("pins.toml").read_text() == before


def test_an_unknown_provider_in_the_file_is_an_error(
    run: Run, written: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, _data.data(_data.provider("two", _data.root(3), _data.root(4))))
    done = run("providers", "update")
    assert (done.code, "has no 'one'" in done.err) == (2, True)


def test_a_file_without_providers_has_nothing_to_update(run: Run) -> None:
    pins = ("--pin", str(_data.pin(1)), "--backup-pin", str(_data.pin(2)))
    run("add", "nobody.invalid", *pins)
    before = Path("pins.toml").read_text()
    done = run("providers", "update")
    assert (done.code, done.out.startswith("The root sets of pins.toml are those")) == (0, True)
    assert Path("pins.toml").read_text() == before


def test_check_reports_a_changed_set_and_finds_no_problem(
    run: Run, written: tuple[str, ...]
) -> None:
    done = run("check", *written)
    assert done.code == 0
    changed = "localhost: the roots of one changed (data of 2026-11-28): new: Root 2"
    assert f"{changed}; no longer used: Root 7: certpin providers update" in done.out
    Path("pins.toml").rename("live.toml")
    done = run("check", *written, "live.toml")
    assert f"{changed}; no longer used: Root 7: certpin providers update --file live" in done.out
    done = run("check", *written, "live.toml", "--json")
    assert done.json["providers"] == [f"{changed}; no longer used: Root 7"]


@pytest.mark.parametrize(
    ("state", "fix"), [("removed", "delete its entry"), ("compromised", "pin another provider")]
)
def test_a_root_with_a_dead_entry_leaves_the_set_incomplete(
    run: Run, written: tuple[str, ...], state: State, fix: str
) -> None:
    """As after the host has left a provider, to which it now returns."""
    more = root_pins([_data.provider("two", _data.root(3), _data.root(4))], TODAY)
    editor = PinFileEditor.open(Path("pins.toml"))
    for entry in more:
        editor.add_pin("localhost", replace(entry, state=state, note=""))
    editor.save()
    words = ("--host", "localhost", "--provider", "two", "--force", "--reason", "test")
    done = updated(run, *words)
    found = done.json["hosts"][0]["not_accepted"]
    assert (done.code, {each["state"] for each in found}) == (1, {state})
    assert [each["name"] for each in found] == ["Root 3", "Root 4"]
    assert all(fix in each["fix"] for each in found)
    again = run("providers", "update", *words)
    assert again.code == 1
    assert f"  ! {_data.pin(3)}  Root 3: {state.upper()}, so clients don't accept it" in again.out


def test_a_root_goes_in_again_after_its_removed_entry_was_deleted(
    run: Run, written: tuple[str, ...], root: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("rotate", "shipped", "3", *QUICK, "--offline").code == 0
    days_pass(30)
    assert updated(run, *written).code == 0
    known = replace(_data.root(1), pin=root.pin, name="Test Root")
    use(monkeypatch, _data.data(_data.provider("one", known, _data.root(2), GONE)))
    assert updated(run, *written).code == 1
    editor = PinFileEditor.open(Path("pins.toml"))
    editor.remove_pin("localhost", GONE.pin)
    editor.save()
    done = updated(run, *written)
    assert (done.code, done.json["hosts"][0]["not_accepted"]) == (0, [])
    assert {each.state for each in PinSet.load("pins.toml").policies[0].pins} == {"active"}
    done = run("rotate", "shipped", next_number(), *written)
    assert done.code == 0, done.err

"""The Dart update client for signed pin sets: it decides as python-tuf, and stores its state."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.formats.flutter import signed_cases, signed_vectors
from tests.formats.flutter._app import App, verdict
from tests.formats.flutter._bridge import PinUpdateException
from tests.updates._publisher import naming
from tests.updates.test_pin_sets import begin, take_over

if TYPE_CHECKING:
    from pathlib import Path

    from tests.formats.flutter.signed_vectors import Bank, Case

pytestmark = pytest.mark.peer("dart")

STORED = {case.name: case for case in signed_vectors.stored()}
PLAIN = STORED["the_next_version"]
RIGHT = [name for name, case in STORED.items() if not case.moments[-1].reason]


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return signed_vectors.bank(tmp_path)


def shown(bank: Bank) -> dict[str, bytes]:
    """Return the current files of the publisher's server, by path."""
    bank.let_follow()
    return dict(bank.shown[-1][1])


def app_of(bank: Bank) -> App:
    """Return an app that contains version 1 of a publisher's pins, and has not updated yet."""
    case = signed_vectors.case("", bank, lambda _: None)
    return App(case.pins, case.root)


def followed(case: Case) -> App:
    """Return the app of a test vector after all its updates but the last."""
    app = App(case.pins, case.root)
    for moment in case.moments[:-1]:
        assert verdict(app, moment.files, moment.now) == (moment.reason, moment.version)
    return app


@pytest.mark.parametrize("name", STORED)
def test_dart_decides_as_python_tuf(name: str) -> None:
    """For each stored test vector, Dart has the result and version that python-tuf had."""
    case = STORED[name]
    app = followed(case)
    last = case.moments[-1]
    before = app.version
    assert verdict(app, last.files, last.now) == (last.reason, last.version)
    if last.reason:
        assert app.version == before


@pytest.mark.parametrize("name", STORED)
def test_the_state_survives_a_restart(name: str) -> None:
    case = STORED[name]
    app = App(case.pins, case.root)
    for moment in case.moments:
        app.start()
        assert verdict(app, moment.files, moment.now) == (moment.reason, moment.version)
    app.start()
    assert app.version == case.moments[-1].version


@pytest.mark.slow
def test_fresh_keys_give_the_same_results_as_the_vectors(tmp_path: Path) -> None:
    made = signed_vectors.cases(tmp_path)
    assert [case.name for case in made] == list(signed_cases.CASES) == list(STORED)
    for case in made:
        told = [(moment.reason, moment.version) for moment in case.moments]
        app = App(case.pins, case.root)
        assert [verdict(app, each.files, each.now) for each in case.moments] == told, case.name
        wanted = [(_alike(each.reason), each.version) for each in STORED[case.name].moments]
        assert [(_alike(reason), version) for reason, version in told] == wanted, case.name


def _alike(reason: str) -> str:
    """Return a reason for comparison, with "too-long" replaced by "mismatch".

    ECDSA signatures differ in length, and so do the files that contain them: a changed file is
    refused for its length or for its hash.
    """
    return "mismatch" if reason == "too-long" else reason


def test_the_vectors_cover_success_and_all_refusals() -> None:
    reasons = {moment.reason for case in STORED.values() for moment in case.moments}
    assert reasons == {
        *("", "signature", "rollback", "expired", "mismatch", "unreadable", "refused"),
        *("older", "changed", "content", "too-long", "http"),
    }
    assert len(RIGHT) >= 10


def test_no_private_key_is_stored() -> None:
    text = signed_vectors.TARGET.read_text("ascii")
    assert "PRIVATE" not in text
    for data in json.loads(text)["files"].values():
        assert b"PRIVATE" not in b64decode(data)


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_changed_octet_is_refused_or_has_no_effect(data: st.DataObject) -> None:
    """A file with a changed octet is refused, or gives the same version as the original.

    Changed spaces have no effect, nor has a signature that is not counted.
    """
    moment = PLAIN.moments[-1]
    path = data.draw(st.sampled_from(sorted(moment.files)))
    shown = moment.files[path]
    place = data.draw(st.integers(0, len(shown) - 1))
    octet = data.draw(st.binary(min_size=0, max_size=2))
    damaged = shown[:place] + octet + shown[place + 1 :]
    app = followed(PLAIN)
    reason, version = verdict(app, {**moment.files, path: damaged}, moment.now)
    assert (reason, version) == ("", 3) or (reason and version == 2)
    app.start()
    assert app.version == version
    assert verdict(app, moment.files, moment.now) == ("", 3)  # the app recovers


@pytest.mark.slow
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_state_is_restored_completely_or_refused(data: st.DataObject) -> None:
    app = followed(PLAIN)
    text = app.stored
    place = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from(["", "A", "b", '"', "}", "\u00fc", "0"]))
    app.stored = text[:place] + letter + text[place + 1 :]
    try:
        app.start()
    except PinUpdateException:
        assert not app.state["good"] or app.version == 1
    assert app.version in {1, 2}


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"schema": 2}', '{"schema": 1, "roots": 1}'])
def test_invalid_state_is_refused(text: str) -> None:
    app = App(PLAIN.pins, PLAIN.root)
    app.stored = text
    with pytest.raises(PinUpdateException):
        app.start()
    assert app.version == 1


def test_the_first_root_signs_itself() -> None:
    root = json.loads(PLAIN.root)
    root["signed"]["expires"] = "2099-01-01T00:00:00Z"
    with pytest.raises(PinUpdateException, match="signature"):
        App(PLAIN.pins, json.dumps(root).encode())


def test_a_set_signed_by_replaced_keys_stays_in_force_but_is_not_current(bank: Bank) -> None:
    """Only the root is new: the last valid set stays in force until the new keys sign."""
    app = app_of(bank)
    app.refresh(shown(bank), bank.now)
    bank.repository.rotate("targets")
    bank.repository.publish_timestamp()
    assert verdict(app, shown(bank), bank.now) == ("signature", 2)
    app.start()
    assert app.version == 2
    assert not app.is_newest(bank.now)
    bank.publish(3)
    assert verdict(app, shown(bank), bank.now) == ("", 3)
    app.start()
    assert app.is_newest(bank.now)


def test_a_set_without_a_valid_root_is_not_used(bank: Bank) -> None:
    app = app_of(bank)
    app.refresh(shown(bank), bank.now)
    bank.repository.rotate("targets")
    bank.repository.publish_timestamp()
    assert verdict(app, shown(bank), bank.now) == ("signature", 2)
    kept = json.loads(app.stored)
    kept["good"]["root"] = 2
    app.stored = json.dumps(kept)
    with pytest.raises(PinUpdateException, match="signature"):
        app.start()
    assert app.version == 1


def test_replaced_keys_cannot_freeze_the_versions(bank: Bank) -> None:
    """New keys end the high versions that a thief of the old online key had signed.

    See TUF 1.0.31, 5.3.11.
    """
    app = app_of(bank)
    app.refresh(shown(bank), bank.now)
    bank.repository.versions |= {"snapshot": 2**40, "timestamp": 2**40}
    bank.repository.publish_online()
    app.refresh(shown(bank), bank.now)
    bank.repository.versions |= {"snapshot": 10, "timestamp": 10}
    bank.repository.publish_online()
    assert verdict(app, shown(bank), bank.now) == ("rollback", 2)
    bank.repository.rotate("online")
    bank.publish(3)
    assert verdict(app, shown(bank), bank.now) == ("", 3)


@pytest.mark.parametrize(
    ("ours", "theirs"), [("bank", "casino"), ("bank", None), ("bank", ["bank"]), (None, "casino")]
)
def test_a_root_of_another_pin_set_is_refused(bank: Bank, ours: object, theirs: object) -> None:
    """Two pin sets may have the same root key: the targets keys of one sign nothing for the other.

    An app must not restore such a root from its storage, either.
    """
    begin(bank.repository, ours)
    bank.publish(2)
    app, before = app_of(bank), shown(bank)
    app.refresh(before, bank.now)
    take_over(bank.repository, theirs)
    foreign = bank.repository.path("root").read_bytes()
    bank.publish(3)
    assert verdict(app, shown(bank), bank.now) == ("refused", 2)
    app.start()
    app.refresh(before, bank.now)
    kept = json.loads(app.stored)
    kept["roots"].append(b64encode(foreign).decode())
    app.stored = json.dumps(kept)
    with pytest.raises(PinUpdateException, match="not of the pin set bank"):
        app.start()


def test_the_root_in_the_app_is_of_its_pin_set(bank: Bank) -> None:
    begin(bank.repository, "casino")
    with pytest.raises(PinUpdateException, match="not of the pin set bank"):
        app_of(bank)


def test_a_root_may_get_the_name_of_its_pin_set(bank: Bank) -> None:
    app = app_of(bank)
    bank.repository.publish_root(bank.repository.keys["root"], change=naming("bank"))
    bank.publish(3)
    assert verdict(app, shown(bank), bank.now) == ("", 3)


def test_a_stored_number_of_a_root_that_does_not_exist_lifts_no_limit(bank: Bank) -> None:
    app = app_of(bank)
    app.refresh(shown(bank), bank.now)
    kept = json.loads(app.stored)
    kept["good"]["root"] = 7
    app.stored = json.dumps(kept)
    app.start()
    bank.publish(1003)
    assert verdict(app, shown(bank), bank.now) == ("jump", 2)


@pytest.mark.parametrize("restarted", [False, True])
def test_versions_of_stolen_targets_keys_end_with_the_keys(bank: Bank, restarted: bool) -> None:
    app = app_of(bank)
    app.refresh(shown(bank), bank.now)
    bank.publish(1003)
    assert verdict(app, shown(bank), bank.now) == ("jump", 2)
    bank.repository.rotate("root")  # under another root, any version is taken
    bank.publish(2**62)
    assert verdict(app, shown(bank), bank.now) == ("", 2**62)
    bank.repository.rotate("root", "online")
    bank.publish(3)
    assert verdict(app, shown(bank), bank.now) == ("older", 2**62)
    bank.repository.rotate("targets")
    bank.publish(4)
    if restarted:
        app.start()
    assert verdict(app, shown(bank), bank.now) == ("", 4)
    app.start()
    assert app.version == 4


def test_an_incomplete_refresh_keeps_its_verified_state(bank: Bank) -> None:
    """A server without the files of its newer timestamp fails the update.

    The app keeps that timestamp, so that the older one is then a rollback.
    """
    app = app_of(bank)
    before = shown(bank)
    app.refresh(before, bank.now)
    bank.publish(3)
    timestamp = "metadata/timestamp.json"
    assert verdict(app, before | {timestamp: shown(bank)[timestamp]}, bank.now) == ("http", 2)
    app.start()
    assert verdict(app, before, bank.now) == ("rollback", 2)
    assert verdict(app, shown(bank), bank.now) == ("", 3)


def test_a_newer_app_ignores_older_stored_pins(bank: Bank) -> None:
    bank.publish(3)
    old = app_of(bank)
    old.refresh(shown(bank), bank.now)
    bank.repository.rotate("root", "targets", "online")
    bank.publish(4)
    root = bank.repository.path("root").read_bytes()
    new = App(shown(bank)[_pins_path(bank)], root)
    new.stored = old.stored
    with pytest.raises(PinUpdateException, match="signature"):  # by removed keys
        new.start()
    assert new.version == 4
    assert not new.is_newest(bank.now)
    assert verdict(new, shown(bank), bank.now) == ("", 4)


def _pins_path(bank: Bank) -> str:
    digest = bank.repository.read("targets").signed.targets["pins.json"].hashes["sha256"]
    return f"targets/{digest}.pins.json"


def test_known_pins_are_not_fetched_again() -> None:
    case = STORED["the_daily_timestamp"]
    app = followed(case)
    moment = case.moments[-1]
    app.refresh(moment.files, moment.now)
    assert not [path for path in app.asked if path.startswith("targets/")]
    assert app.asked[:2] == ["metadata/2.root.json", "metadata/timestamp.json"]


@pytest.mark.slow
def test_root_updates_per_refresh_are_limited(bank: Bank) -> None:
    for _ in range(257):
        bank.repository.rotate()
    bank.publish(3)
    app = app_of(bank)
    app.refresh(shown(bank), bank.now)
    assert app.state["roots"] == 257
    app.refresh(shown(bank), bank.now)
    assert app.state["roots"] == 258


def test_the_size_of_a_root_is_limited(bank: Bank) -> None:
    files = shown(bank) | {"metadata/2.root.json": b" " * (256 * 1024 + 1)}
    assert verdict(app_of(bank), files, bank.now) == ("too-long", 1)


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_set_is_current_until_its_first_file_expires(bank: Bank, role: str) -> None:
    bank.repository.days[role] = 1
    bank.repository.rotate()
    bank.publish(3)
    app = app_of(bank)
    app.refresh(shown(bank), bank.now)
    end = bank.repository.now + timedelta(days=1)
    assert datetime.fromisoformat(app.state["until"]) == end
    assert app.is_newest(end - timedelta(seconds=1))
    assert not app.is_newest(end)
    assert verdict(app, shown(bank), end - timedelta(seconds=1)) == ("", 3)
    assert verdict(app, shown(bank), end) == ("expired", 3)

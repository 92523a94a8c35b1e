"""Drafts that another person wrote or changed: the conditions for signing them."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tuf.api.metadata import Metadata

from certpin.errors import ConfigError
from certpin.pins import Pin
from certpin.publish import roots
from certpin.updates.trust import PIN_SET_FIELD
from tests.publish._firm import DAY, START, Client, Firm, forged, ident, key, midnight
from tests.updates._publisher import HOST, pin_file

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.slow  # each signs a folder

OTHER = Pin("sha256", bytes(range(2, 34)))


@pytest.fixture
def drafted(board: Firm) -> Firm:
    """Return a firm with a version 2 that has one signature of the two that it needs."""
    board.sign("ada", "bob", "online")
    board.publish(2)
    board.sign("ada")
    return board


def test_a_draft_of_other_targets_is_not_signed(drafted: Firm, tmp_path: Path) -> None:
    other = drafted.cloned("mallory")
    other.publish(2, pin_file(2, {HOST: OTHER, "evil.example": OTHER}))
    (other.folder / "drafts" / "targets.json").unlink()
    other.sign("ada")
    shutil.copytree(other.folder / "drafts", drafted.folder / "drafts", dirs_exist_ok=True)
    with pytest.raises(ConfigError, match="not what bank version 2 says"):
        drafted.sign("bob", "online")
    drafted.sign("online")  # the other signer continues
    assert Client(drafted, tmp_path / "client").follow() == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"version": 2**31},
        {"version": 3},
        {"unrecognized_fields": {"more": 1}},
    ],
)
def test_a_draft_with_additional_fields_is_not_signed(
    drafted: Firm, changed: dict[str, object]
) -> None:
    forged(drafted, "targets", **changed)
    with pytest.raises(ConfigError, match="not what bank version 2 says"):
        drafted.sign("bob")


def test_a_draft_with_a_far_date_is_not_signed(drafted: Firm) -> None:
    forged(drafted, "targets", expires=drafted.now + 3650 * DAY)
    with pytest.raises(ConfigError, match="not what bank version 2 says"):
        drafted.sign("bob")


def dated(firm: Firm, role: str, date: str) -> None:
    """Write another date into a draft, in a form that Python itself does not write."""
    path = firm.folder / "drafts" / f"{role}.json"
    data, count = re.subn(r'"expires": "[^"]+"', f'"expires": "{date}"', path.read_text())
    assert count == 1
    path.write_text(data)


FIRST, LAST = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"


@pytest.mark.parametrize("date", [FIRST, LAST])
def test_the_first_and_the_last_possible_date_are_dates(drafted: Firm, date: str) -> None:
    dated(drafted, "targets", date)
    drafted.sign("online")
    assert ("targets" in [each.role for each in drafted.pending if each.problem]) == (date == LAST)
    dated(drafted, "targets", FIRST)
    done = drafted.sign("bob")  # the date in the year 1 has passed, so the draft is made again
    assert done.drafts["targets"].signed.expires == midnight(drafted.now + 91 * DAY)


def test_a_root_of_the_first_or_the_last_date_is_not_signed(firm: Firm) -> None:
    for date in (FIRST, LAST):
        firm.add_key("root2", "root")
        dated(firm, "root", date)
        firm.sign("online")
        with pytest.raises(ConfigError, match="its date"):
            firm.sign("root")
        (firm.folder / "drafts" / "root.json").unlink()


def test_a_draft_of_a_previous_version_is_replaced(drafted: Firm, tmp_path: Path) -> None:
    drafted.publish(3)
    drafted.sign("bob", "online")
    assert ("targets", 1, 1) in drafted.waiting
    drafted.sign("cleo", "online")
    assert Client(drafted, tmp_path / "client").follow() == 3


def test_an_obsolete_draft_is_replaced_by_that_of_the_next_version(
    drafted: Firm, tmp_path: Path
) -> None:
    """A merge can bring a draft back that was signed and published meanwhile."""
    shutil.copytree(drafted.folder / "drafts", tmp_path / "drafts")
    drafted.sign("bob", "online")
    assert drafted.drafts() == []
    shutil.copytree(tmp_path / "drafts", drafted.folder / "drafts", dirs_exist_ok=True)
    drafted.publish(3)
    drafted.sign("ada")
    assert drafted.drafts() == sorted(["targets.json", f"targets.{ident('ada')}.json"])
    assert Client(drafted, tmp_path / "client").follow() == 2
    drafted.sign("bob", "online")
    assert drafted.drafts() == []
    assert Client(drafted, tmp_path / "another client").follow() == 3


def test_an_outdated_draft_is_replaced(drafted: Firm) -> None:
    drafted.now += 80 * DAY
    done = drafted.sign("bob")
    assert done.drafts["targets"].signed.expires == midnight(drafted.now + 91 * DAY)
    assert list(done.drafts["targets"].signatures) == [ident("bob")]


def test_a_draft_of_a_root_keeps_the_rules(firm: Firm) -> None:
    firm.add_key("root2", "root", "root")
    for changed, said in [
        ({"version": 3}, "its number has to be 2"),
        ({"expires": firm.now + 4000 * DAY}, "its date"),
        ({"expires": firm.now}, "its date"),
        ({"consistent_snapshot": False}, "does not write"),
        ({"consistent_snapshot": "yes"}, "does not write"),
        ({"spec_version": "1.999"}, "does not write"),
        ({"unrecognized_fields": {PIN_SET_FIELD: "bank", "x": 1}}, "does not write"),
        ({"unrecognized_fields": {}}, "does not name the pin set 'bank'"),
        ({"unrecognized_fields": {PIN_SET_FIELD: "casino"}}, "does not name the pin set 'bank'"),
    ]:
        before = (firm.folder / "drafts" / "root.json").read_bytes()
        forged(firm, "root", **changed)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=said):
            firm.sign("root", "root2")
        firm.sign("online")  # continues
        assert any(said in each.problem for each in firm.pending)
        (firm.folder / "drafts" / "root.json").write_bytes(before)
    firm.sign("root", "root2", "online")


def test_a_threshold_of_true_is_refused(firm: Firm) -> None:
    """Python treats it as 1, but other clients don't: they could never follow such a root."""
    firm.add_key("root2", "root", "root")
    path = firm.folder / "drafts" / "root.json"
    path.write_text(re.sub(r'"threshold": 1\b', '"threshold": true', path.read_text()))
    with pytest.raises(ConfigError, match="does not write"):
        firm.sign("root", "root2")


def test_a_former_online_key_gets_no_other_role(firm: Firm) -> None:
    """A draft root that replaces the online key and makes the old one a targets key is refused."""
    firm.add_key("online2", "online")
    draft = firm.folder / "drafts" / "root.json"
    metadata: Metadata = Metadata.from_bytes(draft.read_bytes())  # type: ignore[type-arg]
    metadata.signed.add_key(key("online").public_key, "targets")
    draft.write_bytes(metadata.to_bytes())
    with pytest.raises(ConfigError, match="was online, under an earlier root"):
        firm.sign("root", "online2")


@pytest.mark.parametrize("kind", ["root", "targets"])
def test_a_key_that_was_online_long_ago_gets_no_other_role(firm: Firm, kind: roots.Kind) -> None:
    """The machine of the daily job had it, and a thief may have copied it from there."""
    firm.add_key("online2", "online")
    firm.sign("root", "online2")
    firm.sign("root", "online2", renew="root")  # so that the last root does not list the old key
    with pytest.raises(ConfigError, match="was online, under an earlier root"):
        firm.add_key("online", kind)
    assert firm.drafts() == []


@pytest.mark.parametrize(("name", "kind"), [("root", "root"), ("targets", "targets")])
def test_a_replaced_root_or_targets_key_does_not_become_the_online_key(
    firm: Firm, name: str, kind: roots.Kind
) -> None:
    """A client that has root 1 follows a second root 2, if this key signs one."""
    firm.add_key("new", kind, name)
    firm.sign("root", "new", "targets", "online")
    assert firm.state.root is not None
    assert ident(name) not in firm.state.root.keys
    with pytest.raises(ConfigError, match="under an earlier root, which clients may have"):
        firm.add_key(name, "online")
    assert firm.drafts() == []


@pytest.fixture
def moved(firm: Firm, monkeypatch: pytest.MonkeyPatch) -> Firm:
    """Return a firm with a former online key as root key and as targets key.

    A release of certpin that compared with the last root only accepted it.
    """
    with monkeypatch.context() as patch:
        patch.setattr(roots, "moved_keys", lambda *_: frozenset())
        firm.add_key("root2", "root")
        firm.add_key("online2", "online")
        firm.sign("root", "online2")
        firm.add_key("online", "root", "root2")
        firm.add_key("online", "targets", "targets")
        firm.sign("root", "online", "online2")
    firm.now += DAY
    return firm


def test_each_moved_key_of_an_old_root_is_replaced_in_turn(moved: Firm) -> None:
    """Each draft has fewer of them, and only the last one is signed."""
    moved.add_key("new", "root", "online")
    command = f"certpin publish add-key NEW.key --role targets --replace {ident('online')}"
    with pytest.raises(ConfigError, match="was online, under an earlier root") as refused:
        moved.sign("root", "online2")
    assert command in str(refused.value.fix)
    moved.add_key("new-targets", "targets", "online")
    moved.sign("root", "new-targets", "online2")
    assert moved.state.root is not None
    assert roots.moved_keys(moved.state.root, moved.state.roots) == frozenset()
    assert moved.drafts() == []


def test_a_draft_with_as_many_moved_keys_as_the_root_is_refused(moved: Firm) -> None:
    with pytest.raises(ConfigError, match="was online, under an earlier root") as refused:
        moved.add_key("new", "root", "root")
    assert f"--replace {ident('online')}" in str(refused.value.fix)
    assert moved.drafts() == []


def test_a_draft_with_another_moved_key_is_refused(moved: Firm) -> None:
    """One moved key leaves, and another one comes in: the online key of the root before."""
    moved.add_key("new", "root", "online")
    moved.add_key("new-online", "online")
    with pytest.raises(ConfigError, match="would sign targets") as refused:
        moved.add_key("online2", "targets", "online")
    assert refused.value.fix == "give a key that never had another role"


def test_a_root_with_moved_keys_is_renewed_with_the_same_keys(moved: Firm, tmp_path: Path) -> None:
    """Without a renewal all updates would end, and clients trust these keys already."""
    assert moved.state.root is not None
    client = Client(moved, tmp_path / "client")
    moved.now = moved.state.root.expires - 30 * DAY
    moved.sign("root", "online", "online2")
    assert moved.state.root.version == 4
    assert client.follow() == 1


def test_a_root_with_moved_keys_is_not_signed_with_another_threshold(moved: Firm) -> None:
    with pytest.raises(ConfigError, match="was online, under an earlier root"):
        moved.add_key("root", "root", threshold=2)
    moved.sign("root", renew="root")
    path = moved.folder / "drafts" / "root.json"
    metadata: Metadata = Metadata.from_bytes(path.read_bytes())  # type: ignore[type-arg]
    metadata.signed.roles["root"].threshold = 2
    path.write_bytes(metadata.to_bytes())
    with pytest.raises(ConfigError, match="was online, under an earlier root"):
        moved.sign("root", "online2")


def test_a_key_that_changes_its_role_is_found_under_another_id() -> None:
    """A key is recognised by its public key, also if an earlier root has it under another ID.

    A tool may choose the IDs of keys (TUF 1.0.31, 4.2), and another one may have made that root.
    """
    public = key("online").public_key
    renamed = type(public)("f" * 64, public.keytype, public.scheme, public.keyval)
    end = midnight(START)
    one, two = key("root").public_key, key("targets").public_key
    first, second = (
        roots.first_root({"root": [root], "targets": [two], "online": [online]}, {}, end, "bank")
        for root, online in ((one, renamed), (public, one))
    )
    assert roots.moved_keys(second, [first]) == {
        roots.MovedKey("root", ident("online")),
        roots.MovedKey("online", ident("root")),
    }


def test_keys_that_flutter_apps_cannot_verify_are_refused_if_flutter_is_set(
    firm: Firm,
) -> None:
    safe = key("safe", "ed25519")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            "tests.publish._firm.key", lambda name: safe if name == "safe" else key(name)
        )
        with pytest.raises(ConfigError, match="Dart verifies 0 of the keys of targets") as caught:
            firm.add_key("safe", "targets", "targets")
        assert "flutter = false" in caught.value.fix
        firm.settings = replace(firm.settings, flutter=False)
        firm.add_key("safe", "targets", "targets")


@pytest.mark.parametrize("kind", ["root", "targets"])
def test_the_online_key_signs_no_draft_that_names_it(firm: Firm, client: Client, kind: str) -> None:
    firm.add_key("online2", "online")
    path = firm.folder / "drafts" / "root.json"
    metadata: Metadata = Metadata.from_bytes(path.read_bytes())  # type: ignore[type-arg]
    metadata.signed.add_key(key("online").public_key, kind)
    path.write_bytes(metadata.to_bytes())
    firm.publish(2)
    done = firm.sign("online")
    assert {act.role for act in done.new_signatures} <= {"timestamp"}
    assert [name for name in firm.drafts() if ident("online") in name] == []
    assert client.follow() == 1


def test_one_key_under_two_names_is_not_two(firm: Firm) -> None:
    firm.add_key("root2", "root", threshold=2)
    path = firm.folder / "drafts" / "root.json"
    metadata: Metadata = Metadata.from_bytes(path.read_bytes())  # type: ignore[type-arg]
    again = replace_id(metadata.signed.keys[ident("root2")], "0" * 64)
    metadata.signed.add_key(again, "root")
    path.write_bytes(metadata.to_bytes())
    with pytest.raises(ConfigError, match="has the ID of another key"):
        firm.sign("root")


def replace_id(known: object, name: str) -> object:
    from copy import copy

    other = copy(known)
    other.keyid = name  # type: ignore[attr-defined]
    return other


def test_a_moved_draft_is_not_used(firm: Firm) -> None:
    firm.add_key("root2", "root", "root")
    draft = (firm.folder / "drafts" / "root.json").read_bytes()
    firm.sign("root", "root2", "online")
    (firm.folder / "drafts" / "root.json").write_bytes(draft)
    firm.sign("online")
    assert firm.drafts() == []


def test_a_key_that_signed_a_draft_may_sign_again(drafted: Firm) -> None:
    done = drafted.sign("ada")
    assert done.new_signatures == []
    assert ("targets", 1, 1) in drafted.waiting

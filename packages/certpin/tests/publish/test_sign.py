"""Signing: published files, pending signatures and refusals. The client of tuf follows."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from securesystemslib.signer import Signature
from tuf.api.metadata import Metadata

from certpin.errors import ConfigError
from certpin.lab.ct_log import LabLog, log_list
from certpin.pins import Pin
from certpin.publish.keys import KeySigner
from certpin.publish.settings import PublishSettings
from certpin.publish.sign import sign
from certpin.updates import Limits
from certpin.updates.trust import LARGEST_JUMP, PIN_SET_FIELD
from certpin.x509.keys import new_private_key
from certpin.x509.log_list import LogList
from certpin.x509.signing import file_key
from tests import kit
from tests.publish._firm import DAY, Client, Firm, forged, ident, key, midnight, text
from tests.updates._publisher import HOST, pin_file

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab import Authority
    from certpin.x509.keys import KeyAlgorithm

pytestmark = pytest.mark.slow  # each signs a folder

OTHER = Pin("sha256", bytes(range(2, 34)))
ALL = ("root", "targets", "online")


def test_with_all_keys_a_set_is_signed_in_one_run(firm: Firm, client: Client) -> None:
    assert firm.pending == ()
    assert firm.drafts() == []
    firm.publish(2)
    assert firm.waiting == {("targets", 1, 1)}
    firm.sign("targets", "online")
    assert client.follow() == 2
    assert firm.pending == ()


def test_the_files_are_those_of_a_repository_of_tuf(firm: Firm) -> None:
    pins = firm.here / "pins.toml"
    names = sorted(
        str(path.relative_to(firm.site)) for path in firm.site.rglob("*") if path.is_file()
    )
    targets = [name for name in names if name.startswith("targets/")]
    assert names == [
        "metadata/1.root.json",
        "metadata/1.snapshot.json",
        "metadata/1.targets.json",
        "metadata/timestamp.json",
        *targets,
    ]
    by_name = {name.partition(".")[2]: (firm.site / name).read_bytes() for name in targets}
    assert by_name.keys() == {"pins.toml", "pins.json"}
    assert by_name["pins.toml"] == pins.read_bytes()
    signed = firm.state.current
    assert signed is not None
    assert signed.verified.targets["pins.toml"].custom == {"pin-set": "bank", "version": 1}


@pytest.mark.parametrize("algorithm", ["p256", "p384", "rsa2048", "ed25519"])
def test_every_kind_of_key_signs(new: Firm, tmp_path: Path, algorithm: KeyAlgorithm) -> None:
    new.settings = PublishSettings(flutter=False)
    names = [f"{algorithm} {role}" for role in ALL]
    for name in names:
        key(name, algorithm)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("tests.publish._firm.key", lambda name: key(name, algorithm))
        new.begin((names[0],), (names[1],), names[2])
        new.sign(*names)
        assert Client(new, tmp_path / "client").follow() == 1


def test_the_online_key_is_enough_to_renew_the_timestamp_daily(firm: Firm, client: Client) -> None:
    for _ in range(8):
        firm.now += DAY
        done = firm.sign("online")
        assert [path for path, _ in done.site] == ["metadata/timestamp.json"]
        assert client.follow() == 1
    firm.now += 2 * DAY  # less than a third of fourteen days is left
    done = firm.sign("online")
    assert [path for path, _ in done.site] == [
        "metadata/2.snapshot.json",
        "metadata/timestamp.json",
    ]
    assert client.follow() == 1


def test_the_online_key_signs_while_a_version_waits_or_the_pin_file_changes(
    firm: Firm, client: Client
) -> None:
    firm.publish(2)
    (firm.here / "pins.toml").write_text(text(3).replace(str(kit.NOBODY_ELSE), str(OTHER)))
    firm.now += DAY
    firm.sign("online")
    assert client.follow() == 1
    assert [(each.role, bool(each.problem)) for each in firm.pending] == [("targets", True)]


def test_targets_are_renewed_unchanged_in_their_last_third(firm: Firm, client: Client) -> None:
    firm.now += 55 * DAY
    firm.sign("targets", "online")
    assert firm.state.targets is not None
    assert firm.state.targets.version == 1
    firm.now += 6 * DAY
    assert ("targets", 1, 1) in firm.waiting
    firm.sign("targets", "online")
    assert firm.state.targets.version == 2
    assert firm.state.targets.expires == midnight(firm.now + 91 * DAY)
    assert client.follow() == 1


def test_roles_are_renewed_on_request(firm: Firm, client: Client) -> None:
    done = firm.sign(*ALL, renew="root targets snapshot")
    assert [path.partition("/")[2] for path, _ in done.site if "metadata" in path] == [
        "2.targets.json",
        "2.snapshot.json",
        "2.root.json",
        "timestamp.json",
    ]
    assert client.follow() == 1


def test_a_root_is_renewed_in_its_last_third(firm: Firm, client: Client) -> None:
    firm.now += 250 * DAY
    assert ("root", 1, 1) in firm.waiting
    firm.sign(*ALL)
    assert firm.state.root is not None
    assert (firm.state.root.version, firm.state.root.expires) == (2, midnight(firm.now + 366 * DAY))
    assert client.follow() == 1
    assert firm.pending == ()


def test_files_that_clients_would_refuse_are_not_written(firm: Firm) -> None:
    firm.now += 100 * DAY  # the targets have expired
    before = _files(firm)
    with pytest.raises(ConfigError, match="clients would refuse it"):
        firm.sign("online")
    assert _files(firm) == before
    firm.sign("targets", "online")


def _files(firm: Firm) -> dict[str, bytes]:
    return {
        str(path.relative_to(firm.folder)): path.read_bytes()
        for path in firm.folder.rglob("*")
        if path.is_file()
    }


def test_two_of_three_sign_in_their_own_clones(board: Firm, tmp_path: Path) -> None:
    ada, bob = board.cloned("ada"), board.cloned("bob")
    ada.sign("ada")
    assert ada.waiting == {("root", 1, 1), ("targets", 1, 1)} or ada.state.root is None
    bob.sign("bob")
    assert not board.metadata("1.root.json").exists()
    board.merge(ada)
    board.merge(bob)
    board.sign("online")
    assert board.metadata("1.root.json").exists()
    # Both drafted the same targets in the same second; otherwise git reports a conflict.
    client = Client(board, tmp_path / "client")
    assert client.follow() == 1
    ada = board.cloned("ada2")
    ada.publish(2)
    ada.sign("ada", "online")
    assert Client(ada, tmp_path / "other").follow() == 1
    bob = ada.cloned("bob2")
    bob.now += DAY
    bob.sign("bob")
    assert [(each.role, each.missing) for each in bob.pending] == [("timestamp", 1)]
    bob.sign("online")
    assert Client(bob, tmp_path / "third").follow() == 2
    assert bob.drafts() == []


def test_one_of_three_is_not_enough(board: Firm) -> None:
    board.sign("ada", "online")
    assert not board.metadata("1.root.json").exists()
    board.sign("ada", "online")  # the same key again doesn't count
    assert not board.metadata("1.root.json").exists()
    assert ("root", 1, 1) in board.waiting


def test_an_invalid_signature_does_not_count(board: Firm) -> None:
    board.sign("ada")
    drafts = board.folder / "drafts"
    mine, his = (drafts / f"root.{ident(name)}.json" for name in ("ada", "bob"))
    his.write_text(mine.read_text().replace(ident("ada"), ident("bob")))
    board.sign("online")
    assert not board.metadata("1.root.json").exists()
    shutil.copy(mine, his)  # the file is named after a key that did not sign it
    board.sign("online")
    assert not board.metadata("1.root.json").exists()
    assert not his.exists()


class _WrongSigner(KeySigner):
    """Signs with another key, as a token or a key service can."""

    def sign(self, payload: bytes) -> Signature:
        return Signature(self.public_key.keyid, key("another").sign(payload).signature)


@pytest.mark.parametrize("wrong", ["targets", "online"])
def test_a_new_signature_is_verified_with_the_key_in_the_root(firm: Firm, wrong: str) -> None:
    firm.publish(2)
    keys = {ident(name): key(name) for name in ("targets", "online")}
    pem, _ = new_private_key("p256", None)
    signer = _WrongSigner(file_key(pem, lambda: None))
    signer._key = key(wrong).public_key
    with pytest.raises(ConfigError, match="is not valid for the key in the root") as caught:
        sign(firm.plan("targets", "online"), keys | {ident(wrong): signer}, frozenset())
    assert ident(wrong) in caught.value.problem


def test_a_wrong_signature_is_not_stored_in_a_draft(board: Firm) -> None:
    pem, _ = new_private_key("p256", None)
    signer = _WrongSigner(file_key(pem, lambda: None))
    signer._key = key("ada").public_key
    with pytest.raises(ConfigError, match="is not valid for the key in the root"):
        sign(board.plan("ada"), {ident("ada"): signer}, frozenset())


def test_a_root_key_is_replaced_under_both_thresholds(firm: Firm, client: Client) -> None:
    firm.add_key("root2", "root", "root")
    assert firm.waiting == {("root", 1, 1), ("root", 2, 1)}
    firm.sign("root", "root2", "online")
    assert client.follow() == 1
    assert firm.state.root is not None
    assert firm.state.root.roles["root"].keyids == [ident("root2")]
    with pytest.raises(ConfigError, match="signs nothing here"):
        firm.sign("root")


@pytest.mark.parametrize("alone", ["root", "root2"])
def test_one_of_two_thresholds_is_not_enough(firm: Firm, client: Client, alone: str) -> None:
    firm.add_key("root2", "root", "root")
    firm.sign(alone, "online")
    assert not firm.metadata("2.root.json").exists()
    assert client.follow() == 1
    firm.sign(*{"root", "root2"} - {alone})
    assert firm.waiting == {("timestamp", 2, 1)}
    assert not firm.metadata("2.root.json").exists()  # the online key must sign too
    firm.sign("online")
    assert firm.metadata("2.root.json").exists()
    assert client.follow() == 1


@pytest.mark.parametrize("kind", ["targets", "online"])
def test_other_keys_are_replaced(firm: Firm, client: Client, kind: str) -> None:
    firm.add_key("new", kind, kind)  # type: ignore[arg-type]
    names = {"root", "targets", "online"} - {kind}
    firm.sign(*names)
    assert not firm.metadata("2.root.json").exists()
    firm.sign("new", "online" if kind == "targets" else "new")
    assert firm.metadata("2.root.json").exists()
    assert client.follow() == 1
    assert firm.pending == ()
    firm.publish(2)
    firm.sign("new", "online" if kind == "targets" else "targets")
    assert client.follow() == 2


def test_new_pins_do_not_wait_for_a_new_root(firm: Firm, client: Client) -> None:
    firm.add_key("new", "targets", "targets")
    firm.publish(2)
    firm.sign("targets", "online")
    assert client.follow() == 2
    assert {(each.role, each.root) for each in firm.pending} >= {("root", 2), ("targets", 2)}
    firm.sign("root", "new", "online")
    assert firm.metadata("2.root.json").exists()
    assert client.follow() == 2


def test_a_threshold_rises(firm: Firm, client: Client) -> None:
    firm.add_key("targets2", "targets", threshold=2)
    firm.sign("root", "targets", "online")
    assert not firm.metadata("2.root.json").exists()
    firm.sign("targets2", "online")
    assert client.follow() == 1
    firm.publish(2)
    firm.sign("targets", "online")
    assert client.follow() == 1
    firm.sign("targets2", "online")
    assert client.follow() == 2


def test_the_first_root_may_be_changed_before_it_is_signed(new: Firm, tmp_path: Path) -> None:
    new.begin()
    new.add_key("root2", "root", "root")
    new.sign("root2", "targets", "online")
    assert Client(new, tmp_path / "client").follow() == 1


@pytest.mark.parametrize(
    ("name", "kind", "replaced", "threshold", "said"),
    [
        ("online", "root", "", None, "online key is among"),
        ("online", "targets", "", None, "online key is among"),
        ("root", "online", "", None, "online key is among"),
        ("new", "targets", "", 3, "3 have to sign"),
        ("new", "targets", "new", None, "0 keys of targets are called"),
        ("targets", "targets", "", None, "nothing changes"),
        ("online", "online", "", None, "nothing changes"),
    ],
)
def test_an_unsafe_root_is_not_drafted(
    firm: Firm, name: str, kind: str, replaced: str, threshold: int | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        firm.add_key(name, kind, replaced, threshold)  # type: ignore[arg-type]
    assert firm.drafts() == []


def test_the_first_root_is_published_without_a_timestamp(new: Firm) -> None:
    new.begin()
    new.sign("root", "online")
    assert [path.name for path in (new.site / "metadata").iterdir()] == ["1.root.json"]
    assert new.waiting == {("targets", 1, 1)}


@pytest.mark.parametrize("kind", ["targets", "online"])
def test_an_interruption_between_a_root_and_its_timestamp_is_reported(
    firm: Firm, client: Client, kind: str
) -> None:
    before = firm.metadata("timestamp.json").read_bytes()
    firm.add_key("new", kind, kind)  # type: ignore[arg-type]
    names = ("new", "online") if kind == "targets" else ("targets", "new")
    firm.sign("root", *names)
    firm.metadata("timestamp.json").write_bytes(before)
    assert {(each.role, each.why) for each in firm.pending} >= {
        ("timestamp", "the root has changed")
    }
    firm.sign(*names)
    assert firm.pending == ()
    assert client.follow() == 1


def test_a_signer_of_an_invalid_root_gets_the_reason(firm: Firm) -> None:
    firm.add_key("online2", "online")
    forged(firm, "root", version=7)
    with pytest.raises(ConfigError, match="its number has to be 2"):
        firm.sign("online2")


def test_an_unpublished_version_is_not_signed(new: Firm) -> None:
    new.published.clear()
    new.begin()
    new.sign("root", "targets")
    with pytest.raises(ConfigError, match="no version is recorded") as caught:
        new.sign("targets", "online")
    assert "certpin publish sign" in caught.value.fix


def test_a_file_that_differs_from_the_published_one_is_not_signed(firm: Firm) -> None:
    firm.publish(2)
    firm.publish(3)
    (firm.here / "pins.toml").write_text(text(2))
    with pytest.raises(ConfigError, match="not version 3 as it was recorded"):
        firm.sign("targets")
    (firm.here / "pins.toml").write_text(text(3).replace(str(kit.NOBODY_ELSE), str(OTHER)))
    with pytest.raises(ConfigError, match=r"host\[0\]|not version 3 as it was recorded"):
        firm.sign("targets")


def test_an_added_comment_does_not_change_the_set(firm: Firm, client: Client) -> None:
    firm.publish(2)
    (firm.here / "pins.toml").write_text("# a comment\n" + text(2))
    firm.sign("targets", "online")
    assert client.follow() == 2


def test_no_lower_version_is_signed(firm: Firm, client: Client) -> None:
    firm.publish(5)
    firm.sign("targets", "online")
    firm.published = {4: firm.published[1]}
    with pytest.raises(ConfigError, match="no client goes back"):
        firm.sign("targets", "online")
    firm.sign("online")
    assert client.follow() == 5


@pytest.mark.parametrize(
    ("role", "keys"),
    [
        ("root", ("targets", "online")),
        ("targets", ("root", "online")),
        ("snapshot", ("root", "targets")),
        ("timestamp", ("root", "targets")),
    ],
)
def test_a_role_is_not_renewed_without_its_keys(
    firm: Firm, role: str, keys: tuple[str, ...]
) -> None:
    before = sorted(path.name for path in (firm.site / "metadata").iterdir())
    with pytest.raises(ConfigError, match=f"none of the given keys may sign {role}"):
        firm.sign(*keys, renew=role)
    assert sorted(path.name for path in (firm.site / "metadata").iterdir()) == before
    firm.sign(*ALL, renew=role)


def test_a_clock_that_is_behind_signs_no_timestamp(firm: Firm, client: Client) -> None:
    """The new one would replace a valid one, and could have expired already."""
    before = firm.metadata("timestamp.json").read_bytes()
    firm.now -= 10 * DAY
    with pytest.raises(ConfigError, match="the clock of this machine is behind") as caught:
        firm.sign("online")
    assert "--renew timestamp" in caught.value.fix
    assert firm.metadata("timestamp.json").read_bytes() == before
    firm.now += 10 * DAY
    firm.sign("online")
    assert client.follow() == 1


def test_metadata_that_a_fast_clock_signed_is_replaced(firm: Firm, client: Client) -> None:
    firm.now += 80 * DAY
    firm.sign("targets", "online")
    firm.now -= 80 * DAY
    with pytest.raises(ConfigError, match=r"timestamp 2 expires on .* later than one that is"):
        firm.sign("online")
    with pytest.raises(ConfigError, match=r"snapshot 2 expires on .* later than one that is"):
        firm.sign("online", renew="timestamp")
    firm.sign("online", renew="timestamp snapshot")
    assert firm.state.timestamp is not None
    assert firm.state.snapshot is not None
    assert firm.state.timestamp.expires == firm.now + 3 * DAY
    assert firm.state.snapshot.expires == firm.now + 14 * DAY
    assert client.follow() == 1
    firm.sign("online")


@pytest.mark.parametrize("signers", [("targets",), ("targets", "online")])
def test_a_version_too_far_ahead_is_not_signed(firm: Firm, signers: tuple[str, ...]) -> None:
    firm.publish(2 + LARGEST_JUMP)
    with pytest.raises(ConfigError, match="more than 1000 above version 1") as caught:
        firm.sign(*signers)
    assert "write version = 2" in caught.value.fix
    assert "more than 1000 above version 1" in next(iter(firm.pending)).problem
    firm.sign("online")  # the daily job continues
    firm.publish(1 + LARGEST_JUMP)
    firm.published = {version: firm.published[version] for version in (1, 1 + LARGEST_JUMP)}
    firm.sign("targets", "online")


def test_a_version_far_ahead_needs_a_new_root_in_the_same_publication(
    firm: Firm, client: Client
) -> None:
    """The advice if the journal has recorded such a version."""
    firm.add_key("root2", "root")
    firm.publish(5000)
    firm.sign("targets", "online")
    assert client.follow() == 1
    firm.sign("root", "root2", "online")
    assert client.follow() == 5000


def test_no_other_content_is_signed_under_the_same_version(firm: Firm, client: Client) -> None:
    changed = pin_file(1, {HOST: kit.NOBODY_ELSE, "other.example": kit.NOBODY_ELSE})
    firm.publish(1, changed)
    with pytest.raises(ConfigError, match="publish/site is not version 1 as it was recorded"):
        firm.sign("targets", "online", renew="targets")
    firm.sign("online")
    assert client.follow() == 1


def test_a_version_that_the_journal_does_not_know_is_not_renewed(firm: Firm) -> None:
    firm.published.clear()
    with pytest.raises(ConfigError, match="is not recorded as a signed set") as caught:
        firm.sign("targets", renew="targets")
    assert "git pull" in caught.value.fix


def test_a_set_above_the_clients_limits_is_not_signed(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    firm.publish(2)
    monkeypatch.setattr("certpin.publish.sign.LIMITS", Limits(target=100))
    with pytest.raises(ConfigError, match="100 are taken"):
        firm.sign("targets", "online")
    assert firm.waiting == {("targets", 1, 1)}


def test_a_set_of_another_name_is_refused(firm: Firm) -> None:
    firm.publish(2, text(2, name="other"))
    before = _files(firm)
    with pytest.raises(ConfigError, match="take none that is called 'other'"):
        firm.sign("targets", "online")
    assert _files(firm) == before


def test_a_debug_section_is_not_signed(firm: Firm, root: Authority) -> None:
    (firm.here / "debug.pem").write_bytes(root.pem)
    firm.publish(2, text(2) + '\n[debug]\nanchors = "debug.pem"\n')
    with pytest.raises(ConfigError, match="no debug section"):
        firm.sign("targets", "online")


def test_trust_files_are_signed_with_the_pin_file(
    firm: Firm, client: Client, root: Authority
) -> None:
    (firm.here / "ca").mkdir()
    (firm.here / "ca" / "bank.pem").write_bytes(root.pem)
    firm.publish(2, text(2, api_bank_example='trust = "ca/bank.pem"'))
    firm.sign("targets", "online")
    assert firm.state.current is not None
    assert firm.state.current.files["ca/bank.pem"] == root.pem


def test_servers_are_not_signed_and_other_servers_need_no_new_version(firm: Firm) -> None:
    server = '\n# rack 7\n[[host.server]]\naddress = "10.1.2.3:8443"\nregion = "eu"\n'
    firm.publish(2, text(2) + server)
    firm.sign("targets", "online")
    assert firm.state.current is not None
    assert firm.state.current.files["pins.toml"].decode() == text(2)
    assert not [
        file
        for file in firm.site.rglob("*")
        if file.is_file() and any(word in file.read_bytes() for word in (b"10.1.2.3", b"rack 7"))
    ]
    before = _files(firm)
    (firm.here / "pins.toml").write_text(text(2) + server.replace("10.1.2.3", "10.9.9.9"))
    firm.sign("targets", "online")
    assert {name for name, data in _files(firm).items() if before[name] != data} == {
        "site/metadata/timestamp.json"  # it is signed again each day
    }


def test_a_server_that_cannot_be_left_out_is_not_signed(firm: Firm) -> None:
    written = text(2).replace(
        "[[host.pin]]", 'server = [{ address = "10.1.2.3" }]\n[[host.pin]]', 1
    )
    firm.publish(2, written)
    with pytest.raises(ConfigError, match="cannot be removed in their present form"):
        firm.sign("targets", "online")


@pytest.mark.parametrize("where", ["outside", "link", "absolute", "dots", "flutter"])
def test_a_trust_file_elsewhere_or_in_the_place_of_another_is_not_signed(
    firm: Firm, root: Authority, tmp_path: Path, where: str
) -> None:
    outside = tmp_path / "outside.pem"
    outside.write_bytes(root.pem)
    (firm.here / "link.pem").symlink_to(outside)
    for inside in ("in.pem", "pins.json"):
        (firm.here / inside).write_bytes(root.pem)
    names = {"outside": "../outside.pem", "link": "link.pem", "absolute": str(outside)}
    names["flutter"] = "pins.json"
    name = names.get(where, "./in.pem")
    firm.publish(2, text(2, api_bank_example=f'trust = "{name}"'))
    with pytest.raises(ConfigError, match="cannot be published"):
        firm.sign("targets", "online")


def test_the_list_of_logs_is_signed_with_the_pin_file(firm: Firm) -> None:
    logs = log_list([LabLog.make("Log A")], datetime(2027, 1, 1, tzinfo=UTC))
    (firm.here / "logs.json").write_text(json.dumps(logs.to_json()), encoding="utf-8")
    named = text(2, api_bank_example="require_ct = true").replace(
        "version = ", 'ct_logs = "logs.json"\nversion = ', 1
    )
    firm.publish(2, named)
    firm.sign("targets", "online")
    [published] = (firm.site / "targets").glob("*.logs.json")
    assert LogList.parse(published.read_bytes()) == logs


def test_an_unknown_key_is_reported(firm: Firm) -> None:
    with pytest.raises(ConfigError, match="signs nothing here") as caught:
        firm.sign("targets", "stranger", "online")
    assert "add-key" in caught.value.fix


def test_the_expiry_dates_follow_the_settings(new: Firm) -> None:
    days = {"root": 30, "targets": 20, "snapshot": 10, "timestamp": 1}
    new.settings = PublishSettings(days=days)
    new.begin()
    new.sign(*ALL)
    state = new.state
    for role, number in days.items():
        found = getattr(state, role)
        drafted = role in {"root", "targets"}
        end = new.now + number * DAY
        assert found.expires == (midnight(end + DAY) if drafted else end)


def test_a_root_without_the_name_of_its_pin_set_is_followed_by_one_with_it(
    new: Firm, tmp_path: Path
) -> None:
    """Another TUF tool has made the first root."""
    new.begin()
    forged(new, "root", unrecognized_fields={})
    first = Metadata.from_bytes((new.folder / "drafts" / "root.json").read_bytes())
    first.sign(key("root"))
    path = new.metadata("1.root.json")
    path.parent.mkdir(parents=True)
    path.write_bytes(first.to_bytes())
    new.sign(*ALL, renew="root")
    second = Metadata.from_bytes(new.metadata("2.root.json").read_bytes())
    assert second.signed.unrecognized_fields == {PIN_SET_FIELD: "bank"}
    assert Client(new, tmp_path / "client").follow() == 1

"""The attacks of TUF's specification (section 1.5.2), on a client that has version 2 in force.

Each attack is also run on the published client of python-tuf, with separate state: it must refuse
the attack too. The attacks that only certpin refuses are in ``test_content.py``.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from securesystemslib.signer import CryptoSigner
from tuf import ngclient
from tuf.api.exceptions import (
    DownloadError,
    DownloadLengthMismatchError,
    RepositoryError,
    SlowRetrievalError,
)

from certpin import UpdateError
from tests.updates._publisher import HOST, Repository, pin_file
from tests.updates.test_updater import reached

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.updates.conftest import World

LONG_AGO = timedelta(days=400)


class Judge:
    """The reference client of the TUF project, python-tuf, used as in its documentation."""

    def __init__(self, world: World, folder: Path, *, patience: int = 30) -> None:
        self._root = world.repository.first_root
        self._url = world.server.url
        self._folder = folder
        self._patience = patience  # seconds between two bytes; it has no other time limit
        (folder / "targets").mkdir(parents=True)

    def follow(self) -> None:
        """Fetch the newest metadata and pin file from the server. Raises the errors of tuf."""
        updater = ngclient.Updater(
            str(self._folder / "metadata"),
            f"{self._url}metadata/",
            str(self._folder / "targets"),
            f"{self._url}targets/",
            ngclient.Urllib3Fetcher(self._patience),
            bootstrap=self._root,
        )
        updater.refresh()
        info = updater.get_targetinfo("pins.toml")
        assert info is not None
        if updater.find_cached_target(info) is None:
            updater.download_target(info)


def roll_back_the_timestamp(world: World) -> None:
    old = world.repository.path("timestamp").read_bytes()
    world.publish(3)
    world.let_follow()
    world.repository.path("timestamp").write_bytes(old)


def roll_back_the_snapshot(world: World) -> None:
    """Sign a newer timestamp over an older snapshot, as an attacker with the online key."""
    world.repository.publish_online()
    world.let_follow()
    world.repository.versions["snapshot"] = 1
    world.repository.publish_timestamp()


def roll_back_the_targets(world: World) -> None:
    """Sign a newer snapshot over older targets, as an attacker with the online key.

    The client would get an old pin set with old pins.
    """
    world.publish(3)
    world.let_follow()
    world.repository.versions["targets"] = 1
    world.repository.publish_online()


def roll_back_the_root(world: World) -> None:
    """Serve the first root as version 2 of the root.

    The publisher renews the timestamp too, because otherwise no client requests roots.
    """
    (world.repository.folder / "metadata" / "2.root.json").write_bytes(world.repository.first_root)
    world.repository.publish_timestamp()


def skip_a_root(world: World) -> None:
    world.repository.versions["root"] = 2
    world.repository.rotate()
    metadata = world.repository.folder / "metadata"
    (metadata / "3.root.json").rename(metadata / "2.root.json")
    world.repository.publish_timestamp()


def sign_a_root_with_the_new_keys_alone(world: World) -> None:
    world.repository.keys["root"] = [CryptoSigner.generate_ecdsa()]
    world.repository.publish_root(world.repository.keys["root"])
    world.repository.publish_timestamp()


def sign_a_root_with_the_old_keys_alone(world: World) -> None:
    old = world.repository.keys["root"]
    world.repository.keys["root"] = [CryptoSigner.generate_ecdsa()]
    world.repository.publish_root(old)
    world.repository.publish_timestamp()


def hold_back(role: str) -> Callable[[World], None]:
    """Return an attack that serves an expired file of ``role`` with a higher version."""

    def attack(world: World) -> None:
        repository = world.repository
        repository.now -= LONG_AGO
        if role == "root":
            repository.rotate()
        if role == "targets":
            repository.publish_targets(repository.files, {"pin-set": "bank", "version": 2})
        repository.now += LONG_AGO * (role in {"root", "targets"})
        if role == "timestamp":
            repository.publish_timestamp()
        else:
            repository.publish_online()
        repository.now += LONG_AGO * (role in {"snapshot", "timestamp"})

    attack.__name__ = f"hold_back_the_{role}"
    return attack


def mix_a_snapshot_of_another_moment(world: World) -> None:
    old = world.repository.path("snapshot").read_bytes()
    world.publish(3)
    world.repository.path("snapshot").write_bytes(old)


def mix_targets_of_another_moment(world: World) -> None:
    old = world.repository.path("targets").read_bytes()
    world.publish(3)
    world.repository.path("targets").write_bytes(old)


def mix_a_file_of_another_moment(world: World) -> None:
    (old,) = (world.repository.folder / "targets").iterdir()
    data = old.read_bytes()
    world.publish(3)
    for path in (world.repository.folder / "targets").iterdir():
        path.write_bytes(data)


def cut_a_file_short(world: World) -> None:
    world.publish(3)
    for path in (world.repository.folder / "targets").iterdir():
        path.write_bytes(path.read_bytes()[:-1])


def lengthen_a_file(world: World) -> None:
    world.publish(3)
    for path in (world.repository.folder / "targets").iterdir():
        path.write_bytes(path.read_bytes() + b"\n")


def sign_targets_with(choose: Callable[[World], list[CryptoSigner]]) -> Callable[[World], None]:
    def attack(world: World) -> None:
        signers = choose(world)
        text = world.text(3).encode()
        custom = {"pin-set": "bank", "version": 3}
        world.repository.publish_targets({"pins.toml": text}, custom, signers=signers)
        world.repository.publish_online()

    attack.__name__ = f"sign_targets_with_{choose.__name__}"
    return attack


def nobodys_key(world: World) -> list[CryptoSigner]:
    return [CryptoSigner.generate_ecdsa()]


def the_online_key(world: World) -> list[CryptoSigner]:
    return [world.repository.online]


def a_revoked_key(world: World) -> list[CryptoSigner]:
    old = world.repository.keys["targets"]
    world.repository.rotate("targets")
    return old


def too_few_keys(world: World) -> list[CryptoSigner]:
    """Publish a root that requires two targets signatures, and return only one of the keys."""
    world.repository.keys["targets"].append(CryptoSigner.generate_ecdsa())
    world.repository.threshold = 2
    world.repository.rotate()
    return world.repository.keys["targets"][:1]


def sign_with_one_key_twice(world: World) -> None:
    """Sign the targets with one key under two IDs, although two keys are required."""
    sign_targets_with(too_few_keys)(world)
    path = world.repository.path("targets")
    data = json.loads(path.read_bytes())
    (signature,) = data["signatures"]
    other = world.repository.keys["targets"][1].public_key.keyid
    data["signatures"].append(signature | {"keyid": other})
    path.write_text(json.dumps(data))
    world.repository.publish_online()


def sign_online_with_a_revoked_key(world: World) -> None:
    old = world.repository.online
    world.repository.rotate("online")
    text = world.text(3).encode()
    world.repository.publish_targets({"pins.toml": text}, {"pin-set": "bank", "version": 3})
    world.repository.publish_online(signer=old)


def show_another_publisher(world: World) -> None:
    """Serve valid files of another publisher, with pins for another host."""
    other = Repository(world.cache.parent / "other")
    for _ in range(3):
        other.publish(pin_file(7, {HOST: world.identity.pin}))
    for path in other.folder.glob("metadata/*"):
        (world.repository.folder / "metadata" / path.name).write_bytes(path.read_bytes())


def show_another_role(world: World) -> None:
    world.repository.path("timestamp").write_bytes(world.repository.path("snapshot").read_bytes())


def show_no_json(world: World) -> None:
    world.repository.path("timestamp").write_bytes(b"<html>It works!</html>")


def show_deep_json(world: World) -> None:
    world.repository.path("timestamp").write_bytes(b"[" * 8000)


def change_a_signed_byte(world: World) -> None:
    data = json.loads(world.repository.path("timestamp").read_bytes())
    data["signed"]["version"] += 1
    world.repository.path("timestamp").write_text(json.dumps(data))


def send_a_timestamp_that_is_too_long(world: World) -> None:
    path = world.repository.path("timestamp")
    path.write_bytes(path.read_bytes() + b" " * 16384)


# By the reported reason. Signatures differ in length, so files of two moments may, too.
ATTACKS: dict[Callable[[World], None], str] = {
    roll_back_the_timestamp: "rollback",
    roll_back_the_snapshot: "rollback",
    roll_back_the_targets: "rollback",
    roll_back_the_root: "rollback",
    skip_a_root: "rollback",
    sign_a_root_with_the_new_keys_alone: "signature",
    sign_a_root_with_the_old_keys_alone: "signature",
    hold_back("root"): "expired",
    hold_back("targets"): "expired",
    hold_back("snapshot"): "expired",
    hold_back("timestamp"): "expired",
    mix_a_snapshot_of_another_moment: "mismatch or too-long",
    mix_targets_of_another_moment: "mismatch or too-long",
    mix_a_file_of_another_moment: "mismatch",
    cut_a_file_short: "mismatch",
    lengthen_a_file: "too-long",
    sign_targets_with(nobodys_key): "signature",
    sign_targets_with(the_online_key): "signature",
    sign_targets_with(a_revoked_key): "signature",
    sign_targets_with(too_few_keys): "signature",
    sign_with_one_key_twice: "signature",
    sign_online_with_a_revoked_key: "signature",
    show_another_publisher: "signature",
    show_another_role: "refused",
    show_no_json: "unreadable",
    show_deep_json: "unreadable",
    change_a_signed_byte: "signature",
    send_a_timestamp_that_is_too_long: "too-long",
}

# Attacks with a root that has expired, or that has other keys than the set in force.
MAKING_STALE = {
    "hold_back_the_root",
    "sign_targets_with_a_revoked_key",
    "sign_targets_with_too_few_keys",
    "sign_with_one_key_twice",
    "sign_online_with_a_revoked_key",
}

each_attack = pytest.mark.parametrize(
    ("attack", "reason"), ATTACKS.items(), ids=lambda each: getattr(each, "__name__", each)
)


@pytest.mark.medium
@each_attack
def test_an_attack_is_refused_and_nothing_is_lost(
    world: World, attack: Callable[[World], None], reason: str
) -> None:
    app = world.updater()
    world.followed_by(app.refresh)
    attack(world)
    held = app.status.version
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason in reason.split(" or "), str(caught.value)
    assert caught.value.fix
    assert "\n" not in caught.value.problem
    status = app.status
    assert (status.version, status.failures) == (held, 1)
    assert str(status.error) == str(caught.value)
    assert app.context.pins.version == held
    assert reached(app.context, world) == b"HTTP/1.1 200"
    restarted = world.updater().status
    assert restarted.version == held
    assert status.state == restarted.state
    assert status.state == ("soft-stale" if attack.__name__ in MAKING_STALE else "fresh")


@pytest.mark.slow
@each_attack
def test_the_client_of_python_tuf_refuses_it_too(
    world: World, attack: Callable[[World], None], reason: str, tmp_path: Path
) -> None:
    judge = Judge(world, tmp_path / "judge")
    world.followed_by(judge.follow)
    attack(world)
    with pytest.raises((RepositoryError, DownloadError)):
        judge.follow()


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["timestamp", ".root", "snapshot", "metadata/1.targets", "targets/"]
)
def test_the_client_of_python_tuf_reads_no_endless_answer_either(
    world: World, part: str, tmp_path: Path
) -> None:
    """python-tuf stops reading, as certpin does: ``test_channel.py`` tests certpin."""
    world.server.answers[part] = world.server.never_end
    with pytest.raises(DownloadLengthMismatchError):
        Judge(world, tmp_path / "judge").follow()


@pytest.mark.slow
def test_the_client_of_python_tuf_times_out_too(world: World, tmp_path: Path) -> None:
    """python-tuf limits only the time between two bytes; certpin limits the total time too."""
    judge = Judge(world, tmp_path / "judge", patience=1)
    judge.follow()
    world.server.answers["timestamp"] = world.server.stall
    with pytest.raises(SlowRetrievalError):
        judge.follow()


@pytest.mark.medium
@pytest.mark.parametrize("part", ["timestamp", "snapshot", "targets"])
@pytest.mark.parametrize("damage", [b"", b"{", b"\0" * 99], ids=["empty", "half", "zeros"])
def test_damaged_metadata_on_the_disk_is_fetched_again(
    world: World, part: str, damage: bytes, tmp_path: Path
) -> None:
    """The client of certpin and that of python-tuf both fetch damaged files again."""
    app, judge = world.updater(), Judge(world, tmp_path / "judge")
    app.refresh()
    judge.follow()
    for cache in (world.cache, tmp_path / "judge"):
        (cache / f"metadata/{part}.json").write_bytes(damage)
    world.publish(3)
    judge.follow()
    assert app.refresh().version == 3


@pytest.mark.medium
def test_a_clock_jump_does_not_restore_an_older_set(world: World) -> None:
    old = world.repository.path("timestamp").read_bytes()
    world.publish(3)
    newest, now = world.repository.path("timestamp").read_bytes(), world.now
    app = world.updater()
    app.refresh()
    for jump, held in ((LONG_AGO, "soft-stale"), (-LONG_AGO, "fresh")):
        world.now = now + jump
        for shown in (old, newest[:-1]):
            world.repository.path("timestamp").write_bytes(shown)
            with pytest.raises(UpdateError):
                app.refresh()
        assert (app.status.version, app.status.state) == (3, held)
        assert world.updater().status.version == 3
    world.now = now
    world.repository.path("timestamp").write_bytes(newest)
    assert (app.refresh().version, app.status.state) == (3, "fresh")


# Attacks that end when the publisher publishes again, without a new root.
OVER = [
    *(roll_back_the_timestamp, roll_back_the_snapshot, roll_back_the_targets),
    *(mix_a_snapshot_of_another_moment, mix_targets_of_another_moment),
    *(mix_a_file_of_another_moment, cut_a_file_short, lengthen_a_file),
    *(show_another_publisher, show_another_role, show_no_json, change_a_signed_byte),
    send_a_timestamp_that_is_too_long,
]


@pytest.mark.slow
@pytest.mark.parametrize("attack", OVER, ids=lambda each: each.__name__)
def test_the_app_recovers_after_an_attack(world: World, attack: Callable[[World], None]) -> None:
    app = world.updater()
    world.followed_by(app.refresh)
    attack(world)
    with pytest.raises(UpdateError):
        app.refresh()
    world.repository.versions = dict.fromkeys(world.repository.versions, 9) | {"root": 1}
    world.publish(9)
    status = app.refresh()
    assert (status.version, status.failures, status.error) == (9, 0, None)

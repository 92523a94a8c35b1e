"""Pushing after the online key, or the targets keys too, were stolen and replaced."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from tuf.api.metadata import Metadata, MetaFile

from certpin import UpdateError
from certpin.publish.push import prepare
from tests.publish._delivering import Delivered, delivering
from tests.publish.test_push import fork, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from certpin.lab import Identity
    from certpin.updates import PinUpdater


pytestmark = pytest.mark.slow  # each signs a folder, and pushes it


@pytest.fixture
def world(trusted_root: Path, served: Identity, tmp_path: Path) -> Iterator[Delivered]:
    with delivering(tmp_path, served) as world:
        yield world


class Thief:
    """An attacker with the current online key and write access to the storage."""

    def __init__(self, world: Delivered) -> None:
        self.folder, self.key = world.server.folder / "metadata", world.repository.online

    def outrun(self, *, snapshot: int | None = None, role: str = "timestamp") -> None:
        """Sign the stored timestamp with the stolen key, with a version that no one can exceed.

        Args:
            snapshot: the version for a snapshot that the thief signs too.
            role: ``timestamp``; another value keeps the version of the timestamp.
        """
        timestamp = Metadata.from_bytes((self.folder / "timestamp.json").read_bytes())
        if snapshot is not None:
            self._sign_snapshot(timestamp.signed, snapshot)
        timestamp.signed.version = 10**9 if role == "timestamp" else timestamp.signed.version
        self._put("timestamp.json", timestamp)

    def _sign_snapshot(self, timestamp: Any, number: int) -> None:
        known = self.folder / f"{timestamp.snapshot_meta.version}.snapshot.json"
        snapshot = Metadata.from_bytes(known.read_bytes())
        snapshot.signed.version = number
        data = self._put(f"{number}.snapshot.json", snapshot)
        digest = {"sha256": sha256(data).hexdigest()}
        timestamp.snapshot_meta = MetaFile(number, len(data), digest)

    def _put(self, name: str, metadata: Any) -> bytes:
        metadata.sign(self.key)
        data: bytes = metadata.to_bytes()
        (self.folder / name).write_bytes(data)
        return data


def replace_online_key(world: Delivered) -> None:
    world.repository.rotate("online")
    world.repository.publish_online()


@pytest.mark.parametrize("snapshot", [None, 10**9])
def test_metadata_of_a_replaced_key_is_replaced_whatever_its_number(
    world: Delivered, snapshot: int | None
) -> None:
    world.push()
    Thief(world).outrun(snapshot=snapshot)
    assert world.both_follow("robbed") == 2
    found = refusal(world)
    assert (found.reason, "a key is stolen" in found.fix) == ("ahead", True)
    replace_online_key(world)
    assert "timestamp 1000000000 is signed only by keys that were replaced" in world.push().damage
    assert world.both_follow() == 2
    world.publish(3)
    assert world.push().damage == ""
    robbed = world.updater(cache=world.cache.parent / "app-robbed").refresh()
    assert (robbed.state, robbed.version) == ("fresh", 3)


def test_a_snapshot_number_of_a_replaced_key_blocks_no_push(world: Delivered) -> None:
    world.push()
    Thief(world).outrun(snapshot=10**9, role="snapshot")
    replace_online_key(world)
    assert "snapshot 1000000000 is signed only by" in world.push().damage
    assert world.both_follow() == 2


def test_a_regular_key_replacement_is_not_damage(world: Delivered) -> None:
    world.push()
    replace_online_key(world)
    assert world.push().damage == ""


def test_a_number_used_by_an_attacker_is_skipped(world: Delivered) -> None:
    """An attacker has stored a snapshot under the next version: a push of that version is refused.

    The push succeeds after the publisher has signed the version after it. The attacker's file
    stays: caches keep it for a year, so clients would not get a replacement.
    """
    world.push()
    Thief(world).outrun(snapshot=world.repository.versions["snapshot"] + 1)
    replace_online_key(world)
    found = refusal(world)
    assert (found.reason, "--renew snapshot" in found.fix) == ("conflict", True)
    world.repository.publish_online()
    assert world.push().damage
    assert world.both_follow() == 2


def test_a_set_pushed_before_the_key_replacement_is_not_undone(
    world: Delivered, tmp_path: Path
) -> None:
    world.push()
    fork(world, tmp_path, lambda: world.publish(3))
    replace_online_key(world)
    world.repository.publish_online()
    found = refusal(world)
    assert (found.reason, "targets 2 is there" in found.problem) == ("ahead", True)


def test_the_current_set_is_not_undone_whatever_the_stored_timestamp(
    world: Delivered, tmp_path: Path
) -> None:
    """An attacker with write access must not cause an older set to replace a newer one."""
    world.push()
    thief = Thief(world)
    replace_online_key(world)
    before = world.repository.copy(tmp_path / "other-clone")
    world.publish(3)
    world.push()
    thief.outrun()
    world.repository.restore(before)
    assert refusal(world).reason == "ahead"


class Robbed(NamedTuple):
    """A publisher after a theft of targets keys and online key, with an installed app.

    The attacker has pushed the versions 900 and 1800, and the app has followed both.
    """

    world: Delivered
    app: PinUpdater


@pytest.fixture
def robbed(world: Delivered, tmp_path: Path) -> Robbed:
    world.push()
    app = world.updater(cache=world.cache.parent / "app-installed")
    app.refresh()
    before = world.repository.copy(tmp_path / "team")
    versions = dict(world.repository.versions)
    for version in (900, 1800):
        world.publish(version)
        world.push()
        assert app.refresh().version == version
    world.repository.restore(before)
    world.repository.versions = versions
    return Robbed(world, app)


def test_versions_of_stolen_targets_keys_end_with_the_keys(robbed: Robbed) -> None:
    """The team continues with version 3: it can't exceed the attacker's under the new root.

    The attacker's files have the numbers that the team would use next, which are skipped.
    """
    world = robbed.world
    world.repository.rotate("targets", "online")
    world.publish(3)
    found = refusal(world)
    assert (found.reason, "--renew targets" in found.fix) == ("conflict", True)
    world.repository.versions |= {"targets": 3, "snapshot": 3}
    world.publish(3)
    assert "version 1800 is signed only by targets keys that were replaced" in world.push().damage
    assert robbed.app.refresh().version == 3
    assert world.both_follow() == 3
    world.publish(4)
    assert world.push().damage == ""


def test_the_shipped_version_stays_the_lowest(robbed: Robbed) -> None:
    world = robbed.world
    world.repository.rotate("targets", "online")
    world.repository.versions |= {"targets": 3, "snapshot": 3}
    world.publish(3)
    with pytest.raises(UpdateError, match="version 3 of the pin set was signed, and 5 is in force"):
        prepare(world.site, world.storage, now=world.now, shipped=world.bundled(5))
    assert prepare(world.site, world.storage, now=world.now, shipped=world.bundled(3)).uploads

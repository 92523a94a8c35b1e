"""Verification of signed pin sets that are given as bytes, without a network."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import BadVersionNumberError, LengthOrHashMismatchError, RepositoryError
from tuf.api.metadata import MetaFile, Snapshot

from certpin import UpdateError
from certpin.updates import Limits
from certpin.updates.trust import CachedSet, SignedMetadata, follow_roots, verify
from tests import kit
from tests.updates._publisher import CHANNEL, HOST, Repository, pin_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.updates.conftest import World


@pytest.fixture
def bank(tmp_path: Path) -> Repository:
    repository = Repository(tmp_path / "site")
    repository.publish(pin_file(2, {CHANNEL: kit.NOBODY_ELSE, HOST: kit.NOBODY_ELSE}))
    return repository


def kept(repository: Repository) -> CachedSet:
    """Return the pin set that a repository has published, with its metadata, as a cached set."""
    names = ("timestamp", "snapshot", "targets")
    signed = SignedMetadata(*(repository.path(role).read_bytes() for role in names))
    return CachedSet(repository.versions["root"], signed, dict(repository.files))


def believed(repository: Repository, stored: CachedSet) -> Any:
    metadata = repository.folder / "metadata"
    later = [
        (metadata / f"{version}.root.json").read_bytes()
        for version in range(2, repository.versions["root"] + 1)
    ]
    roots = follow_roots(repository.first_root, later, "bank")
    return verify(roots, stored, "bank", Limits())


def test_a_published_set_is_accepted(bank: Repository) -> None:
    found = believed(bank, kept(bank))
    assert (found.pins.version, found.superseded) == (2, False)


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_metadata_of_two_moments_is_refused(bank: Repository, role: str) -> None:
    """A file of an older publication is refused beside the current ones.

    Each file is signed and valid, and no metadata names digests.
    """
    bank.digests = False
    bank.publish_online()
    older, files = kept(bank), bank.files
    bank.publish_targets(files, {"pin-set": "bank", "version": 2})
    bank.publish_online()
    stored = kept(bank)
    assert believed(bank, stored).pins.version == 2
    mixed = stored.signed._replace(**{role: getattr(older.signed, role)})
    with pytest.raises(BadVersionNumberError):
        believed(bank, stored._replace(signed=mixed))


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_metadata_with_another_digest_is_refused(bank: Repository, role: str) -> None:
    """A file that has the right version, but was signed at another time, is refused.

    Only the digest distinguishes the two files.
    """
    stored = kept(bank)
    bank.versions = dict.fromkeys(bank.versions, 0) | {"root": 1}
    bank.now += timedelta(seconds=1)
    bank.publish_targets(bank.files, {"pin-set": "bank", "version": 2})
    bank.publish_online()
    mixed = stored.signed._replace(**{role: getattr(kept(bank).signed, role)})
    with pytest.raises(LengthOrHashMismatchError):
        believed(bank, stored._replace(signed=mixed))


def test_a_snapshot_without_targets_is_refused(bank: Repository) -> None:
    snapshot = Snapshot(9, expires=bank.now, meta={"other.json": MetaFile(1)})
    bank.versions["snapshot"] = 9
    bank._write("snapshot", snapshot, [bank.online])
    bank.publish_timestamp()
    with pytest.raises(RepositoryError, match="names no targets"):
        believed(bank, kept(bank))


@pytest.mark.parametrize("role", SignedMetadata._fields)
@pytest.mark.parametrize("other", SignedMetadata._fields)
def test_metadata_of_another_role_is_refused(bank: Repository, role: str, other: str) -> None:
    stored = kept(bank)
    swapped = stored.signed._replace(**{role: getattr(stored.signed, other)})
    if role == other:
        assert believed(bank, stored).pins
        return
    with pytest.raises(RepositoryError):
        believed(bank, stored._replace(signed=swapped))


def test_a_file_that_differs_from_the_signed_one_is_refused(bank: Repository) -> None:
    stored = kept(bank)
    text = stored.files["pins.toml"]
    for other in (text + b"\n", text[:-1], b"", text.replace(b"backup", b"leaf")):
        with pytest.raises(LengthOrHashMismatchError):
            believed(bank, stored._replace(files={"pins.toml": other}))


@pytest.mark.parametrize("role", ["root", "timestamp", "snapshot", "targets"])
def test_a_set_expires_with_its_first_metadata_file(bank: Repository, role: str) -> None:
    bank.days[role] = 1
    bank.rotate()
    bank.resign()
    assert believed(bank, kept(bank)).verified.until == bank.now + timedelta(days=1)


def test_roots_are_followed_up_to_the_first_that_does_not_follow(bank: Repository) -> None:
    for _ in range(3):
        bank.rotate("root")
    files = [bank.folder / "metadata" / f"{version}.root.json" for version in (2, 3, 4)]
    two, three, four = (path.read_bytes() for path in files)
    chains = {(two, three, four): 4, (two, four): 2, (three,): 1, (two, two, three): 2, (b"",): 1}
    for later, newest in chains.items():
        assert follow_roots(bank.first_root, later, "bank")[-1].version == newest


def test_a_root_signed_only_by_its_predecessor_does_not_follow(bank: Repository) -> None:
    old = bank.keys["root"]
    bank.keys["root"] = [CryptoSigner.generate_ecdsa()]
    bank.publish_root(old)
    assert follow_roots(bank.first_root, [bank.path("root").read_bytes()], "bank")[-1].version == 1


def test_a_first_root_must_sign_itself(bank: Repository) -> None:
    data = json.loads(bank.first_root)
    data["signed"]["version"] = 2
    with pytest.raises(RepositoryError):
        follow_roots(json.dumps(data).encode(), (), "bank")


def test_an_expired_timestamp_replayed_is_a_freeze(world: World) -> None:
    """A refresh fails once the timestamp has expired and the server still sends the same files.

    The cause is the server, or an attacker in between.
    """
    app = world.updater()
    app.refresh()
    until = app.status.until
    assert until is not None
    world.now = until - timedelta(seconds=1)
    assert app.refresh().state == "fresh"
    world.now = until
    with pytest.raises(UpdateError) as caught:
        app.refresh()
    assert caught.value.reason == "expired"
    assert "it was good until" in caught.value.problem
    assert "an attacker withholds them" in caught.value.fix
    assert (app.status.state, app.status.version) == ("soft-stale", 2)


def test_the_state_shows_an_expired_policy(world: World) -> None:
    world.publish(3, api_bank_example="expires = 2027-01-01")
    app = world.updater()
    assert app.refresh().state == "fresh"
    world.now = world.now.replace(year=2027)
    assert app.status.state == "hard-expired"


def test_targets_are_reused_only_if_length_and_hashes_are_equal(bank: Repository) -> None:
    found = believed(bank, kept(bank))
    now = bank.now
    shown = found.verified.signed.timestamp
    assert found.is_newest(shown, now)
    assert not found.is_newest(shown + b"\n", now)
    assert not found.is_newest(shown, found.verified.until)
    assert not replace(found, superseded=True).is_newest(shown, now)

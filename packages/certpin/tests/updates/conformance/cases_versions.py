"""Conformance cases on rollback, mix-and-match and the recovery from a fast-forward.

The sections of TUF 1.0.31 are 5.3.11 and 5.4 to 5.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tuf.api.metadata import MetaFile

from tests.updates.conformance._site import NONE, case, new_key

if TYPE_CHECKING:
    from tests.updates.conformance._site import Site

MANY = 99


@case("5.4.3.1")
def a_timestamp_of_a_lower_version(site: Site) -> None:
    old = site.files[site.path("timestamp")]
    site.publish("timestamp")
    site.accepted()
    newest = site.files[site.path("timestamp")]
    site.put("timestamp", old)
    site.refused("rollback")
    site.put("timestamp", newest)
    site.accepted()


@case("5.4.3.1")
def a_timestamp_signed_again_with_a_lower_version(site: Site) -> None:
    site.publish("timestamp")
    site.publish("timestamp")
    site.accepted()
    site.timestamp.version = 1
    site.publish("timestamp")
    site.refused("rollback")


@case("5.4.3.1")
def another_timestamp_of_the_same_version(site: Site) -> None:
    """A client keeps its stored timestamp, and the snapshot that this timestamp names."""
    site.accepted()
    site.publish("snapshot")
    site.sign("timestamp")
    site.accepted(snapshot=1)


@case("5.4.3.2")
def a_timestamp_that_names_an_older_snapshot(site: Site) -> None:
    """A client must not store this timestamp (CVE-2025-2888).

    Later it must accept a correct timestamp of the same version.
    """
    old = dict(site.files)
    site.publish("snapshot", "timestamp")
    site.accepted()
    site.snapshot.version = 1
    site.files.update({site.path("snapshot"): old[site.path("snapshot")]})
    site.publish("timestamp")
    site.refused("rollback")
    site.snapshot.version = 2
    site.sign("timestamp")
    site.accepted()


@case("5.4.3.2")
def a_timestamp_that_names_an_older_snapshot_without_digests(site: Site) -> None:
    site.digests = False
    site.publish("snapshot", "timestamp")
    site.accepted()
    site.snapshot.version = 0
    site.publish("snapshot", "timestamp")
    site.refused("rollback")


def _older_targets(site: Site) -> None:
    site.publish()
    site.accepted()
    site.restart("targets")
    site.publish()
    site.refused("rollback", timestamp=3)
    site.targets.version = 2
    site.publish()
    site.accepted()


@case("5.5.5")
def a_snapshot_that_names_older_targets(site: Site) -> None:
    _older_targets(site)


@case("5.5.5")
def a_snapshot_that_names_older_targets_without_digests(site: Site) -> None:
    site.digests = False
    _older_targets(site)


@case("5.5.5")
def a_snapshot_that_no_longer_names_a_role(site: Site) -> None:
    """A client must refuse a snapshot that lacks a role of the previous snapshot.

    This applies to delegated roles too, although the client doesn't use delegations.
    """
    site.snapshot.meta["other.json"] = MetaFile(1)
    site.publish("snapshot", "timestamp")
    site.accepted()
    del site.snapshot.meta["other.json"]
    site.publish("snapshot", "timestamp")
    site.refused("refused or rollback", timestamp=3)


@case("5.5.5")
def a_snapshot_with_an_older_version_of_another_role(site: Site) -> None:
    site.snapshot.meta["other.json"] = MetaFile(5)
    site.publish("snapshot", "timestamp")
    site.accepted()
    site.snapshot.meta["other.json"] = MetaFile(4)
    site.publish("snapshot", "timestamp")
    site.refused("rollback", timestamp=3)


@case("5.5.5")
def a_snapshot_without_targets(site: Site) -> None:
    site.accepted()
    site.publish("snapshot")
    site.resign("snapshot", lambda signed: signed.update(meta={"other.json": {"version": 1}}))
    site.refused("refused or rollback", timestamp=2)


@case("5.5.4")
def a_snapshot_of_another_version_than_named(site: Site) -> None:
    site.digests = False
    site.accepted()
    site.publish("snapshot", "timestamp")
    site.snapshot.version = 3
    data = site.signed(site.snapshot, site.signers["snapshot"])
    site.snapshot.version = 2
    site.put("snapshot", data)
    site.refused("rollback", timestamp=2)


@case("5.6.4")
def targets_of_another_version_than_named(site: Site) -> None:
    site.digests = False
    site.accepted()
    site.publish()
    site.targets.version = 3
    data = site.signed(site.targets, site.signers["targets"])
    site.targets.version = 2
    site.put("targets", data)
    site.refused("rollback", timestamp=2, snapshot=2)


@case("5.5.2")
def a_snapshot_with_another_digest(site: Site) -> None:
    """A client must refuse a snapshot of the right length in which one letter differs."""
    site.accepted()
    site.publish("snapshot", "timestamp")
    site.put("snapshot", site.files[site.path("snapshot")].replace(b'"sig":', b'"siG":', 1))
    site.refused("mismatch", timestamp=2)


@case("5.6.2")
def targets_with_another_digest(site: Site) -> None:
    site.accepted()
    site.publish()
    site.put("targets", site.files[site.path("targets")].replace(b'"sig":', b'"siG":', 1))
    site.refused("mismatch", timestamp=2, snapshot=2)


@case("5.5.2")
def the_snapshot_of_another_moment(site: Site) -> None:
    """A client must refuse a valid old snapshot if the timestamp names a newer one."""
    site.accepted()
    old = site.files[site.path("snapshot")]
    site.publish("snapshot", "timestamp")
    site.put("snapshot", old)
    site.refused("mismatch or too-long or rollback", timestamp=2)


@case("5.6.2")
def the_targets_of_another_moment(site: Site) -> None:
    site.accepted()
    old = site.files[site.path("targets")]
    site.name_pins(3)
    site.publish()
    site.put("targets", old)
    site.refused("mismatch or too-long or rollback", timestamp=2, snapshot=2)


@case("5.5.3")
def metadata_that_names_no_digests(site: Site) -> None:
    site.digests = False
    for version in (2, 3):
        site.name_pins(version)
        site.publish()
        site.accepted()


@case("5.3.11")
def a_timestamp_goes_back_after_its_key_was_replaced(site: Site) -> None:
    site.timestamp.version = MANY
    site.publish("timestamp")
    site.accepted()
    site.rotate("timestamp")
    site.restart("timestamp")
    site.publish("timestamp")
    site.accepted()


@case("5.3.11")
def a_timestamp_does_not_go_back_under_another_root_with_its_key(site: Site) -> None:
    site.timestamp.version = MANY
    site.publish("timestamp")
    site.accepted()
    site.rotate("snapshot")
    site.restart("timestamp")
    site.publish("snapshot", "timestamp")
    site.refused("rollback", root=2)


@case("5.3.11")
def a_snapshot_goes_back_after_both_keys_were_replaced(site: Site) -> None:
    site.snapshot.version = MANY
    site.publish("snapshot", "timestamp")
    site.accepted()
    site.rotate("snapshot", "timestamp")
    site.restart("snapshot")
    site.publish("snapshot", "timestamp")
    site.accepted()


@case("5.3.11")
def targets_go_back_after_the_snapshot_key_was_replaced(site: Site) -> None:
    """A client must accept lower versions, and fewer roles, after the snapshot key was replaced.

    The versions in snapshots that the old key signed don't count any more.
    """
    site.targets.version = MANY
    site.snapshot.meta["other.json"] = MetaFile(1)
    site.publish()
    site.accepted()
    site.rotate("snapshot")
    site.restart("targets")
    del site.snapshot.meta["other.json"]
    site.publish()
    site.accepted()


@case("5.3.11")
def targets_do_not_go_back_if_only_their_key_was_replaced(site: Site) -> None:
    """A client must refuse lower targets versions unless the snapshot key was replaced too.

    An attacker who has only the old targets key can't have raised the version in the snapshot.
    """
    site.publish()
    site.accepted()
    site.rotate("targets")
    site.restart("targets")
    site.publish()
    site.refused("rollback", root=2, timestamp=3)


@case("5.3.11")
def an_added_key_lets_no_version_go_back(site: Site) -> None:
    site.timestamp.version = MANY
    site.publish("timestamp")
    site.accepted()
    site.use_keys("timestamp", [*site.signers["timestamp"], new_key()])
    site.publish("root")
    site.restart("timestamp")
    site.publish("timestamp")
    site.refused("rollback", root=2)


@case("5.4.1")
def without_a_timestamp(site: Site) -> None:
    site.accepted()
    del site.files[site.path("timestamp")]
    site.refused("http")


@case("5.5.1")
def without_the_snapshot(site: Site) -> None:
    site.accepted()
    site.publish("snapshot", "timestamp")
    del site.files[site.path("snapshot")]
    site.refused("http", timestamp=2)


@case("5.6.1")
def without_the_targets(site: Site) -> None:
    site.accepted()
    site.publish()
    del site.files[site.path("targets")]
    site.refused("http", timestamp=2, snapshot=2)


@case("5.2")
def without_any_file(site: Site) -> None:
    files = dict(site.files)
    site.files.clear()
    site.refused("http", root=1, timestamp=NONE)
    site.files.update(files)
    site.accepted()

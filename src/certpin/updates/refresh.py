"""One check of the server: whether there is something newer, and if so, all of it.

1. The timestamp is fetched. If it is the very one that the known set was verified with, and
   everything is in date, there is nothing new (docs/decisions, 23): unless there is a newer root,
   which may revoke the key that signed this timestamp. The server is asked for that one from time
   to time (``Timing.roots``), over the same connection.
2. Otherwise ``tuf.ngclient`` does what TUF 1.0.31 says in section 5, from the root that the app
   brought, with the metadata that it keeps on the disk.
3. The targets are fetched, less those that are known, and the whole passes ``trust``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError
from tuf.ngclient import Updater, UpdaterConfig

from certpin.updates import trust

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.updates.address import Address
    from certpin.updates.fetch import Channel
    from certpin.updates.settings import Limits
    from certpin.updates.store import Store
    from certpin.updates.trust import SignedSet, VerifiedMetadata


class Source(NamedTuple):
    """The constants of all checks. ``root`` is the root metadata bundled with the app."""

    name: str
    root: bytes
    address: Address
    limits: Limits
    store: Store


def fetch_newest(
    source: Source, channel: Channel, known: SignedSet | None, now: datetime, *, ask_root: bool
) -> SignedSet:
    """Return the newest set: the known one itself if there is nothing new.

    Call it within ``update_errors()``. ``tuf.ngclient`` reads the system's clock; the metadata that
    it accepts must also be valid at ``now``.

    Args:
        source: the constants of all checks.
        channel: the connection to the server.
        known: the newest set that was verified before.
        now: the current time.
        ask_root: request the next root even if the timestamp is the known one.
    """
    if (
        known is not None
        and known.is_newest(_timestamp(source, channel), now)
        and not (ask_root and _has_newer_root(source, channel))
    ):
        return known
    try:
        _follow(source, channel)
    except OSError:  # of the disk: network errors are DownloadErrors
        if not source.store.move_out():
            raise
        _follow(source, channel)
    return _fetch_set(source, channel, known, now)


def _timestamp(source: Source, channel: Channel) -> bytes:
    path = source.address.metadata + "timestamp.json"
    return channel.download_bytes(path, source.limits.timestamp)


def _has_newer_root(source: Source, channel: Channel) -> bool:
    """Return True if the server has a root newer than the newest cached one (TUF 1.0.31, 5.3.3).

    The bytes are not used: ``tuf.ngclient`` fetches and verifies the root. Object storage that
    clients can't list answers 403 for a missing file, which ``tuf.ngclient`` also accepts.
    """
    version = source.store.follow(source.root)[-1].version + 1
    try:
        channel.download_bytes(f"{source.address.metadata}{version}.root.json", source.limits.root)
    except DownloadHTTPError as exc:
        if exc.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            return False
        raise
    return True


def _follow(source: Source, channel: Channel) -> None:
    """Update the cached metadata with ``tuf.ngclient``."""
    limits = source.limits
    config = UpdaterConfig(
        max_root_rotations=limits.rotations,
        max_delegations=0,
        root_max_length=limits.root,
        timestamp_max_length=limits.timestamp,
        snapshot_max_length=limits.snapshot,
        targets_max_length=limits.targets,
    )
    source.store.metadata.mkdir(mode=0o700, parents=True, exist_ok=True)
    Updater(
        str(source.store.metadata),
        source.address.metadata,
        fetcher=channel,
        config=config,
        bootstrap=source.root,
    ).refresh()


def _fetch_set(
    source: Source, channel: Channel, known: SignedSet | None, now: datetime
) -> SignedSet:
    roots = source.store.follow(source.root)
    verified = trust.verify_metadata(roots[-1], source.store.read(), source.name, source.limits)
    if now >= verified.until:
        raise ExpiredMetadataError(f"it was good until {verified.until:%Y-%m-%d %H:%M} UTC")
    files = {
        name: _target_bytes(source, channel, verified, known, name) for name in verified.targets
    }
    return trust.mark_recovery(trust.verify_files(verified, files), known, roots[-1])


def _target_bytes(
    source: Source, channel: Channel, verified: VerifiedMetadata, known: SignedSet | None, name: str
) -> bytes:
    """Return a target: from the known set if it is unchanged, else from the server."""
    info = verified.targets[name]
    if known is not None and name in known.files:
        same = known.verified.targets[name]
        if (same.length, same.hashes) == (info.length, info.hashes):
            return known.files[name]
    path = source.address.target(name, info.hashes["sha256"])
    return channel.download_bytes(path, info.length)

"""Bring a signed folder to where clients fetch it: look, decide (``plan``), upload, look again.

Nothing is deleted: a client in the middle of an update still asks for what it was told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from certpin.errors import UpdateError
from certpin.pins import utc_now
from certpin.updates.publish.content import LIMITS
from certpin.updates.publish.plan import Local, Remote, find_outrun, plan
from certpin.updates.publish.shown import (
    TIMESTAMP,
    follow,
    read_newest,
    read_roots,
    root_path,
    signed_version,
    verify_newest,
)
from certpin.updates.publish.storage import STORAGE, FolderStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from certpin.updates.publish.storage import Storage

Result = TypeVar("Result")

UNSIGNED = "unsigned"


@dataclass(frozen=True)
class Pushed:
    """A push.

    Attributes:
        local: the signed set.
        uploads: the paths to upload, in order; may be empty.
        damage: why clients with the newest root refuse the previously stored set, or empty.
    """

    local: Local
    uploads: tuple[str, ...]
    damage: str = ""


def push(
    site: Path, storage: Storage, *, name: str | None = None, now: datetime | None = None
) -> Pushed:
    """Push the signed set.

    Args:
        site: the folder ``site/``.
        storage: the destination.
        name: the expected name of the pin set, or None to accept any.
        now: the current time.

    Raises:
        UpdateError: the push failed. The text says which files were changed, if any.
    """
    pushed = prepare(site, storage, name=name, now=now)
    upload(pushed, storage)
    return pushed


def prepare(
    site: Path, storage: Storage, *, name: str | None = None, now: datetime | None = None
) -> Pushed:
    """Plan a push. Raises ``UpdateError`` if it must not happen, or the storage can't be read."""
    local = _read_local(FolderStorage(site), name, now or utc_now())
    remote = _read_remote(FolderStorage(site), storage, local)
    return Pushed(local, plan(local, remote), remote.damage or find_outrun(local, remote))


def upload(pushed: Pushed, storage: Storage, advance: Callable[[], None] = lambda: None) -> None:
    """Upload the files of a push; ``advance`` is called after each file. Raises ``UpdateError``.

    If it is interrupted, the next push continues it.
    """
    files = pushed.local.files
    for done, path in enumerate(pushed.uploads):
        try:
            storage.write(path, files[path])
        except UpdateError as exc:
            raise _cut_off(exc, done, len(pushed.uploads)) from exc
        advance()
    for path in pushed.uploads:
        _confirm(storage, path, files[path])
    storage.sweep()


def _read_local(site: Storage, name: str | None, now: datetime) -> Local:
    """Return the local set. Raises ``UpdateError`` if clients would refuse it."""
    try:
        local = _verified_local(site, name)
    except UpdateError as exc:
        if exc.reason in {STORAGE, UNSIGNED}:
            raise
        raise UpdateError(
            f"clients would refuse what is signed in {site.where}: {exc.problem}",
            reason=exc.reason,
            fix="sign again (certpin publish sign KEY); if that does not help, take publish/site "
            "as it was committed",
        ) from exc
    until = local.signed.verified.until
    if now >= until:
        raise UpdateError(
            f"what is signed was good until {until:%Y-%m-%d %H:%M} UTC",
            reason="expired",
            fix="sign it again (certpin publish sign KEY), then push",
        )
    return local


def _read_remote(site: Storage, storage: Storage, local: Local) -> Remote:
    """Return the contents of the storage. Raises ``UpdateError`` if it can't be read."""
    found = {path: _read_expected(storage, path, data) for path, data in local.files.items()}
    files = {path: data for path, data in found.items() if data is not None}
    remote = Remote(files, storage.read(root_path(len(local.roots) + 1), LIMITS.root))
    if (timestamp := storage.read(TIMESTAMP, LIMITS.timestamp)) is None:
        return remote
    remote = remote._replace(timestamp_version=signed_version(local.chain[-1], timestamp))
    newest, damage = _read_or_damage(lambda: read_newest(storage.read, LIMITS))
    if newest is None:
        return remote._replace(damage=damage)
    before = {path: site.read(path, LIMITS.of(path)) for path in newest.numbered}
    known = {path: data for path, data in before.items() if data is not None}
    name = local.signed.verified.name
    signed, damage = _read_or_damage(
        lambda: verify_newest(storage.read, local.chain, newest, name, LIMITS)
    )
    return remote._replace(newest=newest, before=known, signed=signed, damage=damage)


def _read_or_damage(read: Callable[[], Result]) -> tuple[Result | None, str]:
    """Return the result, or why clients would refuse it. Raises the errors of the storage."""
    try:
        return read(), ""
    except UpdateError as exc:
        if exc.reason == STORAGE:
            raise
        return None, exc.problem


def _verified_local(site: Storage, name: str | None) -> Local:
    roots, newest = read_roots(site.read, LIMITS), read_newest(site.read, LIMITS)
    if not roots or newest is None:
        raise UpdateError(
            f"nothing is signed in {site.where} yet",
            reason=UNSIGNED,
            fix="certpin rotate publish, then certpin publish sign KEY",
        )
    chain = follow(roots)
    wanted = str(newest.name) if name is None else name
    signed = verify_newest(site.read, chain[-1:], newest, wanted, LIMITS)
    return Local(chain, tuple(roots), newest, signed)


def _read_expected(storage: Storage, path: str, data: bytes) -> bytes | None:
    """Read a stored file, one byte beyond the expected length at most."""
    return storage.read(path, len(data))


def _confirm(storage: Storage, path: str, data: bytes) -> None:
    """Require that the stored file is the uploaded one, and not that of a concurrent push."""
    if _read_expected(storage, path, data) != data:
        raise UpdateError(
            f"{path} was put there, and is not what is there now",
            reason="unconfirmed",
            fix="another push is running, or the storage returns the previous file: wait, "
            "then push again",
        )


def _cut_off(exc: UpdateError, done: int, total: int) -> UpdateError:
    return UpdateError(
        f"{exc.problem} ({done} of {total} files were put there)",
        reason=exc.reason,
        fix=f"{exc.fix}; then push again, which goes on where this ended",
    )

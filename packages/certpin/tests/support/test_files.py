"""Locks on open file descriptors, with and without ``fcntl``; and owners of replaced files."""

from __future__ import annotations

import os
import stat
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from certpin.support.files import (
    OwnerLostError,
    has_locks,
    keep_owner,
    try_lock,
    unlock_and_close,
    wait_for_lock,
)

if TYPE_CHECKING:
    from pathlib import Path


def _opened(tmp_path: Path) -> int:
    return os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)


def test_one_opening_has_the_lock_until_it_is_released(tmp_path: Path) -> None:
    first, second = _opened(tmp_path), _opened(tmp_path)
    assert try_lock(first)
    assert not try_lock(second)
    unlock_and_close(first)
    assert try_lock(second)
    unlock_and_close(second)


def test_a_forked_child_that_keeps_the_file_does_not_keep_a_released_lock(tmp_path: Path) -> None:
    held = _opened(tmp_path)
    assert try_lock(held)
    inherited = os.dup(held)  # a child has the same opening of the file
    unlock_and_close(held)
    other = _opened(tmp_path)
    assert try_lock(other)
    os.close(other)
    os.close(inherited)


def test_a_system_without_locks_grants_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certpin.support.files._fcntl", None)
    assert not has_locks()
    first, second = _opened(tmp_path), _opened(tmp_path)
    assert try_lock(first)
    assert try_lock(second)
    wait_for_lock(first)
    unlock_and_close(first)
    unlock_and_close(second)


@pytest.mark.parametrize(
    ("user", "group", "mode", "refused"),
    [
        (0, 0, 0o600, False),  # root reads every file
        (0, 0, 0o640, False),
        (7001, 0, 0o600, True),
        (0, 7002, 0o640, True),  # the group can't read it any more
        (0, 7002, 0o600, False),
        (7001, 7002, 0o644, False),
    ],
)
def test_a_file_that_its_readers_would_lose_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    user: int,
    group: int,
    mode: int,
    refused: bool,
) -> None:
    """``user`` and ``group`` of the replaced file; 0 for root, and for the group of the new one."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "new"
    path.touch()
    found = path.stat()
    new = os.stat_result((*found[:4], 7000, *found[5:]))
    monkeypatch.setattr(os, "fchown", refuse)
    with path.open("wb") as file:
        monkeypatch.setattr(os, "fstat", lambda _: new)
        kept = (stat.S_IFREG | mode, *found[1:4], user, group or found.st_gid, *found[6:])
        with pytest.raises(OwnerLostError) if refused else nullcontext():
            keep_owner(file.fileno(), os.stat_result(kept))

"""Locks on open file descriptors, on systems with and without ``fcntl``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from certpin.support.files import has_locks, try_lock, unlock_and_close, wait_for_lock

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


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

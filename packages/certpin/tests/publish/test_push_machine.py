"""Two clones, one storage, interrupted pushes and an attacker with write access, in any order."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from certpin import UpdateError
from certpin.publish.push import push
from certpin.publish.remote_state import follow, read_newest, read_roots, verify_newest
from certpin.updates import Limits
from tests import kit
from tests.updates._publisher import HOST, Repository, pin_file

LIMITS = Limits()
REFUSALS = {"ahead", "conflict", "foreign"}


class Shelf:
    """A storage in memory, which can fail after a number of files."""

    where = "the shelf"

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.room: int | None = None

    def read(self, path: str, max_bytes: int) -> bytes | None:
        data = self.files.get(path)
        return None if data is None else data[: max_bytes + 1]

    def write(self, path: str, data: bytes) -> None:
        if self.room is not None:
            if not self.room:
                raise UpdateError("no room", reason="storage", fix="make some")
            self.room -= 1
        self.files[path] = data

    def sweep(self) -> None:
        """Do nothing: no temporary files exist in memory."""

    def held(self) -> AbstractContextManager[None]:
        return nullcontext()


def fetched(shelf: Shelf) -> tuple[int, int, int, int]:
    """Return what a new client gets: the versions of root, timestamp, targets and pin set.

    Raises:
        UpdateError: the client refuses the files.
    """
    chain = follow(read_roots(shelf.read, LIMITS), "bank")
    shown = read_newest(shelf.read, LIMITS)
    assert shown is not None
    found = verify_newest(shelf.read, chain[-1:], shown, "bank", LIMITS)
    return chain[-1].version, shown.timestamp, shown.targets, found.pins.version


def pushed(bank: Repository, shelf: Shelf) -> UpdateError | None:
    """Push. Return the reason if it is refused."""
    try:
        push(bank.folder, shelf, now=bank.now)
    except UpdateError as exc:
        return exc
    return None


def text(version: int) -> str:
    return pin_file(version, {HOST: kit.NOBODY_ELSE})


class Pushing(RuleBasedStateMachine):
    """A state machine: two people sign and push from separate clones.

    No client may ever get a lower version than before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.here = Path(tempfile.mkdtemp())
        self.shelf = Shelf()
        self.seen = (0, 0, 0, 0)

    @initialize()
    def begin(self) -> None:
        self.bank = Repository(self.here / "ann")
        self.bank.publish(text(1))
        self.version = 1
        self.push()
        self.other = self.clone()

    def clone(self) -> tuple[Path, dict[str, int], dict[str, Any], int]:
        """Return the folder, the numbers, the keys, and the version of the pin set."""
        folder = Path(tempfile.mkdtemp(dir=self.here)) / "site"
        keys = {role: list(keys) for role, keys in self.bank.keys.items()}
        return self.bank.copy(folder), dict(self.bank.versions), keys, self.version

    @rule()
    def sign_a_new_set(self) -> None:
        self.version += 1
        self.bank.publish(text(self.version))

    @rule()
    def renew(self) -> None:
        self.bank.publish_timestamp()

    @rule()
    def renew_the_root(self) -> None:
        self.bank.rotate("root")
        self.bank.publish_online()

    @rule()
    def somebody_else_comes(self) -> None:
        """Switch to the other signer, with the same keys and that signer's clone."""
        mine = self.clone()
        folder, self.bank.versions, self.bank.keys, self.version = self.other
        self.bank.restore(folder)
        self.other = mine

    @rule()
    def git_pull(self) -> None:
        """Make both clones equal to this one."""
        self.other = self.clone()

    @rule(room=st.integers(0, 5))
    def push_and_be_cut_off(self, room: int) -> None:
        self.shelf.room = room
        try:
            self.push()
        finally:
            self.shelf.room = None

    @rule()
    def push(self) -> None:
        before = dict(self.shelf.files)
        refused = pushed(self.bank, self.shelf)
        if refused is None:
            timestamp = self.bank.path("timestamp").read_bytes()
            assert self.shelf.files["metadata/timestamp.json"] == timestamp
        elif self.shelf.room is None or refused.reason != "storage":
            assert refused.reason in REFUSALS
            assert self.shelf.files == before

    @precondition(lambda self: self.shelf.files)
    @invariant()
    def clients_follow_and_never_go_back(self) -> None:
        found = fetched(self.shelf)
        assert all(new >= old for new, old in zip(found, self.seen, strict=True))
        self.seen = found

    def teardown(self) -> None:
        shutil.rmtree(self.here)


@pytest.mark.slow
def test_clients_follow_and_never_go_back_whatever_the_signers_do() -> None:
    run_state_machine_as_test(
        Pushing,
        settings=settings(max_examples=25, stateful_step_count=20, deadline=None),
    )


HARM = st.sampled_from(["lost", "torn", "garbage", "other", "longer", "empty"])


def harmed(data: bytes, harm: str, other: bytes) -> bytes | None:
    kinds: dict[str, Any] = {
        "lost": None,
        "torn": data[: len(data) // 2],
        "garbage": b"\x00[[[[",
        "other": other,
        "longer": data + b" ",
        "empty": b"",
    }
    found: bytes | None = kinds[harm]
    return found


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(harms=st.lists(st.tuples(st.integers(0, 50), HARM, st.integers(0, 50)), max_size=4))
def test_for_any_stored_files_a_push_is_refused_or_clients_follow(
    pushed_once: tuple[Repository, dict[str, bytes]], harms: list[tuple[int, str, int]]
) -> None:
    bank, files = pushed_once
    shelf = Shelf()
    shelf.files = dict(files)
    paths = sorted(files)
    for at, harm, other in harms:
        path = paths[at % len(paths)]
        data = harmed(files[path], harm, files[paths[other % len(paths)]])
        shelf.files.pop(path, None)
        if data is not None:
            shelf.files[path] = data
    before = dict(shelf.files)
    refused = pushed(bank, shelf)
    if refused is None:
        assert fetched(shelf)[3] == 2
    else:
        assert (refused.reason in REFUSALS, bool(refused.fix)) == (True, True)
        assert shelf.files == before


@pytest.fixture(scope="module")
def pushed_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, dict[str, bytes]]:
    """A repository with a history, of which all but the last set is pushed."""
    bank = Repository(tmp_path_factory.mktemp("push") / "site")
    bank.publish(text(1))
    bank.rotate("root")
    bank.publish_online()
    shelf = Shelf()
    push(bank.folder, shelf, now=bank.now)
    bank.publish(text(2))
    return bank, shelf.files

"""Pushing to a folder: the files, their order, and refusals."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certpin import UpdateError
from certpin.publish.push import prepare, push, upload
from certpin.publish.remote_state import read_roots
from certpin.publish.storage import FolderStorage
from certpin.updates import Limits
from tests.publish._delivering import Delivered, Noted, delivering
from tests.updates._publisher import HOST, Repository, naming, pin_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from certpin.lab import Identity
    from certpin.publish.push import Pushed

pytestmark = pytest.mark.slow  # each signs a folder, and pushes it

TIMESTAMP = "metadata/timestamp.json"


@pytest.fixture
def world(trusted_root: Path, served: Identity, tmp_path: Path) -> Iterator[Delivered]:
    with delivering(tmp_path, served) as world:
        yield world


def refusal(world: Delivered, **fields: object) -> UpdateError:
    """Return the error of a refused push, which must not change the storage."""
    before = contents(world)
    with pytest.raises(UpdateError) as caught:
        world.push(**fields)
    assert contents(world) == before
    assert caught.value.fix
    return caught.value


def contents(world: Delivered) -> dict[str, bytes]:
    www = world.server.folder
    return {str(each.relative_to(www)): each.read_bytes() for each in www.rglob("*.*")}


def test_both_clients_follow_a_pushed_set(world: Delivered) -> None:
    pushed = world.push(name="bank")
    assert contents(world).keys() == set(pushed.uploads)
    assert world.both_follow() == 2
    world.publish(3)
    world.push()
    assert world.both_follow("later") == 3


def test_files_named_by_the_pin_file_are_pushed(world: Delivered, root: object) -> None:
    pem: bytes = root.pem  # type: ignore[attr-defined]
    text = world.text(3, api_bank_example='trust = "trust/bank ca.pem"')
    world.repository.publish(text, {"trust/bank ca.pem": pem})
    pushed = world.push()
    assert any(path.startswith("targets/trust/") for path in pushed.uploads)
    assert world.both_follow() == 3


def test_files_are_uploaded_before_the_files_that_name_them(world: Delivered) -> None:
    world.repository.rotate("root")
    world.repository.publish_online()
    noted = Noted(world.storage)
    uploads = push(world.site, noted, now=world.now).uploads
    assert tuple(noted.written) == uploads
    assert [path.rpartition(".pins")[2] for path in uploads] == [
        ".toml",
        "metadata/1.targets.json",
        "metadata/2.snapshot.json",
        "metadata/1.root.json",
        "metadata/2.root.json",
        TIMESTAMP,
    ]


def test_stored_files_are_not_uploaded_again(world: Delivered) -> None:
    world.push()
    assert world.push().uploads == ()
    world.repository.publish_timestamp()
    assert world.push().uploads == (TIMESTAMP,)
    world.publish(3)
    assert len(world.push().uploads) == 4


def test_nothing_is_deleted(world: Delivered) -> None:
    world.push()
    before = contents(world)
    world.publish(3)
    world.push()
    assert contents(world).keys() > before.keys()


def test_files_that_no_metadata_names_are_not_pushed(world: Delivered) -> None:
    (world.site / "root.key").write_bytes(b"a private key that somebody left there")
    (world.site / "metadata" / "9.targets.json").write_bytes(b"{}")
    world.push()
    assert not {"root.key", "metadata/9.targets.json"} & contents(world).keys()


def test_another_storage_gets_only_the_current_files(world: Delivered, tmp_path: Path) -> None:
    world.push()
    world.publish(3)
    moved = FolderStorage(tmp_path / "moved")
    assert "metadata/1.root.json" in push(world.site, moved, now=world.now).uploads


def test_planning_a_push_changes_nothing(world: Delivered) -> None:
    decided = prepare(world.site, world.storage, now=world.now)
    assert len(decided.uploads) == 5
    assert not world.server.folder.exists()


def test_an_expired_set_is_not_pushed(world: Delivered) -> None:
    found = refusal(world, now=world.now + timedelta(days=4))
    assert found.reason == "expired"
    assert "certpin publish sign" in found.fix


def test_a_set_that_differs_from_the_pin_file_is_not_pushed(world: Delivered) -> None:
    assert refusal(world, name="shop").reason == "refused"


def test_a_root_of_another_pin_set_is_not_pushed(world: Delivered) -> None:
    world.repository.publish_root(world.repository.keys["root"], change=naming("casino"))
    world.repository.publish_online()
    assert "2.root.json does not follow from those before" in refusal(world).problem


def test_a_push_without_a_signed_set_is_refused(world: Delivered) -> None:
    (world.site / TIMESTAMP).unlink()
    assert refusal(world).reason == "unsigned"
    shutil.rmtree(world.site)
    assert refusal(world).reason == "unsigned"


def unsigned(world: Delivered) -> None:
    world.repository.publish_timestamp(signer=world.repository.keys["targets"][0])


def altered(world: Delivered) -> None:
    (target,) = (world.site / "targets").iterdir()
    target.write_bytes(target.read_bytes() + b"#")


def shortened(world: Delivered) -> None:
    (target,) = (world.site / "targets").iterdir()
    target.write_bytes(target.read_bytes()[:-1])


def missing(world: Delivered) -> None:
    (target,) = (world.site / "targets").iterdir()
    target.unlink()


def without_snapshot(world: Delivered) -> None:
    world.repository.path("snapshot").unlink()


def mixed(world: Delivered) -> None:
    old = world.repository.path("snapshot").read_bytes()
    world.publish(3)
    world.repository.path("snapshot").write_bytes(old)


def no_json(world: Delivered) -> None:
    (world.site / TIMESTAMP).write_bytes(b"<<<<<<< ours")


def endless(world: Delivered) -> None:
    (world.site / TIMESTAMP).write_bytes(b" " * (1 << 20))


def of_another_kind(world: Delivered) -> None:
    shutil.copy(world.repository.path("snapshot"), world.site / TIMESTAMP)


def root_of_an_unknown_key(world: Delivered) -> None:
    world.repository.publish_root([world.repository.online])


def root_renamed(world: Delivered) -> None:
    world.repository.rotate("root")
    world.repository.publish_online()
    (world.site / "metadata/2.root.json").rename(world.site / "metadata/1.root.json")


def plain_names(world: Delivered) -> None:
    def change(root: object) -> None:
        root.consistent_snapshot = False  # type: ignore[attr-defined]

    world.repository.publish_root(world.repository.keys["root"], change=change)
    world.repository.publish_online()


def a_debug_section(world: Delivered) -> None:
    world.repository.publish(world.text(3) + "[debug]\nanchors = 'x.pem'\n")


@pytest.mark.parametrize(
    "damage",
    [
        unsigned, altered, shortened, missing, without_snapshot, mixed, no_json, endless,
        of_another_kind, root_of_an_unknown_key, root_renamed, plain_names, a_debug_section,
    ],
)  # fmt: skip
def test_a_set_that_clients_would_refuse_is_not_pushed(
    world: Delivered, damage: Callable[[Delivered], None]
) -> None:
    world.push()
    damage(world)
    found = refusal(world)
    assert found.problem.startswith("clients would refuse the signed set in ")
    assert found.reason not in {"unexpected", "storage"}


def test_an_unsigned_local_root_is_reported(world: Delivered) -> None:
    """The push is refused, although clients would ignore this root and use the previous one."""
    root_of_an_unknown_key(world)
    found = refusal(world)
    assert (found.reason, "2.root.json does not follow" in found.problem) == ("refused", True)


def test_more_roots_than_a_client_follows_are_reported() -> None:
    with pytest.raises(UpdateError) as caught:
        read_roots(lambda path, max_bytes: path.encode(), Limits(rotations=3))
    assert caught.value.problem == "there are more than 3 roots"


def test_a_name_outside_the_folder_is_never_read(world: Delivered) -> None:
    files = {"pins.toml": world.text(3).encode(), "../../secret": b"x"}
    world.repository.publish_targets(files, {"pin-set": "bank", "version": 3})
    world.repository.publish_online()
    assert refusal(world).reason == "refused"


def test_a_newer_stored_timestamp_is_another_push(world: Delivered, tmp_path: Path) -> None:
    before = world.repository.copy(tmp_path / "other-clone")
    world.publish(3)
    world.push()
    world.repository.restore(before)
    found = refusal(world)
    assert found.reason == "ahead"
    assert "git pull" in found.fix


def test_a_renewal_pushed_by_another_person_is_not_undone(world: Delivered, tmp_path: Path) -> None:
    before = world.repository.copy(tmp_path / "other-clone")
    world.repository.publish_timestamp()
    world.push()
    world.repository.restore(before)
    found = refusal(world)
    assert (found.reason, "timestamp 2 is there" in found.problem) == ("ahead", True)


def test_a_newer_stored_root_is_another_push(world: Delivered, tmp_path: Path) -> None:
    before = world.repository.copy(tmp_path / "other-clone")
    world.repository.rotate("root")
    world.repository.publish_online()
    world.push()
    world.repository.restore(before)
    found = refusal(world)
    assert (found.reason, "root 2" in found.problem) == ("ahead", True)


def fork(world: Delivered, tmp_path: Path, theirs: Callable[[], None]) -> None:
    """Push a set from another clone, then reset this clone to its state before.

    So this clone will use version numbers that the pushed set has used.

    Args:
        world: the signer and the storage.
        tmp_path: a folder for the other clone.
        theirs: signs the set in the other clone.
    """
    repository = world.repository
    versions, before = dict(repository.versions), repository.copy(tmp_path / "other-clone")
    theirs()
    world.push()
    repository.restore(before)
    repository.versions = versions


def test_two_signers_of_the_same_timestamp_conflict(world: Delivered, tmp_path: Path) -> None:
    world.push()
    fork(world, tmp_path, world.repository.publish_timestamp)
    world.repository.publish_timestamp()
    assert refusal(world).reason == "conflict"


def planned_before(
    world: Delivered,
    tmp_path: Path,
    theirs: Callable[[], None],
    mine: Callable[[], None] = lambda: None,
    *,
    only: str = "",
) -> Pushed:
    """Return a push of ``mine`` that is planned before another clone pushes ``theirs``.

    ``only`` is the end of the paths that the other clone has uploaded.
    """
    old = contents(world)
    fork(world, tmp_path, theirs)
    new = contents(world)
    for path in new:
        (world.server.folder / path).unlink()
    for path, data in old.items():
        world.storage.write(path, data)
    mine()
    planned = prepare(world.site, world.storage, now=world.now)
    for path, data in new.items():
        if path.endswith(only):
            world.storage.write(path, data)
    return planned


def overtaken(world: Delivered, planned: Pushed) -> UpdateError:
    """Return the error of a push: another push changed the storage after this push was planned."""
    with pytest.raises(UpdateError) as caught:
        upload(planned, world.storage)
    assert "another push has changed" in caught.value.problem
    return caught.value


def test_a_push_that_another_one_overtakes_does_not_undo_it(
    world: Delivered, tmp_path: Path
) -> None:
    """Both have timestamp 2: one is of a new version, and the other was only renewed."""
    world.push()
    world.repository.publish_timestamp()

    def theirs() -> None:
        world.publish(3)

    planned = planned_before(world, tmp_path, theirs)
    before = contents(world)
    assert overtaken(world, planned).reason == "ahead"
    assert contents(world) == before
    assert world.both_follow() == 3


def test_a_push_ends_before_a_root_that_came_meanwhile(world: Delivered, tmp_path: Path) -> None:
    world.push()
    world.repository.publish_timestamp()

    def theirs() -> None:
        world.repository.rotate("online")
        world.repository.resign()

    planned = planned_before(world, tmp_path, theirs, only="2.root.json")
    before = contents(world)
    assert overtaken(world, planned).reason == "ahead"
    assert contents(world) == before


def test_a_push_stores_no_root_if_the_timestamp_changed_meanwhile(
    world: Delivered, tmp_path: Path
) -> None:
    """With the new root, clients would refuse that timestamp, and the push could not replace it."""
    world.push()

    def mine() -> None:
        world.repository.rotate("online")
        world.repository.resign()

    planned = planned_before(world, tmp_path, world.repository.publish_timestamp, mine)
    assert overtaken(world, planned).reason == "ahead"
    assert not {path for path in contents(world) if path.endswith("2.root.json")}
    assert world.both_follow() == 2


def test_a_folder_takes_one_push_at_a_time(world: Delivered) -> None:
    world.push()
    with world.storage.held(), pytest.raises(UpdateError) as caught, world.storage.held():
        pass
    assert caught.value.reason == "busy"
    with world.storage.held():
        pass


@pytest.mark.parametrize("later", [0, 1])
def test_two_signers_of_different_sets_conflict_under_one_number(
    world: Delivered, tmp_path: Path, later: int
) -> None:
    """The second clone's push is refused, also if it has signed once more, with a higher number."""
    world.push()
    fork(world, tmp_path, lambda: world.publish(3))
    world.publish(3, name="bank", localhost='report_to = ["https://x.example/"]')
    for _ in range(later):
        world.repository.publish_online()
    assert refusal(world).reason == "conflict"


def test_two_signers_of_different_sets_conflict_without_a_shared_number(
    world: Delivered, tmp_path: Path
) -> None:
    """One clone lost its signed files; clients would refuse the set as changed."""
    world.push()
    fork(world, tmp_path, lambda: world.publish(3))
    world.publish(3, localhost='report_to = ["https://x.example/"]')
    world.publish(3, localhost='report_to = ["https://x.example/"]')
    for lost in ("2.targets", "2.snapshot", "3.snapshot"):
        (world.site / f"metadata/{lost}.json").unlink(missing_ok=True)
    world.repository.publish_online()
    found = refusal(world)
    assert (found.reason, "no client could follow" in found.problem) == ("ahead", True)


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_numbers_never_fall(world: Delivered, role: str) -> None:
    world.repository.versions |= {"snapshot": 6, "targets": 6}
    world.publish(3)
    world.push()
    world.repository.versions[role] = 3
    if role == "snapshot":
        world.repository.publish_online()
    else:
        world.publish(4)
    found = refusal(world)
    assert (found.reason, role in found.problem) == ("ahead", True)


def test_another_repository_is_not_overwritten(world: Delivered, tmp_path: Path) -> None:
    other = Repository(tmp_path / "other")
    other.publish(pin_file(9, {HOST: world.identity.pin}, name="shop"))
    shutil.copytree(other.folder, world.server.folder)
    assert refusal(world).reason == "foreign"
    (world.server.folder / "metadata/1.root.json").unlink()
    assert refusal(world).reason == "foreign"


def test_another_pin_set_of_the_same_keys_is_not_overwritten(world: Delivered) -> None:
    world.push()
    world.repository.publish(pin_file(9, {HOST: world.identity.pin}, name="shop"))
    found = refusal(world)
    assert (found.reason, "'bank'" in found.problem) == ("foreign", True)


def garbage(www: Path) -> None:
    (www / TIMESTAMP).write_bytes(b'{"signed": {"version": 9999}}')


def a_timestamp_of_an_unknown_key(www: Path) -> None:
    text = (www / TIMESTAMP).read_text()
    (www / TIMESTAMP).write_text(text.replace('"version":1}', '"version":999999}'))


def an_endless_name(www: Path) -> None:
    """Give the stored timestamp a snapshot version of 999 digits.

    No storage has a file with such a long name, and some fail when they look for it.
    """
    text = (www / TIMESTAMP).read_text()
    named = text.partition('"version":1}')
    (www / TIMESTAMP).write_text(f'{named[0]}"version":{"9" * 999}}}{named[2]}')


def too_long(www: Path) -> None:
    (www / TIMESTAMP).write_bytes(b"x" * (1 << 20))


def torn(www: Path) -> None:
    for path in www.rglob("*.*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def an_altered_target(www: Path) -> None:
    (target,) = (www / "targets").iterdir()
    target.write_bytes(b"somebody else's")


def without_targets(www: Path) -> None:
    shutil.rmtree(www / "targets")


@pytest.mark.parametrize(
    "damage",
    [
        garbage, a_timestamp_of_an_unknown_key, an_endless_name, too_long, torn, an_altered_target,
        without_targets,
    ],
)  # fmt: skip
def test_stored_files_that_clients_refuse_are_replaced(
    world: Delivered, damage: Callable[[Path], None]
) -> None:
    world.push()
    damage(world.server.folder)
    assert world.push().damage
    assert world.both_follow() == 2


def test_a_changed_numbered_file_is_reported(world: Delivered) -> None:
    world.push()
    path = world.server.folder / "metadata/1.targets.json"
    path.write_bytes(path.read_bytes().replace(b'"targets"', b'"t"', 1))
    found = refusal(world)
    assert (found.reason, "find out who" in found.fix) == ("conflict", True)


def test_a_longer_stored_file_differs(world: Delivered) -> None:
    world.push()
    with (world.server.folder / "metadata/1.snapshot.json").open("ab") as file:
        file.write(b" ")
    assert refusal(world).reason == "conflict"


def test_unknown_files_in_the_storage_are_kept(world: Delivered) -> None:
    www = world.server.folder
    www.mkdir()
    (www / "index.html").write_text("hello")
    world.push()
    assert (www / "index.html").read_text() == "hello"


def test_uploaded_files_are_read_back(world: Delivered) -> None:
    """If another push overwrites a file at the same time, the push fails as ``unconfirmed``."""
    other = Noted(world.storage)

    def also(path: str) -> None:
        if path == TIMESTAMP:
            FolderStorage(world.server.folder).write("metadata/1.snapshot.json", b"{}")

    other.before_write = also
    with pytest.raises(UpdateError) as caught:
        push(world.site, other, now=world.now)
    assert caught.value.reason == "unconfirmed"

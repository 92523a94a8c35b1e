"""Pushes to a storage of fsspec that are killed at each moment, and the order of writes."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import fsspec  # type: ignore[import-untyped]  # it ships no types
import pytest
from fsspec.spec import AbstractFileSystem  # type: ignore[import-untyped]  # it ships no types

from certpin import UpdateError
from certpin.publish.push import prepare, push
from certpin.publish.storage import open_storage
from tests.publish._delivering import Delivered, delivering
from tests.publish.test_storage import shown_by
from tests.updates.test_crashes import in_a_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.lab import Identity
    from certpin.publish.storage import Storage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
TIMESTAMP = "metadata/timestamp.json"
PAGE = Path(__file__).parents[4] / "docs/guides/delivery.md"


class Buckets(AbstractFileSystem):  # type: ignore[misc]  # fsspec ships no types
    """Object storage in a folder, as another package could register it with fsspec.

    ``happened`` is called before, during and after each upload, with the path. During an upload, an
    object store shows the previous file. With ``in_place`` the storage has no atomic writes, as
    SFTP has none: a reader then sees the first half.
    """

    protocol = "buckets"
    happened: ClassVar[Callable[[str, str], None]]
    done: ClassVar[list[tuple[str, str]]]

    def __init__(self, folder: str = "", in_place: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._folder = Path(folder)
        self._in_place = in_place

    def pipe_file(self, path: str, value: bytes, **_: Any) -> None:
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        type(self).happened("before", path)
        if self._in_place:
            file.write_bytes(value[: len(value) // 2])
        type(self).happened("during", path)
        whole = self._folder.with_name("whole")  # outside of what readers see
        whole.write_bytes(value)
        whole.replace(file)
        type(self).happened("after", path)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        type(self).done.append(("read", path))
        return (self._folder / path).open(mode)

    def rm_file(self, path: str) -> None:
        raise AssertionError(f"{path} would have been deleted")


@pytest.fixture
def world(
    trusted_root: Path, served: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Delivered]:
    fsspec.register_implementation("buckets", Buckets, clobber=True)
    monkeypatch.setattr(Buckets, "done", [], raising=False)
    monkeypatch.setattr(
        Buckets, "happened", lambda when, path: Buckets.done.append((when, path)), raising=False
    )
    with delivering(tmp_path, served) as world:
        yield world


def opened(world: Delivered, *, in_place: bool = False) -> Storage:
    """Open the storage for ``Buckets``, serve its files to clients, and return it.

    With ``in_place``, the storage has no atomic writes.
    """
    options = {"folder": str(world.site.parent / "store"), "in_place": in_place}
    storage = open_storage("buckets://pins/app", Path(), options)
    shown_by(world, storage)
    return storage


def stored(world: Delivered) -> set[str]:
    """Return the paths of all files in the storage."""
    folder = world.site.parent / "store"
    return {
        path.relative_to(folder / "pins/app").as_posix()
        for path in folder.rglob("*")
        if path.is_file()
    }


def signed(world: Delivered) -> set[str]:
    """Return the paths of all files that were signed so far."""
    found = (path for path in world.site.rglob("*") if path.is_file())
    return {path.relative_to(world.site).as_posix() for path in found}


def a_new_root_and_set(world: Delivered) -> tuple[str, ...]:
    """Sign both, and return the files that the next push uploads."""
    world.repository.rotate("root")
    world.publish(3)
    return prepare(world.site, world.storage, now=world.now).uploads


def killed(world: Delivered, moment: str, upload: str) -> None:
    """Push in another process, which is killed at a moment of an upload."""

    def happened(when: str, path: str) -> None:
        if (when, path) == (moment, f"pins/app/{upload}"):
            os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        Buckets.happened = happened  # in the child only
        push(world.site, world.storage, now=world.now)

    assert os.WTERMSIG(in_a_child(work)) == signal.SIGKILL


def test_a_push_that_is_killed_at_any_moment_leaves_the_old_or_the_new_set(
    world: Delivered,
) -> None:
    opened(world)
    world.push()
    uploads = a_new_root_and_set(world)
    assert len(uploads) == 5
    for number, path in enumerate(uploads):
        for moment in ("before", "during", "after"):
            assert path in prepare(world.site, world.storage, now=world.now).uploads
            killed(world, moment, path)
            whole = (moment, path) == ("after", TIMESTAMP)
            assert world.both_follow(f"{number}-{moment}") == (3 if whole else 2)
    assert world.push().uploads == ()
    assert stored(world) == signed(world)


def test_a_partial_file_is_completed_by_the_next_push(world: Delivered) -> None:
    """On a storage without atomic writes, clients refuse half a file, and keep their set."""
    opened(world, in_place=True)
    world.push()
    held = world.updater()
    assert held.refresh().version == 2
    uploads = a_new_root_and_set(world)
    for number, path in enumerate(uploads):
        killed(world, "during", path)
        if path == TIMESTAMP or path.endswith(".root.json"):
            with pytest.raises(UpdateError) as caught:
                world.updater(cache=world.cache / f"{number}").refresh()
            assert caught.value.reason == "unreadable"
        else:
            assert world.both_follow(f"{number}") == 2
        with suppress(UpdateError):
            held.refresh()
        assert held.status.version == 2
        assert prepare(world.site, world.storage, now=world.now).uploads[0] == path
    assert world.push().uploads == (TIMESTAMP,)
    assert held.refresh().version == world.both_follow("last") == 3
    assert stored(world) == signed(world)


def test_files_are_written_in_the_documented_order_and_read_back(world: Delivered) -> None:
    opened(world)
    world.push()
    uploads = a_new_root_and_set(world)
    Buckets.done.clear()
    world.push()
    paths = [f"pins/app/{path}" for path in uploads]
    writes = [step for step in Buckets.done if step[0] != "read"]
    assert writes == [(when, path) for path in paths for when in ("before", "during", "after")]
    last = Buckets.done.index(("after", paths[-1]))
    assert Buckets.done[last + 1 :] == [("read", path) for path in paths]
    assert len(documented()) == 5
    for pattern, path in zip(documented(), uploads, strict=True):
        assert re.fullmatch(pattern, path), (pattern, path)


def documented() -> list[str]:
    """Return the files of the page's table, in its order, as patterns."""
    section = PAGE.read_text(encoding="utf-8").partition("### The order of writes")[2]
    names = re.findall(r"^\| \d \| `([^`]+)`", section.partition("\n## ")[0], re.MULTILINE)
    patterns = {"N": r"\d+", "DIGEST": "[0-9a-f]{64}", "NAME": r"[\w.]+"}
    return [
        re.sub(r"\b(N|DIGEST|NAME)\b", lambda word: patterns[word[1]], re.escape(name))
        for name in names
    ]

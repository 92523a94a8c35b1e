"""Interrupted pushes: clients get the old set or the new one, and another push completes it.

There is one exception, as short as possible: if a root has other keys for targets, snapshot or
timestamp, no client accepts the files between that root and the timestamp. Clients that check
then keep their set.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin import UpdateError
from certpin.publish.push import push
from certpin.publish.storage import open_storage
from scripts.record import FORBIDDEN
from tests.publish._delivering import Delivered, Noted, delivering
from tests.publish.test_storage import shown_by
from tests.servers.s3 import BUCKET, s3
from tests.updates.test_crashes import die_at, in_a_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.lab import Identity

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
TIMESTAMP = "metadata/timestamp.json"


@pytest.fixture
def world(trusted_root: Path, served: Identity, tmp_path: Path) -> Iterator[Delivered]:
    with delivering(tmp_path, served) as world:
        yield world


def renew(world: Delivered) -> None:
    world.repository.publish_online()


def a_new_root_and_set(world: Delivered) -> None:
    world.repository.rotate("root")
    world.publish(3)


def copied(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def left_behind(www: Path) -> list[str]:
    return [path.name for path in www.rglob(".*")]


@pytest.mark.parametrize("change", [renew, a_new_root_and_set])
def test_a_killed_push_leaves_the_old_or_the_new_set(
    world: Delivered, change: Callable[[Delivered], None], tmp_path: Path
) -> None:
    www, before = world.server.folder, tmp_path / "before"
    world.push()
    copied(www, before)
    change(world)
    newest = 2 if change is renew else 3

    def work(moment: int) -> None:
        die_at(moment, www)
        world.push()

    moment, found = 0, set()
    while True:
        copied(before, www)
        moment += 1
        died = in_a_child(partial(work, moment))
        found.add(world.both_follow(f"{moment}"))
        if not died:
            break
        assert os.WTERMSIG(died) == signal.SIGKILL
        world.push()
        assert left_behind(www) == []
        assert (www / TIMESTAMP).read_bytes() == (world.site / TIMESTAMP).read_bytes()
    assert world.both_follow("last") == newest
    assert moment > 8
    assert found == {2, newest}


def test_temporary_files_of_an_earlier_killed_push_are_deleted_whatever_their_names(
    world: Delivered,
) -> None:
    www = world.server.folder
    world.push()
    hour_old = time.time() - 3600
    names = (
        *("metadata/.7.targets.json.abcd_123", "metadata/.9.root.json.abcdefgh"),
        *(f"targets/.{'0' * 64}.pins.toml.abcdefgh", f"targets/ca/.{'0' * 64}.root.pem.abcdefgh"),
    )
    others = (".htaccess", "metadata/.not-ours.json.abcdefgh", "metadata/.8.root.json.abcdefgh")
    for name in (*names, *others):
        (www / name).parent.mkdir(exist_ok=True)
        (www / name).write_bytes(b"partial")
        os.utime(www / name, (hour_old, hour_old))
    (www / "metadata/.8.root.json.abcdefgh").touch()  # of a push that is still running
    world.push()
    assert sorted(left_behind(www)) == sorted(name.rpartition("/")[2] for name in others)


def test_a_killed_first_push_leaves_nothing_or_everything(world: Delivered) -> None:
    www = world.server.folder

    def work(moment: int) -> None:
        die_at(moment, www)
        world.push()

    moment, died = 0, 1
    while died:
        shutil.rmtree(www, ignore_errors=True)
        moment += 1
        died = in_a_child(partial(work, moment))
        if (www / TIMESTAMP).exists():
            assert world.both_follow(f"{moment}") == 2
        world.push()
    assert world.both_follow("last") == 2
    assert moment > 20


def test_with_new_keys_clients_keep_their_set_for_one_moment(
    world: Delivered, tmp_path: Path
) -> None:
    www, before = world.server.folder, tmp_path / "before"
    world.push()
    held = world.updater()
    held.refresh()
    copied(www, before)
    world.repository.rotate("root", "targets", "online")
    world.publish(3)
    uploads = len(prepared(world))
    seen = []
    for granted in range(uploads + 1):
        copied(before, www)
        stopped_after(world, granted)
        try:
            seen.append(str(world.both_follow(f"{granted}")))
        except UpdateError as exc:
            seen.append(exc.reason)
        except Exception as exc:  # noqa: BLE001  # of tuf's own client
            seen.append(type(exc).__name__)
        assert held.status.version == 2
        world.push()
        assert world.both_follow(f"{granted} again") == 3
    assert seen == ["2"] * (uploads - 1) + ["UnsignedMetadataError", "3"]
    assert held.refresh().version == 3


def test_clients_follow_at_every_moment_if_the_previous_keys_signed_too(
    world: Delivered, tmp_path: Path
) -> None:
    """If the old and the new targets keys both sign, clients can update during the whole push.

    The root with the new keys is then uploaded last.
    """
    www, before = world.server.folder, tmp_path / "before"
    world.push()
    copied(www, before)
    old = world.repository.keys["targets"]
    world.repository.rotate("root", "targets")
    world.repository.keys["targets"] += old
    world.publish(3)
    uploads = prepared(world)
    assert uploads[-2:] == (TIMESTAMP, "metadata/2.root.json")
    for granted in range(len(uploads) + 1):
        copied(before, www)
        stopped_after(world, granted)
        assert world.both_follow(f"{granted}") == (2 if granted < len(uploads) - 1 else 3)
    copied(before, www)
    stopped_after(world, len(uploads) - 1)
    assert world.push().uploads == ("metadata/2.root.json",)


def prepared(world: Delivered) -> tuple[str, ...]:
    from certpin.publish.push import prepare

    return prepare(world.site, world.storage, now=world.now).uploads


class Stopped(BaseException):
    """The user presses Ctrl-C."""


def stopped_after(world: Delivered, granted: int) -> None:
    """Push, and stop after this number of files."""
    noted = Noted(world.storage)

    def stop(_: str) -> None:
        if len(noted.written) == granted:
            raise Stopped

    noted.before_write = stop
    try:
        push(world.site, noted, now=world.now)
    except Stopped:
        return
    assert len(noted.written) <= granted


def test_a_killed_push_to_s3_leaves_the_old_or_the_new_set(
    world: Delivered, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3(monkeypatch) as server:
        where = f"s3://{BUCKET}/app"
        options = {"endpoint_url": server.url}
        shown_by(world, open_storage(where, Path(), options))
        world.push()
        a_new_root_and_set(world)
        uploads = prepared(world)

        def work(path: str) -> None:
            noted = Noted(open_storage(where, Path(), options))

            def kill(each: str) -> None:
                if each == path:
                    os.kill(os.getpid(), signal.SIGKILL)

            noted.before_write = kill
            push(world.site, noted, now=world.now)

        for path in uploads[::2]:  # test_storage.py tests failing uploads of every file
            died = in_a_child(partial(work, path))
            assert os.WTERMSIG(died) == signal.SIGKILL
            assert world.both_follow(path.replace("/", "-")) == 2
        assert world.push().uploads == (TIMESTAMP,)
        assert world.both_follow("last") == 3


_ON_A_SMALL_DISK = """
import json, pathlib, subprocess, sys
from certpin import UpdateError
from certpin.publish.push import push
from certpin.publish.storage import FolderStorage

site, www = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "small", www], check=True)

def fill(pages):
    with open(www / "ballast", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)): pass
        except OSError: pass
        file.truncate(file.seek(0, 1) - 4096 * pages)

for line in sys.stdin:
    word, _, number = line.strip().partition(" ")
    said = None
    if word == "fill":
        fill(int(number))
    elif word == "free":
        (www / "ballast").unlink()
    elif word == "look":
        said = push(www, FolderStorage(pathlib.Path(sys.argv[3]))).local.signed.pins.version
    else:
        try:
            said = list(push(site, FolderStorage(www)).uploads)
        except UpdateError as exc:
            said = exc.reason
    print(json.dumps(said), flush=True)
"""


@pytest.mark.peer("unshare")
def test_a_full_disk_leaves_the_old_or_the_new_set(world: Delivered, tmp_path: Path) -> None:
    www, elsewhere = world.server.folder, tmp_path / "elsewhere"
    www.mkdir()
    allowed = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "x", str(www)],
        capture_output=True, check=False,
    )  # fmt: skip
    if allowed.returncode:
        pytest.skip(f"left out: {FORBIDDEN}to mount file systems")
    argv = ["unshare", "--mount", sys.executable, "-c", _ON_A_SMALL_DISK]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*argv, world.site, www, elsewhere], **pipes) as process:

        def tell(word: str) -> Any:
            process.stdin.write(word + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return json.loads(process.stdout.readline())  # type: ignore[union-attr]

        assert len(tell("push")) == 5
        a_new_root_and_set(world)
        said: Any = "storage"
        pages = 0
        while said == "storage":
            tell(f"fill {pages}")
            said = tell("push")
            assert tell("look") == (2 if said == "storage" else 3)
            tell("free")
            pages += 1
        assert said[-1] == TIMESTAMP
        assert len(said) < 5  # earlier pushes have left as many files as fit
        assert pages > 3
        process.stdin.close()  # type: ignore[union-attr]
        assert process.wait(60) == 0

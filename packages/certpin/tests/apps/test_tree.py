"""Which files of an app are listed and read: links, special files, limits, and changing files."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin.apps import project, tree
from certpin.apps.model import FileFindings
from certpin.apps.tree import list_files
from certpin.errors import FormatError
from tests.apps._project import names, read, write

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.apps.model import SourceFile


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an app's folder the working folder, and return it; a secret file is outside of it."""
    write(tmp_path, {"secret.dart": "secret", "secrets/key.dart": "secret"})
    folder = write(tmp_path / "app", {"lib/a.dart": "", "lib/src/b.dart": "", "README.md": ""})
    monkeypatch.chdir(folder)
    return folder


def test_the_files_of_folders_are_read_in_order(app: Path) -> None:
    write(app, {"lib/Z.DART": "", "lib/0.dart": "", "lib/c.txt": ""})
    assert names(".") == ["lib/0.dart", "lib/Z.DART", "lib/a.dart", "lib/src/b.dart"]
    assert names("lib/src", "lib/a.dart") == ["lib/src/b.dart", "lib/a.dart"]
    assert names(app / "lib/src") == ["lib/src/b.dart"]


def test_a_file_is_read_once_if_the_paths_overlap(app: Path) -> None:
    assert names("lib/a.dart", ".", "lib", app) == ["lib/a.dart", "lib/src/b.dart"]


@pytest.mark.parametrize("target", ["../secret.dart", "../secrets", "a.dart", "/etc/hostname"])
def test_a_link_below_a_path_is_not_followed(app: Path, target: str) -> None:
    (app / "lib/link.dart").symlink_to(target)
    found = read(".")
    assert names(".") == ["lib/a.dart", "lib/src/b.dart"]
    assert found.skipped == [("lib/link.dart", "a symbolic link, which is not followed")]


def test_a_link_to_a_folder_above_does_not_end_in_a_loop(app: Path) -> None:
    (app / "lib/loop").symlink_to("..")
    (app / "lib/self").symlink_to("self")
    assert names(".") == ["lib/a.dart", "lib/src/b.dart"]


@pytest.mark.parametrize("path", ["link", "link/b.dart", "file.dart", "lib/../link", "deep/link/x"])
def test_a_named_path_with_a_link_is_refused(app: Path, path: str) -> None:
    (app / "link").symlink_to("lib/src")
    (app / "file.dart").symlink_to("../secret.dart")
    (app / "deep").mkdir()
    (app / "deep/link").symlink_to("../../secrets")
    with pytest.raises(FormatError, match="is a symbolic link, which is not followed"):
        names(path)


def test_an_absolute_path_may_have_links_above_the_working_folder_only(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    above = app.parent / "alias"
    above.symlink_to("app")
    monkeypatch.chdir(app.parent / "secrets")
    assert names(above / "lib") == [str(above / "lib/a.dart"), str(above / "lib/src/b.dart")]
    with pytest.raises(FormatError, match="is a symbolic link"):
        names(above)


def test_an_absolute_path_into_the_working_folder_has_no_links(app: Path) -> None:
    (app / "link").symlink_to("lib/src")
    with pytest.raises(FormatError, match="is a symbolic link, which is not followed"):
        names(app / "link/b.dart")


def test_a_folder_that_becomes_a_link_is_not_followed(app: Path) -> None:
    """The folder is replaced between the listing and the reading."""

    def swap(file: SourceFile, _now: datetime) -> FileFindings:
        assert "secret" not in file.text
        if file.path == "lib/a.dart":
            (app / "lib/src/b.dart").unlink()
            (app / "lib/src").rmdir()
            (app / "lib/src").symlink_to("../../secrets")
            write(app.parent, {"secrets/b.dart": "secret"})
        return FileFindings()

    [unread] = read(".", reader=swap).findings.unread
    assert str(unread.place) == "lib/src/b.dart:1"


def test_a_file_that_becomes_a_link_is_not_followed(app: Path) -> None:
    """The target has as many bytes as the link, so only the call that opens it can notice."""
    target = "../../../secret.dart"
    (app.parent / "secret.dart").write_text("secret".ljust(len(target)))

    def swap(file: SourceFile, _now: datetime) -> FileFindings:
        assert "secret" not in file.text
        (app / "lib/src/b.dart").unlink(missing_ok=True)
        (app / "lib/src/b.dart").symlink_to(target)
        return FileFindings()

    [unread] = read(".", reader=swap).findings.unread
    assert str(unread.place) == "lib/src/b.dart:1"


def test_special_files_are_not_opened(app: Path) -> None:
    os.mkfifo(app / "lib/fifo.dart")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(app / "lib/socket.dart"))
        found = read(".")
        assert names(".") == ["lib/a.dart", "lib/src/b.dart"]
    assert [path for path, _ in found.skipped] == ["lib/fifo.dart", "lib/socket.dart"]
    for path in ("lib/fifo.dart", "/dev/null", "/dev/zero"):
        with pytest.raises(FormatError, match="is no regular file"):
            names(path)


@pytest.mark.parametrize("path", ["missing", "lib/a.dart/x", "", "a\0b", "x" * 5000])
def test_a_path_that_does_not_exist_is_refused(app: Path, path: str) -> None:
    with pytest.raises(FormatError, match=r"cannot be read|not a folder"):
        names(path)
    assert str(app)


def test_build_outputs_and_hidden_folders_are_left_out(app: Path) -> None:
    outputs = ("build", ".dart_tool", ".git", "ios/Pods", "node_modules/x", "android/app/build")
    write(app, {f"{folder}/x.dart": "" for folder in (*outputs, "ios/.symlinks/plugins")})
    write(app, {"lib/build/c.dart": ""})  # code of the app
    assert names(".") == ["lib/a.dart", "lib/build/c.dart", "lib/src/b.dart"]
    assert names("lib") == ["lib/a.dart", "lib/build/c.dart", "lib/src/b.dart"]
    assert names("build") == ["build/x.dart"]  # named by the user


def test_tests_beside_a_pubspec_are_left_out_and_listed(app: Path) -> None:
    write(app, {"pubspec.yaml": "name: a", "test/t.dart": "", "lib/test/u.dart": ""})
    assert names(".") == ["lib/a.dart", "lib/src/b.dart", "lib/test/u.dart"]
    assert read(".").left_out == ["test"]
    assert names("test") == ["test/t.dart"]


def test_hostile_file_names_are_read(app: Path) -> None:
    strange = ["\n::error::x.dart", "\x1b[2J.dart", "-rf.dart", "a b.dart", "\u202egnp.dart"]
    raw = os.fsdecode(b"lib/\xff.dart")
    write(app, {f"lib/{name}": "" for name in strange} | {raw: ""})
    assert set(names(".")) >= {f"lib/{name}" for name in strange} | {raw}


def test_the_depth_is_limited(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "MAX_DEPTH", 3)
    write(app, {"lib/1/2/c.dart": "", "lib/1/2/3/d.dart": ""})
    [unread] = read(".").findings.unread
    assert (str(unread.place), unread.problem) == (
        *("lib/1/2/3:1", "it is more than 3 folders below the path that you named"),
    )
    assert unread.fix == "name this folder, too, beside the others"
    assert "lib/1/2/3/d.dart" in names(".", "lib/1/2/3")
    assert "lib/1/2/c.dart" in names(".")


@pytest.mark.parametrize("limit", ["MAX_FILES", "MAX_NAMES"])
def test_the_number_of_files_is_limited(
    app: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(tree, limit, 2)
    with pytest.raises(FormatError, match="there are more than 2 "):
        read(".")
    assert str(app)


def test_a_file_that_is_too_large_is_reported(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, "MAX_FILE_BYTES", 100)
    write(app, {"lib/large.dart": b"x" * 101, "lib/fits.dart": b"x" * 100})
    [unread] = read(".").findings.unread
    assert (str(unread.place), unread.problem) == (
        *("lib/large.dart:1", "it has more than 100 bytes"),
    )
    assert unread.fix == "split the file, or name only the other files and folders of the app"


def test_a_file_that_vanishes_is_reported(app: Path) -> None:
    def vanish(_file: SourceFile, _now: datetime) -> FileFindings:
        (app / "lib/src/b.dart").unlink(missing_ok=True)
        return FileFindings()

    found = read(".", reader=vanish)
    [unread] = found.findings.unread
    assert (str(unread.place), unread.problem) == (
        *("lib/src/b.dart:1", "No such file or directory"),
    )
    assert found.files == 1


@pytest.mark.parametrize("change", ["append", "replace", "touch"])
def test_a_file_that_changes_while_it_is_read_is_reported(
    app: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    target = app / "lib/a.dart"
    target.write_text("x" * 1000)
    real = os.read

    def read_and_change(descriptor: int, size: int) -> bytes:
        data = real(descriptor, size)
        if data.startswith(b"xxx"):
            if change == "append":
                target.write_text("x" * 2000)
            elif change == "replace":
                target.rename(target.with_suffix(".old"))
                target.write_text("x" * 1000)
            else:
                os.utime(target)
        return data

    monkeypatch.setattr(os, "read", read_and_change)
    [unread] = read(".").findings.unread
    assert (str(unread.place), unread.problem) == (
        *("lib/a.dart:1", "it changed while it was read"),
    )


def test_a_folder_that_cannot_be_listed_is_reported(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``os.scandir`` is replaced and fails: tests may run as root, who can list every folder."""
    number = (app / "lib/src").stat().st_ino
    real = os.scandir

    def scandir(descriptor: Any) -> Any:
        if os.fstat(descriptor).st_ino == number:
            raise PermissionError(13, "Permission denied")
        return real(descriptor)

    monkeypatch.setattr(os, "scandir", scandir)
    found = read(".")
    [unread] = found.findings.unread
    assert (str(unread.place), unread.problem) == (*("lib/src:1", "Permission denied"),)
    assert found.files == 1


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_stays_open(app: Path) -> None:
    before = _open_files()
    read(".", "lib")
    for path in ("missing", "lib/missing"):
        with pytest.raises(FormatError):
            read("lib", path)
    with list_files(["lib/src", "lib/a.dart"]) as found:
        assert len(found.files) == 2
    assert _open_files() == before
    assert str(app)


@pytest.mark.slow
def test_five_thousand_files_are_listed_and_read_in_seconds(tmp_path: Path) -> None:
    for number in range(5000):
        write(tmp_path, {f"lib/{number // 100}/f{number}.dart": "const a = 1;\n" * 100})
    assert read(tmp_path).files == 5000

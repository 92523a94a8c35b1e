"""List and read the files below the paths that the user named, and no other file.

A symbolic link is never followed: folders and files are opened relative to the folder above them
(openat(2) with O_NOFOLLOW), so that a link that appears while certpin runs isn't followed either.
FIFOs, devices and sockets aren't opened. An absolute path can contain links only above the working
folder: these parts of the path don't belong to the project.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import EINVAL, ELOOP, ENAMETOOLONG, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.pinfile.file import read_regular
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Twenty times the largest project that was measured (5,000 files of Dart). More files are another
# folder, which was named by mistake, such as a home folder.
MAX_FILES = 100_000
MAX_NAMES = 1_000_000
# A folder and its file names have at most 4,096 bytes (PATH_MAX, linux/limits.h). Packages of Java,
# the deepest folders of an app, reach about twenty levels.
MAX_DEPTH = 64

# The folders of build outputs and of other people's code. Folders that begin with a dot are left
# out too, such as .dart_tool, .git, .gradle and .symlinks.
_OUTPUTS = frozenset({"build", "DerivedData", "ephemeral", "node_modules", "Pods"})
# Below these, a folder may have the name of a build output and contain code of the app.
_CODE = frozenset({"bin", "lib", "src"})

_FOLDER = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


@dataclass(frozen=True)
class NamedPath:
    """A folder that the user named, or the folder of a file that the user named.

    Attributes:
        name: the path of the folder for messages: the start of the paths of its files.
        descriptor: the file descriptor of the open folder.
    """

    name: str
    descriptor: int


@dataclass(frozen=True)
class ListedFile:
    """A regular file in a folder that the user named, or below it.

    Attributes:
        root: the folder that the user named.
        parts: the names of the folders below ``root`` that contain the file, then its name.
    """

    root: NamedPath
    parts: tuple[str, ...]

    @property
    def path(self) -> str:
        """The path for messages: the path that the user named, then the names below it."""
        return str(Path(self.root.name, *self.parts))

    @property
    def name(self) -> str:
        """The name of the file, without its folders."""
        return self.parts[-1]

    @property
    def folder(self) -> tuple[str, ...]:
        """The names of the folders between the path that the user named and the file."""
        return self.parts[:-1]

    def read(self, limit: int) -> bytes:
        """Return the content of the file.

        Raises:
            OSError: the file can't be read, is not a regular file, has more than ``limit`` bytes
                (``EFBIG``), or changed while it was read.
        """
        with _open_folders(self.root.descriptor, self.folder) as folder:
            before = _identity(self.name, folder)
            data = read_regular(self.name, limit, folder=folder)
            if _identity(self.name, folder) != before or before[-1] != len(data):
                raise OSError("it changed while it was read")
        return data


@dataclass
class Tree:
    """The regular files below the paths that the user named.

    Attributes:
        files: the files, in the order of the user's paths, and by name within a path.
        skipped: the path and the kind of each link, FIFO, device and socket.
        unread: the path of each folder that couldn't be listed, and the error. The error's number
            is ``ENAMETOOLONG`` for a folder that is too deep.
    """

    files: list[ListedFile] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, OSError]] = field(default_factory=list)
    _names: int = 0
    _folders: set[tuple[int, int]] = field(default_factory=set)
    _listed: set[tuple[int, int, str]] = field(default_factory=set)

    def add(self, root: NamedPath) -> None:
        """Add all files in a folder that the user named, and in the folders below it.

        Links, special files and folders that can't be listed are recorded in ``skipped`` and
        ``unread``. Folders of build outputs are left out. ``root`` is the open folder.

        Raises:
            FormatError: there are too many files.
        """
        self._add_folder(root, root.descriptor, ())

    def add_file(self, root: NamedPath, name: str) -> None:
        """Add one file that the user named, but no other file of its folder.

        If the file is already listed, nothing is added.

        Args:
            root: the file's folder, which is open.
            name: the name of the file in this folder.

        Raises:
            FormatError: there are too many files.
        """
        self._append(ListedFile(root, (name,)), _number(root.descriptor))

    def _add_folder(self, root: NamedPath, folder: int, parts: tuple[str, ...]) -> None:
        number = _number(folder)
        if number in self._folders:
            return  # two named paths overlap, or a folder is mounted inside itself
        self._folders.add(number)
        for entry in self._entries(root, folder, parts):
            below = (*parts, entry.name)
            path = str(Path(root.name, *below))
            try:
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    self._enter(root, folder, below)
                elif stat.S_ISREG(mode):
                    self._append(ListedFile(root, below), number)
                else:
                    self.skipped.append((path, _kind(mode)))
            except OSError as exc:
                self.unread.append((path, exc))

    def _entries(
        self, root: NamedPath, folder: int, parts: tuple[str, ...]
    ) -> list[os.DirEntry[str]]:
        found = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    self._names += 1
                    _limit(self._names, MAX_NAMES, "names of files and folders")
                    found.append(entry)
        except OSError as exc:
            self.unread.append((str(Path(root.name, *parts)), exc))
        return sorted(found, key=lambda entry: entry.name)

    def _enter(self, root: NamedPath, folder: int, below: tuple[str, ...]) -> None:
        if _is_output((Path(root.name).name, *below)):
            return
        if len(below) > MAX_DEPTH:
            problem = f"it is more than {MAX_DEPTH} folders below the path that you named"
            raise OSError(ENAMETOOLONG, problem)
        descriptor = os.open(below[-1], _FOLDER, dir_fd=folder)
        try:
            self._add_folder(root, descriptor, below)
        finally:
            os.close(descriptor)

    def _append(self, listed: ListedFile, folder: tuple[int, int]) -> None:
        """Add a file (``listed``), unless it was already listed below another path.

        ``folder`` has the device and inode numbers of the file's folder.
        """
        if (*folder, listed.name) in self._listed:
            return
        self._listed.add((*folder, listed.name))
        _limit(len(self.files) + 1, MAX_FILES, "files")
        self.files.append(listed)


@contextmanager
def list_files(paths: Iterable[str]) -> Iterator[Tree]:
    """Context manager: list the files below paths; they can be read until the ``with`` block ends.

    Args:
        paths: files and folders, as the user wrote them.

    Yields:
        The files. None of them has been opened.

    Raises:
        FormatError: a path is missing, a link, or neither a file nor a folder; or there are too
            many files.
    """
    tree = Tree()
    opened: list[int] = []
    try:
        for path in paths:
            folder, name = _open_named(path)
            opened.append(folder)
            if name is None:
                tree.add(NamedPath(_prefix(path), folder))
            else:
                tree.add_file(NamedPath(_prefix(str(Path(path).parent)), folder), name)
        yield tree
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _is_output(parts: tuple[str, ...]) -> bool:
    """Return True for a folder of build outputs or of third-party code, which is not read.

    Such a folder begins with a dot, or has a name such as ``build`` or ``Pods``. But ``build``
    below a folder for code, such as ``lib``, can contain code of the app.

    Args:
        parts: the names of the folders from the path that the user named down to this folder.
    """
    *above, name = parts
    return name.startswith(".") or (name in _OUTPUTS and _CODE.isdisjoint(above))


def _open_named(path: str) -> tuple[int, str | None]:
    """Open a folder that the user named, or the folder of a file that the user named.

    Return the folder's file descriptor, and the name of the file (None if the user named a folder).
    Raises ``FormatError``.
    """
    try:
        return _descend(*_split(path))
    except (OSError, ValueError) as exc:  # ValueError: a path with a NUL
        problem = getattr(exc, "strerror", None) or str(exc)
        if getattr(exc, "errno", 0) in {ELOOP, ENOTDIR}:
            problem = "a part of it is no folder, or became a symbolic link"
        raise FormatError(
            f"{printable(path[:200])!r} cannot be read: {problem}",
            fix="name files and folders of your app; name the target of a link, not the link",
        ) from exc


def _descend(folder: int, parts: tuple[str, ...]) -> tuple[int, str | None]:
    """Open a path below an open folder, one part after the other, without following links.

    Args:
        folder: the file descriptor of the open folder. It is closed, unless it is returned.
        parts: the parts of the path.

    Returns:
        The file descriptor of the last folder of the path. Then the name of the file if the path
        ends with a regular file, which is not opened; otherwise None.

    Raises:
        OSError: a part is missing, is a link, or is neither a folder nor a file at the end.
    """
    try:
        for index, part in enumerate(parts):
            mode = os.stat(part, dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISREG(mode) and index == len(parts) - 1:
                return folder, part
            _require_folder(part, mode)
            descriptor = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = descriptor
    except BaseException:
        os.close(folder)
        raise
    return folder, None


def _require_folder(name: str, mode: int) -> None:
    if not stat.S_ISDIR(mode):
        raise OSError(EINVAL, f"{printable(name[:80])!r} is {_kind(mode)}")


def _split(path: str) -> tuple[int, tuple[str, ...]]:
    """Open the folder in which a path begins.

    This is the working folder. But for an absolute path outside of the working folder, it is the
    parent of the path.

    Returns:
        The file descriptor of the folder, and the parts of the path below the folder.

    Raises:
        OSError: the folder can't be opened.
        ValueError: the path is empty, for example because of an unset variable in a script.
    """
    if not path:
        raise ValueError("it is empty")
    named, here = Path(path), Path.cwd()
    if named.is_absolute() and named.is_relative_to(here):
        named = named.relative_to(here)
    if not named.is_absolute():
        return os.open(".", _FOLDER), named.parts
    above = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    return os.open(named.parent, above), (named.name,) if named.name else ()


@contextmanager
def _open_folders(base: int, names: tuple[str, ...]) -> Iterator[int]:
    """Context manager: open a folder below an open folder, without following links.

    Args:
        base: the file descriptor of the open folder, which stays open.
        names: the names of the folders from ``base`` down to the folder to open.

    Yields:
        The file descriptor of the folder; it is closed at the end of the ``with`` block.
    """
    folder = base
    try:
        for name in names:
            descriptor = os.open(name, _FOLDER, dir_fd=folder)
            if folder != base:
                os.close(folder)
            folder = descriptor
        yield folder
    finally:
        if folder != base:
            os.close(folder)


def _number(folder: int) -> tuple[int, int]:
    """Return the device and inode numbers of an open folder, which identify it.

    They show if two paths lead to the same folder, so that no file is read twice.
    """
    status = os.fstat(folder)
    return status.st_dev, status.st_ino


def _identity(name: str, folder: int) -> tuple[int, ...]:
    """Return numbers that identify the content of a file, to detect a change while it is read.

    They are its device, inode, two timestamps, and its size in bytes as the last number. They
    differ after the file was replaced or written. ``name`` is the name of the file in the open
    folder with the descriptor ``folder``.
    """
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _prefix(path: str) -> str:
    """Return the path of a folder that the user named, as messages show it.

    In messages, the paths of the folder's files begin with it. It is relative if the folder is in
    the working folder, and empty for the working folder itself.
    """
    named, here = Path(os.path.normpath(path)), Path.cwd()
    text = str(named.relative_to(here) if named.is_relative_to(here) else named)
    return "" if text == "." else text


def path_in_messages(path: str) -> str:
    """Return the path of a file that the user named, as messages show it: relative, without ``..``.

    It is equal to the ``ListedFile.path`` of the file.
    """
    named = Path(path)
    return str(Path(_prefix(str(named.parent)), named.name))


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link, which is not followed"
    if stat.S_ISREG(mode):
        return "a file, not a folder"
    return "no regular file"


def _limit(count: int, most: int, what: str) -> None:
    if count > most:
        raise FormatError(
            f"there are more than {most} {what}",
            fix="name only the folders of the app, such as lib",
        )

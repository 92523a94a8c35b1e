"""Read a TOML file with limits, parse it, access its values by type, lock it, and replace it.

Only regular files up to a size limit are read. A FIFO, a device and a folder are refused, because
reading them may never end. The TOML parser is imported only when a file is parsed. Errors name the
TOML key and the expected value.

``changing`` locks the folder of a pin file with flock(2), so that parallel commands change the pin
file and the journal one after the other. The lock leaves no file, it works for a file that doesn't
exist yet, and the operating system releases it when the process ends.
"""

from __future__ import annotations

import _thread
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, date, datetime
from errno import EFBIG, EINVAL
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.places import KEY_PART, line_of
from certpin.pinfile.spelling import closest_key, misspelt_key_error
from certpin.support.files import OwnerLostError, keep_owner
from certpin.support.text import CONFLICT_MARKERS, utc_moment
from certpin.x509 import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    # The place of a table: its parent, its name there, and its index in an array of tables.
    Place = tuple["Table", str, int | None]

Value = TypeVar("Value")

# A million hosts take some 200 MB. A larger file is not a pin file, and a parser has to end.
MAX_PIN_FILE_BYTES = 256 * 1024 * 1024

_MOST_UNKNOWN = 1000  # each is compared with the known keys, which takes longer than to parse it
_CHUNK = 1024 * 1024
# O_NONBLOCK: opening a FIFO without a writer would wait for one. Windows has no such files.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}", re.ASCII)  # tempfile.mkstemp's names, in put()
_NEW_FILE_MODE = 0o644  # pins are public

_fcntl: Any = import_module("fcntl") if find_spec("fcntl") else None  # none on Windows
LOCK_WAIT = 120.0  # seconds; each command has the lock for a second, or while a token makes a key
_LOCK_PAUSE = 0.02  # seconds between two attempts
# The folders that this process has locked: flock(2) would wait for a second descriptor for ever.
_locked: ContextVar[frozenset[Path]] = ContextVar("_locked", default=frozenset())

_TURN = 1e-6  # seconds; Linux makes some 60 µs of it (its timer slack)
_HOST = "\n[[host]]"
_PIECE = 4 * 1024  # characters that are parsed at a time: some ten hosts
LONGEST_MESSAGE = 200  # characters: the parser may quote the text

# The parser's memory grows with the square of a key's parts (a.a.a.…): a few kB exhaust it.
_DEEP_KEY = re.compile(
    rf"(?:^|[\[{{,])[ \t]*+(?:{KEY_PART}[ \t]*+\.[ \t]*+){{64}}",
    re.MULTILINE | re.ASCII,
)

_CONFLICT_FIX = (
    "keep what both sides have added, once, and the marks of stolen and lost keys; of two values "
    "of `version` the higher one; and delete git's markers"
)
_TOML_FIX = "see https://toml.io; `certpin explain refused` shows the form of a pin file"


def read_text(path: Path) -> str:
    """Return the text of a pin file, with its line ends unchanged.

    Raises:
        PinFileError: the file cannot be read, is too large, is not UTF-8, or begins with a byte
            order mark.
    """
    try:
        text = read_regular(path, MAX_PIN_FILE_BYTES).decode()
    except UnicodeDecodeError as exc:
        raise PinFileError("it is not UTF-8 text", path=path, fix="save it as UTF-8") from exc
    except (OSError, ValueError) as exc:  # ValueError: the path contains a NUL
        raise PinFileError(
            f"it cannot be read: {getattr(exc, 'strerror', exc)}",
            path=path,
            fix="check the path, or make one: certpin add HOST",
        ) from exc
    if text.startswith("\N{BOM}"):
        raise PinFileError(
            "it begins with a byte order mark",
            path=path,
            line=1,
            fix="save it as UTF-8 without one",
        )
    return text


def read_regular(path: str | Path, limit: int, *, folder: int | None = None) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes.

    Args:
        path: the file. A symbolic link is followed, unless ``folder`` is given.
        limit: the largest accepted size in bytes.
        folder: the descriptor of an open folder; ``path`` is then relative to it.

    Raises:
        OSError: the file cannot be read, is not a regular file, or has more than ``limit`` bytes.
    """
    with opened_regular(path, folder=folder) as (descriptor, size):
        read, chunks = 0, []
        while max(size, read) <= limit and (chunk := os.read(descriptor, _CHUNK)):
            chunks.append(chunk)
            read += len(chunk)
    if max(size, read) > limit:
        raise OSError(EFBIG, f"it has more than {limit} bytes")
    return b"".join(chunks)


@contextmanager
def opened_regular(path: str | Path, *, folder: int | None = None) -> Iterator[tuple[int, int]]:
    """Context manager: open a regular file to read it, and close it at the end.

    Args:
        path: the file. A symbolic link is followed, unless ``folder`` is given.
        folder: the descriptor of an open folder; ``path`` is then relative to it.

    Yields:
        The descriptor, and the size of the file in bytes. Files of ``/proc`` have the size 0.

    Raises:
        OSError: the file cannot be opened, or is not a regular file.
    """
    no_follow = 0 if folder is None else os.O_NOFOLLOW
    descriptor = os.open(path, _FLAGS | no_follow, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(EINVAL, "it is not a regular file")
        yield descriptor, status.st_size
    finally:
        os.close(descriptor)


def load_toml(text: str, path: Path, *, fix: str = _TOML_FIX) -> dict[str, Any]:
    """Parse the TOML text of a pin file, or of another file of certpin.

    Args:
        text: the content of the file.
        path: the path of the file, for errors.
        fix: the fix of the error if the text is not TOML.

    Returns:
        The values of the top-level table.

    Raises:
        PinFileError: the text is not TOML, or a dotted TOML key has more than 64 parts.
    """
    if _has_long_line(text) and (deep := _DEEP_KEY.search(text)):
        line = text.count("\n", 0, deep.end()) + 1
        raise PinFileError("a key has too many parts", path=path, line=line, fix="shorten it")
    try:
        return _parse(text)
    except (ValueError, RecursionError) as exc:  # ValueError: a number of 5000 digits
        raise _not_toml(exc, path, fix) from exc


def _parse(text: str) -> dict[str, Any]:
    """Return the data of a TOML text, as ``tomli.loads`` does; parse a long text in pieces.

    The parser holds Python's global lock (GIL), so other threads can run only between two pieces.

    A text is split before ``[[host]]`` headers. A table below a host is then in the same piece as
    the host, so the data of the pieces can be joined. If a piece is not TOML or defines something
    other than hosts, the whole text is parsed at once instead.
    """
    import tomli  # only needed to read a file

    head, *pieces = _pieces(text)
    with suppress(ValueError, RecursionError):  # the whole text gives an error with its line
        data = tomli.loads(head)
        hosts: list[Any] = []
        for piece in pieces:
            let_others_run()
            found = tomli.loads(piece)
            if found.keys() != {"host"} or "host" in data:
                break
            hosts += found["host"]
        else:
            return data | {"host": hosts} if pieces else data
    return tomli.loads(text)


def _pieces(text: str) -> Iterator[str]:
    """Split a TOML text before some of its ``[[host]]`` headers, and yield the pieces in order.

    The first piece is the text before the first ``[[host]]``; each other piece has a few hosts. A
    short text is one piece.
    """
    begin, end = 0, text.find(_HOST) if len(text) > _PIECE else -1
    while end >= 0:
        yield text[begin : end + 1]
        begin, end = end + 1, text.find(_HOST, end + _PIECE)
    yield text[begin:]


def _has_long_line(text: str) -> bool:
    """Return True if some line is long enough to contain a dotted TOML key of 64 parts.

    Only then does the caller search for such a key, which takes longer.
    """
    return len(max(text.split("\n"), key=len)) >= 2 * 64 - 1


@contextmanager
def locate_errors(text: str, path: Path) -> Iterator[None]:
    """Turn a ``ConfigError`` of the ``with`` block into a ``PinFileError`` with file and line.

    ``text`` is the content of the pin file, in which the line of the error's TOML key is looked up.
    ``path`` is the file's path.
    """
    try:
        yield
    except PinFileError:
        raise
    except ConfigError as exc:
        line = line_of(text, exc.key)
        raise PinFileError(exc.problem, path=path, line=line, key=exc.key, fix=exc.fix) from exc


def _not_toml(exc: Exception, path: Path, fix: str) -> PinFileError:
    """Return the error for a text that the TOML parser refuses with the exception ``exc``.

    The error is a conflict of git if the parser stops before the first character of git's marker.
    In a string, these characters are data: the parser can only stop behind them.
    """
    import tomli

    line = None
    if isinstance(exc, tomli.TOMLDecodeError) and exc.pos < len(exc.doc):
        line = exc.lineno
        if exc.colno == 1 and exc.doc.startswith(CONFLICT_MARKERS, exc.pos):
            problem = "the line is a conflict marker of git"
            return PinFileError(problem, path=path, line=line, fix=_CONFLICT_FIX)
    problem = f"it is not TOML: {str(exc)[:LONGEST_MESSAGE]}"
    return PinFileError(problem, path=path, line=line, fix=fix)


def let_others_run() -> None:
    """Release Python's global lock (GIL) for long enough that a waiting thread can take it.

    An updater reads thousands of hosts while other threads connect, and a handshake takes the lock
    a dozen times. ``sleep(0)`` is too short: it returns before a waiting thread has woken up, and
    that thread then waits for the next release, or for 5 ms (``sys.getswitchinterval``). If the
    process has no other threads, the function returns immediately.
    """
    if _thread._count():
        time.sleep(_TURN)


MISSING = "it is missing"  # the problem of a required key, which the error names


class PinFileWarning(UserWarning):
    """The category of warnings about TOML keys that certpin does not know and ignores."""


class UnknownKey(NamedTuple):
    """A TOML key that certpin doesn't know.

    Attributes:
        key: the full key, such as ``host[2].nmae``.
        name: the last part of ``key``, such as ``nmae``.
        known: the TOML keys that certpin knows in the table that contains the unknown key.
    """

    key: str
    name: str
    known: tuple[str, ...]


class Table:
    """A table of a TOML file with typed access to its values.

    Methods raise ``ConfigError`` if a required value is missing or a value has the wrong type.
    ``unknown`` collects the TOML keys that certpin doesn't know: all tables of a file share this
    list.

    Args:
        data: the parsed table.
        place: the table's full key; or a tuple of its parent table, its name in the parent, and its
            index in an array (``None`` if it is in no array). For a tuple, the full key is computed
            only when an error needs it, because a file of 10,000 hosts has 30,000 tables.
    """

    __slots__ = ("_data", "_names", "_place", "unknown")

    def __init__(self, data: object, place: str | Place = "") -> None:
        self._place = place
        self.unknown: list[UnknownKey] = [] if isinstance(place, str) else place[0].unknown
        # The names of these keys, each with the known ones of its table.
        self._names: set[tuple[str, tuple[str, ...]]]
        self._names = set() if isinstance(place, str) else place[0]._names
        if not isinstance(data, dict):
            raise ConfigError(
                "this must be a table", key=self.key, fix=f"write {_header(self.key)}"
            )
        self._data: dict[str, Any] = data

    @property
    def key(self) -> str:
        """The full TOML key of the table, such as ``host[2].pin[0]``."""
        if isinstance(self._place, str):
            return self._place
        parent, name, index = self._place
        return parent.under(name) if index is None else f"{parent.under(name)}[{index}]"

    @property
    def data(self) -> dict[str, Any]:
        """The values of the table, by their TOML keys."""
        return self._data

    def under(self, name: str) -> str:
        """Return the full key of a value in this table, such as ``host[2].name`` for ``name``."""
        return f"{self.key}.{name}" if self.key else name

    def text(self, name: str, default: str | None = None) -> str:
        """Return the string with the TOML key ``name``, or ``default`` if the key is missing.

        Without a default, the key is required.
        """
        value = self._data.get(name, default)
        if isinstance(value, str):
            return value
        return self._typed(name, str, default, "a string in quotes")

    def integer(self, name: str) -> int:
        """Return the integer with the required TOML key ``name``.

        Raises ``ConfigError`` if the key is missing, or the integer does not fit into 64 bits.
        """
        value = self._typed(name, int, None, "a whole number")
        if isinstance(value, bool):
            raise self._wrong(name, "a whole number")
        if not -(2**63) <= value < 2**63:
            raise self._wrong(name, f"a whole number up to {2**63 - 1}")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        """Return the boolean with the TOML key ``name``, or ``default`` if the key is missing."""
        return self._typed(name, bool, default, "true or false")

    def choice(self, name: str, choices: tuple[Any, ...], default: Any) -> Any:
        """Return the value of the TOML key ``name``, or ``default`` if the key is missing.

        Raises ``ConfigError`` if the value is not one of ``choices``.
        """
        value = self._data.get(name, default)
        if value in choices:
            return value
        right = "one of " + ", ".join(f'"{word}"' for word in choices)
        value = self._typed(name, str, default, right)
        if value not in choices:
            raise self._wrong(name, right)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the list of strings with the TOML key ``name``; empty if the key is missing."""
        if name not in self._data:
            return ()
        values = self._typed(name, list, [], "a list of strings")
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(name, "a list of strings")
        return tuple(values)

    def text_or_texts(self, name: str) -> tuple[str, ...]:
        """Return the strings of the TOML key ``name``; empty if the key is missing.

        The value of the key is one string, or a list of strings.
        """
        value = self._data.get(name)
        return (value,) if isinstance(value, str) else self.texts(name)

    def day(self, name: str) -> date | None:
        """Return the date with the TOML key ``name``; ``None`` if the key is missing.

        Raises ``ConfigError`` if the value is not a date, or has a time.
        """
        value = self._data.get(name)
        if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
            return value
        raise self._wrong(name, "a date without quotes, as in 2027-06-01")

    def moment(self, name: str) -> datetime | None:
        """Return the date and time with the TOML key ``name``; ``None`` if the key is missing.

        A date without a time becomes the start of that day in UTC. A time with a zone is converted
        to UTC; one without a zone is returned without one, and the caller has to refuse it.

        Raises ``ConfigError`` if the value is not a date, or its year in UTC is not 1 to 9999.
        """
        value = self._data.get(name)
        if value is None:
            return None
        if isinstance(value, datetime):
            return utc_moment(value, self.under(name))
        if isinstance(value, date):
            return _first_moment(value)
        raise self._wrong(name, "a date without quotes, as in 2027-06-01")

    def tables(self, name: str) -> Iterator[Table]:
        """Yield each table of the array of tables ``name``; nothing if this TOML key is missing."""
        for index, value in enumerate(self.items(name)):
            yield Table(value, (self, name, index))

    def items(self, name: str) -> list[Any]:
        """Return the elements of the array ``name``, of any type; empty if the key is missing.

        Raises ``ConfigError`` if the value is not an array.
        """
        value = self._data.get(name)
        if isinstance(value, list):
            return value
        if value is None:
            return []
        raise self._wrong(name, f"written as {_header(self.under(name) + '[]')}")

    def table(self, name: str) -> Table | None:
        """Return the inner table with the TOML key ``name``, or ``None`` if the key is missing."""
        return Table(self._data[name], (self, name, None)) if name in self._data else None

    def warn_unknown(self, known: tuple[str, ...]) -> None:
        """Add the TOML keys of the table that are not in ``known`` to the list ``unknown``.

        The caller warns about the keys in this list. A key that looks misspelt raises an error
        instead, because ignoring it can be unsafe: with ``truts = "ca.pem"``, clients would trust
        every root of the platform.

        Raises:
            ConfigError: an unknown key resembles a known one; or the file has very many different
                unknown keys.
        """
        for name in self._data:
            if name in known:
                continue
            self.unknown.append(UnknownKey(self.under(name), name, known))
            if (name, known) in self._names:
                continue
            self._names.add((name, known))
            if len(self._names) > _MOST_UNKNOWN:
                problem = f"more than {_MOST_UNKNOWN} different keys are not known here"
                raise ConfigError(problem, key=self.under(name), fix="take them out")
            if meant := closest_key(name, known):
                raise misspelt_key_error(self.under(name), name, meant)

    def _typed(self, name: str, kind: type[Value], default: Value | None, right: str) -> Value:
        value = self._data.get(name, default)
        if isinstance(value, kind):
            return value
        if value is None:
            raise ConfigError(MISSING, key=self.under(name), fix=f"it must be {right}")
        raise self._wrong(name, right)

    def _wrong(self, name: str, right: str) -> ConfigError:
        shown = _value_text(self._data.get(name))
        problem = f"{shown} is not allowed for `{name}`"
        return ConfigError(problem, key=self.under(name), fix=f"it must be {right}")


@lru_cache(maxsize=64)
def _first_moment(day: date) -> datetime:
    """Return the start of a day in UTC. Results are cached: many hosts share a few dates."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _header(key: str) -> str:
    """Return the TOML header of a table: ``[[host.pin]]`` for the full key ``host[2].pin[0]``."""
    name = re.sub(r"\[\d*\]", "", key)
    return f"[[{name}]]" if key.endswith("]") else f"[{name}]"


def _value_text(value: object) -> str:
    """Return a TOML value as text for an error message.

    For a table, a list or a number, return only the type, because the text can be very long.
    """
    if isinstance(value, str):
        return quoted(value)
    return _TYPE_NAMES.get(type(value)) or str(value)


_TYPE_NAMES: dict[type, str] = {dict: "a table", list: "a list", int: "a number", float: "a number"}


class PinFileChangedError(PinFileError):
    """Another program has changed a pin file, or its journal, since a command read it."""

    @classmethod
    def of(cls, path: Path) -> PinFileChangedError:
        """Return the error for the changed file ``path``."""
        fix = "look at it, and try again"
        return cls("another program has changed it", path=path, fix=fix)


@contextmanager
def changing(path: Path, *, wait: float = LOCK_WAIT) -> Iterator[None]:
    """Lock a pin file and its journal during a ``with`` block: no other command changes them then.

    Read them in the block, or check in it that they are as they were read. Commands that only read
    need no lock. Don't contact servers or ask the user in the block: other commands would wait.

    The lock is on the folder of the pin file, or of its target if it is a symbolic link. A block
    inside another one has the lock already. On a system or a file system without locks, nothing is
    locked.

    Args:
        path: the pin file, which may not exist yet, or the journal beside it.
        wait: seconds to wait for another command.

    Raises:
        PinFileError: another command had the lock until no time was left, or the folder can't be
            opened.
    """
    from pathlib import Path

    folder = Path(os.path.realpath(path)).parent
    if _fcntl is None or folder in _locked.get():
        yield
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as exc:
        raise _not_written(path, exc) from exc
    try:
        _wait_for_lock(descriptor, path, wait)
        token = _locked.set(_locked.get() | {folder})
        try:
            yield
        finally:
            _locked.reset(token)
            with suppress(OSError):  # not only closed: a forked child may have the descriptor, too
                _fcntl.flock(descriptor, _fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, wait: float) -> None:
    until = time.monotonic() + wait
    while True:
        try:
            _fcntl.flock(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise PinFileError(
                    f"another command is changing it, and did not end within {wait:g} seconds",
                    path=path,
                    fix="wait until it has ended, or end it; then repeat this command",
                ) from None
            time.sleep(_LOCK_PAUSE)
        except OSError:
            return  # this file system has no locks, such as NFS for a folder
        else:
            return


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file atomically: it gets the whole new content, or stays as it was.

    The content is written to a temporary file, which is then renamed.

    Args:
        path: the file, which may not exist yet. If it is a symbolic link, its target is replaced,
            not the link. An existing file keeps its permissions and owner.
        content: the new content. A string is written as UTF-8.

    Raises:
        PinFileError: the file can't be written.
    """
    from pathlib import Path

    try:
        data = content.encode() if isinstance(content, str) else content
        put(Path(os.path.realpath(path)), data)
    except UnicodeEncodeError as exc:
        raise PinFileError("it cannot be written as UTF-8", path=path) from exc
    except OSError as exc:
        raise _not_written(path, exc) from exc


def _not_written(path: Path, exc: OSError) -> PinFileError:
    lost = isinstance(exc, OwnerLostError)
    return PinFileError(
        f"it cannot be written: {exc.strerror or exc}",
        path=path,
        fix="run it as the owner of the file, or as root" if lost else "check path and rights",
    )


def put(path: Path, data: bytes, *, new_mode: int = _NEW_FILE_MODE) -> None:
    """Write a temporary file, and rename it to ``path``.

    A crash leaves either the old or the new file.

    Args:
        path: the file. If it is a symbolic link, the link is replaced, not its target.
        data: the new content.
        new_mode: the permissions if the file does not exist yet. An existing file keeps its
            permissions, owner and group.

    Raises:
        OSError: the file cannot be written; ``path`` is not a regular file, such as ``/dev/null``;
            or the owner and group can't be kept, although a program that reads the file now, such
            as a service, could not read it without them.
    """
    import tempfile  # takes longer to import than to read a pin file
    from pathlib import Path

    before = path.stat() if path.exists() else None
    if before and not stat.S_ISREG(before.st_mode):
        raise OSError(EINVAL, "it is not a regular file", str(path))
    mode = before.st_mode & 0o777 if before else new_mode
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if before and _owner(before) != _owner(os.fstat(descriptor)):  # never on Windows
                keep_owner(descriptor, before)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise
    sync_folder(path.parent)


def _owner(file: os.stat_result) -> tuple[int, int]:
    return file.st_uid, file.st_gid


def left_overs(folder: Path, known: re.Pattern[str], *, recursive: bool = True) -> Iterator[Path]:
    """Yield the temporary files that ``put`` left in a folder because its process was killed.

    Args:
        folder: the folder to search.
        known: a regular expression for the names of the files that ``put`` writes in this folder.
            A temporary file is yielded only if it was to get a name that matches as a whole.
        recursive: True to search the folders below, too.
    """
    for path in folder.rglob(".*") if recursive else folder.glob(".*"):
        left = _TEMPORARY.fullmatch(path.name)
        if left and known.fullmatch(left[1]) and path.is_file() and not path.is_symlink():
            yield path


def sync_folder(folder: Path) -> None:
    """Write the entries of a folder to disk, so that a new file name survives a loss of power.

    rename(2) does not promise this. Errors are ignored, because some file systems can't sync a
    folder.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

"""Change ``pins.toml`` as a careful person would: comments, order and unknown keys stay.

The text is edited, not written anew: a host is appended, a version or a state replaced, a pin
added or taken out. What comes out is parsed, and must hold what the file held before and the
change, nothing else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.disk import read_text
from certpin.pinfile.file import PinSet
from certpin.pinfile.reader import SCHEMA
from certpin.pinfile.rows import host_table, pin_table
from certpin.pinfile.tables import Lines
from certpin.pinfile.writing import write_atomically
from certpin.pins import HostPattern, Pin

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pinfile.tables import Span
    from certpin.pins import HostPin, HostPolicy

_OWN_TABLES = "write each pin under a [[host.pin]] of its own, below the [[host]] it belongs to"

_NEW = """\
# Certificate pins: what each client of this name accepts.
schema = {schema}
name = {name}
version = {version}
"""
# On a line of its own; the first such line, since the top-level table comes before all others.
_VERSION = re.compile(r"""^([ \t]*(["']?)version\2[ \t]*=[ \t]*)[^\s#]+""", re.MULTILINE)


class PinFileEditor:
    """A pin file that is being changed.

    Nothing is written before ``save``, which refuses a text that does not load (``PinFileError``):
    a command never leaves a broken file behind.
    """

    def __init__(self, path: Path, text: str, *, before: str | None) -> None:
        self.path = path
        self._text = text
        self._before = before  # what stands on the disk, if anything does

    @classmethod
    def open(cls, path: Path) -> PinFileEditor:
        """Open a file that exists. Raises ``PinFileError``."""
        text = read_text(path)
        PinSet.parse(text, path=path)  # the good errors come from there
        return cls(path, text, before=text)

    @classmethod
    def new(cls, path: Path, name: str, *, version: int = 0) -> PinFileEditor:
        """Begin a file that does not exist yet. Its first version is 1: raise it, or give one."""
        import tomlkit

        text = _NEW.format(schema=SCHEMA, name=tomlkit.item(name).as_string(), version=version)
        return cls(path, text, before=None)

    @property
    def text(self) -> str:
        """The file as it would be saved."""
        return self._text

    def has_host(self, pattern: str) -> bool:
        """Whether there is a policy of this very pattern, in whatever spelling."""
        names = (table["name"] for table in _parse(self._text).get("host", ()))
        return str(HostPattern.parse(pattern)) in {str(HostPattern.parse(name)) for name in names}

    def add_host(self, policy: HostPolicy, *, trust: str = "system") -> None:
        """Append a policy. ``trust`` is the file of its anchors, as it will stand there.

        Raises ``PinFileError`` where the file has its hosts in one list instead of ``[[host]]``.
        """
        import tomlkit

        if (trust == "system") != (policy.trust is None):
            raise ConfigError("a policy with anchors of its own needs their file", key="trust")
        host = host_table(policy, trust)
        data = _parse(self._text)
        self._replace(
            self._with(tomlkit.dumps({"host": [host]})),
            {**data, "host": [*data.get("host", ()), host]},
            fix="write each host of the file under a [[host]] of its own",
        )

    def add_debug(self, anchors: str) -> None:
        """Append the debug section. ``anchors`` is its file. Raises ``PinFileError``."""
        import tomlkit

        section = {"debug": {"anchors": anchors}}
        self._replace(
            self._with(tomlkit.dumps(section)),
            {**_parse(self._text), **section},
            fix="the file has a [debug] section already: edit that one",
        )

    def change_pin(self, pattern: str, pin: Pin, **values: str) -> None:
        """Give a pin of a host another state, role or note.

        Raises ``ConfigError`` where it is not there, and ``PinFileError`` where it stands in a list
        instead of under a ``[[host.pin]]`` of its own. So do the next two.
        """
        import tomlkit

        for key, value in values.items():
            data = _parse(self._text)
            host, at = self._place(data, pattern, pin)
            data["host"][host]["pin"][at][key] = value
            lines = Lines(self._text)
            span = self._spans(lines, host)[at]
            quoted = tomlkit.item(value).as_string()
            self._replace(lines.with_value(span, key, quoted), data, fix=_OWN_TABLES)

    def add_pin(self, pattern: str, entry: HostPin) -> None:
        """Append a pin to those of a host."""
        import tomlkit

        data = _parse(self._text)
        host = _host_at(data, pattern)
        table = pin_table(entry)
        data["host"][host].setdefault("pin", []).append(table)
        text = "[[host.pin]]\n" + tomlkit.dumps(table)
        lines = Lines(self._text)
        self._replace(lines.with_table(self._spans(lines, host)[-1], text), data, fix=_OWN_TABLES)

    def remove_pin(self, pattern: str, pin: Pin) -> None:
        """Take a pin out, with its table. A comment above it stays."""
        data = _parse(self._text)
        host, at = self._place(data, pattern, pin)
        del data["host"][host]["pin"][at]
        lines = Lines(self._text)
        self._replace(lines.without(self._spans(lines, host)[at]), data, fix=_OWN_TABLES)

    def set_version(self, version: int) -> None:
        """Give the file this version. Whether it rises is for the caller to know."""
        if version != _parse(self._text)["version"]:
            self._set_version(version)

    def raise_version(self) -> int:
        """Count the version up: a changed pin set is another one. Returns the new version."""
        version: int = _parse(self._text)["version"] + 1
        self._set_version(version)
        return version

    def _set_version(self, version: int) -> None:
        data = _parse(self._text)
        self._replace(
            _VERSION.sub(rf"\g<1>{version}", self._text, count=1),
            {**data, "version": version},
            fix=f"write `version = {version}` on a line of its own, near the top",
        )

    def _place(self, data: dict[str, Any], pattern: str, pin: Pin) -> tuple[int, int]:
        """Which host, and which of its pins."""
        host = _host_at(data, pattern)
        for at, table in enumerate(data["host"][host].get("pin", ())):
            if Pin.parse(table["pin"]) == pin:
                return host, at
        raise ConfigError(f"{pattern} has no pin {pin}", key="pin", fix="see certpin rotate status")

    def _spans(self, lines: Lines, host: int) -> list[Span]:
        """The tables of a host's pins, all of them, or none that could be trusted."""
        spans = lines.pins(host)
        if len(spans) != len(_parse(self._text)["host"][host].get("pin", ())):
            raise PinFileError(
                "it cannot be edited as it is written", path=self.path, fix=_OWN_TABLES
            )
        return spans

    def check(self) -> PinSet:
        """The pin set as it would be saved. Raises ``PinFileError`` if it would not load."""
        return PinSet.parse(self.text, path=self.path)

    def save(self) -> PinSet:
        """Write the file, whole or not at all. Raises ``PinFileError``."""
        pins = self.check()
        self._refuse_overwriting()
        write_atomically(self.path, self.text)
        self._before = self.text
        return pins

    def _with(self, added: str) -> str:
        """The text with another at its end, in its own line ends."""
        newline = "\r\n" if "\r\n" in self._text else "\n"
        text = self._text if self._text.endswith("\n") else self._text + newline
        return text + f"\n{added}".replace("\n", newline)

    def _refuse_overwriting(self) -> None:
        now = read_text(self.path) if self.path.exists() else None
        if now != self._before:
            raise PinFileError(
                "somebody changed it meanwhile", path=self.path, fix="look at it, and try again"
            )

    def _replace(self, text: str, expected: dict[str, Any], *, fix: str) -> None:
        try:
            data = _parse(text)
        except ValueError:  # tomli.TOMLDecodeError
            data = {}
        if data != expected:
            raise PinFileError("it cannot be edited as it is written", path=self.path, fix=fix)
        self._text = text


def without_servers(text: str, path: Path) -> str:
    """Return the text of a pin file without its servers, as it is published.

    Everything else stays, byte for byte. Raises ``PinFileError`` if a server is not written under
    a ``[[host.server]]`` of its own.
    """
    data = _parse(text)
    if [host.pop("server", None) for host in data["host"]] == [None] * len(data["host"]):
        return text
    published = Lines(text).without_tables("host.server")
    try:
        proven = _parse(published) == data
    except ValueError:  # tomli.TOMLDecodeError
        proven = False
    if not proven:
        raise PinFileError(
            "its servers cannot be left out as they are written, and they are not published",
            path=path,
            key="host.server",
            fix="write each server under a [[host.server]] of its own",
        )
    return published


def _parse(text: str) -> dict[str, Any]:
    """Numbers with a point stay text: NaN is not equal to itself."""
    import tomli  # only those who read a file need it

    return tomli.loads(text, parse_float=str)


def _host_at(data: dict[str, Any], pattern: str) -> int:
    wanted = HostPattern.parse(pattern)
    for at, table in enumerate(data.get("host", ())):
        if HostPattern.parse(table["name"]) == wanted:
            return at
    raise ConfigError(
        f"there is no policy of the name {pattern}",
        key="host",
        fix="write it as it stands in the pin file",
    )

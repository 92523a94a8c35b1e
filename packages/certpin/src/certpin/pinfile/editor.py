"""Edit ``pins.toml`` in place: comments, order and unknown keys stay.

The text is edited, not generated: a host is appended, a version or a state replaced, a pin added or
removed. The edited text is then parsed. If its data is not the previous data with the intended
change and nothing else, the edit is refused. Because of this check, a simple search of lines is
enough to find the tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.file import PinFileChangedError, changing, read_text, write_atomically
from certpin.pinfile.reader import SCHEMA, PinSet
from certpin.pins import HostPattern, Pin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from certpin.pins import HostPin, HostPolicy, HostServer

_SEPARATE_TABLES = "write each pin under its own [[host.pin]], below the [[host]] it belongs to"

_NEW = """\
# Certificate pins: what each client of this name accepts.
schema = {schema}
name = {name}
version = {version}
"""
# The key on a separate line. Take the first such line: the top-level table comes before the others.
_VERSION = re.compile(r"""^([ \t]*(["']?)version\2[ \t]*=[ \t]*)[^\s#]+""", re.MULTILINE)

_HEADER = re.compile(r"\s*\[{1,2}\s*([^\[\]#]+?)\s*\]{1,2}")
_SPELLING = re.compile(r"[\s\"']")
_EMPTY = re.compile(r"\s*(?:#.*)?")
_COMMENT = re.compile(r"\s*#")
_STRING = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*')"""
# Strings as TOML has them; one in three quotes may end with two more quotes.
_STRINGS = (
    r'''"""[^"\\]*+(?:(?:\\.|"{1,2}(?!"))[^"\\]*+)*"{3,5}|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*"'''
    r"""|'''[^']*+(?:'{1,2}(?!')[^']*+)*'{3,5}|'[^'\n]*'"""
)
# Comments, and the notes of pins on separate lines. Strings are matched to be skipped.
_PRIVATE = re.compile(
    rf"""(?P<private>^[ \t]*(["']?)note\2[ \t]*=[ \t]*(?:{_STRINGS})[ \t]*(?:\#[^\r\n]*)?\r?\n?"""
    rf"""|^[ \t]*\#[^\r\n]*\r?\n?|[ \t]*\#[^\r\n]*)|{_STRINGS}""",
    re.MULTILINE | re.DOTALL,
)
# A value on one line: a string, a list, or a date.
_ONE_LINE = rf"""(?:{_STRING}|\[[^\]\n]*\]|[\w:.+-]+)"""


class PinFileEditor:
    """The text of a pin file, with methods that change it in memory.

    Only ``save`` writes the file. If the changed text is not a valid pin file, ``save`` raises
    ``PinFileError`` and writes nothing, so a command never leaves a broken file. The other methods
    raise ``PinFileError`` if a change can't be made in this text.
    """

    def __init__(self, path: Path, text: str, *, before: str | None) -> None:
        self.path = path
        self._text = text
        self._checked: tuple[str, PinSet] | None = None  # the last text that was read, and its pins
        self._before = before  # the text on the disk, if the file exists

    @classmethod
    def open(cls, path: Path) -> PinFileEditor:
        """Read a pin file, and return an editor for it.

        Raises:
            PinFileError: the file can't be read, or is not a valid pin file.
        """
        text = read_text(path)
        PinSet.parse(text, path=path)  # for its detailed errors
        return cls(path, text, before=text)

    @classmethod
    def new(cls, path: Path, name: str, *, version: int = 0) -> PinFileEditor:
        """Return an editor for a new pin file. ``save`` doesn't replace an existing file.

        Args:
            path: the path of the new file.
            name: the name of the pin set.
            version: the version of the pin set; or 0, if you call ``raise_version`` before
                ``save``, which refuses a pin file with the version 0.
        """
        import tomlkit

        text = _NEW.format(schema=SCHEMA, name=tomlkit.item(name).as_string(), version=version)
        return cls(path, text, before=None)

    @property
    def text(self) -> str:
        """The text of the pin file with all changes so far. ``save`` writes this text."""
        return self._text

    def has_host(self, pattern: str) -> bool:
        """Return True if the file has a policy for this host pattern.

        The spelling has no effect: ``API.bank.example`` and ``api.bank.example`` are the same
        pattern.
        """
        names = (table["name"] for table in _parse(self._text).get("host", ()))
        return str(HostPattern.parse(pattern)) in {str(HostPattern.parse(name)) for name in names}

    def add_host(self, policy: HostPolicy, *, trust: str = "system") -> None:
        """Append a policy for a host.

        Args:
            policy: the policy.
            trust: the name of the file with the policy's trust anchors, as the pin file will
                contain it; ``system`` if the policy has no trust anchors.

        Raises:
            ConfigError: the policy has trust anchors and ``trust`` is ``system``, or the policy has
                no trust anchors and ``trust`` names a file.
            PinFileError: the file has its hosts in one list instead of under ``[[host]]``.
        """
        self.add_hosts([(policy, trust)])

    def add_hosts(self, policies: Iterable[tuple[HostPolicy, str]]) -> None:
        """Append policies for hosts, each with its ``trust`` (see ``add_host``).

        The file is parsed once for all of them. Raises the same errors as ``add_host``.
        """
        import tomlkit

        hosts = []
        for policy, trust in policies:
            if (trust == "system") != (policy.trust is None):
                raise ConfigError("a policy with trust anchors needs their file", key="trust")
            hosts.append(_host_table(policy, trust))
        if not hosts:
            return
        data = _parse(self._text)
        self._replace(
            self._with("\n".join(tomlkit.dumps({"host": [host]}) for host in hosts)),
            {**data, "host": [*data.get("host", ()), *hosts]},
            fix="write each host of the file under its own [[host]]",
        )

    def add_log_list(self, name: str) -> None:
        """Add the TOML key ``ct_logs``, in a new line below the version of the pin set.

        Args:
            name: the name of a file with a list of Certificate Transparency logs.

        Raises:
            PinFileError: the file has ``ct_logs`` already, or its version has no separate line.
        """
        import tomlkit

        data = _parse(self._text)
        line = f"ct_logs = {tomlkit.item(name).as_string()}\n"
        version = _VERSION.search(self._text)
        end = self._text.find("\n", version.end()) + 1 if version else 0
        self._replace(
            self._text[:end] + line + self._text[end:],
            data if "ct_logs" in data else {**data, "ct_logs": name},
            fix=f"write {line.strip()} above the first host",
        )

    def add_debug(self, anchors: str) -> None:
        """Append the ``[debug]`` section. ``anchors`` is the name of its file of trust anchors.

        Raises ``PinFileError`` if the pin file already has a debug section.
        """
        import tomlkit

        section = {"debug": {"anchors": anchors}}
        self._replace(
            self._with(tomlkit.dumps(section)),
            {**_parse(self._text), **section},
            fix="edit the [debug] section that the file has already",
        )

    def change_pin(self, pattern: str, pin: Pin, **values: str | list[str]) -> None:
        """Change the state, role, note or provider of a host's pin.

        Args:
            pattern: the host pattern of the policy.
            pin: the pin to change.
            values: the new strings, or lists of strings, by their TOML keys, such as ``state``.

        Raises:
            ConfigError: the file has no such host or pin.
            PinFileError: the pin is in a list instead of under its own ``[[host.pin]]``.
        """
        import tomlkit

        for key, value in values.items():
            data = _parse(self._text)
            host, at = self._place(data, pattern, pin)
            data["host"][host]["pin"][at][key] = value
            lines = _Lines(self._text)
            span = self._spans(lines, host)[at]
            quoted = tomlkit.item(value).as_string()
            self._replace(lines.with_value(span, key, quoted), data, fix=_SEPARATE_TABLES)

    def set_provider_edition(self, pattern: str, edition: date) -> None:
        """Set the TOML key ``provider_edition`` of a host to the date ``edition``.

        The pins of the host are from the provider data of this date. Provider data lists the roots
        that certificate providers, such as Let's Encrypt, use.

        Raises:
            ConfigError: the file has no such host.
            PinFileError: the host is in a list instead of under its own ``[[host]]``.
        """
        data = _parse(self._text)
        host = _host_at(data, pattern)
        data["host"][host]["provider_edition"] = edition
        lines = _Lines(self._text)
        spans = lines.hosts()
        if len(spans) != len(data["host"]):
            raise PinFileError(
                "it cannot be edited in its present form",
                path=self.path,
                fix="write each host of the file under its own [[host]]",
            )
        edited = lines.with_value(spans[host], "provider_edition", edition.isoformat())
        self._replace(edited, data, fix="write provider_edition on a separate line")

    def add_pin(self, pattern: str, entry: HostPin) -> None:
        """Append the pin ``entry`` to the policy of a host.

        Raises:
            ConfigError: the file has no such host.
            PinFileError: the host's pins are in a list instead of each under ``[[host.pin]]``.
        """
        import tomlkit

        data = _parse(self._text)
        host = _host_at(data, pattern)
        table = _pin_table(entry)
        data["host"][host].setdefault("pin", []).append(table)
        text = "[[host.pin]]\n" + tomlkit.dumps(table)
        lines = _Lines(self._text)
        edited = lines.with_table(self._spans(lines, host)[-1], text)
        self._replace(edited, data, fix=_SEPARATE_TABLES)

    def remove_pin(self, pattern: str, pin: Pin) -> None:
        """Remove the ``[[host.pin]]`` table of a host's pin. Comments above the table stay.

        Raises:
            ConfigError: the file has no such host or pin.
            PinFileError: the host's pins are in a list instead of each under ``[[host.pin]]``.
        """
        data = _parse(self._text)
        host, at = self._place(data, pattern, pin)
        del data["host"][host]["pin"][at]
        lines = _Lines(self._text)
        edited = lines.without(self._spans(lines, host)[at])
        self._replace(edited, data, fix=_SEPARATE_TABLES)

    def set_version(self, version: int) -> None:
        """Set the version of the pin set. Not checked: that it is higher than the previous one."""
        if version != _parse(self._text)["version"]:
            self._set_version(version)

    def raise_version(self) -> int:
        """Add one to the version of the pin set in the edited text, and return the new version.

        The file itself changes only with ``save``.
        """
        version: int = _parse(self._text)["version"] + 1
        self._set_version(version)
        return version

    def _set_version(self, version: int) -> None:
        data = _parse(self._text)
        self._replace(
            _VERSION.sub(rf"\g<1>{version}", self._text, count=1),
            {**data, "version": version},
            fix=f"write `version = {version}` on a separate line, near the top",
        )

    def _place(self, data: dict[str, Any], pattern: str, pin: Pin) -> tuple[int, int]:
        """Return the index of a host's ``[[host]]`` table, and the index of ``pin`` in this table.

        ``data`` is the parsed pin file, and ``pattern`` the host pattern.

        Raises ``ConfigError`` if the file has no such host or pin.
        """
        host = _host_at(data, pattern)
        for at, table in enumerate(data["host"][host].get("pin", ())):
            if Pin.parse(table["pin"]) == pin:
                return host, at
        raise ConfigError(f"{pattern} has no pin {pin}", key="pin", fix="see certpin rotate status")

    def _spans(self, lines: _Lines, host: int) -> list[_Span]:
        """Return the line range of each ``[[host.pin]]`` table of a host, in the order of the file.

        Args:
            lines: the lines of the pin file.
            host: the index of the host in the file, from 0.

        Raises:
            PinFileError: the host has a pin that is not written as such a table, so the editor
                can't change the host's pins.
        """
        spans = lines.pins(host)
        if len(spans) != len(_parse(self._text)["host"][host].get("pin", ())):
            raise PinFileError(
                "it cannot be edited in its present form", path=self.path, fix=_SEPARATE_TABLES
            )
        return spans

    def check(self) -> PinSet:
        """Return the pin set of the edited text, without writing the file.

        Raises:
            PinFileError: the edited text is not a valid pin file.
        """
        if self._checked is None or self._checked[0] != self._text:
            self._checked = self._text, PinSet.parse(self._text, path=self.path)
        return self._checked[1]

    def save(self) -> PinSet:
        """Write the edited pin file atomically.

        Returns:
            The saved pin set.

        Raises:
            PinFileError: the text is not a valid pin file, or can't be written.
            PinFileChangedError: another program changed the file since it was read. No other
                command of certpin can cause this if the editor was opened and saved in one block
                of ``with changing(path)``, which locks the pin file.
        """
        pins = PinSet.parse(self._text, path=self.path)
        with changing(self.path):  # no other command writes it between the check and the rename
            self.refuse_overwriting()
            write_atomically(self.path, self.text)
        self._before = self.text
        return pins

    def _with(self, added: str) -> str:
        """Return the text of the pin file with ``added`` appended, in the file's line endings."""
        newline = "\r\n" if "\r\n" in self._text else "\n"
        text = self._text if self._text.endswith("\n") else self._text + newline
        return text + f"\n{added}".replace("\n", newline)

    def refuse_overwriting(self) -> None:
        """Raise ``PinFileChangedError`` if another program changed the file since it was read.

        ``save`` calls this before it writes, because it would overwrite the other program's change.
        A file that was deleted or created since then counts as changed.
        """
        now = read_text(self.path) if self.path.exists() else None
        if now != self._before:
            raise PinFileChangedError.of(self.path)

    def _replace(self, text: str, expected: dict[str, Any], *, fix: str) -> None:
        if not _is_text_of(expected, text):
            raise PinFileError("it cannot be edited in its present form", path=self.path, fix=fix)
        self._text = text


def editable_pins(text: str) -> list[int]:
    """Return for each host of a pin file the number of pins that the editor can change.

    The editor can change a pin in a ``[[host.pin]]`` table, and not one in a list of inline tables.
    The result has one number for each ``[[host]]`` table, in the order of the file; hosts in a list
    are left out. A rule of ``certpin lint`` compares the numbers with those of all pins, and
    reports the hosts with pins that can't be changed. ``text`` is the text of the pin file.
    """
    return _Lines(text).pin_counts()


def without_servers(text: str, path: Path) -> str:
    """Return the text of a pin file without its ``[[host.server]]`` tables, for publishing.

    Everything else is unchanged, byte for byte.

    Args:
        text: the text of a valid pin file.
        path: the path of the pin file, for errors.

    Raises:
        PinFileError: a server is not written under its own ``[[host.server]]``.
    """
    data = _parse(text)
    if [host.pop("server", None) for host in data["host"]] == [None] * len(data["host"]):
        return text
    published = _Lines(text).without_tables("host.server")
    if not _is_text_of(data, published):
        raise PinFileError(
            "its servers must not be published, and cannot be removed in their present form",
            path=path,
            key="host.server",
            fix="write each server under its own [[host.server]]",
        )
    return published


def public_text(text: str, path: Path) -> str:
    """Return the text of a pin file for publishing: without servers, comments and notes of pins.

    These are only for the team. For example, a note names the place where a key is stored.

    Args:
        text: the text of a valid pin file.
        path: the path of the pin file, for errors.

    Raises:
        PinFileError: a server or a note can't be removed, because it is part of a longer line.
    """
    text = without_servers(text, path)
    data = _parse(text)
    _drop_notes(data)
    published = _PRIVATE.sub(lambda found: "" if found["private"] else found[0], text)
    if not _is_text_of(data, published):
        raise PinFileError(
            "its notes must not be published, and cannot be removed in their present form",
            path=path,
            key="host.pin.note",
            fix="write each pin under its own [[host.pin]], and its note on a separate line",
        )
    return published


def _is_text_of(expected: dict[str, Any], text: str) -> bool:
    """Return True if an edited text is valid TOML, and its data are equal to ``expected``.

    If not, the edit went wrong: the caller discards it, and raises ``PinFileError``.
    """
    try:
        return _parse(text) == expected
    except ValueError:  # tomli.TOMLDecodeError
        return False


def _drop_notes(value: Any) -> None:
    """Remove the notes from the data of a pin file, at any depth.

    ``value`` is the data, or a part of it. It is changed in place.
    """
    if isinstance(value, dict):
        if isinstance(value.get("note"), str):
            del value["note"]
        for item in value.values():
            _drop_notes(item)
    elif isinstance(value, list):
        for item in value:
            _drop_notes(item)


def _parse(text: str) -> dict[str, Any]:
    """Return the data of a TOML text, to compare it with the data of another text.

    Floats are returned as strings: as a number, the float NaN would not be equal to itself.
    """
    import tomli  # only needed to read a file

    return tomli.loads(text, parse_float=str)


def _host_at(data: dict[str, Any], pattern: str) -> int:
    wanted = HostPattern.parse(pattern)
    for at, table in enumerate(data.get("host", ())):
        if HostPattern.parse(table["name"]) == wanted:
            return at
    raise ConfigError(
        f"there is no policy with the name {pattern}",
        key="host",
        fix="write it as in the pin file",
    )


def _host_table(policy: HostPolicy, trust: str) -> dict[str, Any]:
    """Return a policy as the data of a ``[[host]]`` table.

    ``trust`` is the name of the file with the policy's trust anchors, or ``system``.
    """
    servers = [_server_table(policy.pattern, server) for server in policy.servers]
    values: dict[str, Any] = {
        "name": str(policy.pattern),
        "mode": policy.mode,
        "match": policy.match,
        "expires": _expiry(policy.expires) if policy.expires else None,
        "on_expiry": policy.on_expiry if policy.on_expiry != "fail-closed" else None,
        "trust": trust if trust != "system" else None,
        "strict_x509": policy.trust.strict if policy.trust else None,
        "report_to": list(policy.report_to) or None,
        "require_ct": True if policy.ct_logs and policy.ct_logs.timestamp else None,
        "provider_edition": policy.provider_edition,
        "server": servers or None,
        "pin": [_pin_table(entry) for entry in policy.pins],
    }
    return {key: value for key, value in values.items() if value is not None}


def _expiry(moment: datetime) -> date:
    """Return the expiry ``moment`` as TOML data, for the key ``expires`` of a host.

    The result is a date if it is midnight in UTC; otherwise a date with a time.
    """
    moment = moment.astimezone(UTC)
    return moment if moment.time() != time.min else moment.date()


def _pin_table(entry: HostPin) -> dict[str, Any]:
    """Return a policy's pin as the data of a ``[[host.pin]]`` table."""
    table: dict[str, Any] = {"pin": str(entry.pin), "role": entry.role, "state": entry.state}
    if entry.note:
        table["note"] = entry.note
    if entry.provider:
        table["provider"] = _one_or_list(entry.provider)
    if entry.not_after:
        table["not_after"] = entry.not_after
    return table


def _one_or_list(names: tuple[str, ...]) -> str | list[str]:
    return names[0] if len(names) == 1 else list(names)


def _server_table(pattern: HostPattern, server: HostServer) -> dict[str, Any]:
    """Return a policy's server as the data of a ``[[host.server]]`` table."""
    table = {
        "address": server.address_text(pattern),
        "region": server.region,
        "starttls": server.starttls,
    }
    return {key: value for key, value in table.items() if value}


@dataclass(frozen=True)
class _Span:
    """The range of lines of a TOML table in a pin file, from its header to its last value."""

    first: int
    end: int  # exclusive


class _Lines:
    """The lines of a pin file, in which TOML tables are found by their headers.

    A line in a multi-line string that looks like a header is taken for a header. So the caller must
    parse the edited text and check its data.
    """

    def __init__(self, text: str) -> None:
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._lines = text.split("\n")

    def hosts(self) -> list[_Span]:
        """Return the line range of each ``[[host]]`` table, in the order of the file.

        A range ends before the first table inside the host, such as ``[[host.pin]]``.
        """
        return [span for name, span in self._tables() if name == "host"]

    def pins(self, host: int) -> list[_Span]:
        """Return the line range of each ``[[host.pin]]`` table of one host.

        ``host`` is the index of the host among the ``[[host]]`` tables, from 0.
        """
        found, at = [], -1
        for name, span in self._tables():
            at += name == "host"
            if at == host and name == "host.pin":
                found.append(span)
        return found

    def pin_counts(self) -> list[int]:
        """Return the number of ``[[host.pin]]`` tables of each ``[[host]]`` table."""
        counts: list[int] = []
        for name, _ in self._tables():
            if name == "host":
                counts.append(0)
            elif name == "host.pin" and counts:
                counts[-1] += 1
        return counts

    def _tables(self) -> Iterator[tuple[str, _Span]]:
        """Yield the name and the line range of each table, in the order of the file."""
        headers = [
            (number, _SPELLING.sub("", match[1]))
            for number, line in enumerate(self._lines)
            if (match := _HEADER.match(line))
        ]
        for (first, name), (end, _) in pairwise([*headers, (len(self._lines), "")]):
            yield name, _Span(first, self._last(first, end))

    def without_tables(self, name: str) -> str:
        """Return the text without each table of this name, its sub-tables and its comments.

        The comments directly above and below a table are removed, up to an empty line, because they
        may name a server. So a comment of the next table is removed too, if no empty line is before
        it.
        """
        kept = list(self._lines)
        for found, span in reversed(list(self._tables())):
            if found != name and not found.startswith(f"{name}."):
                continue
            first, end = span.first, span.end
            while end < len(kept) and _COMMENT.match(kept[end]):
                end += 1
            while first and _COMMENT.match(kept[first - 1]):
                first -= 1
            if first and not kept[first - 1].strip():
                first -= 1
            del kept[first:end]
        return "\n".join(kept)

    def with_value(self, span: _Span, key: str, value: str) -> str:
        """Return the text with a new value for ``key`` in a table. A missing key is added.

        An old value that is written on several lines is not found. The key is then added a second
        time, and the caller refuses the text, because it isn't valid TOML.

        Args:
            span: the line range of the table.
            key: the TOML key in the table.
            value: the new value, as TOML text.
        """
        written = re.compile(rf"""(\s*(["']?){re.escape(key)}\2\s*=\s*){_ONE_LINE}""")
        lines = list(self._lines)
        for number in range(span.first + 1, span.end):
            if match := written.match(lines[number]):
                lines[number] = match[1] + value + lines[number][match.end() :]
                return "\n".join(lines)
        indent = re.match(r"\s*", lines[span.end - 1])
        added = f"{indent[0] if indent else ''}{key} = {value}"
        return self._with(span.end, [added])

    def with_table(self, after: _Span, table: str) -> str:
        """Return the text with a new table inserted below an existing one, after an empty line.

        ``after`` is the line range of the existing table, and ``table`` the text of the new one.
        """
        return self._with(after.end, ["", *table.rstrip("\n").split("\n")])

    def without(self, span: _Span) -> str:
        """Return the text without the lines of a table (``span``), and without an empty line above.

        A comment above the table stays.
        """
        first = span.first
        if first and not self._lines[first - 1].strip():
            first -= 1
        return "\n".join(self._lines[:first] + self._lines[span.end :])

    def _with(self, at: int, added: list[str]) -> str:
        end = self._newline.removesuffix("\n")
        lines = list(self._lines)
        if at == len(lines):  # the last line has no end
            lines[-1] += end
            return "\n".join([*lines, *(line + end for line in added[:-1]), added[-1]])
        return "\n".join([*lines[:at], *(line + end for line in added), *lines[at:]])

    def _last(self, first: int, end: int) -> int:
        """Return the index of the line after the last value of a table.

        The table begins at line ``first``, and the next table begins at line ``end``. Comments
        below the last value count as part of the next table.
        """
        while end > first + 1 and _EMPTY.fullmatch(self._lines[end - 1]):
            end -= 1
        return end

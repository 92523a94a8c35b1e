"""Read a pin file for its mistakes: all of them, where ``PinSet.load`` stops at the first."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from certpin.errors import ConfigError
from certpin.lint.document import AnchorFile, Document, Entry, Host
from certpin.pinfile.disk import read_text
from certpin.pinfile.fields import PinFileWarning, Table
from certpin.pinfile.file import PinSet
from certpin.pinfile.reader import (
    anchor_certificates,
    beside,
    host_pattern,
    host_server,
    load_toml,
    pin_digest,
    refuse_other_schema,
    strict_x509,
)
from certpin.pins import Match, Mode, OnExpiry, Role, State

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

Value = TypeVar("Value")


def load_document(path: str | os.PathLike[str], **known: Any) -> Document:
    """Read a pin file, and the trust anchors that it names.

    Raises ``PinFileError`` on what stops the reading altogether: no file, not UTF-8, not TOML,
    more than any pin file has. ``known`` are further fields of the document.
    """
    return read_document(read_text(Path(path)), path, **known)


def read_document(text: str, path: str | os.PathLike[str] = "pins.toml", **known: Any) -> Document:
    """Read the text of a pin file. Files that it names are found relative to ``path``.

    Raises ``PinFileError`` on what is not TOML.
    """
    file = Path(path)
    reading = _Reading(load_toml(text, file), file.parent)
    fields = reading.fields()
    problems = tuple(reading.problems)
    pins, refusal = (None, None) if problems else _as_clients_do(text, file)
    return Document(
        str(path), text, problems=problems, refusal=refusal, pins=pins, **fields, **known
    )


def _as_clients_do(text: str, path: Path) -> tuple[PinSet | None, ConfigError | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PinFileWarning)  # a rule tells of unknown keys
        try:
            return PinSet.parse(text, path=path), None
        except ConfigError as exc:
            return None, exc


class _Reading:
    """One reading: what cannot be read becomes a problem, and has its default."""

    def __init__(self, data: dict[str, Any], folder: Path) -> None:
        self._data = data
        self._folder = folder
        self._files: dict[str, AnchorFile] = {}
        self.problems: list[ConfigError] = []

    def fields(self) -> dict[str, Any]:
        """The fields of the document that come from the file."""
        top = Table(self._data)
        self._tried(lambda: refuse_other_schema(top), otherwise=None)
        if self.problems:
            return {"data": self._data}  # whatever stands there means something else
        self._tried(lambda: top.text("name"), otherwise="")
        self._tried(lambda: top.integer("version"), otherwise=1)
        hosts = self._tables(top, "host")
        debug = self._tried(lambda: top.table("debug"), otherwise=None)
        return {
            "data": self._data,
            "hosts": tuple(map(self._host, hosts)),
            "debug": self._anchors(debug, "anchors") if debug else None,
        }

    def _host(self, table: Table) -> Host:
        of = partial(_choice, self._tried, table)
        servers = self._tables(table, "server")
        for server in servers:
            self._tried(partial(host_server, server), otherwise=None)
        self._tried(lambda: strict_x509(table), otherwise=None)
        system = table.data.get("trust", "system") == "system"
        return Host(
            table.key,
            table.data,
            self._tried(lambda: host_pattern(table), otherwise=None),
            tuple(map(self._entry, self._tables(table, "pin"))),
            of("mode", get_args(Mode), "enforce"),
            of("match", get_args(Match), "any"),
            self._tried(lambda: table.moment("expires"), otherwise=None),
            of("on_expiry", get_args(OnExpiry), "fail-closed"),
            None if system else self._anchors(table, "trust"),
            self._tried(lambda: table.texts("report_to"), otherwise=()),
            tuple((server.key, server.data) for server in servers),
        )

    def _entry(self, table: Table) -> Entry:
        of = partial(_choice, self._tried, table)
        self._tried(lambda: table.text("note", ""), otherwise="")
        return Entry(
            table.key,
            table.data,
            self._tried(lambda: pin_digest(table), otherwise=None),
            of("role", get_args(Role), "leaf"),
            of("state", get_args(State), "active"),
        )

    def _anchors(self, table: Table, name: str) -> AnchorFile | None:
        """A file of trust anchors, read once however many hosts name it."""
        file = self._tried(lambda: table.text(name), otherwise="")
        if not file:
            return None
        key = table.under(name)
        if file not in self._files:
            self._files[file] = self._read(file, key)
        return AnchorFile(key, file, self._files[file].certificates, self._files[file].problem)

    def _read(self, file: str, key: str) -> AnchorFile:
        try:
            return AnchorFile(key, file, anchor_certificates(beside(self._folder), file, key))
        except ConfigError as exc:
            return AnchorFile(key, file, (), exc.problem)

    def _tables(self, table: Table, name: str) -> list[Table]:
        """The tables of an array, without those that are none."""
        found: list[Table] = []
        values: list[Any] = self._tried(lambda: table.items(name), otherwise=[])
        for index, value in enumerate(values):
            read = partial(Table, value, f"{table.under(name)}[{index}]")
            if each := self._tried(read, otherwise=None):
                found.append(each)
        return found

    def _tried(self, read: Callable[[], Value], *, otherwise: Value) -> Value:
        try:
            return read()
        except ConfigError as exc:
            self.problems.append(exc)
            return otherwise


def _choice(
    tried: Callable[..., Any], table: Table, name: str, choices: tuple[str, ...], default: str
) -> str:
    value: str = tried(lambda: table.choice(name, choices, default), otherwise=default)
    return value

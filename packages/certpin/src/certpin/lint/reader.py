"""Parse a pin file in spite of its mistakes, and collect all mistakes for the lint rules.

In contrast, ``PinSet.load`` stops at the first mistake.
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from certpin.errors import ConfigError
from certpin.lint.document import AnchorFile, HostEntry, LintDocument, PinEntry
from certpin.pinfile.file import PinFileWarning, Table, load_toml, read_text
from certpin.pinfile.reader import (
    PinSet,
    anchor_certificates,
    files_in,
    host_pattern,
    host_server,
    pin_digest,
    read_log_list,
    refuse_other_schema,
    requires_ct,
    strict_x509,
)
from certpin.pins import Match, Mode, OnExpiry, Role, State
from certpin.x509.log_list import PLATFORM_LOGS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from certpin.x509.log_list import LogList

Value = TypeVar("Value")


def load_document(path: str | os.PathLike[str], **extra: Any) -> LintDocument:
    """Read a pin file for the lint rules, and the files of trust anchors that it names.

    Args:
        path: the pin file.
        extra: values for other fields of ``LintDocument``, such as ``adoption_days``.

    Returns:
        The document. Invalid values are listed in its field ``problems``.

    Raises:
        PinFileError: the file is missing, is not UTF-8, is not TOML, or exceeds a limit.
    """
    return read_document(read_text(Path(path)), path, **extra)


def read_document(
    text: str, path: str | os.PathLike[str] = "pins.toml", **extra: Any
) -> LintDocument:
    """Parse the text of a pin file, and read the files of trust anchors that it names.

    Args:
        text: the content of the pin file.
        path: the pin file's path, for findings; files that the text names are relative to its
            folder.
        extra: values for other fields of ``LintDocument``, such as ``adoption_days``.

    Returns:
        The document. Invalid values are listed in its field ``problems``.

    Raises:
        PinFileError: the text is not TOML, or exceeds a limit.
    """
    file = Path(path)
    reader = _DocumentReader(load_toml(text, file), file.parent)
    fields = reader.fields()
    problems = tuple(reader.problems)
    pins, refusal = (None, None) if problems else _parse_as_client(text, file)
    return LintDocument(
        str(path), text, problems=problems, refusal=refusal, pins=pins, **fields, **extra
    )


def _parse_as_client(text: str, path: Path) -> tuple[PinSet | None, ConfigError | None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PinFileWarning)  # the rule unknown-key reports them
        try:
            return PinSet.parse(text, path=path), None
        except ConfigError as exc:
            return None, exc


class _DocumentReader:
    """Parses the tables of one pin file. A value that can't be read is replaced by its default.

    ``problems`` is a list with an error for each value that can't be read.
    """

    def __init__(self, data: dict[str, Any], folder: Path) -> None:
        self._data = data
        self._folder = folder
        self._files: dict[str, AnchorFile] = {}
        self._logs: LogList | None = None
        self.problems: list[ConfigError] = []

    def fields(self) -> dict[str, Any]:
        """Parse the pin file, and return its content as keyword arguments for ``LintDocument``."""
        top = Table(self._data)
        self._try(lambda: refuse_other_schema(top), default=None)
        if self.problems:
            return {"data": self._data}  # another schema may give the same keys another meaning
        self._try(lambda: top.text("name"), default="")
        self._try(lambda: top.integer("version"), default=1)
        logs = self._try(lambda: read_log_list(top, files_in(self._folder)), default=None)
        # A list that can't be read is one mistake, and not one more for each host.
        self._logs = logs or (PLATFORM_LOGS if "ct_logs" in self._data else None)
        hosts = self._tables(top, "host")
        debug = self._try(lambda: top.table("debug"), default=None)
        return {
            "data": self._data,
            "hosts": tuple(map(self._host, hosts)),
            "debug": self._anchors(debug, "anchors") if debug else None,
            "ct_logs": logs,
        }

    def _host(self, table: Table) -> HostEntry:
        choice = partial(self._choice, table)
        servers = self._tables(table, "server")
        for server in servers:
            self._try(partial(host_server, server), default=None)
        self._try(lambda: strict_x509(table), default=None)
        system = table.data.get("trust", "system") == "system"
        return HostEntry(
            table.key,
            table.data,
            self._try(lambda: host_pattern(table), default=None),
            tuple(map(self._entry, self._tables(table, "pin"))),
            choice("mode", get_args(Mode), "enforce"),
            choice("match", get_args(Match), "any"),
            self._try(lambda: table.moment("expires"), default=None),
            choice("on_expiry", get_args(OnExpiry), "fail-closed"),
            None if system else self._anchors(table, "trust"),
            self._try(lambda: table.texts("report_to"), default=()),
            tuple((server.key, server.data) for server in servers),
            self._try(lambda: requires_ct(table, self._logs), default=False),
            self._try(lambda: table.day("provider_edition"), default=None),
        )

    def _entry(self, table: Table) -> PinEntry:
        self._try(lambda: table.text("note", ""), default="")
        self._try(lambda: table.day("not_after"), default=None)
        return PinEntry(
            table.key,
            table.data,
            self._try(lambda: pin_digest(table), default=None),
            self._choice(table, "role", get_args(Role), "leaf"),
            self._choice(table, "state", get_args(State), "active"),
            self._try(lambda: table.text_or_texts("provider"), default=()),
        )

    def _anchors(self, table: Table, name: str) -> AnchorFile | None:
        """Return the file of trust anchors that a table names; None if the table names no file.

        ``name`` is the TOML key in the table, such as ``trust``. A file that several tables name is
        read once. If it can't be read, the result has the reason in ``problem``.
        """
        file = self._try(lambda: table.text(name), default="")
        if not file:
            return None
        key = table.under(name)
        if file not in self._files:
            self._files[file] = self._read_anchors(file, key)
        return AnchorFile(key, file, self._files[file].certificates, self._files[file].problem)

    def _read_anchors(self, file: str, key: str) -> AnchorFile:
        try:
            return AnchorFile(key, file, anchor_certificates(files_in(self._folder), file, key))
        except ConfigError as exc:
            return AnchorFile(key, file, (), exc.problem)

    def _tables(self, table: Table, name: str) -> list[Table]:
        """Return the tables of the array ``name`` in a table; empty if the key is missing.

        A value that is not an array, or an element of it that is not a table, is skipped, and added
        to ``problems``.
        """
        found: list[Table] = []
        values: list[Any] = self._try(lambda: table.items(name), default=[])
        for index, value in enumerate(values):
            read = partial(Table, value, f"{table.under(name)}[{index}]")
            if each := self._try(read, default=None):
                found.append(each)
        return found

    def _choice(self, table: Table, name: str, choices: tuple[str, ...], default: str) -> str:
        value: str = self._try(lambda: table.choice(name, choices, default), default=default)
        return value

    def _try(self, read: Callable[[], Value], *, default: Value) -> Value:
        try:
            return read()
        except ConfigError as exc:
            self.problems.append(exc)
            return default

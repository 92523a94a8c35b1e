"""Change ``pins.toml`` as a careful person would: comments, order and unknown keys stay.

The text is edited, not written anew: a host is appended, a version replaced. What comes out is
parsed, and must hold what the file held before and the change, nothing else.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any

from certpin.errors import ConfigError, PinFileError
from certpin.pinfile.file import PinSet, read_text
from certpin.pinfile.reader import SCHEMA
from certpin.pinfile.writing import write_atomically
from certpin.pins import HostPattern

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.pins import HostPin, HostPolicy

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
        host = _host_table(policy, trust)
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

    def raise_version(self) -> int:
        """Count the version up: a changed pin set is another one. Returns the new version."""
        data = _parse(self._text)
        version: int = data["version"] + 1
        self._replace(
            _VERSION.sub(rf"\g<1>{version}", self._text, count=1),
            {**data, "version": version},
            fix=f"write `version = {version}` on a line of its own, near the top",
        )
        return version

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
        except tomllib.TOMLDecodeError:
            data = {}
        if data != expected:
            raise PinFileError("it cannot be edited as it is written", path=self.path, fix=fix)
        self._text = text


def _parse(text: str) -> dict[str, Any]:
    """Numbers with a point stay text: NaN is not equal to itself."""
    return tomllib.loads(text, parse_float=str)


def _host_table(policy: HostPolicy, trust: str) -> dict[str, Any]:
    table: dict[str, Any] = {
        "name": str(policy.pattern),
        "mode": policy.mode,
        "match": policy.match,
    }
    if policy.expires is not None:
        table["expires"] = _expiry(policy.expires)
    if policy.on_expiry != "fail-closed":
        table["on_expiry"] = policy.on_expiry
    if trust != "system":
        table["trust"] = trust
    if policy.report_to:
        table["report_to"] = list(policy.report_to)
    return table | {"pin": [_pin_table(entry) for entry in policy.pins]}


def _expiry(moment: datetime) -> date:
    """A date where it means the same: its first moment in UTC."""
    moment = moment.astimezone(UTC)
    return moment if moment.time() != time.min else moment.date()


def _pin_table(entry: HostPin) -> dict[str, Any]:
    table = {"pin": str(entry.pin), "role": entry.role, "state": entry.state}
    return table | {"note": entry.note} if entry.note else table

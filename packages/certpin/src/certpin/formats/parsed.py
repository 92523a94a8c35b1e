"""The content of a platform's file: its typed values, and the pinning settings of its hosts.

- ``Shape`` gives typed access to untrusted JSON, property lists and YAML.
- ``Found`` has the settings of one host, and ``ParsedFile`` those of all hosts in a file.
- ``row``, ``pem`` and ``timestamp`` convert settings, trust anchors and times to text; ``found``,
  ``read_anchors`` and ``read_timestamp`` parse this text.
"""

from __future__ import annotations

import json
import re
import shlex
import ssl
import warnings
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from certpin.errors import ConfigError, FormatError, HostError, InputError, PinFileError
from certpin.pins import (
    HostPattern,
    HostPin,
    HostPolicy,
    Match,
    Mode,
    OnExpiry,
    Pin,
    PinSet,
    TrustAnchors,
)
from certpin.pins.hosts import split_address
from certpin.x509.log_list import LogList

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from certpin.pins import Role, State

Value = TypeVar("Value")

_MAX_VERSION = 2**63 - 1  # as in the pin file
_MAX_SHOWN = 5  # hosts in an error
_HOST_KEY = re.compile(r"host\[(\d+)\]")  # in the key of an error


class FormatWarning(UserWarning):
    """Warning: an import skipped a setting, because a pin file cannot express it."""


class UnrelatedWarning(FormatWarning):
    """Warning: an import skipped settings of an app that have nothing to do with its pins.

    Many files contain such settings beside an exported pin set. If certpin checks whether an
    exported file was changed, they don't count as a change.
    """


def pass_over(what: str, *, unrelated: bool = False) -> None:
    """Warn that an import skips a setting.

    Call it only if the loss of the setting locks no client out. Otherwise, raise ``FormatError``.

    Args:
        what: the setting and its line or place, as a phrase for the warning.
        unrelated: True if the setting has nothing to do with pins. The category of the warning is
            then ``UnrelatedWarning`` instead of ``FormatWarning``.
    """
    category = UnrelatedWarning if unrelated else FormatWarning
    warnings.warn(f"not imported: {what}", category, stacklevel=2)


@dataclass(frozen=True)
class Source:
    """A file to import.

    ``data`` is its content. ``beside`` is a function that reads another file by its path relative
    to this one, and raises ``FormatError`` if that file does not exist.
    """

    data: bytes
    beside: Callable[[str], bytes] = field(repr=False)

    @property
    def text(self) -> str:
        """The content as text. Raises ``FormatError`` if it is not UTF-8."""
        try:
            return self.data.decode().removeprefix("\N{BOM}")
        except UnicodeDecodeError as exc:
            raise FormatError("the file is not UTF-8 text", fix="save it as UTF-8") from exc


# Typed values.


class Shape:
    """A value in an untrusted file, with a record of which parts of it the import has read.

    The import warns about all parts that it has not read. ``place`` is the location of the value in
    the file, as text for error messages. The methods that read the value, or a part of it, raise
    ``FormatError`` if it has another type.
    """

    def __init__(self, value: object, place: str = "it") -> None:
        self._value = value
        self._parts: dict[object, Shape] = {}  # the children that were read, by name or index
        self.place = place

    @staticmethod
    def json(text: str) -> Shape:
        """Parse a JSON text (RFC 8259). Raises ``FormatError``, also if an object repeats a key."""
        try:
            return Shape(json.loads(text, object_pairs_hook=_unique))
        except (ValueError, RecursionError) as exc:  # ValueError: also for a number of 5000 digits
            raise FormatError(f"the file is not JSON: {exc}"[:200]) from exc

    def get(self, name: str) -> Shape | None:
        """Return the value of the key ``name`` in this mapping, or ``None`` if it lacks the key."""
        mapping: dict[Any, Any] = self._typed(dict, "a mapping")
        return self._part(name, mapping[name], self._under(name)) if name in mapping else None

    def need(self, name: str) -> Shape:
        """Return the value of the key ``name``. Raises ``FormatError`` if the mapping lacks it."""
        found = self.get(name)
        if found is None:
            raise FormatError(f"{self._under(name)} is missing")
        return found

    def entries(self) -> Iterator[tuple[str, Shape]]:
        """Yield the keys and values of this mapping. Raises ``FormatError`` for another value."""
        mapping: dict[Any, Any] = self._typed(dict, "a mapping")
        for name, value in mapping.items():
            if not isinstance(name, str):
                raise FormatError(f"{self.place}: a key must be a text")
            yield name, self._part(name, value, self._under(name))

    def items(self) -> Iterator[Shape]:
        """Yield the elements of this value. Raises ``FormatError`` if it is not a list."""
        values: list[Any] = self._typed(list, "a list")
        for index, value in enumerate(values):
            yield self._part(index, value, f"{self.place}[{index}]")

    @property
    def is_text(self) -> bool:
        """True if this value of the file is a string."""
        return isinstance(self._value, str)

    def text(self) -> str:
        """Return this value, which must be a string. Raises ``FormatError`` otherwise."""
        return self._typed(str, "a text")

    def texts(self) -> list[str]:
        """Return this value, which must be a list of strings. Raises ``FormatError`` otherwise."""
        return [each.text() for each in self.items()]

    def flag(self) -> bool:
        """Return this value, which must be a boolean. Raises ``FormatError`` otherwise."""
        return self._typed(bool, "true or false")

    def integer(self) -> int:
        """Return this value, which must be an integer. Raises ``FormatError`` otherwise."""
        if isinstance(self._value, bool):
            raise self._wrong("a whole number")
        return self._typed(int, "a whole number")

    def is_one_of(self, *values: object) -> bool:
        """Return True if this value is one of ``values``, and of the same type (1 is not True)."""
        return any(type(each) is type(self._value) and each == self._value for each in values)

    def names(self) -> set[str]:
        """Return the keys of this mapping. Their values stay unread.

        Raises ``FormatError`` if this value is not a mapping.
        """
        return {str(name) for name in self._typed(dict, "a mapping")}

    def day(self) -> str:
        """Return this value, a date, as text. Raises ``FormatError`` if it is not a date or string.

        For a date, the parsers of some formats return a date object, and others a string. It is not
        checked that a string contains a date.
        """
        if isinstance(self._value, date):
            return self._value.isoformat()
        return self.text()

    def as_json(self) -> bytes:
        """Return this value as newly encoded JSON. It must be from a JSON file, not from TOML.

        JSON can't contain the dates of TOML: they raise ``TypeError``.
        """
        return json.dumps(self._value).encode()

    def agree(self, name: str, *, value: bool) -> None:
        """Mark the boolean ``name`` in this mapping as read if its value is ``value``.

        ``value`` is the only value that certpin supports. The opposite value stays unread, so that
        the import warns about it.
        """
        mapping: dict[Any, Any] = self._typed(dict, "a mapping")
        if mapping.get(name) is value:
            self.get(name)

    def unread(self) -> Iterator[str]:
        """Yield the location of each value inside this one that the import did not read."""
        inside: dict[Any, Any] = {}
        if isinstance(self._value, dict):
            inside = self._value
        elif isinstance(self._value, list):
            inside = dict(enumerate(self._value))
        for name in inside:
            if name in self._parts:
                yield from self._parts[name].unread()
            elif isinstance(name, int):
                yield f"{self.place}[{name}]"
            else:
                yield self._under(str(name))

    def _part(self, name: object, value: object, place: str) -> Shape:
        return self._parts.setdefault(name, Shape(value, place))

    def _typed(self, kind: type[Value], words: str) -> Value:
        if not isinstance(self._value, kind):
            raise self._wrong(words)
        return self._value

    def _wrong(self, words: str) -> FormatError:
        return FormatError(f"{self.place} must be {words}")

    def _under(self, name: str) -> str:
        short = name if len(name) <= 80 else name[:77] + "…"
        return short if self.place == "it" else f"{self.place}.{short}"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dictionary. Raises ``ValueError`` if it repeats a key.

    ``pairs`` are the keys and values of the object. RFC 8259, section 4: some programs use the
    first of two values, and others the last.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"an object has the key {repeated[:80]!r} twice")
    return made


def pins_from(texts: list[str]) -> tuple[Pin, ...]:
    """Return the pins in ``texts``, each in any supported notation.

    Raises ``FormatError`` if one of the texts is not a pin.
    """
    try:
        return tuple(map(Pin.parse, texts))
    except InputError as exc:
        raise FormatError(exc.problem, fix=exc.fix) from exc


def read_anchors(data: bytes | str, source: str = "") -> TrustAnchors:
    """Parse the trust anchors ``data``, which are PEM or DER. Raises ``FormatError``.

    ``source`` is the name of their file, for messages; empty if they are not from a file.
    """
    if isinstance(data, str):
        data = data.encode(errors="replace")  # a text from JSON can have a lone surrogate
    try:
        return TrustAnchors.parse(data, source)
    except InputError as exc:
        raise FormatError(f"the trust anchors cannot be read: {exc.problem}") from exc


def read_logs(value: Shape) -> LogList:
    """Return the list of Certificate Transparency logs in a JSON value.

    Raises ``FormatError`` if the value is not such a list.
    """
    try:
        return LogList.parse(value.as_json(), value.place)
    except InputError as exc:
        raise FormatError(f"{value.place} is no list of logs: {exc.problem}", fix=exc.fix) from exc


def pem(anchors: TrustAnchors) -> str:
    """Return trust anchors as PEM text: all certificates, one after the other."""
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in anchors.der)


def read_timestamp(text: str) -> datetime:
    """Parse a date or a time, and return it as a time. Without a time zone it is in UTC.

    Raises ``FormatError`` for other texts.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise FormatError(f"{text[:40]!r} is not a date", fix="write it as 2027-06-01") from exc


def timestamp(moment: datetime) -> str:
    """Return a time with a zone as RFC 3339 text in UTC, which every platform can parse."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


# The settings of hosts.


def _more_pins(host: HostPattern, entries: tuple[HostPin, ...]) -> str:
    """Return the advice for an imported host with too few live pins: none, or one and no backup."""
    live = [entry.pin for entry in entries if entry.live]
    if not live:
        return (
            "add the pin of the key that the server uses to this file: certpin pin HOST prints it"
        )
    fix = (
        "add the pin of a backup key to this file: certpin pin KEY prints it; or import it with "
        "--mode report, which accepts one pin"
    )
    if host.wildcard:  # it names no server, so `certpin add` refuses it
        return fix
    key = shlex.quote(f"{host.name}.key")
    return (
        f"{fix}; or leave the host out of this file, and write it with a new backup key: "
        f"certpin add {host} --pin {live[0]} --backup-key {key}"
    )


@dataclass(frozen=True)
class Found:
    """The pinning settings of one host, as read from a platform's file.

    Attributes that aren't listed here are those of ``HostPolicy``.

    Attributes:
        pattern: the host pattern; empty if the file names no host, so that the user has to name it
            (``--host``).
        pins: the pins that the file lists for clients to accept.
        compromised: the pins of keys that clients have to refuse.
        ct_logs: the Certificate Transparency logs that the host requires; ``None`` for no
            requirement.
        entries: the pins with roles, states and notes; empty if the file has no roles and states.
        refusal: the error that ``policy`` raises because a pin file can't express a setting of the
            host; None if there is no such setting.
        line: the line of the host in the file, for errors; 0 if unknown.
    """

    pattern: str
    pins: tuple[Pin, ...]
    mode: Mode = "enforce"
    match: Match = "any"
    expires: datetime | None = None
    on_expiry: OnExpiry = "fail-closed"
    trust: TrustAnchors | None = None
    report_to: tuple[str, ...] = ()
    compromised: tuple[Pin, ...] = ()
    ct_logs: LogList | None = None
    entries: tuple[HostPin, ...] = ()
    provider_edition: date | None = None
    refusal: FormatError | None = None
    line: int = 0

    def policy(self, options: ImportOptions) -> HostPolicy:
        """Return the host's policy, with the user's options.

        The user's host is used only if the file names none.

        Raises:
            ConfigError: neither the file nor the user names a host.
            FormatError: the host is invalid, or a pin file can't express a setting.
            HostError: the user's host is invalid.
            PinFileError: the policy is unsafe, for example because of a single pin. The error has
                the host and the line, but no path.
        """
        if self.refusal:
            raise self.refusal
        pattern = self.pattern or options.host
        if not pattern:
            raise ConfigError("the file names no host", key="host", fix="name it: --host HOST")
        host = self._host() if self.pattern else HostPattern.parse(pattern)
        entries = self.entries or self._guessed()
        try:
            return HostPolicy(
                host,
                entries,
                mode=options.mode or self.mode,
                match=self.match,
                expires=self.expires,
                on_expiry=self.on_expiry,
                trust=self.trust,
                report_to=self.report_to,
                ct_logs=self.ct_logs,
                provider_edition=self.provider_edition,
            )
        except ConfigError as exc:
            # Its key and its fix are those for a pin file, which doesn't exist yet.
            fix = _more_pins(host, entries) if exc.key == "pin" else exc.fix
            raise self.unsafe(f"{host}: {exc.problem}", fix, host) from exc

    def unsafe(self, problem: str, fix: str, host: HostPattern) -> PinFileError:
        """Return the error for an unsafe policy of this host, with its line in the file.

        Args:
            problem: the reason why the policy is unsafe.
            fix: the advice for the user.
            host: the host pattern.
        """
        return PinFileError(problem, line=self.line or None, fix=fix, host=str(host))

    def _host(self) -> HostPattern:
        try:
            return HostPattern.parse(self.pattern)
        except HostError as exc:
            place = f"line {self.line}: " if self.line else ""
            raise FormatError(place + exc.problem, fix=host_fix(self.pattern) or exc.fix) from exc

    def _guessed(self) -> tuple[HostPin, ...]:
        """Return the pins with guessed roles and states, because most platforms record none.

        The first pin is taken for the pin of the key in use, and the others for backup pins.
        """
        first: Role = "intermediate" if self.match == "ca" else "leaf"
        pins = dict.fromkeys(self.pins)  # a list may contain duplicates
        roles: list[Role] = ["backup" if index else first for index in range(len(pins))]
        live = tuple(
            HostPin(pin, role, imported_state(role)) for pin, role in zip(pins, roles, strict=True)
        )
        return live + tuple(HostPin(pin, state="compromised") for pin in self.compromised)


@contextmanager
def at_line(line: int) -> Iterator[None]:
    """Name the line of the file in a ``FormatError`` that the block raises."""
    try:
        yield
    except FormatError as exc:
        raise FormatError(f"line {line}: {exc.problem}", fix=exc.fix) from exc


def host_fix(pattern: str) -> str:
    """Return the fix for a host pattern that is a URL or has a port: write only its host.

    Return an empty text if the pattern contains no valid host.
    """
    try:
        return f"write {split_address(pattern.lstrip('*.'))[0]}"
    except HostError:
        return ""


def imported_state(role: Role) -> State:
    """Return the state of an imported pin, according to its role.

    Clients accept the pin already. A backup pin is ``published``, because no server uses its key;
    any other pin is ``active``.
    """
    return "published" if role == "backup" else "active"


@dataclass(frozen=True)
class ImportOptions:
    """Settings that the user gives for an import.

    Attributes:
        name: the name of the pin set; if empty, the file's is used.
        host: the host for settings for which the file names none; may be empty.
        mode: the mode of all policies; None to use the file's.
    """

    name: str = ""
    host: str = ""
    mode: Mode | None = None


@dataclass(frozen=True)
class WeakSetting:
    """A setting of a platform's file that weakens the checks of connections in a release.

    Attributes:
        kind: ``pins-overridden`` (no pins for the chains of some authorities),
            ``user-authorities`` (every authority that the user installed is trusted),
            ``only-user-authorities`` (no other authority is trusted), or ``cleartext`` (``http://``
            is permitted).
        line: the line of the setting.
    """

    kind: Literal["pins-overridden", "user-authorities", "only-user-authorities", "cleartext"]
    line: int


@dataclass(frozen=True)
class ParsedFile:
    """The settings in a platform's file.

    Attributes:
        hosts: the settings of each host.
        name: the name of the exported pin set; empty if certpin did not write the file.
        version: the version of the exported pin set; 1 if certpin did not write the file.
        debug: the trust anchors for debug builds; None if there are none.
        refusal: the error that ``pin_set`` raises because a pin file can't express all of the
            settings together; None if it can.
    """

    hosts: tuple[Found, ...]
    name: str = ""
    version: int = 1
    debug: TrustAnchors | None = None
    refusal: FormatError | None = None

    def pin_set(self, options: ImportOptions) -> PinSet:
        """Return the pin set that the file describes.

        ``options`` has the user's settings. Raises ``ConfigError`` if the user named a host that is
        not in the file, ``PinFileError`` if the pin set is unsafe, and ``FormatError`` if the file
        has no pins, or settings that a pin file can't have.
        """
        if self.refusal:
            raise self.refusal
        policies = tuple(found.policy(options) for found in self.hosts)
        if not policies:
            raise FormatError("the file contains no pins", fix="check that it is the right file")
        _refuse_other_host(options.host, [str(policy.pattern) for policy in policies])
        if self.version > _MAX_VERSION:
            raise FormatError(
                f"the version of the pin set is above {_MAX_VERSION}", fix="write a smaller version"
            )
        name = options.name or self.name or policies[0].pattern.name
        try:
            return PinSet(name, self.version, policies, self.debug)
        except ConfigError as exc:
            host = _HOST_KEY.match(exc.key)
            if host is None:
                raise PinFileError(exc.problem, fix=exc.fix) from exc
            at = int(host[1])
            raise self.hosts[at].unsafe(exc.problem, exc.fix, policies[at].pattern) from exc


def _refuse_other_host(host: str, named: list[str]) -> None:
    """Raise ``ConfigError`` if the user named a host that no policy of the import has.

    Args:
        host: the host that the user named (``--host``); empty if there is none.
        named: the host patterns of the imported policies. Settings for which the file names no host
            already have the user's.
    """
    if host and str(HostPattern.parse(host)) not in named:
        shown = ", ".join(named[:_MAX_SHOWN]) + (", …" if named[_MAX_SHOWN:] else "")
        raise ConfigError(
            f"the file has the settings of {shown}, and not of {host[:260]}",
            key="--host",
            fix="leave it out; --host names the host of settings for which the file names none",
        )


# A policy by the names of its settings, which are the same in JSON and in all source code.
Row = dict[str, list[str]]

LISTS = frozenset({"pins", "compromised", "reportTo"})  # every other field has one value


def row(policy: HostPolicy) -> Row:
    """Return a policy's settings as texts: for the name of each setting, a list of its values.

    Empty settings are left out. Exported JSON and source code contain the settings in this form.
    """
    made: Row = {
        "pattern": [str(policy.pattern)],
        "mode": [policy.mode],
        "match": [policy.match],
        "pins": [str(pin) for pin in policy.live_pins],
        "compromised": [str(each.pin) for each in policy.pins if each.state == "compromised"],
        "expires": [timestamp(policy.expires)] if policy.expires else [],
        "onExpiry": [policy.on_expiry] if policy.expires else [],
        "trust": [pem(policy.trust)] if policy.trust else [],
        "reportTo": list(policy.report_to),
    }
    return {name: values for name, values in made.items() if values}


def found(fields: Row, entries: tuple[HostPin, ...] = ()) -> Found:
    """Return the settings of a host from exported source code or JSON.

    It is the inverse of ``row``.

    Args:
        fields: the values of each setting, by its name.
        entries: the pins with roles, states and notes, if the format has them.

    Raises:
        FormatError: a field has an invalid value.
    """
    return Found(
        pattern=_one(fields, "pattern", ""),
        pins=pins_from(fields.get("pins", [])),
        mode=choice(fields, "mode", get_args(Mode), "enforce"),
        match=choice(fields, "match", get_args(Match), "any"),
        expires=read_timestamp(fields["expires"][0]) if fields.get("expires") else None,
        on_expiry=choice(fields, "onExpiry", get_args(OnExpiry), "fail-closed"),
        trust=read_anchors(fields["trust"][0]) if fields.get("trust") else None,
        report_to=tuple(fields.get("reportTo", [])),
        compromised=pins_from(fields.get("compromised", [])),
        entries=entries,
    )


def _one(fields: Row, name: str, default: str) -> str:
    values = fields.get(name) or [default]
    return values[0]


def choice(fields: Row, name: str, choices: tuple[Any, ...], default: str) -> Any:
    """Return the policy setting ``name`` from ``fields``, or ``default`` if it is missing.

    ``fields`` has the values of each setting, by its name. Raises ``FormatError`` if the value is
    not in ``choices``.
    """
    value = _one(fields, name, default)
    if value not in choices:
        raise FormatError(
            f"{value[:40]!r} is not a valid {name}", fix=f"one of {', '.join(choices)}"
        )
    return value

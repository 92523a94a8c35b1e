"""The values in untrusted files: typed access to JSON, property lists and YAML; pins and anchors.

``pem`` and ``timestamp`` write what ``read_anchors`` and ``read_timestamp`` read.
"""

from __future__ import annotations

import json
import ssl
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from certpin.errors import FormatError, InputError
from certpin.pins import Pin, TrustAnchors
from certpin.x509.certificate import read_certificates
from certpin.x509.log_list import LogList

if TYPE_CHECKING:
    from collections.abc import Iterator

Value = TypeVar("Value")


class Shape:
    """A value in an untrusted file, with its location for errors, and a record of what was read.

    ``place`` is the location. The methods raise ``FormatError`` if the value has another type.
    """

    def __init__(self, value: object, place: str = "it") -> None:
        self._value = value
        self._parts: dict[object, Shape] = {}  # the children that were read, by name or index
        self.place = place

    @staticmethod
    def json(text: str) -> Shape:
        """Parse a JSON text (RFC 8259)."""
        try:
            return Shape(json.loads(text))
        except (ValueError, RecursionError) as exc:  # ValueError: also for a number of 5000 digits
            raise FormatError(f"the file is not JSON: {exc}"[:200]) from exc

    def get(self, name: str) -> Shape | None:
        """Return the value of the key ``name`` in this mapping, or ``None`` if it lacks the key."""
        mapping: dict[Any, Any] = self._typed(dict, "a mapping")
        return self._part(name, mapping[name], self._under(name)) if name in mapping else None

    def need(self, name: str) -> Shape:
        """Return the value of the key ``name``. Raises ``FormatError`` if it is missing."""
        found = self.get(name)
        if found is None:
            raise FormatError(f"{self._under(name)} is missing")
        return found

    def entries(self) -> Iterator[tuple[str, Shape]]:
        """Yield the keys and values of this value, a mapping. Raises ``FormatError``."""
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
        """True if this value of the file is a text."""
        return isinstance(self._value, str)

    def text(self) -> str:
        """Return this value, a text. Raises ``FormatError`` if it has another type."""
        return self._typed(str, "a text")

    def texts(self) -> list[str]:
        """Return this value, a list of texts. Raises ``FormatError`` if it has another type."""
        return [each.text() for each in self.items()]

    def flag(self) -> bool:
        """Return this value, a boolean. Raises ``FormatError`` if it has another type."""
        return self._typed(bool, "true or false")

    def integer(self) -> int:
        """Return this value, an integer. Raises ``FormatError`` if it has another type."""
        if isinstance(self._value, bool):
            raise self._wrong("a whole number")
        return self._typed(int, "a whole number")

    def day(self) -> str:
        """Return this value, a date, as text. Raises ``FormatError`` if it has another type.

        The parsers of some formats return a date object for it, and others a text.
        """
        if isinstance(self._value, date):
            return self._value.isoformat()
        return self.text()

    def as_json(self) -> bytes:
        """Return this value, with all values inside it, as JSON. It comes from a JSON file."""
        return json.dumps(self._value).encode()

    def agree(self, name: str, *, value: bool) -> None:
        """Mark the boolean ``name`` in this mapping as read if it has ``value``.

        ``value`` is the only one that certpin supports; the import warns about another one.
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


def pins_from(texts: list[str]) -> tuple[Pin, ...]:
    """Parse pins in any supported notation. Raises ``FormatError``."""
    try:
        return tuple(map(Pin.parse, texts))
    except InputError as exc:
        raise FormatError(exc.problem, fix=exc.fix) from exc


def read_anchors(data: bytes, source: str = "") -> TrustAnchors:
    """Parse trust anchors in PEM or DER; ``source`` is their file. Raises ``FormatError``."""
    try:
        return TrustAnchors(tuple(each.der for each in read_certificates(data)), source=source)
    except InputError as exc:
        raise FormatError(f"the trust anchors cannot be read: {exc.problem}") from exc


def read_logs(value: Shape) -> LogList:
    """Return the list of Certificate Transparency logs in a JSON value. Raises ``FormatError``."""
    try:
        return LogList.parse(value.as_json(), value.place)
    except InputError as exc:
        raise FormatError(f"{value.place} is no list of logs: {exc.problem}", fix=exc.fix) from exc


def pem(anchors: TrustAnchors) -> str:
    """Return trust anchors as PEM text."""
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in anchors.der)


def read_timestamp(text: str) -> datetime:
    """Parse a date or a time; without a time zone it is in UTC. Raises ``FormatError``."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise FormatError(f"{text[:40]!r} is not a date", fix="write it as 2027-06-01") from exc


def timestamp(moment: datetime) -> str:
    """Return a time as RFC 3339 text in UTC, which every platform can parse."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")

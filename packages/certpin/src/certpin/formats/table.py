"""The table of policies in exported source code. It has the same fields in every language.

    pattern, mode, match, pins, compromised, expires, onExpiry, trust, reportTo

A field is one of these words (in any case), then a colon or an equals sign, then all strings up to
the next field. A policy starts at its pattern and ends at the bracket that closes it.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args

from certpin.errors import FormatError, InputError
from certpin.formats.code import tokens
from certpin.formats.format import Found, ParsedFile
from certpin.formats.header import read_header
from certpin.pins import Match, Mode, OnExpiry, Pin, TrustAnchors
from certpin.x509.reader import read_certificates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.code import Token
    from certpin.formats.format import Source
    from certpin.pins import HostPin, HostPolicy

_FIELDS = (
    *("pattern", "mode", "match", "pins", "compromised"),
    *("expires", "onExpiry", "trust", "reportTo"),
)
LISTS = frozenset({"pins", "compromised", "reportTo"})  # every other field has one value
_KNOWN = {name.lower(): name for name in _FIELDS}

Row = dict[str, list[str]]


def row(policy: HostPolicy) -> Row:
    """Return a policy as a row of the table: the values of each field, without empty fields."""
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


def timestamp(moment: datetime) -> str:
    """Return a time as RFC 3339 text in UTC, which every platform can parse."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def pem(anchors: TrustAnchors) -> str:
    """Return trust anchors as PEM text."""
    return "".join(ssl.DER_cert_to_PEM_cert(der) for der in anchors.der)


def read_table(source: Source) -> ParsedFile:
    """Parse the table of policies in exported source code. Raises ``FormatError``."""
    name, version = read_header(source.text)
    hosts = tuple(found(each) for each in _rows(source.text))
    return ParsedFile(hosts, name, version)


def found(fields: Row, entries: tuple[HostPin, ...] = ()) -> Found:
    """Return the settings of the host that a row of the table describes.

    Args:
        fields: the row.
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
        trust=read_anchors(fields["trust"][0].encode()) if fields.get("trust") else None,
        report_to=tuple(fields.get("reportTo", [])),
        compromised=pins_from(fields.get("compromised", [])),
        entries=entries,
    )


def pins_from(texts: list[str]) -> tuple[Pin, ...]:
    """Parse pins in any supported notation. Raises ``FormatError``."""
    try:
        return tuple(map(Pin.parse, texts))
    except InputError as exc:
        raise FormatError(exc.problem, fix=exc.fix) from exc


def read_timestamp(text: str) -> datetime:
    """Parse a time or a date, in UTC unless it has a time zone. Raises ``FormatError``."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise FormatError(f"{text[:40]!r} is not a date", fix="write it as 2027-06-01") from exc


def read_anchors(data: bytes, source: str = "") -> TrustAnchors:
    """Parse trust anchors in PEM or DER; ``source`` is their file. Raises ``FormatError``."""
    try:
        return TrustAnchors(tuple(each.der for each in read_certificates(data)), source=source)
    except InputError as exc:
        raise FormatError(f"the trust anchors cannot be read: {exc.problem}") from exc


def _rows(text: str) -> Iterator[Row]:
    """Yield the fields of each policy in the text of an exported source file."""
    pieces = list(tokens(text))
    place = 0
    while place < len(pieces):
        if _field(pieces, place) == "pattern" and pieces[place + 2].kind == "string":
            fields, place = _row(pieces, place)
            yield fields
        else:
            place += 1


def _row(pieces: list[Token], place: int) -> tuple[Row, int]:
    """Return the fields of the policy that starts at token ``place``, and the index after it."""
    fields: Row = {}
    values: list[str] = []
    depth = 0
    while place < len(pieces) and depth >= 0:
        token = pieces[place]
        if name := _field(pieces, place):
            values = fields.setdefault(name, [])
        elif token.kind == "string":
            values.append(token.text)
        elif token.kind == "mark":
            depth += (token.text in "([{") - (token.text in ")]}")
        place += 1
    return fields, place


def _field(pieces: list[Token], place: int) -> str | None:
    """Return the name of the policy field that starts at token ``place``; None if none does."""
    if place + 2 >= len(pieces) or pieces[place].kind != "word":
        return None
    return _KNOWN.get(pieces[place].text.lower()) if pieces[place + 1].text in {":", "="} else None


def _one(fields: Row, name: str, default: str) -> str:
    values = fields.get(name) or [default]
    return values[0]


def choice(fields: Row, name: str, choices: tuple[Any, ...], default: str) -> Any:
    """Return the value of a row's field, which must be in ``choices``. Raises ``FormatError``."""
    value = _one(fields, name, default)
    if value not in choices:
        raise FormatError(
            f"{value[:40]!r} is not a valid {name}", fix=f"one of {', '.join(choices)}"
        )
    return value

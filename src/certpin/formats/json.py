"""Plain JSON: everything that the pin file says of clients, for your own programs.

The only format that loses nothing of a policy: it contains roles, states, notes and dead pins too.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from certpin.errors import FormatError
from certpin.formats.format import File, Format, Reading
from certpin.formats.shape import Shape
from certpin.formats.table import choice, found, pem, pins_from, read_anchors, row
from certpin.pins import HostPin, Role, State

if TYPE_CHECKING:
    from certpin.formats.format import Found, Source
    from certpin.pins import HostPolicy, PinSet

SCHEMA = "certpin-pins/1"
_STRICT = "strictX509"
_LISTS = {"reportTo"}  # every other field of a row has one value; the pins are written in full


def write(pins: PinSet) -> tuple[File, ...]:
    """One object: the pin set, its hosts in their order, their pins in theirs."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "name": pins.name,
        "version": pins.version,
        "hosts": [_host(policy) for policy in pins.policies],
    }
    if pins.debug:
        document["debug"] = {"trust": pem(pins.debug)}
    return (File(JSON.file, json.dumps(document, indent=2) + "\n"),)


def read(source: Source) -> Reading:
    """Read the object back. Raises ``FormatError``."""
    document = Shape.json(source.text)
    if document.need("schema").text() != SCHEMA:
        raise FormatError(f"its schema is not {SCHEMA}", fix="use the certpin that wrote it")
    debug = document.get("debug")
    return Reading(
        tuple(map(_found, document.need("hosts").items())),
        document.need("name").text(),
        document.need("version").integer(),
        read_anchors(debug.need("trust").text().encode()) if debug else None,
    )


def _host(policy: HostPolicy) -> dict[str, Any]:
    fields = {name: values if name in _LISTS else values[0] for name, values in row(policy).items()}
    fields.pop("compromised", None)  # the state of a pin says so
    strict = policy.trust.strict if policy.trust else None
    more: dict[str, Any] = {} if strict is None else {_STRICT: strict}
    return fields | more | {"pins": [_pin(entry) for entry in policy.pins]}


def _pin(entry: HostPin) -> dict[str, str]:
    fields = {"pin": str(entry.pin), "role": entry.role, "state": entry.state}
    return fields | ({"note": entry.note} if entry.note else {})


def _found(host: Shape) -> Found:
    entries = tuple(map(_entry, host.need("pins").items()))
    others = {"pins", _STRICT}
    fields = {name: _values(name, value) for name, value in host.entries() if name not in others}
    read = found(fields, entries)
    strict = host.get(_STRICT)
    if strict is None or read.trust is None:
        return read
    return replace(read, trust=replace(read.trust, strict=strict.flag()))


def _values(name: str, value: Shape) -> list[str]:
    return value.texts() if name in _LISTS else [value.text()]


def _entry(pin: Shape) -> HostPin:
    fields = {name: [value.text()] for name, value in pin.entries()}
    [parsed] = pins_from(fields.get("pin", [""]))
    role: Role = choice(fields, "role", get_args(Role), "leaf")
    state: State = choice(fields, "state", get_args(State), "active")
    return HostPin(parsed, role, state, fields.get("note", [""])[0])


JSON = Format(
    name="json",
    title="Plain JSON",
    use="Read it with any program: all that the pin file says stands in it.",
    file="pins.json",
    limits=(),
    write=write,
    read=read,
    needs=("The notes of your pins stand in it: keep it out of what you ship.",),
)

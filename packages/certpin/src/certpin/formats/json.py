"""Plain JSON: all settings of the pin file that concern clients, for your own programs.

This is the only format without omissions: it also contains roles, states, notes and removed pins.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, get_args

from certpin.errors import FormatError
from certpin.formats.format import File, Format
from certpin.formats.parsed import (
    ImportOptions,
    ParsedFile,
    Shape,
    choice,
    found,
    imported_state,
    pass_over,
    pem,
    pins_from,
    read_anchors,
    read_logs,
    row,
)
from certpin.pins import HostPin, Role, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from certpin.formats.parsed import Found, Source
    from certpin.pins import HostPolicy, PinSet, TrustAnchors
    from certpin.x509.log_list import LogList

SCHEMA = "certpin-pins/1"
_STRICT = "strictX509"
_LOGS = "ctLogs"  # of the whole pin set
_TRANSPARENT = "requireCt"
_EDITION = "providerEdition"
_TRUSTS = "trusts"  # in a journal: each text of ``trust``, by a digest
_REFERENCE = "#"  # precedes such a digest. It can't begin a PEM text.
_LISTS = {"reportTo"}  # every other field has one value; pins have their own objects
_HOST_TEXTS = ("pattern", "mode", "match", "expires", "onExpiry", "trust", *_LISTS)
_PIN_TEXTS = ("pin", "role", "state", "note")
# All keys, at any place, and the list of compromised pins, which other formats have.
_KEYS = (
    *("schema", "name", "version", "hosts", "debug", _LOGS, *_HOST_TEXTS, "pins", "compromised"),
    *(_STRICT, _TRANSPARENT, _EDITION, *_PIN_TEXTS, "provider", "notAfter"),
)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return the exported file, which contains the pin set as a JSON object.

    ``pins`` needs no reduction: JSON can express each setting that concerns clients.
    """
    return (File(JSON.file, json.dumps(to_json(pins), indent=2) + "\n"),)


def read(source: Source) -> ParsedFile:
    """Parse the JSON object that ``write`` returns.

    ``source`` is the file; the result has the settings of its hosts. Issues a ``FormatWarning``
    about each unknown key. But a key that resembles a known one is an error, because its value
    would be lost: a compromised pin without its state would be accepted. Raises ``FormatError``.
    """
    document = Shape.json(source.text)
    parsed = _parsed(document)
    for place in document.unread():
        if place.partition(".")[0] != _LOGS:  # read as a whole
            _refuse_misspelt(place)
            pass_over(place)
    return parsed


def _refuse_misspelt(place: str) -> None:
    """Raise ``FormatError`` if an unknown key is similar to a known key.

    A known key in the wrong object is refused too. ``place`` is the location of the key in the
    file, such as ``hosts[0].pni``.
    """
    from difflib import get_close_matches  # rarely needed

    name = place.rpartition(".")[2]
    known = {key.lower(): key for key in _KEYS}
    near = get_close_matches(name.lower(), known, n=1, cutoff=0.75)
    if near and name != "$schema":  # it is for editors
        raise FormatError(
            f"{place} is not a key of this object, and looks like {known[near[0]]!r}",
            fix=f"write {known[near[0]]!r} in its object, or remove the key",
        )


def to_json(pins: PinSet, *, trust_once: bool = False) -> dict[str, Any]:
    """Return a pin set as a JSON object, with hosts and pins in the order of the pin file.

    Args:
        pins: the pin set.
        trust_once: True if the trust anchors that several hosts have in common are written once,
            for ``from_json`` only. Otherwise each host has its own, for any program.
    """
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "name": pins.name,
        "version": pins.version,
        "hosts": [_host(policy) for policy in pins.policies],
    }
    if pins.ct_logs and pins.ct_logs.timestamp:
        document[_LOGS] = pins.ct_logs.to_json()
    if pins.debug:
        document["debug"] = {"trust": pem(pins.debug)}
    if trust_once and pins.anchors:
        document[_TRUSTS] = trusts = {}
        for host, policy in zip(document["hosts"], pins.policies, strict=True):
            if policy.trust:
                name = policy.trust.digest.hex()
                trusts[name], host["trust"] = host["trust"], f"{_REFERENCE}{name}"
    return document


def from_json(document: Shape) -> PinSet:
    """Return the pin set in a JSON object that ``to_json`` made.

    ``document`` is the parsed JSON object.

    Raises:
        FormatError: the value is not such an object.
        ConfigError: the pin set is unsafe.
    """
    return _parsed(document).pin_set(ImportOptions())


def _parsed(document: Shape) -> ParsedFile:
    if document.need("schema").text() != SCHEMA:
        raise FormatError(f"the schema is not {SCHEMA}", fix="use the version that wrote it")
    debug = document.get("debug")
    listed = document.get(_LOGS)
    logs = read_logs(listed) if listed else None
    shared = document.get(_TRUSTS)
    texts = {name: text.text() for name, text in shared.entries()} if shared else {}
    trusts = {name: read_anchors(text) for name, text in texts.items()}
    return ParsedFile(
        tuple(_found(host, logs, trusts) for host in document.need("hosts").items()),
        document.need("name").text(),
        document.need("version").integer(),
        read_anchors(debug.need("trust").text()) if debug else None,
    )


def _host(policy: HostPolicy) -> dict[str, Any]:
    fields = {name: values if name in _LISTS else values[0] for name, values in row(policy).items()}
    fields.pop("compromised", None)  # the state of each pin contains it
    strict = policy.trust.strict if policy.trust else None
    more: dict[str, Any] = {} if strict is None else {_STRICT: strict}
    if policy.ct_logs and policy.ct_logs.timestamp:
        more[_TRANSPARENT] = True
    if policy.provider_edition:
        more[_EDITION] = policy.provider_edition.isoformat()
    return fields | more | {"pins": [_pin(entry) for entry in policy.pins]}


def _pin(entry: HostPin) -> dict[str, Any]:
    fields: dict[str, Any] = {"pin": str(entry.pin), "role": entry.role, "state": entry.state}
    if entry.note:
        fields["note"] = entry.note
    if entry.provider:
        fields["provider"] = list(entry.provider)
    if entry.not_after:
        fields["notAfter"] = entry.not_after.isoformat()
    return fields


def _found(host: Shape, logs: LogList | None, trusts: Mapping[str, TrustAnchors]) -> Found:
    entries = tuple(map(_entry, host.need("pins").items()))
    fields = {name: _values(name, value) for name in _HOST_TEXTS if (value := host.get(name))}
    edition = _day(host, _EDITION)
    shared = _shared(fields, trusts)
    read = replace(found(fields, entries), ct_logs=_logs(host, logs), provider_edition=edition)
    read = replace(read, trust=shared) if shared else read
    strict = host.get(_STRICT)
    if strict is None or read.trust is None:
        return read
    return replace(read, trust=replace(read.trust, strict=strict.flag()))


def _shared(
    fields: dict[str, list[str]], trusts: Mapping[str, TrustAnchors]
) -> TrustAnchors | None:
    """Remove a reference to shared trust anchors from the fields of a host, and return the anchors.

    Args:
        fields: the values of each setting of the host, by its name.
        trusts: the shared trust anchors, by the names to which hosts refer.

    Returns:
        The anchors. ``None`` if the host has its own trust anchors, or none.

    Raises:
        FormatError: there are no such shared trust anchors.
    """
    if not fields.get("trust", [""])[0].startswith(_REFERENCE):
        return None
    name = fields.pop("trust")[0].removeprefix(_REFERENCE)
    if name not in trusts:
        raise FormatError(f"trust of a host names {name[:64]!r}, which is not in {_TRUSTS}")
    return trusts[name]


def _logs(host: Shape, logs: LogList | None) -> LogList | None:
    required = host.get(_TRANSPARENT)
    if required is None or not required.flag():
        return None
    if logs is None:
        raise FormatError(f"{required.place} needs {_LOGS}, the list of the logs that count")
    return logs


def _values(name: str, value: Shape) -> list[str]:
    return value.texts() if name in _LISTS else [value.text()]


def _entry(pin: Shape) -> HostPin:
    fields = {name: [value.text()] for name in _PIN_TEXTS if (value := pin.get(name))}
    provider = pin.get("provider")
    [parsed] = pins_from(fields.get("pin", [""]))
    role: Role = choice(fields, "role", get_args(Role), "leaf")
    state: State = choice(fields, "state", get_args(State), imported_state(role))
    return HostPin(
        parsed,
        role,
        state,
        fields.get("note", [""])[0],
        tuple(provider.texts()) if provider else (),
        _day(pin, "notAfter"),
    )


def _day(value: Shape, name: str) -> date | None:
    """Return the date (YYYY-MM-DD, RFC 3339) of the key ``name``; ``None`` if it is missing.

    ``value`` is the JSON object that contains the key. Raises ``FormatError`` for an invalid date.
    """
    found = value.get(name)
    if found is None:
        return None
    try:
        return date.fromisoformat(found.text())
    except ValueError as exc:
        raise FormatError(f"{found.place} is not a date", fix="write it as 2027-06-01") from exc


JSON = Format(
    name="json",
    title="Plain JSON",
    use="Read it with any program: it contains all settings of the pin file.",
    file="pins.json",
    limits=(),
    write=write,
    read=read,
    has_roles=True,
    needs=("It contains the notes of your pins, so do not ship it.",),
)

"""Chromium's built-in pins: ``transport_security_state_static_pins.json`` and its ``.pins`` file.

Their formats stand at the top of both files, in ``net/http`` of Chromium's sources. Older versions
have the pins in ``transport_security_state_static.json``, which is read too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError
from certpin.formats import _domains, _spki_names
from certpin.formats.format import File, Format, Found, Reading
from certpin.formats.header import commented, read_header
from certpin.formats.limits import (
    AnywhereInChain,
    ApexAndBelow,
    KeysOnly,
    NamesOnly,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoTrust,
    OneReportAddress,
)
from certpin.formats.shape import Shape

if TYPE_CHECKING:
    from certpin.formats.format import Source
    from certpin.pins import HostPolicy, Pin, PinSet

_KEYS = "transport_security_state_static.pins"


def write(pins: PinSet) -> tuple[File, ...]:
    """A pinset for each host, and the names of their keys."""
    names = _spki_names.assign(pins)
    pinsets = {f"certpin{n}": policy for n, policy in enumerate(pins.policies, 1)}
    document = {
        "pinsets": [_pinset(name, policy, names) for name, policy in pinsets.items()],
        "entries": [_entry(name, policy) for name, policy in pinsets.items()],
    }
    text = commented(pins, CHROMIUM.name, "//") + json.dumps(document, indent=2) + "\n"
    keys = commented(pins, CHROMIUM.name, "#") + _spki_names.write(names)
    return File(CHROMIUM.file, text), File(_KEYS, keys)


def read(source: Source) -> Reading:
    """Read the pins of every entry that has some. Raises ``FormatError``."""
    document = Shape.json(_spki_names.without_comments(source.text))
    names = _spki_names.read(source.beside(_KEYS))
    pinsets = {each.need("name").text(): each for each in document.need("pinsets").items()}
    entries = list(document.need("entries").items())
    pinned = [entry for entry in entries if entry.get("pins")]
    found = tuple(_found(entry, pinsets, names) for entry in pinned)
    unpinned = [each.need("name").text() for each in entries if not each.get("pins")]
    _domains.refuse_exclusions(found, unpinned)
    return Reading(found, *read_header(source.text))


def _pinset(name: str, policy: HostPolicy, names: dict[Pin, str]) -> dict[str, Any]:
    keys = [names[pin] for pin in policy.live_pins]
    fields: dict[str, Any] = {"name": name, "static_spki_hashes": keys}
    if policy.compromised:
        dead = [names[each.pin] for each in policy.pins if each.state == "compromised"]
        fields["bad_static_spki_hashes"] = dead
    if policy.report_to:
        [fields["report_uri"]] = policy.report_to
    return fields


def _entry(name: str, policy: HostPolicy) -> dict[str, Any]:
    below = bool(policy.pattern.wildcard)
    return {"name": policy.pattern.name, "include_subdomains": below, "pins": name}


def _found(entry: Shape, pinsets: dict[str, Shape], names: dict[str, Pin]) -> Found:
    host, name = entry.need("name").text(), entry.need("pins").text()
    pinset = pinsets.get(name)
    if pinset is None:
        raise FormatError(f"{host[:80]!r} has the pinset {name[:40]!r}, which is not there")
    bad = pinset.get("bad_static_spki_hashes")
    reports = pinset.get("report_uri")
    below = entry.get("include_subdomains_for_pinning") or entry.get("include_subdomains")
    return Found(
        _domains.pattern(host, below=below is not None and below.flag()),
        tuple(_spki_names.find(each, names) for each in pinset.need("static_spki_hashes").texts()),
        report_to=(reports.text(),) if reports else (),
        compromised=tuple(_spki_names.find(each, names) for each in bad.texts()) if bad else (),
    )


CHROMIUM = Format(
    name="chromium",
    title="Chromium, built-in pins",
    use="Merge both into the files of these names in `net/http` of your build of Chromium.",
    file="transport_security_state_static_pins.json",
    limits=(
        NoDebug("an authority that is installed on the machine is free of pins anyway"),
        NoReportOnly("built-in pins always refuse"),
        NamesOnly("the list is one of names"),
        NoTrust("the browser's own authorities decide"),
        NoExpiry("an entry has no date of its own"),
        KeysOnly("the list is one of keys"),
        AnywhereInChain("each certificate of the verified chain is looked at"),
        ApexAndBelow("the flag include_subdomains covers the name and every name below it"),
        OneReportAddress("a pinset has one report_uri"),
    ),
    write=write,
    read=read,
    needs=(
        "A build with static pins switched on: by themselves only Google's for desktops have them.",
        "`PinsListTimestamp` of your build, renewed: 70 days after it Chromium pins nothing.",
        "No entry without pins for a name below: it takes that name out of the pins.",
        "Public authorities: what chains to one that is installed on the machine is not pinned.",
    ),
    folder=True,
)

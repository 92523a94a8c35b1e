"""App Transport Security of Apple's platforms: ``NSPinnedDomains`` in ``Info.plist``.

https://developer.apple.com/documentation/bundleresources/information-property-list/
nsapptransportsecurity/nspinneddomains
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError
from certpin.formats import _domains, _plist
from certpin.formats.format import File, Format, Found, Reading
from certpin.formats.header import read_header
from certpin.formats.limits import (
    ApexAndOneLabel,
    KeysOnly,
    LeafOrAuthority,
    NamesOnly,
    NoCompromised,
    NoDebug,
    NoExpiry,
    NoReportOnly,
    NoReports,
    NoTrust,
)
from certpin.formats.table import pins_from

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.format import Source
    from certpin.formats.shape import Shape
    from certpin.pins import HostPolicy, Match, PinSet

_DIGEST = "SPKI-SHA256-BASE64"
_LISTS: dict[Match, str] = {"leaf": "NSPinnedLeafIdentities", "ca": "NSPinnedCAIdentities"}


def write(pins: PinSet) -> tuple[File, ...]:
    """The key ``NSAppTransportSecurity``, with one entry a name."""
    domains: dict[str, dict[str, Any]] = {}
    for policy in pins.policies:
        entry = domains.setdefault(policy.pattern.name, {"NSIncludesSubdomains": False})
        entry["NSIncludesSubdomains"] |= bool(policy.pattern.wildcard)
        entry[_LISTS[policy.match]] = _identities(policy)
    document = {"NSAppTransportSecurity": {"NSPinnedDomains": domains}}
    return (File(APPLE.file, _plist.write(pins, APPLE.name, document)),)


def read(source: Source) -> Reading:
    """Read ``NSPinnedDomains`` of an ``Info.plist``, and warn of all else in it.

    Raises ``FormatError``.
    """
    root = _plist.read(source)
    security = root.get("NSAppTransportSecurity")
    domains = security.get("NSPinnedDomains") if security else None
    entries = domains.entries() if domains else ()
    found = tuple(each for name, entry in entries for each in _found(name, entry))
    _plist.report_unread(root, "NSAppTransportSecurity")
    return Reading(found, *read_header(source.text))


def _identities(policy: HostPolicy) -> list[dict[str, str]]:
    return [{_DIGEST: base64.b64encode(entry.pin.digest).decode()} for entry in policy.pins]


def _found(name: str, entry: Shape) -> Iterator[Found]:
    """One or two: the flag for names below stands for names with one label more."""
    match, identities = _only_list(name, entry)
    digests = [each.need(_DIGEST).text() for each in identities.items()]
    pins = pins_from([f"sha256/{digest.strip()}" for digest in digests])
    yield Found(_domains.pattern(name, below=False), pins, match=match)
    flag = entry.get("NSIncludesSubdomains")
    if flag and flag.flag():
        yield Found(f"*.{name}", pins, match=match)


def _only_list(name: str, entry: Shape) -> tuple[Match, Shape]:
    lists = [(match, found) for match, key in _LISTS.items() if (found := entry.get(key))]
    if len(lists) == 1:
        return lists[0]
    if lists:
        raise FormatError(
            f"{name[:80]!r} pins the leaf and an authority, and Apple wants both to match: "
            "the pins of a host in certpin are for one of the two",
            fix=f"keep {' or '.join(_LISTS.values())}",
        )
    raise FormatError(f"{name[:80]!r} has neither {' nor '.join(_LISTS.values())}")


APPLE = Format(
    name="apple",
    title="Apple, App Transport Security",
    use="Merge its one key into the `Info.plist` of your app.",
    file="NSPinnedDomains.plist",
    limits=(
        NoCompromised("NSPinnedDomains has no keys to refuse"),
        NoDebug("App Transport Security holds in every build"),
        NoReportOnly("App Transport Security always refuses"),
        NamesOnly("NSPinnedDomains takes domain names"),
        NoTrust("pins tighten the trust of the system and never replace it"),
        NoExpiry("NSPinnedDomains knows no dates"),
        NoReports("the system sends nothing"),
        KeysOnly("NSPinnedDomains compares keys"),
        LeafOrAuthority("a leaf and an authority that are pinned must both match"),
        ApexAndOneLabel("NSIncludesSubdomains covers names with one label more"),
    ),
    write=write,
    read=read,
    needs=(
        "iOS 14, macOS 11 or newer, and `URLSession`: other stacks, Dart's among them, don't ask.",
        "The system's trust: an authority of your own must be installed on the device.",
    ),
)

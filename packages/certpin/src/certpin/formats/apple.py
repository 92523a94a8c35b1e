"""Apple's App Transport Security: ``NSPinnedDomains`` in ``Info.plist``.

https://developer.apple.com/documentation/bundleresources/information-property-list/
nsapptransportsecurity/nspinneddomains
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from certpin.errors import FormatError, HostError
from certpin.formats import _domains, _plist, _transport_security
from certpin.formats.format import File, Format
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
    NoTransparency,
    NoTrust,
)
from certpin.formats.parsed import Found, ParsedFile, pass_over
from certpin.pins.hosts import is_address, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.formats.parsed import Shape, Source
    from certpin.pins import HostPolicy, Match, PinSet

_DIGEST = "SPKI-SHA256-BASE64"
_LISTS: dict[Match, str] = {"leaf": "NSPinnedLeafIdentities", "ca": "NSPinnedCAIdentities"}


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a property list with the key ``NSAppTransportSecurity``: one entry per domain name.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    domains: dict[str, dict[str, Any]] = {}
    for policy in pins.policies:
        entry = domains.setdefault(policy.pattern.name, {"NSIncludesSubdomains": False})
        entry["NSIncludesSubdomains"] |= bool(policy.pattern.wildcard)
        entry[_LISTS[policy.match]] = _identities(policy)
    document = {"NSAppTransportSecurity": {"NSPinnedDomains": domains}}
    return (File(APPLE.file, _plist.write(pins, APPLE.name, document)),)


def read(source: Source) -> ParsedFile:
    """Parse ``NSPinnedDomains`` of an ``Info.plist``, and warn about all other settings.

    ``source`` is the property list; the result has the settings of its hosts, or of none without
    ``NSPinnedDomains``.

    Raises:
        FormatError: the file is not an XML property list, or a host's entry is invalid or can't be
            expressed in a pin file.
    """
    root = _plist.read(source)
    security = root.get("NSAppTransportSecurity")
    domains = security.get("NSPinnedDomains") if security else None
    entries = domains.entries() if domains else ()
    found = tuple(each for name, entry in entries for each in _found(name, entry))
    _transport_security.report_exceptions(root, found)
    _plist.report_unread(root, "NSAppTransportSecurity", "NSAppTransportSecurity.NSPinnedDomains")
    return ParsedFile(found, *read_header(source.text))


def _identities(policy: HostPolicy) -> list[dict[str, str]]:
    return [{_DIGEST: base64.b64encode(entry.pin.digest).decode()} for entry in policy.pins]


def _found(name: str, entry: Shape) -> Iterator[Found]:
    """Yield the pinning settings of a domain's entry in ``NSPinnedDomains``.

    ``entry`` is the value of the entry. One result applies to the host ``name``. If the entry has
    the flag for subdomains, a second one applies to ``*.NAME``, because Apple's flag covers only
    names with one more label. For an IP address nothing is yielded, because Apple ignores such an
    entry: the import warns about it.
    """
    match, identities = _only_list(name, entry)
    digests = [each.need(_DIGEST) for each in identities.items()]
    pins = tuple(_domains.read_digest(each.text().strip(), each.place) for each in digests)
    flag = entry.get("NSIncludesSubdomains")
    below = flag is not None and flag.flag()
    if _is_address(name):
        pass_over(f"{name[:80]}: NSPinnedDomains supports only domain names, and ignores addresses")
        return
    yield Found(_domains.pattern(name, below=False), pins, match=match)
    if below:
        yield Found(f"*.{name}", pins, match=match)


def _is_address(name: str) -> bool:
    try:
        return is_address(normalise(name))
    except HostError:
        return False


def _only_list(name: str, entry: Shape) -> tuple[Match, Shape]:
    lists = [(match, found) for match, key in _LISTS.items() if (found := entry.get(key))]
    if len(lists) == 1:
        return lists[0]
    if lists:
        raise FormatError(
            f"{name[:80]!r} pins the leaf and an authority, and Apple requires both to match: "
            "a policy of a pin file pins only one of the two",
            fix=f"keep {' or '.join(_LISTS.values())}",
        )
    raise FormatError(f"{name[:80]!r} has neither {' nor '.join(_LISTS.values())}")


APPLE = Format(
    name="apple",
    title="Apple, App Transport Security",
    use="Merge its only key into the `Info.plist` of your app.",
    file="NSPinnedDomains.plist",
    limits=(
        NoCompromised("NSPinnedDomains has no list of keys to refuse"),
        NoDebug("App Transport Security applies to every build"),
        NoReportOnly("App Transport Security always enforces"),
        NamesOnly("NSPinnedDomains supports only domain names"),
        NoTrust("pins restrict the system's trust and never replace it"),
        NoExpiry("NSPinnedDomains does not support expiry dates"),
        NoReports("the system sends no reports"),
        NoTransparency("the system has its own rule for public certificates, for every app"),
        KeysOnly("NSPinnedDomains compares public keys only"),
        LeafOrAuthority("if a leaf and an authority are pinned, both must match"),
        ApexAndOneLabel("NSIncludesSubdomains covers names with one more label"),
    ),
    write=write,
    read=read,
    needs=(
        "iOS 14, macOS 11 or newer, and `URLSession`: other stacks, such as Dart's, ignore it.",
        "Trust by the system: your own authority must be installed on the device.",
    ),
)

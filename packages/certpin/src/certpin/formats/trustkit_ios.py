"""Export and import the configuration of TrustKit on Apple's platforms.

TrustKit: https://github.com/datatheorem/TrustKit.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from certpin.formats import _domains, _plist, _transport_security
from certpin.formats.format import File, Format
from certpin.formats.header import read_header
from certpin.formats.limits import (
    AnywhereInChain,
    ApexAndBelow,
    FailOpenDate,
    KeysOnly,
    NamesOnly,
    NoCompromised,
    NoDebug,
    NoTransparency,
    NoTrust,
)
from certpin.formats.parsed import Found, ParsedFile, pass_over

if TYPE_CHECKING:
    from certpin.formats.parsed import Shape, Source
    from certpin.pins import HostPolicy, PinSet


def write(pins: PinSet) -> tuple[File, ...]:
    """Return a property list with TrustKit's settings for the pins, in ``TSKConfiguration``.

    ``pins`` is a pin set that ``project`` has reduced to the settings that this platform can
    express.
    """
    domains = {policy.pattern.name: _domain(policy) for policy in pins.policies}
    settings = {"TSKSwizzleNetworkDelegates": False, "TSKPinnedDomains": domains}
    text = _plist.write(pins, TRUSTKIT_IOS.name, {"TSKConfiguration": settings})
    return (File(TRUSTKIT_IOS.file, text),)


def read(source: Source) -> ParsedFile:
    """Parse ``TSKPinnedDomains``, inside ``TSKConfiguration`` or at the top level.

    ``source`` is the property list; the result has the settings of its hosts. Issues a
    ``FormatWarning`` about all other settings, and about reports to TrustKit's vendor, which are
    the default. Raises ``FormatError``.
    """
    root = _plist.read(source)
    settings = root.get("TSKConfiguration") or root
    settings.agree("TSKSwizzleNetworkDelegates", value=False)
    domains = settings.get("TSKPinnedDomains")
    entries = dict(domains.entries()) if domains else {}
    excluded = [name for name, entry in entries.items() if _is_excluded(entry)]
    found = tuple(_found(name, entry) for name, entry in entries.items() if name not in excluded)
    for name in excluded:
        pass_over(f"{name[:80]}, which has no pins", unrelated=True)
    _transport_security.report_exceptions(root, found)
    _plist.report_unread(root, "TSK", "TSK")
    refusal = _domains.exclusion(found, excluded)
    return ParsedFile(found, *read_header(source.text), refusal=refusal)


def _domain(policy: HostPolicy) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "TSKIncludeSubdomains": bool(policy.pattern.wildcard),
        "TSKEnforcePinning": policy.mode == "enforce",
        "TSKPublicKeyHashes": [base64.b64encode(each.pin.digest).decode() for each in policy.pins],
        # Without it TrustKit also reports to its vendor.
        "TSKDisableDefaultReportUri": True,
        "TSKReportUris": list(policy.report_to),
    }
    if policy.expires:
        fields["TSKExpirationDate"] = policy.expires.date().isoformat()
    return fields


def _is_excluded(entry: Shape) -> bool:
    flag = entry.get("TSKExcludeSubdomainFromParentPolicy")
    return flag is not None and flag.flag()


def _found(name: str, entry: Shape) -> Found:
    below = entry.get("TSKIncludeSubdomains")
    enforced = entry.get("TSKEnforcePinning")
    ends = entry.get("TSKExpirationDate")
    reports = entry.get("TSKReportUris")
    hashes = entry.need("TSKPublicKeyHashes").items()
    disabled = entry.get("TSKDisableDefaultReportUri")
    if disabled is None or not disabled.flag():
        pass_over(f"{name[:80]} reports to TrustKit's vendor too")
    return Found(
        _domains.pattern(name, below=below is not None and below.flag()),
        tuple(_domains.read_digest(each.text().strip(), each.place) for each in hashes),
        mode="enforce" if enforced is None or enforced.flag() else "report",
        expires=_domains.read_day(ends.day()) if ends else None,
        on_expiry="fail-open" if ends else "fail-closed",
        report_to=tuple(dict.fromkeys(reports.texts())) if reports else (),
    )


TRUSTKIT_IOS = Format(
    name="trustkit-ios",
    title="TrustKit, iOS",
    use="Merge its only key into the `Info.plist` of your app, or pass its value to TrustKit.",
    file="TSKConfiguration.plist",
    limits=(
        NoCompromised("TrustKit has no list of keys to refuse"),
        NoDebug("debug builds can start without TrustKit"),
        NamesOnly("TrustKit stops the app if a host is not a domain name"),
        NoTrust("the system verifies the chain"),
        NoTransparency("the system has its own rule for public certificates, for every app"),
        FailOpenDate("TrustKit stops pinning after TSKExpirationDate"),
        KeysOnly("TrustKit compares public keys only"),
        AnywhereInChain("TrustKit compares every certificate of the verified chain"),
        ApexAndBelow("TSKIncludeSubdomains covers the name and all its subdomains"),
    ),
    write=write,
    read=read,
    needs=(
        "TrustKit 2.0 or newer, and RSA keys of 2048 to 4096 bits or EC keys.",
        "`TSKPinningValidator` in the delegate of each session, because swizzling is off.",
        "Names under a public suffix that TrustKit knows: otherwise it stops the app.",
    ),
)

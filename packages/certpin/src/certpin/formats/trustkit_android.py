"""TrustKit for Android: Android's network security configuration with a ``trustkit-config``.

https://github.com/datatheorem/TrustKit-Android. Since Android 7, the platform enforces the pins,
and TrustKit sends the reports. For connections that the app makes through TrustKit, the attribute
``enforcePinning`` decides if pins are enforced.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from certpin.formats import _network_security
from certpin.formats.format import Format
from certpin.formats.limits import (
    AnywhereInChain,
    ApexAndBelow,
    FailOpenDate,
    KeysOnly,
    NamesOnly,
    NoCompromised,
    PlatformTransparency,
    TwoPins,
)
from certpin.formats.parsed import pass_over

if TYPE_CHECKING:
    from certpin.formats._xml import Element
    from certpin.formats.format import File
    from certpin.formats.parsed import Found, ParsedFile, Source
    from certpin.pins import HostPolicy, Mode, PinSet


_REFERENCE = (
    "Reference it in the manifest "
    '(`android:networkSecurityConfig="@xml/network_security_config"`), and start TrustKit with it.'
)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return the network security configuration of a pin set, and the files of its trust anchors.

    It has one ``<domain-config>`` with a ``<trustkit-config>`` for each domain name. ``pins`` is a
    pin set that ``project`` has reduced to the settings that this platform can express.
    """
    return _network_security.write(pins, TRUSTKIT_ANDROID.name, _config)


def read(source: Source) -> ParsedFile:
    """Parse every domain-config with own or inherited pins. Raises ``FormatError``.

    ``source`` is the XML file; the result has the settings of its hosts. Hosts without
    ``enforcePinning`` get report-only policies, because TrustKit then only reports. Issues a
    ``FormatWarning`` if TrustKit also reports to its vendor (the default), because the import does
    not keep the vendor's address.
    """
    return _network_security.read(source, _with_config)


def _config(policy: HostPolicy) -> list[str]:
    enforced = str(policy.mode == "enforce").lower()
    reports = [f"    <report-uri>{escape(uri)}</report-uri>" for uri in policy.report_to]
    # Without disableDefaultReportUri TrustKit also reports to its vendor.
    begin = f'<trustkit-config enforcePinning="{enforced}" disableDefaultReportUri="true">'
    return [begin, *reports, "</trustkit-config>"]


def _with_config(found: Found, element: Element | None) -> Found:
    enforced = element is not None and element.take().flag("enforcePinning", default=False)
    if element is None or not element.flag("disableDefaultReportUri", default=False):
        pass_over(f"{found.pattern} reports to TrustKit's vendor too")
    uris = [each.text for each in element.all("report-uri")] if element else []
    mode: Mode = "enforce" if enforced else "report"
    return replace(found, mode=mode, report_to=tuple(dict.fromkeys(uris)))


TRUSTKIT_ANDROID = Format(
    name="trustkit-android",
    title="TrustKit, Android",
    use=_network_security.PLACE + _REFERENCE,
    file=_network_security.FILE,
    limits=(
        NoCompromised("a pin-set has no list of keys to refuse"),
        NamesOnly("TrustKit stops the app if a host is not a domain name"),
        FailOpenDate("pinning stops when a pin-set expires"),
        KeysOnly("a pin-set compares public keys only"),
        AnywhereInChain("every certificate of the verified chain is compared"),
        PlatformTransparency(
            "Android 16 and newer have their own list, and older versions check none"
        ),
        ApexAndBelow("the flag includeSubdomains covers the name and all its subdomains"),
        TwoPins("TrustKit stops the app if a host has fewer than two pins"),
    ),
    write=write,
    read=read,
    use_at=lambda path: _network_security.use_at(path, _REFERENCE),
    date_needs=_network_security.DATE_NEEDS,
    needs=(
        "For report-only hosts, clients with TrustKit's `SSLSocketFactory`: others are refused.",
        "Android 7 or newer for `trust`: TrustKit itself reads only the anchors for debug builds.",
        "Names under a top-level domain that TrustKit knows: otherwise it stops the app.",
    ),
    folder=True,
)

"""TrustKit for Android: the platform's configuration, with ``trustkit-config`` in it.

https://github.com/datatheorem/TrustKit-Android. Since Android 7 the platform pins, and TrustKit
reports; on connections that go through TrustKit, ``enforcePinning`` decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from certpin.formats import _network_security, _network_security_writer
from certpin.formats.format import Format, pass_over
from certpin.formats.limits import (
    AnywhereInChain,
    ApexAndBelow,
    FailOpenDate,
    KeysOnly,
    NamesOnly,
    NoCompromised,
    TwoPins,
)

if TYPE_CHECKING:
    from certpin.formats._xml import Element
    from certpin.formats.format import File, Found, Reading, Source
    from certpin.pins import HostPolicy, Mode, PinSet


def write(pins: PinSet) -> tuple[File, ...]:
    """One domain-config a name; the trust anchors as raw resources."""
    return _network_security_writer.write(pins, TRUSTKIT_ANDROID.name, _config)


def read(source: Source) -> Reading:
    """Read every domain-config with pins, and what it inherits. Raises ``FormatError``.

    Without an ``enforcePinning`` TrustKit only reports. The vendor's own address, to which it
    reports unless it is told not to, is not taken over, and that is told.
    """
    return _network_security.read(source, _with_config)


def _config(policy: HostPolicy) -> list[str]:
    enforced = str(policy.mode == "enforce").lower()
    reports = [f"    <report-uri>{escape(uri)}</report-uri>" for uri in policy.report_to]
    # Without disableDefaultReportUri TrustKit reports to its vendor too.
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
    use="Put it into `src/main/` of your app, name it in the manifest "
    '(`android:networkSecurityConfig="@xml/network_security_config"`), and start TrustKit with it.',
    file=_network_security_writer.FILE,
    limits=(
        NoCompromised("a pin-set has no keys to refuse"),
        NamesOnly("TrustKit stops the app at what is no domain name"),
        FailOpenDate("after the expiration of a pin-set nothing is pinned"),
        KeysOnly("a pin-set compares keys"),
        AnywhereInChain("each certificate of the verified chain is looked at"),
        ApexAndBelow("the flag includeSubdomains covers the name and every name below it"),
        TwoPins("TrustKit stops the app at less than two pins"),
    ),
    write=write,
    read=read,
    needs=(
        "For report-only hosts, clients with TrustKit's `SSLSocketFactory`: others get refused.",
        "Android 7 or newer for `trust`: TrustKit by itself reads no anchors but debugging's.",
        "Names under a top-level domain that TrustKit knows: it stops the app at any other.",
    ),
    folder=True,
)

"""Android's network security configuration, in its own file of resources.

https://developer.android.com/privacy-and-security/security-config
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import _network_security, _network_security_writer
from certpin.formats.format import Format
from certpin.formats.limits import (
    AnywhereInChain,
    ApexAndBelow,
    FailOpenDate,
    KeysOnly,
    NoCompromised,
    NoReportOnly,
    NoReports,
)

if TYPE_CHECKING:
    from certpin.formats.format import File, Reading, Source
    from certpin.pins import PinSet


def write(pins: PinSet) -> tuple[File, ...]:
    """One domain-config a name; the trust anchors as raw resources."""
    return _network_security_writer.write(pins, ANDROID.name)


def read(source: Source) -> Reading:
    """Read every domain-config with pins, and what it inherits. Raises ``FormatError``."""
    return _network_security.read(source)


ANDROID = Format(
    name="android",
    title="Android, network security configuration",
    use="Put it into `src/main/` of your app, and name it in the manifest: "
    '`android:networkSecurityConfig="@xml/network_security_config"`.',
    file=_network_security_writer.FILE,
    limits=(
        NoCompromised("a pin-set has no keys to refuse"),
        NoReportOnly("a pin-set always refuses"),
        FailOpenDate("after the expiration of a pin-set Android pins nothing"),
        NoReports("Android sends nothing"),
        KeysOnly("a pin-set compares keys"),
        AnywhereInChain("Android looks at each certificate of the verified chain"),
        ApexAndBelow("the flag includeSubdomains covers the name and every name below it"),
    ),
    write=write,
    read=read,
    needs=(
        "Android 7 or newer, and a client of the platform: Dart's own, as in Flutter, never asks.",
        "No `http://` to a pinned host: the file forbids it, as clear text has no chain to pin.",
        "The date is one of the device, in its time zone.",
    ),
    folder=True,
)

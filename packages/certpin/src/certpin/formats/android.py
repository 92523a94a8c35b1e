"""Android's network security configuration, an XML resource of the app.

https://developer.android.com/privacy-and-security/security-config
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import _network_security
from certpin.formats.format import Format
from certpin.formats.limits import (
    AnywhereInChain,
    ApexAndBelow,
    FailOpenDate,
    KeysOnly,
    NoCompromised,
    NoReportOnly,
    NoReports,
    PlatformTransparency,
)

if TYPE_CHECKING:
    from certpin.formats.format import File
    from certpin.formats.parsed import ParsedFile, Source, WeakSetting
    from certpin.pins import PinSet


_REFERENCE = (
    'Reference it in the manifest: `android:networkSecurityConfig="@xml/network_security_config"`.'
)


def write(pins: PinSet) -> tuple[File, ...]:
    """Return the network security configuration of a pin set, and the files of its trust anchors.

    It has one ``<domain-config>`` for each domain name. ``pins`` is a pin set that ``project`` has
    reduced to the settings that this platform can express.
    """
    return _network_security.write(pins, ANDROID.name)


def read(source: Source) -> ParsedFile:
    """Parse every ``<domain-config>`` with own or inherited pins.

    ``source`` is the XML file; the result has the settings of its hosts.

    Raises:
        FormatError: the file is not a network security configuration, Android refuses or ignores
            one of its entries, or a pin file can't express the trust anchors of a host.
    """
    return _network_security.read(source)


def read_weaknesses(source: Source) -> tuple[WeakSetting, ...]:
    """Return the settings of a release build that weaken the checks of connections.

    ``source`` is the XML file. Its pins are not parsed, so this also works for a file that can't be
    imported. Raises ``FormatError`` if the file is not a network security configuration.
    """
    return _network_security.read_weaknesses(source)


def read_raw_anchors(source: Source) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the files in ``res/raw`` that a configuration trusts.

    ``source`` is the XML file. Its pins are not parsed, so this also works for a file that can't be
    imported.

    Returns:
        Two sets of names without file extensions: the files in ``<debug-overrides>``, which only
            debug builds trust; then those in all other elements, which a release trusts.

    Raises:
        FormatError: the file is not a network security configuration.
    """
    return _network_security.read_raw_anchors(source)


ANDROID = Format(
    name="android",
    title="Android, network security configuration",
    use=_network_security.PLACE + _REFERENCE,
    file=_network_security.FILE,
    limits=(
        NoCompromised("a pin-set has no list of keys to refuse"),
        NoReportOnly("a pin-set is always enforced"),
        FailOpenDate("Android stops pinning when a pin-set expires"),
        NoReports("Android sends no reports"),
        KeysOnly("a pin-set compares public keys only"),
        AnywhereInChain("Android compares every certificate of the verified chain"),
        PlatformTransparency(
            "Android 16 and newer have their own list, and older versions check none"
        ),
        ApexAndBelow("the flag includeSubdomains covers the name and all its subdomains"),
    ),
    write=write,
    read=read,
    use_at=lambda path: _network_security.use_at(path, _REFERENCE),
    date_needs=_network_security.DATE_NEEDS,
    needs=(
        "Android 7 or newer, and an HTTP client of the platform. Dart's (Flutter) ignores it.",
        "No `http://` to pinned hosts: the file forbids it, because cleartext cannot be pinned.",
    ),
    folder=True,
)

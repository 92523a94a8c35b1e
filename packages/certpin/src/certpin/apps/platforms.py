"""Read the pins, and the mistakes, in an app's configuration for Android and Apple platforms.

Only hosts and pins are taken. ``certpin import android`` and the imports of other formats also read
expiry, mode, trust anchors and report addresses.
"""

from __future__ import annotations

import base64
import posixpath
import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from certpin.apps.builds import DEBUG_BUILDS
from certpin.apps.merge import host_patterns
from certpin.apps.model import Dropped, FileFindings, FoundPin, Mistake, Place, Unread
from certpin.errors import ConfigError, FormatError, InputError
from certpin.formats import FORMATS, FormatWarning, Source
from certpin.formats.android import read_raw_anchors, read_weaknesses

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from certpin.apps.model import SourceFile
    from certpin.formats.parsed import Found, ParsedFile
    from certpin.pins import HostPattern

    Beside = Callable[[str], bytes]

_NETWORK_SECURITY = "<network-security-config"
_TRUSTKIT = "<trustkit-config"
# The rule and the message for each weakness of Android's file.
_WEAKNESSES = {
    "pins-overridden": (
        "platform-pins-overridden",
        "overridePins switches the pins off for every chain to these certificates",
    ),
    "user-authorities": (
        "user-authorities",
        "a release trusts every authority that the user installed, for hosts without pins",
    ),
    "only-user-authorities": (
        "only-user-authorities",
        "only authorities that the user installed are trusted: the server's own chain is refused",
    ),
    "cleartext": (
        "cleartext-permitted",
        "cleartextTrafficPermitted permits http://, without any check of the server",
    ),
}
_APPLE = {"apple": "NSPinnedDomains", "trustkit-ios": "TSKPinnedDomains"}

_WORD = re.compile(r"[A-Za-z0-9+/._=-]++")  # a host, a date, or base64
_RAW_FILE = re.compile(r"((?:.*/)?)raw(?:-[^/]*)?/([^/.]+)[^/]*", re.DOTALL)
_UNRELATED = "not imported: keys unrelated to pins"


def is_network_security(file: SourceFile) -> bool:
    """Return True if an XML file has to be read as a network security configuration of Android.

    Return True also if this isn't certain, so that no configuration is missed.
    """
    return file.is_utf16 or _NETWORK_SECURITY in file.text


def read_network_security(
    file: SourceFile, now: datetime, beside: Beside, *, for_debug: bool = False
) -> FileFindings:
    """Return the pins of an Android network security configuration, and the mistakes in it.

    Args:
        file: the XML file.
        now: the current time, with a time zone.
        beside: returns the content of a file by its path relative to ``file``, or raises
            ``FormatError``.
        for_debug: True if no release has the file: then its weak settings are no mistakes.

    Returns:
        The results. If the file can't be read, they contain an ``Unread`` with the reason.
    """
    if file.is_utf16:
        return FileFindings(unread=[Unread.as_utf16(file)])
    chosen = "trustkit-android" if _TRUSTKIT in file.text else "android"
    findings = _read(file, chosen, now, beside, "Android's network stack")
    if not for_debug:
        findings.mistakes += _weaknesses(file, beside)
    _add_anchors(file, beside, findings)
    return findings


def is_apple(file: SourceFile) -> bool:
    """Return True if a property list can contain pins, so that it has to be read.

    This is so if its file name is Info.plist, if it contains a key of ``NSPinnedDomains`` or of
    TrustKit, or if it is UTF-16, so that its keys are unknown.
    """
    is_info = file.path.endswith("Info.plist")
    return is_info or file.is_utf16 or any(key in file.text for key in _APPLE.values())


def read_apple(file: SourceFile, now: datetime, beside: Beside) -> FileFindings:
    """Return the pins in an Apple property list: those of ``NSPinnedDomains`` and of TrustKit.

    Args:
        file: the property list.
        now: the current time, with a time zone.
        beside: returns the content of a file by its path relative to ``file``, or raises
            ``FormatError``.

    Returns:
        The results. If the file can't be read, or is binary, they contain an ``Unread`` with the
        reason.
    """
    if file.is_utf16:
        return FileFindings(unread=[Unread.as_utf16(file)])
    findings = FileFindings()
    chosen = [name for name, key in _APPLE.items() if key in file.text]
    if not chosen and file.data.startswith(b"bplist"):
        chosen = ["apple"]  # raises the error
    for name in chosen:
        findings.extend(_read(file, name, now, beside, "URLSession"))
    return findings


def _read(file: SourceFile, name: str, now: datetime, beside: Beside, used_by: str) -> FileFindings:
    findings = FileFindings()
    parsed = _parse(file, name, beside, findings)
    if parsed is None:
        return findings
    places = _WordPlaces(file)
    for found in parsed.hosts:
        findings.mistakes += _check_expiry(places, found, now)
    if parsed.refusal:
        findings.unread.append(Unread.because_of(parsed.refusal, file))
        return findings
    for found in parsed.hosts:
        _add(places, name, found, findings)
    if findings.pins:
        findings.mistakes.append(_ignored_by_dart(findings.pins[0].place, used_by))
    return findings


def _parse(
    file: SourceFile, name: str, beside: Beside, findings: FileFindings
) -> ParsedFile | None:
    """Return the settings in a file, and add the settings that can't be imported to ``findings``.

    Args:
        file: the file.
        name: the name of its format, as in ``FORMATS``.
        beside: returns the content of a file by its path relative to ``file``.
        findings: the results for the file so far. This function adds to them.

    Returns:
        The settings. None if the file can't be read; the reason is then in ``findings``.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FormatWarning)
        try:
            parsed = FORMATS[name].read(Source(file.data, beside))
        except (InputError, ConfigError) as exc:
            findings.unread.append(Unread.because_of(exc, file))
            return None
    for warning in caught:
        text = str(warning.message)
        if not text.startswith(_UNRELATED):
            findings.dropped.append(_dropped(file.path, text.removeprefix("not imported: ")))
    return parsed


def _weaknesses(file: SourceFile, beside: Beside) -> list[Mistake]:
    """Return a mistake for each setting that weakens the checks in a release of an Android app.

    This works even if the pins of the file can't be read. The list is empty for a file that is not
    XML. ``beside`` returns the content of a file by its path relative to ``file``.
    """
    try:
        found = read_weaknesses(Source(file.data, beside))
    except FormatError:
        return []  # it isn't XML, which is listed as unread
    return [
        Mistake(rule, Place(file.path, weakness.line), message)
        for weakness in found
        for rule, message in [_WEAKNESSES[weakness.kind]]
    ]


def _add_anchors(file: SourceFile, beside: Beside, findings: FileFindings) -> None:
    """Add the resources that an Android configuration trusts as trust anchors to ``findings``.

    This works even if the pins of the file can't be read. ``beside`` returns the content of a file
    by its path relative to ``file``.
    """
    try:
        debug, released = read_raw_anchors(Source(file.data, beside))
    except FormatError:
        return  # it isn't XML, which is listed as unread
    raw = posixpath.normpath(posixpath.join(posixpath.dirname(file.path), "../raw"))
    findings.debug_anchors += [f"{raw}/{name}" for name in debug]
    findings.released_anchors += [f"{raw}/{name}" for name in released]


def _resource(path: str) -> str:
    """Return the path of a file in ``res/raw``, without suffix and without qualifiers.

    Qualifiers are the suffixes of folders such as ``raw-v28``, which have variants of the files in
    ``raw``. Return an empty string for a file in another folder.
    """
    match = _RAW_FILE.fullmatch(path)
    return f"{match[1]}raw/{match[2]}" if match else ""


class _WordPlaces:
    """Finds the line of a pin or a host in a file: the first line that contains the word.

    The functions that import the formats return no lines, so the text is searched for them.
    """

    def __init__(self, file: SourceFile) -> None:
        self.path = file.path
        self._lines: dict[str, int] = {}
        for number, line in enumerate(file.lines(), 1):
            for word in _WORD.findall(line):
                self._lines.setdefault(word, number)

    def of(self, word: str) -> Place:
        """Return the place of a word in the file; line 1 if the file doesn't contain the word."""
        return Place(self.path, self._lines.get(word, 1))


def _add(places: _WordPlaces, name: str, found: Found, findings: FileFindings) -> None:
    for pin in found.pins:
        place = places.of(base64.b64encode(pin.digest).decode())
        findings.pins.append(FoundPin(pin, place, name, (found.pattern,)))
    settings = {
        "the expiry": found.expires,
        "report-only mode": found.mode == "report",
        "the trust anchors": found.trust,
        "the report addresses": found.report_to,
        "the kind of certificate (leaf or authority)": found.match != "any",
    }
    place = places.of(found.pattern.lstrip("*."))
    if found.ct_logs:
        what = f"certificateTransparency of {found.pattern}: write ct_logs and require_ct"
        findings.dropped.append(Dropped(what, place))
    if found.refusal:
        findings.dropped.append(_dropped(places.path, found.refusal.problem))
    findings.dropped += [
        Dropped(f"{setting} of {found.pattern}: certpin import {name} reads it", place)
        for setting, value in settings.items()
        if value
    ]


def _check_expiry(places: _WordPlaces, found: Found, now: datetime) -> list[Mistake]:
    if found.expires is None or found.expires > now:
        return []
    day = found.expires.date().isoformat()
    return [
        Mistake(
            "platform-pins-expired",
            places.of(day),
            f"the pins of {found.pattern} expired on {day}, and the platform no longer checks them",
            "write a later date, after which you ship new pins, and check that the pins are those "
            "of the server: certpin check",
        )
    ]


def mark_debug_anchors(findings: FileFindings) -> None:
    """Mark certificates that only debug builds of an Android app trust as used by debug builds.

    Android's ``<debug-overrides>`` trusts them. Certificates that a release trusts too are not
    marked. Copies of the certificates in other files aren't either, because the app can use them in
    another way.

    Args:
        findings: the results for all files of the app.
    """
    anchors = set(findings.debug_anchors) - set(findings.released_anchors)
    findings.certificates = [
        replace(each, builds=DEBUG_BUILDS) if _resource(each.place.file) in anchors else each
        for each in findings.certificates
    ]


def without_pins_in_dart(findings: FileFindings) -> list[Mistake]:
    """Return an app's mistakes, except those about pins that the app's Dart code enforces too.

    A mistake of the rule ``platform-pins-ignored`` says that the pins in a file for Android or
    Apple don't apply to requests of Dart code. It is left out if certpin's export in the Dart code
    covers all hosts in that file, and the app has a client that enforces an export.

    Args:
        findings: the results for all files of the app.
    """
    patterns = list(host_patterns(findings.exported)) if findings.pinned_clients else []
    hosts: dict[str, list[str]] = {}
    for pin in findings.pins:
        hosts.setdefault(pin.place.file, []).extend(pin.hosts)
    return [
        each
        for each in findings.mistakes
        if each.rule != "platform-pins-ignored"
        or not _are_covered(hosts.get(each.place.file, []), patterns)
    ]


def _are_covered(hosts: list[str], exported: list[HostPattern]) -> bool:
    """Return True if the patterns of an exported pin set cover all hosts in a platform's file.

    The app's Dart code then enforces pins for all of these hosts, so their pins in the platform's
    file are no mistake.

    Args:
        hosts: the hosts and host patterns in the platform's file, as text. An invalid one counts as
            not covered.
        exported: the host patterns of the pin sets that ``certpin export`` wrote into the Dart
            code.
    """
    patterns = list(host_patterns(dict.fromkeys(hosts)))
    return len(patterns) == len(set(hosts)) and all(
        any(_covers(each, pattern) for each in exported) for pattern in patterns
    )


def _covers(exported: HostPattern, pattern: HostPattern) -> bool:
    if pattern.wildcard and exported != pattern:
        return exported.wildcard == "**." and exported.matches(pattern.name)
    return exported == pattern or exported.matches(pattern.name)


def _ignored_by_dart(place: Place, used_by: str) -> Mistake:
    return Mistake(
        "platform-pins-ignored",
        place,
        f"these pins apply to {used_by} only: dart:io has its own TLS, which ignores them",
    )


def _dropped(path: str, text: str) -> Dropped:
    line, colon, rest = text.partition(": ")
    number = line.removeprefix("line ")
    if colon and line.startswith("line ") and number.isdigit():
        return Dropped(rest, Place(path, int(number)))
    return Dropped(text, Place(path, 1))

"""Read ``pubspec.yaml``, the manifest of a Dart package: its pinning packages, and its assets.

https://dart.dev/tools/pub/pubspec and https://docs.flutter.dev/tools/pubspec. The descriptions of
the pinning packages come from their public source in November 2026.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from certpin.apps.builds import builds_of_flavours
from certpin.apps.model import FileFindings, Mistake, Place, Unread
from certpin.apps.usage import is_production
from certpin.errors import FormatError
from certpin.support.yaml import compose_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.apps.model import SourceFile

_OTHER_CONNECTION = (
    "its native code opens a separate connection, compares its certificate, and closes it; the "
    "request then goes over another connection, which nothing checks"
)
_ONCE_ELSEWHERE = (
    "its native code verifies a certificate that it fetches over another connection, once for each "
    "host and run; the requests then go over connections that nothing checks"
)
_IN_THE_CALLBACK = (
    "it compares pins in badCertificateCallback, which Dart calls only for a chain that it has "
    "refused, so the callback replaces the checks of chain, name and dates"
)
_FIX = "pin with certpin's package: remove this one when its calls are replaced"


class _Plugin(NamedTuple):
    """A Dart package for pinning, the use of which certpin reports as a mistake.

    ``rule`` is the ID of the rule that an app with this package breaks. ``check`` is a clause for
    the message that says how the package checks pins.
    """

    rule: str
    check: str


_PLUGINS = {
    "http_certificate_pinning": _Plugin("check-on-other-connection", _OTHER_CONNECTION),
    "public_key_pinning": _Plugin("check-on-other-connection", _OTHER_CONNECTION),
    "ssl_pinning_plugin": _Plugin("check-on-other-connection", _OTHER_CONNECTION),
    "trustpin_sdk": _Plugin("check-on-other-connection", _ONCE_ELSEWHERE),
    "flutter_certificate_pinning": _Plugin("pin-in-callback", _IN_THE_CALLBACK),
    "secure_pinning": _Plugin("pin-in-callback", _IN_THE_CALLBACK),
}

# Packages that guides name, and that were not found on pub.dev in November 2026: an attacker can
# register such a name, and then decides the content of the app.
_MISSING = frozenset({"dio_certificate_pinning", "http_client_pinning"})

_SECTIONS = ("dependencies", "dependency_overrides")
_SOURCES = frozenset({"git", "path", "sdk"})  # the package comes from there, not from pub.dev


class Asset(NamedTuple):
    """An entry in the assets of a ``pubspec.yaml``.

    Attributes:
        path: the path relative to the manifest's folder. A path that ends with a slash means all
            files directly in that folder.
        builds: the builds that contain the asset, according to its ``flavors``; empty if the build
            for the app store contains it. A flavour with a name such as ``prod`` counts as that
            build.
    """

    path: str
    builds: str = ""


@dataclass(frozen=True)
class Manifest:
    """The results of reading a ``pubspec.yaml``, and the assets that it lists.

    Attributes:
        findings: the mistakes in the file, and the parts that couldn't be read.
        assets: the entries of the assets.
    """

    findings: FileFindings = field(default_factory=FileFindings)
    assets: tuple[Asset, ...] = ()


def read_pubspec(file: SourceFile) -> Manifest:
    """Read the dependencies and the assets in a ``pubspec.yaml``.

    Not read: versions, ``pubspec.lock``, dependencies of dependencies.

    Args:
        file: the ``pubspec.yaml``.

    Returns:
        The results. They list a part that can't be read as ``unread``.

    Raises:
        ConfigError: PyYAML is not installed.
    """
    manifest = Manifest()
    try:
        root = compose_yaml(file.text)
        entries = dict(_entries(root)) if root is not None else {}
        for section in _SECTIONS:
            _read_dependencies(file, entries.get(section), manifest.findings)
        assets = tuple(_assets(entries.get("flutter")))
    except FormatError as exc:
        manifest.findings.unread.append(Unread.because_of(exc, file))
        return manifest
    return Manifest(manifest.findings, assets)


def _read_dependencies(file: SourceFile, section: Any, findings: FileFindings) -> None:
    for name, node in _entries(section) if _is_mapping(section) else ():
        place = Place(file.path, _line(node))
        hosted = not _is_mapping(node) or _SOURCES.isdisjoint(key for key, _ in _entries(node))
        if name in _MISSING and hosted:
            findings.mistakes.append(
                Mistake(
                    "missing-plugin",
                    place,
                    f"{name} was not found on pub.dev in November 2026: the build fails, or "
                    "contains the code of an attacker who registers this name",
                )
            )
        elif name in _PLUGINS:
            plugin = _PLUGINS[name]
            findings.mistakes.append(Mistake(plugin.rule, place, f"{name}: {plugin.check}", _FIX))


def _assets(flutter: Any) -> Iterator[Asset]:
    """Yield the assets in the section ``flutter``: strings, or mappings with ``path``.

    ``flutter`` is the value of this section in a ``pubspec.yaml``, as the YAML parser returns it.
    """
    listed = dict(_entries(flutter)).get("assets") if _is_mapping(flutter) else None
    if listed is None or listed.id != "sequence":
        return
    for node in listed.value:
        entry = dict(_entries(node)) if _is_mapping(node) else {"path": node}
        path = entry.get("path")
        if path is not None and path.id == "scalar":
            yield Asset(path.value, _builds(entry.get("flavors")))


def _builds(flavors: Any) -> str:
    """Return the builds of an asset's flavours; empty if one of them is for the app store.

    ``flavors`` is the value of the asset's key ``flavors``, as the YAML parser returns it.
    Developers choose the names of flavours, so it isn't known for sure which flavour is that of the
    app store. A name such as ``prod`` counts as one.
    """
    listed = flavors.value if flavors is not None and flavors.id == "sequence" else [flavors]
    names = [node.value for node in listed if node is not None and node.id == "scalar"]
    return "" if any(map(is_production, names)) else builds_of_flavours(*filter(None, names))


def _entries(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield the keys and values of a YAML mapping.

    Entries that have a mapping or a list as key are left out.

    Raises:
        FormatError: the node is not a mapping.
    """
    if not _is_mapping(node):
        raise FormatError(f"line {_line(node)}: it must be a mapping, such as name: value")
    for key, value in node.value:
        if key.id == "scalar":
            yield key.value, value


def _is_mapping(node: Any) -> bool:
    return node is not None and node.id == "mapping"


def _line(node: Any) -> int:
    line: int = node.start_mark.line + 1
    return line

"""Android's trust anchors: ``trust-anchors`` elements, and their files in ``res/raw``."""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.formats.format import File, pass_over
from certpin.formats.table import read_anchors
from certpin.pins import TrustAnchors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from certpin.formats._xml import Element
    from certpin.formats.format import Source

# A resource with an optional package: @raw/name, @com.example.app:raw/name.
_RAW = re.compile(r"@(?:[a-zA-Z0-9_.]{1,200}:)?raw/([a-z0-9_]{1,100})")
_ENDINGS = (".pem", ".crt", ".cer", ".der", "")


def resource(der: bytes) -> str:
    """Return the resource name of a certificate. TrustKit reads one certificate per resource."""
    return f"certpin_{hashlib.sha256(der).hexdigest()[:16]}"


def files(anchors: Iterable[TrustAnchors | None]) -> tuple[File, ...]:
    """Return the files in ``res/raw``, one per distinct certificate."""
    ders = dict.fromkeys(der for each in anchors if each for der in each.der)
    return tuple(
        File(f"res/raw/{resource(der)}.pem", ssl.DER_cert_to_PEM_cert(der)) for der in ders
    )


def read_trust(source: Source, element: Element | None) -> TrustAnchors | None:
    """Return the anchors of a host, or ``None`` for the system's. Raises ``FormatError``.

    Warns if authorities installed by the user are trusted; their certificates must match pins too.
    """
    if element is None:
        return None
    names = []
    for certificates in element.take().all("certificates"):
        if certificates.flag("overridePins", default=False):
            raise FormatError(
                f"line {certificates.line}: overridePins disables the pins",
                fix="use it only in debug-overrides",
            )
        names.append(_source(certificates))
    raw = [name for name in names if name not in {"system", "user"}]
    if bool(raw) == ("system" in names):
        raise FormatError(
            f"line {element.line}: it must trust either the system's authorities or those of files",
            fix="keep one of the two: certpin never trusts both",
        )
    if "user" in names:
        pass_over(f"line {element.line}: authorities installed by the user are trusted too")
    return _anchors(source, raw) if raw else None


def read_debug(source: Source, element: Element | None) -> TrustAnchors | None:
    """Read the anchors that override pins in debug builds. Raises ``FormatError``.

    Warns about the system's and the user's anchors, because a pin file needs named ones, and about
    anchors that do not override pins.
    """
    anchors = element.one("trust-anchors") if element else None
    overriding = []
    for each in anchors.all("certificates") if anchors else ():
        if each.flag("overridePins", default=True):
            overriding.append(_source(each))
        else:
            pass_over(f"line {each.line}: debug builds trust {_source(each)} for pinned keys")
    raw = [name for name in overriding if name not in {"system", "user"}]
    if anchors and len(raw) < len(overriding):
        pass_over(f"line {anchors.line}: debug builds trust every authority of the device")
    return _anchors(source, raw) if raw else None


def _source(certificates: Element) -> str:
    """Return ``system``, ``user``, or the name of a raw resource."""
    text = certificates.get("src").strip()
    match = _RAW.fullmatch(text)
    if text not in {"system", "user"} and not match:
        raise FormatError(f"line {certificates.line}: {text[:80]!r} is not system, user or @raw/…")
    return match[1] if match else text


def _anchors(source: Source, names: list[str]) -> TrustAnchors:
    ders = [der for name in names for der in read_anchors(_raw(source, name)).der]
    return TrustAnchors(tuple(dict.fromkeys(ders)), source=", ".join(names))


def _raw(source: Source, name: str) -> bytes:
    """Read the file of a resource, whose reference has no extension."""
    for ending in _ENDINGS:
        try:
            return source.beside(f"../raw/{name}{ending}")
        except FormatError:
            continue
    raise FormatError(f"res/raw has no certificate {name}", fix="add the file")

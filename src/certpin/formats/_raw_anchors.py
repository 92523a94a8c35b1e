"""Trust anchors of Android: ``trust-anchors`` elements, and the files in ``res/raw`` they name."""

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

# A resource, with or without the package it is in: @raw/name, @com.example.app:raw/name.
_RAW = re.compile(r"@(?:[a-zA-Z0-9_.]{1,200}:)?raw/([a-z0-9_]{1,100})")
_ENDINGS = (".pem", ".crt", ".cer", ".der", "")


def resource(der: bytes) -> str:
    """The name of the resource that holds a certificate: one each, as TrustKit reads no more."""
    return f"certpin_{hashlib.sha256(der).hexdigest()[:16]}"


def files(anchors: Iterable[TrustAnchors | None]) -> tuple[File, ...]:
    """The files in ``res/raw``, each certificate once."""
    ders = dict.fromkeys(der for each in anchors if each for der in each.der)
    return tuple(
        File(f"res/raw/{resource(der)}.pem", ssl.DER_cert_to_PEM_cert(der)) for der in ders
    )


def read_trust(source: Source, element: Element | None) -> TrustAnchors | None:
    """The anchors of a host; ``None`` where the system's count. Raises ``FormatError``.

    Of those that the user installed it is told: what they vouch for must be pinned all the same.
    """
    if element is None:
        return None
    names = []
    for certificates in element.take().all("certificates"):
        if certificates.flag("overridePins", default=False):
            raise FormatError(
                f"line {certificates.line}: with overridePins the pins do not hold",
                fix="let it stand in debug-overrides alone",
            )
        names.append(_source(certificates))
    raw = [name for name in names if name not in {"system", "user"}]
    if bool(raw) == ("system" in names):
        raise FormatError(
            f"line {element.line}: it must trust the system's authorities, or those of files",
            fix="keep one of the two: certpin trusts either, and never both",
        )
    if "user" in names:
        pass_over(f"line {element.line}: authorities that the user installed are trusted too")
    return _anchors(source, raw) if raw else None


def read_debug(source: Source, element: Element | None) -> TrustAnchors | None:
    """Read the anchors that override pins in a build for debugging. Raises ``FormatError``.

    Warns of those of the system or of the user, as certpin's are bound to named ones, and of those
    that override no pins.
    """
    anchors = element.one("trust-anchors") if element else None
    overriding = []
    for each in anchors.all("certificates") if anchors else ():
        if each.flag("overridePins", default=True):
            overriding.append(_source(each))
        else:
            pass_over(f"line {each.line}: debugging builds trust {_source(each)} for pinned keys")
    raw = [name for name in overriding if name not in {"system", "user"}]
    if anchors and len(raw) < len(overriding):
        pass_over(f"line {anchors.line}: debugging builds trust every authority of the device")
    return _anchors(source, raw) if raw else None


def _source(certificates: Element) -> str:
    """``system``, ``user``, or the name of a raw resource."""
    text = certificates.get("src").strip()
    match = _RAW.fullmatch(text)
    if text not in {"system", "user"} and not match:
        raise FormatError(f"line {certificates.line}: {text[:80]!r} is not system, user or @raw/…")
    return match[1] if match else text


def _anchors(source: Source, names: list[str]) -> TrustAnchors:
    ders = [der for name in names for der in read_anchors(_raw(source, name)).der]
    return TrustAnchors(tuple(dict.fromkeys(ders)), source=", ".join(names))


def _raw(source: Source, name: str) -> bytes:
    """The file of a resource: its name says nothing of the ending."""
    for ending in _ENDINGS:
        try:
            return source.beside(f"../raw/{name}{ending}")
        except FormatError:
            continue
    raise FormatError(f"res/raw has no certificate of the name {name}", fix="put it there")

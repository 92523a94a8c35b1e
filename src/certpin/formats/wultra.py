"""The fingerprint list of Wultra's dynamic pinning, without its signatures.

https://github.com/wultra/ssl-pinning-tool. The SDKs take a list that is signed entry by entry,
over ``name & fingerprint & expires``: what is written here is what gets signed, by
``certpin.updates.wultra``.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from certpin.errors import FormatError, PinParseError
from certpin.formats.format import File, Format, Found, Reading, pass_over
from certpin.formats.header import header, read_header
from certpin.formats.limits import (
    CertificatesOnly,
    FailClosedDate,
    LeafOnly,
    NamesOnly,
    NoCompromised,
    NoDebug,
    NoReportOnly,
    NoReports,
    NoSubtrees,
    NoTrust,
)
from certpin.formats.shape import Shape
from certpin.pins import Pin

if TYPE_CHECKING:
    from certpin.formats.format import Source
    from certpin.pins import PinSet

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write(pins: PinSet) -> tuple[File, ...]:
    """One entry a certificate. The header stands under ``comment``, which no SDK reads."""
    entries = [
        {
            "name": str(policy.pattern),
            "fingerprint": base64.b64encode(entry.pin.digest).decode(),
            "expires": (policy.expires - _EPOCH) // timedelta(seconds=1),
        }
        for policy in pins.policies
        for entry in policy.pins
        if policy.expires
    ]
    document = {"comment": header(pins, WULTRA.name), "fingerprints": entries}
    return (File(WULTRA.file, json.dumps(document, indent=2) + "\n"),)


def read(source: Source) -> Reading:
    """Read a list, signed or not: signatures are not checked. Raises ``FormatError``.

    A host ends with the last of its certificates; the others end by their own dates, which TLS
    checks.
    """
    document = Shape.json(source.text)
    comment = document.get("comment")
    words = "\n".join(comment.texts()) if comment else ""
    by_name: dict[str, list[Shape]] = {}
    for entry in document.need("fingerprints").items():
        by_name.setdefault(entry.need("name").text(), []).append(entry)
    found = tuple(_found(name, entries) for name, entries in by_name.items())
    return Reading(found, *read_header(words))


def _found(name: str, entries: list[Shape]) -> Found:
    if not name:
        raise FormatError("an entry has no name")
    moments = [_moment(entry.need("expires")) for entry in entries]
    if len(set(moments)) > 1:
        pass_over(f"the entries of {name[:80]} end at different times: the last of them counts")
    return Found(
        name,
        tuple(_pin(entry.need("fingerprint")) for entry in entries),
        match="leaf",
        expires=max(moments),
    )


def _pin(fingerprint: Shape) -> Pin:
    try:
        return Pin("cert-sha256", base64.b64decode(fingerprint.text().strip(), validate=True))
    except (PinParseError, binascii.Error, ValueError) as exc:
        raise FormatError(f"{fingerprint.place} is not the base64 of a SHA-256") from exc


def _moment(seconds: Shape) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds.integer())
    except OverflowError as exc:
        raise FormatError(f"{seconds.place} is not a time", fix="write unix seconds") from exc


WULTRA = Format(
    name="wultra",
    title="Wultra, fingerprint list",
    use="The SDKs want it signed: certpin publish wultra writes it so.",
    file="fingerprints.json",
    limits=(
        NoCompromised("the SDKs have no keys to refuse"),
        NoDebug("the list is the same for every build"),
        NoReportOnly("the SDKs always refuse"),
        NamesOnly("the SDKs compare the common name of the certificate"),
        NoSubtrees("the SDKs compare the common name of the certificate, letter by letter"),
        NoTrust("the SDKs ask the system for the chain"),
        FailClosedDate("each entry must say when it ends, and accepts nothing then"),
        NoReports("the SDKs send nothing"),
        CertificatesOnly("the SDKs compare the fingerprint of the certificate"),
        LeafOnly("the SDKs compare the server's own certificate"),
    ),
    write=write,
    read=read,
    needs=(
        "Certificates whose common name is the host's, or the pattern's: the SDKs compare it.",
        "A new list, signed, before the certificates change: the pins are of certificates.",
    ),
)

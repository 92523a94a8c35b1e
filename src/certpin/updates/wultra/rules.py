"""What is wrong with an entry, whoever signed it: its name, its fingerprint, its date."""

from __future__ import annotations

import base64
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from certpin.errors import HostError
from certpin.pins import HostPattern
from certpin.updates.wultra.finding import Finding
from certpin.updates.wultra.listing import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.updates.wultra.listing import Entry, Listing

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Beyond the year 5138: whoever writes such a number counts milliseconds, as Java does.
MILLISECONDS = 10**11

_HEX = re.compile(r"[0-9A-Fa-f]{64}|[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31}", re.ASCII)
_MAKE_IT = "openssl x509 -in cert.pem -outform DER | openssl dgst -sha256 -binary | openssl base64"
_SECONDS = "write whole seconds since 1970, without quotes"
_SERVER = "serve the list in the challenge mode, which signs all of it"


def of_entry(entry: Entry, now: datetime) -> Iterator[Finding]:
    """All rules but the signature."""
    yield from _of_name(entry)
    yield from _of_fingerprint(entry)
    yield from _of_date(entry, now)


def of_listing(listing: Listing, *, answered: bool) -> Iterator[Finding]:
    """The rules for the whole. ``answered``: it is the body of an answer that was verified."""
    if not listing.entries:
        yield Finding("empty", "there is no entry in it: an app accepts no server", "sign one")
    if answered:
        return
    if listing.switches:
        yield Finding(
            "unsigned-switches",
            "it has domainsConfig, which nobody signed: whoever can change the list on its way "
            "turns pinning off",
            f"take it out, or {_SERVER}",
        )
    for entry in listing.entries:
        if entry.depth:
            yield Finding(
                "unsigned-depth",
                f"{entry.name} is for the certificate at depth {entry.depth}, and nobody signed "
                "that number",
                f"list the server's own certificate, without depth, or {_SERVER}",
            )


def of_all(listing: Listing, now: datetime) -> Iterator[Finding]:
    """All rules of this module, for whoever uses a list and does not show it."""
    yield from of_listing(listing, answered=False)
    for entry in listing.entries:
        yield from of_entry(entry, now)


def twins(listing: Listing) -> frozenset[tuple[str, str]]:
    """The name and the fingerprint of each entry that stands there more than once."""
    counted = Counter((entry.name, entry.fingerprint) for entry in listing.entries)
    return frozenset(pair for pair, times in counted.items() if times > 1)


def ends(entry: Entry) -> datetime | None:
    """When an entry ends, if that is a moment."""
    try:
        return None if entry.seconds is None else EPOCH + timedelta(seconds=entry.seconds)
    except OverflowError:
        return None


def _of_name(entry: Entry) -> Iterator[Finding]:
    try:
        known = not str(HostPattern.parse(entry.name)).startswith("**.")
    except HostError:
        known = False
    if not known:
        yield Finding(
            "name",
            f"{entry.name[:80]!r} is not the name of a host",
            "write the common name of the certificate, as api.bank.example or *.bank.example",
        )


def _of_fingerprint(entry: Entry) -> Iterator[Finding]:
    if entry.digest is not None:
        return
    if _HEX.fullmatch(entry.fingerprint):
        raw = bytes.fromhex(entry.fingerprint.replace(":", ""))
        right = base64.b64encode(raw).decode()
        yield Finding("hexadecimal", "the fingerprint is hexadecimal, not base64", f"write {right}")
    elif re.search(rb"[0-9a-fA-F]{64}", decoded(entry.fingerprint) or b""):
        yield Finding(
            "hexadecimal",
            "the fingerprint is the base64 of hexadecimal text: openssl dgst was run without "
            "-binary",
            _MAKE_IT,
        )
    else:
        yield Finding("fingerprint", "the fingerprint is not the base64 of a SHA-256", _MAKE_IT)


def _of_date(entry: Entry, now: datetime) -> Iterator[Finding]:
    seconds = entry.seconds
    if seconds is None:
        yield Finding("date", "expires is a text, not a number", _SECONDS)
    elif seconds >= MILLISECONDS:
        yield Finding("milliseconds", "expires is in milliseconds", _SECONDS)
    elif seconds <= (now - EPOCH).total_seconds():
        yield Finding(
            "expired",
            "it has ended, and an app accepts nothing by it",
            "sign an entry for the certificate that comes after it",
        )

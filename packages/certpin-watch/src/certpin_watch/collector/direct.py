"""Read certpin's own reports from JSON straight into what is counted of them.

Most reports are of this format, with an ``id``, and their fields are few. Decoding one into a typed
struct checks types and lengths while it parses, and values that many reports have in common (host,
chains, pins) are checked once and remembered. Everything else (another format, an unknown field, a
letter beyond ASCII, a mistake) is left to the codecs of ``certpin.reports``, which decide what is
accepted, and say what is wrong. The two never count anything differently
(``tests/watch/collector/test_direct.py``). Only where a field is there twice, a number that is too
large for a float is passed over here in the first of them, and is a mistake to the codecs.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from certpin.errors import FormatError
from certpin.reports.codecs.certpin import ID
from certpin.reports.codecs.fields import MAX_HOST, MAX_PORT, MAX_TEXT, MAX_VERSION, Fields
from certpin.reports.model import Decision  # noqa: TC001  # msgspec reads it
from certpin_watch.collector.received import WIDTHS, Failure, identity

if TYPE_CHECKING:
    from datetime import datetime

# Bounds of what is remembered: entries, and bytes of each. A sender who fills it makes reading
# slower, as slow as without it.
_REMEMBERED, _LONGEST = 256, 16 * 1024

# A text that is longer than what is counted of it is cut, which the codecs' way does.
_Reason = Annotated[str, Meta(max_length=WIDTHS["reason"])]
_PinSet = Annotated[str, Meta(max_length=WIDTHS["pin_set"])]
_App = Annotated[str, Meta(max_length=WIDTHS["app"])]
_AppVersion = Annotated[str, Meta(max_length=WIDTHS["app_version"])]
_Platform = Annotated[str, Meta(max_length=WIDTHS["platform"])]
_Network = Annotated[str, Meta(max_length=WIDTHS["network"])]
_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_Host = Annotated[str, Meta(max_length=MAX_HOST)]


class _Document(msgspec.Struct, gc=False, forbid_unknown_fields=True, rename="kebab"):
    """The fields of ``certpin.reports.codecs.certpin``. What is ``Raw`` is not parsed again if it
    was met before.
    """

    schema: Literal["certpin-report/1"]
    id: _Text
    date_time: _Text
    hostname: _Host
    decision: Decision
    port: Annotated[int, Meta(ge=0, le=MAX_PORT)] = 0
    reason: _Reason = ""
    policy: _Text = ""
    noted_hostname: _Host = ""
    include_subdomains: bool = False
    pin_set: _PinSet = ""
    pin_set_version: Annotated[int, Meta(ge=0, le=MAX_VERSION)] = 0
    app: _App = ""
    app_version: _AppVersion = ""
    platform: _Platform = ""
    platform_version: _Text = ""
    network: _Network = ""
    library: _Text = ""
    served_certificate_chain: Raw = Raw(b"[]")
    validated_certificate_chain: Raw = Raw(b"[]")
    known_pins: Raw = Raw(b"[]")
    effective_expiration_date: _Text = ""


_decode = msgspec.json.Decoder(_Document).decode
_is_id = ID.fullmatch


def read_report(data: bytes, source: str) -> Failure | None:
    """Read a document, if it is one of certpin's own reports with an ``id`` and without a mistake.

    Args:
        data: the body, unpacked.
        source: the network that it came from.

    Returns:
        What is counted of it, as the codecs have it. None if the codecs have to look at it.
    """
    if not data.isascii():  # bytes that are skipped here could be no UTF-8
        return None
    try:
        said = _decode(data)
        at = _moment(said.date_time)
        host = _host(said.hostname)
        served = _remembered(_chain, bytes(said.served_certificate_chain))
        verified = _remembered(_chain, bytes(said.validated_certificate_chain))
        _remembered(_pins, bytes(said.known_pins))
        _check_pattern(said.policy, said.noted_hostname, said.include_subdomains)
        _check_expiry(said.effective_expiration_date)
    except (msgspec.MsgspecError, FormatError, RecursionError):
        return None
    texts = (
        *(said.reason, said.pin_set, said.app, said.app_version, said.platform, said.network),
        *(said.platform_version, said.library),
    )
    if not (_is_id(said.id) and "".join(texts).isprintable()):
        return None
    return Failure(
        identity("certpin", f"id:{said.id}", "", at),
        "certpin",
        said.decision,
        said.reason,
        host,
        served,
        verified,
        said.pin_set,
        said.pin_set_version,
        said.app,
        said.app_version,
        said.platform,
        said.network or source,
    )


def _remembered(read: Any, raw: bytes) -> Any:
    """Read a part of a document, or remember what it was; not if it is so long that few are."""
    return read(raw) if len(raw) <= _LONGEST else read.__wrapped__(raw)


@lru_cache(_REMEMBERED)
def _chain(raw: bytes) -> tuple[bytes, ...]:
    return Fields({"": msgspec.json.decode(raw)}).chain("")


@lru_cache(_REMEMBERED)
def _pins(raw: bytes) -> tuple[str, ...]:
    return Fields({"": msgspec.json.decode(raw)}).pins("")


@lru_cache(4096)
def _host(text: str) -> str:
    return Fields({"": text}).host("")


@lru_cache(4096)
def _moment(text: str) -> datetime:
    return Fields({"": text}).time("")


@lru_cache(4096)
def _check_pattern(policy: str, noted: str, below: bool) -> None:
    Fields({"": policy}).pattern("")
    Fields({"": noted}).pattern("", below=below)


@lru_cache(4096)
def _check_expiry(text: str) -> None:
    Fields({"": text}).expiry("")

"""Network Error Logging, as browsers post it through the Reporting API: a list of what happened.

Of its types those that begin with ``tls.cert.`` are of use here; of all others nothing is kept, nor
of entries that are no network errors. Nothing is kept of the path that was called, of the referrer,
and of the user agent, which tells devices apart.

``age`` counts milliseconds since it happened, and grows until it is sent: the moment is that of its
receipt less the age. That moves by what the way took, and there is no name and no date to go by. So
a report has two identities, which are digests of all that stays the same (address, user agent,
body) and of one of two neighbouring half minutes: that of the moment, and the next one. Two sends
of one report whose moments are less than half a minute apart have one of them in common, whatever
boundary lies in between. Those that are more than a minute apart have none.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin.errors import FormatError
from certpin.reports.codecs.codec import Codec
from certpin.reports.codecs.fields import Fields
from certpin.reports.codecs.identities import digest_of
from certpin.reports.model import Client, Report

if TYPE_CHECKING:
    from datetime import datetime

# Those of certificates: https://w3c.github.io/network-error-logging/#predefined-network-error-types
REASONS = {
    "tls.cert.pinned_key_not_in_cert_chain": "mismatch",
    "tls.cert.name_invalid": "name",
    "tls.cert.date_invalid": "date",
    "tls.cert.authority_invalid": "untrusted",
    "tls.cert.invalid": "invalid",
    "tls.cert.revoked": "revoked",
}

MAX_ENTRIES = 100  # of one post; Chromium sends what a minute brought
_MAX_URL = 8192
_MAX_AGENT = 1024
_MAX_AGE = 366 * 24 * 3600 * 1000  # milliseconds: browsers forget after days
_HTTPS = 443
_PREFIX = "tls.cert."
APART = 30  # seconds by which the moment of one report may move: a body has ten to come


def _recognises(document: object) -> bool:
    return isinstance(document, list)


def _decode(document: list[Any], received: datetime) -> tuple[Report, ...]:
    if len(document) > MAX_ENTRIES:
        raise FormatError(f"there are more than {MAX_ENTRIES} entries")
    found = (_entry(each, f"[{at}].", received) for at, each in enumerate(document))
    return tuple([report for report in found if report is not None])


def _entry(entry: object, where: str, received: datetime) -> Report | None:
    if not isinstance(entry, dict):
        raise FormatError(f"{where[:-1]}: this is not an object")
    body = entry.get("body")
    if entry.get("type") != "network-error":
        return None
    if not isinstance(body, dict):
        raise FormatError(f"{where}body: this is not an object")
    said = Fields(body, f"{where}body.")
    what = said.text("type")
    if not what.startswith(_PREFIX):
        return None
    if said.text("phase") != "connection":
        said.refuse("phase", "certificates are looked at in the connection phase")
    return _report(Fields(entry, where), said, what, received)


def _report(fields: Fields, said: Fields, what: str, received: datetime) -> Report:
    host, port = _place(fields)
    at = received - timedelta(milliseconds=fields.number("age", _MAX_AGE))
    constant = (
        *(fields.text("url", _MAX_URL), fields.text("user_agent", _MAX_AGENT)),
        *(said.text(name, _MAX_URL) for name in ("referrer", "server_ip", "protocol", "method")),
        str(said.number("elapsed_time", _MAX_AGE)),
    )
    half = int(at.timestamp() // APART)
    first, second = (digest_of("nel", (str(n), what, *constant)) for n in (half, half + 1))
    return Report(
        kind="nel",
        at=at,
        host=host,
        port=port,
        decision="refuse",
        reason=REASONS.get(what, "invalid"),
        identity=first,
        client=Client(platform="browser"),
        also=second,
    )


def _place(fields: Fields) -> tuple[str, int]:
    """Host and port of the address that was called."""
    try:
        url = urlsplit(fields.text("url", _MAX_URL))
        host, port = url.hostname, url.port
    except ValueError:
        fields.refuse("url", "this is no address")
    if url.scheme not in {"https", "wss"}:
        fields.refuse("url", "this is no https address")
    return fields.as_host("url", host), _HTTPS if port is None else port


NEL = Codec("nel", "application/reports+json", _recognises, _decode)

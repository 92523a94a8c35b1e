"""Read Network Error Logging (NEL): lists of errors that browsers post through the Reporting API.

Only network errors with a type that begins with ``tls.cert.`` become reports. The path of the URL,
the referrer and the user agent are not stored, because they identify pages and devices.

An entry contains neither an ID nor a date. Its field ``age`` is the number of milliseconds between
the error and the upload, so the time of the error is computed: the time of arrival minus ``age``.
If the browser uploads an entry twice, the two computed times can differ slightly.

An identity is a text by which a collector recognises repeated uploads of a report. Because of the
inexact time, a report has two identities. Both are digests of the fields that don't change
(address, user agent, body) and of a half minute: the half minute of the computed time, or the next
one. If the computed times of two uploads differ by less than half a minute, the uploads share an
identity; if by more than a minute, they share none.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin.errors import FormatError
from certpin.reports.codecs.fields import Codec, Fields, digest_of
from certpin.reports.model import Client, Report

if TYPE_CHECKING:
    from datetime import datetime

# The certificate errors of https://w3c.github.io/network-error-logging/#predefined-network-error-types
REASONS = {
    "tls.cert.pinned_key_not_in_cert_chain": "mismatch",
    "tls.cert.name_invalid": "name",
    "tls.cert.date_invalid": "date",
    "tls.cert.authority_invalid": "untrusted",
    "tls.cert.invalid": "invalid",
    "tls.cert.revoked": "revoked",
}

MAX_ENTRIES = 100  # of one upload; Chromium collects entries for a minute
_MAX_URL = 8192
_MAX_AGENT = 1024
_MAX_AGE = 366 * 24 * 3600 * 1000  # milliseconds; browsers drop entries after days
_HTTPS = 443
_PREFIX = "tls.cert."
_PERIOD = 30  # seconds by which the time of one report may shift: an upload may take ten


def _recognises(document: object) -> bool:
    return isinstance(document, list)


def _decode(document: list[Any], received: datetime) -> tuple[Report, ...]:
    if len(document) > MAX_ENTRIES:
        raise FormatError(f"there are more than {MAX_ENTRIES} entries")
    found = (_entry(entry, f"[{index}].", received) for index, entry in enumerate(document))
    return tuple([report for report in found if report is not None])


def _entry(entry: object, where: str, received: datetime) -> Report | None:
    if not isinstance(entry, dict):
        raise FormatError(f"{where[:-1]}: this is not an object")
    body = entry.get("body")
    if entry.get("type") != "network-error":
        return None
    if not isinstance(body, dict):
        raise FormatError(f"{where}body: this is not an object")
    details = Fields(body, f"{where}body.")
    error = details.text("type")
    if not error.startswith(_PREFIX):
        return None
    if details.text("phase") != "connection":
        details.refuse("phase", "certificate errors belong to the connection phase")
    return _report(Fields(entry, where), details, error, received)


def _report(fields: Fields, details: Fields, error: str, received: datetime) -> Report:
    host, port = _place(fields)
    at = received - timedelta(milliseconds=fields.number("age", _MAX_AGE))
    constant = (
        *(fields.text("url", _MAX_URL), fields.text("user_agent", _MAX_AGENT)),
        *(details.text(name, _MAX_URL) for name in ("referrer", "server_ip", "protocol", "method")),
        str(details.number("elapsed_time", _MAX_AGE)),
    )
    period = int(at.timestamp() // _PERIOD)
    first, second = (digest_of("nel", (str(n), error, *constant)) for n in (period, period + 1))
    return Report(
        kind="nel",
        at=at,
        host=host,
        port=port,
        decision="refuse",
        reason=REASONS.get(error, "invalid"),
        identity=first,
        client=Client(platform="browser"),
        also=second,
    )


def _place(fields: Fields) -> tuple[str, int]:
    """Return the host and the port of the URL that the browser requested (the field ``url``).

    ``fields`` are those of one entry in the browser's list of errors. Raises ``FormatError`` if
    ``url`` is not a URL with ``https`` or ``wss``.
    """
    try:
        url = urlsplit(fields.text("url", _MAX_URL))
        host, port = url.hostname, url.port
    except ValueError:
        fields.refuse("url", "this is not a URL")
    if url.scheme not in {"https", "wss"}:
        fields.refuse("url", "this is not an https URL")
    return fields.as_host("url", host), _HTTPS if port is None else port


NEL = Codec(
    "nel",
    "application/reports+json",
    _recognises,
    _decode,
    reasons=frozenset(REASONS.values()),
    identity_period=_PERIOD,
)

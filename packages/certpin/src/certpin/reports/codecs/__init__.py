"""The formats of pin failure reports. Each is a module with a ``Codec``, listed in ``CODECS``.

    decode(json.loads(body), content_type, received)

Codecs are pure: they return the reports in a decoded JSON document, which arrived at a given time.
To add a format, write a module with a ``Codec``, add the codec to ``CODECS``, and its name to
``certpin.reports.model.Kind``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.reports.codecs.certpin import CERTPIN
from certpin.reports.codecs.fields import Codec
from certpin.reports.codecs.nel import NEL
from certpin.reports.codecs.rfc7469 import RFC7469
from certpin.reports.codecs.trustkit import TRUSTKIT

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.reports.model import Presence, Report

# The most specific format first: every field of RFC 7469 also exists in the formats before it.
CODECS: dict[str, Codec] = {codec.name: codec for codec in (CERTPIN, TRUSTKIT, NEL, RFC7469)}

# The content types of all formats, each once.
CONTENT_TYPES = tuple(dict.fromkeys(codec.content_type for codec in CODECS.values()))

JSON_TYPE = "application/json"


def decode(
    document: object, content_type: str, received: datetime
) -> tuple[Report | Presence, ...]:
    """Read the reports in an uploaded document of any known format.

    Not checked: whether the content of the reports is true.

    Args:
        document: the decoded JSON of the upload.
        content_type: the value of the ``Content-Type`` header, with parameters; empty means JSON.
        received: the time of arrival, with a time zone.

    Returns:
        A ``Report`` for each pin failure, or a ``Presence`` with the version of a client's pin set.
        Empty if a browser reported only errors that don't concern certificates.

    Raises:
        FormatError: the format is unknown, or a field is invalid. The message is one line and never
            repeats content of the document.
    """
    essence = content_type.partition(";")[0].strip().lower() or JSON_TYPE
    for codec in CODECS.values():
        if essence == codec.content_type and codec.recognises(document):
            return codec.decode(document, received)
    raise _unknown(essence)


def _unknown(essence: str) -> FormatError:
    if essence not in CONTENT_TYPES:
        return FormatError(
            "this is not a content type of reports", fix=f"send {' or '.join(CONTENT_TYPES)}"
        )
    return FormatError("this is not a report in a known format")


__all__ = ["CODECS", "CONTENT_TYPES", "JSON_TYPE", "Codec", "decode"]

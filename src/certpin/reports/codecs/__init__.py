"""The formats that reports come in: one file a format, and one line in ``CODECS``.

    decode(json.loads(body), content_type, received)

Pure: a JSON document that is decoded already goes in, with the moment at which it arrived; what it
says comes out. A new format is one file here, and one line below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.errors import FormatError
from certpin.reports.codecs.certpin import CERTPIN
from certpin.reports.codecs.codec import Codec
from certpin.reports.codecs.nel import NEL
from certpin.reports.codecs.rfc7469 import RFC7469
from certpin.reports.codecs.trustkit import TRUSTKIT

if TYPE_CHECKING:
    from datetime import datetime

    from certpin.reports.model import Presence, Report

# The most telling first: RFC 7469 has no field that the formats before it lack.
CODECS: dict[str, Codec] = {each.name: each for each in (CERTPIN, TRUSTKIT, NEL, RFC7469)}

JSON_TYPE = "application/json"


def decode(
    document: object, content_type: str, received: datetime
) -> tuple[Report | Presence, ...]:
    """What a document says, whichever of the formats it is in.

    ``content_type`` is the header of that name, parameters and all; empty is taken for JSON.
    ``received`` has a time zone. The tuple is empty where a browser told of nothing that concerns
    certificates: that is no mistake, and nothing to keep. Raises ``FormatError``, in one line that
    has nothing of what was sent in it. Not checked: that anything of it is true.
    """
    essence = content_type.partition(";")[0].strip().lower() or JSON_TYPE
    for codec in CODECS.values():
        if essence == codec.content_type and codec.recognises(document):
            return codec.decode(document, received)
    raise _unknown(essence)


def _unknown(essence: str) -> FormatError:
    if essence not in {codec.content_type for codec in CODECS.values()}:
        return FormatError(
            "the content type is none of a report", fix=f"{JSON_TYPE}, or {NEL.content_type}"
        )
    return FormatError("this is no report in a format that is known here")


__all__ = ["CODECS", "JSON_TYPE", "Codec", "decode"]

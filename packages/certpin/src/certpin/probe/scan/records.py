"""Write the results of a scan as one JSON line for each host, and read them to resume a scan."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from certpin.errors import CertificateParseError, InputError
from certpin.pins import Pin
from certpin.pins.certificate_names import name_matches
from certpin.probe.dial import Endpoint

if TYPE_CHECKING:
    from typing import BinaryIO

    from certpin.errors import HostError, ProbeError
    from certpin.probe.scan.attempt import ScanResult
    from certpin.x509 import Certificate, Chain

# The fields of every record, in this order. ``_RECORD_START`` relies on the first ones.
_HEAD = {"schema": 1, "command": "scan"}
_FIELDS = (
    *("host", "port", "address", "attempts", "seconds", "tls"),
    *("chain_verified", "refusal", "name_matches"),
    *("subject", "issuer", "not_after", "key", "certificate_pin"),
    *("served", "verified", "error"),
)
_RECORD_START = b'{"schema":1,"command":"scan","host":"'
_EMPTY_RECORD: dict[str, Any] = _HEAD | dict.fromkeys(_FIELDS)
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def record_line(fields: dict[str, Any]) -> str:
    """Return a result of a scan (from ``record``) as a line of JSON, without a newline."""
    return _encode(fields)


def record(result: ScanResult) -> dict[str, Any]:
    """Return a scan result as a dictionary, the fields of one line of JSON. Never raises."""
    fields = _EMPTY_RECORD | {
        "host": result.endpoint.host,
        "port": result.endpoint.port,
        "address": result.address or None,
        "attempts": result.attempts,
        "seconds": round(result.seconds, 3),
        "tls": result.tls or None,
        "chain_verified": None if result.error else result.verified is not None,
        "refusal": result.refusal or None,
        "error": _error_fields(result.error) if result.error else None,
        "verified": _pins(result.verified) if result.verified else None,
    }
    return fields | _served(result.served, result.endpoint.name) if result.served else fields


def invalid_host_record(text: str, error: HostError) -> dict[str, Any]:
    """Return the record (the fields of one JSON line) for an input line that is not a host.

    In the record, the host is the line (``text``), and the port is 0. ``error`` is the reason why
    it is not a host.
    """
    found = {"host": text, "port": 0, "attempts": 0, "seconds": 0.0}
    return _EMPTY_RECORD | found | {"error": _error_fields(error)}


def _error_fields(error: ProbeError | HostError | CertificateParseError) -> dict[str, str]:
    return {"kind": type(error).__name__, "problem": error.problem}


def _served(chain: Chain, name: str) -> dict[str, Any]:
    fields: dict[str, Any] = {"served": _pins(chain)}
    try:
        fields |= _leaf_fields(chain.leaf)
        fields["name_matches"] = name_matches(name, chain.leaf)
    except CertificateParseError as unreadable:
        fields["error"] = _error_fields(unreadable)
    return fields


# Many hosts share a certificate, and every host shares its authorities with others.
@lru_cache(maxsize=1024)
def _leaf_fields(leaf: Certificate) -> dict[str, Any]:
    return {
        "subject": leaf.subject,
        "issuer": leaf.issuer,
        "not_after": leaf.not_after.isoformat(),
        "key": leaf.key,
        "certificate_pin": str(Pin("cert-sha256", leaf.sha256)),
    }


@lru_cache(maxsize=256)
def _pins(chain: Chain) -> list[str]:
    return [str(Pin.of_key(each.spki_sha256)) for each in chain.certificates]


class ScannedEndpoints:
    """The endpoints in the output of an earlier scan, which is resumed and must skip them.

    Use ``in`` to test if an endpoint was scanned. To save memory, only an eight-byte digest of each
    endpoint is kept. An endpoint is skipped by mistake if its digest equals that of another one; in
    lists of a million hosts, this happens once in about 4·10^7 lists.

    Attributes:
        unanswered: the number of records with an error.
    """

    def __init__(self, output: BinaryIO) -> None:
        """Read the JSON lines of a scan. Truncate an incomplete last line, and seek to the end.

        Raises:
            InputError: the file is not the output of a scan. The file is not changed.
        """
        digests = array("Q")
        self.unanswered = 0
        end = 0
        for number, text in enumerate(output, 1):
            if not text.endswith(b"\n"):
                _check_incomplete(text, number)
                break
            end += len(text)
            digest, has_error = _read_record(text, number)
            digests.append(digest)
            self.unanswered += has_error
        output.truncate(end)
        output.seek(end)
        self._digests = array("Q", sorted(digests))

    def __contains__(self, endpoint: object) -> bool:
        if not isinstance(endpoint, Endpoint):
            return False
        digest = _digest(endpoint.host, endpoint.port)
        place = bisect_left(self._digests, digest)
        return place < len(self._digests) and self._digests[place] == digest


def _read_record(text: bytes, number: int) -> tuple[int, bool]:
    """Return the digest of the endpoint in a line of a scan's output, and True if it has an error.

    ``text`` is the line, and ``number`` is the number of the line, for the error. Raises
    ``InputError`` if the line is not a result of a scan.
    """
    try:
        seen = json.loads(text)
        host, port = seen["host"], seen["port"]
        if type(host) is str and type(port) is int and text.startswith(_RECORD_START):
            return _digest(host, port), seen.get("error") is not None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _not_a_record(number) from error
    raise _not_a_record(number)


def _check_incomplete(text: bytes, number: int) -> None:
    """Raise ``InputError`` unless an incomplete last line is the beginning of a scan's result.

    ``text`` is the line, and ``number`` its number, for the error.
    """
    if text[: len(_RECORD_START)] != _RECORD_START[: len(text)]:
        raise _not_a_record(number)


def _not_a_record(number: int) -> InputError:
    return InputError(
        f"line {number} is not a record of a scan",
        fix="give the output of an earlier scan, or the name of a new file",
    )


def _digest(host: str, port: int) -> int:
    return int.from_bytes(blake2b(f"{host}:{port}".encode(), digest_size=8).digest(), "big")

"""What a former run of a scan has done, so that the next one goes on where it stopped."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left
from hashlib import blake2b
from typing import BinaryIO

from certpin.errors import InputError
from certpin.probe.endpoint import Endpoint

# Of every record, and so of one that was cut off.
_BEGIN = b'{"schema":1,"command":"scan","host":"'


class Done:
    """The endpoints that the output of a former run has a record of: eight bytes for each.

    Two names share a digest once in 10^7 lists of a million hosts.
    """

    def __init__(self, output: BinaryIO) -> None:
        """Read JSON lines; what was cut off at the end is dropped, and the file stands there.

        Raises ``InputError`` on a file that no scan has written, and leaves it as it is.
        """
        digests = array("Q")
        end = 0
        for number, text in enumerate(output, 1):
            if not text.endswith(b"\n"):
                _check_cut_off(text, number)
                break
            end += len(text)
            digests.append(_read(text, number))
        output.truncate(end)
        output.seek(end)
        self._digests = array("Q", sorted(digests))

    def __contains__(self, endpoint: object) -> bool:
        if not isinstance(endpoint, Endpoint):
            return False
        digest = _digest(endpoint.host, endpoint.port)
        place = bisect_left(self._digests, digest)
        return place < len(self._digests) and self._digests[place] == digest


def _read(text: bytes, number: int) -> int:
    """The digest of the endpoint of a record."""
    try:
        seen = json.loads(text)
        host, port = seen["host"], seen["port"]
        if type(host) is str and type(port) is int and text.startswith(_BEGIN):
            return _digest(host, port)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _foreign(number) from error
    raise _foreign(number)


def _check_cut_off(text: bytes, number: int) -> None:
    """Raise ``InputError`` unless the rest of a file is the beginning of a record."""
    if text[: len(_BEGIN)] != _BEGIN[: len(text)]:
        raise _foreign(number)


def _foreign(number: int) -> InputError:
    return InputError(
        f"line {number} is not a record of a scan",
        fix="give the output of an earlier scan, or the name of a new file",
    )


def _digest(host: str, port: int) -> int:
    return int.from_bytes(blake2b(f"{host}:{port}".encode(), digest_size=8).digest(), "big")

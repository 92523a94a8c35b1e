"""The text of a token, ``certpin_ID_SECRET``: how it is made and read, without a database.

The last six characters are a checksum (as GitHub's tokens have one), so that a scanner for leaked
secrets can recognise a token, and a mistyped token costs no question to the database. A worker
checks its own token with it, and loads no database for that.
"""

from __future__ import annotations

import re
import secrets
import string
from binascii import crc32

_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID, _SECRET, _SUM = 12, 43, 6  # 62^43 are more than 256 bits
_FORM = re.compile(rf"certpin_([0-9A-Za-z]{{{_ID}}})_([0-9A-Za-z]{{{_SECRET + _SUM}}})")


def new_token() -> tuple[str, str]:
    """Return the ID and the secret of a new token."""
    return _random(_ID), _random(_SECRET)


def token_text(token_id: str, secret: str) -> str:
    """Return the whole token, with its checksum."""
    text = f"certpin_{token_id}_{secret}"
    return text + _checksum(text)


def parse(text: str) -> tuple[str, str] | None:
    """Return ID and secret; ``None`` if it is no token, or one with a wrong letter."""
    if (found := _FORM.fullmatch(text)) is None or _checksum(text[:-_SUM]) != text[-_SUM:]:
        return None
    return found[1], found[2][:-_SUM]


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _checksum(text: str) -> str:
    rest, letters = crc32(text.encode()), ""
    for _ in range(_SUM):
        rest, digit = divmod(rest, len(_LETTERS))
        letters = _LETTERS[digit] + letters
    return letters

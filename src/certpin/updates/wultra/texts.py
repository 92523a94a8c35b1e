"""What is signed: the text of an entry, and that of an answer to a challenge.

    entry       NAME&FINGERPRINT&EXPIRES        a static list; signed once, offline
    answer      CHALLENGE&BODY                  the challenge mode; signed for each request

Whoever asks chooses the challenge. So with one key for both, could he have an entry signed? The two
kinds of text have no member in common:

1. EXPIRES is a number in decimal: the last byte of an entry is a digit.
2. BODY is a JSON object: the last byte of an answer is ``}``. ``answer_text`` refuses another one.

And if that key signs other things too? A challenge is of letters, digits and ``+/=_-``. The second
byte of what is signed for a certificate (RFC 5280) or a request (RFC 2986) is none of these; nor is
a space, with which TLS 1.3 begins (RFC 8446 section 4.4.3). What follows has ``&`` and ``{``, which
stand in no JWT (RFC 7515 section 7.1). Metadata of TUF begins with ``{``.

All the same, have two keys: that of the answers is on a server that anybody may ask.
"""

from __future__ import annotations

import re

from certpin.errors import FormatError

# The SDKs send 24 characters, the base64 of 16 random bytes; Wultra's own server wants 16 at least,
# and takes 32. 128 are the base64 of 96 bytes: more than anybody draws, and nothing to hash.
LEAST_CHALLENGE = 16
LONGEST_CHALLENGE = 128
# Base64 (RFC 4648 sections 4 and 5) and hexadecimal: what a client makes of random bytes.
_CHALLENGE = re.compile(rf"[A-Za-z0-9+/=_-]{{{LEAST_CHALLENGE},{LONGEST_CHALLENGE}}}", re.ASCII)


def entry_text(name: str, fingerprint: str, expires: int | str) -> bytes:
    """What the signature of an entry is over.

    The SDKs write the fingerprint anew as base64 (RFC 4648 section 4), and the moment as whole
    seconds since 1970. An entry that spells them in another way is one that ``rules`` refuses.
    """
    return f"{name}&{fingerprint}&{expires}".encode()


def is_challenge(text: str) -> bool:
    """Whether a text is one that is signed for whoever sends it."""
    return _CHALLENGE.fullmatch(text) is not None


def answer_text(challenge: str, body: bytes) -> bytes:
    """What the signature of an answer is over. Raises ``FormatError`` on what is never signed."""
    if not is_challenge(challenge):
        raise FormatError(
            "this is no challenge",
            fix=f"a challenge has {LEAST_CHALLENGE} to {LONGEST_CHALLENGE} characters, as base64 "
            "has them",
        )
    if body[:1] != b"{" or body[-1:] != b"}":
        raise FormatError("the body is no JSON object from its first byte to its last")
    return challenge.encode("ascii") + b"&" + body

"""What one connection said. Pure.

A device has no exit status, so that a verdict must be read from connections alone. What only
looks like a refusal (a client that was cut off, junk, a lost network) must not be taken for one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from certpin.lab.evidence import Connection

# Why OpenSSL's server ends a handshake to which a sound client agrees on nothing: that is the
# client's refusal. Anything else that ends TLS here says nothing of the client's trust.
_NO_AGREEMENT = frozenset(
    {
        "inappropriate fallback",
        "no shared cipher",
        "no shared groups",
        "no suitable groups",
        "no suitable key share",
        "no suitable signature algorithm",
        "unsupported protocol",
        "version too low",
    }
)
# What ends TLS here when something comes that no TLS library sends. It is nobody's signal.
_JUNK = frozenset(
    {
        "bad length",
        "bad record type",
        "decryption failed or bad record mac",
        "http request",
        "https proxy request",
        "invalid ccs message",
        "length mismatch",
        "packet length too long",
        "record layer failure",
        "unexpected message",
        "unexpected record",
        "unknown alert type",
        "wrong version number",
    }
)
_IN_CLEAR = "the lab answered in clear text"


class ClientSignal(StrEnum):
    """What a connection tells of its client."""

    SENT_DATA = "gave"  # its data arrived
    REFUSED = "refused"  # it said so: an alert, or nothing in common
    CLOSED = "left"  # it hung up without a signal: a refusal, or an accident
    NONE = "void"  # silence until the lab's patience ended, or TLS failed in some other way
    NO_HELLO = "nothing"  # it never said hello, or junk after it


def signal(seen: Connection, *, hung_up: bool, ended: bool) -> ClientSignal | None:
    """The signal of a connection; ``None`` where it may still say one.

    ``hung_up`` says that the client ended it, ``ended`` that it is over, whoever did so.
    """
    if seen.said or seen.passed:
        return ClientSignal.SENT_DATA
    if seen.hello and (seen.alert or seen.problem in _NO_AGREEMENT):
        return ClientSignal.REFUSED
    if not (hung_up or ended):
        return None
    if not seen.hello or seen.problem in _JUNK:
        return ClientSignal.NO_HELLO
    if seen.unclear:
        return ClientSignal.NONE
    return ClientSignal.CLOSED if hung_up and seen.problem in {"", _IN_CLEAR} else ClientSignal.NONE

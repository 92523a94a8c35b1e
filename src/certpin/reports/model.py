"""What clients tell: a failure that they met, or which version of the pins they hold.

A report is a claim by whoever sent it. Nothing in it is proven: not the host, not the chain, not
the app. It is for counting, and for looking at what many clients say at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datetime import datetime

# What the client did with the connection: `refuse`, let it pass and told (`report`), or let it
# pass by a debug override or pins past their date (`accept`). As in ``certpin.tls``.
Decision = Literal["refuse", "report", "accept"]

# Reasons of a chain that the client's own platform refused, before any pin was looked at: a client
# without pins would refuse it, too. Browsers, TrustKit, Dart and Python say the same words.
UNVERIFIED = frozenset({"untrusted", "name", "date", "revoked", "invalid"})

# The format that a report came in.
Kind = Literal["certpin", "rfc7469", "trustkit", "nel"]


@dataclass(frozen=True, slots=True)
class Client:
    """Who tells it. Each is empty where that is not known; none names a person or a device.

    ``platform`` is ``android``, ``ios``, ``python`` and the like, ``network`` what the client says
    of its network (``wifi``, ``cellular``, a carrier), ``library`` what pinned: ``trustkit 3.0``.
    """

    app: str = ""
    app_version: str = ""
    platform: str = ""
    platform_version: str = ""
    network: str = ""
    library: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A connection that failed its policy.

    ``at`` is by the client's clock, with a time zone. ``host`` is normalised; ``port`` is 0 where
    it is not known. ``reason`` is one of a verdict's reasons, or of the format's own. ``served``
    and ``verified`` are certificates as DER, leaf first; either may be empty. ``known_pins`` are
    written ``sha256/…`` or ``cert-sha256/…``. ``pin_set_version`` is 0 where the format has none.
    ``expires`` is when the pins end, ``None`` where nobody said so.

    ``identity`` tells this report from every other one that a client sends, and stays the same when
    it is sent again. With ``own_identity`` the client made it by luck, for this report alone: no
    other client has the same. Without, it is a digest of what was said: two clients that met the
    same in the same second, and have nothing that tells them apart, share it. ``also`` is a second
    one, or empty: whatever has either is the same report (``codecs/nel.py``).
    """

    kind: Kind
    at: datetime
    host: str
    port: int
    decision: Decision
    reason: str
    identity: str
    client: Client = Client()
    pin_set: str = ""
    pin_set_version: int = 0
    pattern: str = ""
    served: tuple[bytes, ...] = ()
    verified: tuple[bytes, ...] = ()
    known_pins: tuple[str, ...] = ()
    expires: datetime | None = None
    own_identity: bool = False
    also: str = ""


@dataclass(frozen=True, slots=True)
class Presence:
    """A client that holds a version of a pin set: told once a day at most, without a name.

    Counted by day and version they say how far a version has got: no client is told from another.
    ``identity`` is made by luck for this one beacon, and the same only when it is sent again.
    """

    at: datetime
    pin_set: str
    pin_set_version: int
    identity: str
    client: Client = Client()

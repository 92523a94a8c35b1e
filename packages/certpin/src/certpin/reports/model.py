"""The content of reports: a pin failure, or the version of the pin set that a client has.

A report is an unproven claim: its sender may invent the host, the chain and the app. Use reports
for counting, and for comparisons between many clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from certpin.pins import verdict

if TYPE_CHECKING:
    from datetime import datetime

# The client's decision: `refuse` the connection, accept and report it (`report`), or accept it
# because of a debug override or expired pins (`accept`).
Decision = verdict.Decision

# Reasons of a chain that the client's platform refused before pins were compared: a client without
# pins would refuse it too. Browsers, TrustKit, Dart and Python use the same words.
UNVERIFIED = frozenset({"untrusted", "name", "date", "revoked", "invalid"})

# The format that a report arrived in: the names in ``codecs.CODECS``. A collector that reads a
# report from a queue refuses every other name.
Kind = Literal["certpin", "rfc7469", "trustkit", "nel"]


@dataclass(frozen=True, slots=True)
class Client:
    """The app that sends a report. Unknown fields are empty.

    No field identifies a person or a device.

    Attributes:
        app: the name of the app.
        app_version: the version of the app.
        platform: ``android``, ``ios``, ``python`` and so on.
        platform_version: the version of the platform.
        network: ``wifi``, ``cellular`` or a carrier, as the client reports it.
        library: the pinning library and its version, such as ``trustkit 3.0``.
    """

    app: str = ""
    app_version: str = ""
    platform: str = ""
    platform_version: str = ""
    network: str = ""
    library: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A client's report of a connection that failed the policy of its host.

    Attributes:
        kind: the format in which the report arrived: ``certpin``, ``rfc7469``, ``trustkit`` or
            ``nel``.
        at: the time of the failure by the client's clock, with a time zone.
        host: the host name of the connection, normalised.
        port: the port of the connection; 0 if unknown.
        decision: the client's decision: ``refuse``, ``report`` (accept and report) or ``accept``.
        reason: the reason of the failure, such as ``mismatch``, ``expired`` or ``untrusted``.
        identity: a text by which a collector recognises repeated uploads of this report. It is
            equal in each upload, and normally differs from the identities of other reports (see
            ``own_identity``).
        client: the app that sends the report.
        pin_set: the name of the client's pin set; empty if the format has no such field.
        pin_set_version: the version of that pin set; 0 if the format has no such field.
        pattern: the host pattern of the policy; empty if unknown.
        served: the certificates that the server sent, as DER, leaf first; may be empty.
        verified: the certificates of the verified chain, as DER, leaf first; may be empty.
        known_pins: the client's pins for the host, as ``sha256/…`` or ``cert-sha256/…``.
        expires: the time at which the pins expire; ``None`` if the report doesn't contain it.
        own_identity: True if the client generated ``identity`` at random, so that no other report
            has it. If False, ``identity`` is a digest of the content: the reports of two clients
            have the same identity if they have the same content, including the second of the
            failure.
        also: a second identity, or empty. Two reports count as the same if they have an identity in
            common (``codecs/nel.py``).
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
    """A client's anonymous message, at most once a day, that it has a certain version of a pin set.

    Presences are counted by day and version to measure the number of clients with a version.

    Attributes:
        at: the time by the client's clock, with a time zone.
        pin_set: the name of the pin set.
        pin_set_version: the version that the client has.
        identity: a random text for this presence only, which does not identify the client.
        client: the app that sends the presence.
    """

    at: datetime
    pin_set: str
    pin_set_version: int
    identity: str
    client: Client = Client()

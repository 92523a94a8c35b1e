"""Requests in clear text to a host under test: which attack led to them, if any. No I/O.

An app can repeat a refused request over ``http://``. This request in clear text is then evidence of
the attack that the app refused. But an app can also use clear text for other purposes, which are
evidence of no attack.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.lab.device.turn import ClientSignal
from certpin.lab.report.words import tokens_in
from certpin.lab.verdict import KEPT

if TYPE_CHECKING:
    from certpin.lab.device.turn import Turn, Visit

_REQUEST = re.compile(rb"[A-Za-z]+ \S+ HTTP/\d")
_FAILED = {ClientSignal.REFUSED, ClientSignal.CLOSED, ClientSignal.NONE}


class ClearText:
    """The requests in clear text to one host under test, and the attacks that led to them.

    If an attack redirected the client to the URL of a request, the request belongs to this attack.
    Any other request belongs to the latest attack on the host, unless the request is usual for this
    client. It is usual if earlier requests already had all of its credentials. Only earlier
    requests in clear text count that the client sent before the first attack, and not right after a
    failed TLS connection. Without any of them, no request is usual.

    Attributes:
        requests: the number of requests that belong to no attack.
        credentials: descriptions of the credentials in these requests, without their values.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.credentials: set[str] = set()
        self._usual: set[str] | None = None  # credentials in requests before the first attack
        self._attack: Turn | None = None  # the latest that the client met
        self._redirecting: list[Turn] = []  # that redirected the client into clear text
        self._failed = False  # whether the latest TLS connection had no data of the client

    def update(self, visit: Visit, *, changed: bool) -> bool:
        """Process an event on a connection to the host.

        If the connection is a request in clear text that belongs to an attack, it is added to the
        evidence of this attack's turn (the run of the attack for this host).

        Args:
            visit: the connection.
            changed: True if the event changed the connection's signal (the client's reaction).

        Returns:
            True if this call added the connection to the evidence of an attack.
        """
        if visit.seen.hello:
            self._note_tls(visit, changed=changed)
            return False
        if visit.is_assigned or not _is_complete(visit):
            return False
        visit.is_assigned = True
        attack = self._attack_of(visit.seen.clear)
        if attack:
            attack.add_fallback(visit)
        return attack is not None

    def _note_tls(self, visit: Visit, *, changed: bool) -> None:
        turn = visit.turn
        if changed:
            self._failed = visit.signal in _FAILED
        if changed and turn.leads_into_clear and visit.signal is ClientSignal.SENT_DATA:
            self._redirecting.append(turn)
        if visit.seen.exposed or turn in self._redirecting:
            self._attack = turn

    def _attack_of(self, clear: bytes) -> Turn | None:
        """Return the turn of the attack that led to a request; None if no attack did.

        ``clear`` are the bytes of the request.
        """
        for turn in self._redirecting:
            if turn.token in clear:
                return turn
        credentials = set(tokens_in(clear))
        usual = self._usual is not None and credentials <= self._usual
        if self._attack and not usual:
            return self._attack
        if not (self._attack or self._failed):
            self._usual = credentials.union(self._usual or ())
        self.requests += 1
        self.credentials |= credentials
        return None


def _is_complete(visit: Visit) -> bool:
    """Return True if a connection without TLS is an HTTP request that needs no further bytes.

    This is so if the whole head of the request has arrived, or the head is too long. It is also so
    if nothing more can arrive, because the connection ended or the client closed its side.
    """
    clear = visit.seen.clear
    ended = visit.ended or visit.hung_up or b"\r\n\r\n" in clear or len(clear) >= KEPT
    return ended and _REQUEST.match(clear) is not None

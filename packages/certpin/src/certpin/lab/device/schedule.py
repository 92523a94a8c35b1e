"""Assign each new connection of a device to the active case of the host that it requests.

A case tests one behaviour of the app. If a case redirects a client, the connection that follows
the redirect belongs to this case too.

``ClearText`` assigns requests in clear text. An app can repeat a refused request over ``http://``:
then the request is evidence of the attack that the app refused. But an app can also use clear text
for other purposes, which are evidence of no attack.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certpin.lab.case import CONTROL, CannotServeError
from certpin.lab.device.queue import CaseQueue
from certpin.lab.device.turn import ClientSignal, Turn, Visit
from certpin.lab.pki import Style, TestPKI, made_once
from certpin.lab.report.words import tokens_in
from certpin.lab.scenario import INTERRUPTED, OTHER_PORT, Answer
from certpin.lab.server.relay import UPSTREAM
from certpin.lab.server.session import Destination
from certpin.lab.upstream import UpstreamPKI
from certpin.lab.verdict import KEPT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from certpin.lab.authority import Authority, Identity
    from certpin.lab.case import Case
    from certpin.lab.pki import Authorities
    from certpin.lab.runner import Result
    from certpin.lab.scenario import Scenario
    from certpin.lab.upstream import Upstream
    from certpin.lab.verdict import Connection

    OnResult = Callable[[str, Result], None]

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # FIPS 186-4 D.1.2.3
_OCTETS = 40  # 64 bits longer than the order (FIPS 186-5 appendix A.2.1)
_REQUEST = re.compile(rb"[A-Za-z]+ \S+ HTTP/\d")
_FAILED = {ClientSignal.REFUSED, ClientSignal.CLOSED, ClientSignal.NONE}


def server_key(root: Authority, label: str) -> ec.EllipticCurvePrivateKey:
    """Return a P-256 key that is derived from the key of a root.

    The same root and label always give the same key, so an app's pins match in every session of the
    lab. ``label`` identifies the server.
    """
    secret = root.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    made = HKDF(SHA256(), _OCTETS, salt=None, info=f"certpin-lab:{label}".encode()).derive(secret)
    return ec.derive_private_key(int.from_bytes(made) % (_ORDER - 1) + 1, ec.SECP256R1())


class DevicePKI(TestPKI):
    """The keys and certificates of a host under test, with server keys derived from the root's key.

    So the servers have the same keys in every session of the lab, and an app's pins still match.
    """

    @made_once
    def leaf(self) -> Identity:
        """R→I→L: the chain of the honest server, from root R to its leaf L."""
        return self.intermediate.issue(self.host, key=server_key(self.root, f"leaf:{self.host}"))

    @property
    def unpinned(self) -> str:
        """The name of a third host, for which the client has no pins.

        It differs for each host under test, so that it shows which case redirected the client.
        """
        return f"{sha256(self.host.encode()).hexdigest()[:12]}.{super().unpinned}"

    @made_once
    def second_leaf(self) -> Identity:
        """R→I2→L2: the chain of the honest second server, from root R to its leaf L2.

        The second host is also a host under test in other cases. The leaf has the same key there,
        so that the app needs only one pin for this host.
        """
        key = server_key(self.root, f"leaf:{self.second}")
        return self.second_intermediate.issue(self.second, key=key)


# The second host of cases that need one, if only one host is under test.
SECOND = "second.certpin.lab"


class Schedule:
    """Assigns connections to cases, with a queue of cases for each host under test.

    Not thread-safe.

    Args:
        hosts: the hosts under test.
        style: the kind of the app's pins: on the server's key, on an authority, or none.
        cases: the cases to run for each host.
        authorities: the lab's roots and intermediates.
        on_result: called with the host and the result of each case.
        upstreams: by host, the real servers, if the app connects to them through the lab.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        style: Style,
        cases: Iterable[Case],
        authorities: Authorities,
        on_result: OnResult = lambda *_: None,
        upstreams: Mapping[str, Upstream] | None = None,
    ) -> None:
        self.hosts = tuple(hosts)
        self._upstreams = upstreams or {}
        self._authorities = authorities
        self.pkis = {host: self._pki(host, style) for host in self.hosts}
        chosen = tuple(cases)
        self.queues = {host: self._queue_of(host, style, chosen, on_result) for host in hosts}
        self._resting = {host: self._prepare(host, CONTROL) for host in hosts}
        # By host and port (0 for any), the latest turn that redirected a client there.
        self._led: dict[tuple[str, int], Turn] = {}
        self.clear_text = {host: ClearText() for host in hosts}
        self._answering: set[Visit] = set()  # connections with an unfinished answer

    def _pki(self, host: str, style: Style) -> TestPKI:
        second, upstream = _second(self.hosts, host), self._upstreams.get(host)
        if upstream:
            return UpstreamPKI(self._authorities, host, second, style, upstream)
        return DevicePKI(self._authorities, host, second, style)

    def _queue_of(
        self, host: str, style: Style, cases: tuple[Case, ...], on_result: OnResult
    ) -> CaseQueue:
        return CaseQueue(
            style,
            cases,
            prepare=lambda case: self._prepare(host, case),
            settled=lambda result: on_result(host, result),
        )

    def tests(self, host: str) -> bool:
        """Return True if the lab itself serves ``host``.

        The lab relays connections to all other hosts.
        """
        return host in self.queues or (host, 0) in self._led

    @property
    def finished(self) -> bool:
        """True if all cases of every host are finished."""
        return all(queue.finished for queue in self.queues.values())

    @property
    def is_answering(self) -> bool:
        """True if a client of a host under test may not have received its whole answer yet.

        The lab then waits before it stops. This is so if a connection is still open on which the
        client sent data to a server of the lab or to the real server of the host.
        """
        return bool(self._answering)

    def admit(self, seen: Connection, port: int = 0) -> Visit:
        """Assign a new connection to the turn to which it belongs.

        A turn is the run of one case for one host. Usually, this is the active turn of the
        requested host. But if a turn redirected the client to this host and port, or if a case
        about two hosts is active and this is one of them, it is that turn. If the host has no
        active turn, it is a turn with the honest server that is not judged.

        Args:
            seen: the evidence of the connection. So far, it has only the requested host, in
                ``target``.
            port: the requested port; 0 if it is unknown.

        Returns:
            The connection as a ``Visit`` of this turn.
        """
        turn = self._turn(seen.target, port)
        if turn in self._resting.values():
            return Visit(turn, seen)  # its signal is not needed
        return turn.begin(seen)

    def update(self, visit: Visit, *, hung_up: bool = False, ended: bool = False) -> None:
        """Process an event on a connection of a device.

        The event can end the case of the connection, and so begin the next case.

        Args:
            visit: the connection.
            hung_up: True if the client closed its side.
            ended: True if the connection is over. If both are False, bytes arrived.
        """
        changed = visit.update_signal(hung_up=hung_up, ended=ended)
        if changed and visit.signal is ClientSignal.SENT_DATA:
            self._note_redirect(visit)
        clear_text = self.clear_text.get(visit.seen.target)
        if clear_text and clear_text.update(visit, changed=changed) and visit.attack:
            self.queues[visit.attack.hosts[0]].update(visit.attack)
        if visit.turn.case_run.error or changed:
            self.queues[visit.turn.hosts[0]].update(visit.turn)
        if ended:
            visit.turn.drop(visit)
            if visit.attack:
                visit.attack.drop(visit)
            self._answering.discard(visit)
        elif visit.signal is ClientSignal.SENT_DATA:
            self._answering.add(visit)

    def stop(self) -> None:
        """Stop the queues of all hosts.

        Refusals since the latest good control (the case with the honest server) become
        inconclusive, because no later control shows that the app still worked.
        """
        for queue in self.queues.values():
            queue.stop()

    def _note_redirect(self, visit: Visit) -> None:
        """Store the turn (the run of a case) that redirects a client to another host or port.

        The schedule then assigns the connection that follows the redirect to this turn. ``visit``
        is the connection on which the redirect was sent. If the lab sends no such redirect on this
        connection, nothing is stored.
        """
        turn, step = visit.turn, visit.seen.step
        if step and step.answer is Answer.REDIRECT_UNPINNED:
            self._led[turn.hosts[2], 0] = turn
        if step and step.answer is Answer.REDIRECT_PORT:
            self._led[turn.hosts[0], OTHER_PORT] = turn

    def _turn(self, host: str, port: int) -> Turn:
        led = self._led.get((host, port)) or self._led.get((host, 0))
        if led:
            return led
        wide = self._wide()
        if wide and host in wide.hosts[:2]:
            return wide
        turn = self.queues[host].turn(wide=wide is None)
        return turn or self._resting[host]

    def _wide(self) -> Turn | None:
        """Return the active turn of a case about two hosts, or None if there is none.

        A turn is the run of one case for one host. For a case about two hosts, it has the
        connections to both. At most one such turn is active at a time.
        """
        turns = (queue.current for queue in self.queues.values())
        return next((turn for turn in turns if turn and turn.wide), None)

    def _prepare(self, host: str, case: Case) -> Turn:
        """Return a new turn: the run of a case for a host, which has not begun.

        Raises:
            CannotServeError: the case can't be served to a device.
        """
        _check_case(case, host)
        pki = self.pkis[host]
        scenario = case.scenario(pki)
        _check_scenario(scenario)
        hosts = (host, pki.second, pki.unpinned)
        turn = Turn(case, scenario, hosts, pki.authorities.client.chain_pem.decode())
        if scenario.second:
            self._needs_second(pki)
        if host in self._upstreams:
            turn.case_run.upstream = Destination(UPSTREAM, *self._upstreams[host].address)
        return turn

    def _needs_second(self, pki: TestPKI) -> None:
        """Check that the lab can run a case about two hosts.

        ``pki`` has the keys and certificates of the first host. It also names the second host.

        Raises:
            CannotServeError: the app has only one host under test, or it pins an authority, so that
                both hosts have the same pins.
        """
        if pki.second not in self.queues:
            raise CannotServeError("it needs two hosts of the app", fix="name another --host")
        if pki.style is Style.CA:
            raise CannotServeError("it needs hosts that are pinned on different authorities")


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

        A turn is the run of a case for a host. ``clear`` are the bytes of the request, in clear
        text.
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
    ``visit`` is the connection.
    """
    clear = visit.seen.clear
    ended = visit.ended or visit.hung_up or b"\r\n\r\n" in clear or len(clear) >= KEPT
    return ended and _REQUEST.match(clear) is not None


_BY_PROVE = "`certpin prove` has this case"


def _check_case(case: Case, host: str) -> None:
    """Check that a case doesn't require a change of the app or the device.

    The lab attacks the app as it is: with its hosts, protocol, pins, trust store and clock.

    Raises:
        CannotServeError: the case needs another host, protocol, clock, trust store or pin set.
    """
    asked = case.spelling(case.host(host))
    if asked != host:
        raise CannotServeError(f"the app would have to call {asked}", fix=_BY_PROVE)
    if case.protocol not in {"", "http"}:
        raise CannotServeError(f"only applies to an app that speaks {case.protocol}")
    if case.clock:
        raise CannotServeError("it needs a client with a clock that can be moved", fix=_BY_PROVE)
    if case.anchors:
        raise CannotServeError("it needs another trust store than the device's", fix=_BY_PROVE)
    if case.compromised or case.requires_ct:
        raise CannotServeError("it needs another pin set than the app's", fix=_BY_PROVE)


def _check_scenario(scenario: Scenario) -> None:
    """Check that a scenario can be tested with the app of a device.

    A scenario describes how the lab serves each connection of a case. The lab sees only the
    connections of a device, and no exit status. So the connections must show whether the app
    accepted the server.

    Raises:
        CannotServeError: the connections of this scenario don't show it, or a device can't make
            them, such as connections over QUIC.
    """
    if scenario.canary_only:
        raise CannotServeError("it needs a client that sends the lab's canary", fix=_BY_PROVE)
    if scenario.proxy_status:
        raise CannotServeError("an app gives no signal if its proxy opens no tunnel", fix=_BY_PROVE)
    if scenario.http3:
        raise CannotServeError("the lab routes no QUIC of a device", fix=_BY_PROVE)
    if scenario.ech:
        raise CannotServeError("an app has no ECH configuration of the lab", fix=_BY_PROVE)
    if scenario.tls_proxy:
        raise CannotServeError("a device reaches its proxy without TLS", fix=_BY_PROVE)
    if any(step.opening in INTERRUPTED for step in scenario.steps):
        raise CannotServeError(
            "an app gives no signal if its connection is interrupted", fix=_BY_PROVE
        )


def _second(hosts: Sequence[str], host: str) -> str:
    """Return the second host of the cases about two hosts, if ``host`` is their first one.

    It is the host under test that follows ``host`` in the list; after the last, the first. For a
    single host under test, return ``SECOND``, a made-up name.
    """
    if len(hosts) == 1:
        return SECOND
    return hosts[(hosts.index(host) + 1) % len(hosts)]

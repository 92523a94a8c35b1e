"""The evidence of a case, and the verdict on it: how the client reacted, and if that is right.

A finished handshake does not show that the client accepted the server: in TLS 1.3, a client that
checks the chain only after it has sent its Finished message still can refuse. So the verdict is
based on the data that the client sent, and on its exit status.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from certpin.lab.case import Expect
from certpin.lab.scenario import Role
from certpin.pins.hosts import join_address
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab.scenario import Scenario, ServerStep
    from certpin.lab.server.records import ClientHello
    from certpin.pins import PinSet


# Bytes of the client's data that are kept: enough to show a leak, and a client can't fill the
# memory of the lab.
KEPT = 64 * 1024
LONGEST_HOST = 253  # characters that are kept: 255 octets of RFC 1035 section 2.3.4

# The beginning of the problem of a connection on which the client offered no weak parameters.
NOT_OFFERED = "this client does not offer"
# How a client reaches the lab (``Connection.via``).
WAYS = {"connect": "an HTTP proxy", "socks5": "a SOCKS5 proxy", "port": "no proxy"}

# OpenSSL's errors if client and server have no parameters in common, which is a refusal. Other
# errors give no evidence about the client's trust.
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


@dataclass
class Connection:
    """The evidence of one connection of the client to the lab.

    The session that serves the connection fills in the fields, and ``judge`` derives a verdict from
    them. A step is how the lab serves one connection.

    Attributes:
        via: how the client connected: ``port`` (directly), ``connect`` or ``socks5`` (by a proxy).
        target: the host that the client requested from a proxy; empty without one.
        step: the step with which the lab served the connection; None if the connection ended before
            a step was chosen.
        hello: the client's ClientHello; None if none arrived.
        tampered: True if the step tampered with the part before TLS, or refused the tunnel.
        secured: True if the TLS handshake finished, which does not show that the client accepted
            the server.
        version: the TLS version; empty if no handshake finished.
        cipher: the cipher suite; empty if no handshake finished.
        alpn: the negotiated application protocol; empty if there is none.
        resumed: True if the client resumed a TLS session.
        client_certificate: the client's certificate as DER, which the lab verified; empty without
            one.
        certificate_shown: True if the client sent a certificate that the lab can't verify.
        data: the client's application data under TLS, without the overhead of its protocol.
        astray: the part of ``data`` that was addressed to the step's ``foreign`` host.
        clear: the client's application data in clear text.
        passed: for a connection that was relayed to a real server, the number of TLS records with
            data of the client; else 0.
        unclear: for such a connection, True if it is unknown whether the client sent data.
        answered: for such a connection, the number of bytes that the server sent.
        alert: the TLS alert that the client sent, as OpenSSL names it; empty if it sent none.
        problem: any other reason why the connection ended; empty if there is none.
    """

    via: str = "port"  # how the client connected: port, connect or socks5
    target: str = ""  # the host that it requested from a proxy
    step: ServerStep | None = None  # None if the connection ended before a step was chosen
    hello: ClientHello | None = None
    tampered: bool = False  # the step tampered with the part before TLS, or refused the tunnel
    secured: bool = False  # the handshake finished, which is not acceptance
    version: str = ""
    cipher: str = ""
    alpn: str = ""
    resumed: bool = False
    client_certificate: bytes = b""
    certificate_shown: bool = False  # the client sent one that the lab cannot verify
    data: bytes = b""  # application data under TLS, without the overhead of its protocol
    astray: bytes = b""  # the part of the data that was addressed to the step's foreign host
    clear: bytes = b""  # application data in clear text
    # For a connection that passed through to the real server: the number of records with client
    # data, whether there may be more that can't be recognised, and the bytes that the server sent.
    passed: int = 0
    unclear: bool = False
    answered: int = 0
    alert: str = ""  # the alert that the client sent, as OpenSSL names it
    problem: str = ""  # any other cause of its end

    @property
    def hostile(self) -> bool:
        """True if an attacker, played by the lab, served this connection.

        False for honest servers and hosts without pins, and if the connection ended before the lab
        chose how to serve it.
        """
        return self.step is not None and self.step.role is Role.ATTACKER

    @property
    def exposed(self) -> bool:
        """True if data that the client sends on this connection counts as leaked.

        This is so if the server is not honest, if the client has sent data in clear text, or if it
        has sent data for a second host, which must not arrive on this connection (``astray``).
        """
        return bool(self.clear or self.astray) or (
            self.step is not None and self.step.role is not Role.HONEST
        )

    @property
    def said(self) -> bytes:
        """The client's data on which the verdict is based.

        This is all data of the connection. If the step (how the lab serves the connection) names a
        ``foreign`` host, this is only the data in clear text, and the requests for that host, which
        must not arrive on this connection.
        """
        if self.step and self.step.foreign:
            return self.clear + self.astray
        return self.clear + self.data


def disagrees(problem: str) -> bool:
    """Return True if a connection ended because client and server had no TLS parameters in common.

    The client then got no certificate, so the connection shows nothing about its checks.

    Args:
        problem: the recorded cause of the connection's end, such as OpenSSL's error.
    """
    return problem in _NO_AGREEMENT or problem.startswith(NOT_OFFERED)


@dataclass(frozen=True)
class ProxyHead:
    """The head of a client's HTTP request to the lab's proxy, which is in clear text.

    ``receiver`` is the reader of the request: the proxy, or the host if the request is plain HTTP.
    """

    receiver: str
    head: bytes


@dataclass(frozen=True)
class OtherHost:
    """A host that is not under test, and that the client requested from the lab's proxy.

    ``relayed`` is True if the lab was allowed to connect the client to it, and False if the proxy
    refused the request. In both cases, no verdict is about the host.
    """

    host: str
    port: int
    relayed: bool

    @property
    def address(self) -> str:
        """The host and port, such as ``login.example:443`` or ``[::1]:443``, in one line."""
        host = printable(self.host)  # the client chooses it, and SOCKS allows line ends in it
        return join_address(host, self.port)

    @property
    def is_ip_address(self) -> bool:
        """True if the host is an IP address without a zone, and so can be shown in reports.

        Text of the client's choice can follow an IPv6 address as its zone: ``fe80::1%any text``.
        """
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return "%" not in self.host

    @property
    def note(self) -> str:
        """A sentence for the verdict's reason: the client requested this host, which is not judged.

        It is in lower case and without a full stop, and says if the request was relayed or refused.
        """
        fate = "relayed" if self.relayed else "refused"
        return f"the client also asked for {self.address}: {fate}, and not judged"


@dataclass(frozen=True)
class Ending:
    """How a run of the client ended.

    ``status`` is the client's exit status: 0 for success, negative for the signal that killed it.
    It is ``None`` if the lab stopped the client, or the client did not start. ``problem`` then
    gives the reason. ``cut`` is True if the beginning of its output was not kept. ``via`` is the
    way to the lab that the client was given, a key of ``WAYS``.
    """

    status: int | None
    output: str = ""  # the last part of its output
    problem: str = ""
    cut: bool = False
    via: str = ""  # empty if the client did not start, or is not a program

    @property
    def broken(self) -> str:
        """The reason why the client was stopped or died; empty if it ended by itself.

        Some exit statuses count as such an end, too. A shell reports the signal that killed the
        client as 128 plus its number, and timeout(1) reports 124 for a client that it stopped.
        """
        if self.problem or self.status is None:
            return self.problem or "the client was stopped"
        if self.status < 0 or 128 < self.status <= 192:
            return f"the client died (status {self.status})"
        if self.status == 124:
            return "the client was stopped (status 124, from timeout)"
        return ""

    @property
    def content(self) -> bool:
        """True if the client reported success by its exit status 0.

        It then claims to have accepted the server.
        """
        return self.status == 0


@dataclass(frozen=True)
class Attempt:
    """The evidence of one run of the client against one case.

    Attributes:
        ending: how the client ended.
        scenario: how the lab served the connections.
        connections: the evidence of each connection to the lab.
        canary: the random text in the URL that the client was given; empty if there is none.
        token: the random text in every answer of the lab: a client that prints it has read an
            answer.
        hosts: the host under test, then the hosts to which a redirect may lead.
        pins: the client's pins; None if it has none, or if they are unknown.
        seconds: the duration of the run.
        requests: the heads of the client's HTTP requests to the lab's proxy.
        others: the hosts that the client requested from the lab's proxy, and that are not under
            test.
        opens_probes: True if the client opened connections that it didn't use in the good control
            (the case with an honest server).
    """

    ending: Ending
    scenario: Scenario
    connections: tuple[Connection, ...] = ()
    canary: str = ""  # the marker in the URL that the client was given; empty if none
    token: str = ""  # in every answer: if the client prints it, it read the answer
    hosts: tuple[str, ...] = ()  # the host to request, then those that a redirect may lead to
    pins: PinSet | None = None  # None if the client has no pins, or they are unknown
    seconds: float = field(default=0.0, compare=False)
    requests: tuple[ProxyHead, ...] = ()  # to the lab's proxy
    others: tuple[OtherHost, ...] = ()  # that the client requested from the lab's proxy
    opens_probes: bool = False  # in the good control, the client opened connections without use

    @property
    def reached_lab(self) -> bool:
        """True if the client connected to the lab, or used its proxy for any host."""
        return bool(self.connections or self.requests or self.others)


class Verdict(StrEnum):
    """A client's behaviour in one case: did it accept the server?

    ``ACCEPT`` means that the client sent its data, or read the answer. ``REJECT`` means that it
    sent no data, or reported an error about an honest server. ``LEAK`` means that the client
    reported an error, but only after an attacker had received its data. ``INCONCLUSIVE`` means that
    the client never connected, died, or was stopped. ``FLAKY`` means that several runs of the
    client ended differently.
    """

    ACCEPT = "ACCEPT"  # it sent its data, or read the answer
    REJECT = "REJECT"  # it sent no data, or reported an error about an honest server
    LEAK = "LEAK"  # it reported an error after an attacker had its data
    INCONCLUSIVE = "INCONCLUSIVE"  # it never connected, died, or had to be stopped
    FLAKY = "FLAKY"  # its attempts ended differently


class Outcome(StrEnum):
    """The assessment of a client's verdict in a case, for the kind of pins that the client has.

    ``RIGHT`` and ``WRONG`` say if the client reacted as it should; ``WRONG`` is a finding.
    ``WARNING`` means that its reaction is a risk, but no finding. ``TOLD`` means that the verdict
    is reported, and not judged, because the policy of the client's owner decides. ``UNDECIDED``
    means that the verdict is inconclusive or flaky. ``NOT_RUN`` means that the lab can't serve the
    case, or that the client never reached the attack.
    """

    RIGHT = "right"
    WRONG = "wrong"  # a finding: an attack got through, or a legitimate server was refused
    WARNING = "warning"
    TOLD = "told"  # reported without a judgement: the policy of the client's owner decides
    UNDECIDED = "undecided"  # inconclusive or flaky
    NOT_RUN = "not run"  # the lab cannot serve it, or the client never reached the attack


# The outcomes that reports explain in full.
NEEDS_ATTENTION = frozenset({Outcome.WRONG, Outcome.WARNING, Outcome.UNDECIDED})


@dataclass(frozen=True)
class Judgement:
    """A verdict on one or several runs of a client, and the reason for it.

    Attributes:
        verdict: the verdict; ``None`` if the client never reached the attack.
        why: the reason for the verdict.
        caution: True if the client sent no data to the attacker, but presented its client
            certificate. A right outcome then becomes a warning.
        unshown: True if the client saw no certificate, because client and server had no TLS
            parameters in common.
    """

    verdict: Verdict | None
    why: str
    caution: bool = False
    unshown: bool = False


def judge(attempt: Attempt) -> Judgement:
    """Return the verdict on one run of the client against a case, from its evidence.

    A refusal does not count if it is unproven: the attack may have met a connection on which the
    client made no request, and so decided nothing (see ``_unused``). The reason also names other
    hosts that the client requested from the lab's proxy. They change no verdict. ``attempt`` is the
    evidence of the run.
    """
    judgement = judge_connections(attempt)
    if judgement.verdict is Verdict.REJECT:
        judgement = _unused(attempt) or judgement
    notes = [other.note for other in attempt.others]
    return replace(judgement, why="; ".join([judgement.why, *notes]))


def judge_connections(attempt: Attempt) -> Judgement:
    """Return the verdict on one run of the client, from its connections.

    A refusal counts even if the client may have made no request on the attacked connection. For a
    client that is a program, ``judge`` also checks this. For an app on a device, the lab can't
    know: an app has no exit status, and connects for other purposes too. ``attempt`` is the
    evidence of the run.
    """
    ending = attempt.ending
    met = [
        connection
        for connection in attempt.connections
        if connection.hello or connection.clear or connection.tampered
    ]
    unmet = _unproxied(attempt) or _unoffered(attempt) or ("" if met else _unspelled(attempt))
    if unmet:
        # One that was stopped might have met the condition later.
        undone = Judgement(Verdict.INCONCLUSIVE, f"{unmet}; {ending.broken}")
        return undone if ending.broken else Judgement(None, unmet)
    if not met:
        problem = ending.problem or "the client never connected to the lab"
        return Judgement(Verdict.INCONCLUSIVE, problem)
    scenario = attempt.scenario
    judged = [connection for connection in met if is_judged(scenario, connection)]
    missed = _missed(attempt, met, judged)
    if not missed:
        weighed = _with_http3(scenario, met, _weigh(attempt, judged))
        used = list_use(scenario)
        return replace(weighed, why=f"{weighed.why}; {used}") if used else weighed
    if ending.broken:
        return Judgement(Verdict.INCONCLUSIVE, ending.broken)
    if scenario.lures and _lured(scenario, met):
        unfollowed = "the client did not follow the honest server"
        stayed = "the client stayed on TCP: it used no HTTP/3"
        return Judgement(Verdict.REJECT, stayed if scenario.http3 else unfollowed)
    return Judgement(None, missed)


def is_judged(scenario: Scenario, seen: Connection) -> bool:
    """Return True if the verdict is based on this connection.

    A connection counts if data on it leaks (``exposed``). If the scenario has no attack, all
    connections to the host under test count too. Other connections to an honest server never count,
    such as those to an honest second host: they show nothing about the host under test. ``seen`` is
    the evidence of the connection.
    """
    return seen.exposed or (not scenario.attacks and seen.step in scenario.first)


def _unused(attempt: Attempt) -> Judgement | None:
    """Return the judgement that replaces an unproven refusal; None if the refusal counts.

    A refusal can be unproven only if the host under test has honest steps beside the attack (a step
    is how the lab serves one connection). Then it is unproven in two situations.

    First, the first step is honest, but the client sent no data to this server before the attack.

    Second, the attack may have met a probe, which is a connection without a request. The client
    decides nothing on a probe, so an attack that meets one tests nothing. This is assumed if all of
    the following is true: the client opened probes, in this run or in the good control; it reported
    success; it ended an attacked connection silently (``_is_silent``); and it sent a request to an
    honest server. If it ended another attacked connection with data or a visible refusal, only a
    request after the first silent one counts. ``attempt`` is the evidence of one run of the client.
    """
    steps = attempt.scenario.first
    if all(step.role is not Role.HONEST for step in steps):
        return None
    seen = [connection for connection in attempt.connections if connection.step in steps]
    attacked = [number for number, connection in enumerate(seen) if connection.hostile]
    if not attacked:
        return None
    if steps[0].role is Role.HONEST and not any(map(_is_used, seen[: attacked[0]])):
        return Judgement(None, "the client sent nothing to the honest server before the attack")
    silent = [number for number in attacked if _is_silent(seen[number])]
    probing = attempt.opens_probes or any(map(_is_probe, seen))
    if not (probing and silent and attempt.ending.content):
        return None
    # Without a visible refusal, a request before the attack counts too: the attack may have met a
    # spare connection.
    since = 0 if len(silent) == len(attacked) else silent[0] + 1
    if any(map(_is_used, seen[since:])):
        return Judgement(
            Verdict.INCONCLUSIVE,
            "the client opens connections on which it sends nothing, and the attack may have met "
            "one of them: a request succeeded with the honest server (let it open no "
            "connection without a request, or report a refusal by its exit status)",
        )
    return None


def opens_probes(attempts: Sequence[Attempt]) -> bool:
    """Return True if a client opened connections to honest servers on which it sent nothing.

    An attack may meet such a connection, and then shows nothing (see ``_unused``). ``attempts`` are
    the runs of the client against the good control.
    """
    return any(_is_probe(seen) for attempt in attempts for seen in attempt.connections)


def makes_requests(attempts: Sequence[Attempt]) -> bool:
    """Return True if a client sent requests to honest servers on several connections.

    Cases with a redirect are then also run without it (``Case.separate``). ``attempts`` are the
    runs of the client against the good control, which redirects nothing.
    """
    return any(sum(map(_is_used, attempt.connections)) > 1 for attempt in attempts)


def _is_used(seen: Connection) -> bool:
    """Return True if an honest server got a request on this connection.

    ``seen`` is the evidence of the connection.
    """
    sent = seen.data or seen.passed or (seen.unclear and seen.answered)
    return bool(sent) and not seen.hostile


def _is_probe(seen: Connection) -> bool:
    """Return True if the client began TLS with an honest server, and sent no request.

    ``seen`` is the evidence of the connection.
    """
    return seen.step is not None and not seen.hostile and not _is_used(seen)


def _is_silent(seen: Connection) -> bool:
    """Return True if a connection with an attacker has neither data nor a visible refusal.

    A refusal is visible if the client sent an alert, or if client and server had no TLS parameters
    in common. ``seen`` is the evidence of the connection.
    """
    return not (seen.clear or seen.data or seen.alert or disagrees(seen.problem))


def _unproxied(attempt: Attempt) -> str:
    """Return the reason why the client got no tunnel from the TLS proxy of a scenario.

    The reason is empty if the client requested a tunnel from an honest proxy, or began TLS with a
    hostile one. It is also empty if the scenario has no TLS proxy, or the client made no
    connection. ``attempt`` is the evidence of one run of the client.
    """
    proxy = attempt.scenario.tls_proxy
    if proxy is None or not attempt.connections:
        return ""
    to_proxy = [seen for seen in attempt.connections if seen.step is proxy]
    begun = [seen for seen in to_proxy if seen.hello]
    if not begun:
        problems = [seen.problem for seen in to_proxy if seen.problem]
        how = f": {problems[0]}" if problems else ""
        return f"the client began no TLS with its https:// proxy{how}"
    if proxy.role is Role.HONEST and not any(seen.data for seen in begun):
        return f"at its https:// proxy, {_refusal(begun, presented=False)}"
    return ""


def _unoffered(attempt: Attempt) -> str:
    """Return the reason why a run can't show how the client reacts to a rejection of ECH.

    The reason is that the client did not offer ECH, with the lab's configuration, on its first
    connection. A client that begins without ECH doesn't always use it. A later connection without
    ECH then doesn't show that the client gave ECH up because of the rejection.

    The reason is empty if the scenario doesn't reject ECH, if the client offered ECH on its first
    connection, or if it made no connection. ``attempt`` is the evidence of the run.
    """
    rejecting = attempt.scenario.ech
    if not rejecting or not attempt.connections:
        return ""
    begun = [seen for seen in attempt.connections if seen.hello]
    offered = bool(begun) and begun[0].step in rejecting
    return "" if offered else "the client did not offer ECH first, with the lab's configuration"


def _unspelled(attempt: Attempt) -> str:
    """Return the reason why there is no verdict: the client refused the spelling of the host.

    The reason is empty if it didn't. Call this only if the client made no connection. That counts
    as a refusal of the spelling if the case allows this, and the client ended by itself and
    reported an error. ``attempt`` is the evidence of one run of the client.
    """
    ending = attempt.ending
    if not attempt.scenario.odd_host or ending.broken or ending.content:
        return ""
    return "the client refused this spelling of the host, and didn't connect"


def _missed(attempt: Attempt, met: Sequence[Connection], judged: Sequence[Connection]) -> str:
    """Return the reason why a run has no connection that can be judged; empty if it has one.

    In a case with ``canary_only``, the client makes two requests: a strict one, which has the
    canary (a random text in the URL), and a lax one without it. The run can be judged only if the
    lax one arrived on a judged connection, and the strict one on any connection.

    Args:
        attempt: the evidence of the run.
        met: the connections on which the client began to speak.
        judged: the connections on which the verdict is based.
    """
    if not judged and not attempt.scenario.attacks:
        return "the client never called the host of this case"
    if not judged:
        return "the client never made the attacked connection"
    if not (attempt.scenario.canary_only and attempt.canary):
        return ""
    if not any(connection.said for connection in judged):
        return "the client never sent its lax request on the attacked connection"
    # Otherwise a client that never sends its canary would pass.
    arrived = any(attempt.canary.encode() in connection.said for connection in met)
    return "" if arrived else "the client never sent the strict request on any connection"


def _lured(scenario: Scenario, met: Sequence[Connection]) -> bool:
    """Return True if the client received an honest server's invitation to the attack.

    A client that then did not follow it has refused; otherwise the attack did not reach the client.
    If the attack is a redirect or an offer of HTTP/3, the client received it if it sent data to a
    server. If the client is invited to send requests for the second host on the first host's
    connection, it did if it connected to the second host on another connection.

    Args:
        scenario: the scenario of the case.
        met: the connections on which the client began to speak.
    """
    if any(step.foreign for step in scenario.first):
        return any(connection.step in scenario.second for connection in met)
    return any(connection.data for connection in met)


def _with_http3(scenario: Scenario, met: Sequence[Connection], judged: Judgement) -> Judgement:
    """Return the judgement ``judged`` with a note that says if the client used HTTP/3.

    The note is for scenarios in which only honest servers answer, and one of them offers HTTP/3. In
    all other scenarios, the judgement is unchanged. If the client refused, and did not try HTTP/3,
    the new judgement has no verdict, because HTTP/3 was not tested.

    Args:
        scenario: the scenario of the case.
        met: the connections on which the client began to speak.
        judged: the judgement without the note.
    """
    if not scenario.http3 or scenario.attacks:
        return judged
    tried = [seen for seen in met if seen.step is scenario.http3]
    if judged.verdict is Verdict.REJECT and not tried:
        return Judgement(None, f"{judged.why}, before it used HTTP/3")
    used = "it tried HTTP/3, and sent nothing" if tried else "it used no HTTP/3"
    if any(seen.data for seen in tried):
        used = "it used HTTP/3"
    return replace(judged, why=f"{judged.why}; {used}")


def list_use(scenario: Scenario) -> str:
    """Return a phrase that says if the client fetched the list of revoked certificates (CRL).

    The result is empty if the server's certificate names no list. ``scenario`` is the scenario of
    the case, after a run.
    """
    if not scenario.crl:
        return ""
    return "it fetched the list" if scenario.crl.fetched else "it fetched no list"


def _weigh(attempt: Attempt, judged: Sequence[Connection]) -> Judgement:
    """Return the judgement from the data on the judged connections, and from how the client ended.

    Data that an attacker received counts even if the client failed afterwards. An honest server is
    accepted only if the client ended by itself and reported success.

    Args:
        attempt: the evidence of one run of the client.
        judged: the connections on which the verdict is based.
    """
    gave = _gave(attempt, judged)
    exposed = [connection for connection in judged if connection.exposed]
    ending = attempt.ending
    if ending.broken and not (gave and exposed):
        return Judgement(Verdict.INCONCLUSIVE, ending.broken)
    if gave and (ending.content or ending.problem):
        return Judgement(Verdict.ACCEPT, gave)
    if gave and exposed:
        return Judgement(Verdict.LEAK, f"{gave}, and then the client reported an error")
    if gave:
        return Judgement(Verdict.REJECT, f"{gave}, and then the client reported an error")
    presented = any(
        connection.client_certificate or connection.certificate_shown for connection in exposed
    )
    unshown = all(disagrees(connection.problem) for connection in judged)
    return Judgement(Verdict.REJECT, _refusal(judged, presented=presented), presented, unshown)


def _gave(attempt: Attempt, judged: Sequence[Connection]) -> str:
    """Return a description of the data that the client sent on the judged connections.

    The description is empty if the client sent no data. In a scenario with ``canary_only``, only
    the canary counts, which is the random text in the client's URL.

    If the lab saw no data, but the client's output contains the lab's answer, the client must have
    sent a request: the description is then about this output. But this does not apply if the lab
    also served connections that are not judged, because the answer can be from one of them.

    Args:
        attempt: the evidence of the run.
        judged: the connections on which the verdict is based.
    """
    passed = _passed(attempt, judged)
    if passed:
        return passed
    said = b"".join(connection.said for connection in judged)
    if attempt.canary and attempt.canary.encode() in said:
        return "the canary arrived"
    if said and any(seen.step and seen.step is attempt.scenario.tls_proxy for seen in judged):
        return "the client requested a tunnel from a proxy without a valid certificate"
    if said and not (attempt.scenario.canary_only and attempt.canary):
        in_clear = all(connection.clear == connection.said for connection in judged)
        how = " in clear text" if in_clear else ""
        return f"{len(said)} bytes of the client's data arrived{how}"
    answered_elsewhere = any(
        connection.step and connection not in judged for connection in attempt.connections
    )
    return "" if answered_elsewhere else _believed(attempt)


def _believed(attempt: Attempt) -> str:
    """Return a description of how the client showed that it accepted the lab's answer.

    The description is empty if the client didn't show this. Usually, a client shows it by printing
    the random token of the answer. If the proxy gave the answer, the client shows it only by
    reporting success, because an error message may quote a proxy's answer. ``attempt`` is the
    evidence of one run of the client.
    """
    if attempt.scenario.proxy_status:
        content = attempt.ending.content
        return "the client reported success, and only the proxy had answered" if content else ""
    if attempt.token and attempt.token in attempt.ending.output:
        return "the client printed the lab's answer"
    return ""


def _passed(attempt: Attempt, judged: Sequence[Connection]) -> str:
    """Return a description of the data that the client sent to a real server; empty if none.

    The lab sees only the TLS records of such a connection. If the records don't show whether the
    client sent data, a client that reports success counts as one that did.

    Args:
        attempt: the evidence of one run of the client.
        judged: the connections on which the verdict is based.
    """
    if any(connection.passed for connection in judged):
        return "the client's data went to the real server"
    unclear = any(connection.unclear and connection.answered for connection in judged)
    if unclear and attempt.ending.content:
        return "the client reported success with the real server"
    return ""


def _refusal(judged: Sequence[Connection], *, presented: bool) -> str:
    if not any(connection.hello for connection in judged):
        return "the client left before TLS began, and sent nothing"
    # A connection that got further shows how the client refused.
    if all(disagrees(seen.problem) for seen in judged):
        lacking = [seen.problem for seen in judged if seen.problem.startswith(NOT_OFFERED)]
        if lacking:
            return lacking[0]
        last = judged[-1]
        key = f" ({last.step.key_type})" if last.step and not last.exposed else ""
        return f"client and server{key} have no TLS parameters in common: {last.problem}"
    alerts = sorted({connection.alert for connection in judged if connection.alert})
    how = f"with the alert {', '.join(alerts)}" if alerts else "without an alert"
    when = "after" if any(connection.secured for connection in judged) else "during"
    sent = "nothing"
    if presented:
        sent = "no data; but it presented its certificate, and so who it is, before it refused"
    return f"the client left {when} the handshake, {how}, and sent {sent}"


def agree(judgements: Sequence[Judgement]) -> Judgement:
    """Return one judgement for all attempts (runs of the client) at a case.

    ``judgements`` has that of each attempt. If all have the same verdict, the result is the first
    judgement. Otherwise it has the verdict FLAKY, and its reason counts the verdicts.
    """
    first, *others = judgements
    if all(judgement.verdict is first.verdict for judgement in others):
        return first
    counted = Counter(str(judgement.verdict or "not run") for judgement in judgements)
    different = ", ".join(
        f"{verdict} {number} times" for verdict, number in sorted(counted.items())
    )
    why = f"the client did not do the same in {len(judgements)} runs: {different}"
    return Judgement(Verdict.FLAKY, why.replace(" 1 times", " once"))


_GIVEN = {Verdict.ACCEPT, Verdict.LEAK}
_OUTCOMES = {
    Expect.ACCEPT: {Verdict.ACCEPT: Outcome.RIGHT},
    Expect.REJECT: {Verdict.REJECT: Outcome.RIGHT},
    Expect.EITHER: {
        Verdict.ACCEPT: Outcome.RIGHT,
        Verdict.REJECT: Outcome.RIGHT,
        Verdict.LEAK: Outcome.WARNING,
    },
    Expect.WARN: {
        Verdict.REJECT: Outcome.RIGHT,
        Verdict.ACCEPT: Outcome.WARNING,
        Verdict.LEAK: Outcome.WARNING,
    },
    Expect.POLICY: dict.fromkeys(Verdict, Outcome.TOLD),
}


# From the worst: the outcome of a case whose runs differ, if the user asked for several runs, or if
# the case has several scenarios.
WORST_FIRST = (
    Outcome.WRONG,
    Outcome.UNDECIDED,
    Outcome.WARNING,
    Outcome.TOLD,
    Outcome.RIGHT,
    Outcome.NOT_RUN,
)


def settle(
    expect: Expect, judgements: Sequence[Judgement], *, repeated: bool = False
) -> tuple[Judgement, Outcome]:
    """Return one judgement for all attempts at a case, and its outcome, such as right or wrong.

    An attempt is one run of the client. If the attack got through in one attempt, this is a
    finding, even if the client refused it in others. If the client must accept the server, but saw
    no certificate in any attempt, the outcome is NOT_RUN, because the client could refuse nothing.

    Args:
        expect: how the client should react.
        judgements: the judgement of each attempt.
        repeated: True if the user asked for several attempts: the worst of their outcomes counts.
            False if the lab tried again because of an unexpected result: if the verdicts then
            differ, the case is undecided, unless an attack got through.
    """
    judgement = agree(judgements)
    if expect is Expect.ACCEPT and all(single.unshown for single in judgements):
        return replace(judgement, verdict=None), Outcome.NOT_RUN
    if repeated and judgement.verdict is Verdict.FLAKY:
        # A client that reached the attack in some runs only has not refused it.
        verdicts = {single.verdict or Verdict.INCONCLUSIVE for single in judgements}
        outcomes = {outcome(expect, verdict) for verdict in verdicts}
        return judgement, min(outcomes, key=WORST_FIRST.index)
    got_through = any(judgement.verdict in _GIVEN for judgement in judgements)
    if judgement.verdict is Verdict.FLAKY and expect is Expect.REJECT and got_through:
        return judgement, Outcome.WRONG
    found = outcome(expect, judgement.verdict)
    if found is Outcome.RIGHT and judgement.caution:
        found = Outcome.WARNING
    return judgement, found


def outcome(expect: Expect, verdict: Verdict | None) -> Outcome:
    """Return the outcome of a verdict, such as right or wrong, given the expected reaction.

    A case without a verdict was not run. An inconclusive or flaky verdict is undecided.
    """
    if verdict is None or expect is Expect.UNDEFINED:
        return Outcome.NOT_RUN
    if verdict in {Verdict.INCONCLUSIVE, Verdict.FLAKY}:
        return Outcome.UNDECIDED
    return _OUTCOMES[expect].get(verdict, Outcome.WRONG)

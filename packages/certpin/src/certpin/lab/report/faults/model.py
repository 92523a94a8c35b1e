"""The classes for a fault (a mistake of a client) and for the pattern of verdicts that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from certpin.lab.case import Expect, Family
from certpin.lab.verdict import Outcome, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from certpin.lab.report.faults.remedies import Remedy
    from certpin.lab.runner import Result
    from certpin.lab.verdict import Connection


class VerdictPattern:
    """The right and wrong verdicts of a run, by the name of the case.

    Attributes:
        open_ways: the ways of connecting, such as directly or through a proxy, in which an attack
            got through, although the client refused the same attack in another way.
        in_clear_text: True if the client sent data in clear text because of an attack. Attacks by
            the answer of a proxy don't count.
        repeated: True if the client first refused an ordinary man in the middle, and sent data to
            the same attacker on a later connection.
    """

    def __init__(self, results: Sequence[Result]) -> None:
        wrong = [result for result in results if result.outcome is Outcome.WRONG]
        self._wrong = {result.case.matrix_name: result.verdict for result in wrong}
        right = [result for result in results if result.outcome is Outcome.RIGHT]
        self._passed = {result.case.matrix_name for result in right}
        refused = [result for result in right if result.verdict is Verdict.REJECT]
        self._refused = {result.case.matrix_name for result in refused}
        self.open_ways = {way for result in wrong for way in open_ways(result)}
        on_path = [result for result in wrong if result.case.matrix_name not in PROXY_ANSWERS]
        self.in_clear_text = any(map(in_clear, on_path))
        self.repeated = any(
            result.case.matrix_name == ROGUE and after_refusal(result) for result in wrong
        )

    def failed(self, *names: str) -> bool:
        """Return True if the client failed at least one of these cases (``names``).

        Cases that were not run are neither failed nor passed.
        """
        return any(name in self._wrong for name in names)

    def accepted(self, *names: str) -> bool:
        """Return True if the client failed one of these cases, and its wrong verdict was not LEAK.

        ``names`` are the cases. LEAK means that the client sent data to an attacker, but reported
        an error afterwards.
        """
        return any(self._wrong.get(name, Verdict.LEAK) is not Verdict.LEAK for name in names)

    def passed(self, *names: str) -> bool:
        """Return True if the client passed at least one of these cases (``names``)."""
        return any(name in self._passed for name in names)

    def refused(self, *names: str) -> bool:
        """Return True if the client rightly refused the server in a case of ``names``.

        Unlike ``passed``, this leaves out cases that the client passed by accepting the server.
        """
        return any(name in self._refused for name in names)


def after_refusal(result: Result) -> bool:
    """Return True if the client first refused an attacker, and later sent data to an attacker.

    This must have happened in each attempt (run of the client) of ``result``. If there are no
    attempts, return False.
    """
    return bool(result.attempts) and all(
        refused < sent
        for attempt in result.attempts
        for refused, sent in [_first_hostile(attempt.connections)]
    )


def _first_hostile(connections: Sequence[Connection]) -> tuple[float, float]:
    """Return the positions of two connections: the first refused one, and the first one with data.

    The positions count only TLS connections to attackers, from 0. A connection is refused if the
    client sent no data on it. If no connection was refused, the first value is ``inf``. If the
    client sent data on none, the second value is ``-inf``.
    """
    said = [bool(seen.said) for seen in connections if seen.hostile and seen.hello is not None]
    return (
        said.index(False) if False in said else inf,
        said.index(True) if True in said else -inf,
    )


def open_ways(result: Result) -> set[str]:
    """Return the ways of connecting, such as by an HTTP proxy, in which the attack got through.

    ``result`` is the result of one case. The set is empty unless the way decides: in each way, the
    attack always got through or was always refused, and in at least one way it was refused.
    """
    found: dict[str, set[Verdict | None]] = {}
    for attempt in result.attempts:
        verdict = judge(attempt).verdict
        for via in {seen.via for seen in attempt.connections}:
            found.setdefault(via, set()).add(verdict)
    given = {way for way, verdicts in found.items() if verdicts <= {Verdict.ACCEPT, Verdict.LEAK}}
    refused = {way for way, verdicts in found.items() if verdicts == {Verdict.REJECT}}
    return given if given | refused == found.keys() and refused else set()


@dataclass(frozen=True)
class Fault:
    """One mistake of clients, and the pattern of verdicts that shows it.

    Attributes:
        title: the mistake, as a sentence without a full stop.
        fix: the change to make, in any programming language.
        remedy: the change to make in each programming language.
        proof: the cases that show the mistake best: failed ones, then similar ones that pass.
        shown_by: returns True if the verdicts of a run show this fault.
        explains: returns True for each wrong result that this fault explains.
    """

    title: str
    fix: str
    remedy: Remedy
    proof: tuple[str, ...]
    shown_by: Callable[[VerdictPattern], bool]
    explains: Callable[[Result], bool]


ROGUE = "rogue-ca-in-store"
# A proxy answers the request for a tunnel itself, or leads into clear text.
PROXY_ANSWERS = (
    *("proxy-answers-403", "proxy-answers-502"),
    *("proxy-redirects", "proxy-asks-password"),
)
UNKNOWN_AUTHORITY = ("untrusted-ca", "self-signed")
TRUSTED_AUTHORITY = (ROGUE, "same-ca-new-key")
# An ordinary man in the middle, with a handshake or a port that not every server has.
ROGUE_HANDSHAKE = {
    "rogue-tls-1.2",
    "rogue-tls-1.3",
    "rogue-http-1.1",
    "rogue-http-2",
    "rogue-without-alpn",
    "redirect-to-other-port",
}


def got_through(result: Result) -> bool:
    """Return True if a wrong result means that an attack got through.

    This is so if the client had to refuse the server. The function does not check that the result
    is wrong: for a right result, True only means that the client had to refuse the server.
    """
    return result.expect is Expect.REJECT


# The reactions of clients without pins to such an attack.
_NOT_BY_ROOTS = {Expect.ACCEPT, Expect.EITHER, Expect.POLICY, Expect.UNDEFINED}


def only_by_pins(result: Result) -> bool:
    """Return True if the result is that of an attack that only pins stop.

    The chain of the attack passes ordinary certificate verification, so a failure shows nothing
    about this verification.
    """
    by_roots = result.case.expected.none in _NOT_BY_ROOTS
    return got_through(result) and by_roots


def past_pins(result: Result) -> bool:
    """Return True if a client that doesn't check its pins can't stop the attack of this result.

    Either the chain of the attack passes ordinary certificate verification, or only some of the
    client's connections are attacked.
    """
    return only_by_pins(result) or only_some_connections(result)


def only_some_connections(result: Result) -> bool:
    """Return True if the result is that of an attack on only some of the client's connections.

    For example, only the second connection is attacked, or only those with one TLS or HTTP version.
    """
    case = result.case
    return got_through(result) and (
        case.family is Family.SEQUENCE or case.matrix_name in ROGUE_HANDSHAKE
    )


def of(*families: Family) -> Callable[[Result], bool]:
    """Return a function that recognises attacks: True for results of cases of these families.

    A fault (a mistake of a client) uses the function to find the results that the fault explains.
    """
    return lambda result: got_through(result) and result.case.family in families


def named(*names: str) -> Callable[[Result], bool]:
    """Return a function that returns True for a result of a case with one of these names.

    A fault (a mistake of a client) uses the function to find the results that the fault explains.
    """
    return lambda result: result.case.matrix_name in names


def locked_out(result: Result) -> bool:
    """Return True if a wrong result means that the client refused an honest server.

    This is so if the client had to accept the server. The function does not check that the result
    is wrong: for a right result, True only means that the client had to accept the server.
    """
    return result.expect is Expect.ACCEPT


def in_clear(result: Result) -> bool:
    """Return True if the result is that of an attack that received data in clear text.

    The client had to refuse the server. A fault is derived from this only if the result is wrong.
    """
    met = [seen for attempt in result.attempts for seen in attempt.connections]
    return got_through(result) and any(seen.clear for seen in met)


def pins_hold(seen: VerdictPattern) -> bool:
    """Return True if the client failed no case of an ordinary man in the middle.

    The client then seems to check its pins. ``seen`` has the verdicts of a run. The certificate of
    an ordinary man in the middle is from an unknown authority, or from a trusted one.
    """
    return not seen.failed(*TRUSTED_AUTHORITY, *UNKNOWN_AUTHORITY)


def hole(  # noqa: PLR0913  # the parts of a fault
    title: str,
    fix: str,
    remedy: Remedy,
    names: Sequence[str],
    neighbour: str = ROGUE,
    *,
    also: Sequence[str] = (),
    by_pins: bool = True,
) -> Fault:
    """Return a fault (a mistake of clients), which a failure in one of the cases ``names`` shows.

    Args:
        title: the mistake, as a sentence without a full stop.
        fix: the change to make, in any programming language.
        remedy: the change to make in each programming language.
        names: the cases that show the fault. The fault explains the failures in them.
        neighbour: a similar case that clients with this fault pass.
        also: cases that don't show the fault, but whose failures the fault explains too.
        by_pins: True if the fault requires a client that otherwise checks its pins: the fault is
            then not found if the client fails the cases of an ordinary man in the middle
            (``pins_hold``).
    """
    return Fault(
        title,
        fix,
        remedy,
        (*names[:2], neighbour),
        lambda seen: seen.failed(*names) and (pins_hold(seen) or not by_pins),
        named(*names, *also),
    )


SECOND_TRY = "The client repeats a failed connection without its pins"
BEFORE = "compare the pins in the handshake, before a protocol is chosen, and in every version"

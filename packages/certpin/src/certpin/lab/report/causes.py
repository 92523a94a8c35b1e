"""Group the findings of a lab run by cause: one mistake of a client makes it fail many cases.

``curl -k`` fails most attacks of the matrix, and has one mistake: it accepts any certificate. A
cause is derived only from the pattern of the verdicts: which cases the client failed, and which
neighbouring cases it passed. So a cause describes a behaviour, and not a line of code. Findings
that fit no pattern are grouped by their fix.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.lab.case import Expect, Family
from certpin.lab.verdict import Outcome, Verdict
from certpin.support.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from certpin.lab.runner import Result


@dataclass(frozen=True)
class Cause:
    """One mistake of a client, and the findings that it explains, in the order of the run.

    Attributes:
        title: the mistake, as a sentence without a full stop.
        fix: the change to make.
        results: the findings: the cases with a wrong result.
    """

    title: str
    fix: str
    results: tuple[Result, ...]

    @property
    def cases(self) -> tuple[str, ...]:
        """The names of the cases that the client failed because of this mistake."""
        return tuple(result.case.name for result in self.results)


def find_causes(results: Sequence[Result]) -> list[Cause]:
    """Return the causes of the wrong results of a run; the cause of most results is first.

    The causes depend only on the verdicts. Each finding belongs to exactly one cause.

    Args:
        results: all results of the run, also the right ones: a client that refuses a certificate
            for another name does not accept any certificate.
    """
    left = [result for result in results if result.outcome is Outcome.WRONG]
    seen = _Pattern(results)
    causes = []
    for pattern in _PATTERNS:
        explained = [result for result in left if pattern.explains(result)]
        if explained and pattern.shown_by(seen):
            causes.append(Cause(pattern.title, pattern.fix, tuple(explained)))
            left = [result for result in left if result not in explained]
    by_fix: dict[tuple[Family, str], list[Result]] = {}
    for result in left:
        by_fix.setdefault((result.case.family, result.case.fix), []).append(result)
    causes += [Cause(_title(same), fix, tuple(same)) for (_, fix), same in by_fix.items()]
    return sorted(causes, key=lambda cause: -len(cause.results))


class _Pattern:
    """The pattern of a run's verdicts: the failed cases by name, and the passed cases."""

    def __init__(self, results: Sequence[Result]) -> None:
        wrong = [result for result in results if result.outcome is Outcome.WRONG]
        self._wrong = {result.case.matrix_name: result.verdict for result in wrong}
        right = [result for result in results if result.outcome is Outcome.RIGHT]
        self._passed = {result.case.matrix_name for result in right}

    def failed(self, *names: str) -> bool:
        """Return True if the client failed one of these cases, whatever its verdict."""
        return any(name in self._wrong for name in names)

    def accepted(self, *names: str) -> bool:
        """Return True if the client failed one of these cases, and reported no error afterwards."""
        return any(self._wrong.get(name, Verdict.LEAK) is not Verdict.LEAK for name in names)

    def passed(self, *names: str) -> bool:
        """Return True if the client passed one of these cases."""
        return any(name in self._passed for name in names)


@dataclass(frozen=True)
class _CausePattern:
    """A cause of findings, and the pattern of verdicts that shows it.

    Attributes:
        title: the client's mistake, as a sentence without a full stop.
        fix: the change to make.
        shown_by: returns True if the verdicts of a run show this cause.
        explains: returns True for each wrong result that this cause explains.
    """

    title: str
    fix: str
    shown_by: Callable[[_Pattern], bool]
    explains: Callable[[Result], bool]


_UNKNOWN_AUTHORITY = ("untrusted-ca", "self-signed")
_TRUSTED_AUTHORITY = ("rogue-ca-in-store", "same-ca-new-key")
_OTHER_NAME = ("wrong-host-sibling", "wrong-host-parent", "wrong-host-pinned-ca")
_OUT_OF_DATE = ("expired", "not-yet-valid")
_MAY_NOT_SIGN = ("ca-false", "no-basic-constraints", "pathlen", "unknown-critical-extension")
_OVER_SERVED_CHAIN = (
    "pinned-leaf-appended",
    "pinned-intermediate-appended",
    "non-ca-switch",
    "non-ca-switch-last",
)
_CLEAR_TEXT = (
    "plain-http-on-443",
    "closed-then-clear-text",
    "reset-then-clear-text",
    "stalled-then-clear-text",
)
# An ordinary man in the middle, with a handshake or a port that not every server has.
_ROGUE_HANDSHAKE = {
    "rogue-tls-1.2",
    "rogue-tls-1.3",
    "rogue-http-1.1",
    "rogue-http-2",
    "rogue-without-alpn",
    "redirect-to-other-port",
}
# These families are about TLS and its surroundings, not about certificates.
_NOT_CERTIFICATES = {Family.PROTOCOL, Family.STARTTLS, Family.HTTP, Family.ROTATION}


def _got_through(result: Result) -> bool:
    return result.expect is Expect.REJECT


def _by_certificate(result: Result) -> bool:
    """Return True if a result is that of an attack with a certificate that a client must refuse.

    For a client with pins on the server's key, this includes a renewal with an unpinned key.
    """
    family = result.case.family
    certificates = family not in _NOT_CERTIFICATES or result.case.name in _ROGUE_HANDSHAKE
    return _got_through(result) and (certificates or _only_by_pins(result))


def _only_by_pins(result: Result) -> bool:
    """Return True if a result is that of an attack that only pins stop.

    The chain of such an attack passes the verification.
    """
    by_roots = result.case.expected.none in {Expect.ACCEPT, Expect.EITHER, Expect.UNDEFINED}
    return _got_through(result) and by_roots


def _past_pins(result: Result) -> bool:
    """Return True if a result is that of an attack that gets past a client without pin checks.

    Sequences of connections are included: their chains end at a trusted root if the client verifies
    chains.
    """
    return _only_by_pins(result) or _only_some_connections(result)


def _only_some_connections(result: Result) -> bool:
    """Return True for a man in the middle who attacks only some connections of a client."""
    case = result.case
    return _got_through(result) and (
        case.family is Family.SEQUENCE or case.name in _ROGUE_HANDSHAKE
    )


def _of(*families: Family) -> Callable[[Result], bool]:
    return lambda result: _got_through(result) and result.case.family in families


def _named(*names: str) -> Callable[[Result], bool]:
    return lambda result: result.case.matrix_name in names


def _locked_out(result: Result) -> bool:
    return result.expect is Expect.ACCEPT


# The first pattern that fits takes a finding, so that wide causes come before narrow ones.
_PATTERNS = (
    _CausePattern(
        "The client accepts any certificate",
        "turn verification on: remove curl -k, verify=False, InsecureSkipVerify, "
        "rejectUnauthorized: false, a trust manager or a badCertificateCallback that accepts "
        "everything",
        lambda seen: (
            seen.failed(*_UNKNOWN_AUTHORITY)
            and seen.failed(*_OTHER_NAME)
            and (seen.failed(*_OUT_OF_DATE) or not seen.passed(*_OUT_OF_DATE))
        ),
        _by_certificate,
    ),
    _CausePattern(
        "The client compares pins, and verifies nothing else",
        "verify the chain, the name and the dates first, with the TLS library, and compare pins "
        "afterwards (for curl: --pinnedpubkey without -k)",
        lambda seen: (
            seen.failed(*_OTHER_NAME)
            and seen.failed(*_OUT_OF_DATE)
            and seen.passed(*_TRUSTED_AUTHORITY)
            and not seen.failed(*_UNKNOWN_AUTHORITY)
        ),
        lambda result: _by_certificate(result) and not _only_by_pins(result),
    ),
    _CausePattern(
        "The client accepts certificates of authorities that it doesn't trust",
        "let the TLS library verify the chain up to its trusted roots: remove callbacks that "
        "accept an unknown issuer",
        lambda seen: seen.failed(*_UNKNOWN_AUTHORITY),
        _of(Family.AUTHORITY, Family.CHAIN, Family.CONSTRAINT, Family.SEQUENCE),
    ),
    _CausePattern(
        "The client does not check its pins",
        "give the pins to the client that makes the connections, and refuse the connection in the "
        "handshake; if it has no pins, prove it with --style none",
        lambda seen: seen.accepted("rogue-ca-in-store"),
        _past_pins,
    ),
    _CausePattern(
        "The client accepts every certificate of the pinned authority",
        "compare the pins with the key of the server's certificate; if the authority is pinned on "
        "purpose, prove the client with --style ca",
        lambda seen: seen.accepted("same-ca-new-key") and not seen.failed("rogue-ca-in-store"),
        _named("same-ca-new-key", "rot-new-key-pinned-ca", "compromised-key"),
    ),
    _CausePattern(
        "The client checks its pins too late: its request has already been sent",
        "check the pins in the handshake (a trust manager, an SSL context), not in a hook on the "
        "response",
        lambda seen: seen.failed("leak-before-check"),
        lambda result: _past_pins(result) and result.verdict is Verdict.LEAK,
    ),
    _CausePattern(
        "The client does not check the name in the certificate",
        "turn the check of the host name on, for the host that the client connects to "
        "(check_hostname, verifyHost, HostnameVerifier)",
        lambda seen: seen.failed(*_OTHER_NAME),
        _of(Family.NAME),
    ),
    _CausePattern(
        "The client does not check the dates of certificates",
        "let the TLS library check the dates in addition to pins: remove callbacks that ignore "
        "'certificate has expired'",
        lambda seen: seen.failed(*_OUT_OF_DATE),
        _of(Family.DATE),
    ),
    _CausePattern(
        "The client does not check which certificates may sign others",
        "let only the TLS library verify the chain: a custom loop over its signatures doesn't "
        "check who may sign (RFC 5280 section 6.1)",
        lambda seen: seen.failed(*_MAY_NOT_SIGN),
        _of(Family.CONSTRAINT),
    ),
    _CausePattern(
        "The client compares pins with the certificates that the server sent",
        "compare them with the verified path only (getVerifiedChain, the result of the trust "
        "evaluation): an attacker can append the pinned certificate to any chain",
        lambda seen: seen.failed(*_OVER_SERVED_CHAIN) and not seen.failed(*_TRUSTED_AUTHORITY),
        _of(Family.CHAIN),
    ),
    _CausePattern(
        "The client checks only some of its connections",
        "check every new connection, also after a redirect, a retry or a reconnect",
        lambda seen: not seen.failed(*_TRUSTED_AUTHORITY, *_UNKNOWN_AUTHORITY),
        _only_some_connections,
    ),
    _CausePattern(
        "The client accepts keys that its pins mark compromised",
        "look for compromised keys on the whole verified path, before any pin is compared, and "
        "refuse the connection if there is one",
        lambda seen: seen.failed("compromised-key", "compromised-intermediate"),
        _of(Family.COMPROMISED),
    ),
    _CausePattern(
        "The client accepts certificates that too few logs have",
        "let the pin file name the list of logs (ct_logs), and set require_ct for the host",
        lambda seen: seen.failed("no-scts", "unknown-logs"),
        _of(Family.TRANSPARENCY),
    ),
    _CausePattern(
        "The client accepts outdated or missing encryption",
        "require TLS 1.2 or newer, with the library's default ciphers, from the first byte",
        lambda seen: seen.failed("old-tls", "anonymous", "weak-suite"),
        _named("old-tls", "anonymous", "weak-suite"),
    ),
    _CausePattern(
        "The client sends its request in clear text if TLS fails",
        "let the request fail: remove the code that repeats it with http://, and forbid clear text "
        "(usesCleartextTraffic, ConnectionSpec.CLEARTEXT, App Transport Security)",
        lambda seen: seen.failed(*_CLEAR_TEXT),
        _named(*_CLEAR_TEXT),
    ),
    _CausePattern(
        "The client refuses the backup key",
        "give it the backup pin too, and test that it accepts it: otherwise the loss of the first "
        "key locks it out",
        lambda seen: seen.failed("rot-backup-live"),
        _named("rot-backup-live", "rot-dual-rsa"),
    ),
    _CausePattern(
        "The client refuses legitimate changes of the server",
        "compare the pins with each certificate of the verified path, whatever its position, its "
        "issuer or the order in which the server sent them",
        lambda seen: True,
        lambda result: _locked_out(result) and result.case.family is Family.ROTATION,
    ),
)


def _title(same: Sequence[Result]) -> str:
    """Return the title for a group of findings that fit no pattern.

    It names the rule that their case checks. ``same`` are findings with the same fix.
    """
    first = same[0]
    if _locked_out(first):
        return f"The client refuses an honest server ({first.case.name})"
    rule = re.split(r"[.:;] ", first.case.guards)[0]
    if rule.startswith("that "):
        return f"The client does not ensure {rule}"
    return f"The client fails the case {first.case.name}"


def cause_lines(causes: Sequence[Cause]) -> list[str]:
    """Return the causes as numbered lines of text, with their fixes and the failed cases."""
    lines = []
    for number, cause in enumerate(causes, 1):
        lines.append(f"{number}. {cause.title}: {_count(cause)}")
        lines.append(f"   fix: {cause.fix}")
        lines.append(f"   cases: {', '.join(cause.cases)}")
    return lines


def _count(cause: Cause) -> str:
    number = len(cause.results)
    if all(map(_locked_out, cause.results)):
        return "1 honest server was refused" if number == 1 else f"{number} honest servers refused"
    return f"{counted(number, 'attack')} got through"

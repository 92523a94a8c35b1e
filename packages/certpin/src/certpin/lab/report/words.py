"""The sentences and counts that all reports of a lab run share: terminal, HTML, JUnit, SARIF."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from certpin.lab.case import CONTROL, Expect, Family
from certpin.lab.pki import Style
from certpin.lab.report.reach import unreached_lines
from certpin.lab.runner import hostile_refusals, skip_bound
from certpin.lab.verdict import NOT_OFFERED, WAYS, Outcome, Verdict, list_use
from certpin.support.text import counted, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from certpin.lab.case import Case
    from certpin.lab.runner import Result, Run
    from certpin.lab.verdict import Attempt, Connection, Ending, OtherHost


STYLES = {
    Style.NONE: "no pins",
    Style.LEAF: "pins on the server's key",
    Style.CA: "pins on the authority",
}
EXPECTED = {
    Expect.ACCEPT: "must accept",
    Expect.REJECT: "must refuse",
    Expect.EITHER: "either is right",
    Expect.WARN: "should refuse",
    Expect.POLICY: "your policy decides",
    Expect.UNDEFINED: "does not apply to this client",
}
OUTCOMES = {
    Outcome.RIGHT: "right",
    Outcome.WRONG: "wrong",
    Outcome.WARNING: "warning",
    Outcome.TOLD: "for you to decide",
    Outcome.UNDECIDED: "undecided",
    Outcome.NOT_RUN: "not run",
}
_DID = {
    Verdict.ACCEPT: "accepted",
    Verdict.REJECT: "refused",
    Verdict.LEAK: "reported an error after it had sent its data",
}

# Credentials in the bytes of a client.
_HEADER = re.compile(
    rb"^(authorization|cookie|x-api-key|x-auth-token|x-csrf-token)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_PARAMETER = re.compile(
    rb"[?&](access_token|refresh_token|token|api_?key|password|passwd|secret|session|sessionid)=",
    re.IGNORECASE,
)
_JSON_WEB_TOKEN = re.compile(rb"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.")  # RFC 7519: {"… in Base64

_MAX_HOSTS = 10  # not under test, that the text output names
# A host name that can be written into a command. A client that uses SOCKS5 can send any text.
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.ASCII | re.IGNORECASE)

NO_ATTACK = "No attack was run"
MORE_CASES = "Run more cases: this run proves nothing about attacks."

# The limits of every result, however good.
LIMITS = (
    "It covers this command's connections to the attacked hosts, and no other code of the client.",
    "It holds for the build that was attacked: another build, or a debug switch, may differ.",
    "The client trusted the roots of the lab. On a device it trusts other roots.",
    "It doesn't show how the client gets its pins, nor that it accepts your next certificate.",
    "It doesn't protect against a stolen key: the server of the thief matches the pins too.",
    "It doesn't stop users who control their device: they can remove pins from an app.",
)


def headline(run: Run) -> str:
    """Return the result of a lab run in one sentence without a full stop: the title of reports."""
    if _untried(run):
        return "Nothing is proven: the client cannot be served"
    if not run.controlled:
        return "Nothing is proven: the client did not accept the honest server"
    counts = tally(run)
    if counts.got_through:
        return _through(counts)
    if counts.refused:
        return f"{counts.refused} of {counted(counts.honest, 'honest server')} {_were(counts)}"
    if counts.undecided:
        return f"{counted(counts.undecided, 'case')} could not be decided"
    return _reported(counts) if only_reported(run) else _nothing_through(counts)


def summary(run: Run) -> list[str]:
    """Return the result of a lab run as sentences: the headline, and the details."""
    return [f"{headline(run)}.", *details(run)]


def advice(run: Run) -> str:
    """Return the advice for the user after a lab run, in one or a few sentences.

    It is about the most serious result: a failed good control, then attacks that got through,
    honest servers that were refused, undecided cases, and at last a run without findings.
    """
    counts = tally(run)
    if not run.controlled:
        return _advice_without_control(run)
    if counts.got_through:
        return (
            "Do not ship this client: an attacker in its network can read what it sends. Fix the "
            "causes below, and run this again."
        )
    if counts.refused:
        return "Fix the causes below before the server changes its certificate, and run this again."
    if counts.undecided:
        return "Decide these cases: run them again with --repeat 3, or a longer --timeout."
    if not counts.attacks:
        return _judging(run) if only_reported(run) else MORE_CASES
    first = "Nothing must be fixed; read the warnings." if counts.warnings else "Nothing to fix."
    if other_host_lines(run):
        first += " Attack the hosts that were not judged, too (--host)."
    return f"{first} Run this again with each release build of the client."


def _advice_without_control(run: Run) -> str:
    """Return the advice if the good control failed, which is the case with the honest server."""
    if _untried(run):
        return "Change the command or the style, for this reason:"
    if run.about.unpinned:
        return "Correct the pins or the server first: see the fix of control-good."
    if any(result.unreached for result in run.results if result.case is CONTROL):
        return "Check that the client reaches the lab; read its output."
    return "Check that the client trusts the lab's roots and reaches it; read its output."


def only_reported(run: Run) -> bool:
    """Return True if every case of a run that was tried is reported without a judgement.

    Then no reaction of the client is right or wrong, so that the run proves nothing. The result is
    False if a chain of the user has an expected verdict and was not run.
    """
    cases = [result for result in run.results if result.case is not CONTROL]
    outcomes = {result.outcome for result in cases} - {Outcome.NOT_RUN}
    return run.controlled and outcomes == {Outcome.TOLD} and not any(map(_is_unproven, cases))


def details(run: Run) -> list[str]:
    """Return the sentences that reports show below the headline of a lab run.

    They are about honest servers, warnings, undecided cases, credentials in clear text, and hosts
    that were not judged.
    """
    counts = tally(run)
    lines = []
    if untried := _untried(run):
        lines.append(f"{untried}.")
    elif not run.controlled:
        lines.append(
            "A client that does not reach an honest server refuses every attack too, so the "
            "refusals below prove nothing. Fix that first."
        )
        if counts.got_through:
            lines.append(f"The leaks are real nevertheless: {_through(counts)}.")
    elif counts.honest:
        lines.append(_honest(counts))
    if run.about.unpinned:
        accepted = ", but this client accepted it: it has other pins, or none"
        lines.append(f"{sentence(run.about.unpinned)}{accepted if run.controlled else ''}.")
    return [
        *lines,
        *_beside(counts),
        *clear_text_lines(run),
        *other_host_lines(run),
        *_confidence(run),
        *_ways_line(run),
        *_http3_line(run),
        *(unreached_lines(run) if any(result.unreached for result in run.results) else ()),
    ]


def ways(run: Run) -> tuple[str, ...]:
    """Return the ways in which the client's connections of a run reached the lab.

    A way is a key of ``WAYS``, such as ``connect`` for an HTTP proxy. The ways are in the order of
    ``WAYS``.
    """
    used = {way for result in run.results for way in ways_of(result)}
    return tuple(way for way in WAYS if way in used)


def ways_of(result: Result) -> tuple[str, ...]:
    """Return the ways in which the client's connections reached the lab in one case.

    A way is a key of ``WAYS``, such as ``connect`` for an HTTP proxy. Each way is listed once.
    """
    return tuple(dict.fromkeys(seen.via for seen in _connections(result)))


def tls_versions(results: Iterable[Result]) -> tuple[str, ...]:
    """Return the TLS versions of the finished handshakes, such as ``TLSv1.3``, the oldest first."""
    found = {seen.version for result in results for seen in _connections(result)}
    return tuple(sorted(found - {""}))


def _connections(result: Result) -> Iterator[Connection]:
    return (seen for attempt in result.attempts for seen in attempt.connections)


def _confidence(run: Run) -> list[str]:
    """Return sentences about the share of its checks that the client may skip.

    The first one gives the largest share that is possible with 95 % confidence. It follows from the
    number of runs in which the client refused an attacker. A further sentence says if this share is
    larger than the user's ``--bound``. The list is empty if the run proves nothing or has a wrong
    result.
    """
    refused = hostile_refusals(run.results)
    if not run.controlled or run.count(Outcome.WRONG):
        return []
    missed = ["The --bound was not reached: no further attack was refused."] if _missed(run) else []
    if not refused:
        return missed
    share = f"{100 * skip_bound(refused):.1f} %"
    line = (
        f"It refused an attacker in {counted(refused, 'run')}, and accepted none: with 95 % "
        f"confidence, it skips its checks on fewer than {share} of its connections (--bound lowers "
        "that)."
    )
    return [line, *missed]


def _ways_line(run: Run) -> list[str]:
    """Return a list with a sentence on the ways in which the client reached the lab.

    The sentence also names the ways that the client was given and did not use, and those that were
    not tried. The ways are a direct connection, and the kinds of proxies. The list is empty if the
    client never connected, or used all ways.
    """
    used = ways(run)
    other = [way for way in WAYS if way not in used]
    if not used or not other:
        return []
    given = {attempt.ending.via for result in run.results for attempt in result.attempts}
    unused = [WAYS[way] for way in other if way in given]
    missing = [WAYS[way] for way in other if way not in given]
    parts = ["It connected through " + " and ".join(WAYS[way] for way in used)]
    if unused:
        parts.append(f"given, but not used: {', '.join(unused)}")
    if missing:
        parts.append(f"not tried: {', '.join(missing)} (--via)")
    return [f"{'; '.join(parts)}."]


def _http3_line(run: Run) -> list[str]:
    """Return a list with the sentence that says if the client uses HTTP/3.

    The list is empty if the client connected in no case in which the lab serves HTTP/3.
    """
    offered = [
        attempt
        for result in run.results
        for attempt in result.attempts
        if attempt.scenario.http3 and attempt.connections
    ]
    if not offered:
        return []
    if any(seen.step is tried.scenario.http3 for tried in offered for seen in tried.connections):
        return ["It uses HTTP/3 if a server offers it."]
    return ["It used no HTTP/3: those cases show only that it stays on TCP."]


def clear_text_lines(run: Run) -> list[str]:
    """Return a sentence for each credential that the client sent in clear text during a run.

    A sentence names the credential, its receiver, and the number of cases. The sentences are only a
    notice, and change no verdict: a client that first sends its token over HTTP, or to a proxy, can
    still check TLS rightly. But in a case about clear text, the same data is also a finding.
    """
    cases: dict[tuple[str, str], set[str]] = {}
    for result in run.results:
        for attempt in result.attempts:
            for receiver, data in _in_clear(attempt):
                for token in tokens_in(data, attempt.canary):
                    cases.setdefault((token, receiver), set()).add(result.case.name)
    return [
        f"In clear text, the client sent {token} to {receiver}, in {counted(len(names), 'case')} "
        f"({_few(names)})."
        for (token, receiver), names in cases.items()
    ]


def other_host_lines(run: Run) -> list[str]:
    """Return a sentence for each host that the client requested and that is not under test.

    The lab sees these requests at its proxy. They change no verdict, because the client's reaction
    to the server under test is the same, but a client can send its data there after it refused an
    attacker. If the good control (the case with the honest server) failed, and the proxy refused a
    host in it, sentences say how the client gets to a host that it needs.
    """
    cases: dict[OtherHost, set[str]] = {}
    for result in run.results:
        for other in other_hosts(result):
            cases.setdefault(other, set()).add(result.case.name)
    lines = [
        f"{sentence(other.note)}, in {counted(len(names), 'case')} ({_few(names)})."
        for other, names in [*cases.items()][:_MAX_HOSTS]
    ]
    if left := len(cases) - len(lines):
        lines.append(f"It asked for {counted(left, 'more host')}: see --json.")
    return lines if run.controlled else [*lines, *_needed_host_lines(run)]


def _needed_host_lines(run: Run) -> list[str]:
    """Return sentences that say how the client gets to the hosts that the proxy refused it.

    Only the hosts that it requested in the good control (the case with the honest server) are
    included, because a client that needs a host requests it there too. The list is empty if there
    are none.
    """
    controls = [result for result in run.results if result.case is CONTROL]
    needed = {
        other.host: None
        for result in controls
        for other in other_hosts(result)
        if not other.relayed and (other.is_ip_address or _NAME.fullmatch(other.host))
    }
    attempts = [made for result in controls for made in result.attempts]
    tested = (*(name for made in attempts for name in made.hosts), run.host)
    # NO_PROXY also applies to all names that end in one of its names.
    wide = {host: name for host in needed for name in tested if name.endswith(host)}
    direct = ",".join([host for host in needed if host not in wide][:_MAX_HOSTS])
    lines = []
    if direct:
        lines.append(
            "If the client needs such a host, let it connect there without the lab: write env "
            f"NO_PROXY={direct} no_proxy={direct} before the command. The client must also trust "
            "the authority of that host: the lab's variables name only the lab's roots ({ca})."
        )
    lines += [
        f"NO_PROXY can't be used for {host}: the client would also connect to {name} without the "
        "lab."
        for host, name in [*wide.items()][:_MAX_HOSTS]
    ]
    return lines


def other_hosts(result: Result) -> tuple[OtherHost, ...]:
    """Return the hosts that the client requested in one case, and that are not under test.

    Each is listed once.
    """
    return tuple(dict.fromkeys(other for made in result.attempts for other in made.others))


def _in_clear(attempt: Attempt) -> Iterator[tuple[str, bytes]]:
    """Yield the receiver and the bytes of each text that the client sent without TLS.

    ``attempt`` is one run of the client. Heads of HTTP requests to the lab's proxy are included.
    """
    for seen in attempt.connections:
        if seen.clear:
            yield seen.target or next(iter(attempt.hosts), "the lab"), seen.clear
    for request in attempt.requests:
        yield request.receiver, request.head


def _few(names: set[str]) -> str:
    first, *others = sorted(names)
    return f"{first}, …" if others else first


def tokens_in(data: bytes, canary: str = "") -> list[str]:
    """Return descriptions of the credentials in a text, without their values. Each is listed once.

    Credentials are recognised by the names of their headers and parameters, or because they are a
    JSON Web Token. Credentials with other names are not found.

    Args:
        data: the bytes that a client sent without TLS.
        canary: the random text in the URL of the lab, which counts as a credential; empty for none.
    """
    found = [f"the header {_name(match)}" for match in _HEADER.finditer(data)]
    found += [f"the parameter {_name(match)}" for match in _PARAMETER.finditer(data)]
    if _JSON_WEB_TOKEN.search(data):
        found.append("a JSON Web Token")
    if canary and canary.encode() in data:
        found.append("the canary of the lab's URL")
    return list(dict.fromkeys(found))


def _name(match: re.Match[bytes]) -> str:
    return match[1].decode().lower()


def _untried(run: Run) -> str:
    """Return the reason why the good control could not be run; empty if it was run.

    The good control is the case with the honest server, which is run first.
    """
    first = next(iter(run.results), None)
    if first is None or first.case is not CONTROL or first.outcome is not Outcome.NOT_RUN:
        return ""
    return first.why


def verdict_line(result: Result) -> str:
    """Return a line that describes the client's reaction in a case, and whether it is right.

    For a case that is undecided or was not run, the line has the reason instead.
    """
    if result.outcome in {Outcome.NOT_RUN, Outcome.UNDECIDED} or result.verdict is None:
        return f"{OUTCOMES[result.outcome]}: {result.why}"
    did = action(result)
    if result.outcome is Outcome.WRONG:
        return _wrong(result)
    if result.outcome is Outcome.WARNING:
        return f"the client {did}; it should refuse before it sends anything"
    if result.outcome is Outcome.TOLD:
        return f"the client {did}; your policy decides whether that is right"
    return f"the client {did}, {_right(result)}"


def action(result: Result) -> str:
    """Return the client's action in a case, such as ``accepted``; without a verdict, the reason.

    If the client does not offer the weak TLS parameters that the case needs, the text names them.
    If the case is only reported, and not judged, the text can contain two more facts. One is an
    optional check that the client does not make, such as of revocation. The other is whether the
    client fetched the list of revoked certificates that the server's certificate names.
    """
    did = _DID.get(result.verdict, result.why) if result.verdict else result.why
    if result.why.startswith(NOT_OFFERED):
        return f"{did}: {result.why}"
    checks = result.case.checks
    if checks and result.outcome is Outcome.TOLD and result.verdict is not Verdict.REJECT:
        did = f"{did}: this client doesn't check {checks}"
    used = list_use(result.attempts[-1].scenario) if result.attempts else ""
    return f"{did} ({used})" if used and result.outcome is Outcome.TOLD else did


def explain(result: Result) -> list[str]:
    """Return the explanation of a finding as lines: verdict, evidence, rule, fix, source.

    A line is left out if the case has no text for it, and the evidence if the verdict contains it.
    """
    case = result.case
    lines = [verdict_line(result)]
    if result.why not in lines[0]:
        lines.append(f"evidence: {result.why}")
    lines.append(f"this case checks: {case.guards}")
    if result.advice:
        lines.append(f"fix: {result.advice}")
    if case.reference:
        lines.append(f"see {case.reference}")
    return lines


def ending(end: Ending) -> str:
    """Return, in words, how the client program ended (``end``): its exit status, or the problem.

    An exit status of 0 is a report of success, and any other one a report of an error.
    """
    if end.problem:
        return end.problem
    if end.status is None:
        return "it was stopped"
    if end.status < 0:
        return f"killed by signal {-end.status}"
    says = "it reports success" if end.content else "it reports an error"
    return f"exit status {end.status}: {says}"


def server(seen: Connection) -> str:
    """Return the name of the server's role on a connection, such as ``attacker``.

    Return ``no TLS`` if the client sent clear text and no attacker received it. Return an empty
    text if no server answered. ``seen`` is the evidence of the connection.
    """
    if seen.step and (seen.hostile or not seen.clear):
        return seen.step.role.value
    return "no TLS" if seen.clear else ""


def _wrong(result: Result) -> str:
    if result.verdict is Verdict.FLAKY:
        if result.expect is Expect.ACCEPT:
            return "in some runs, the client refused a server that it must accept"
        return "in some runs, the attack got through"
    if is_honest(result):
        return "the client refused a server that it must accept"
    if result.expect is Expect.ACCEPT:
        return "the client refused a server that its style accepts: does it have other pins?"
    if result.verdict is Verdict.LEAK:
        return "the attack got through: the client noticed it after it had sent its data"
    return "the attack got through: the client accepted it"


def _right(result: Result) -> str:
    if is_beyond(result):
        styles = " or ".join(STYLES[style] for style in refused_by(result.case))
        return f"as expected for its style; a client with {styles} refuses"
    if result.expect is Expect.ACCEPT:
        return "as it must"
    return "as it should" if result.verdict is Verdict.REJECT else "which is allowed"


def _honest(counts: CaseCounts) -> str:
    if not counts.refused:
        return f"{_all_of(counts.honest, 'honest server')} accepted."
    refused = f"{counts.refused} of {counted(counts.honest, 'honest server')}"
    return f"{refused} {_were(counts)}: a legitimate change would lock the client out."


def _beside(counts: CaseCounts) -> list[str]:
    said = (
        (counts.beyond, "more would get through, because only other pins stop them", "attack"),
        (counts.flaky, "had different results in its runs: the worst one counts", "case"),
        (counts.warnings, "ended with a warning", "case"),
        (counts.for_policy, "had no right or wrong result: your policy decides", "case"),
        (counts.undecided, "ended undecided: without a verdict, nothing is proven", "case"),
        (counts.not_run, "could not be run, for the reasons shown", "case"),
    )
    return [f"{counted(number, noun)} {words}." for number, words, noun in said if number]


def _nothing_through(counts: CaseCounts) -> str:
    if not counts.attacks:
        return NO_ATTACK
    if counts.attacks == 1:
        return "The one attack did not get through"
    return f"None of the {counts.attacks} attacks got through"


def _reported(counts: CaseCounts) -> str:
    if counts.for_policy == 1:
        return "1 case was only reported: it has no expected verdict"
    return f"{counts.for_policy} cases were only reported: none has an expected verdict"


def _judging(run: Run) -> str:
    """Return the advice for a run in which every case was only reported: how to get a verdict."""
    judging = "Run other cases for a verdict."
    if any(result.case.own for result in run.results):
        judging = 'To have a chain judged, write expect = "accept" or "refuse" into the case file.'
    return f"Compare the reactions with your policy: no reaction fails this run. {judging}"


def _through(counts: CaseCounts) -> str:
    return f"{counts.got_through} of {counted(counts.attacks, 'attack')} got through"


def _were(counts: CaseCounts) -> str:
    return "was refused" if counts.refused == 1 else "were refused"


def _all_of(number: int, noun: str) -> str:
    return f"The one {noun} was" if number == 1 else f"All {number} {noun}s were"


_DECIDED = {Outcome.RIGHT, Outcome.WRONG}


@dataclass(frozen=True)
class CaseCounts:
    """The numbers of attacks and honest servers in a lab run, and of the failures of the client.

    The good controls (the case with the honest server) are not counted.

    Attributes:
        attacks: attacks with a right or wrong result.
        got_through: the attacks among them that the client did not stop.
        honest: honest servers with a right or wrong result.
        refused: the honest servers among them that the client refused.
        beyond: accepted attacks that a client with this kind of pins can't detect. They are not
            findings, but reports mention them.
        flaky: cases in which the client behaved differently in several runs.
        warnings: cases with a warning.
        for_policy: cases without a right or wrong result. The user's policy decides them.
        undecided: cases in which the verdict is inconclusive, or differed between several runs.
        not_run: cases that could not be run.
    """

    attacks: int
    got_through: int
    honest: int
    refused: int
    beyond: int
    flaky: int
    warnings: int
    for_policy: int
    undecided: int
    not_run: int


def tally(run: Run) -> CaseCounts:
    """Count the attacks and honest servers in a lab run, and the failures of the client.

    An attack is a case in which the client must refuse the server. Attacks and honest servers are
    counted only if their result is right or wrong; other results have their own numbers. The good
    control is not counted.
    """
    cases = [result for result in run.results if result.case is not CONTROL]
    decided = [result for result in cases if result.outcome in _DECIDED]
    attacks = [result for result in decided if result.expect is Expect.REJECT]
    honest = [result for result in decided if is_honest(result)]
    return CaseCounts(
        attacks=len(attacks),
        got_through=_count(attacks, Outcome.WRONG),
        honest=len(honest),
        refused=_count(honest, Outcome.WRONG),
        beyond=sum(map(is_beyond, cases)),
        flaky=sum(result.verdict is Verdict.FLAKY for result in cases),
        warnings=_count(cases, Outcome.WARNING),
        for_policy=_count(cases, Outcome.TOLD),
        undecided=_count(cases, Outcome.UNDECIDED),
        not_run=_count(cases, Outcome.NOT_RUN),
    )


def is_honest(result: Result) -> bool:
    """Return True if the server of a case was honest, and the client must accept it.

    A failure then means that the client refused an honest server. A legitimate change of the server
    counts as honest, even if clients with another kind of pins must refuse the change.
    """
    legitimate = result.case.family is Family.ROTATION or not refused_by(result.case)
    return result.expect is Expect.ACCEPT and legitimate


def family_of(result: Result) -> Family:
    """Return the family of cases under which HTML and text reports show a result.

    It is the family of the case, with one exception: a case of a changed server, such as
    ``same-ca-new-key``, is shown under attacks by authorities if this client must refuse the
    change. This client can't distinguish the change from an attack, because only an authority
    vouches for the new key.

    Formats for programs (JSON, JUnit, SARIF) always use the family of the case, because it
    identifies a test.
    """
    family = result.case.family
    if family is Family.ROTATION and result.expect is Expect.REJECT:
        return Family.AUTHORITY
    return family


def is_beyond(result: Result) -> bool:
    """Return True if the client accepted an attack that its kind of pins can't detect.

    This is no finding, but reports mention it, because pins of a different kind would stop the
    attack.
    """
    allowed = result.expect in {Expect.ACCEPT, Expect.EITHER} and not is_honest(result)
    return allowed and result.verdict is Verdict.ACCEPT and bool(refused_by(result.case))


def refused_by(case: Case) -> tuple[Style, ...]:
    """Return the kinds of pins with which a client must refuse the server of a case.

    The kinds are pins on the server's key, pins on an authority, and no pins.
    """
    return tuple(style for style in Style if case.expected.of(style) is Expect.REJECT)


def exit_code(run: Run) -> int:
    """Return the exit code for a lab run: 0 success, 1 a finding, 3 inconclusive or nothing tried.

    The run is inconclusive if the client did not accept the honest server first and last, if a case
    is undecided, if a case with the user's own chain and an expected verdict was not run, or if the
    client refused too few attacks for the user's ``--bound``.
    """
    if run.count(Outcome.WRONG):
        return 1
    cases = [result for result in run.results if result.case is not CONTROL]
    tried = any(result.outcome is not Outcome.NOT_RUN for result in cases)
    open_cases = run.count(Outcome.UNDECIDED) + sum(map(_is_unproven, cases))
    return 0 if tried and run.controlled and not open_cases and not _missed(run) else 3


def _missed(run: Run) -> bool:
    """Return True if the client refused too few attacks to show the bound that the user requested.

    The bound (``--bound``) is a share of the client's checks. The user wants the run to show that
    the client skips no larger share. Without a bound, the result is False.
    """
    bound = run.about.bound
    return bound is not None and skip_bound(hostile_refusals(run.results)) > bound


def _is_unproven(result: Result) -> bool:
    judged = result.case.own is not None and result.expect is not Expect.POLICY
    return judged and result.outcome is Outcome.NOT_RUN


def _count(results: list[Result], outcome: Outcome) -> int:
    return sum(result.outcome is outcome for result in results)

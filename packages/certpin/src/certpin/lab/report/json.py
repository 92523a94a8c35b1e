"""The report of a lab run as JSON. docs/reference/reports.md documents every field."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from certpin.lab.report.causes import find_causes
from certpin.lab.report.flaws import pinned, requested_host, served
from certpin.lab.report.masking import safe_arguments
from certpin.lab.report.mastg import reference
from certpin.lab.report.words import (
    exit_code,
    server,
    summary,
    verdict_line,
    ways,
)
from certpin.lab.runner import hostile_refusals, skip_bound
from certpin.lab.verdict import Outcome, judge
from certpin.support.text import encodable
from certpin.x509.chain import read_facts

if TYPE_CHECKING:
    from certpin.lab.runner import Result, Run
    from certpin.lab.verdict import Attempt, Connection

SCHEMA = 2  # incremented if a field is removed or changes its meaning, not for a new field
SHOWN = 4 * 1024  # bytes of leaked data that are included; the field ``bytes`` counts all


def to_json(run: Run) -> str:
    """Return the report of a lab run as JSON text, without a final line end."""
    return json.dumps(run_facts(run), indent=2)


def run_facts(run: Run) -> dict[str, Any]:
    """Return the report of a lab run as a dictionary that can be written as JSON.

    Arguments of the client's command that may be secret are replaced (``safe_arguments``).
    """
    about, refused = run.about, hostile_refusals(run.results)
    failed = run.count(Outcome.WRONG) or not run.controlled
    return {
        "schema": SCHEMA,
        "certpin": about.certpin or None,
        "python": about.python or None,
        "openssl": about.openssl or None,
        "client": [encodable(word) for word in safe_arguments(about.command)] or None,
        "started": about.started.isoformat() if about.started else None,
        "seconds": round(about.seconds, 3),
        "host": encodable(run.host),
        "style": run.style.value,
        "controlled": run.controlled,
        "exit_code": exit_code(run),
        "summary": [encodable(line) for line in summary(run)],
        "counts": {_key(outcome): run.count(outcome) for outcome in Outcome},
        "refused_connections": refused,
        "skip_bound": round(skip_bound(refused), 4) if refused and not failed else None,
        "ways": list(ways(run)),
        "trusted": [certificate(der) for der in about.trusted],
        "results": [_result(result) for result in run.results],
        "repeat": about.repeat,
        "bound": about.bound,
        "causes": [
            {
                "says": cause.title,
                "advice": cause.fix,
                "fixes": dict(cause.fixes),
                "proof": [result.case.name for result in cause.proof],
                "cases": list(cause.cases),
            }
            for cause in find_causes(run.results)
        ],
    }


def _key(outcome: Outcome) -> str:
    return outcome.value.replace(" ", "_")


def _result(result: Result) -> dict[str, Any]:
    case = result.case
    known = reference(case.matrix_name, result.expect)
    return {
        "case": case.name,
        "family": case.family.value,
        "presents": case.presents,
        "expected": result.expect.value,
        "verdict": result.verdict.value if result.verdict else None,
        "outcome": _key(result.outcome),
        "says": encodable(verdict_line(result)),
        "why": encodable(result.why),
        "guards": case.guards,
        "advice": result.advice or None,
        "reference": case.reference or None,
        "attempts": [_attempt(attempt) for attempt in result.attempts],
        "masvs": list(known.controls),
        "mastg": list(known.tests),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    judgement = judge(attempt)
    return {
        "host": encodable(next(iter(attempt.hosts), "")),
        "exit_status": attempt.ending.status,
        "problem": encodable(attempt.ending.problem) or None,
        "output": encodable(attempt.ending.output),
        "seconds": round(attempt.seconds, 3),
        "connections": [_connection(attempt, connection) for connection in attempt.connections],
        "other_hosts": [
            {"host": encodable(other.host), "port": other.port, "relayed": other.relayed}
            for other in attempt.others
        ],
        "verdict": judgement.verdict.value if judgement.verdict else None,
        "why": encodable(judgement.why),
    }


def _connection(attempt: Attempt, seen: Connection) -> dict[str, Any]:
    hello = seen.hello
    host = requested_host(attempt, seen)
    return {
        "via": seen.via,
        "target": encodable(seen.target) or None,
        "server_name": encodable(hello.server_name) or None if hello else None,
        "offered_alpn": [encodable(protocol) for protocol in hello.alpn] if hello else [],
        "hostile": seen.hostile,
        "met": server(seen) or None,
        "opening": seen.step.opening.value if seen.step else None,
        "chain": [certificate(der) for der in served(seen)],
        "pinned": [{"pin": str(pin.pin), "role": pin.role} for pin in pinned(attempt, host)],
        "handshake_finished": seen.secured,
        "tls_version": seen.version or None,
        "cipher": seen.cipher or None,
        "alpn": seen.alpn or None,
        "resumed": seen.resumed,
        "client_certificate": _given(seen.client_certificate),
        "alert": encodable(seen.alert) or None,
        "problem": encodable(seen.problem) or None,
        "data": _leak(seen.data),
        "clear_text": _leak(seen.clear),
    }


def certificate(der: bytes) -> dict[str, Any]:
    """Return a certificate (DER) as a dictionary for JSON.

    If the certificate can't be parsed, all values except its digest (``sha256``) are None.
    """
    facts = read_facts(der)
    return {
        "subject": facts.subject,
        "issuer": facts.issuer,
        "names": list(facts.names) if facts.names is not None else None,
        "not_before": facts.not_before.isoformat() if facts.not_before else None,
        "not_after": facts.not_after.isoformat() if facts.not_after else None,
        "key": facts.key,
        "pin": facts.pin,
        "sha256": facts.sha256,
    }


def _given(der: bytes) -> dict[str, Any] | None:
    return certificate(der) if der else None


def _leak(data: bytes) -> dict[str, Any] | None:
    if not data:
        return None
    kept = data[:SHOWN]
    return {
        "bytes": len(data),
        "text": kept.decode("utf-8", "backslashreplace"),
        "base64": base64.b64encode(kept).decode(),
        "cut": len(kept) < len(data),
    }

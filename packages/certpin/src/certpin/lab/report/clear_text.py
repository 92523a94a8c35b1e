"""Find credentials that a client sent in clear text at any time of a run, whatever the case.

An honest case can't show them: a client that sends its token over HTTP first, or with its request
to a proxy, is right in every verdict about TLS.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.support.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab.runner import Run
    from certpin.lab.verdict import Attempt

_HEADER = re.compile(
    rb"^(authorization|cookie|x-api-key|x-auth-token|x-csrf-token)[ \t]*:",
    re.IGNORECASE | re.MULTILINE,
)
_PARAMETER = re.compile(
    rb"[?&](access_token|refresh_token|token|api_?key|password|passwd|secret|session|sessionid)=",
    re.IGNORECASE,
)
_JSON_WEB_TOKEN = re.compile(rb"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.")  # RFC 7519: {"… in Base64


def tokens_in(data: bytes, canary: str = "") -> list[str]:
    """Return descriptions of the credentials in clear text, each once, without their values.

    They are recognised by the names of headers and parameters and by the form of a JSON Web Token:
    one with another name is not found.

    Args:
        data: the bytes that a client sent without TLS.
        canary: the marker in the URL of the lab, which is as secret as a token; empty for none.
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


def clear_text_lines(run: Run) -> list[str]:
    """Return a sentence for each credential that the client sent in clear text during a run.

    A sentence names the credential, its receiver, and the number of cases. It changes no verdict:
    in a case about clear text, the same data is a finding, too.
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


def _in_clear(attempt: Attempt) -> Iterator[tuple[str, bytes]]:
    """Yield the receivers and the bytes of everything that the client sent without TLS."""
    for seen in attempt.connections:
        if seen.clear:
            yield seen.target or next(iter(attempt.hosts), "the lab"), seen.clear
    for request in attempt.requests:
        yield request.receiver, request.head


def _few(names: set[str]) -> str:
    first, *others = sorted(names)
    return f"{first}, …" if others else first

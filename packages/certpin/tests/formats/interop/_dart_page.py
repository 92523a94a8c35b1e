"""The sections of docs/reference/formats-proof.md about the Dart package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from certpin.lab.attacks import CASES
from certpin.lab.case import CONTROL, Expect
from tests.formats.interop._dart import (
    CLIENTS,
    INAPPLICABLE,
    MISTAKE_CASES,
    MISTAKES,
    NOT_IN_TWO_CONNECTIONS,
    NOT_RUN,
    NOT_WITHOUT_PROXY,
    TOLD,
    TOLD_WITHOUT_PINNED_KEY,
    attacks,
    outcomes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scripts.dart import DartVM
    from tests.formats.interop._dart import DartClient, Mistake

_CLIENTS = """
## The Dart package

The lab of `certpin prove` ran each client of the package over the whole matrix, from a kernel
snapshot of [example/prove.dart](../../packages/certpin-dart/example/prove.dart). On Dart {oldest},
`certpin prove -- dart …` started the program for each case; on Dart {newest}, each run was a new
isolate of one VM. The pins come from the words of the command. The name of the host is below
`localhost`, so that the addresses of the matrix are those of this machine; the VM has its own
`/etc/hosts`. The client with a proxy needs none of this.

| client | Dart | pinned on | right | wrong | warnings | not run |
|---|---|---|---|---|---|---|
"""
_AFTER_CLIENTS = """
The warning, `cn-only`, comes from BoringSSL: it uses the common name if a certificate has no names
in subjectAltName. The verdict on {told} is not counted, because it
depends on your own policy, and neither is that on {told_ca} of the client
that pins no key of the server. Not run, and so never counted as right:

"""
_ANCHOR = """
The client with the pins in `trust` has the pinned root as its anchor. If an intermediate is the
anchor, `dart:io` does not read the copy that a server sends, and accepts the case
`bad-signature-intermediate`: the server's own certificate is verified with the anchor's key.
"""
_MISTAKES = """
## What not to do in Dart

These clients are not pinned, although four of them look so. They ran over {cases} cases of the
matrix, on Dart {newest}; the tests check every verdict. The cases that catch clients with one hole,
such as [rogue-connection-3](attacks/rogue-connection-3.md), add nothing about these. *Accepted*:
the attacker received the request, and the client reported success. *Leaked*: the client reported an
error after the attacker had received the request.

| client | pinned on | attacks | accepted | leaked | honest servers refused |
|---|---|---|---|---|---|
"""
_WHY = """
- `badCertificateCallback` is called only for a certificate that the platform refuses. Without
  roots, that is first the last certificate that the server sent: not the server's own, unless it
  sends no other. So the fingerprint that `openssl x509` prints fits no usual server.
- With the fingerprint of its issuer, no attack was accepted, but four changes of the chain above
  the server lock the app out.
- If it compares keys, the callback accepts the server's key with another name, after its expiry, or
  with a damaged signature, because its answer also replaces those checks.
- dio calls `validateCertificate` after it sent the request and got the headers of the response.
  This is a rebuild with the same calls in the same order as in dio's `IOHttpClientAdapter` (read on
  2026-11-28), and none of dio's code.
- A new isolate has no `HttpOverrides`: its clients are the same as those without pins.

The cases that they fail:

"""


def client_row(client: DartClient, vm: DartVM, report: Mapping[str, Any]) -> str:
    """Return the line of a table for one run of a client of the Dart package."""
    found = outcomes(report)
    warnings = ", ".join(f"`{name}`" for name in sorted(found.get("warning", ()))) or "none"
    left = len(found.get("not_run", ())) + len(INAPPLICABLE)
    counts = (len(found["right"]), len(found.get("wrong", ())))
    return _row(client.title, vm.version, client.style, *counts, warnings, left)


def mistake_row(mistake: Mistake, report: Mapping[str, Any]) -> str:
    """Return the line of a table for one run of a Dart client with a mistake."""
    start = (mistake.title, mistake.style)
    if not mistake.works:
        return _row(*start, "-", "-", "-", "all")
    counts = [len(_failed(mistake, *each)) for each in _KINDS]
    return _row(*start, len(attacks(report)), *counts)


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


_KINDS = (("ACCEPT", Expect.REJECT), ("LEAK", Expect.REJECT), ("REJECT", Expect.ACCEPT))


def _failed(mistake: Mistake, verdict: str, expect: Expect) -> list[str]:
    """Return the cases that a client with a mistake fails in one way, in the order of the lab.

    Args:
        mistake: the client.
        verdict: the verdict of the client.
        expect: whether the lab expects it to accept or to refuse.
    """
    cases = [case for case in CASES if case.expected.of(mistake.style) is expect]
    return [case.name for case in cases if mistake.fails.get(case.name) == verdict]


def failed_lines(mistake: Mistake) -> list[str]:
    """Return the lines that list the cases which a client with a mistake fails."""
    if not mistake.works:
        return [f"- {mistake.title}: refuses `{CONTROL.name}`, so no other case was run."]
    words = ("accepts", "leaks in", "refuses")
    parts = [
        f"{word} {', '.join(f'`{name}`' for name in names)}"
        for word, kind in zip(words, _KINDS, strict=True)
        if (names := _failed(mistake, *kind))
    ]
    return [f"- {mistake.title}: {'; '.join(parts)}."]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names[:-1]) + f" and `{names[-1]}`"


def dart_text(client_rows: list[str], mistake_rows: list[str]) -> str:
    """Return both sections: the clients of the Dart package, and the clients with mistakes."""
    not_run = NOT_RUN | NOT_WITHOUT_PROXY | NOT_IN_TWO_CONNECTIONS | INAPPLICABLE
    left = "".join(f"- `{name}`: {why}.\n" for name, why in not_run.items())
    failed = "".join(f"{line}\n" for each in MISTAKES for line in failed_lines(each))
    told, told_ca = map(_listed, (TOLD, TOLD_WITHOUT_PINNED_KEY))
    oldest, newest = (CLIENTS[0].vms[index].version for index in (0, -1))
    return "".join(
        [
            *(_CLIENTS.format(oldest=oldest, newest=newest), "\n".join(client_rows), "\n"),
            *(_AFTER_CLIENTS.format(told=told, told_ca=told_ca), left, _ANCHOR),
            _MISTAKES.format(newest=newest, cases=len(MISTAKE_CASES)),
            *("\n".join(mistake_rows), "\n"),
            *(_WHY, failed),
        ]
    )

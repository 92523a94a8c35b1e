"""The reference pages of the export formats and of the cases that the lab serves to clients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from certpin.formats import FORMATS
from certpin.lab.attacks import CASES, CONTROL, OPTIONAL_CASES
from certpin.lab.case import Case, Expect, Family
from certpin.lab.pki import LEGEND, Style
from scripts.docs.markdown import anchor, block, code, page, plain, table

if TYPE_CHECKING:
    from certpin.formats import Format

_FORMATS = """\
[`certpin export FORMAT`](../commands/export.md) writes the pins of `pins.toml` in the format of
another platform, and [`certpin import FORMAT FILE`](../commands/import.md) reads them from there.
Maintain the pins only in `pins.toml`, and let CI check that every copy is up to date: `certpin
export FORMAT --out PATH --check`."""

_LIMITS = """\
## Limits of formats

Most platforms cannot express all settings of a pin file. The export prints a warning for each
omitted setting, with the reason; with `--strict` this is an error. An export that would lock
users out or protect nothing is refused. `removed` pins, roles, states and notes are exported only
by `json`. If the platform has a list of keys to refuse, it contains the
[`compromised`](../pinfile.md#removed-lost-and-compromised-keys) keys; otherwise they are omitted
with a warning. `strict_x509` applies only to Python, and is exported only by `json`. An import
prints a warning for each setting that it skips.

The results of attacks on real clients with their exports are in [formats,
proven](../formats-proof.md)."""

_ATTACKS = """\
The cases of [`certpin prove`](../commands/prove.md) and [`certpin lab
serve`](../commands/lab-serve.md), and the correct result for each kind of client: without pins
(none), pinned to the server's key and a backup (leaf), and pinned to the intermediate or the root
(ca). `certpin lab attacks NAME` prints the same in a terminal."""

_RESULTS = {
    Expect.ACCEPT: "accept",
    Expect.REJECT: "refuse",
    Expect.EITHER: "either",
    Expect.WARN: "refuse, or warn",
    Expect.POLICY: "your policy",
    Expect.UNDEFINED: "-",
}
_STYLES = {
    "none": "without pins",
    "leaf": "pinned to the server's key and a backup",
    "ca": "pinned to the intermediate or the root",
}


def format_pages() -> dict[str, str]:
    """Return the text of each page of ``reference/formats``, by its path below ``docs``."""
    rows = [(f"[{code(each.name)}]({each.name}.md)", each.title) for each in FORMATS.values()]
    shown = table(("format", "platform"), rows)
    index = page("Export formats", _FORMATS, shown, _LIMITS)
    return {"reference/formats/index.md": index} | {
        f"reference/formats/{each.name}.md": _format_page(each) for each in FORMATS.values()
    }


def _format_page(chosen: Format) -> str:
    out, file = ("FOLDER", f"FOLDER/{chosen.file}") if chosen.folder else (chosen.file,) * 2
    commands = f"certpin export {chosen.name} --out {out}\ncertpin import {chosen.name} {file}"
    limits = "\n".join(
        f"- {limit.summary}. {limit.why[0].upper()}{limit.why[1:]}." for limit in chosen.limits
    )
    needs = "\n".join(f"- {need}" for need in (*chosen.needs, *chosen.date_needs))
    return page(
        chosen.name,
        f"[Export format](index.md) for this platform: {chosen.title}.",
        block(commands, "sh"),
        chosen.use,
        "## Omissions, changes and refusals",
        limits or "Nothing: it can express all settings.",
        f"## It relies on\n\n{needs}" if needs else "",
        f"## [Root sets](../../guides/providers.md)\n\n{chosen.root_sets}",
    )


def attack_pages() -> dict[str, str]:
    """Return the text of each page of ``reference/attacks``, by its path below ``docs``."""
    cases = (CONTROL, *CASES, *OPTIONAL_CASES)
    families = [(family, [each for each in cases if each.family is family]) for family in Family]
    titles = ("case", "presents", *(style.value for style in Style))
    parts = [
        f"## {family.value}\n\n{table(titles, map(_row, known))}"
        for family, known in families
        if known
    ]
    index = page("The attacks", _ATTACKS, LEGEND, *parts)
    return {"reference/attacks/index.md": index} | {
        f"reference/attacks/{case.name}.md": _case_page(case) for case in cases
    }


def _row(case: Case) -> tuple[str, ...]:
    results = (_RESULTS[case.expected.of(style)] for style in Style)
    return (f"[{code(case.name)}]({case.name}.md)", plain(case.presents), *results)


def _case_page(case: Case) -> str:
    rows = [
        (_STYLES[style.value], code(style.value), _RESULTS[case.expected.of(style)])
        for style in Style
    ]
    facts = {
        "Guards": case.guards,
        "Reference": case.reference,
        "To meet it": case.exercise,
        "Fix": case.fix,
    }
    lines = [f"- **{label}:** {plain(text)}" for label, text in facts.items() if text]
    run = f"certpin prove --case {case.name} -- COMMAND"
    return page(
        case.name,
        f"A [case of the lab](index.md#{anchor(case.family.value)}): {plain(case.presents)}.",
        block(run, "sh"),
        "## Correct result",
        table(("client", "`--style`", "result"), rows),
        "## Purpose and fix",
        "\n".join(lines),
        f"The letters: {LEGEND}",
    )

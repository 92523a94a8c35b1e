"""The reference pages of the rules of ``certpin lint`` and the mistakes in apps.

``certpin import`` finds the mistakes in the source of an app.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from certpin.apps.rules import RULES as MISTAKES
from certpin.lint import RULES
from certpin.lint.rule import EXAMPLES
from scripts.docs.markdown import block, code, page, plain, prose, table

if TYPE_CHECKING:
    from certpin.apps.rules import AppRule
    from certpin.lint import LintRule

_LINT = """\
[`certpin lint`](../commands/lint.md) finds these mistakes in a pin file. `certpin explain RULE`
prints the same on a terminal.

An **error** locks users out or exposes them, and a **warning** may; a **note** is easily misread.
Findings of rules marked *refused* cannot be allowed, because no client loads such a file. Rules
marked *live* need `--live`, and those marked *exports* need `--exported`."""

_ALLOW_LINT = """\
## Allow a finding

Any other finding can be allowed, with a reason, by a comment on its line or on the lines above
it:

```toml
# certpin: allow leaf-only-short-lived because certbot runs with --reuse-key
```

A finding about a missing key has the line of its table (`[[host]]`). In a list of inline tables,
each table has its line, and its keys have the same one.

In the examples, words such as `sha256/ONE` replace pins; `LEAF`, `INTERMEDIATE` and `ROOT` are
those of the server that is asked, and `SET1` to `SET4` are the roots of Let's Encrypt. The line of
the finding is marked, as of 2027-03-01."""

_MISTAKES = """\
[`certpin import dart`](../../guides/import.md) finds these mistakes in the source of an app.
`certpin explain RULE` prints the same on a terminal.

An **error** lets an attacker in or locks users out, and a **warning** may."""

_ALLOW_MISTAKES = """\
## Allow a finding

A comment with a reason allows a finding, on its line or on the lines above it. It begins with
`//`, in YAML with `#` and in XML with `<!--`:

```dart
// certpin: allow plain-http because it is the emulator of the developers
```

In the examples, the line of the finding is marked. Some rules have no example, such as those about
certificates, keys and packages."""

_LANGUAGES = {"dart": "dart", "toml": "toml", "xml": "xml"}


def lint_pages() -> dict[str, str]:
    """Return the text of each page of ``reference/lint``, by its path below ``docs``."""
    rows = [(_link(rule.id), rule.severity, _needs(rule), prose(rule.summary)) for rule in _lint()]
    titles = ("rule", "severity", "needs", "mistake")
    index = page("Rules of certpin lint", _LINT, table(titles, rows), _ALLOW_LINT)
    return {"reference/lint/index.md": index} | {
        f"reference/lint/{rule.id}.md": _lint_page(rule) for rule in _lint()
    }


def mistake_pages() -> dict[str, str]:
    """Return the text of each page of ``reference/mistakes``, by its path below ``docs``."""
    rules = MISTAKES.values()
    rows = [(_link(rule.id), rule.severity, prose(rule.summary)) for rule in rules]
    shown = table(("rule", "severity", "mistake"), rows)
    index = page("Mistakes in apps", _MISTAKES, shown, _ALLOW_MISTAKES)
    return {"reference/mistakes/index.md": index} | {
        f"reference/mistakes/{rule.id}.md": _mistake_page(rule) for rule in rules
    }


def _lint() -> list[LintRule]:
    return list(RULES.values())


def _link(rule: str) -> str:
    return f"[{code(rule)}]({rule}.md)"


def _needs(rule: LintRule) -> str:
    return "refused" if rule.refuses else "" if rule.needs == "file" else rule.needs


def _lint_page(rule: LintRule) -> str:
    needs = f", {_needs(rule)}" if _needs(rule) else ""
    where = f"A rule of [`certpin lint`](index.md): {rule.severity}{needs}."
    allow = "This finding can't be allowed: no client loads the file." if rule.refuses else ""
    examples = (prose(EXAMPLES), *_examples("toml", rule.bad, rule.good))
    return page(rule.id, where, *_facts(rule), allow, *examples)


def _mistake_page(rule: AppRule) -> str:
    where = f"A [mistake in an app](index.md) that `certpin import` finds: {rule.severity}."
    examples = [
        part
        for each in rule.examples
        for part in _examples(
            _LANGUAGES[PurePath(each.file).suffix.removeprefix(".")], each.bad, each.good
        )
    ]
    return page(rule.id, where, *_facts(rule), *examples)


def _facts(rule: LintRule | AppRule) -> list[str]:
    source = f"**Source:** {plain(rule.source)}." if rule.source else ""
    return [f"{prose(rule.summary)} {prose(rule.why)}", f"**Fix:** {prose(rule.fix)}.", source]


def _examples(language: str, bad: str, good: str) -> tuple[str, ...]:
    return ("## Bad", block(bad.strip(), language), "## Good", block(good.strip(), language))
